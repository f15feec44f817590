# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsp_mm.structures.person_box import crop_box, crop_boxes, joints_boxes, to_corners, to_sides


def test_a_box_inside_the_picture_by_hand():
    # x 10..29 (w 20 is 19 px from first to last), y 5..44: sides 19 and 39, centre (19.5, 24.5)
    out = crop_box(np.array([10, 5, 20, 40]), (100, 90))
    np.testing.assert_allclose(out, [19.5 - 24.375, 24.5 - 24.375, 48.75, 48.75])


def test_clipping_by_hand():
    # Left of the picture: moved in and kept as wide. Below it: clipped at the last row.
    out = crop_box(np.array([-8, 60, 21, 50]), (100, 90))
    centre, side = np.array([10.0, (60 + 89) / 2]), 29 * 1.25
    np.testing.assert_allclose(out, [*(centre - side / 2), side, side])


def test_another_aspect():
    out = crop_box(np.array([10, 10, 21, 21]), (100, 100), aspect=0.75, padding=1.0)
    np.testing.assert_allclose(out, [10, 20 - 20 / 0.75 / 2, 20, 20 / 0.75])


@pytest.mark.parametrize(
    'box',
    [(10, 10, 0, 20), (10, 10, 20, -1), (120, 10, 20, 20), (10, 95, 5, 5), (10, 10, 1, 1), (np.nan, 0, 5, 5)],
)
def test_nothing_to_crop(box):
    assert crop_box(np.array(box), (100, 90)) is None
    assert np.isnan(crop_boxes(np.array([box, (0, 0, 5, 5)]), np.array([100, 90]))).any(axis=1).tolist() == [
        True,
        False,
    ]


numbers = st.floats(-50, 150)


@given(numbers, numbers, st.floats(2, 150), st.floats(2, 150))
def test_always_square_and_about_the_clipped_box(x, y, w, h):
    out = crop_box(np.array([x, y, w, h]), (100, 80))
    x1, y1 = max(0, x), max(0, y)
    x2, y2 = min(99, x1 + w - 1), min(79, y1 + h - 1)
    if x2 < x1 or y2 < y1:
        assert out is None
        return
    assert out[2] == pytest.approx(out[3]) and out[2] == pytest.approx(1.25 * max(x2 - x1, y2 - y1))
    np.testing.assert_allclose(out[:2] + out[2:] / 2, [(x1 + x2) / 2, (y1 + y2) / 2], atol=1e-9)


def test_joints_box_by_hand():
    # extent 10..31 x 20..61: sides 20 and 40, x 1.2 = 24 and 48, about the extent's middle
    points = np.array([[[10.0, 61.0], [31.0, 20.0], [15.0, 30.0]]])
    np.testing.assert_allclose(joints_boxes(points), [[20.5 - 12, 40.5 - 24, 24, 48]])


@given(numbers, numbers, numbers, numbers)
def test_corners_and_sides(x, y, w, h):
    np.testing.assert_allclose(to_sides(to_corners(np.array([x, y, w, h]))), [x, y, w, h], atol=1e-9)
