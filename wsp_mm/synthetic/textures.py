# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Procedural textures: what a garment, a floor or a wall looks like, as a row of numbers that the
renderer reads.

A texture is a pattern (stripes, checks, bricks, ...) with a size, a direction, a shape, three
colours, and noise. Nothing is read from files, so there is no limit to their number;
:func:`catalogue` lists the ones that differ in pattern, size or direction, colours aside.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

# Order is the renderer's: kernels.pattern() switches on the index.
PATTERNS = (
    'plain', 'stripes', 'checks', 'gingham', 'tartan', 'dots', 'zigzag', 'diamonds', 'bricks', 'tiles',
    'planks',
    'clouds', 'camouflage', 'speckles', 'rings', 'waves', 'cells', 'blocks', 'grass', 'print',
)  # fmt: skip
PATTERN_INDEX = {name: i for i, name in enumerate(PATTERNS)}

# Columns of an encoded texture.
KIND, SIZE, ANGLE, SHARE, COLOR_A, COLOR_B, COLOR_C, NOISE, NOISE_SIZE, SEED, TEXTURE_COLUMNS = (
    0, 1, 2, 3, 4, 7, 10, 13, 14, 15, 16,
)  # fmt: skip


@dataclass(frozen=True)
class Texture:
    """One texture.

    Attributes:
        pattern: one of :data:`PATTERNS`. size: m, of one repeat. angle: degrees.
        share: of the first colour, or the thickness of lines, in (0, 1).
        a, b, c: colours, linear RGB in [0, 1]. noise: amplitude of brightness noise, of size
        ``noise_size`` m.
        seed: shifts the noise and the cells.
    """

    pattern: str
    size: float
    angle: float
    share: float
    a: tuple[float, float, float]
    b: tuple[float, float, float]
    c: tuple[float, float, float]
    noise: float = 0.06
    noise_size: float = 0.05
    seed: int = 0

    def encode(self) -> np.ndarray:
        """The row (TEXTURE_COLUMNS,) that the renderer reads."""
        row = [PATTERN_INDEX[self.pattern], self.size, np.deg2rad(self.angle), self.share]
        return np.array(
            [*row, *self.a, *self.b, *self.c, self.noise, self.noise_size, self.seed], np.float32
        )


_GREYS = ((0.5, 0.5, 0.5), (0.2, 0.2, 0.2), (0.8, 0.8, 0.8))

# pattern: repeat sizes m, angles, shares, for clothes; floors and walls scale the sizes.
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


def catalogue() -> list[Texture]:
    """Every combination of pattern, size, angle and share that we draw from, in three greys."""
    return [
        Texture(pattern, size, angle, share, *_GREYS, seed=7 * k)
        for pattern, (sizes, angles, shares) in _FAMILIES.items()
        for k, (size, angle, share) in enumerate(
            (s, a, h) for s in sizes for a in angles for h in shares
        )
    ]


_CATALOGUE = catalogue()
_BY_PATTERN = {name: [t for t in _CATALOGUE if t.pattern == name] for name in PATTERNS}

# What one wears and walks on, with how often.
_CLOTH = {
    'plain': 40, 'stripes': 14, 'checks': 4, 'gingham': 4, 'tartan': 6, 'dots': 5, 'zigzag': 2, 'diamonds': 2,
    'clouds': 4, 'camouflage': 4, 'speckles': 6, 'rings': 1, 'waves': 2, 'cells': 2, 'blocks': 4, 'print': 8,
}  # fmt: skip
_FLOOR = {
    'grass': 5, 'speckles': 4, 'clouds': 4, 'tiles': 4, 'planks': 4, 'bricks': 2, 'checks': 1.5,
    'camouflage': 1,
    'cells': 1.5, 'plain': 2, 'rings': 0.5, 'stripes': 1, 'diamonds': 1, 'blocks': 1,
}  # fmt: skip
_WALL = {
    'bricks': 4, 'plain': 4, 'tiles': 2, 'planks': 2, 'stripes': 1.5, 'clouds': 2, 'blocks': 2, 'dots': 0.7,
    'speckles': 2, 'tartan': 0.5, 'zigzag': 0.7, 'diamonds': 0.7, 'cells': 1, 'waves': 0.7,
}  # fmt: skip


def hsv(h: float, s: float, v: float) -> tuple[float, float, float]:
    """Hue, saturation, value in [0, 1] to linear RGB."""
    k = (np.array([5, 3, 1]) + h * 6) % 6
    rgb = v - v * s * np.clip(np.minimum(k, 4 - k), 0, 1)
    return tuple(float(x) for x in rgb**2.2)


