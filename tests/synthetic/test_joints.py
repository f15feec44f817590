# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Every joint is where anatomy has it, on an upright body that faces -y."""

import numpy as np
import pytest

from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.synthetic.body import PARTS, body_model
from wsp_mm.synthetic.joints import ALLOWED_PARTS, DEFINITIONS, DEPTHS, WORLD, regress_joints
from wsp_mm.synthetic.kinematics import PoseSolver
from wsp_mm.synthetic.poses import REST, column


@pytest.fixture(scope='module')
def joints():
    body = body_model()
    pose = REST.copy()
    pose[column('spine_flex')] = pose[column('neck_flex')] = 0
    shapes = body.shapes(np.array([[0.5, 0.7, 0.5, 0.5, 0.5, 0.5], [0.1, 0.9, 0.7, 0.9, 0.4, 0.5]]))
    vertices, heads = body.skin(shapes, PoseSolver(body, shapes, np.stack([pose, pose])).solve())
    found = regress_joints(body, vertices, heads)
    return [{name: joints[i] for i, name in enumerate(WORLD)} for joints in found], vertices, shapes


def test_table_covers_the_joint_set():
    assert set(DEFINITIONS) == set(get_joint_set('world').concepts)
    assert ALLOWED_PARTS.shape == (29, len(PARTS)) and ALLOWED_PARTS.any(axis=1).all()
    assert (DEPTHS > 0).all() and (DEPTHS < 0.3).all()


@pytest.mark.parametrize('who', [0, 1])
def test_order_from_head_to_heel(joints, who):
    at = joints[0][who]
    column_of_body = [
        'head_top',
        'head',
        'upper_neck',
        'thorax',
        'spine',
        'pelvis',
        'left_knee',
        'left_ankle',
        'left_toe',
    ]
    heights = [at[name][2] for name in column_of_body]
    assert heights == sorted(heights, reverse=True)


@pytest.mark.parametrize('who', [0, 1])
def test_left_is_left_and_front_is_front(joints, who):
    at = joints[0][who]
    for name in WORLD:
        if name.startswith('left_'):
            mirror = at[name.replace('left_', 'right_')]
            assert at[name][0] > 0.01
            np.testing.assert_allclose(at[name] * (-1, 1, 1), mirror, atol=0.012)
    assert at['nose'][1] < at['left_ear'][1] - 0.05
    assert at['left_toe'][1] < at['left_heel'][1] - 0.12


@pytest.mark.parametrize('who', [0, 1])
def test_head_top_is_the_highest_point_of_the_head(joints, who):
    at, vertices = joints[0][who], joints[1][who]
    assert vertices[:, 2].max() - at['head_top'][2] < 0.015
    assert abs(at['head_top'][0]) < 0.03


def test_midpoints(joints):
    at = joints[0][0]
    np.testing.assert_allclose(at['pelvis'], (at['left_hip'] + at['right_hip']) / 2)
    np.testing.assert_allclose(at['thorax'], (at['left_shoulder'] + at['right_shoulder']) / 2)


def test_limbs_have_human_proportions(joints):
    at, stature = joints[0][0], joints[2].height[0]

    def length(a, b):
        return np.linalg.norm(at[a] - at[b]) / stature

    assert 0.20 < length('left_hip', 'left_knee') < 0.29
    assert 0.20 < length('left_knee', 'left_ankle') < 0.28
    assert 0.13 < length('left_shoulder', 'left_elbow') < 0.21
    assert 0.12 < length('left_elbow', 'left_wrist') < 0.19
