# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from wsp_mm.structures.ground_plane import (
    SEGMENTS,
    apparent_size,
    plane_order,
    segment_depths,
    segment_lengths,
)
from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.structures.relative_depth import MIN_LENGTH_PX

JOINTS = get_joint_set('mcpc16')
W, H = 640, 480
# An upright figure of height 1 whose segments have exactly the lengths of SEGMENTS, ankles at 0.
HIP, THORAX = 0.456, 0.744
FIGURE = dict(
    pelvis=(0, HIP), thorax=(0, THORAX), upper_neck=(0, 0.81), head_top=(0, 0.942),
    **{f'{side}_{joint}': (sign * x, y)
       for side, sign in (('left', 1), ('right', -1))
       for joint, x, y in (
           ('ankle', 0.06, 0.0), ('knee', 0.06, 0.231), ('hip', 0.06, HIP),
           ('shoulder', 0.0955, THORAX), ('elbow', 0.0955, THORAX - 0.155),
           ('wrist', 0.0955, THORAX - 0.293),
       )},
)  # fmt: skip
POINTS = np.array([FIGURE[concept] for concept in JOINTS.concepts])


def scene(people, f=700.0, camera=1.5, horizon=200.0, roll=0.0):
    """Persons as (x m, depth m, body height m) seen by an ideal camera that looks level: the ground
    at depth Z is f * camera / Z px below the horizon.
    """
    tan, keypoints = np.tan(np.deg2rad(roll)), []
    for x, depth, height in people:
        foot = np.array([(W - 1) / 2 + f * x / depth, 0])
        foot[1] = horizon + tan * (foot[0] - (W - 1) / 2) + f * camera / depth
        keypoints.append(foot + POINTS * (1, -1) * f * height / depth)
    keypoints = np.array(keypoints)
    return keypoints, np.full(keypoints.shape[:2], 2)


def nearer_of(order):
    return order.nearer[np.triu_indices(len(order.nearer), 1)]


def test_the_figure_has_the_segments_lengths():
    keypoints, visible = scene([(0, 5, 1.7)])
    shares = [share for *_, share in SEGMENTS]
    np.testing.assert_allclose(segment_lengths(keypoints, visible)[0] / (700 * 1.7 / 5), shares)
    size, std = apparent_size(keypoints, visible)
    assert size[0] == pytest.approx(238, rel=0.01) and 0.02 < std[0] < 0.1
    assert segment_depths(keypoints, visible, size * 0 + 238)[0] == pytest.approx(0, abs=1e-6)


def test_size_survives_posture_and_hidden_joints():
    keypoints, visible = scene([(0, 5, 1.7)])
    for side in ('left', 'right'):  # a seated person whose thighs point at the camera
        knee, ankle = JOINTS.index(f'{side}_knee'), JOINTS.index(f'{side}_ankle')
        down = keypoints[0, JOINTS.index(f'{side}_hip')] - keypoints[0, knee]
        keypoints[0, [knee, ankle]] += 0.8 * down
    assert apparent_size(keypoints, visible)[0][0] == pytest.approx(238, rel=0.01)
    size = np.array([238.0])
    thigh = [i for i, segment in enumerate(SEGMENTS) if segment[0].endswith('_hip')]
    expected = 0.225 * np.sqrt(1 - 0.2**2)
    np.testing.assert_allclose(segment_depths(keypoints, visible, size)[0, thigh], expected)
    few = np.zeros_like(visible)
    few[0, [JOINTS.index('left_hip'), JOINTS.index('left_knee')]] = 1
    found, std = apparent_size(keypoints, few)
    assert found[0] < 60 and std[0] > 0.1 and np.isnan(segment_depths(keypoints, few, size)).any()
    assert np.isnan(apparent_size(keypoints, 0 * few)[0][0])


@pytest.mark.parametrize('roll', [-2.0, 0.0, 2.0])
def test_an_ideal_scene_is_ordered_with_its_ratios(roll):
    depths = np.array([3.0, 4.5, 6.0, 7.0, 9.0])
    people = [(x, z, 1.7) for x, z in zip((-0.8, 1.0, -1.5, 2.0, 0.3), depths, strict=True)]
    order = plane_order(*scene(people, roll=roll), W, H)
    assert (nearer_of(order) > 0.9).all()
    ratio = order.log_depth[:, None] - order.log_depth
    np.testing.assert_allclose(ratio, np.log(depths[:, None] / depths), atol=0.05)
    assert (order.log_depth_std < 0.1).all()
    by_ground = plane_order(*scene(people, roll=roll), W, H, evidence='ground')
    assert (nearer_of(by_ground) > 0.9).all()


