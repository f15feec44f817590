# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsp_mm.visualization.placement import (
    CROP_MM,
    GAP_MM,
    _side_by_side,
    place_persons,
    read_persons,
    read_skeleton,
)


def test_camera_space_is_taken_as_it_is(person, record, info):
    frame = record(person(3, x=-500), person(5, x=800, z=6000))
    scene = place_persons(frame, read_skeleton(info))
    assert (
        scene.in_camera and scene.ids == (3, 5) and scene.note == 'camera space, mm; camera given'
    )
    np.testing.assert_array_equal(scene.poses[1, 0], [800, 0, 6000])


def test_an_assumed_camera_is_called_so(person, record, info):
    frame = record(person(0), camera=dict(f=[9, 9], c=[1, 1], source='assumed-fov'))
    assert 'camera assumed-fov' in place_persons(frame, read_skeleton(info)).note


def test_without_a_camera_persons_stand_side_by_side_about_their_own_roots(
    person, record, without_camera, info
):
    # 5 is right of 3 in the picture; the depth of one joint is known, of another not
    frame = without_camera(record(person(5, x=800, z=6000), person(3, x=-500)))
    frame['persons'][0]['keypoints_rel'] = [0.0, 120.0, None]
    scene = place_persons(frame, read_skeleton(info))
    assert not scene.in_camera and scene.ids == (3, 5)
    assert 'no camera: root-relative, side by side' in scene.note
    # three joints in a line: each is 0 wide, so the gap is between the lines, and the middle is 0
    np.testing.assert_allclose(scene.poses[:, 0, 0], [-GAP_MM / 2, GAP_MM / 2])
    np.testing.assert_allclose(scene.poses[:, 0, 1:], 0)
    assert scene.poses[1, 1, 2] == 120 and np.isnan(scene.poses[1, 2, 2])
    # person 3: box 80 x 480 px cut at the picture's edge, so the crop is computed here by hand
    x, y, w, h = frame['persons'][1]['bbox']
    side = 1.25 * max(min(639, x + w - 1) - x, min(479, y + h - 1) - y)
    pixels = np.array(frame['persons'][1]['keypoints_img'])
    np.testing.assert_allclose(scene.poses[0, 1, 1], (pixels[1, 1] - pixels[0, 1]) * CROP_MM / side)


def test_who_has_no_depth_is_counted(person, record, info):
    frame = record(person(0), person(1, keypoints_cam=None, root_depth=None))
    scene = place_persons(frame, read_skeleton(info))
    assert scene.ids == (0,) and scene.note.endswith('1 of 2 persons without 3D')
    none = record(person(1, keypoints_cam=None, root_depth=None))
    assert place_persons(none, read_skeleton(info)).note.startswith('no root depth: root-relative')


def test_nobody(record, info):
    for camera in (None, record()['camera']):
        scene = place_persons(record(camera=camera), read_skeleton(info))
        assert scene.poses.shape == (0, 3, 3) and scene.note.endswith('no persons')
        assert scene.in_camera == (camera is not None)


def test_a_skipped_frame_says_why(record, info):
    scene = place_persons(
        record(camera=None, width=None, height=None, skipped='no picture'), read_skeleton(info)
    )
    assert scene.note == 'skipped: no picture' and not len(scene.poses)


def test_pretraining_records_have_no_3d(person, record, without_camera, info):
    frame = without_camera(record(person(0, keypoints_rel=None), person(1, keypoints_rel=None)))
    scene = place_persons(frame, read_skeleton(info))
    assert scene.poses.shape == (0, 3, 3) and scene.note.endswith('2 of 2 persons without 3D')
    frame['order'] = dict(ids=[0, 1], probability=[[0.5, 0.7], [0.3, 0.5]])
    assert place_persons(frame, read_skeleton(info)).note.startswith('order of persons')


def test_skeletons(info):
    assert read_skeleton(info).links == ((0, 1), (0, 2)) and read_skeleton(info).sides == (
        'middle',
        'middle',
        'left',
    )
    muco = read_skeleton(dict(joint_set='muco21'))
    assert len(muco) == 21 and muco.root == (14,) and muco.sides[2] == 'right'
    assert read_skeleton(dict(joint_set='coco17')).root == (11, 12)
    with pytest.raises(ValueError, match='names no joints'):
        read_skeleton({})
    for links in ([['Pelvis', 'Tail']], [[0, 3]], [[0, 1, 2]]):
        with pytest.raises(ValueError, match='skeleton_links'):
            read_skeleton({**info, 'skeleton_links': links})


def test_a_record_that_does_not_fit_is_named(person, record, info):
    frame = record(person(4, keypoints_img=[[1, 2]]), frame=9)
    with pytest.raises(
        ValueError, match=r'frame 9 \(a\.jpg\), person 4: keypoints_img must be of shape \(3, 2\)'
    ):
        read_persons(frame, 3)
    with pytest.raises(ValueError, match='must be numbers'):
        read_persons(record(person(4, keypoints_img=[['a', 2]] * 3)), 3)
    infinite = read_persons(record(person(4, root_depth=float('inf'))), 3)[0]
    assert np.isnan(infinite.root_depth) and infinite.label == '#4'


@given(st.lists(st.tuples(st.floats(-1e4, 1e4), st.floats(1, 3000)), min_size=1, max_size=6))
def test_side_by_side_never_overlaps_and_is_centred(persons):
    poses = [np.array([[x, 0, 0], [x + width, 5, 7]]) for x, width in persons]
    moved = _side_by_side(poses)
    for left, right in itertools.pairwise(moved):
        assert right[:, 0].min() - left[:, 0].max() == pytest.approx(GAP_MM)
    assert moved[0][:, 0].min() == pytest.approx(-moved[-1][:, 0].max())
    for before, after in zip(poses, moved, strict=True):
        np.testing.assert_array_equal(before[:, 1:], after[:, 1:])
