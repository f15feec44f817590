# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Plan-view hulls that never overlap, so that bodies cannot run through each other, and cameras.

World frame: metres, z up, ground at 0.
"""

import cv2
import numpy as np

from wsp_mm.structures.camera import PinholeCamera, image_center


def level_camera(
    f: float, height_m: float, pitch: float, roll: float, width: int, height: int
) -> PinholeCamera:
    """A camera (mm) over the origin that looks along +y.

    Args:
        f: px. height_m: m over the ground. pitch: degrees down. roll: degrees that the image
            turns clockwise. width, height: px.
    """
    p, r = np.deg2rad([pitch, roll])
    level = np.array([[1, 0, 0], [0, -np.sin(p), -np.cos(p)], [0, np.cos(p), -np.sin(p)]])
    turn = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    rotation = turn @ level
    center = np.array([0, 0, height_m * 1000])
    return PinholeCamera(f=[f, f], c=image_center(width, height), R=rotation, t=-rotation @ center)


def plan_hull(points: np.ndarray) -> np.ndarray:
    """Convex hull (n, 2) of points (N, 2+) seen from above."""
    return cv2.convexHull(points[:, :2].astype(np.float32))[:, 0].astype(np.float64)


def turn_plan(hull: np.ndarray, yaw: float, at: np.ndarray) -> np.ndarray:
    """A hull turned by ``yaw`` radians and moved to ``at``."""
    c, s = np.cos(yaw), np.sin(yaw)
    return hull @ np.array([[c, s], [-s, c]]) + at


def hull_gap(a: np.ndarray, b: np.ndarray) -> float:
    """Distance of two convex hulls along their best separating edge normal; negative where they
    overlap.
    """
    best = -np.inf
    for p, q in ((a, b), (b, a)):
        edges = np.roll(p, -1, axis=0) - p
        normals = np.stack([edges[:, 1], -edges[:, 0]], axis=1)
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        # cv2's hulls may run either way round: outwards is away from the hull's middle.
        outwards = ((p - p.mean(0)) * normals).sum(1) >= 0
        normals = np.where(outwards[:, None], normals, -normals)
        own = (p @ normals.T).max(axis=0)
        other = (q @ normals.T).min(axis=0)
        best = max(best, float((other - own).max()))
    return best
