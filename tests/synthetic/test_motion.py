# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Poses stay within limits, bodies do what the numbers say, and move smoothly."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsp_mm.structures.h36m import ACTIONS as H36M
from wsp_mm.synthetic.actions import ACTIONS, H36M_ACTIONS, WALKS, sample_pose
from wsp_mm.synthetic.body import body_model
from wsp_mm.synthetic.joints import WORLD
from wsp_mm.synthetic.kinematics import PoseSolver, rotation
from wsp_mm.synthetic.motion import COLUMN, LOWER, REST, TARGET_INDEX, UPPER, Gait, Pose, pose_at
from wsp_mm.synthetic.people import pose_bodies, sample_identity


def test_limits_table():
    assert ((LOWER <= REST) & (REST <= UPPER)).all()
    assert LOWER[COLUMN['left_knee']] >= 0 and LOWER[COLUMN['right_elbow']] >= 0
    assert UPPER[COLUMN['left_hand_target']] == len(TARGET_INDEX)
    assert tuple(H36M_ACTIONS) == H36M and set(H36M_ACTIONS) < set(ACTIONS)


@pytest.mark.parametrize('action', ACTIONS)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_sampled_poses_are_within_limits(action, seed):
    pose = sample_pose(action, np.random.default_rng(seed))
    assert pose.posture in {'standing', 'sitting', 'crouching', 'kneeling', 'lying', 'airborne'}
    assert (pose.values >= LOWER).all() and (pose.values <= UPPER).all()
    assert np.isfinite(pose.values).all()
    assert (pose.gait is not None) == (action in WALKS)


def _pose(**values):
    pose = REST.copy()
    for name, value in values.items():
        pose[COLUMN[name]] = value
    return Pose('Test', 'standing', pose)


def _joints(*poses):
    identity = sample_identity(np.random.default_rng(1))
    bodies = pose_bodies([identity] * len(poses), list(poses))
    return [dict(zip(WORLD, joints, strict=True)) for joints in bodies.joints]


def _angle(a, b, c):
    u, v = a - b, c - b
    return 180 - np.rad2deg(np.arccos(u @ v / np.linalg.norm(u) / np.linalg.norm(v)))


def test_arm_angles():
    found = _joints(
        _pose(left_arm_elev=0),
        _pose(left_arm_elev=90, left_arm_azim=0),
        _pose(left_arm_elev=90, left_arm_azim=90),
        _pose(left_arm_elev=170, left_arm_azim=20),
        *(_pose(left_arm_elev=0, left_elbow=angle, left_arm_twist=0) for angle in (30, 90, 130)),
    )
    arms = np.array([at['left_elbow'] - at['left_shoulder'] for at in found])
    arms /= np.linalg.norm(arms, axis=1, keepdims=True)
    assert arms[0, 2] < -0.95 and arms[1, 0] > 0.9 and arms[2, 1] < -0.85 and arms[3, 2] > 0.85
    for at, angle in zip(found[4:], (30, 90, 130), strict=True):
        elbow = _angle(at['left_shoulder'], at['left_elbow'], at['left_wrist'])
        assert elbow == pytest.approx(angle, abs=14)
        assert at['left_wrist'][1] < at['left_elbow'][1]  # forwards


def test_legs_and_spine():
    free, crouched, straight, bent, turned = _joints(
        _pose(left_leg_fk=1, left_knee=80, left_hip_flex=20),
        _pose(hip_height=0.5, left_foot_y=0.1, right_foot_y=0.1),
        _pose(spine_flex=0),
        _pose(spine_flex=50),
        _pose(neck_twist=60),
    )
    knee = _angle(free['left_hip'], free['left_knee'], free['left_ankle'])
    assert knee == pytest.approx(80, abs=12) and free['left_ankle'][1] > free['left_knee'][1]
    for side in ('left', 'right'):  # knees forwards, feet down
        behind = min(crouched[f'{side}_hip'][1], crouched[f'{side}_ankle'][1])
        assert crouched[f'{side}_knee'][1] < behind and crouched[f'{side}_heel'][2] < 0.2
    assert bent['thorax'][1] < straight['thorax'][1] - 0.1
    assert turned['nose'][0] > 0.03  # towards its own left


