# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The reduced body is anny's body, with fewer faces; joints are where anatomy has them."""

import numpy as np
import pytest
import torch

from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.synthetic.body import PARTS, body_model, cross, part_of_bone
from wsp_mm.synthetic.joints import ALLOWED_PARTS, DEFINITIONS, DEPTHS, WORLD, regress_joints
from wsp_mm.synthetic.kinematics import PoseSolver
from wsp_mm.synthetic.mesh import collapse_short_edges
from wsp_mm.synthetic.motion import COLUMN, REST


@pytest.fixture(scope='module')
def full():
    import anny

    return anny.Anny().to(torch.float32)


def unposed(phenotypes):
    body = body_model()
    identity = np.tile(np.eye(3), (len(phenotypes), len(body.bones), 1, 1))
    return body.skin(body.shapes(phenotypes), identity)


def test_keypoints_and_bones_are_annys(full):
    from anny.keypoints import KeypointsRegressor

    body = body_model()
    phenotypes = np.random.default_rng(0).uniform(size=(3, len(body.phenotypes)))
    vertices, heads = unposed(phenotypes)
    out = full(phenotype_kwargs=torch.tensor(phenotypes, dtype=torch.float32))
    found = np.einsum('kv,bvd->bkd', body.regressor, vertices)
    np.testing.assert_allclose(found, KeypointsRegressor.coco(full)(out).numpy(), atol=1e-4)
    np.testing.assert_allclose(heads, out['bone_poses'][:, :, :3, 3].numpy(), atol=1e-5)


def test_surface_is_close_to_annys_closed_and_the_right_way_out(full):
    from scipy.spatial import cKDTree

    body = body_model()
    corners = unposed(np.full((1, len(body.phenotypes)), 0.5))[0][0][body.faces]
    weights = np.random.default_rng(0).dirichlet((1, 1, 1), (8, len(corners)))
    samples = np.einsum('sfk,fkd->sfd', weights, corners).reshape(-1, 3)
    outside = full(pose_parameters=None, phenotype_kwargs={'age': 0.5})['vertices'][0].numpy()
    distance, _ = cKDTree(outside[np.unique(full.faces.numpy())]).query(samples)
    assert len(body.faces) < 0.55 * len(full.faces)
    assert np.percentile(distance, 99) < 0.02  # m, half of anny's own coarsest edges
    volume = (cross(corners[:, 0], corners[:, 1]) * corners[:, 2]).sum() / 6
    assert 0.03 < volume < 0.12  # m^3; a negative volume would mean inverted faces
    assert 50 < body.eye_face.sum() < 400


def test_every_bone_has_a_part():
    assert {PARTS[part_of_bone(bone)] for bone in body_model().bones} == set(PARTS)
    with pytest.raises(KeyError, match='tail'):
        part_of_bone('tail')


def test_collapse_keeps_a_sphere_closed_and_round():
    import trimesh

    ball = trimesh.creation.uv_sphere(count=(24, 48))
    vertices, faces = np.asarray(ball.vertices), np.asarray(ball.faces)
    out = collapse_short_edges(vertices, faces, np.zeros(len(vertices), int), 0.12)
    assert len(out) < 0.8 * len(faces)
    less = trimesh.Trimesh(vertices, out, process=False)
    assert less.is_watertight and less.volume == pytest.approx(4 / 3 * np.pi, rel=0.06)
    # No two vertices share a label, so no edge may go.
    assert len(collapse_short_edges(vertices, faces, np.arange(len(vertices)), 10.0)) == len(faces)


# ------------------------------------------------------------------ joints
@pytest.fixture(scope='module', params=[0, 1])
def upright(request):
    """Joints, vertices and stature of an upright adult and an upright child."""
    body, pose = body_model(), REST.copy()
    pose[[COLUMN['spine_flex'], COLUMN['neck_flex']]] = 0
    who = [[0.5, 0.7, 0.5, 0.5, 0.5, 0.5], [0.1, 0.9, 0.7, 0.9, 0.4, 0.5]][request.param]
    shapes = body.shapes(np.array([who]))
    vertices, heads = body.skin(shapes, PoseSolver(body, shapes, pose[None]).solve())
    (found,) = regress_joints(body, vertices, heads)
    return dict(zip(WORLD, found, strict=True)), vertices[0], shapes.height[0]


def test_table_covers_the_joint_set():
    assert set(DEFINITIONS) == set(get_joint_set('world').concepts)
    assert ALLOWED_PARTS.shape == (29, len(PARTS)) and ALLOWED_PARTS.any(axis=1).all()
    assert (DEPTHS > 0).all() and (DEPTHS < 0.3).all()


def test_joints_are_where_anatomy_has_them(upright):
    at, vertices, stature = upright
    downwards = 'head_top', 'head', 'upper_neck', 'thorax', 'spine', 'pelvis', 'left_knee'
    downwards += 'left_ankle', 'left_toe'
    heights = [at[name][2] for name in downwards]
    assert heights == sorted(heights, reverse=True)
    for name in WORLD:
        if name.startswith('left_'):
            assert at[name][0] > 0.01
            mirror = at[name.replace('left_', 'right_')] * (-1, 1, 1)
            np.testing.assert_allclose(at[name], mirror, atol=0.012)
    assert at['nose'][1] < at['left_ear'][1] - 0.05
    assert at['left_toe'][1] < at['left_heel'][1] - 0.12
    assert vertices[:, 2].max() - at['head_top'][2] < 0.015 and abs(at['head_top'][0]) < 0.03
    np.testing.assert_allclose(at['pelvis'], (at['left_hip'] + at['right_hip']) / 2)
    np.testing.assert_allclose(at['thorax'], (at['left_shoulder'] + at['right_shoulder']) / 2)
    for a, b, low, high in (
        ('hip', 'knee', 0.20, 0.29), ('knee', 'ankle', 0.20, 0.28),
        ('shoulder', 'elbow', 0.13, 0.21), ('elbow', 'wrist', 0.12, 0.19),
    ):  # fmt: skip
        assert low < np.linalg.norm(at[f'left_{a}'] - at[f'left_{b}']) / stature < high
