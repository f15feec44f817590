# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The renderer on simple worlds whose answers are known; textures, scenery and placement."""

import numpy as np
import pytest

from wsp_mm.structures.camera import PinholeCamera
from wsp_mm.synthetic.actions import sample_pose
from wsp_mm.synthetic.observe import joint_pixels, visible_joints
from wsp_mm.synthetic.people import pose_bodies, sample_identity
from wsp_mm.synthetic.placement import hull_gap, make_view, plan_hull, turn_plan
from wsp_mm.synthetic.render import GROUND, PROP, SKY, Box, Stage, project_m
from wsp_mm.synthetic.scenery import BOUNCE, KINDS, SUN, SUN_COLOR, sample_scenery
from wsp_mm.synthetic.textures import (
    PATTERNS,
    Texture,
    catalogue,
    sample_cloth,
    sample_floor,
    sample_wall,
)

NOBODY = np.zeros((0, 1, 3))


def empty_stage(scenery, boxes=()):
    return Stage(NOBODY, NOBODY, [], list(boxes), scenery)


def test_ground_and_sky_are_split_by_the_horizon():
    stage = empty_stage(sample_scenery(np.random.default_rng(0), 'plain'))
    view = make_view(100, 1.5, 0, 0, 64, 48)
    seen = stage.look(view.camera, 64, 48)
    assert (seen.owner[:24] == SKY).all() and (seen.owner[24:] == GROUND).all()
    # A pixel k rows under the horizon sees the ground at depth f h / k.
    np.testing.assert_allclose(seen.depth[47], 100 * 1.5 / 23.5, rtol=1e-4)
    np.testing.assert_allclose(seen.depth[30], 100 * 1.5 / 6.5, rtol=1e-4)


def test_pitch_and_roll_move_the_horizon_as_documented():
    stage = empty_stage(sample_scenery(np.random.default_rng(0), 'plain'))
    down = stage.look(make_view(100, 1.5, 10, 0, 64, 48).camera, 64, 48, color=False)
    # Looking down by 10 degrees puts the horizon f tan(10) px above the centre.
    assert (down.owner == SKY).any(axis=1).sum() == round(23.5 - 100 * np.tan(np.deg2rad(10)) + 0.5)
    rolled = stage.look(make_view(100, 1.5, 0, 12, 64, 48).camera, 64, 48, color=False)
    sky = (rolled.owner == SKY).sum(axis=0)
    assert abs(abs(int(sky[0]) - int(sky[-1])) - 63 * np.tan(np.deg2rad(12))) < 2


def test_box_hides_the_ground_and_casts_a_shadow():
    scenery = sample_scenery(np.random.default_rng(3), 'plain')
    scenery.row[SUN : SUN + 3] = np.array([1, 0, 1]) / np.sqrt(
        2
    )  # from the right: the shadow falls to the left
    scenery.row[SUN_COLOR : SUN_COLOR + 3] = 1.5
    scenery.row[BOUNCE : BOUNCE + 3] = 0
    texture = Texture('plain', 0.1, 0, 0.5, *[(0.5, 0.5, 0.5)] * 3, noise=0).encode()
    scenery.textures[0] = texture
    box = Box(np.array([0.0, 4.0]), np.array([0.4, 0.4, 0.8]), 0, texture)
    view = make_view(150, 2.0, 20, 0, 128, 96)
    bare = empty_stage(scenery).look(view.camera, 128, 96)
    with_box = empty_stage(scenery, [box])
    seen = with_box.look(view.camera, 128, 96)
    corners = project_m(view.camera, box.corners())
    xs = np.nonzero(seen.owner == PROP)[1]
    assert abs(xs.min() - corners[:, 0].min()) < 1.5 and abs(xs.max() - corners[:, 0].max()) < 1.5
    assert seen.depth[seen.owner == PROP].min() == pytest.approx(corners[:, 2].min(), abs=0.05)
    before, after = (s.light.numpy().reshape(96, 128, 3).sum(axis=2) for s in (bare, seen))
    darker = (after < 0.8 * before) & (seen.owner == GROUND)
    left, _, _ = project_m(view.camera, np.array([-0.6, 4.0, 0.0]))
    right, _, _ = project_m(view.camera, np.array([0.6, 4.0, 0.0]))
    row = round(project_m(view.camera, np.array([0, 4.0, 0.0]))[1])
    assert darker[row, round(left)] and not darker[row, round(right)]


