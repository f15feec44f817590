# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest

from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.synthetic.layouts.labelling import (
    Habits,
    flat_keypoints,
    is_seen,
    label_joints,
    polygons_of,
)

WORLD = get_joint_set('world')
EVERYTHING = Habits(guesses=1.0, step=1.0)
J = WORLD.index


def test_joints_in_sight_are_labelled_with_2_and_rounded(make_scene, figure):
    scene = make_scene([figure(300.3, 400.4, 200)])
    xy, v = label_joints(scene, EVERYTHING)
    assert xy.shape == (1, 29, 2) and (v == 2).all()
    np.testing.assert_array_equal(xy, np.round(xy))
    assert np.abs(xy - scene.persons[0].joints_px).max() <= 0.5
    half, _ = label_joints(scene, Habits(guesses=1.0, step=0.5))
    np.testing.assert_array_equal(half * 2, np.round(half * 2))
    assert np.abs(half - scene.persons[0].joints_px).max() <= 0.25


def test_joints_outside_the_picture_are_never_labelled(make_scene, figure):
    # Feet 40 px under the lower edge of a picture of 480 px: shins are out.
    scene = make_scene([figure(300, 520, 400)])
    xy, v = label_joints(scene, EVERYTHING)
    below = scene.persons[0].joints_px[:, 1] > 479.5
    assert below.sum() >= 6 and (v[0, below] == 0).all() and (xy[0, below] == 0).all()
    assert (v[0, ~below] == 2).all()


def test_labels_stay_inside_although_rounding_would_push_them_out(make_scene, figure):
    xy = figure(300, 400, 200)
    xy[J('left_wrist')] = (639.4, 479.4)
    xy[J('right_wrist')] = (-0.4, -0.4)
    labels, v = label_joints(make_scene([xy]), EVERYTHING)
    assert labels[0, J('left_wrist')].tolist() == [639, 479] and v[0, J('left_wrist')] == 2
    assert labels[0, J('right_wrist')].tolist() == [0, 0] and v[0, J('right_wrist')] == 2


def test_hidden_joints_are_guessed_except_on_the_face(make_scene, figure):
    hidden = tuple(
        (0, name) for name in ('left_ankle', 'left_wrist', 'nose', 'left_eye', 'right_ear')
    )
    _, v = label_joints(make_scene([figure(300, 400, 200)], hidden=hidden), EVERYTHING)
    assert v[0, J('left_ankle')] == v[0, J('left_wrist')] == 1
    assert v[0, [J('nose'), J('left_eye'), J('right_ear')]].tolist() == [0, 0, 0]
    _, v = label_joints(
        make_scene([figure(300, 400, 200)], hidden=hidden), Habits(guesses=0.0, step=1.0)
    )
    assert v[0, J('left_ankle')] == v[0, J('left_wrist')] == 0 and v[0, J('right_ankle')] == 2


def test_hidden_legs_of_hardly_visible_persons_are_not_guessed(make_scene, figure):
    hidden = ((0, 'left_ankle'), (0, 'left_wrist'))
    _, v = label_joints(make_scene([figure(300, 400, 200)], hidden=hidden, share=0.3), EVERYTHING)
    assert v[0, J('left_ankle')] == 0 and v[0, J('left_wrist')] == 1
    _, v = label_joints(make_scene([figure(300, 400, 200)], hidden=hidden, share=0.4), EVERYTHING)
    assert v[0, J('left_ankle')] == 1


def test_small_persons_get_no_joints_and_small_grows_with_the_picture(make_scene, figure):
    habits = Habits(guesses=1.0, step=1.0, min_area=1024)
    # An upright figure of 40 px covers a box of about 12 x 40 px.
    small = make_scene([figure(100, 200, 40)])
    assert small.persons[0].area < 1024
    assert (label_joints(small, habits)[1] == 0).all()
    quarter = make_scene([figure(60, 100, 40)], width=160, height=120)
    quarter.persons[0].area = 100  # of 64 that are needed there
    assert (label_joints(quarter, habits)[1] > 0).any()


def test_labels_depend_on_the_scene_alone(make_scene, figure):
    habits = Habits(guesses=0.5, step=1.0)
    names = [name for name in WORLD.concepts if 'e' in name]
    hidden = tuple((0, name) for name in names)
    first = label_joints(make_scene([figure(300, 400, 200)], hidden=hidden), habits)
    again = label_joints(make_scene([figure(300, 400, 200)], hidden=hidden), habits)
    other = label_joints(make_scene([figure(300, 400, 200)], hidden=hidden, scene_id=8), habits)
    np.testing.assert_array_equal(first[1], again[1])
    assert (first[1] != other[1]).any()


def test_share_of_guesses(world_scenes):
    habits = Habits(guesses=0.6, step=1.0, min_share=0.0)
    body = [
        k for k, c in enumerate(WORLD.concepts) if not (c == 'nose' or c.endswith(('_eye', '_ear')))
    ]
    hidden, guessed = 0, 0
    for scene in world_scenes:
        _, v = label_joints(scene, habits)
        for person, row in zip(scene.persons, v, strict=True):
            behind = (person.in_picture & ~person.visible)[body]
            hidden += behind.sum()
            guessed += (row[body][behind] == 1).sum()
    assert hidden > 500
    assert guessed / hidden == pytest.approx(0.6, abs=0.06)


def test_an_empty_picture_has_no_labels(make_scene):
    xy, v = label_joints(make_scene([]), EVERYTHING)
    assert xy.shape == (0, 29, 2) and v.shape == (0, 29)


def test_flat_keypoints_write_whole_numbers_as_such():
    flat = flat_keypoints(np.array([[3.0, 4.5], [0.0, 0.0]]), np.array([2, 0]))
    assert flat == [3, 4.5, 2, 0, 0, 0]
    assert [type(value) for value in flat] == [int, float, int, int, int, int]


def test_lines_are_no_outlines(make_scene, figure):
    person = make_scene([figure(300, 400, 200)]).persons[0]
    square = person.polygons[0]
    person.polygons = [[1.0, 1.0, 5.0, 5.0], square]
    assert polygons_of(person) == [square] and is_seen(person)
    person.polygons = [[1.0, 1.0, 5.0, 5.0]]
    assert not is_seen(person)
    person.polygons, person.area = [square], 0
    assert not is_seen(person)
