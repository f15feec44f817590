# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.

import numpy as np
import pytest

from wsp_mm.visualization.draw import person_color, skeleton_of
from wsp_mm.visualization.scene3d import (
    CROP_MM,
    GAP_MM,
    View,
    draw_scene,
    grid_step,
    place_persons,
    scene_views,
)

# ---------------------------------------------------------------------- where persons stand


def test_camera_space_is_taken_as_it_is(person, record, info):
    camera = record()['camera'] | dict(source='assumed-fov')
    frame = record(person(3, x=-500), person(5, x=800, z=6000), camera=camera)
    placed = place_persons(frame, skeleton_of(info['joint_set']))
    assert placed.in_camera and placed.ids == (3, 5) and 'assumed-fov' in placed.note
    np.testing.assert_array_equal(placed.poses[1, 0], [800, 0, 6000])


def test_without_a_camera_persons_stand_side_by_side_about_their_own_roots(
    person, record, without_camera, info
):
    # 5 is right of 3 in the image; the depth of one joint is known, of another not
    frame = without_camera(record(person(5, x=800, z=6000), person(3, x=-500)))
    frame['persons'][0]['keypoints_rel'] = [0.0, 120.0, None]
    placed = place_persons(frame, skeleton_of(info['joint_set']))
    assert not placed.in_camera and placed.ids == (3, 5) and 'no camera' in placed.note
    # three joints in a line: each is 0 wide, so the gap is between the lines, and the middle is 0
    np.testing.assert_allclose(placed.poses[:, 0, 0], [-GAP_MM / 2, GAP_MM / 2])
    np.testing.assert_allclose(placed.poses[:, 0, 1:], 0)
    assert placed.poses[1, 1, 2] == 120 and np.isnan(placed.poses[1, 2, 2])
    # person 3: box 80 x 480 px cut at the image's edge, so the crop is computed here by hand
    x, y, w, h = frame['persons'][1]['bbox']
    side = 1.25 * max(min(639, x + w - 1) - x, min(479, y + h - 1) - y)
    (_, root), (_, head), _ = frame['persons'][1]['keypoints_img']
    np.testing.assert_allclose(placed.poses[0, 1, 1], (head - root) * CROP_MM / side)


def test_notes(person, record, without_camera, info):
    unknown = dict(keypoints_cam=None, root_depth=None)
    no_3d = without_camera(record(person(0, keypoints_rel=None), person(1, keypoints_rel=None)))
    order = dict(ids=[0, 1], probability=[[0.5, 0.7], [0.3, 0.5]])
    for frame, ids, note in (
        (record(person(0), person(1, **unknown)), (0,), '1 of 2 persons without 3D'),
        (record(person(1, **unknown)), (1,), 'no root depth'),
        (record(), (), 'no persons'),
        (record(camera=None), (), 'no persons'),
        (no_3d, (), '2 of 2 persons without 3D'),
        (no_3d | dict(order=order), (), 'order of persons'),
        (record(camera=None, width=None, height=None, skipped='broken'), (), 'skipped: broken'),
    ):
        placed = place_persons(frame, skeleton_of(info['joint_set']))
        assert placed.ids == ids and placed.poses.shape == (len(ids), 3, 3) and note in placed.note


# ---------------------------------------------------------------------- projection and scenes


@pytest.mark.parametrize(
    ('elevation', 'azimuth', 'right', 'down'),
    [(0, 0, [1, 0, 0], [0, 1, 0]), (90, 0, [1, 0, 0], [0, 0, -1]), (0, -90, [0, 0, 1], [0, 1, 0])],
)
def test_axes_of_the_views(elevation, azimuth, right, down):
    view = View(np.zeros(3), np.ones(3), (100, 100), elevation, azimuth)
    turned = view.turned(np.array([right, down]))
    np.testing.assert_allclose(turned[:, :2], np.eye(2), atol=1e-12)


def test_true_distances_in_the_view_from_above(person, record, info):
    frame = record(person(0, x=-800, z=3000), person(1, x=700, z=6000))
    _, above = scene_views(place_persons(frame, skeleton_of(info['joint_set'])), (480, 456))
    points = above.project(np.array([[0, 0, 0], [-800.0, 0, 3000], [700, 0, 6000]]))
    # 3 m from the camera to the one, 3 m more to the other, 1.5 m to the right, all on one scale
    expected = np.array([[-800, -3000], [1500, -3000]]) * above.scale
    np.testing.assert_allclose(np.diff(points, axis=0), expected)
    assert (points >= above.margin - 1e-6).all()
    assert (points <= np.array(above.size) - above.margin + 1e-6).all()


def test_a_nearer_person_is_lower_and_one_to_the_right_is_right(
    person, record, without_camera, info, find
):
    frame = record(person(0, x=-800, z=3000), person(1, x=500, z=6000))
    image = draw_scene(frame, info, (960, 480))
    assert image.shape == (480, 960, 3) and image.dtype == np.uint8
    for half in (image[:, :480], image[:, 480:]):  # also from the camera's side, which is raised
        near, far = (find(half, person_color(k), 10).mean(axis=0) for k in (0, 1))
        assert near[1] > far[1] + 30 and near[0] < far[0] - 30
    # without a camera their distance is unknown: from above they stand on one line
    unknown = draw_scene(without_camera(frame), info)
    a, b = (find(unknown[:, 480:], person_color(k), 10).mean(axis=0) for k in (0, 1))
    assert abs(a[1] - b[1]) < 12 and b[0] > a[0] + 30
    assert image[2, 900].tolist() != unknown[2, 900].tolist()  # the header has another colour


def test_nobody_unknown_joints_and_small_sizes(person, record, info, find):
    part = record(person(0, keypoints_cam=[[None] * 3, [0, -700, 4000], [0, 900, 4000]]))
    counts = [len(find(draw_scene(f, info), person_color(0), 9)) for f in (part, record(person(0)))]
    assert 0 < counts[0] < counts[1]
    for frame in (record(), record(person(0, keypoints_cam=[[None] * 3] * 3))):
        assert draw_scene(frame, info, (320, 160)).shape == (160, 320, 3)
    with pytest.raises(ValueError, match='320 x 160'):
        draw_scene(record(), info, (300, 200))


@pytest.mark.parametrize(
    ('span', 'step'), [(500, 100), (3000, 500), (6000, 1000), (9000, 2000), (61000, 20000)]
)
def test_grid_steps_are_round(span, step):
    assert grid_step(span) == step
