# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wsp_mm.structures.keypoints import (
    JOINT_SETS,
    MIDPOINTS,
    convert_joints,
    get_joint_set,
    mirrored,
    pose_metainfo,
)

NAMES = sorted(JOINT_SETS)
BODY = ('shoulder', 'elbow', 'wrist', 'hip', 'knee', 'ankle')
LIMBS = [f'{side}_{limb}' for side in ('left', 'right') for limb in BODY]

# target <- source by the data sets' own joint names, written down from their papers and code, not
# from the table under test. Midpoints are given as pairs. What is not listed has no counterpart.
TRUNK = {'pelvis': ('left_hip', 'right_hip'), 'thorax': ('left_shoulder', 'right_shoulder')}
FROM_COCO = {name: name for name in LIMBS} | TRUNK
RH_LIMBS = ('Shoulder', 'Elbow', 'Wrist', 'Hip', 'Knee', 'Ankle')
FROM_RH_LIMBS = {
    f'{side}_{joint.lower()}': f'{side[0].upper()}_{joint}'
    for side in ('left', 'right')
    for joint in RH_LIMBS
}
FROM_RH = FROM_RH_LIMBS | {
    'pelvis': ('L_Hip', 'R_Hip'), 'thorax': ('L_Shoulder', 'R_Shoulder'),
}  # fmt: skip
BY_NAME = {
    ('coco17', 'mcpc16'): FROM_COCO,
    ('crowdpose14', 'mcpc16'): FROM_COCO | {'upper_neck': 'neck', 'head_top': 'top_head'},
    ('posetrack18', 'mcpc16'): FROM_COCO | {'upper_neck': 'head_bottom', 'head_top': 'head_top'},
    ('mpii16', 'mcpc16'): {
        name: name for name in (*LIMBS, 'pelvis', 'thorax', 'upper_neck', 'head_top')
    },
    # Sun's table: [6, 2, 1, 0, 3, 4, 5, -, 8, -, 9, 13, 14, 15, 12, 11, 10, 7]
    ('mpii16', 'h36m18'): {
        'Pelvis': 'pelvis', 'R_Hip': 'right_hip', 'R_Knee': 'right_knee', 'R_Ankle': 'right_ankle',
        'L_Hip': 'left_hip', 'L_Knee': 'left_knee', 'L_Ankle': 'left_ankle', 'Neck': 'upper_neck',
        'Head': 'head_top', 'L_Shoulder': 'left_shoulder', 'L_Elbow': 'left_elbow',
        'L_Wrist': 'left_wrist',
        'R_Shoulder': 'right_shoulder', 'R_Elbow': 'right_elbow', 'R_Wrist': 'right_wrist',
        'Thorax': 'thorax',
    },
    # MPII's head TOP belongs on MuCo's Head_top, not on its Head.
    ('mpii16', 'muco21'): {
        'Head_top': 'head_top', 'Thorax': 'thorax', 'Pelvis': 'pelvis', 'R_Hip': 'right_hip',
        'R_Knee': 'right_knee', 'R_Ankle': 'right_ankle', 'L_Hip': 'left_hip',
        'L_Knee': 'left_knee',
        'L_Ankle': 'left_ankle', 'R_Shoulder': 'right_shoulder', 'R_Elbow': 'right_elbow',
        'R_Wrist': 'right_wrist', 'L_Shoulder': 'left_shoulder', 'L_Elbow': 'left_elbow',
        'L_Wrist': 'left_wrist',
    },
    # Relative Human's three sets; names are those of its own page.
    ('rh14', 'mcpc16'): FROM_RH | {'upper_neck': 'Neck', 'head_top': 'Head_top'},
    ('rh19', 'mcpc16'): FROM_RH | {'upper_neck': 'Neck', 'head_top': 'Head_top'},
    ('rh_ochuman19', 'mcpc16'): FROM_RH | {'upper_neck': 'Neck', 'head_top': 'Head_top'},
    ('rh_ochuman19', 'coco17'): FROM_RH_LIMBS
    | {
        'nose': 'Nose', 'left_eye': 'L_Eye', 'right_eye': 'R_Eye', 'left_ear': 'L_Ear',
        'right_ear': 'R_Ear',
    },
    # MuCo has no upper neck: its Thorax is between the shoulders.
    ('rh19', 'muco21'): {
        **{f'{s}_{j}': f'{s}_{j}' for s in 'LR' for j in RH_LIMBS}, 'Head_top': 'Head_top',
        'L_Toe': 'L_BigToe', 'R_Toe': 'R_BigToe', 'Thorax': ('L_Shoulder', 'R_Shoulder'),
        'Pelvis': ('L_Hip', 'R_Hip'),
    },
    # The same 17 markers under two spellings.
    ('h36m17', 'h36m18'): {
        'Pelvis': 'root', 'R_Hip': 'right_hip', 'R_Knee': 'right_knee', 'R_Ankle': 'right_foot',
        'L_Hip': 'left_hip', 'L_Knee': 'left_knee', 'L_Ankle': 'left_foot', 'Torso': 'spine',
        'Neck': 'thorax',
        'Nose': 'neck_base', 'Head': 'head', 'L_Shoulder': 'left_shoulder', 'L_Elbow': 'left_elbow',
        'L_Wrist': 'left_wrist', 'R_Shoulder': 'right_shoulder', 'R_Elbow': 'right_elbow',
        'R_Wrist': 'right_wrist', 'Thorax': ('left_shoulder', 'right_shoulder'),
    },
}  # fmt: skip


