# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Pictures: determinism, truth that agrees with them, occlusion by people, videos."""

import itertools

import numpy as np
import pytest

from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.synthetic.record import Scene
from wsp_mm.synthetic.scene import SceneRequest, generate_scene, make_setting, render_setting


def request(seed, persons=4, width=160, height=120, **more):
    return SceneRequest(
        seed, 'coco', 'train', f'{seed:06d}.jpg', width, height, persons, seed, **more
    )


@pytest.fixture(scope='module')
def scenes():
    return [generate_scene(request(seed, 2 + seed % 5)) for seed in range(12)]


def test_picture_and_record(scenes):
    for image, scene in scenes:
        assert image.shape == (120, 160, 3) and image.dtype == np.uint8
        assert image.std() > 5  # something to see
        assert 800 <= scene.camera_height <= 2200 and abs(scene.pitch) < 25 and abs(scene.roll) < 15
        assert 500 <= scene.camera.f[0] * 640 / 160 <= 1500
        for person in scene.persons:
            assert person.joints_world.shape == (29, 3) and person.in_picture.any()
            assert not (person.visible & ~person.in_picture).any()
            assert 0 <= person.visible_share <= 1
            assert 900 < person.height < 2150 and 3 <= person.age <= 90


def test_record_survives_json(scenes):
    import json

    for _, scene in scenes[:3]:
        again = Scene.from_dict(json.loads(json.dumps(scene.to_dict())))
        assert len(again.persons) == len(scene.persons)
        for a, b in zip(again.persons, scene.persons, strict=True):
            np.testing.assert_allclose(a.joints_px, b.joints_px, atol=1e-3)
            assert (a.visible == b.visible).all() and a.action == b.action


