# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Images of all worlds: determinism, ground truth that agrees with them, occlusion, motion."""

import itertools
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.synthetic import scene as scene_module
from wsp_mm.synthetic.body import PART_INDEX, body_model
from wsp_mm.synthetic.ground_truth import SceneGT
from wsp_mm.synthetic.motion import COLUMN
from wsp_mm.synthetic.placement import hull_gap, plan_hull
from wsp_mm.synthetic.plan import SceneRequest
from wsp_mm.synthetic.render import BOX_FACES, PROP, project_m, window_of
from wsp_mm.synthetic.scene import empty_image, generate_scene, pose_scene
from wsp_mm.synthetic.worlds import WORLDS, h36m, muco, mupots, wild

SET = get_joint_set('world')


def request(number, persons=4, size=(160, 120), source='coco', **more):
    return SceneRequest(
        'wild', source, 'train', number, 'x.jpg', *size, persons, 5, (number,), **more
    )


def generate(asked):
    return generate_scene(asked, WORLDS[asked.world].SETTINGS[asked.source])


def posed(asked):
    return pose_scene(WORLDS[asked.world].SETTINGS[asked.source], asked)


def seen_of(asked):
    """The posed scene of a request, and the renderer's buffers."""
    scene, camera = posed(asked), wild._view(asked).camera
    return scene, scene.renderer.render(camera, asked.width, asked.height, color=False)


@pytest.fixture(scope='module')
def images():
    return [generate(request(number, 2 + number % 5)) for number in range(12)]


# ------------------------------------------------------------------ wild
def test_image_and_ground_truth(images):
    shown = 0
    for image, scene in images:
        assert image.shape == (120, 160, 3) and image.dtype == np.uint8 and image.std() > 5
        assert 800 <= scene.camera_height <= 2200 and abs(scene.pitch) < 25 and abs(scene.roll) < 15
        assert 500 <= scene.camera.f[0] * 640 / 160 <= 1500
        for person in scene.persons:
            shown += person.inside.any()
            assert not (person.visible & ~person.inside).any()
            assert 0 <= person.visible_share <= 1 and (person.area > 0) == bool(person.polygons)
            assert 900 < person.height < 2150 and 3 <= person.age <= 90
        px = scene.camera.project(scene.joints_cam())[..., :2]
        np.testing.assert_allclose(px, [p.joints_px for p in scene.persons], atol=1e-6)
    assert shown > 0.9 * sum(len(scene.persons) for _, scene in images)


def test_camera_angles_are_those_that_were_asked_for():
    for pitch, roll in ((6, -3), (-4, 2)):
        camera = wild.level_camera(500, 1.6, pitch, roll, 64, 48)
        scene = SceneGT(request(0), camera, [])
        found = scene.camera_height, scene.pitch, scene.roll
        assert found == pytest.approx((1600, pitch, roll))


def test_ground_truth_survives_json(images):
    for _, scene in images[:3]:
        data = json.loads(json.dumps(scene.to_dict()))
        again = SceneGT.from_dict(data, scene.request)
        for a, b in zip(again.persons, scene.persons, strict=True):
            np.testing.assert_allclose(a.joints_world, b.joints_world, atol=1e-3)
            assert (a.visible == b.visible).all() and a.polygons == b.polygons
            assert (a.action, a.area, a.bbox.tolist()) == (b.action, b.area, b.bbox.tolist())
        with pytest.raises(ValueError, match=r'y\.jpg'):
            SceneGT.from_dict(data, replace(scene.request, path='y.jpg'))
        del data['persons'][0]['joints_world'][0]
        with pytest.raises(ValueError):
            SceneGT.from_dict(data, scene.request)


