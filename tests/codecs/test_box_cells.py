# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wsp_mm.codecs.box_cells import box_membership


def test_membership_by_hand():
    """8 cells of 4 px: centres 0, 4, ..., 28."""
    cases = {
        (4, 4, 12, 8): ([1, 2, 3], [1, 2]),  # edges belong to the box
        (4.1, 0, 11.9, 3): ([2], [0]),
        (5, 5, 7, 7): (
            [2],
            [2],
        ),  # between centres: the middle, 6, is a tie and rounds to the even cell
        (5, 5, 6, 25): ([1], [2, 3, 4, 5, 6]),  # thin in x only
        (9, 0, 9, 0): ([2], [0]),  # no extent at all
        (-50, 20, 3, 99): ([0], [5, 6, 7]),  # clipped
        (29, 29, 60, 60): ([7], [7]),  # reaches into the input beyond the last centre
        (33, 0, 60, 30): ([], []),  # outside
        (-9, 0, -1, 30): ([], []),
        (0, -9, 30, -1): ([], []),
        (math.nan, 0, 8, 8): ([], []),
        (0, 0, math.inf, 8): ([0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2]),
        (12, 12, 4, 4): ([], []),  # inverted
    }
    boxes = torch.tensor([list(box) for box in cases])[None].float()
    inside = box_membership(boxes, (32, 32), (8, 8))[0]
    for found, (box, (xs, ys)) in zip(inside, cases.items(), strict=True):
        expected = torch.zeros(8, 8, dtype=torch.bool)
        for y in ys:
            expected[y, xs] = True
        assert torch.equal(found, expected), box


@settings(deadline=None)
@given(
    st.lists(st.floats(-80, 120), min_size=4, max_size=4),
    st.sampled_from([(32, 8), (30, 7), (64, 64), (5, 9)]),
    st.sampled_from([(24, 6), (50, 3)]),
)
def test_every_box_that_meets_the_input_has_cells(corners, x_axis, y_axis):
    xs, ys = sorted(corners[:2]), sorted(corners[2:])
    box = torch.tensor([[[xs[0], ys[0], xs[1], ys[1]]]])
    inside = box_membership(box, (x_axis[0], y_axis[0]), (x_axis[1], y_axis[1]))[0, 0]
    x1, y1, x2, y2 = box[0, 0].tolist()
    meets = x2 >= 0 and x1 <= x_axis[0] and y2 >= 0 and y1 <= y_axis[0]
    assert bool(inside.any()) == meets
    rows, columns = inside.any(1), inside.any(0)
    assert torch.equal(inside, rows[:, None] & columns[None])  # a rectangle


def test_a_box_outside_gets_the_nearest_cell_where_asked_for():
    boxes = torch.tensor([[[33.0, 0, 60, 3], [-9, 12, -1, 12], [4, 4, 12, 8], [math.nan, 0, 8, 3]]])
    inside = box_membership(boxes, (32, 32), (8, 8), outside='nearest')[0]
    assert [cells.nonzero().tolist() for cells in inside[:2]] == [[[0, 7]], [[3, 0]]]
    assert torch.equal(inside[2], box_membership(boxes, (32, 32), (8, 8))[0, 2])
    assert inside[3].any()


def test_another_word_is_refused():
    with pytest.raises(ValueError, match="'nearest'"):
        box_membership(torch.zeros(1, 1, 4), (8, 8), (2, 2), outside='near')
