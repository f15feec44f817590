# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsp_mm.structures.bbox import crop_box, crop_boxes, joints_boxes, k_value, to_corners, to_sides
from wsp_mm.structures.camera import PinholeCamera


def test_another_aspect():
    out = crop_box(np.array([10, 10, 21, 21]), (100, 100), aspect=0.75, padding=1.0)
    np.testing.assert_allclose(out, [10, 20 - 20 / 0.75 / 2, 20, 20 / 0.75])


@pytest.mark.parametrize(
    'box',
    [
        (10, 10, 0, 20),
        (10, 10, 20, -1),
        (120, 10, 20, 20),
        (10, 95, 5, 5),
        (10, 10, 1, 1),
        (np.nan, 0, 5, 5),
    ],
)
def test_nothing_to_crop(box):
    assert crop_box(np.array(box), (100, 90)) is None
    several = crop_boxes(np.array([box, (0, 0, 5, 5)]), np.array([100, 90]))
    assert np.isnan(several).any(axis=1).tolist() == [True, False]


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
    back = to_sides(to_corners(np.array([x, y, w, h])))
    np.testing.assert_allclose(back, [x, y, w, h], atol=1e-9)


def test_k_value_by_hand():
    # 2 m seen with f = 1000 px in a box of 400 px: 1000 * 2000 / 400
    assert k_value(np.array([10, 20, 400, 400]), np.array([1000, 1000])) == pytest.approx(5000)
    # sides 100 and 400, focal lengths 900 and 1600: sqrt(900 * 1600 * 4e6 / 40000)
    boxes = np.array([[0, 0, 100, 400], [-50, 3, 200, 200]])
    np.testing.assert_allclose(k_value(boxes, np.array([[900, 1600], [500, 500]])), [12000, 5000])
    np.testing.assert_allclose(k_value(boxes, np.array([900, 1600]), area_mm2=1e6), [6000, 6000])
    unknown = np.array([[np.nan] * 4, [0, 0, 400, 400]])
    np.testing.assert_allclose(k_value(unknown, np.array([1000, 1000])), [np.nan, 5000])


FOCAL = st.floats(100, 5000)


@given(depth=st.floats(500, 2e4), fx=FOCAL, fy=FOCAL, side=st.floats(500, 4000))
def test_k_value_of_an_upright_square_is_its_depth(depth, fx, fy, side):
    """Projecting a square that faces the camera and asking for its depth gives its depth."""
    corners = np.array([[-side / 2, -side / 2, depth], [side / 2, side / 2, depth]])
    camera = PinholeCamera(f=np.array([fx, fy]), c=np.array([300.0, 200.0]))
    low, high = camera.project(corners)[:, :2]
    box = np.concatenate([low, high - low])
    assert k_value(box, np.array([fx, fy]), side**2) == pytest.approx(depth, rel=1e-6)


@pytest.mark.parametrize(
    ('boxes', 'f', 'said'),
    [
        ([[0, 0, 0, 10]], [1, 1], 'no area'),
        ([[0, 0, 10, -10]], [1, 1], 'no area'),
        ([[0, 0, 10, 10]], [0, 1], 'must be positive'),
        ([[0, 0, 10, 10]], [np.nan, 1], 'must be positive'),
        ([[0, 0, 10]], [1, 1], 'takes boxes'),
        ([[0, 0, 10, 10]], [[1, 1], [1, 1]], 'takes boxes'),
    ],
)
def test_k_value_refuses(boxes, f, said):
    with pytest.raises(ValueError, match=said):
        k_value(np.array(boxes, dtype=float), np.array(f, dtype=float))
    with pytest.raises(ValueError, match='area_mm2'):
        k_value(np.array([0, 0, 1, 1]), np.array([1, 1]), 0)
