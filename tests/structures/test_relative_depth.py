# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsp_mm.structures.relative_depth import ground_y, relative_depth_label, scale_gap
from wsp_mm.structures.skeletons import get_joint_set

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
    (100, 120, 120, 110), (120, 100, 120, 110), (100, None, 100, 100), (None, 90, 90, 90), (-3, -8, -3, -5.5),
])  # fmt: skip
def test_ground_y_by_hand(left, right, lowest, mean):
    keypoints, visible = person(left, right)
    assert ground_y(keypoints, visible, ANKLES) == lowest
    assert ground_y(keypoints, visible, ANKLES, 'mean') == mean


def test_ground_y_without_ankles_is_nan():
    assert math.isnan(ground_y(*person(), ANKLES))


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


@pytest.mark.parametrize(('a', 'b', 'label'), [(200, 100, 1), (100, 200, 0), (100, 100, 1), (-1, -2, 1)])
def test_the_lower_one_is_nearer(a, b, label):
    assert relative_depth_label(a, b) == label


@given(HEIGHT, HEIGHT)
def test_swapping_flips_the_label_but_for_ties(a, b):
    total = relative_depth_label(a, b) + relative_depth_label(b, a)
    assert total == (2 if a == b else 1)


@given(HEIGHT, HEIGHT, st.floats(-1e3, 1e3))
def test_moving_the_picture_keeps_the_label(a, b, shift):
    if abs(a - b) > 1e-6:
        assert relative_depth_label(a, b) == relative_depth_label(a + shift, b + shift)


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
