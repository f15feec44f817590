# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsp_mm.structures.person_scale import (
    DEFAULT_FACTORS,
    SCALE_SOURCES,
    ScaleFactors,
    calibrate,
    person_scale,
    scale_lengths,
)
from wsp_mm.structures.skeletons import get_joint_set

# An upright person in px: head 24 long, nose 22 over the shoulders' middle, trunk 50, box 175.
PLACES = {
    'head_top': (50, 10), 'upper_neck': (50, 34), 'nose': (50, 23), 'left_ear': (53, 21), 'right_ear': (47, 21),
    'left_shoulder': (60, 45), 'right_shoulder': (40, 45), 'left_hip': (57, 95), 'right_hip': (43, 95),
}  # fmt: skip
FACTORS = ScaleFactors(face=1.0, torso=0.5, bbox=0.1, persons={'face': 0, 'torso': 0, 'bbox': 0})


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
    assert only(lengths_of('coco17', shoulders | {'left_ear', 'right_ear'})) == {'face': 24, 'bbox': 175}
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
        'bbox': np.array([250.0, 250.0, 250.0, 250.0]),
    }
    scale, source = person_scale(lengths, FACTORS)
    np.testing.assert_allclose(scale, [30, 28, 30, 25])
    assert source.tolist() == ['head', 'face', 'torso', 'bbox'] == list(SCALE_SOURCES)


def test_calibration_is_the_median_over_those_who_have_both():
    nan = np.nan
    head = np.array([24.0] * 19 + [2400.0, 24.0, nan])
    lengths = {
        'head': head,
        'face': np.full(22, 20.0),
        'torso': np.array([48.0] * 22),
        'bbox': np.array([nan] * 20 + [100.0, 100.0]),
    }
    factors = calibrate(lengths, min_persons=20)
    assert factors.face == pytest.approx(1.2) and factors.torso == pytest.approx(0.5)
    assert factors.bbox == DEFAULT_FACTORS['bbox']  # one person has both
    assert factors.persons == {'face': 21, 'torso': 21, 'bbox': 0}
    assert factors.to_dict()['persons']['face'] == 21


def test_calibration_on_nobody_gives_the_constants():
    factors = calibrate({name: np.zeros(0) for name in SCALE_SOURCES}, min_persons=0)
    assert {name: getattr(factors, name) for name in DEFAULT_FACTORS} == DEFAULT_FACTORS


@given(st.floats(0.1, 50), st.sampled_from(['mpii16', 'coco17', 'posetrack18']))
def test_scale_grows_with_the_picture(zoom, joint_set):
    rng = np.random.default_rng(0)
    count = len(get_joint_set(joint_set))
    keypoints, visible = rng.uniform(0, 500, (8, count, 2)), rng.integers(0, 2, (8, count))
    height = rng.uniform(50, 500, 8)
    small, first = person_scale(scale_lengths(keypoints, visible, height, joint_set), FACTORS)
    moved = keypoints * zoom + [100, -30]
    large, second = person_scale(scale_lengths(moved, visible, height * zoom, joint_set), FACTORS)
    assert first.tolist() == second.tolist()
    np.testing.assert_allclose(large, small * zoom)
