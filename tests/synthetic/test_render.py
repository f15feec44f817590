# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The renderer on simple scenes whose answers are known; textures and surroundings."""

from dataclasses import replace

import numpy as np
import pytest

from wsp_mm.structures.camera import PinholeCamera
from wsp_mm.synthetic import textures
from wsp_mm.synthetic.actions import sample_pose
from wsp_mm.synthetic.clothing import sample_outfit
from wsp_mm.synthetic.people import pose_bodies, sample_identity
from wsp_mm.synthetic.placement import hull_gap, level_camera, plan_hull, turn_plan
from wsp_mm.synthetic.render import (
    GROUND,
    PROP,
    SKY,
    Box,
    Renderer,
    lens_and_noise,
    project_m,
    whole_pixels,
    window_of,
)
from wsp_mm.synthetic.scenery import KINDS, sample_scenery
from wsp_mm.synthetic.textures import CATALOGUE, Texture
from wsp_mm.synthetic.visibility import joint_pixels, silhouette, visible_joints

NOBODY = np.zeros((0, 1, 3))


def empty(scenery, *boxes):
    return Renderer(NOBODY, NOBODY, [], list(boxes), scenery)


@pytest.fixture
def plain():
    return sample_scenery(np.random.default_rng(0), 'plain')


def test_ground_and_sky_are_split_by_the_horizon(plain):
    seen = empty(plain).render(level_camera(100, 1.5, 0, 0, 64, 48), 64, 48, color=False)
    assert (seen.owner[:24] == SKY).all() and (seen.owner[24:] == GROUND).all()
    # A pixel k rows under the horizon sees the ground at depth f h / k.
    np.testing.assert_allclose(seen.depth[[30, 47], 0], [150 / 6.5, 150 / 23.5], rtol=1e-4)
    # Looking down by 10 degrees puts the horizon f tan(10) px above the center.
    down = empty(plain).render(level_camera(100, 1.5, 10, 0, 64, 48), 64, 48, color=False)
    assert (down.owner == SKY).any(axis=1).sum() == round(24 - 100 * np.tan(np.deg2rad(10)))
    rolled = empty(plain).render(level_camera(100, 1.5, 0, 12, 64, 48), 64, 48, color=False)
    sky = (rolled.owner == SKY).sum(axis=0)
    assert abs(int(sky[0]) - int(sky[-1]) + 63 * np.tan(np.deg2rad(12))) < 2


def test_box_hides_the_ground_and_casts_a_shadow(plain):
    gray = Texture('plain', 0.1, 0, 0.5, *[(0.5, 0.5, 0.5)] * 3, noise=0)
    # The sun is at the right: the shadow falls to the left.
    light = plain.light | dict(sun=np.array([1, 0, 1]) / np.sqrt(2), sun_color=(1.5,) * 3, lines=0)
    scenery = replace(plain, ground=gray, light=light | dict(bounce=(0, 0, 0)))
    box = Box(np.array([0.0, 4.0]), np.array([0.4, 0.4, 0.8]), 0, gray)
    camera = level_camera(150, 2.0, 20, 0, 128, 96)
    bare, seen = (empty(scenery, *boxes).render(camera, 128, 96) for boxes in ((), (box,)))
    corners = project_m(camera, box.corners())
    xs = np.nonzero(seen.owner == PROP)[1]
    assert abs(xs.min() - corners[:, 0].min()) < 1.5 and abs(xs.max() - corners[:, 0].max()) < 1.5
    assert seen.depth[seen.owner == PROP].min() == pytest.approx(corners[:, 2].min(), abs=0.05)
    before, after = (s.light.numpy().reshape(96, 128, 3).sum(axis=2) for s in (bare, seen))
    darker = (after < 0.8 * before) & (seen.owner == GROUND)
    (left, row, _), (right, _, _) = project_m(camera, np.array([[-0.6, 4.0, 0], [0.6, 4.0, 0]]))
    assert darker[round(row), round(left)] and not darker[round(row), round(right)]


@pytest.fixture(scope='module')
def person():
    """Somebody upright, 4 m away: joints, what Renderer takes, and stature."""
    rng = np.random.default_rng(8)
    who = sample_identity(rng)
    outfit = sample_outfit(rng, who.age, who.female)
    bodies = pose_bodies([who], [sample_pose('Waiting', rng)], [outfit])
    at = np.array([0, 4.0, 0])
    return bodies.joints[0] + at, (bodies.surface + at, bodies.normals, [outfit]), bodies.height[0]


def test_person_behind_a_box_is_hidden_but_would_fill_the_same(person, plain):
    joints, arrays, height = person
    wall = Box(np.array([0.0, 3.0]), np.array([4.0, 0.1, 1.0]), 0, plain.walls[0])
    camera = level_camera(300, 1.3, 4, 0, 160, 240)
    projected, masks, visible, shares = project_m(camera, joints), [], [], []
    for boxes in ([], [wall]):
        renderer = Renderer(*arrays, boxes, plain)
        seen = renderer.render(camera, 160, 240, color=False)
        masks.append(renderer.cover(0, seen)[2])
        visible.append(visible_joints(0, projected, height, seen)[1])
        shares.append(silhouette(0, renderer, seen)['visible_share'])
    np.testing.assert_array_equal(*masks)
    ankles, nose = [15, 16], 0
    assert visible[0][ankles].all() and not visible[1][ankles].any()
    assert visible[0][nose] == visible[1][nose]
    assert shares[0] == 1 and 0.3 < shares[1] < 0.7


