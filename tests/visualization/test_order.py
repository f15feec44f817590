# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest

from wsp_mm.visualization.order import MOST, draw_order, read_order
from wsp_mm.visualization.overlay import person_color

CANVAS = np.zeros((480, 640, 3), np.uint8)


@pytest.fixture
def ordered(person, record):
    """Persons 4, 2, 9 in the record; 9 is in front, then 4, then 2."""
    persons = [person(4, x=-700), person(2), person(9, x=700)]
    matrix = [[0.5, 0.8, 0.1], [0.2, 0.5, 0.3], [0.9, 0.7, 0.5]]
    return record(*persons, order=dict(ids=[9, 4, 2], probability=matrix))


def test_rows_and_columns_follow_the_ranks(ordered):
    ids, matrix = read_order(ordered)
    assert ids == [9, 4, 2]
    np.testing.assert_array_equal(
        matrix, [[np.nan, 0.9, 0.7], [0.1, np.nan, 0.8], [0.3, 0.2, np.nan]]
    )


def test_the_picture_keeps_its_place_and_has_a_table_below(ordered):
    drawn = draw_order(CANVAS, ordered)
    assert drawn.shape == (480 + 26 * 5, 640, 3)
    changed = drawn[:480].any(axis=2)
    x, y, _, h = ordered['persons'][0]['bbox']
    rows, columns = np.nonzero(np.abs(drawn[:480].astype(int) - person_color(4)).max(axis=2) < 5)
    assert rows.max() == pytest.approx(min(y + h, 479), abs=2) and columns.min() == pytest.approx(
        x, abs=2
    )
    assert not changed[:, 240:260].any()  # between the boxes of 4 and 2
    # heads of the table's columns: front to back
    for i, identity in enumerate((9, 4, 2)):
        assert drawn[480 + 26 + 3, 46 * (i + 1) + 3].tolist() == list(person_color(identity))
        assert drawn[480 + 26 * (i + 2) + 3, 3].tolist() == list(person_color(identity))
    # "9 before 4" is surer than "9 before 2", and green; "2 before 4" is red
    cells = drawn[480 + 26 * 2 + 3, [46 * 2 + 3, 46 * 3 + 3]].astype(int)
    assert cells[0, 1] - cells[0, 2] > cells[1, 1] - cells[1, 2] > 0
    last = drawn[480 + 26 * 4 + 3, 46 * 2 + 3].astype(int)
    assert last[2] > last[1]


def test_one_person_nobody_and_no_order(person, record):
    alone = record(person(1), order=dict(ids=[1], probability=[[0.5]]))
    nobody = record(order=dict(ids=[], probability=[]))
    for frame in (alone, nobody, record(person(1))):
        assert draw_order(CANVAS, frame).shape == (480 + 26, 640, 3)
    assert read_order(record(person(1))) is None
    assert draw_order(CANVAS, alone)[:480].any() and not draw_order(CANVAS, nobody)[:480].any()
    assert draw_order(np.zeros((20, 30, 3), np.uint8), alone).shape[1] > 30


def test_a_crowd_has_a_table_of_those_in_front(person, record):
    n = MOST + 5
    frame = record(
        *(person(i) for i in range(n)),
        order=dict(ids=list(range(n)), probability=np.full((n, n), 0.5).tolist()),
    )
    assert draw_order(CANVAS, frame).shape[0] == 480 + 26 * (MOST + 2)


def test_orders_that_do_not_fit(ordered):
    ordered['order']['ids'] = [9, 4, 5]
    with pytest.raises(
        ValueError, match=r'order\.ids are \[9, 4, 5\], but the persons are \[4, 2, 9\]'
    ):
        draw_order(CANVAS, ordered)
    ordered['order'] = dict(ids=[9, 4, 2], probability=[[0.5, 0.5, 0.5]])
    with pytest.raises(ValueError, match='must be 3 x 3'):
        draw_order(CANVAS, ordered)
