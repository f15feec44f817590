# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Procedural textures: what a garment, a floor or a wall looks like.

A texture is a pattern (stripes, checks, bricks, ...) with a size, a direction, a shape, three
colors, and noise. Nothing is read from files, so there is no limit to their number;
:data:`CATALOGUE` lists the ones that differ in pattern, size or direction, colors aside.
"""

import itertools
from dataclasses import astuple, dataclass, replace

import numpy as np

from .texture_kernels import TextureRow

Color, Range = tuple[float, float, float], tuple[float, float]

# pattern: repeat sizes m, angles, shares, for clothes; floors and walls scale the sizes. The order
# is that of texture_kernels.texture_color.
_FAMILIES: dict[str, tuple[tuple, tuple, tuple]] = {
    'plain': ((0.1,), (0,), (0.5,)),
    'stripes': ((0.02, 0.045, 0.09, 0.16), (0, 25, 45, 90), (0.25, 0.5, 0.75)),
    'checks': ((0.03, 0.07, 0.14), (0, 45), (0.5,)),
    'gingham': ((0.03, 0.06, 0.12), (0, 45), (0.5,)),
    'tartan': ((0.06, 0.11, 0.18), (0, 45), (0.3, 0.5)),
    'dots': ((0.03, 0.06, 0.12), (0, 45), (0.2, 0.45)),
    'zigzag': ((0.04, 0.09, 0.16), (0, 90), (0.35, 0.6)),
    'diamonds': ((0.06, 0.12, 0.2), (0, 45), (0.35, 0.6)),
    'bricks': ((0.08, 0.14), (0, 90), (0.08, 0.2)),
    'tiles': ((0.05, 0.1, 0.2), (0, 45), (0.06, 0.15)),
    'planks': ((0.05, 0.12), (0, 90), (0.04, 0.1)),
    'clouds': ((0.06, 0.15, 0.35), (0, 90), (0.4, 0.6)),
    'camouflage': ((0.05, 0.1, 0.2), (0, 90), (0.4, 0.6)),
    'speckles': ((0.008, 0.015, 0.03), (0,), (0.3, 0.6)),
    'rings': ((0.04, 0.09, 0.2), (0,), (0.3, 0.6)),
    'waves': ((0.04, 0.09, 0.18), (0, 45, 90), (0.35, 0.6)),
    'cells': ((0.04, 0.09, 0.2), (0,), (0.25, 0.5)),
    'blocks': ((0.1, 0.2, 0.4), (0, 90), (0.5,)),
    'grass': ((0.02, 0.05), (0, 90), (0.4,)),
    'print': ((0.12, 0.2, 0.3), (0,), (0.3, 0.55)),
}
PATTERNS = tuple(_FAMILIES)


@dataclass(frozen=True)
class Texture:
    """One texture.

    Attributes:
        pattern: one of :data:`PATTERNS`. size: m, of one repeat. angle: degrees.
        share: of the first color, or the thickness of lines, in (0, 1).
        a, b, c: colors, linear RGB in [0, 1].
        noise: amplitude of brightness noise, of size ``noise_size`` m.
        seed: shifts the noise and the cells.
    """

    pattern: str
    size: float
    angle: float
    share: float
    a: Color
    b: Color
    c: Color
    noise: float = 0.06
    noise_size: float = 0.05
    seed: int = 0


def texture_rows(textures: list[Texture]) -> np.ndarray:
    """Textures as the renderer reads them: (N,) of ``TextureRow``'s type."""
    rows = [
        (PATTERNS.index(t.pattern), t.size, np.deg2rad(t.angle), *astuple(t)[3:]) for t in textures
    ]
    return np.array(rows, dtype=TextureRow.numpy_dtype())


_GRAYS = ((0.5, 0.5, 0.5), (0.2, 0.2, 0.2), (0.8, 0.8, 0.8))
#: Every combination of pattern, size, angle and share that is sampled from, in three grays.
CATALOGUE = [
    Texture(pattern, *shape, *_GRAYS, seed=7 * k)
    for pattern, family in _FAMILIES.items()
    for k, shape in enumerate(itertools.product(*family))
]

# What one wears and walks on, with how often.
_CLOTH = {
    'plain': 40, 'stripes': 14, 'checks': 4, 'gingham': 4, 'tartan': 6, 'dots': 5, 'zigzag': 2,
    'diamonds': 2, 'clouds': 4, 'camouflage': 4, 'speckles': 6, 'rings': 1, 'waves': 2, 'cells': 2,
    'blocks': 4, 'print': 8,
}  # fmt: skip
_FLOOR = {
    'grass': 5, 'speckles': 4, 'clouds': 4, 'tiles': 4, 'planks': 4, 'bricks': 2, 'checks': 1.5,
    'camouflage': 1, 'cells': 1.5, 'plain': 2, 'rings': 0.5, 'stripes': 1, 'diamonds': 1,
    'blocks': 1,
}  # fmt: skip
_MEADOW = {'grass': 3, 'speckles': 1, 'clouds': 2, 'camouflage': 1}
_WALL = {
    'bricks': 4, 'plain': 4, 'tiles': 2, 'planks': 2, 'stripes': 1.5, 'clouds': 2, 'blocks': 2,
    'dots': 0.7, 'speckles': 2, 'tartan': 0.5, 'zigzag': 0.7, 'diamonds': 0.7, 'cells': 1,
    'waves': 0.7,
}  # fmt: skip