def test_a_request_makes_one_image():
    first, again, other = (generate(request(number, 3)) for number in (5, 5, 6))
    np.testing.assert_array_equal(first[0], again[0])
    assert first[1].to_dict() == again[1].to_dict()
    assert (first[0] != other[0]).any()
    # The size changes the sampling of pixels, not the scene; centers of pixels: (x + 0.5) scales.
    _, large = generate(request(5, 3, (320, 240)))
    for a, b in zip(first[1].persons, large.persons, strict=True):
        np.testing.assert_allclose(a.joints_world, b.joints_world, atol=1e-6)
        np.testing.assert_allclose((a.joints_px + 0.5) * 2, b.joints_px + 0.5, atol=1e-3)
    image, nobody = generate(request(1, 0))
    assert nobody.persons == [] and image.shape == (120, 160, 3)


def first_hits(triangles, origin, ray):
    """Distances (N,) along a ray at which it meets triangles (N, 3, 3), inf where it does not
    (Moeller and Trumbore 1997).
    """
    a = triangles[:, 0]
    ab, ac = triangles[:, 1] - a, triangles[:, 2] - a
    p = np.cross(ray, ac)
    with np.errstate(divide='ignore', invalid='ignore'):
        inverse = 1 / (ab * p).sum(1)
        u = ((origin - a) * p).sum(1) * inverse
        q = np.cross(origin - a, ab)
        v, t = (q @ ray) * inverse, (q * ac).sum(1) * inverse
        return np.where((u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0), t, np.inf)


def test_another_ray_caster_finds_the_same_surfaces():
    """Depths, owners and parts at joints and at random pixels of bodies, ground and boxes."""
    asked = request(4, 6)
    scene, seen = seen_of(asked)
    camera, body = wild._view(asked).camera, body_model()
    boxes = [seat.corners()[BOX_FACES] for seat in scene.seats if seat]
    triangles = np.concatenate([*(surface[body.faces] for surface in scene.surfaces), *boxes])
    rng = np.random.default_rng(0)
    pixels = np.concatenate([project_m(camera, joints)[::4, :2] for joints in scene.joints])
    pixels = np.concatenate([np.rint(pixels), rng.integers(0, (160, 120), (60, 2))]).astype(int)
    pixels = pixels[((pixels >= 0) & (pixels < (160, 120))).all(axis=1)]
    origin, agreed, owners = camera.position / 1000, 0, set()
    for x, y in pixels:
        # The third component of the camera's ray is 1, so that its parameter is the depth.
        ray = camera.R.T @ np.append((np.array([x, y]) - camera.c) / camera.f, 1)
        hits = first_hits(triangles, origin, ray)
        ground = -origin[2] / ray[2] if ray[2] < 0 else np.inf
        k, depth = int(hits.argmin()), hits.min()
        owner, face = divmod(k, len(body.faces))
        owner = (owner if owner < len(scene.joints) else PROP) if depth < ground else None
        owners.add(owner)
        said = seen.owner[y, x]
        if owner is None:
            same = said in (-1, -2)
        else:
            same = said == owner and seen.depth[y, x] == pytest.approx(depth, abs=0.01)
        if same and said >= 0:
            same = body.face_part[face] == body.face_part[seen.face[y, x]]
        agreed += bool(same)
    # Outlines that pass a pixel's center by less than float32 tells may be judged either way.
    assert agreed >= len(pixels) - 3 and len(pixels) > 70 and len(owners) > 4


