# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest

from wsp_mm.datasets.plausibility import corner_boxes, normalized_boxes

SIZE = np.array([640, 480])


def persons(count=200, seed=0):
    """Boxes of standing persons in images of 640 x 480 px."""
    rng = np.random.default_rng(seed)
    height = rng.uniform(60, 400, count)
    extent = np.column_stack([height * rng.uniform(0.25, 0.6, count), height])
    return np.hstack([rng.uniform(0, 1, (count, 2)) * (SIZE - extent), extent])


def corners(boxes):
    return np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])


def sizes(boxes):
    return np.tile(SIZE, (len(boxes), 1))


@pytest.mark.parametrize('count', [3, 40, 200])
def test_corners_are_told_from_extents(count):
    boxes = corners(persons(count))
    verdict = corner_boxes(boxes, sizes(boxes))
    worst = int(np.argmax(np.where(verdict.bad, verdict.badness, 0)))
    assert verdict.bad.mean() > 0.5 and verdict.share == 0
    assert 'x1, y1, x2, y2' in verdict.what(worst)
    boxes[0, 2:] = boxes[0, :2]  # one without area among many does not hide the others
    assert corner_boxes(boxes, sizes(boxes)).bad.any() == (count >= 20)


def test_good_boxes_are_never_corners():
    whole = persons()
    close_up = np.array([[40.0, 30, 560, 440]] * 20)
    truncated = np.array([[250.0, 100, 420, 390]] * 20)  # farther than the image to both sides
    at_the_edge = whole + np.array([400, 0, 0, 0])
    for boxes in (whole, close_up, truncated, at_the_edge, whole[:0]):
        assert not corner_boxes(boxes, sizes(boxes)).bad.any()
    one = np.concatenate([whole, corners(whole)[whole[:, 0].argmax()][None]])
    assert not corner_boxes(one, sizes(one)).bad.any()


def test_normalised_boxes():
    boxes = persons()
    assert normalized_boxes(boxes / np.tile(SIZE, 2)).bad.all()
    good = np.array([[0, 0, 1.5, 1], [0, 0, 0, 0], [0.2, 0.3, 0.5, 8]])
    assert not normalized_boxes(np.vstack([boxes, good])).bad.any()
