# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import cv2
import numpy as np
import pytest

from wsp_mm.visualization.pose3d_sheet import (
    SIDE_COLORS,
    PoseCase,
    cases_from_dump,
    crop_with_joints,
    links,
    pose3d_sheet,
)


def make_case(seed=0, k=18, **changes):
    rng = np.random.default_rng(seed)
    gt = rng.normal(0, 300, (k, 3)) + np.array([0, 0, 4000])
    values = dict(
        picture=np.zeros((200, 300, 3), np.uint8),
        box=np.array([100.0, 50, 150, 150]),
        pixels=rng.uniform([100, 50], [150, 150], (k, 2)),
        pred=gt + 50,
        gt=gt,
        title='a title',
    )
    return PoseCase(**{**values, **changes})


@pytest.mark.parametrize(('joint_set', 'k'), [('h36m18', 18), ('muco21', 21)])
def test_a_sheet_is_a_picture_with_something_in_every_panel(joint_set, k):
    cases = [make_case(seed, k=k, joint_set=joint_set) for seed in range(3)]
    sheet = cv2.imdecode(np.frombuffer(pose3d_sheet(cases), np.uint8), cv2.IMREAD_COLOR)
    h, w = sheet.shape[:2]
    orange = np.abs(sheet.astype(int) - 255 * np.array(SIDE_COLORS['right'][::-1])).max(axis=2) < 30
    for i in range(4):
        row, column = i // 2, i % 2
        tile = orange[row * h // 2 : (row + 1) * h // 2, column * w // 2 : (column + 1) * w // 2]
        panels = [
            tile[:, j * tile.shape[1] // 3 : (j + 1) * tile.shape[1] // 3].sum() for j in range(3)
        ]
        assert all(count > 20 for count in panels) if i < 3 else not any(panels)


def test_joints_land_where_they_are():
    case = make_case()
    case.pixels[:] = case.box.reshape(2, 2).mean(0)  # all in the middle of the box
    tile = crop_with_joints(case, size=100)
    seen = np.argwhere(tile.any(axis=2))
    assert np.abs(seen - 50).max() <= 4
    case.pixels[:, 0] += 14 * (1 + 2 * 0.2)  # 14 of 100 px in the tile for a box of 100 px
    assert (
        np.abs(np.argwhere(crop_with_joints(case, size=100).any(axis=2)).mean(0) - [50, 64]).max()
        < 1.5
    )


def test_sides_have_their_colours():
    colors = {(a, b): color for a, b, color in links('h36m18')}
    assert colors[1, 2] == SIDE_COLORS['right'] and colors[11, 12] == SIDE_COLORS['left']
    assert colors[0, 7] == SIDE_COLORS['middle'] and colors[8, 14] == SIDE_COLORS['right']


def test_wrong_input():
    with pytest.raises(ValueError, match='at least one person'):
        pose3d_sheet([])
    with pytest.raises(
        ValueError, match=r'pred of a title must be \(18, 3\) for h36m18, got \(17, 3\)'
    ):
        make_case(pred=np.zeros((17, 3)))


def test_cases_are_spread_over_the_test_and_say_their_error(tmp_path, pose_dump):
    cases = cases_from_dump(pose_dump(), 3)
    assert [case.title for case in cases] == [
        'S9 Walking, 40 mm',
        'S9 Walking, 20 mm',
        'S9 Walking, 0 mm',
    ]
    assert cases[0].picture.shape == (60, 80, 3) and cases[0].pixels.shape == (18, 2)
    assert len(cases_from_dump(tmp_path / 'dump.npz', 9)) == 5
    with pytest.raises(FileNotFoundError, match=r'gone\.jpg cannot be read'):
        cases_from_dump(pose_dump(img_path='gone.jpg'), 1)
    with pytest.raises(ValueError, match='keypoints_cam'):
        cases_from_dump(pose_dump(pred_instances={}), 1)
