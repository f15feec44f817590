# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Pinhole cameras: the only place where pixels become millimetres and back.

Axes of the camera frame: x right, y down, z forward. World and camera coordinates are mm, images
px. The convention of the extrinsics is ``X_cam = R @ X_world + t``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

#: Angles of view across the longer side of an image that cameras have, degrees.
FOV_DEG = (5.0, 150.0)


def image_center(width: int, height: int) -> tuple[float, float]:
    """Centre of an image, px: where a principal point is taken to be that is not given.

    Pixel centres lie at whole numbers, so the centre of 3 x 3 px is (1, 1).
    """
    return (width - 1) / 2, (height - 1) / 2


def split_matrix(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Focal lengths and principal point, (2,) px each, of a camera matrix (3, 3).

    Raises:
        ValueError: not [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]; the message says what it looks like.
    """
    K = np.asarray(matrix, dtype=np.float64).reshape(3, 3)
    if K[2, :2].any() and not K[:2, 2].any():
        raise ValueError('K is transposed, as MATLAB has it: its last column is (0, 0, 1)')
    if not np.allclose(K[2], (0, 0, 1)):
        hint = f'; divide K by {K[2, 2]:g}' if K[2, 2] not in (0, 1) else ''
        raise ValueError(f'the last row of K is {K[2].tolist()}, not (0, 0, 1){hint}')
    if K[1, 0] != 0:
        raise ValueError(f'K[1][0] is {K[1, 0]:g}, not 0: this is no camera matrix')
    if abs(K[0, 1]) > 1e-6 * abs(K[0, 0]):
        raise ValueError(f'K has a skew of {K[0, 1]:g}, which is not supported')
    return K[[0, 1], [0, 1]], K[:2, 2]


@dataclass(frozen=True)
class PinholeCamera:
    """A camera without lens distortion.

    Args:
        f: focal lengths (2,) px.
        c: principal point (2,) px.
        R: world-to-camera rotation (3, 3).
        t: world-to-camera translation (3,) mm.

    Raises:
        ValueError: a focal length is not positive, or ``R`` is not a rotation.
    """

    f: np.ndarray
    c: np.ndarray
    R: np.ndarray = field(default_factory=lambda: np.eye(3))
    t: np.ndarray = field(default_factory=lambda: np.zeros(3))

    def __post_init__(self) -> None:
        for name, shape in (('f', (2,)), ('c', (2,)), ('R', (3, 3)), ('t', (3,))):
            value = np.asarray(getattr(self, name), dtype=np.float64)
            if value.shape != shape:
                raise ValueError(f'camera {name} has shape {value.shape}, expected {shape}')
            if not np.isfinite(value).all():
                raise ValueError(
                    f'camera {name} holds a value that is not finite: {value.tolist()}'
                )
            object.__setattr__(self, name, value)
        if (self.f <= 0).any():
            hint = ' (the y axis points down here; in OpenGL it points up)' if self.f[1] < 0 else ''
            raise ValueError(f'focal lengths must be positive, got {self.f.tolist()} px{hint}')
        if not np.allclose(self.R @ self.R.T, np.eye(3), atol=1e-4) or np.linalg.det(self.R) < 0:
            raise ValueError('camera R is not a rotation matrix')

    @property
    def position(self) -> np.ndarray:
        """Camera centre in the world, (3,) mm."""
        return -self.R.T @ self.t

    def to_camera(self, points_world: np.ndarray) -> np.ndarray:
        """World mm (..., 3) to camera mm (..., 3)."""
        return np.asarray(points_world, dtype=np.float64) @ self.R.T + self.t

    def to_world(self, points_cam: np.ndarray) -> np.ndarray:
        """Camera mm (..., 3) to world mm (..., 3)."""
        return (np.asarray(points_cam, dtype=np.float64) - self.t) @ self.R

    def project(self, points_cam: np.ndarray) -> np.ndarray:
        """Camera mm (..., 3) to (u px, v px, Z mm) (..., 3); points with Z <= 0 have nan pixels."""
        points_cam = np.asarray(points_cam, dtype=np.float64)
        depth = points_cam[..., 2:]
        with np.errstate(divide='ignore', invalid='ignore'):
            pixels = np.where(depth > 0, points_cam[..., :2] / depth * self.f + self.c, np.nan)
        return np.concatenate([pixels, depth], axis=-1)

    def unproject(self, pixels_depth: np.ndarray) -> np.ndarray:
        """(u px, v px, Z mm) (..., 3) to camera mm (..., 3): the inverse of :meth:`project`."""
        pixels_depth = np.asarray(pixels_depth, dtype=np.float64)
        depth = pixels_depth[..., 2:]
        return np.concatenate([(pixels_depth[..., :2] - self.c) / self.f * depth, depth], axis=-1)
