# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Every check passes on what we make, and fires on what is broken on purpose."""

from dataclasses import replace

import numpy as np
import pytest

from wsp_mm.synthetic import verify
from wsp_mm.synthetic.body import PART_INDEX, body_model
from wsp_mm.synthetic.people import pose_bodies
from wsp_mm.synthetic.poses import column
from wsp_mm.synthetic.record import Scene
from wsp_mm.synthetic.reference_caster import ReferenceCaster
from wsp_mm.synthetic.scene import SceneRequest, make_setting, render_setting


def request(seed, persons=4, **more):
    return SceneRequest(seed, 'coco', 'train', 'x.jpg', 160, 120, persons, seed, **more)


@pytest.fixture
def made():
    asked = request(2, 4)
    setting = make_setting(asked)
    _, scene, seen = render_setting(setting)
    return asked, setting, scene, seen


@pytest.mark.parametrize('seed', range(6))
def test_scenes_are_right(seed):
    asked = request(seed, 2 + seed)
    _, scene, _ = render_setting(make_setting(asked))
    # As --verify does it: from what json keeps, and everything else made anew.
    assert verify.verify_scene(Scene.from_dict(scene.to_dict()), asked) == []


@pytest.mark.parametrize('frame', [0, 5, 11])
def test_videos_are_right(frame):
    asked = request(31, 4, sequence=0, frame=frame)
    setting = make_setting(asked)
    _, scene, seen = render_setting(setting)
    assert verify.verify_scene(scene, asked, setting, seen) == []


def check(made):
    asked, setting, scene, seen = made
    return ' | '.join(verify.verify_scene(scene, asked, setting, seen))


def test_joint_that_reprojects_elsewhere(made):
    made[2].persons[0].joints_px[3] += (0.6, 0)
    assert 'left_ear reprojects 0.60 px off' in check(made)


def test_joint_off_the_body(made):
    camera, person = made[2].camera, made[2].persons[0]
    person.joints_world[0] += (30, 0, 0)
    person.joints_px = camera.project(camera.to_camera(person.joints_world))[:, :2]
    assert 'nose is 30.0 mm off the body' in check(made)


def test_person_that_is_not_there(made):
    made[2].persons[0].person_id = 11
    assert 'does not exist' in ' | '.join(verify.check_reprojection(made[2], made[1]))


def test_flipped_visibility(made):
    flipped = 0
    for person in made[2].persons:
        for k in np.flatnonzero(person.in_picture):
            person.visible[k] = not person.visible[k]
            found = verify.check_visibility(made[2], made[1], verify._caster(made[1]))
            person.visible[k] = not person.visible[k]
            flipped += len(found) == 1
            if flipped > 5:
                return
    raise AssertionError('no flipped flag was noticed')


def test_visible_out_of_the_picture(made):
    person = made[2].persons[0]
    person.joints_px[5] = (-50, 10)
    person.in_picture[5], person.visible[5] = False, True
    assert 'left_shoulder is visible out of the picture' in check(made)


def test_wrong_in_picture(made):
    person = made[2].persons[0]
    k = int(np.flatnonzero(person.in_picture)[0])
    person.in_picture[k] = person.visible[k] = False
    assert 'in_picture of' in check(made)


@pytest.mark.parametrize(('shift', 'word'), [(0.06, 'off the ground'), (-0.06, 'sinks')])
def test_bodies_off_the_ground(made, shift, word):
    setting = made[1]
    setting.bodies.surface[:, :, 2] += shift
    for pose in setting.bodies.poses:
        assert pose.posture
    assert any(
        word in problem or 'off the ground' in problem for problem in verify.check_feet(setting)
    )


def test_one_hovering_foot():
    setting = make_setting(request(2, 4))
    standing = [
        i for i, pose in enumerate(setting.bodies.poses)
        if pose.posture == 'standing' and pose.values[column('left_foot_z')] == 0
    ]  # fmt: skip
    assert standing
    foot = body_model().vertex_part == PART_INDEX['left_foot']
    setting.bodies.surface[standing[0], foot, 2] += 0.05
    assert any('left foot hovers' in problem for problem in verify.check_feet(setting))


def _repose(setting, i, **values):
    pose = setting.bodies.poses[i]
    row = pose.values.copy()
    for name, value in values.items():
        row[column(name)] = value
    poses = list(setting.bodies.poses)
    poses[i] = replace(pose, values=row)
    setting.bodies = pose_bodies(setting.bodies.identities, poses)


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        (dict(left_leg_fk=1, left_knee=-25), 'left knee bent by -'),
        (dict(right_leg_fk=1, right_knee=165), 'right knee bent by 1'),
        (dict(left_hand_target=0, left_elbow=165), 'left elbow bent by 16'),
    ],
)
def test_joints_beyond_their_limits(made, values, message):
    _repose(made[1], 0, **values)
    found = verify.check_hinges(made[1])
    assert any(message in problem for problem in found), found


