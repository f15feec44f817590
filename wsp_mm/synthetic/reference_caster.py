# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""A second, slow ray caster in plain numpy (float64), against which the renderer is checked. It
shares no code with it.

Metres; T triangles, n pixels, S solids (bodies and boxes).
"""

from __future__ import annotations

import numpy as np

from wsp_mm.structures.camera import PinholeCamera


class ReferenceCaster:
    """Casts single rays at triangles that belong to numbered solids.

    Args:
        triangles: per solid, (T, 3, 3) m in the world. camera: mm.
    """

    def __init__(self, triangles: list[np.ndarray], camera: PinholeCamera) -> None:
        self.camera = camera
        self.num_solids = len(triangles)
        self.solid = np.concatenate(
            [np.full(len(t), i) for i, t in enumerate(triangles)] or [np.zeros(0, int)]
        )
        self.face = np.concatenate([np.arange(len(t)) for t in triangles] or [np.zeros(0, int)])
        world = np.concatenate(triangles) if triangles else np.zeros((0, 3, 3))
        self.tri = (world * 1000 @ camera.R.T + camera.t) / 1000
        z = self.tri[..., 2]
        front = (z > 0).all(axis=1)
        with np.errstate(divide='ignore', invalid='ignore'):
            px = self.tri[..., :2] / z[..., None] * camera.f + camera.c
        # Triangles that reach behind the camera are candidates for every pixel.
        self.low = np.where(front[:, None], px.min(axis=1), -np.inf)
        self.high = np.where(front[:, None], px.max(axis=1), np.inf)

    def cast(self, x: float, y: float) -> tuple[np.ndarray, np.ndarray]:
        """Depth along the camera's axis (S,) m of each solid's first surface at a pixel (inf:
        none), and its face (S,).
        """
        depth, face = np.full(self.num_solids, np.inf), np.full(self.num_solids, -1)
        near = (
            (self.low[:, 0] <= x)
            & (self.high[:, 0] >= x)
            & (self.low[:, 1] <= y)
            & (self.high[:, 1] >= y)
        )
        candidates = np.flatnonzero(near)
        if not len(candidates):
            return depth, face
        ray = np.append((np.array([x, y]) - self.camera.c) / self.camera.f, 1.0)
        a, b, c = (self.tri[candidates, k] for k in range(3))
        # Moeller and Trumbore, 1997. The ray starts at the camera, so its parameter is the depth.
        ab, ac = b - a, c - a
        p = np.cross(ray, ac)
        det = (ab * p).sum(axis=1)
        with np.errstate(divide='ignore', invalid='ignore'):
            u = -(a * p).sum(axis=1) / det
            q = np.cross(-a, ab)
            v = (q @ ray) / det
            t = (ac * q).sum(axis=1) / det
        hit = (np.abs(det) > 1e-14) & (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0)
        # Furthest first, so that the nearest is written last.
        order = np.argsort(-t[hit])
        chosen = candidates[hit][order]
        depth[self.solid[chosen]] = t[hit][order]
        face[self.solid[chosen]] = self.face[chosen]
        return depth, face

    def ground(self, x: float, y: float) -> float:
        """Depth m of the plane z = 0 at a pixel, inf above the horizon."""
        ray = np.append((np.array([x, y]) - self.camera.c) / self.camera.f, 1.0)
        down = self.camera.R[:, 2] @ ray
        return float(-self.camera.position[2] / 1000 / down) if down < 0 else float('inf')