def test_hands_reach_their_targets():
    near = {'ear': 'ear', 'mouth': 'eye', 'brow': 'eye', 'hip': 'hip', 'pocket': 'hip'}
    held = _joints(*(_pose(left_hand_target=TARGET_INDEX[target]) for target in near))
    for at, joint in zip(held, near.values(), strict=True):
        assert np.linalg.norm(at['left_wrist'] - at[f'left_{joint}']) < 0.2
    seated = dict(hip_height=0.5, left_foot_y=0.5, right_foot_y=0.5, spine_flex=20)
    (at,) = _joints(_pose(left_hand_target=TARGET_INDEX['thigh'], **seated))
    assert np.linalg.norm(at['left_wrist'] - at['left_knee']) < 0.22
    assert at['left_wrist'][2] > at['left_knee'][2]


def hinge_angles(heads, rotations, bone, parent, child):
    """Bend, and turn about anything else (degrees, both (B,)), of a knee or elbow, from what the
    bones do.

    Args:
        heads: (B, N, 3) reference bone heads. rotations: (B, N, 3, 3) relative to the parent bone.
        bone: below the joint. parent: first bone above it. child: first bone below its end.
    """
    index = body_model().index
    a, b, c = (heads[:, index[name]] for name in (parent, bone, child))
    upper, lower = b - a, c - b
    line = (c - a) / np.linalg.norm(c - a, axis=1, keepdims=True)
    # A knee's axis is level, across the line from hip to ankle; an elbow's is normal to both bones.
    hinge = np.array([1.0, 0, 0]) - line[:, :1] * line if 'leg' in bone else np.cross(upper, lower)
    hinge = hinge / np.linalg.norm(hinge, axis=1, keepdims=True)
    r = rotations[:, index[bone]]
    bent = np.einsum('bij,bj->bi', r, lower)
    flat_upper = upper - (upper * hinge).sum(1, keepdims=True) * hinge
    flat_bent = bent - (bent * hinge).sum(1, keepdims=True) * hinge
    sine = (np.cross(flat_upper, flat_bent) * hinge).sum(1)
    angle = np.rad2deg(np.arctan2(sine, (flat_upper * flat_bent).sum(1)))
    moved = np.einsum('bij,bj->bi', r, hinge)
    return angle, np.rad2deg(np.arccos(np.clip((moved * hinge).sum(1), -1, 1)))


def test_hinges_of_every_action():
    """Knees and elbows, measured on the bones, bend the right way for people of all builds."""
    rng = np.random.default_rng(5)
    poses = [sample_pose(action, rng) for action in ACTIONS for _ in range(6)]
    identities = [sample_identity(rng) for _ in poses]
    bodies = pose_bodies(identities, poses)
    phenotypes = np.stack([identity.phenotype for identity in identities])
    heads = body_model().shapes(phenotypes).heads
    for chain in (('lowerleg01', 'upperleg01', 'foot'), ('lowerarm01', 'upperarm01', 'wrist')):
        for tag in 'LR':
            names = [f'{bone}.{tag}' for bone in chain]
            angle, turn = hinge_angles(heads, bodies.rotations, *names)
            assert (angle > -3).all() and (angle < 153).all() and (turn < 2).all()


def test_solver_gives_rotations():
    body, rng = body_model(), np.random.default_rng(0)
    poses = np.stack([sample_pose(action, rng).values for action in ACTIONS])
    r = PoseSolver(body, body.shapes(rng.uniform(0.2, 0.8, (len(poses), 6))), poses).solve()
    identity = np.broadcast_to(np.eye(3), r.shape)
    np.testing.assert_allclose(r @ np.swapaxes(r, -1, -2), identity, atol=1e-6)
    assert (np.linalg.det(r) > 0).all()
    turned = rotation(np.array([0, 0, 1.0]), 90) @ [1, 0, 0]
    np.testing.assert_allclose(turned, [0, 1, 0], atol=1e-12)


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
    azimuth = [name.endswith('arm_azim') for name in COLUMN]  # means little where an arm hangs
    assert (step[np.invert(azimuth)] < 16).all() and step.sum() > 1
    assert ((rows >= LOWER) & (rows <= UPPER)).all()
