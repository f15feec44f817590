# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest

from wsp_mm.datasets.plausibility import beyond, body_size, box_depth, camera_poses, root_depth

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


@pytest.mark.parametrize(
    'factor, said', [(1e-3, '(metres?)'), (0.1, '(centimetres?)'), (10, '(another unit?)')]
)
def test_other_units(body, factor, said):
    verdict = body_size(np.stack([body, body * factor]), SET)
    assert verdict.bad.tolist() == [False, True] and verdict.share > 0
    assert verdict.what(1).endswith(said)


@pytest.mark.parametrize(
    'depth, said',
    [
        (0, 'root-relative?'), (0.05, 'root-relative?'), (-0.05, 'root-relative?'), (3, 'metres?'),
        (150, 'centimetres?'), (3e5, 'another unit?'), (250, ''), (60000, ''), (-3000, ''),
    ],
)  # fmt: skip
def test_depths(depth, said):
    verdict = root_depth(np.array([3000, depth]))
    assert verdict.bad.tolist() == [False, bool(said)]
    assert not said or said in verdict.what(1)


def test_poses_in_the_cameras_frame(body):
    near, small = body - (0, 0, 900), body * 1e-3 + (0, 0, 3000)
    verdict = camera_poses(np.stack([body, small, near, near * 1e-3]), SET)
    assert verdict.bad.tolist() == [False, True, True, True]
    assert 'limb' in verdict.what(1) and all('root-relative?' in verdict.what(i) for i in (2, 3))


def test_depths_of_boxes():
    """f = 1000 px, an image of 1000 px; standing, sitting, half out of the image."""
    boxes = np.array([[300, 0, 500, 500], [100, 300, 250, 250], [700, 500, 300, 300.0]])
    depths = np.array([4000.0, 4000, 3000])
    assert not box_depth(boxes, depths).bad.any()
    for factor, said in ((0.1, 'centimetres?'), (1e-3, 'metres?')):
        verdict = box_depth(boxes, depths * factor)
        assert verdict.bad.all() and said in verdict.what(0)
    assert not box_depth(np.zeros((0, 4)), np.zeros(0)).bad.any()


def test_values_beyond_a_kilometre():
    values = np.zeros((5, 17, 3))
    values[1, 3, 0], values[2, 1, 1], values[3, 0, 0], values[4, 0, 0] = -2e6, np.inf, np.nan, 1e5
    verdict = beyond(values)
    assert verdict.bad.tolist() == [False, True, True, False, False] and verdict.share == 0
    assert '2e+06' in verdict.what(1)
    assert beyond(np.zeros((0, 17, 3))).bad.shape == (0,)
