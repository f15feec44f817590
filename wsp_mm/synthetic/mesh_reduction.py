# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Fewer faces where a mesh is finer than any of our pictures shows (fingers, toes, lips), keeping
its vertices.

Edges are collapsed into one of their ends, shortest first, in rounds of edges that do not touch
each other. V vertices, F faces.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse


def _edges(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unique edges (E, 2), and by how many faces each is used (E,)."""
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    return np.unique(edges, axis=0, return_counts=True)


def _normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    n = np.cross(b - a, c - a)
    return n / np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-15)


def _independent(edges: np.ndarray, adjacency: sparse.csr_matrix) -> np.ndarray:
    """The first edges of a list (E, 2) that have no vertex within one step of each other."""
    touched = np.zeros(adjacency.shape[0], dtype=bool)
    taken = []
    for u, v in edges.tolist():
        if touched[u] or touched[v]:
            continue
        ring = adjacency.indices[adjacency.indptr[u] : adjacency.indptr[u + 1]]
        if touched[ring].any():
            continue
        touched[ring] = touched[u] = True
        touched[adjacency.indices[adjacency.indptr[v] : adjacency.indptr[v + 1]]] = True
        taken.append((u, v))
    return np.array(taken, dtype=np.int64).reshape(-1, 2)


def collapse_short_edges(
    vertices: np.ndarray,
    faces: np.ndarray,
    labels: np.ndarray,
    shortest: float,
    max_turn: float = 60.0,
    rounds: int = 22,
) -> tuple[np.ndarray, np.ndarray]:
    """Collapse edges shorter than ``shortest`` whose ends have one label.

    Args:
        vertices: (V, 3). faces: (F, 3) int. labels: (V,), edges between different labels stay.
        shortest: same unit as the vertices. max_turn: degrees that a remaining face may turn by in
            one collapse.
        rounds: at most so many; each takes at most a seventh of the edges.

    Returns:
        faces (F', 3) that use a subset of the vertices, and the index (F',) of the face that each
        was.
    """
    count = len(vertices)
    source = np.arange(len(faces))
    forbidden: np.ndarray = np.zeros(0, dtype=np.int64)
    for _ in range(rounds):
        edges, uses = _edges(faces)
        border = np.zeros(count, dtype=bool)
        border[edges[uses != 2].reshape(-1)] = True
        length = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
        key = edges[:, 0].astype(np.int64) * count + edges[:, 1]
        usable = (length < shortest) & (labels[edges[:, 0]] == labels[edges[:, 1]])
        usable &= ~border[edges].any(axis=1) & ~np.isin(key, forbidden)
        if not usable.any():
            break
        adjacency = sparse.csr_matrix(
            (np.ones(2 * len(edges)), (edges.reshape(-1), edges[:, ::-1].reshape(-1))),
            shape=(count, count),
        )
        taken = _independent(edges[usable][np.argsort(length[usable], kind='stable')], adjacency)
        # More than two common neighbours: the collapse would fold the surface onto itself.
        common = np.asarray(
            adjacency[taken[:, 0]].multiply(adjacency[taken[:, 1]]).sum(axis=1)
        ).reshape(-1)
        target = np.arange(count)
        target[taken[:, 0]] = np.where(common == 2, taken[:, 1], taken[:, 0])
        moved = target[faces]
        alive = (
            (moved[:, 0] != moved[:, 1])
            & (moved[:, 1] != moved[:, 2])
            & (moved[:, 2] != moved[:, 0])
        )
        changed = (moved != faces).any(axis=1) & alive
        turn = (_normals(vertices, moved[changed]) * _normals(vertices, faces[changed])).sum(axis=1)
        flipped = np.flatnonzero(changed)[turn < np.cos(np.deg2rad(max_turn))]
        bad = np.zeros(count, dtype=bool)
        bad[faces[flipped][moved[flipped] != faces[flipped]]] = True
        refused = taken[bad[taken[:, 0]] | (common != 2)]
        forbidden = np.union1d(forbidden, refused[:, 0].astype(np.int64) * count + refused[:, 1])
        target[bad] = np.flatnonzero(bad)
        moved = target[faces]
        alive = (
            (moved[:, 0] != moved[:, 1])
            & (moved[:, 1] != moved[:, 2])
            & (moved[:, 2] != moved[:, 0])
        )
        faces, source = moved[alive], source[alive]
    return faces, source
