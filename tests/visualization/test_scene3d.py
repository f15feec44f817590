# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsp_mm.visualization.overlay import person_color
from wsp_mm.visualization.placement import place_persons, read_skeleton
from wsp_mm.visualization.scene3d import View, draw_scene, grid_step, scene_views


def centre(picture, color, columns):
    """Mean (x, y) of the pixels of that colour in a range of columns."""
    match = np.abs(picture.astype(int) - color).max(axis=2) <= 10
    match[:, : columns[0]] = match[:, columns[1] :] = False
    rows, found = np.nonzero(match)
    return np.array([found.mean(), rows.mean()])


def test_a_nearer_person_is_lower_from_above_and_one_to_the_right_is_right(person, record, info):
    frame = record(person(0, x=-800, z=3000), person(1, x=500, z=6000))
    picture = draw_scene(frame, info, (960, 480))
    assert picture.shape == (480, 960, 3) and picture.dtype == np.uint8
    for columns in ((0, 480), (480, 960)):
        near, far = (centre(picture, person_color(k), columns) for k in (0, 1))
        assert near[1] > far[1] + 30  # also from the camera's side, which is raised
        assert near[0] < far[0] - 30


def test_true_distances_in_the_view_from_above(person, record, info):
    frame = record(person(0, x=-800, z=3000), person(1, x=700, z=6000))
    scene = place_persons(frame, read_skeleton(info))
    _, above = scene_views(scene, (960, 480))
    camera, near, far = above.project(np.array([[0, 0, 0], [-800.0, 0, 3000], [700, 0, 6000]]))
    # 3 m from the camera to the one, 3 m more to the other, 1.5 m to the right, all on one scale
    assert (
        camera[1] - near[1] == pytest.approx(near[1] - far[1]) == pytest.approx(3000 * above.scale)
    )
    assert far[0] - near[0] == pytest.approx(1500 * above.scale)
    assert camera[0] - near[0] == pytest.approx(800 * above.scale)
    x, y, w, h = above.rect
    for point in (camera, near, far):
        assert x <= point[0] <= x + w and y <= point[1] <= y + h + 1e-6


def test_without_a_camera_the_picture_says_so_and_has_no_camera(
    person, record, without_camera, info
):
    frame = record(person(0, x=-800, z=3000), person(1, x=500, z=6000))
    with_camera, without = draw_scene(frame, info), draw_scene(without_camera(frame), info)
    assert with_camera[2, 900].tolist() == [60, 60, 60] and without[2, 900].tolist() == [
        40,
        40,
        150,
    ]
    # the depth between them is unknown: from above they stand on one line
    a, b = (centre(without, person_color(k), (480, 960)) for k in (0, 1))
    assert abs(a[1] - b[1]) < 12 and b[0] > a[0] + 30


def test_nobody_and_unknown_joints(person, record, info):
    assert draw_scene(record(), info).shape == (480, 960, 3)
    frame = record(person(0, keypoints_cam=[[0, 0, 4000], [None, None, None], [0, 900, 4000]]))
    picture = draw_scene(frame, info)
    full = draw_scene(record(person(0)), info)
    count = [
        (np.abs(p.astype(int) - person_color(0)).max(axis=2) < 10).sum() for p in (picture, full)
    ]
    assert 0 < count[0] < count[1]
    all_unknown = record(person(0, keypoints_cam=[[None] * 3] * 3))
    assert draw_scene(all_unknown, info).shape == (480, 960, 3)


def test_small_sizes_are_refused(record, info):
    assert draw_scene(record(), info, (320, 160)).shape == (160, 320, 3)
    with pytest.raises(ValueError, match='at least 320 x 160'):
        draw_scene(record(), info, (300, 200))


@given(
    st.lists(st.tuples(*[st.floats(-5e3, 5e3)] * 3), min_size=1, max_size=5),
    st.sampled_from([0.0, 22.0, 90.0]),
)
def test_everything_in_the_box_lands_in_the_rectangle(points, elevation):
    points = np.array(points)
    view = View(points.min(axis=0) - 1, points.max(axis=0) + 1, (10, 20, 200, 100), elevation)
    pixels = view.project(points)
    assert (pixels >= np.array([10, 20]) - 1e-6).all() and (
        pixels <= np.array([210, 120]) + 1e-6
    ).all()


@pytest.mark.parametrize(
    ('span', 'step'), [(500, 100), (3000, 500), (6000, 1000), (9000, 2000), (61000, 20000)]
)
def test_grid_steps_are_round(span, step):
    assert grid_step(span) == step
