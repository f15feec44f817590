# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.structures.relative_depth import (
    DEFAULT_FACTORS,
    SCALE_SOURCES,
    calibrate,
    ground_y,
    person_scale,
    relative_depth_label,
    scale_gap,
    scale_lengths,
    valid_pairs,
)

ANKLES = get_joint_set('mcpc16').ankles
HEIGHT = st.floats(-1e4, 1e4)
SCALE = st.floats(1e-3, 1e4)


def person(left=None, right=None):
    """A person with ankles at these heights, None being unlabelled."""
    keypoints, visible = np.zeros((16, 2)), np.zeros(16)
    for ankle, y in zip(ANKLES, (left, right), strict=True):
        if y is not None:
            keypoints[ankle], visible[ankle] = (5, y), 2
    return keypoints, visible


@pytest.mark.parametrize(('left', 'right', 'lowest', 'mean'), [
    (100, 120, 120, 110), (120, 100, 120, 110), (100, None, 100, 100), (None, 90, 90, 90),
    (-3, -8, -3, -5.5), (None, None, math.nan, math.nan),
])  # fmt: skip
def test_ground_y_by_hand(left, right, lowest, mean):
    keypoints, visible = person(left, right)
    found = ground_y(keypoints, visible, ANKLES), ground_y(keypoints, visible, ANKLES, 'mean')
    np.testing.assert_equal(found, (lowest, mean))


def test_ground_y_does_not_look_at_unlabelled_ankles():
    keypoints, visible = person(100, None)
    keypoints[ANKLES[1]] = (0, 999)
    assert ground_y(keypoints, visible, ANKLES) == 100
    keypoints[ANKLES[1]] = np.nan
    assert ground_y(keypoints, visible, ANKLES) == 100


def test_ground_y_errors():
    with pytest.raises(ValueError, match='highest'):
        ground_y(*person(1, 2), ANKLES, 'highest')
    with pytest.raises(ValueError, match='finite'):
        ground_y(*person(np.nan, 2), ANKLES)


@pytest.mark.parametrize(
    ('a', 'b', 'label'), [(200, 100, 1), (100, 200, 0), (100, 100, 1), (-1, -2, 1)]
)
def test_the_lower_one_is_nearer(a, b, label):
    assert relative_depth_label(a, b) == label


@given(HEIGHT, HEIGHT)
def test_swapping_flips_the_label_but_for_ties(a, b):
    total = relative_depth_label(a, b) + relative_depth_label(b, a)
    assert total == (2 if a == b else 1)


def test_label_needs_finite_heights():
    with pytest.raises(ValueError, match='finite'):
        relative_depth_label(math.nan, 1)


@pytest.mark.parametrize(
    ('a', 'b', 'gap'), [(10, 10, 0), (10, 5, 0.5), (5, 10, 0.5), (1, 4, 0.75), (30, 27, 0.1)]
)
def test_scale_gap_by_hand(a, b, gap):
    assert scale_gap(a, b) == pytest.approx(gap)


@given(SCALE, SCALE, st.floats(1e-2, 1e2))
def test_scale_gap_is_symmetric_bounded_and_without_unit(a, b, zoom):
    gap = scale_gap(a, b)
    assert 0 <= gap < 1 and gap == scale_gap(b, a)
    assert scale_gap(a * zoom, b * zoom) == pytest.approx(gap, abs=1e-9)
    assert (gap == 0) == (a == b)


@pytest.mark.parametrize('bad', [0, -1, math.nan, math.inf])
def test_scale_gap_needs_a_size(bad):
    with pytest.raises(ValueError, match='positive'):
        scale_gap(bad, 1)


@pytest.mark.parametrize(('heights', 'gap', 'count'), [
    ([], 0, 0), ([5], 0, 0), ([5, 5], 0, 0), ([5, 6], 0, 1), ([5, 5, 6], 0, 2),
    ([1, 2, 3, 4], 0, 6),
    ([1, 2, 3, 4], 2, 3), ([1, 3], 2, 1), ([1, 3], 2.5, 0),
])  # fmt: skip
def test_valid_pairs_by_hand(heights, gap, count):
    assert valid_pairs(np.array(heights, dtype=float), gap).sum() == 2 * count


# An upright person in px: head 24 long, nose 22 over the shoulders' middle, trunk 50, box 175.
PLACES = {
    'head_top': (50, 10), 'upper_neck': (50, 34), 'nose': (50, 23), 'left_ear': (53, 21),
    'right_ear': (47, 21),
    'left_shoulder': (60, 45), 'right_shoulder': (40, 45), 'left_hip': (57, 95),
    'right_hip': (43, 95),
}  # fmt: skip
FACTORS = dict(face=1.0, torso=0.5, bbox=0.1)