def test_masks_boxes_outlines_and_areas_agree_with_the_buffers():
    checked = 0
    for number in (3, 7):
        asked = request(number, 5, (320, 240))
        _, scene = generate(asked)
        posed_scene, seen = seen_of(asked)
        for person in scene.persons:
            mask = seen.owner == person.person_id
            assert person.area == mask.sum()
            x0, y0, alone = posed_scene.renderer.cover(person.person_id, seen)
            whole = np.zeros_like(mask)
            whole[y0 : y0 + alone.shape[0], x0 : x0 + alone.shape[1]] = alone
            assert not (mask & ~whole).any()  # what is seen of somebody, they would also fill alone
            assert person.visible_share == pytest.approx(mask.sum() / max(1, whole.sum()), abs=1e-3)
            if person.area < 300:
                continue
            ys, xs = np.nonzero(mask)
            box = [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
            np.testing.assert_array_equal(person.bbox, box)
            drawn = np.zeros(mask.shape, np.uint8)
            for polygon in person.polygons:
                cv2.fillPoly(drawn, [np.reshape(polygon, (-1, 2)).round().astype(np.int32)], 1)
            assert (drawn.astype(bool) & mask).sum() / (drawn.astype(bool) | mask).sum() > 0.85
            checked += 1
    assert checked > 3


def test_what_is_turned_away_or_covered_is_not_visible(images):
    away, facing, hidden = [], [], 0
    nose, ears = SET.index('nose'), [SET.index('left_ear'), SET.index('right_ear')]
    for _, scene in images + [generate(request(number, 4)) for number in range(20, 32)]:
        for person in scene.persons:
            if not person.inside.any():
                continue
            hidden += person.visible_share < 0.5 and person.visible[person.inside].mean() < 0.6
            middle = person.joints_world[ears].mean(axis=0)
            towards = (person.joints_world[nose] - middle) @ (scene.camera.position - middle)
            towards /= np.linalg.norm(scene.camera.position - middle)
            if person.visible_share > 0.9 and person.inside[nose] and person.area > 150:
                (away if towards < -50 else facing).append(person.visible[nose])
    assert len(away) > 3 and not any(away) and np.mean(facing) > 0.5 and hidden > 0


def test_nobody_floats_or_is_inside_somebody():
    lifted = 0
    part, body = body_model().vertex_part, body_model()
    for number in range(10):
        scene = posed(request(number, 6))
        on = [surface[body.on_surface] for surface in scene.surfaces]
        middles = [(points.min(0) + points.max(0)) / 2 for points in on]
        for i, (surface, pose) in enumerate(zip(scene.surfaces, scene.bodies.poses, strict=True)):
            height = surface[:, 2] - scene.clip.lifts[i]
            lowest = height[body.on_surface].min()
            assert lowest == pytest.approx(pose.values[COLUMN['airborne']], abs=0.03)
            if scene.clip.lifts[i]:
                lifted += 1
                feet = surface[np.isin(part, [PART_INDEX['left_foot'], PART_INDEX['right_foot']])]
                assert scene.seats[i].size[2] == scene.clip.lifts[i] and pose.gait is None
                assert np.abs(feet[:, :2] - scene.seats[i].center).max() < scene.seats[i].size.max()
        for i, j in itertools.combinations(range(6), 2):
            between = np.linalg.norm((middles[i] - middles[j])[:2])
            assert between > 0.2, 'two bodies at one place'
    assert lifted


def test_frames_show_the_same_people_and_camera_in_motion():
    video = dict(source='posetrack18', sequence=0)
    frames = [generate(request(9, 3, frame=k, time=k / 12, **video)) for k in range(4)]
    image, first = frames[0]
    for other, scene in frames[1:]:
        np.testing.assert_array_equal(scene.camera.R, first.camera.R)
        now, before = ([(p.age, p.height) for p in s.persons] for s in (scene, first))
        assert now == before
        # The background stays: most pixels differ by noise only.
        assert np.median(np.abs(other.astype(int) - image)) <= 6
    steps = [
        np.abs(b.joints_world - a.joints_world).max()
        for (_, s), (_, t) in itertools.pairwise(frames)
        for a, b in zip(s.persons, t.persons, strict=True)
    ]
    assert 0.5 < max(steps) < 500  # mm a frame


def test_walkers_go_where_they_look():
    moved = 0
    for number in range(5):
        asked = request(number, 4, source='posetrack18')
        a, b = posed(asked), posed(replace(asked, time=0.05))
        for i, pose in enumerate(a.clip.poses):
            step = (b.places[i] - a.places[i]) / 0.05
            forward = np.array([np.sin(a.yaws[i]), -np.cos(a.yaws[i])])
            speed = pose.gait.speed(a.bodies.height[i]) if pose.gait else 0
            assert step @ forward == pytest.approx(speed, rel=0.02)
            moved += pose.gait is not None
    assert moved > 2


# ------------------------------------------------------------------ h36m
def h36m_request(action='Directions', subject=1, frame=5, side=96, camera=0, seed=0):
    index = 2 + h36m.ACTIONS.index(action)
    return SceneRequest(
        'h36m', 'h36m', 'train', 4 * frame + camera, 'x.jpg', side, side, 1, seed,
        (subject, index, 1, frame // 64), frame % 64 / 50, camera, frame=frame, action=action,
    )  # fmt: skip


def test_cameras_surround_the_room_and_differ_a_little_between_days():
    rigs = [[h36m.camera_view(0, s, 1000, k).camera for k in range(4)] for s in h36m.SUBJECTS]
    for rig in rigs:
        places = np.array([camera.position for camera in rig]) / 1000
        assert len({(x > 0, y > 0) for x, y, _ in places}) == 4
        assert ((places[:, 2] > 1.3) & (places[:, 2] < 1.8)).all()
        for camera in rig:
            assert camera.f == pytest.approx(np.full(2, 1147), abs=8)
            # The middle of the room is in the middle of the image, a head over its feet.
            middle, top, bottom = project_m(camera, np.array([[0, 0, z] for z in (0.9, 1.7, 0)]))
            assert np.abs(middle[:2] - 500).max() < 60 and 4 < middle[2] < 6
            assert top[1] < bottom[1] - 300 and abs(top[0] - bottom[0]) < 25
    for a, b in zip(*rigs[:2], strict=True):
        assert a.f.tolist() == b.f.tolist() and a.c.tolist() == b.c.tolist()
        assert 5 < np.linalg.norm(a.position - b.position) < 450
    small, large = (h36m.camera_view(3, 5, side, 0).camera for side in (100, 1000))
    assert large.f == pytest.approx(10 * small.f) and (small.t == large.t).all()


def test_subjects_keep_their_bodies_and_clothes():
    people = {s: h36m._people(h36m_request(subject=s), None)[0] for s in h36m.SUBJECTS}
    assert {s for s, (who, _) in people.items() if who.female} == {1, 5, 7}
    assert all(20 <= who.age <= 50 for who, _ in people.values())
    assert len({outfit.textures for _, outfit in people.values()}) == len(people)
    scene_module.subject.cache_clear()
    again, outfit = h36m._people(h36m_request('Walking', 9, 70), None)[0]
    assert (again.phenotype == people[9][0].phenotype).all()
    assert outfit.textures == people[9][1].textures


def test_everybody_is_inside_all_four_images():
    turns, inside = [], []
    for action in h36m.ACTIONS:
        scene = posed(h36m_request(action, 9, 70))
        turns.append(scene.yaws[0])
        for camera in range(4):
            view = h36m.camera_view(0, 9, 256, camera)
            px = project_m(view.camera, scene.joints[0])[:, :2]
            inside.append(((px > 0) & (px < 256)).all(axis=1).mean())
    assert np.mean(inside) > 0.98 and np.ptp(turns) > 4


def test_only_what_differs_from_the_empty_room_is_rendered_and_it_makes_no_difference():
    for camera in range(2):
        asked = h36m_request('Sitting', 5, 5, 128, camera, seed=2)
        part, scene = generate(asked)
        view, room = h36m.camera_view(2, 5, 128, camera), h36m._room()
        differs = np.abs(part.astype(int) - empty_image(view, room, 128, 128)).max(axis=2) > 15
        u, v = np.rint(scene.persons[0].joints_px.mean(axis=0)).astype(int)
        assert differs[v - 3 : v + 4, u - 3 : u + 4].mean() > 0.5 and differs.mean() < 0.15
        whole, _ = generate_scene(asked, replace(h36m.SETTINGS['h36m'], shadow=None))
        off = np.abs(part.astype(int) - whole)
        assert off[~differs].max() <= 15 and off.mean() < 0.3


# ------------------------------------------------------------------ muco
def muco_request(number, persons=3, split='unaugmented_set', side=96):
    return SceneRequest(
        'muco', 'muco', split, number, f'muco/{number}.jpg', side, side, persons, 0, (number,)
    )


def test_layers_are_pasted_nearest_last():
    covered = 0
    for number in range(6):
        image, scene = generate(muco_request(number, 4))
        again, _ = generate(muco_request(number, 4))
        np.testing.assert_array_equal(image, again)
        depth = scene.joints_cam()[:, SET.index('pelvis'), 2]
        assert ((depth > 1500) & (depth < 7500)).all()
        nearest = scene.persons[int(depth.argmin())]
        np.testing.assert_array_equal(nearest.visible, nearest.inside)  # its own body hides nothing
        covered += sum((p.inside & ~p.visible).any() for p in scene.persons)
    assert covered


def test_augmented_images_have_other_backgrounds():
    views = [muco.camera_view(0, k, 96) for k in range(6)]
    studio = [empty_image(view, muco._studio(), 96, 96).astype(int) for view in views]
    for split, same in (('unaugmented_set', True), ('augmented_set', False)):
        image, _ = generate(muco_request(3, 1, split))
        off = min(np.median(np.abs(image - empty)) for empty in studio)
        assert (off < 8) == same


def test_subjects_have_two_outfits_and_are_not_those_of_mupots():
    theirs = [scene_module.subject('muco', 0, k, o, bool(k % 2), (18, 60)) for k in range(2)
              for o in range(2)]  # fmt: skip
    assert theirs[0][0].phenotype.tolist() == theirs[1][0].phenotype.tolist()
    assert theirs[0][1].textures != theirs[1][1].textures
    ours = mupots._people(mupots.plan(0, 1, 64, 1.0)[0], None)
    for who, _ in ours:
        assert all(np.abs(who.phenotype - other.phenotype).max() > 1e-3 for other, _ in theirs)
        assert 18 <= who.age <= 60 and 1.62 <= who.height <= 1.76


# ------------------------------------------------------------------ mupots
def test_a_sequence_has_one_camera_and_the_same_people_who_move():
    asked = [r for r in mupots.plan(2, 8, 64, 0.5) if r.sequence == 7]
    scenes = [posed(r) for r in asked[:6]]
    first = scenes[0]
    assert {mupots._view(r) for r in asked} == {mupots._view(asked[0])}
    for one, two in itertools.pairwise(scenes):
        assert two.clip.identities == first.clip.identities
        off = np.linalg.norm(one.joints - two.joints, axis=2).max(axis=1)
        # Half a second apart in one piece: everybody moves, nobody jumps.
        assert (off > 0.003).all() and (off < 1.6).all()
    new = posed(asked[6])
    assert new.clip.identities == first.clip.identities
    assert np.linalg.norm(new.places - first.places, axis=1).max() > 0.3
    assert len(posed(replace(asked[0], num_persons=0)).joints) == 0


def test_clutter_touches_nobody_and_leaves_the_image_free():
    boxes = 0
    for number in range(6):
        asked = SceneRequest(
            'photo', 'photo', 'train', number, 'x.jpg', 160, 120, 3, 5, (number,)
        )  # fmt: skip
        scene, settings = posed(asked), WORLDS['photo'].SETTINGS['photo']
        people = [plan_hull(surface[body_model().on_surface]) for surface in scene.surfaces]
        camera = settings.view(asked).camera
        for box in scene.clutter:
            hull, window = plan_hull(box.corners()), window_of(camera, box.corners())
            assert all(hull_gap(hull, other) > 0 for other in people)
            x0, y0, x1, y1 = np.clip(window, 0, [160, 120, 160, 120])
            assert (x1 - x0) * (y1 - y0) <= 0.25 * 160 * 120
        boxes += len(scene.clutter)
        assert len(scene.clutter) <= settings.clutter
    assert boxes > 6
    assert not posed(request(0)).clutter  # other worlds have none