def test_a_child_is_not_taken_for_a_distant_adult_nor_the_reverse():
    """Size says that the child is farther; the plane of the others says where it stands."""
    people = [(-1.5, 4, 1.75), (1.5, 6, 1.7), (-2, 8, 1.65), (0.5, 5, 1.15), (2.0, 7, 1.7)]
    keypoints = scene(people)
    order, by_size = (plane_order(*keypoints, W, H, evidence=e) for e in ('both', 'size'))
    assert by_size.nearer[3, 1] < 0.5 < 0.8 < order.nearer[3, 1]


def test_a_jump_changes_the_place_of_nobody_else():
    people = [(-1.5, 4, 1.7), (1.5, 6, 1.7), (-2, 8, 1.7), (0.5, 5, 1.7), (2, 7, 1.7), (0, 3, 1.7)]
    keypoints, visible = scene(people)
    before = plane_order(keypoints, visible, W, H)
    keypoints[3, :, 1] -= 0.25 * 700 * 1.7 / 5  # a quarter of the body height
    after = plane_order(keypoints, visible, W, H)
    others = np.ix_([0, 1, 2, 4, 5], [0, 1, 2, 4, 5])
    assert ((before.nearer > 0.5) == (after.nearer > 0.5))[others].all()
    # the ankle rule now puts the jumping person behind the second one; its size does not
    y = keypoints[:, list(JOINTS.ankles), 1].max(axis=1)
    assert y[3] < y[1] and after.nearer[3, 1] > 0.5


def test_what_is_not_known():
    keypoints, visible = scene([(-1.5, 4, 1.7), (1.5, 7, 1.7), (0, 5, 1.7), (1, 3, 1.7)])
    ankles = list(JOINTS.ankles)
    visible[1, ankles] = 0  # a size alone
    visible[2] = 0  # nothing
    visible[3] = 0
    visible[3, ankles] = 1  # a foot alone
    for size in ((W, H), (None, None)):
        order = plane_order(keypoints, visible, *size)
        assert np.isnan(order.log_depth).tolist() == [False, False, True, False]
        assert np.isinf(order.log_depth_std).tolist() == [False, False, True, False]
        assert (order.nearer[2] == 0.5).all() and (order.nearer[:, 2] == 0.5).all()
        assert order.nearer[0, 1] > 0.9 and order.nearer[3, 0] > 0.7
    alone = plane_order(keypoints[:1], visible[:1], W, H)
    assert alone.nearer.tolist() == [[0.5]] and np.isfinite(alone.log_depth).all()
    assert plane_order(keypoints[2:3], visible[2:3]).nearer.tolist() == [[0.5]]
    assert plane_order(keypoints[:0], visible[:0]).nearer.shape == (0, 0)
    with pytest.raises(ValueError, match='evidence'):
        plane_order(keypoints, visible, evidence='feet')


@st.composite
def crowds(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(1, 6))
    people = np.column_stack([
        rng.uniform(-2, 2, n), rng.uniform(2, 10, n), rng.normal(1.7, 0.2, n)
    ])  # fmt: skip
    keypoints, visible = scene(people, horizon=rng.uniform(100, 300), roll=rng.normal(0, 2))
    keypoints += rng.normal(0, 4, keypoints.shape)
    return keypoints, np.where(rng.random(visible.shape) < 0.7, visible, 0)


@settings(max_examples=25, deadline=None)
@given(crowds(), st.booleans(), st.sampled_from(['both', 'ground', 'size']))
def test_scaling_mirroring_and_reordering_change_nothing(crowd, known, evidence):
    (keypoints, visible), size = crowd, (W, H) if known else (None, None)
    # What is shorter than a pixel is not measured, and in a larger image is.
    assume(not (segment_lengths(keypoints, visible) < MIN_LENGTH_PX).any())
    order = plane_order(keypoints, visible, *size, evidence=evidence)
    np.testing.assert_allclose(order.nearer + order.nearer.T, 1, atol=1e-12)
    assert (np.diag(order.nearer) == 0.5).all() and (np.abs(order.nearer - 0.5) <= 0.5).all()

    def same(other, rows=slice(None), shift=0.0):
        np.testing.assert_allclose(other.nearer, order.nearer[rows][:, rows], atol=2e-3)
        np.testing.assert_allclose(other.log_depth, order.log_depth[rows] + shift, atol=2e-3)
        np.testing.assert_allclose(other.log_depth_std, order.log_depth_std[rows], atol=2e-3)

    mirrored = keypoints[:, list(JOINTS.flip_indices)] * (-1, 1) + (W - 1, 0)
    flipped = visible[:, list(JOINTS.flip_indices)]
    same(plane_order(mirrored, flipped, *size, evidence=evidence))
    rows = np.random.default_rng(0).permutation(len(keypoints))
    same(plane_order(keypoints[rows], visible[rows], *size, evidence=evidence), rows)
    # pixel centres are at whole numbers, so an image grows about (-0.5, -0.5)
    larger = (keypoints + 0.5) * 3 - 0.5
    tripled = (3 * W, 3 * H) if known else size
    shift = -np.log(3)
    same(plane_order(larger, visible, *tripled, evidence=evidence), shift=shift)
