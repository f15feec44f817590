# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Ground, surroundings and light of a wild scene, as the row of numbers that the renderer reads
(metres, linear RGB).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .textures import hsv, sample_floor, sample_wall

# Columns of a scenery's row; kernels.py reads them by number.
(
    MODE, SEED, SUN, SUN_COLOR, AMBIENT, EXPOSURE, ZENITH, HAZE, CLOUDS, NEAR, FAR, SKYLINE, CEILING,
    WALL_HEIGHT, SKIRTING,
    WINDOWS, LINES, LINE_ANGLE, WALLS, CONTACT, BOUNCE, FOG,
) = (0, 1, 2, 5, 8, 9, 10, 13, 16, 17, 20, 23, 24, 25, 26, 27, 28, 29, 30, 50, 51, 54)  # fmt: skip
ROW_LENGTH = 56

# Kinds of surroundings, and how often. The first four have a horizon (their index is the renderer's
# sky mode).
KINDS = {'plain': 0.14, 'hills': 0.14, 'town': 0.12, 'trees': 0.16, 'wall': 0.16, 'room': 0.28}


@dataclass(frozen=True)
class Scenery:
    """``kind`` in :data:`KINDS`; ``row`` (ROW_LENGTH,); ``textures`` (5, columns): ground, then
    four walls.
    """

    kind: str
    row: np.ndarray
    textures: np.ndarray

    @property
    def outdoor(self) -> bool:
        return self.kind != 'room'


def _sun(rng: np.random.Generator, outdoor: bool) -> np.ndarray:
    """Direction to the light (3,): anywhere over 22 degrees outdoors, high indoors."""
    elevation = np.deg2rad(rng.uniform(22, 78) if outdoor else rng.uniform(45, 85))
    azimuth = rng.uniform(0, 2 * np.pi)
    return np.array(
        [
            np.cos(elevation) * np.cos(azimuth),
            np.cos(elevation) * np.sin(azimuth),
            np.sin(elevation),
        ]
    )


def _warmth(rng: np.random.Generator, spread: float) -> np.ndarray:
    w = rng.normal(0, spread)
    return np.clip(np.array([1 + w, 1.0, 1 - w]), 0.4, 1.6)


def sample_scenery(
    rng: np.random.Generator, kind: str | None = None, depth: float = 12.0
) -> Scenery:
    """Surroundings of a scene that a camera near the origin looks at along +y.

    Args:
        rng: randomness. kind: in :data:`KINDS`, drawn when None. depth: m, nothing may stand nearer
            than this.

    Raises:
        KeyError: unknown kind.
    """
    names = list(KINDS)
    if kind is None:
        p = np.array(list(KINDS.values()))
        kind = names[rng.choice(len(names), p=p / p.sum())]
    mode = {'plain': 0, 'hills': 1, 'town': 2, 'trees': 3, 'wall': 0, 'room': 0}[kind]
    outdoor = kind != 'room'
    row = np.zeros(ROW_LENGTH)
    row[MODE], row[SEED] = mode, rng.integers(1, 9999)
    row[SUN : SUN + 3] = _sun(rng, outdoor)

    # Sunshine, overcast, or lamps: how much of the light has a direction.
    direct = rng.uniform(0.25, 1.0) if outdoor else rng.uniform(0.2, 0.75)
    row[SUN_COLOR : SUN_COLOR + 3] = 1.5 * direct * _warmth(rng, 0.1 if outdoor else 0.18)
    row[AMBIENT] = rng.uniform(0.55, 0.8) + 0.55 * (1 - direct)
    row[EXPOSURE] = np.exp(rng.normal(0, 0.16))
    blue = rng.uniform(0.15, 0.75) * (0.4 + 0.6 * direct)
    zenith = (
        np.array(hsv(rng.uniform(0.55, 0.63), blue, rng.uniform(0.7, 1.0)))
        if outdoor
        else _warmth(rng, 0.1) * 0.8
    )
    row[ZENITH : ZENITH + 3] = zenith
    row[HAZE : HAZE + 3] = (
        0.75 * np.array(hsv(rng.uniform(0.05, 0.65), 0.08, rng.uniform(0.8, 1))) + 0.25 * zenith
    ) * row[EXPOSURE]
    row[CLOUDS] = rng.uniform(0.05, 0.5) if outdoor and rng.random() < 0.7 else 0
    green = rng.random() < 0.7
    near = (
        hsv(rng.uniform(0.2, 0.4), rng.uniform(0.3, 0.7), rng.uniform(0.2, 0.5))
        if green
        else hsv(rng.random(), 0.25, rng.uniform(0.25, 0.6))
    )
    far = hsv(rng.uniform(0.2, 0.62), rng.uniform(0.1, 0.4), rng.uniform(0.4, 0.8))
    row[NEAR : NEAR + 3], row[FAR : FAR + 3] = near, far
    row[SKYLINE] = {
        'hills': rng.uniform(0.05, 0.22),
        'town': rng.uniform(0.1, 0.35),
        'trees': rng.uniform(0.1, 0.35),
    }.get(kind, 0)
    row[CONTACT] = rng.uniform(0.3, 0.7)
    row[FOG] = rng.uniform(0, 0.012) if outdoor else 0
    if outdoor and rng.random() < 0.15:
        row[LINES], row[LINE_ANGLE] = rng.uniform(2.5, 6), rng.uniform(0, np.pi)

    floor = sample_floor(rng, outdoor)
    row[BOUNCE : BOUNCE + 3] = 0.5 * np.asarray(floor.a)
    walls = [sample_wall(rng) for _ in range(4)]
    if kind == 'room':
        walls = [walls[0] if rng.random() < 0.7 else walls[k] for k in range(4)]
    if kind in ('wall', 'room'):
        _walls(row, rng, kind, depth)
    textures = np.stack([floor.encode(), *(wall.encode() for wall in walls)])
    return Scenery(kind, row, textures)


def _walls(row: np.ndarray, rng: np.random.Generator, kind: str, depth: float) -> None:
    """One long wall behind everybody, or the three walls and the ceiling of a room."""
    tilt = np.deg2rad(rng.uniform(-25, 25))
    back = depth + rng.uniform(0.8, 4)
    planes = [(tilt, -back * np.cos(tilt) - 3.5 * abs(np.sin(tilt)))]
    row[WALL_HEIGHT] = rng.uniform(2.6, 9)
    if kind == 'room':
        row[WALL_HEIGHT], row[CEILING] = rng.uniform(2.5, 4.5), 1
        wide = depth * 0.9 + rng.uniform(1, 3)
        planes = [
            (tilt * 0.3, -back),
            (tilt * 0.3 + np.pi / 2, -wide),
            (tilt * 0.3 - np.pi / 2, -wide),
        ]
    for i, (angle, h) in enumerate(planes):
        # At angle 0 the normal points at the camera, along -y.
        row[WALLS + 5 * i : WALLS + 5 * i + 5] = 1, -np.sin(angle), -np.cos(angle), h, 1 + i
    row[SKIRTING] = rng.uniform(0.05, 0.15) if rng.random() < 0.5 else 0
    row[WINDOWS] = rng.uniform(1.5, 4) if rng.random() < 0.5 else 0
