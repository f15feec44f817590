# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Ground, surroundings and light of a scene (metres, linear RGB)."""

from dataclasses import dataclass

import numpy as np

from .textures import Texture, choose, sample_floor, sample_hsv, sample_wall

# Kinds of surroundings, and how often.
KINDS = {'plain': 0.14, 'hills': 0.14, 'town': 0.12, 'trees': 0.16, 'wall': 0.16, 'room': 0.28}
# What stands on the horizon; the order is that of surface_kernels.sky_color.
HORIZONS = ('plain', 'hills', 'town', 'trees')


@dataclass(frozen=True, eq=False)
class Scenery:
    """Surroundings.

    Attributes:
        kind: one of :data:`KINDS`.
        light: fields of ``surface_kernels.SceneryRow``; what is not named is 0. ``walls`` is
            (4, 3): horizontal normal and distance of planes, seen from their positive side.
        ground: texture. walls: textures of the four walls.
    """

    kind: str
    light: dict[str, object]
    ground: Texture
    walls: tuple[Texture, ...]


def wall_planes(*planes: tuple[float, float]) -> np.ndarray:
    """``walls`` of a scenery: planes by the angle of their normal and their distance.

    At angle 0 the normal points along -y; the angle turns it clockwise, in radians.
    """
    walls = np.zeros((4, 3))
    for i, (angle, distance) in enumerate(planes):
        walls[i] = -np.sin(angle), -np.cos(angle), distance
    return walls


def _warmth(rng: np.random.Generator, spread: float) -> np.ndarray:
    w = rng.normal(0, spread)
    return np.clip([1 + w, 1.0, 1 - w], 0.4, 1.6)


def sun_direction(azimuth: float, elevation: float) -> np.ndarray:
    """Unit vector (3,) to the light; angles in radians."""
    flat = np.cos(elevation)
    return np.array([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)])


def sample_scenery(
    rng: np.random.Generator, kind: str | None = None, depth: float = 12.0
) -> Scenery:
    """Surroundings of a scene that a camera near the origin looks at along +y.

    Args:
        rng: randomness. kind: in :data:`KINDS`, sampled when None. depth: m, no wall stands nearer
            than this.
    """
    kind = choose(rng, KINDS) if kind is None else kind
    outdoor = kind != 'room'
    # Sun anywhere over 22 degrees outdoors, lamps high indoors; how much of the light has a
    # direction: sunshine, overcast, or lamps.
    elevation = np.deg2rad(rng.uniform(22, 78) if outdoor else rng.uniform(45, 85))
    direct = rng.uniform(0.25, 1.0) if outdoor else rng.uniform(0.2, 0.75)
    exposure = np.exp(rng.normal(0, 0.16))
    zenith = _warmth(rng, 0.1) * 0.8
    if outdoor:
        blue = rng.uniform(0.15, 0.75) * (0.4 + 0.6 * direct)
        zenith = np.array(sample_hsv(rng, (blue, blue), (0.7, 1.0), (0.55, 0.63)))
    haze = np.array(sample_hsv(rng, (0.08, 0.08), (0.8, 1), (0.05, 0.65)))
    near = sample_hsv(rng, (0.25, 0.25), (0.25, 0.6))
    if rng.random() < 0.7:  # green
        near = sample_hsv(rng, (0.3, 0.7), (0.2, 0.5), (0.2, 0.4))
    skyline = {'hills': (0.05, 0.22), 'town': (0.1, 0.35), 'trees': (0.1, 0.35)}.get(kind, (0, 0))
    ground = sample_floor(rng, outdoor)
    light = dict(
        mode=HORIZONS.index(kind) if kind in HORIZONS else 0, seed=rng.integers(1, 9999),
        sun=sun_direction(rng.uniform(0, 2 * np.pi), elevation),
        sun_color=1.5 * direct * _warmth(rng, 0.1 if outdoor else 0.18),
        ambient=rng.uniform(0.55, 0.8) + 0.55 * (1 - direct), exposure=exposure, zenith=zenith,
        haze=(0.75 * haze + 0.25 * zenith) * exposure, near=near,
        far=sample_hsv(rng, (0.1, 0.4), (0.4, 0.8), (0.2, 0.62)), skyline=rng.uniform(*skyline),
        contact=rng.uniform(0.3, 0.7), bounce=0.5 * np.asarray(ground.a),
    )  # fmt: skip
    if outdoor:
        light['fog'] = rng.uniform(0, 0.012)
        if rng.random() < 0.7:
            light['clouds'] = rng.uniform(0.05, 0.5)
        if rng.random() < 0.15:  # a road, a pitch
            light |= dict(lines=rng.uniform(2.5, 6), line_angle=rng.uniform(0, np.pi))
    if kind in ('wall', 'room'):
        light |= _sample_walls(rng, kind, depth)
    walls = tuple(sample_wall(rng) for _ in range(4))
    if kind == 'room' and rng.random() < 0.7:
        walls = walls[:1] * 4
    return Scenery(kind, light, ground, walls)


def _sample_walls(rng: np.random.Generator, kind: str, depth: float) -> dict[str, object]:
    """One long wall behind everybody, or the three walls and the ceiling of a room."""
    tilt = np.deg2rad(rng.uniform(-25, 25))
    back = depth + rng.uniform(0.8, 4)
    fields: dict[str, object] = dict(
        skirting=rng.uniform(0.05, 0.15) if rng.random() < 0.5 else 0,
        windows=rng.uniform(1.5, 4) if rng.random() < 0.5 else 0,
    )
    if kind == 'wall':
        distance = -back * np.cos(tilt) - 3.5 * abs(np.sin(tilt))
        return fields | dict(wall_height=rng.uniform(2.6, 9), walls=wall_planes((tilt, distance)))
    wide, tilt = depth * 0.9 + rng.uniform(1, 3), tilt * 0.3
    sides = ((tilt + np.pi / 2, -wide), (tilt - np.pi / 2, -wide))
    walls = wall_planes((tilt, -back), *sides)
    return fields | dict(wall_height=rng.uniform(2.5, 4.5), ceiling=1, walls=walls)


def room_scenery(
    textures: tuple[Texture, ...], planes: tuple[tuple[float, float], ...], bounce: float = 0.5,
    **light: object,
) -> Scenery:  # fmt: skip
    """A room of given textures (ground, then up to four walls), planes and light."""
    ground, walls = textures[0], (textures[1:] * 4)[:4]
    light |= dict(walls=wall_planes(*planes), bounce=bounce * np.asarray(ground.a))
    light.setdefault('exposure', 1.0)
    return Scenery('room', light, ground, walls)
