# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest

from wsp_mm.datasets.plausibility import body_size, box_depth, camera_poses

SET = 'h36m17'


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