def choose(rng: np.random.Generator, weights: dict[str, float]) -> str:
    """A key, as often as its weight says."""
    p = np.array(list(weights.values()), dtype=np.float64)
    return list(weights)[rng.choice(len(p), p=p / p.sum())]


def hsv(h: float, s: float, v: float) -> Color:
    """Hue, saturation, value in [0, 1] to linear RGB."""
    k = (np.array([5, 3, 1]) + h * 6) % 6
    rgb = v - v * s * np.clip(np.minimum(k, 4 - k), 0, 1)
    return tuple((rgb**2.2).tolist())


def sample_hsv(rng: np.random.Generator, s: Range, v: Range, h: Range = (0, 1)) -> Color:
    """A color of hue, saturation and value in these ranges."""
    return hsv(rng.uniform(*h), rng.uniform(*s), rng.uniform(*v))


def cloth_color(rng: np.random.Generator) -> Color:
    """Clothes are black, white, gray, blue, or any color."""
    k = rng.random()
    if k < 0.16:
        return sample_hsv(rng, (0, 0), (0.07, 0.2))
    if k < 0.30:
        return sample_hsv(rng, (0, 0.08), (0.82, 0.97))
    if k < 0.42:
        return sample_hsv(rng, (0, 0.12), (0.3, 0.7))
    if k < 0.56:
        return sample_hsv(rng, (0.3, 0.8), (0.2, 0.7), (0.57, 0.66))
    return sample_hsv(rng, (0.25, 0.95), (0.25, 0.95))


def _sample(weights: dict[str, float], rng: np.random.Generator) -> Texture:
    pattern = choose(rng, weights)
    family = [t for t in CATALOGUE if t.pattern == pattern]
    return replace(family[rng.integers(len(family))], seed=int(rng.integers(1, 10000)))


def sample_cloth(rng: np.random.Generator) -> Texture:
    """A garment's texture."""
    texture = _sample(_CLOTH, rng)
    a, b, c = (cloth_color(rng) for _ in range(3))
    size = texture.size * rng.uniform(0.8, 1.25)
    noise, noise_size = rng.uniform(0.02, 0.1), rng.uniform(0.02, 0.08)
    return replace(texture, a=a, b=b, c=c, size=size, noise=noise, noise_size=noise_size)


def sample_plain(rng: np.random.Generator, color: Color, noise: float = 0.05) -> Texture:
    """One color with a little noise."""
    seed = int(rng.integers(1, 10000))
    return Texture('plain', 0.1, 0, 0.5, color, color, color, noise, 0.03, seed)


def _sample_surface(
    weights: dict[str, float], rng: np.random.Generator, low: float, high: float, color: Color
) -> Texture:
    """A texture in shades of one color, ``low`` to ``high`` times as large as clothes'."""
    texture = _sample(weights, rng)
    spread = rng.uniform(0.1, 0.6)
    shades = color * np.exp(rng.normal(0, spread, (2, 1))) + rng.normal(0, 0.015, (2, 3))
    b, c = (tuple(shade) for shade in np.clip(shades, 0.005, 0.95).tolist())
    scale, noise_size = np.exp(rng.uniform(np.log([low, 0.05]), np.log([high, 1.5])))
    return replace(
        texture, a=color, b=b, c=c, size=texture.size * float(scale),
        angle=texture.angle + rng.uniform(-40, 40), noise=rng.uniform(0.04, 0.22),
        noise_size=float(noise_size),
    )  # fmt: skip


def sample_floor(rng: np.random.Generator, outdoor: bool) -> Texture:
    """What people stand on: grass, sand, asphalt, paving, wood, carpet."""
    k = rng.random()
    if outdoor and k < 0.35:
        color = sample_hsv(rng, (0.25, 0.6), (0.25, 0.6), (0.17, 0.34))
        return _sample_surface(_MEADOW, rng, 1.5, 6, color)
    if k < 0.6:
        color = sample_hsv(rng, (0, 0.12), (0.3, 0.8))
    elif k < 0.85:
        color = sample_hsv(rng, (0.15, 0.6), (0.35, 0.85), (0.05, 0.13))
    else:
        color = sample_hsv(rng, (0.15, 0.5), (0.3, 0.8))
    return _sample_surface(_FLOOR, rng, 2.5, 8, color)


def sample_wall(rng: np.random.Generator) -> Texture:
    """Walls and the sides of boxes."""
    color = hsv(rng.random(), rng.uniform(0, 0.45) ** 1.3, rng.uniform(0.35, 0.95))
    texture = _sample_surface(_WALL, rng, 2, 8, color)
    return texture if rng.random() < 0.2 else replace(texture, angle=float(rng.choice([0, 90])))