def cloth_color(rng: np.random.Generator) -> tuple[float, float, float]:
    """Clothes are black, white, grey, blue, or any colour."""
    k = rng.random()
    if k < 0.16:
        return hsv(0, 0, rng.uniform(0.07, 0.2))
    if k < 0.30:
        return hsv(rng.random(), rng.uniform(0, 0.08), rng.uniform(0.82, 0.97))
    if k < 0.42:
        return hsv(rng.random(), rng.uniform(0, 0.12), rng.uniform(0.3, 0.7))
    if k < 0.56:
        return hsv(rng.uniform(0.57, 0.66), rng.uniform(0.3, 0.8), rng.uniform(0.2, 0.7))
    return hsv(rng.random(), rng.uniform(0.25, 0.95), rng.uniform(0.25, 0.95))


def _draw(weights: dict[str, float], rng: np.random.Generator) -> Texture:
    p = np.array(list(weights.values()), dtype=np.float64)
    family = _BY_PATTERN[list(weights)[rng.choice(len(p), p=p / p.sum())]]
    return replace(family[rng.integers(len(family))], seed=int(rng.integers(1, 10000)))


def sample_cloth(
    rng: np.random.Generator, base: tuple[float, float, float] | None = None
) -> Texture:
    """A garment's texture."""
    texture = _draw(_CLOTH, rng)
    a = base or cloth_color(rng)
    b = cloth_color(rng)
    c = cloth_color(rng)
    return replace(
        texture, a=a, b=b, c=c, size=texture.size * rng.uniform(0.8, 1.25), noise=rng.uniform(0.02, 0.1),
        noise_size=rng.uniform(0.02, 0.08),
    )  # fmt: skip


def sample_plain(
    rng: np.random.Generator, color: tuple[float, float, float], noise: float = 0.05
) -> Texture:
    """One colour with a little noise."""
    return Texture(
        'plain', 0.1, 0, 0.5, color, color, color, noise, 0.03, int(rng.integers(1, 10000))
    )


def _related(color: tuple[float, float, float], rng: np.random.Generator, spread: float):
    factor = float(np.exp(rng.normal(0, spread)))
    return tuple(float(np.clip(x * factor + rng.normal(0, 0.015), 0.005, 0.95)) for x in color)


def _surface(
    weights: dict[str, float], rng: np.random.Generator, low: float, high: float, color
) -> Texture:
    texture = _draw(weights, rng)
    scale = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    spread = rng.uniform(0.1, 0.6)
    return replace(
        texture, a=color, b=_related(color, rng, spread), c=_related(color, rng, spread),
        size=texture.size * scale,
        noise=rng.uniform(0.04, 0.22), noise_size=float(np.exp(rng.uniform(np.log(0.05), np.log(1.5)))),
        angle=texture.angle + rng.uniform(-40, 40),
    )  # fmt: skip


def sample_floor(rng: np.random.Generator, outdoor: bool) -> Texture:
    """What people stand on: grass, sand, asphalt, paving, wood, carpet."""
    k = rng.random()
    if outdoor and k < 0.35:
        color = hsv(rng.uniform(0.17, 0.34), rng.uniform(0.25, 0.6), rng.uniform(0.25, 0.6))
        weights = {'grass': 3, 'speckles': 1, 'clouds': 2, 'camouflage': 1}
        return _surface(weights, rng, 1.5, 6, color)
    if k < 0.6:
        color = hsv(rng.random(), rng.uniform(0, 0.12), rng.uniform(0.3, 0.8))
    elif k < 0.85:
        color = hsv(rng.uniform(0.05, 0.13), rng.uniform(0.15, 0.6), rng.uniform(0.35, 0.85))
    else:
        color = hsv(rng.random(), rng.uniform(0.15, 0.5), rng.uniform(0.3, 0.8))
    return _surface(_FLOOR, rng, 2.5, 8, color)


def sample_wall(rng: np.random.Generator) -> Texture:
    """Walls and the sides of boxes."""
    color = hsv(rng.random(), rng.uniform(0, 0.45) ** 1.3, rng.uniform(0.35, 0.95))
    texture = _surface(_WALL, rng, 2, 8, color)
    return replace(
        texture, angle=texture.angle if rng.random() < 0.2 else float(rng.choice([0, 90]))
    )
