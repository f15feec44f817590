# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Fewer faces where a mesh is finer than any image shows (fingers, toes, lips), by edge collapse.

Edges are collapsed into one of their ends, shortest first, in rounds of edges that do not touch
each other. Vertices stay where they are. V vertices, F faces.
"""

import numpy as np
from scipy import sparse

_MAX_TURN = 60.0  # degrees that a remaining face may turn by in one collapse
_ROUNDS = 22  # at most so many; each collapses at most a seventh of the edges


def unit_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F, 3) normals of faces."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    n = np.cross(b - a, c - a)
    return n / np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-15)


def _independent(edges: np.ndarray, adjacency: sparse.csr_matrix) -> np.ndarray:
    """The first edges of a list (E, 2) that have no vertex within one step of each other."""
    touched = np.zeros(adjacency.shape[0], dtype=bool)
    rings = np.split(adjacency.indices, adjacency.indptr[1:-1])
    chosen = []
    for u, v in edges.tolist():
        if not (touched[u] or touched[v] or touched[rings[u]].any()):
            touched[rings[u]] = touched[rings[v]] = touched[u] = True
            chosen.append((u, v))
    return np.array(chosen, dtype=np.int64).reshape(-1, 2)


def _not_degenerate(faces: np.ndarray) -> np.ndarray:
    return (faces != np.roll(faces, 1, axis=1)).all(axis=1)


def collapse_short_edges(
    vertices: np.ndarray, faces: np.ndarray, labels: np.ndarray, shortest: float
) -> np.ndarray:
    """Collapse edges shorter than ``shortest`` whose ends have one label.

    Args:
        vertices: (V, 3). faces: (F, 3) int. labels: (V,), edges between different labels stay.
        shortest: same unit as the vertices.

    Returns:
        faces (F', 3) that use a subset of the vertices.
    """
    count = len(vertices)
    refused = np.zeros(0, dtype=np.int64)
    for _ in range(_ROUNDS):
        edges = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
        edges, uses = np.unique(edges, axis=0, return_counts=True)
        border = np.zeros(count, dtype=bool)
        border[edges[uses != 2]] = True
        length = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
        usable = (length < shortest) & (labels[edges[:, 0]] == labels[edges[:, 1]])
        usable &= ~border[edges].any(axis=1) & ~np.isin(edges @ (count, 1), refused)
        if not usable.any():
            break
        both_ways = np.concatenate([edges, edges[:, ::-1]])
        adjacency = sparse.csr_matrix((np.ones(len(both_ways)), both_ways.T), (count, count))
        chosen = _independent(edges[usable][np.argsort(length[usable], kind='stable')], adjacency)
        # More than two common neighbours: the collapse would fold the surface onto itself.
        u, v = chosen.T
        fold = np.asarray(adjacency[u].multiply(adjacency[v]).sum(axis=1)).ravel() != 2
        target = np.arange(count)
        target[u[~fold]] = v[~fold]
        moved = target[faces]
        changed = np.flatnonzero((moved != faces).any(axis=1) & _not_degenerate(moved))
        before, after = faces[changed], moved[changed]
        turn = (unit_normals(vertices, before) * unit_normals(vertices, after)).sum(axis=1)
        flipped = turn < np.cos(np.deg2rad(_MAX_TURN))
        undone = np.unique(before[flipped][before[flipped] != after[flipped]])
        target[undone] = undone
        refused = np.union1d(refused, chosen[fold | np.isin(u, undone)] @ (count, 1))
        faces = target[faces]
        faces = faces[_not_degenerate(faces)]
    return faces