@pytest.mark.parametrize(('source', 'target'), BY_NAME)
def test_conversion_by_joint_name(source, target):
    src, dst = get_joint_set(source), get_joint_set(target)
    keypoints = np.stack([np.arange(len(src)) * 10.0 + 1, np.arange(len(src)) * -7.0 - 1], axis=-1)
    place = dict(zip(src.joints, keypoints, strict=True))
    got, seen = convert_joints(keypoints, np.full(len(src), 2), source, target)
    for k, name in enumerate(dst.joints):
        origin = BY_NAME[source, target].get(name)
        if origin is None:
            assert seen[k] == 0 and (got[k] == 0).all(), name
        else:
            parents = [origin] if isinstance(origin, str) else origin
            expected = np.mean([place[p] for p in parents], axis=0)
            np.testing.assert_allclose(got[k], expected, err_msg=name)
            assert seen[k] == 2, name


@pytest.mark.parametrize(('name', 'ankles'), [
    ('coco17', (15, 16)), ('mcpc16', (5, 0)), ('crowdpose14', (10, 11)), ('posetrack18', (15, 16)),
    ('h36m17', (6, 3)), ('muco21', (13, 10)),
])  # fmt: skip
def test_ankles_left_then_right(name, ankles):
    assert get_joint_set(name).ankles == ankles


@pytest.mark.parametrize('name', NAMES)
def test_sets_are_sound(name):
    joint_set = get_joint_set(name)
    assert len(set(joint_set.joints)) == len(set(joint_set.concepts)) == len(joint_set)
    flip = np.array(joint_set.flip_indices)
    np.testing.assert_array_equal(flip[flip], np.arange(len(joint_set)))
    links = {frozenset(link) for link in joint_set.link_indices}
    assert len(links) == len(joint_set.links) and all(len(link) == 2 for link in links)
    # A body drawn and its mirror image are the same drawing.
    assert links == {frozenset(int(flip[i]) for i in link) for link in links}


@pytest.mark.parametrize(('source', 'target'), itertools.product(NAMES, NAMES))
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_conversion_commutes_with_flip(source, target, data):
    src, dst = get_joint_set(source), get_joint_set(target)
    keypoints = data.draw(arrays(np.float64, (len(src), 2), elements=st.floats(-1000, 1000)))
    visible = data.draw(arrays(np.int64, len(src), elements=st.integers(0, 2)))

    def flip(points, seen, joint_set):
        index = list(joint_set.flip_indices)
        return points[index] * [-1, 1], seen[index]

    first = convert_joints(*flip(keypoints, visible, src), source, target)
    second = flip(*convert_joints(keypoints, visible, source, target), dst)
    np.testing.assert_allclose(first[0], second[0], atol=1e-9)
    np.testing.assert_array_equal(first[1], second[1])


