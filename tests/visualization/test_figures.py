# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import cv2
import numpy as np
import pytest

from wsp_mm.datasets.detections import BoxFile
from wsp_mm.visualization.draw import SIDE_COLORS
from wsp_mm.visualization.figures import (
    PoseCase,
    choose_images,
    crop_with_joints,
    encode_image,
    fit_image,
    image_grid,
    pose_cases,
    pose_grid,
    qualitative_figure,
    spread,
)


def test_grids_and_tiles():
    tile = fit_image(np.full((50, 100, 3), 255, np.uint8), 80, 60)
    assert tile.shape == (60, 80, 3)
    assert (tile[:10] == 40).all() and (tile[30, 5:75] == 255).all()
    assert image_grid([tile] * 5, columns=3).shape == (2 * 64 + 4, 3 * 84 + 4, 3)
    with pytest.raises(ValueError, match='at least one'):
        image_grid([], columns=3)
    for suffix in ('.png', '.JPG'):
        content = np.frombuffer(encode_image(tile, suffix), np.uint8)
        assert cv2.imdecode(content, cv2.IMREAD_COLOR).shape == tile.shape
    with pytest.raises(ValueError, match=r'\.gif'):
        encode_image(tile, '.gif')


def test_spread_takes_both_ends_and_never_twice():
    assert spread(list(range(100)), 3) == [0, 50, 99]
    assert spread([1, 2], 5) == [1, 2] and spread([], 5) == []


# ---------------------------------------------------------------------- poses beside the truth


def make_case(seed=0, k=18, **changes):
    rng = np.random.default_rng(seed)
    gt = rng.normal(0, 300, (k, 3)) + np.array([0, 0, 4000])
    values = dict(
        image=np.zeros((200, 300, 3), np.uint8),
        box=np.array([100.0, 50, 150, 150]),
        pixels=rng.uniform([100, 50], [150, 150], (k, 2)),
        pred=gt + 50,
        gt=gt,
        title='a title',
    )
    return PoseCase(**(values | changes))


@pytest.mark.parametrize(('joint_set', 'k'), [('h36m18', 18), ('muco21', 21)])
def test_every_panel_of_a_pose_grid_shows_something(joint_set, k, find):
    grid = pose_grid([make_case(seed, k=k, joint_set=joint_set) for seed in range(3)])
    h, w = grid.shape[0] // 2, grid.shape[1] // 2
    for i in range(4):
        row, column = i // 2, i % 2
        tile = grid[row * h : (row + 1) * h, column * w : (column + 1) * w]
        panels = np.array_split(tile, 3, axis=1)
        counts = [len(find(panel, SIDE_COLORS['right'])) for panel in panels]
        assert min(counts) > 20 if i < 3 else max(counts) == 0
    with pytest.raises(ValueError, match='at least one'):
        pose_grid([])


def test_joints_land_where_they_are():
    case = make_case()
    case.pixels[:] = case.box.reshape(2, 2).mean(0)  # all in the middle of the box
    tile = crop_with_joints(case, size=100)
    assert np.abs(np.argwhere(tile.any(axis=2)) - 50).max() <= 4
    case.pixels[:, 0] += 14 * (1 + 2 * 0.2)  # 14 of 100 px in the tile for a box of 100 px
    moved = np.argwhere(crop_with_joints(case, size=100).any(axis=2))
    assert np.abs(moved.mean(axis=0) - [50, 64]).max() < 1.5


def test_cases_are_spread_over_the_test_and_say_their_error(pose_dump):
    cases = pose_cases(pose_dump(), 3)
    assert [case.title for case in cases] == [f'S9 Walking, {error} mm' for error in (40, 20, 0)]
    assert cases[0].image.shape == (60, 80, 3) and cases[0].pixels.shape == (18, 2)
    assert len(pose_cases(pose_dump(), 9)) == 5
    with pytest.raises(FileNotFoundError, match=r'gone\.jpg'):
        pose_cases(pose_dump(img_path='gone.jpg'), 1)
    with pytest.raises(ValueError, match='keypoints_cam'):
        pose_cases(pose_dump(pred_instances={}), 1)


# ---------------------------------------------------------------------- Figure 3


@pytest.fixture
def persons():
    """Six images: image i has i persons, 60 px wide and 100 + 10 k px high."""
    all_of = np.array([[5.0, 5, 60, 100 + 10 * k] for k in range(5)])
    boxes = {i: all_of[:i] for i in range(6)}
    boxes[0] = np.array([[0.0, 0, 9, 9]])  # too small
    scores = {i: np.ones(len(found)) for i, found in boxes.items()}
    return BoxFile({i: f'val/{i}.jpg' for i in range(6)}, boxes, scores, extended=False)


def test_the_seed_chooses_the_largest_persons(persons):
    choices = choose_images(persons, count=99, seed=0, max_persons=2)
    assert [choice.image_id for choice in choices] == [1, 2, 3, 4, 5]
    assert choices[3].boxes[:, 3].tolist() == [130, 120] and choices[0].file_name == 'val/1.jpg'
    draws = [[c.image_id for c in choose_images(persons, 2, seed)] for seed in range(20)]
    assert draws[3] == [c.image_id for c in choose_images(persons, 2, 3)]
    assert all(len(draw) == 2 and draw == sorted(draw) for draw in draws)
    assert {image for draw in draws for image in draw} == {1, 2, 3, 4, 5}
    persons.scores[1][:] = 0.2
    assert len(choose_images(persons, count=99, seed=0)) == 4


def test_a_row_an_image(find):
    info, rng = dict(joint_set='muco21'), np.random.default_rng(0)

    def person(identity, x):
        points = rng.normal(0, 300, (21, 3)) + np.array((x, 0, 4000))
        return dict(
            id=identity, bbox=[200 + x / 10, 50, 100, 200], bbox_score=1.0, root_depth=4000.0,
            keypoints_img=points[:, :2] / points[:, 2:] * 500 + 250,
            keypoints_rel=points[:, 2] - 4000,
            keypoints_cam=points,
        )  # fmt: skip

    camera = dict(f=[500, 500], c=[250, 250], source='given')
    frame = dict(frame=0, file_name='d/$a_1$.jpg', width=500, height=500, camera=camera)
    two = frame | dict(persons=[person(i, x) for i, x in enumerate((-900, 900))])
    shapes = [np.zeros((500, 400, 3), np.uint8), np.zeros((50, 400, 3), np.uint8)]
    figure = qualitative_figure(zip(shapes, (two, frame | dict(persons=[])), strict=True), info)
    counts = [
        [len(find(panel, SIDE_COLORS['left'])) for panel in np.array_split(row, 3, axis=1)]
        for row in np.array_split(figure, 2)
    ]
    assert min(counts[0]) > 20 and max(counts[1]) == 0
    with pytest.raises(ValueError, match='at least one'):
        qualitative_figure([], info)