def test_same_request_same_picture():
    first, again, other = (generate_scene(request(seed, 3)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first[0], again[0])
    assert first[1].to_dict() == again[1].to_dict()
    assert (first[0] != other[0]).any()


def test_names_have_no_say_in_the_picture():
    a, _ = generate_scene(SceneRequest(1, 'coco', 'train', 'a.jpg', 96, 96, 2, 77))
    b, _ = generate_scene(SceneRequest(9, 'mpii', 'val', 'b.jpg', 96, 96, 2, 77))
    np.testing.assert_array_equal(a, b)


def test_size_changes_the_sampling_of_pixels_not_the_world():
    _, small = generate_scene(request(11, 3, 160, 120))
    _, large = generate_scene(request(11, 3, 320, 240))
    for a, b in zip(small.persons, large.persons, strict=True):
        np.testing.assert_allclose(a.joints_world, b.joints_world, atol=1e-6)
        # Centres of pixels: (x + 0.5) scales.
        np.testing.assert_allclose((a.joints_px + 0.5) * 2, b.joints_px + 0.5, atol=1e-3)


def test_masks_boxes_and_areas_agree_with_the_buffers():
    setting = make_setting(request(7, 5))
    _, scene, seen = render_setting(setting)
    for person in scene.persons:
        mask = seen.owner == person.person_id
        assert person.area == mask.sum()
        x0, y0, alone = seen.alone[person.person_id]
        whole = np.zeros_like(mask)
        whole[y0 : y0 + alone.shape[0], x0 : x0 + alone.shape[1]] = alone
        assert not (mask & ~whole).any()  # what is seen of somebody, they would also fill alone
        assert person.visible_share == pytest.approx(mask.sum() / max(1, whole.sum()), abs=1e-3)
        if person.area:
            ys, xs = np.nonzero(mask)
            np.testing.assert_array_equal(
                person.bbox, [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
            )
            assert all(len(polygon) >= 6 and len(polygon) % 2 == 0 for polygon in person.polygons)


def test_outlines_enclose_the_visible_pixels():
    import cv2

    _, scene, seen = render_setting(make_setting(request(3, 3, 320, 240)))
    checked = 0
    for person in scene.persons:
        if person.area < 300:
            continue
        drawn = np.zeros(seen.owner.shape, np.uint8)
        cv2.fillPoly(
            drawn, [np.array(p).reshape(-1, 2).round().astype(np.int32) for p in person.polygons], 1
        )
        mask = seen.owner == person.person_id
        assert (drawn.astype(bool) & mask).sum() / (drawn.astype(bool) | mask).sum() > 0.85
        checked += 1
    assert checked


def test_nearer_people_hide_farther_ones():
    """Where two people overlap in the picture, the pixel belongs to the one whose surface is
    nearer.
    """
    compared = 0
    for seed in range(12):
        setting = make_setting(request(seed, 6))
        _, _, seen = render_setting(setting)
        planes = []
        for x0, y0, alone in seen.alone:
            plane = np.zeros(seen.owner.shape, bool)
            plane[y0 : y0 + alone.shape[0], x0 : x0 + alone.shape[1]] = alone
            planes.append(plane)
        depth = np.linalg.norm(setting.joints[:, :, :2], axis=-1)
        for i in range(len(planes)):
            for j in range(len(planes)):
                both = planes[i] & planes[j]
                if i != j and both.any() and depth[i].max() + 0.3 < depth[j].min():
                    assert not (seen.owner[both] == j).any()
                    compared += 1
    assert compared > 3


def test_hidden_people_lose_their_joints():
    hidden = 0
    for seed in range(10):
        _, scene = generate_scene(request(seed, 6))
        for person in scene.persons:
            if person.area == 0:
                assert not person.visible[:17].any() or person.full_bbox[2:].min() < 4
            share = person.visible[person.in_picture].mean()
            hidden += person.visible_share < 0.5 and share < 0.6
    assert hidden > 0


def test_people_face_away_hides_the_face():
    nose, heel = (get_joint_set('world').index(name) for name in ('nose', 'left_heel'))
    flags = []
    for seed in range(25):
        _, scene = generate_scene(request(seed, 4))
        for person in scene.persons:
            ears = person.joints_world[[3, 4]].mean(axis=0)
            toward = (person.joints_world[nose] - ears) @ (scene.camera.position - ears)
            if person.visible_share > 0.9 and person.in_picture[nose] and person.area > 150:
                flags.append(
                    (
                        toward < -0.5 * 100 * np.linalg.norm(scene.camera.position - ears),
                        person.visible[nose],
                    )
                )
    away = [visible for behind, visible in flags if behind]
    facing = [visible for behind, visible in flags if not behind]
    assert len(away) > 3 and not any(away)
    assert np.mean(facing) > 0.5 and heel


def test_empty_and_bad_requests():
    image, scene = generate_scene(request(1, 0))
    assert scene.persons == [] and image.shape == (120, 160, 3)
    with pytest.raises(ValueError, match='too small'):
        request(1, 2, 8, 120)
    with pytest.raises(ValueError, match='num_persons'):
        request(1, 40)


def test_most_requested_people_are_in_the_picture(scenes):
    asked = sum(2 + seed % 5 for seed in range(12))
    assert sum(len(scene.persons) for _, scene in scenes) > 0.9 * asked


# ------------------------------------------------------------------ videos
def test_frames_show_the_same_people_and_camera_in_motion():
    frames = [generate_scene(request(21, 3, sequence=0, frame=k)) for k in range(4)]
    first = frames[0][1]
    for image, scene in frames[1:]:
        np.testing.assert_array_equal(scene.camera.R, first.camera.R)
        np.testing.assert_array_equal(scene.camera.f, first.camera.f)
        assert [p.age for p in scene.persons] == [p.age for p in first.persons]
        assert [p.height for p in scene.persons] == [p.height for p in first.persons]
        # The background stays: most pixels differ by noise only.
        assert np.median(np.abs(image.astype(int) - frames[0][0])) <= 6
    steps = [
        np.abs(b.joints_world - a.joints_world).max()
        for (_, s), (_, t) in itertools.pairwise(frames)
        for a, b in zip(s.persons, t.persons, strict=True)
    ]
    assert 0.5 < max(steps) < 500  # mm a frame


def test_walkers_advance_along_their_heading():
    moved = 0
    for seed in range(6):
        a, b = (make_setting(request(seed, 4, sequence=0, frame=k)) for k in (0, 12))
        for i, pose in enumerate(a.bodies.poses):
            step = b.places[i] - a.places[i]
            forward = np.array([np.sin(a.yaws[i]), -np.cos(a.yaws[i])])
            if pose.gait is None:
                assert np.abs(step).max() == 0
            else:
                assert step @ forward == pytest.approx(pose.gait.speed(a.bodies.height[i]))
                moved += 1
    assert moved > 2
