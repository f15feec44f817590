# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsp_mm.structures.camera import PinholeCamera
from wsp_mm.structures.root_depth import k_value


def test_by_hand():
    # 2 m seen with f = 1000 px in a box of 400 px: 1000 * 2000 / 400
    assert k_value(np.array([10, 20, 400, 400]), np.array([1000, 1000])) == pytest.approx(5000)
    # sides 100 and 400, focal lengths 900 and 1600: sqrt(900 * 1600 * 4e6 / 40000)
    boxes = np.array([[0, 0, 100, 400], [-50, 3, 200, 200]])
    np.testing.assert_allclose(k_value(boxes, np.array([[900, 1600], [500, 500]])), [12000, 5000])
    np.testing.assert_allclose(k_value(boxes, np.array([900, 1600]), area_mm2=1e6), [6000, 6000])


@given(depth=st.floats(500, 2e4), fx=st.floats(100, 5000), fy=st.floats(100, 5000), side=st.floats(500, 4000))
def test_an_upright_square_is_where_it_is(depth, fx, fy, side):
    """Projecting a square that faces the camera and asking for its depth gives its depth."""
    corners = np.array([[-side / 2, -side / 2, depth], [side / 2, side / 2, depth]])
    low, high = PinholeCamera(f=np.array([fx, fy]), c=np.array([300.0, 200.0])).project(corners)[:, :2]
    box = np.concatenate([low, high - low])
    assert k_value(box, np.array([fx, fy]), side**2) == pytest.approx(depth, rel=1e-6)


def test_a_box_that_is_nan_has_no_depth():
    found = k_value(np.array([[np.nan] * 4, [0, 0, 400, 400]]), np.array([1000, 1000]))
    assert np.isnan(found[0]) and found[1] == pytest.approx(5000)


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
def test_what_is_refused(boxes, f, said):
    with pytest.raises(ValueError, match=said):
        k_value(np.array(boxes, dtype=float), np.array(f, dtype=float))


def test_no_area():
    with pytest.raises(ValueError, match='area_mm2'):
        k_value(np.array([0, 0, 1, 1]), np.array([1, 1]), 0)
