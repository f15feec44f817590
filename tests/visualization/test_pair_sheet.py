# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest

from wsp_mm.visualization.pair_sheet import RIGHT, WRONG, contact_sheet, draw_pair, fit_tile, spread

BOXES = np.array([[10.0, 10, 40, 90], [60, 20, 90, 80]])


@pytest.mark.parametrize(
    ('prob', 'label', 'color'),
    [(0.9, 1, RIGHT), (0.1, 0, RIGHT), (0.9, 0, WRONG), (0.9, None, (120, 120, 120))],
)
def test_frame_tells_right_from_wrong(prob, label, color):
    picture = np.full((100, 100, 3), 200, np.uint8)
    keypoints = np.full((2, 16, 2), 50.0)
    tile = draw_pair(picture, BOXES, keypoints, np.zeros((2, 16), bool), prob, label, size=120)
    assert tile.shape == (120, 120, 3)
    assert tuple(tile[60, 2].tolist()) == color
    assert (picture == 200).all(), 'the picture itself must not be drawn on'


def test_joints_are_drawn_where_they_are():
    picture = np.zeros((100, 100, 3), np.uint8)
    keypoints = np.zeros((2, 16, 2))
    keypoints[0, 3] = (50, 50)  # centre of the pair's square
    visible = np.zeros((2, 16), bool)
    without = draw_pair(picture, BOXES, keypoints, visible, 0.9, 1, size=120)
    visible[0, 3] = True
    drawn = np.argwhere(
        (draw_pair(picture, BOXES, keypoints, visible, 0.9, 1, size=120) != without).any(axis=2)
    )
    assert np.abs(drawn.mean(axis=0) - 60).max() < 1.5 and len(drawn) < 60


def test_sheet_and_tiles():
    tile = fit_tile(np.full((50, 100, 3), 255, np.uint8), 80, 60)
    assert tile.shape == (60, 80, 3)
    assert (tile[:10] == 40).all() and (tile[30, 5:75] == 255).all()
    assert contact_sheet([tile] * 5, columns=3).shape == (2 * 64 + 4, 3 * 84 + 4, 3)
    with pytest.raises(ValueError, match='at least one'):
        contact_sheet([], columns=3)


def test_spread_takes_both_ends_and_never_twice():
    assert spread(list(range(100)), 3) == [0, 50, 99]
    assert spread([1, 2], 5) == [1, 2]
    assert spread([], 5) == []