@pytest.mark.parametrize('name', NAMES)
def test_conversion_to_itself_keeps_what_is_labelled(name):
    rng = np.random.default_rng(0)
    count = len(get_joint_set(name))
    keypoints, visible = rng.normal(size=(3, 4, count, 3)), rng.integers(0, 3, (3, 4, count))
    got, seen = convert_joints(keypoints, visible, name, name)
    np.testing.assert_array_equal(seen, visible)
    np.testing.assert_array_equal(got, np.where(visible[..., None] > 0, keypoints, 0))


def test_midpoint_needs_both_parents_and_takes_the_lesser_flag():
    coco, mcpc = get_joint_set('coco17'), get_joint_set('mcpc16')
    keypoints, visible = np.ones((17, 2)), np.full(17, 2)
    visible[coco.index('left_hip')] = 0
    visible[coco.index('right_shoulder')] = 1
    got, seen = convert_joints(keypoints, visible, 'coco17', 'mcpc16')
    assert seen[mcpc.index('pelvis')] == 0 and (got[mcpc.index('pelvis')] == 0).all()
    assert seen[mcpc.index('thorax')] == 1 and (got[mcpc.index('thorax')] == 1).all()


def test_errors_name_what_is_wrong():
    with pytest.raises(KeyError, match='known'):
        get_joint_set('coco18')
    with pytest.raises(KeyError, match=r'coco17.*head_top'):
        get_joint_set('coco17').index('head_top')
    with pytest.raises(ValueError, match='17 joints'):
        convert_joints(np.zeros((16, 2)), np.zeros(16), 'coco17', 'mcpc16')
    with pytest.raises(ValueError, match='visible'):
        convert_joints(np.zeros((2, 17, 2)), np.zeros(17), 'coco17', 'mcpc16')


def test_mirrored():
    assert mirrored('left_ankle') == 'right_ankle' and mirrored('right_eye') == 'left_eye'
    assert mirrored('head_top') == 'head_top'
    for parents in MIDPOINTS.values():
        assert mirrored(parents[0]) == parents[1]


def test_mmpose_parses_the_metainfo():
    parse = pytest.importorskip('mmpose.datasets.datasets.utils').parse_pose_metainfo
    for name in NAMES:
        parsed, joint_set = parse(pose_metainfo(name)), get_joint_set(name)
        names = tuple(parsed['keypoint_id2name'][k] for k in range(len(joint_set)))
        assert names == joint_set.joints and len(parsed['sigmas']) == len(names)
        assert tuple(parsed['flip_indices']) == get_joint_set(name).flip_indices
        links = tuple(tuple(link) for link in parsed['skeleton_links'])
        assert links == tuple(joint_set.link_indices)


@pytest.mark.parametrize(('ours', 'theirs'), [
    ('coco17', 'coco'), ('mpii16', 'mpii'), ('crowdpose14', 'crowdpose'),
    ('posetrack18', 'posetrack18'),
    ('h36m17', 'h36m'),
])  # fmt: skip
def test_joints_are_mmposes(ours, theirs):
    parse = pytest.importorskip('mmpose.datasets.datasets.utils').parse_pose_metainfo
    parsed = parse(dict(from_file=f'configs/_base_/datasets/{theirs}.py'))
    joint_set = get_joint_set(ours)
    assert tuple(parsed['keypoint_id2name'][k] for k in range(len(joint_set))) == joint_set.joints
    # MMPose's PoseTrack18 pairs the ears and limbs as we do; all of its sets flip alike.
    assert tuple(parsed['flip_indices']) == joint_set.flip_indices
