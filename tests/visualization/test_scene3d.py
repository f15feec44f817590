# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.

import numpy as np
import pytest

from wsp_mm.visualization.draw import PERSON_COLORS, skeleton_of
from wsp_mm.visualization.scene3d import (
    CROP_MM,
    GUESSED_FOV,
    View,
    draw_scene,
    grid_lines,
    place_persons,
    scene_views,
)

# ---------------------------------------------------------------------- where persons stand


def test_camera_space_is_taken_as_it_is(person, record, info):
    camera = record()['camera'] | dict(source='assumed-fov')
    frame = record(person(3, x=-500), person(5, x=800, z=6000), camera=camera)
    placed = place_persons(frame, skeleton_of(info['joint_set']))
    assert placed.in_camera and [p.id for p in placed.persons] == [3, 5]
    assert 'assumed' in placed.note
    np.testing.assert_array_equal(placed.poses[1, 0], [800, 0, 6000])


def test_without_a_camera_who_looks_smaller_stands_farther_away(
    person, record, without_camera, info
):
    # 5 is right of 3 and half as large; the depth of one joint is known, of another not
    frame = without_camera(record(person(5, x=800, z=8000), person(3, x=-500, y=-100)))
    frame['persons'][0]['keypoints_rel'] = [0.0, 120.0, None]
    near, far = ([80.0, 100, 160, 380], [380.0, 150, 80, 190])
    frame['persons'][0]['bbox'], frame['persons'][1]['bbox'] = far, near
    placed = place_persons(frame, skeleton_of(info['joint_set']))
    assert not placed.in_camera and [p.id for p in placed.persons] == [3, 5]
    assert 'guess' in placed.note and '--camera' in placed.note and '--assume-fov' in placed.note
    units = [CROP_MM / (1.25 * (side - 1)) for side in (380, 190)]  # mm a px
    f = 320 / np.tan(np.deg2rad(GUESSED_FOV / 2))
    np.testing.assert_allclose(placed.poses[:, 0, 2], np.multiply(f, units))
    # the first view is the image: roots are where their pixels are, heads in scale
    for pose, unit, entry in zip(placed.poses, units, frame['persons'][::-1], strict=True):
        pixels = np.array(entry['keypoints_img'])
        np.testing.assert_allclose(pose[:2, :2], (pixels[:2] - (319.5, 239.5)) * unit)
    assert placed.poses[1, 1, 2] - placed.poses[1, 0, 2] == pytest.approx(120)
    assert np.isnan(placed.poses[1, 2, 2])
    # a predicted order holds against sizes
    frame['order'] = dict(ids=[5, 3], probability=[[0.5, 0.1], [0.9, 0.5]])
    ordered = place_persons(frame, skeleton_of(info['joint_set']))
    assert [p.id for p in ordered.persons] == [5, 3] and 'order' in ordered.note
    np.testing.assert_allclose(ordered.poses[:, 0, 2], placed.poses[:, 0, 2])


def test_notes(person, record, without_camera, info):
    unknown = dict(keypoints_cam=None, root_depth=None)
    no_3d = without_camera(record(person(0, keypoints_rel=None), person(1, keypoints_rel=None)))
    order = dict(ids=[0, 1], probability=[[0.5, 0.7], [0.3, 0.5]])
    for frame, ids, note in (
        (record(person(0), person(1, **unknown)), (0,), '1 of 2 persons without 3D'),
        (record(person(1, **unknown)), (1,), 'No root depth'),
        (record(), (), 'No persons'),
        (record(camera=None), (), 'No persons'),
        (no_3d, (), '2 of 2 persons without 3D'),
        (no_3d | dict(order=order), (), 'no 3D'),
        (record(camera=None, width=None, height=None, skipped='broken'), (), 'Skipped: broken'),
    ):
        placed = place_persons(frame, skeleton_of(info['joint_set']))
        assert tuple(p.id for p in placed.persons) == ids and note in placed.note
        assert placed.poses.shape == (len(ids), 3, 3)


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
        near, far = (find(half, color, 10).mean(axis=0) for color in PERSON_COLORS[:2])
        assert near[1] > far[1] + 30 and near[0] < far[0] - 30
    unknown = draw_scene(without_camera(frame), info)
    assert image[2, 900].tolist() != unknown[2, 900].tolist()  # the header has another colour


def test_nobody_unknown_joints_and_small_sizes(person, record, info, find):
    part = record(person(0, keypoints_cam=[[None] * 3, [0, -700, 4000], [0, 900, 4000]]))
    frames = part, record(person(0))
    counts = [len(find(draw_scene(frame, info), PERSON_COLORS[0], 9)) for frame in frames]
    assert 0 < counts[0] < counts[1]
    for frame in (record(), record(person(0, keypoints_cam=[[None] * 3] * 3))):
        assert draw_scene(frame, info, (320, 160)).shape == (160, 320, 3)
    with pytest.raises(ValueError, match='320 x 160'):
        draw_scene(record(), info, (300, 200))


@pytest.mark.parametrize(
    ('span', 'step'), [(500, 100), (3000, 500), (6000, 1000), (9000, 2000), (61000, 20000)]
)
def test_grid_steps_are_round(span, step):
    x, z = grid_lines(np.array([-100.0, 0, 70]), np.array([100.0, 0, 70 + span]))
    assert x.tolist() == ([-100, 0, 100] if step == 100 else [0])
    assert set(np.diff(z)) == {step} and z[0] == step