def test_body_around_the_camera(person, plain):
    """Somebody partly behind the camera may be anywhere, and neither crashes nor shows garbage."""
    _, (surface, normals, outfits), _ = person
    camera = level_camera(300, 1.3, 4, 0, 64, 48)
    renderer = Renderer(surface - np.array([0, 3.95, 0]), normals, outfits, [], plain)
    seen = renderer.render(camera, 64, 48)
    assert (np.abs(seen.windows) > 1e8).all() and np.isfinite(seen.light.numpy()).all()
    assert silhouette(0, renderer, seen)['area'] == (seen.owner == 0).sum()


def test_windows_and_joint_pixels_at_the_border():
    camera = PinholeCamera(f=[100, 100], c=[50, 40])
    points = np.array([[[0, 0, 1], [0.1, -0.2, 1]], [[0, 0, 1], [0, 0, -1]]])
    windows = window_of(camera, points)
    np.testing.assert_allclose(windows[0], [49, 19, 61, 41])
    assert whole_pixels(windows[0], 55, 80) == (49, 19, 55, 42)
    assert whole_pixels(windows[1], 55, 80) == (0, 0, 55, 80)
    projected = [[-0.4, 5, 1], [-0.6, 5, 1], [9.4, 7.4, 1], [9.6, 5, 1], [np.nan, np.nan, -1]]
    pixel, inside = joint_pixels(np.array(projected), 10, 8)
    np.testing.assert_array_equal(inside, [True, False, True, False, False])
    np.testing.assert_array_equal(pixel[2], [9, 7])


def test_lens_and_noise():
    flat = np.full((150, 140, 3), 100, np.uint8)
    noisy = lens_and_noise(flat, 0.5, 3.0, np.random.default_rng(0)).astype(int) - 100
    assert noisy.std() == pytest.approx(3, abs=0.5) and (noisy == noisy[..., :1]).all()
    np.testing.assert_array_equal(lens_and_noise(flat, 0.5, 0.4, np.random.default_rng(0)), flat)


# ------------------------------------------------------------------ textures and scenery
def test_at_least_200_textures_that_look_different(plain):
    """Each is laid on the ground and looked at from above; no two images are alike."""
    assert len(CATALOGUE) >= 200 and {t.pattern for t in CATALOGUE} == set(textures.PATTERNS)
    center = np.array([100.0, 330.0, 600.0])  # mm; over the emblem of the prints
    looking_down = np.array([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]])
    camera = PinholeCamera(f=[60, 60], c=[23.5, 23.5], R=looking_down, t=-looking_down @ center)
    images = []
    for texture in CATALOGUE:
        renderer = empty(replace(plain, ground=texture))
        images.append(renderer.tone_map(renderer.render(camera, 48, 48), 0.45))
    flat = np.stack(images).reshape(len(images), -1).astype(np.int16)
    for i in range(len(flat) - 1):
        off = np.abs(flat[i + 1 :] - flat[i]).max(axis=1)
        assert (off > 8).all(), [CATALOGUE[i], CATALOGUE[i + 1 + int(off.argmin())]]


@pytest.mark.parametrize('kind', KINDS)
def test_every_kind_of_surroundings(kind):
    images = []
    for seed in range(3):
        scenery = sample_scenery(np.random.default_rng(seed), kind, depth=9.0)
        assert scenery.kind == kind and np.linalg.norm(scenery.light['sun']) == pytest.approx(1)
        seen = empty(scenery).render(level_camera(60, 1.5, 2, 1, 64, 48), 64, 48)
        light = seen.light.numpy()
        assert np.isfinite(light).all() and (light >= 0).all() and light.mean() > 0.02
        assert (seen.owner == GROUND).any() and (seen.owner == SKY).any()
        # Walls are behind everybody.
        assert seen.depth[24:, 20:44][seen.owner[24:, 20:44] == SKY].min(initial=99) > 9.0
        images.append(light)
    assert np.abs(images[0] - images[1]).mean() > 0.01


# ------------------------------------------------------------------ placement
def test_hulls_by_hand():
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]])
    assert hull_gap(square, square + np.array([1.5, 0])) == pytest.approx(0.5)
    assert hull_gap(square, square[::-1] + np.array([0, -1.2])) == pytest.approx(0.2)
    assert hull_gap(square, square + np.array([0.9, 0])) == pytest.approx(-0.1)
    turned = turn_plan(square, np.pi / 2, np.array([2.0, 0]))
    np.testing.assert_allclose(turned[1], [2, 1], atol=1e-12)
    assert len(plan_hull(np.random.default_rng(0).uniform(size=(50, 3)))) < 20
