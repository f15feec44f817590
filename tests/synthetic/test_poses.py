# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Poses stay within limits, and bodies do what the numbers say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsp_mm.synthetic.actions import ACTIONS, H36M_ACTIONS, WALKS, sample_pose
from wsp_mm.synthetic.animation import pose_at, walking_speed
from wsp_mm.synthetic.body import body_model
from wsp_mm.synthetic.joints import WORLD
from wsp_mm.synthetic.kinematics import PoseSolver, rotation
from wsp_mm.synthetic.people import pose_bodies, sample_identity
from wsp_mm.synthetic.poses import DOFS, HAND_TARGETS, LOWER, REST, UPPER, Gait, Pose, column
from wsp_mm.synthetic.verify import hinge_angles

POSTURES = {'standing', 'sitting', 'crouching', 'kneeling', 'lying', 'airborne'}


def test_limits_table():
    assert ((LOWER <= REST) & (REST <= UPPER)).all()
    for side in ('left', 'right'):
        assert LOWER[column(f'{side}_knee')] >= 0 and LOWER[column(f'{side}_elbow')] >= 0
        assert UPPER[column(f'{side}_hand_target')] == len(HAND_TARGETS)


def test_the_fifteen_actions():
    assert len(H36M_ACTIONS) == 15 and set(H36M_ACTIONS) < set(ACTIONS)
    assert {'Running', 'Jumping', 'Crouching', 'Kneeling', 'Stepping'} <= set(ACTIONS)


@pytest.mark.parametrize('action', ACTIONS)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_sampled_poses_are_within_limits(action, seed):
    pose = sample_pose(action, np.random.default_rng(seed))
    assert pose.posture in POSTURES
    assert (pose.values >= LOWER).all() and (pose.values <= UPPER).all()
    assert np.isfinite(pose.values).all()
    assert (pose.gait is not None) == (action in WALKS)


def test_unknown_action():
    with pytest.raises(KeyError, match='Moonwalk'):
        sample_pose('Moonwalk', np.random.default_rng(0))


def _pose(**values):
    pose = REST.copy()
    for name, value in values.items():
        pose[column(name)] = value
    return Pose('Test', 'standing', pose)


def _joints(*poses):
    rng = np.random.default_rng(1)
    identity = sample_identity(rng, dressed=False)
    bodies = pose_bodies([identity] * len(poses), list(poses))
    return [dict(zip(WORLD, joints, strict=True)) for joints in bodies.joints]


def _angle(a, b, c):
    u, v = a - b, c - b
    return 180 - np.rad2deg(np.arccos(u @ v / np.linalg.norm(u) / np.linalg.norm(v)))


def test_arm_angles():
    down, side, front, up = _joints(
        _pose(left_arm_elev=0),
        _pose(left_arm_elev=90, left_arm_azim=0),
        _pose(left_arm_elev=90, left_arm_azim=90),
        _pose(left_arm_elev=170, left_arm_azim=20),
    )

    def direction(at):
        d = at['left_elbow'] - at['left_shoulder']
        return d / np.linalg.norm(d)

    assert direction(down)[2] < -0.95
    assert direction(side)[0] > 0.9
    assert direction(front)[1] < -0.85
    assert direction(up)[2] > 0.85


def test_elbow_bends_by_its_angle_and_forwards():
    for angle in (30, 90, 130):
        (at,) = _joints(_pose(left_arm_elev=0, left_elbow=angle, left_arm_twist=0))
        assert _angle(at['left_shoulder'], at['left_elbow'], at['left_wrist']) == pytest.approx(
            angle, abs=14
        )
        assert at['left_wrist'][1] < at['left_elbow'][1]


def test_free_knee_bends_backwards():
    (at,) = _joints(_pose(left_leg_fk=1, left_knee=80, left_hip_flex=20))
    assert _angle(at['left_hip'], at['left_knee'], at['left_ankle']) == pytest.approx(80, abs=12)
    assert at['left_ankle'][1] > at['left_knee'][1]


def test_crouching_bends_knees_forwards_with_feet_down():
    (at,) = _joints(_pose(hip_height=0.5, left_foot_y=0.1, right_foot_y=0.1))
    for side in ('left', 'right'):
        assert at[f'{side}_knee'][1] < min(at[f'{side}_hip'][1], at[f'{side}_ankle'][1])
        assert at[f'{side}_heel'][2] < 0.2


def test_spine_and_neck_bend_forwards():
    straight, bent = _joints(_pose(spine_flex=0), _pose(spine_flex=50))
    assert bent['thorax'][1] < straight['thorax'][1] - 0.1
    left = _joints(_pose(neck_twist=60))[0]
    assert left['nose'][0] > 0.03  # towards its own left