def test_elbow_bent_backwards(made):
    """A hinge turned the wrong way, straight in the bones' rotations."""
    body, bodies = body_model(), made[1].bodies
    bone = body.index['lowerarm01.R']
    from wsp_mm.synthetic.kinematics import rotation

    heads = body.shapes(bodies.identities[0].phenotype[None]).heads[0]
    a, b, c = (heads[body.index[name]] for name in ('upperarm01.R', 'lowerarm01.R', 'wrist.R'))
    hinge = np.cross(b - a, c - b)
    bodies.rotations[0, bone] = rotation(hinge / np.linalg.norm(hinge), -90.0)
    assert any('right elbow bent by -' in problem for problem in verify.check_hinges(made[1]))


def test_twisted_knee(made):
    from wsp_mm.synthetic.kinematics import rotation

    bodies = made[1].bodies
    bone = body_model().index['lowerleg01.L']
    bodies.rotations[1, bone] = bodies.rotations[1, bone] @ rotation(np.array([0, 0, 1.0]), 40.0)
    assert any('left knee twisted' in problem for problem in verify.check_hinges(made[1]))


def test_bodies_inside_each_other(made):
    setting = made[1]
    assert verify.check_overlap(setting) == []
    setting.places[1] = setting.places[0] + (0.02, 0.0)
    setting.lifts[1] = setting.lifts[0]
    assert any('inside each other' in problem for problem in verify.check_overlap(setting))


def test_wrong_order_in_depth():
    asked = request(4, 6)
    setting = make_setting(asked)
    _, scene, seen = render_setting(setting)
    caster = verify._caster(setting)
    assert verify.check_depth_order(scene, seen, caster) == []
    # Somebody farther is painted over somebody nearer, wherever both would be.
    covered = []
    for i, (x0, y0, mask) in enumerate(seen.alone):
        window = seen.owner[y0 : y0 + mask.shape[0], x0 : x0 + mask.shape[1]]
        covered.append((mask & (window >= 0) & (window != i), window))
    i = int(np.argmax([hidden.sum() for hidden, _ in covered]))
    hidden, window = covered[i]
    assert hidden.sum() > 20
    window[hidden] = i
    found = verify.check_depth_order(scene, seen, caster, samples=300)
    assert any(f'shows {i} at' in problem for problem in found)


def test_wrong_depth(made):
    made[3].depth[made[3].owner >= 0] += 0.05
    assert 'nearest is' in check(made)


def test_deepest_point_of_a_ball_in_a_ball():
    import trimesh

    ball = trimesh.creation.icosphere(subdivisions=4, radius=0.2)
    points = np.array([[0.1, 0, 0], [0.3, 0, 0], [0, 0.15, 0.05]])
    assert verify._deepest(points, ball.vertices, ball.faces) == pytest.approx(0.1, abs=0.012)
    assert verify._deepest(points[1:2], ball.vertices, ball.faces) == 0


def _slab(origin, ray, low, high):
    """Parameter at which a ray enters an upright box, inf when it misses it (the slab method)."""
    with np.errstate(divide='ignore'):
        a, b = (low - origin) / ray, (high - origin) / ray
    enter, leave = np.minimum(a, b).max(), np.maximum(a, b).min()
    return enter if 0 < enter <= leave else np.inf


def test_reference_caster_against_slabs():
    import trimesh

    from wsp_mm.synthetic.placement import make_view

    view = make_view(200, 1.5, 8, 3, 160, 120)
    sizes, centers = (
        np.array([[0.6, 0.9, 0.7], [0.8, 0.4, 1.2]]),
        np.array([[0.2, 4, 1.0], [-0.3, 5, 0.6]]),
    )
    solids = [
        trimesh.creation.box(size).apply_translation(center).triangles
        for size, center in zip(sizes, centers, strict=True)
    ]
    caster = ReferenceCaster([np.asarray(triangles) for triangles in solids], view.camera)
    rng, hit = np.random.default_rng(0), 0
    origin = view.camera.position / 1000
    for x, y in rng.uniform((30, 10), (130, 110), (300, 2)):
        depth, face = caster.cast(x, y)
        # The third component of the camera's ray is 1, so that its parameter is the depth.
        ray = view.camera.R.T @ np.append((np.array([x, y]) - view.camera.c) / view.camera.f, 1)
        for k in range(2):
            wanted = _slab(origin, ray, centers[k] - sizes[k] / 2, centers[k] + sizes[k] / 2)
            assert depth[k] == pytest.approx(wanted, abs=1e-9)
            assert (face[k] >= 0) == np.isfinite(wanted)
            hit += np.isfinite(wanted)
    assert hit > 40
    # The ground's depth projects back onto z = 0.
    for y in (80.0, 110.0):
        d = caster.ground(79.5, y)
        p = view.camera.to_world(view.camera.unproject(np.array([79.5, y, d * 1000])))
        assert p[2] == pytest.approx(0, abs=1e-6)
    assert np.isinf(caster.ground(79.5, 0.0))
