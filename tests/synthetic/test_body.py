# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Our reduced body is anny's body, with fewer faces."""

import numpy as np
import pytest
import torch

from wsp_mm.synthetic.body import PARTS, body_model, cross, part_of_bone
from wsp_mm.synthetic.mesh_reduction import collapse_short_edges


def test_reduced_body_keeps_annys_keypoints_and_bones():
    import anny
    from anny.keypoints import KeypointsRegressor

    body = body_model()
    phenotypes = np.random.default_rng(0).uniform(size=(3, len(body.phenotypes)))
    shapes = body.shapes(phenotypes)
    vertices, heads = body.skin(shapes, np.tile(np.eye(3), (3, len(body.bones), 1, 1)))
    full = anny.Anny().to(torch.float32)
    out = full(phenotype_kwargs=torch.tensor(phenotypes, dtype=torch.float32))
    wanted = KeypointsRegressor.coco(full)(out).numpy()
    np.testing.assert_allclose(
        np.einsum('kv,bvd->bkd', body.regressor, vertices), wanted, atol=1e-4
    )
    np.testing.assert_allclose(heads, out['bone_poses'][:, :, :3, 3].numpy(), atol=1e-5)


def test_reduced_surface_stays_close_to_the_full_one():
    import anny
    from scipy.spatial import cKDTree

    body = body_model()
    full = anny.Anny().to(torch.float32)
    vertices, _ = body.skin(
        body.shapes(np.full((1, len(body.phenotypes)), 0.5)),
        np.tile(np.eye(3), (1, len(body.bones), 1, 1)),
    )
    corners = vertices[0][body.faces]
    weights = np.random.default_rng(0).dirichlet((1, 1, 1), (8, len(corners)))
    samples = np.einsum('sfk,fkd->sfd', weights, corners).reshape(-1, 3)
    outside = full(pose_parameters=None, phenotype_kwargs={'age': 0.5})['vertices'][0].numpy()
    outer = np.unique(full.faces.numpy())
    distance, _ = cKDTree(outside[outer]).query(samples)
    assert len(body.faces) < 0.55 * len(full.faces)
    assert np.percentile(distance, 99) < 0.02  # half of anny's own coarsest edges


def test_every_bone_has_a_part():
    body = body_model()
    assert {PARTS[part_of_bone(bone)] for bone in body.bones} == set(PARTS)
    with pytest.raises(KeyError, match='tail'):
        part_of_bone('tail')


def test_faces_point_outwards():
    body = body_model()
    vertices, _ = body.skin(
        body.shapes(np.full((1, len(body.phenotypes)), 0.5)),
        np.tile(np.eye(3), (1, len(body.bones), 1, 1)),
    )
    a, b, c = (vertices[0][body.faces[:, k]] for k in range(3))
    volume = (cross(a, b) * c).sum() / 6
    assert 0.03 < volume < 0.12  # m^3; a negative volume would mean inverted faces


def test_bad_phenotypes():
    body = body_model()
    with pytest.raises(ValueError, match='must be'):
        body.shapes(np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r'\[0, 1\]'):
        body.shapes(np.full((1, len(body.phenotypes)), 1.5))


def test_cross_is_numpys():
    a, b = np.random.default_rng(0).normal(size=(2, 7, 3))
    np.testing.assert_allclose(cross(a, b), np.cross(a, b))


def _sphere(n=24):
    lat = np.linspace(0, np.pi, n)
    lon = np.linspace(0, 2 * np.pi, 2 * n, endpoint=False)
    grid = np.array(
        [[np.sin(a) * np.cos(o), np.sin(a) * np.sin(o), np.cos(a)] for a in lat[1:-1] for o in lon]
    )
    vertices = np.concatenate([grid, [[0, 0, 1.0], [0, 0, -1.0]]])
    faces, m = [], 2 * n
    for i in range(n - 3):
        for j in range(m):
            a, b, c, d = i * m + j, i * m + (j + 1) % m, (i + 1) * m + j, (i + 1) * m + (j + 1) % m
            faces += [[a, c, b], [b, c, d]]
    top, bottom, last = len(grid), len(grid) + 1, (n - 3) * m
    faces += [[top, j, (j + 1) % m] for j in range(m)] + [
        [bottom, last + (j + 1) % m, last + j] for j in range(m)
    ]
    return vertices, np.array(faces)


def test_collapse_keeps_a_sphere_closed_and_round():
    vertices, faces = _sphere()
    out, source = collapse_short_edges(vertices, faces, np.zeros(len(vertices), int), 0.12)
    assert len(out) < 0.8 * len(faces) and len(source) == len(out)
    edges = np.sort(np.concatenate([out[:, [0, 1]], out[:, [1, 2]], out[:, [2, 0]]]), axis=1)
    _, uses = np.unique(edges, axis=0, return_counts=True)
    assert (uses == 2).all()  # closed: two faces at every edge
    a, b, c = (vertices[out[:, k]] for k in range(3))
    volume = (np.cross(a, b) * c).sum() / 6
    assert volume == pytest.approx(4 / 3 * np.pi, rel=0.06)


def test_collapse_respects_labels():
    vertices, faces = _sphere()
    out, _ = collapse_short_edges(vertices, faces, np.arange(len(vertices)), 10.0)
    assert len(out) == len(faces)  # no two vertices share a label, so no edge may go
