# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest

from wsp_mm.datasets.plausibility import (
    body_size,
    box_depth,
    camera_poses,
    camera_view,
    corner_boxes,
    normalized_boxes,
)

SET = 'h36m17'
SIZE = np.array([640, 480])


@pytest.fixture
def body(h36m):
    """An adult, standing."""
    return h36m.BODY


@pytest.mark.parametrize('factor', [0.25, 0.5, 1.0, 1.4])
def test_infants_to_giants_are_good(body, factor):
    poses = np.stack([body, body[:, [2, 0, 1]] * (-1, 1, 1), body * np.nan, body]) * factor
    poses[3, 1:] = np.nan
    assert not body_size(poses, SET).bad.any()  # standing, lying, unknown, the root alone
    poses[3] = 5.0
    assert not body_size(poses, SET).bad.any()  # all in one point


def test_poses_in_the_cameras_frame(body):
    near, small = body - (0, 0, 900), body * 1e-3 + (0, 0, 3000)
    verdict = camera_poses(np.stack([body, small, near, body * 10]), SET)
    assert verdict.bad.tolist() == [False, True, True, True] and verdict.share > 0
    for i, said in ((1, '(metres?)'), (2, '(root-relative?)'), (3, '(another unit?)')):
        assert verdict.what(i).endswith(said)


def test_depths_of_boxes():
    """f = 1000 px, an image of 1000 px; standing, sitting, half out of the image."""
    boxes = np.array([[300, 0, 500, 500], [100, 300, 250, 250], [700, 500, 300, 300.0]])
    depths = np.array([4000.0, 4000, 3000])
    assert not box_depth(boxes, depths).bad.any()
    for factor, said in ((0.1, 'centimetres?'), (1e-3, 'metres?')):
        verdict = box_depth(boxes, depths * factor)
        assert verdict.bad.all() and said in verdict.what(0)
    assert not box_depth(np.zeros((0, 4)), np.zeros(0)).bad.any()


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


@pytest.mark.parametrize(('f', 'c', 'size'), [
    ((1145, 1143), (512, 515), (1000, 1002)),  # Human3.6M
    ((1500, 1500), (1024, 1024), (2048, 2048)),
    ((600, 600), (0, 400), (1280, 720)),  # cut out of a larger image
    ((500, 500), (959, 539), (1920, 1080)),  # wide: 125 degrees
    ((10000, 10000), (959, 539), (1920, 1080)),  # long lens: 11 degrees
    ((30, 30), (-0.5, 9.5), (10, 10)),
])  # fmt: skip
def test_cameras_of_images(f, c, size):
    assert camera_view([f], [c], [size]).bad.tolist() == [False]


@pytest.mark.parametrize(('f', 'c', 'size', 'hint'), [
    ((26, 26), (959, 539), (1920, 1080), 'mm'),
    ((1500, 26), (959, 539), (1920, 1080), 'mm'),
    ((0.8, 1.4), (959, 539), (1920, 1080), 'divided by the image size'),
    ((90000, 90000), (959, 539), (1920, 1080), 'larger image'),
    ((1500, 1500), (959, 539), (640, 480), '959.*640 x 480.*another image size'),
    ((1500, 1500), (-30, 539), (1920, 1080), 'outside'),
    ((1500, 1500), (0.5, 0.5), (1920, 1080), 'divided by the image size'),
    ((1500, 1500), (0, 0), (1920, 1080), 'relative to its centre'),
])  # fmt: skip
def test_cameras_of_other_images(f, c, size, hint):
    verdict = camera_view([(1500, 1500), f], [(319, 239), c], [(640, 480), size])
    assert verdict.bad.tolist() == [False, True]
    with pytest.raises(ValueError, match=hint):
        raise ValueError(verdict.what(1))