def lengths_of(joint_set, labelled, height=175.0):
    """Lengths of one person who has these joints."""
    concepts = get_joint_set(joint_set).concepts
    keypoints = np.array([PLACES.get(c, (50, 50)) for c in concepts], dtype=float)
    visible = np.array([c in labelled for c in concepts], dtype=float)
    return scale_lengths(keypoints[None], visible[None], np.array([height]), joint_set)


def only(lengths):
    return {k: float(v[0]) for k, v in lengths.items() if np.isfinite(v[0])}


@pytest.mark.parametrize('joint_set', ['mpii16', 'crowdpose14', 'posetrack18'])
def test_head_is_eq_13_by_joint_meaning(joint_set):
    assert only(lengths_of(joint_set, {'head_top', 'upper_neck'})) == {'head': 24, 'bbox': 175}


def test_face_takes_the_nose_then_the_ears():
    shoulders = {'left_shoulder', 'right_shoulder'}
    assert only(lengths_of('coco17', shoulders | {'nose', 'left_ear'})) == {'face': 22, 'bbox': 175}
    ears = only(lengths_of('coco17', shoulders | {'left_ear', 'right_ear'}))
    assert ears == {'face': 24, 'bbox': 175}
    one = only(lengths_of('coco17', shoulders | {'left_ear'}))
    assert one['face'] == pytest.approx(np.hypot(3, 24))
    assert only(lengths_of('coco17', {'left_shoulder', 'nose'})) == {'bbox': 175}


@pytest.mark.parametrize('joint_set', ['coco17', 'mpii16', 'crowdpose14', 'posetrack18'])
def test_torso_is_between_the_midpoints_in_every_set(joint_set):
    trunk = {'left_shoulder', 'right_shoulder', 'left_hip', 'right_hip'}
    assert only(lengths_of(joint_set, trunk)) == {'torso': 50, 'bbox': 175}
    assert only(lengths_of(joint_set, trunk - {'left_hip'})) == {'bbox': 175}


def test_unlabelled_joints_may_hold_anything():
    keypoints = np.full((1, 17, 2), np.nan)
    got = scale_lengths(keypoints, np.zeros((1, 17)), np.array([80.0]), 'coco17')
    assert only(got) == {'bbox': 80}


def test_joints_on_one_spot_measure_nothing():
    keypoints = np.full((1, 16, 2), 7.0)
    got = scale_lengths(keypoints, np.ones((1, 16)), np.array([0.0]), 'mpii16')
    assert only(got) == {}
    scale, source = person_scale(got, FACTORS)
    assert np.isnan(scale[0]) and source[0] == ''


def test_best_source_wins_and_is_named():
    nan = np.nan
    lengths = {
        'head': np.array([30.0, nan, nan, nan]),
        'face': np.array([28.0, 28.0, nan, nan]),
        'torso': np.array([60.0, 60.0, 60.0, nan]),
        'bbox': np.full(4, 250.0),
    }
    scale, source = person_scale(lengths, FACTORS)
    np.testing.assert_allclose(scale, [30, 28, 30, 25])
    assert source.tolist() == ['head', 'face', 'torso', 'bbox'] == list(SCALE_SOURCES)


def test_calibration_is_the_median_over_those_who_have_both():
    nan = np.nan
    head = np.array([24.0] * 19 + [2400.0, 24.0, nan])
    lengths = {'head': head, 'face': np.full(22, 20.0), 'torso': np.full(22, 48.0)}
    lengths['bbox'] = np.array([nan] * 20 + [100.0, 100.0])
    factors = calibrate(lengths, min_persons=20)
    assert factors['face'] == pytest.approx(1.2) and factors['torso'] == pytest.approx(0.5)
    assert factors['bbox'] == DEFAULT_FACTORS['bbox']  # one person has both
    assert factors['persons'] == {'face': 21, 'torso': 21, 'bbox': 0}


def test_calibration_on_nobody_gives_the_constants():
    factors = calibrate({name: np.zeros(0) for name in SCALE_SOURCES}, min_persons=0)
    assert {name: factors[name] for name in DEFAULT_FACTORS} == DEFAULT_FACTORS


@given(st.floats(0.1, 50), st.sampled_from(['mpii16', 'coco17', 'posetrack18']))
def test_scale_grows_with_the_image(zoom, joint_set):
    rng = np.random.default_rng(0)
    count = len(get_joint_set(joint_set))
    keypoints, visible = rng.uniform(0, 500, (8, count, 2)), rng.integers(0, 2, (8, count))
    height = rng.uniform(50, 500, 8)
    small, first = person_scale(scale_lengths(keypoints, visible, height, joint_set), FACTORS)
    moved = keypoints * zoom + [100, -30]
    large, second = person_scale(scale_lengths(moved, visible, height * zoom, joint_set), FACTORS)
    assert first.tolist() == second.tolist()
    np.testing.assert_allclose(large, small * zoom)