@pytest.fixture(scope='module')
def one_person():
    rng = np.random.default_rng(8)
    identity = sample_identity(rng)
    bodies = pose_bodies([identity], [sample_pose('Waiting', rng)])
    return bodies, identity


def test_body_is_where_its_vertices_project(one_person):
    bodies, identity = one_person
    surface = bodies.surface + np.array([0, 4.0, 0])
    view = make_view(300, 1.3, 4, 0, 160, 240)
    stage = Stage(
        surface,
        bodies.normals,
        [identity.outfit],
        [],
        sample_scenery(np.random.default_rng(0), 'plain'),
    )
    seen = stage.look(view.camera, 160, 240, normals=True)
    ys, xs = np.nonzero(seen.owner == 0)
    low_x, low_y, high_x, high_y = seen.extent[0]
    assert abs(xs.min() - low_x) < 1.5 and abs(xs.max() - high_x) < 1.5
    assert abs(ys.min() - low_y) < 1.5 and abs(ys.max() - high_y) < 1.5
    # Visible surfaces face the camera; depths lie within the body.
    rays = np.stack(
        [(xs - view.camera.c[0]) / 300, (ys - view.camera.c[1]) / 300, np.ones(len(xs))], axis=1
    )
    facing = (seen.normal[ys, xs] * (rays @ view.camera.R)).sum(axis=1)
    assert (facing < 0).mean() > 0.98
    depth = project_m(view.camera, surface[0])[:, 2]
    assert (
        depth.min() - 0.01 < seen.depth[ys, xs].min()
        and seen.depth[ys, xs].max() < depth.max() + 0.01
    )
    x0, y0, alone = seen.alone[0]
    np.testing.assert_array_equal(
        alone, seen.owner[y0 : y0 + alone.shape[0], x0 : x0 + alone.shape[1]] == 0
    )


def test_person_behind_a_box_is_hidden_but_would_fill_the_same(one_person):
    bodies, identity = one_person
    surface = bodies.surface + np.array([0, 4.0, 0])
    scenery = sample_scenery(np.random.default_rng(0), 'plain')
    wall = Box(np.array([0.0, 3.0]), np.array([4.0, 0.1, 1.0]), 0, scenery.textures[1])
    view = make_view(300, 1.3, 4, 0, 160, 240)
    free = Stage(surface, bodies.normals, [identity.outfit], [], scenery).look(
        view.camera, 160, 240
    )
    behind = Stage(surface, bodies.normals, [identity.outfit], [wall], scenery).look(
        view.camera, 160, 240
    )
    np.testing.assert_array_equal(free.alone[0][2], behind.alone[0][2])
    joints = project_m(view.camera, bodies.joints[0] + np.array([0, 4.0, 0]))
    args = (0, joints, float(bodies.height[0]))
    _, seen_free = visible_joints(*args, free.depth, free.owner, free.face)
    _, seen_behind = visible_joints(*args, behind.depth, behind.owner, behind.face)
    ankles, nose = [15, 16], 0
    assert seen_free[ankles].all() and not seen_behind[ankles].any()
    assert seen_behind[nose] == seen_free[nose]


def test_body_around_the_camera(one_person):
    """Somebody who stands partly behind the camera has no extent, and neither crashes nor shows
    garbage.
    """
    bodies, identity = one_person
    surface = bodies.surface + np.array([0, 0.05, 0])
    view = make_view(300, 1.3, 4, 0, 64, 48)
    stage = Stage(
        surface,
        bodies.normals,
        [identity.outfit],
        [],
        sample_scenery(np.random.default_rng(0), 'plain'),
    )
    seen = stage.look(view.camera, 64, 48)
    assert np.isnan(seen.extent).all() and np.isfinite(seen.light.numpy()).all()


def test_outfits_are_needed(one_person):
    bodies, _ = one_person
    with pytest.raises(ValueError, match='outfits'):
        Stage(bodies.surface, bodies.normals, [None], [], sample_scenery(np.random.default_rng(0)))


def test_joint_pixels_at_the_border():
    projected = np.array(
        [[-0.4, 5, 1], [-0.6, 5, 1], [9.4, 7.4, 1], [9.6, 5, 1], [np.nan, np.nan, -1]]
    )
    pixel, inside = joint_pixels(projected, 10, 8)
    np.testing.assert_array_equal(inside, [True, False, True, False, False])
    np.testing.assert_array_equal(pixel[2], [9, 7])