@pytest.mark.parametrize('target', [name for name, _, _ in HAND_TARGETS])
def test_hands_reach_their_targets(target):
    """The wrist comes to within a few centimetres of where the table says, unless an arm is too
    short.
    """
    k = [name for name, _, _ in HAND_TARGETS].index(target) + 1
    free, held = _joints(_pose(), _pose(left_hand_target=k))
    near = {
        'ear': 'left_ear',
        'mouth': 'nose',
        'brow': 'left_eye',
        'hip': 'left_hip',
        'pocket': 'left_hip',
    }
    moved = np.linalg.norm(held['left_wrist'] - free['left_wrist'])
    if target in near:
        assert np.linalg.norm(held['left_wrist'] - held[near[target]]) < 0.2
    assert moved > 0.03


def test_hand_on_the_knee_of_who_sits():
    seated = dict(hip_height=0.5, left_foot_y=0.5, right_foot_y=0.5, spine_flex=20)
    k = [name for name, _, _ in HAND_TARGETS].index('thigh') + 1
    (at,) = _joints(_pose(left_hand_target=k, **seated))
    assert np.linalg.norm(at['left_wrist'] - at['left_knee']) < 0.22
    assert at['left_wrist'][2] > at['left_knee'][2]


@pytest.mark.parametrize('action', ACTIONS)
def test_hinges_of_every_action(action):
    """Knees and elbows, measured on the bones, bend the right way for people of all builds."""
    rng = np.random.default_rng(5)
    identities = [sample_identity(rng, dressed=False) for _ in range(12)]
    poses = [sample_pose(action, rng) for _ in identities]
    body = body_model()
    bodies = pose_bodies(identities, poses)
    heads = body.shapes(np.stack([identity.phenotype for identity in identities])).heads
    for bone, parent, child in (
        ('lowerleg01', 'upperleg01', 'foot'),
        ('lowerarm01', 'upperarm01', 'wrist'),
    ):
        for tag in ('L', 'R'):
            angle, turn = hinge_angles(
                body, heads, bodies.rotations, f'{bone}.{tag}', f'{parent}.{tag}', f'{child}.{tag}'
            )
            assert (angle > -3).all() and (angle < 153).all()
            assert (turn < 2).all()


def test_solver_gives_rotations():
    body = body_model()
    rng = np.random.default_rng(0)
    poses = np.stack([sample_pose(action, rng).values for action in ACTIONS])
    shapes = body.shapes(rng.uniform(0.2, 0.8, (len(poses), 6)))
    r = PoseSolver(body, shapes, poses).solve()
    np.testing.assert_allclose(
        r @ np.swapaxes(r, -1, -2), np.broadcast_to(np.eye(3), r.shape), atol=1e-6
    )
    assert (np.linalg.det(r) > 0).all()


def test_rotation_by_hand():
    np.testing.assert_allclose(
        rotation(np.array([0, 0, 1.0]), 90) @ [1, 0, 0], [0, 1, 0], atol=1e-12
    )
    np.testing.assert_allclose(
        rotation(np.array([1.0, 0, 0]), np.array([90.0]))[0] @ [0, 0, -1], [0, 1, 0], atol=1e-12
    )


# ------------------------------------------------------------------ in time
def test_gait_alternates_and_lifts_one_foot():
    for phase in np.linspace(0, 2 * np.pi, 9):
        values = Gait(phase, 0.3, 0.1, 20, 1.0).values()
        assert values['left_foot_y'] == pytest.approx(-values['right_foot_y'])
        assert min(values['left_foot_z'], values['right_foot_z']) == 0
    # Over a stance the foot goes back by two strides in half a cycle: that is the body's speed.
    assert Gait(0, 0.3, 0.1, 20, 1.0).speed(1.7) == pytest.approx(2 * 0.3 * 0.47 * 1.7 / 0.5)


@pytest.mark.parametrize('action', ['Walking', 'Running', 'Discussion', 'Sitting'])
def test_poses_move_smoothly(action):
    pose = sample_pose(action, np.random.default_rng(2))
    times = np.arange(0, 2, 1 / 24)
    rows = np.stack([pose_at(pose, t, np.random.default_rng(9)).values for t in times])
    np.testing.assert_array_equal(rows[0], pose.values)
    step = np.abs(np.diff(rows, axis=0)).max(axis=0)
    azimuth = [name.endswith('arm_azim') for name in DOFS]  # means little where an arm hangs
    assert (step[np.invert(azimuth)] < 16).all()
    assert np.abs(np.diff(rows, axis=0)).sum() > 1  # it does move
    assert ((rows >= LOWER) & (rows <= UPPER)).all()


def test_time_and_speed():
    with pytest.raises(ValueError, match='negative'):
        pose_at(_pose(), -1, np.random.default_rng(0))
    assert walking_speed(_pose(), 1.7) == 0
    assert 0.4 < walking_speed(sample_pose('Walking', np.random.default_rng(0)), 1.7) < 1.6