# ------------------------------------------------------------------ textures and scenery
def test_at_least_200_textures_that_look_different():
    """Each is laid on the ground and looked at from above; no two pictures are alike."""
    textures = catalogue()
    assert len(textures) >= 200 and {t.pattern for t in textures} == set(PATTERNS)
    scenery = sample_scenery(np.random.default_rng(0), 'plain')
    center = np.array([100.0, 330.0, 600.0])  # mm; over the emblem of the prints
    looking_down = np.array([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]])
    camera = PinholeCamera(f=[60, 60], c=[23.5, 23.5], R=looking_down, t=-looking_down @ center)
    pictures = []
    for texture in textures:
        scenery.textures[0] = texture.encode()
        stage = empty_stage(scenery)
        seen = stage.look(camera, 48, 48)
        pictures.append(stage.develop(seen.light, 48, 48, 0.45))
    flat = np.stack(pictures).reshape(len(pictures), -1).astype(np.int16)
    for i in range(len(flat)):
        off = np.abs(flat[i + 1 :] - flat[i]).max(axis=1)
        assert (off > 8).all(), [textures[i], textures[i + 1 + int(off.argmin())]]


def test_sampled_textures_vary():
    rng = np.random.default_rng(0)
    for sample in (
        sample_cloth,
        sample_wall,
        lambda r: sample_floor(r, True),
        lambda r: sample_floor(r, False),
    ):
        rows = np.stack([sample(rng).encode() for _ in range(60)])
        assert len(np.unique(rows[:, 0])) > 4 and len(np.unique(rows, axis=0)) == 60
        assert np.isfinite(rows).all() and (rows[:, 1] > 0).all() and (rows[:, 4:13] >= 0).all()


@pytest.mark.parametrize('kind', KINDS)
def test_every_kind_of_surroundings(kind):
    pictures = []
    for seed in range(3):
        scenery = sample_scenery(np.random.default_rng(seed), kind)
        assert (
            scenery.kind == kind
            and scenery.row[SUN + 2] > 0.3
            and scenery.outdoor == (kind != 'room')
        )
        assert np.linalg.norm(scenery.row[SUN : SUN + 3]) == pytest.approx(1)
        view = make_view(60, 1.5, 2, 1, 64, 48)
        seen = empty_stage(scenery).look(view.camera, 64, 48)
        light = seen.light.numpy()
        assert np.isfinite(light).all() and (light >= 0).all() and light.mean() > 0.02
        assert (seen.owner == GROUND).any() and (seen.owner == SKY).any()
        pictures.append(light)
    assert np.abs(pictures[0] - pictures[1]).mean() > 0.01


def test_walls_stand_behind_everybody():
    for seed in range(20):
        scenery = sample_scenery(np.random.default_rng(seed), 'wall', depth=9.0)
        seen = empty_stage(scenery).look(
            make_view(60, 1.5, 0, 0, 64, 48).camera, 64, 48, color=True
        )
        assert seen.depth[24:, 20:44][seen.owner[24:, 20:44] == SKY].min(initial=99) > 9.0


def test_unknown_surroundings():
    with pytest.raises(KeyError):
        sample_scenery(np.random.default_rng(0), 'moon')


# ------------------------------------------------------------------ placement
def test_hull_gap_by_hand():
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]])
    assert hull_gap(square, square + np.array([1.5, 0])) == pytest.approx(0.5)
    assert hull_gap(square, square[::-1] + np.array([0, -1.2])) == pytest.approx(0.2)
    assert hull_gap(square, square + np.array([0.9, 0])) == pytest.approx(-0.1)
    np.testing.assert_allclose(
        turn_plan(square, np.pi / 2, np.array([2.0, 0]))[1], [2, 1], atol=1e-12
    )
    assert len(plan_hull(np.random.default_rng(0).uniform(size=(50, 3)))) < 20


def test_view_looks_along_y():
    view = make_view(500, 1.6, 6, 0, 640, 480)
    np.testing.assert_allclose(view.camera.position, [0, 0, 1600], atol=1e-9)
    ahead = 1600 - 5000 * np.tan(np.deg2rad(6))
    np.testing.assert_allclose(
        view.camera.project(view.camera.to_camera(np.array([0, 5000, ahead])))[:2],
        [319.5, 239.5],
        atol=1e-6,
    )
