# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
# ruff: noqa: UP018 -- Warp makes a variable of float(0.0), and a constant of 0.0
"""Warp functions of procedural textures, in metres and linear RGB. The same code runs on CPU and
CUDA.
"""

import warp as wp

wp.config.log_level = wp.LOG_WARNING


@wp.struct
class TextureRow:
    """A texture; the fields are those of ``textures.Texture``, the angle in radians."""

    pattern: int
    size: float
    angle: float
    share: float
    a: wp.vec3
    b: wp.vec3
    c: wp.vec3
    noise: float
    noise_size: float
    seed: float


@wp.func
def fract(x: float) -> float:
    return x - wp.floor(x)


@wp.func
def hash2(x: float, y: float, seed: float) -> float:
    """Uniform in [0, 1) for integer x and y."""
    state = wp.rand_init(int(x) * 73856093 + int(seed), int(y) * 19349663 + 17)
    return wp.randf(state)


@wp.func
def smooth(edge: float, width: float, x: float) -> float:
    """0 below the edge, 1 above, over a ramp of that width."""
    t = wp.clamp((x - edge) / wp.max(width, 1.0e-4) + 0.5, 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


@wp.func
def fbm(x: float, y: float, seed: float, noise: wp.array2d(dtype=float)) -> float:
    """Three octaves of smooth noise, about -1 to 1, one unit a bump.

    It is read from a table that repeats after 64 units.
    """
    u = (x + seed * 7.31) * 8.0
    v = (y + seed * 3.77) * 8.0
    fu = wp.floor(u)
    fv = wp.floor(v)
    i = int(fu) & 511
    j = int(fv) & 511
    i1 = (i + 1) & 511
    j1 = (j + 1) & 511
    top = wp.lerp(noise[j, i], noise[j, i1], u - fu)
    bottom = wp.lerp(noise[j1, i], noise[j1, i1], u - fu)
    return wp.lerp(top, bottom, v - fv)


@wp.func
def band(x: float, share: float, blur: float) -> float:
    """1 in the first part of each unit interval, with ramps of the width ``blur``."""
    d = wp.abs(fract(x) - 0.5 * share)
    d = wp.min(d, 1.0 - d)
    return 1.0 - smooth(0.5 * share, blur, d)


@wp.func
def cell_pattern(u: float, v: float, seed: float) -> wp.vec2:
    """Distances from (u, v) to the nearest and the second nearest of random points, one a unit
    square.
    """
    best = float(9.0)
    second = float(9.0)
    for i in range(9):
        x = wp.floor(u) + float(i % 3) - 1.0
        y = wp.floor(v) + float(i // 3) - 1.0
        dx = x + hash2(x, y, seed) - u
        dy = y + hash2(x, y, seed + 3.0) - v
        dist = wp.sqrt(dx * dx + dy * dy)
        second = wp.min(second, wp.max(best, dist))
        best = wp.min(best, dist)
    return wp.vec2(best, second)


@wp.func
def texture_color(
    t: TextureRow, u0: float, v0: float, footprint: float, noise: wp.array2d(dtype=float)
) -> wp.vec3:
    """Color of a texture at (u0, v0) m.

    ``footprint``: width of a pixel there, m; finer detail fades to the mean. The numbers of the
    patterns are their places in ``textures.PATTERNS``.
    """
    ca = wp.cos(t.angle)
    sa = wp.sin(t.angle)
    u = (u0 * ca - v0 * sa) / t.size
    v = (u0 * sa + v0 * ca) / t.size
    share = t.share
    seed = t.seed
    pixel = footprint / t.size
    blur = wp.clamp(pixel, 0.02, 1.0)
    sharp = 1.0 - blur
    m = float(0.0)  # share of b
    k = float(0.0)  # share of c, on top
    if t.pattern == 1:  # stripes
        m = 1.0 - band(v, share, blur)
    elif t.pattern == 2:  # checks
        pu = band(u * 0.5, 0.5, blur * 0.5)
        pv = band(v * 0.5, 0.5, blur * 0.5)
        m = pu + pv - 2.0 * pu * pv
    elif t.pattern == 3:  # gingham
        m = 0.5 * (band(u, 0.5, blur) + band(v, 0.5, blur))
    elif t.pattern == 4:  # tartan
        m = 0.5 * (band(u, share, blur) + band(v, share, blur))
        k = 0.8 * wp.max(band(u + 0.3, 0.08, blur), band(v + 0.3, 0.08, blur))
    elif t.pattern == 5:  # dots
        du = fract(u + fract(wp.floor(v) * 0.5)) - 0.5
        dv = fract(v) - 0.5
        m = 1.0 - smooth(share * 0.8, blur, wp.sqrt(du * du + dv * dv))
    elif t.pattern == 6:  # zigzag
        m = band(v + wp.abs(fract(u) - 0.5), share, blur)
    elif t.pattern == 7:  # diamonds
        m = 1.0 - smooth(share, blur, wp.abs(fract(u) - 0.5) + wp.abs(fract(v * 0.6) - 0.5))
        k = band(u + v * 0.6, 0.06, blur)
    elif t.pattern == 8:  # bricks
        line = wp.floor(v * 2.0)
        uu = u + fract(line * 0.5)
        m = wp.max(band(uu, share * 0.5, blur), band(v * 2.0, share, blur * 2.0))
        k = (1.0 - m) * 0.6 * hash2(wp.floor(uu), line, seed) * sharp
    elif t.pattern == 9:  # tiles
        m = wp.max(band(u, share, blur), band(v, share, blur))
        k = (1.0 - m) * 0.4 * hash2(wp.floor(u), wp.floor(v), seed) * sharp
    elif t.pattern == 10:  # planks
        line = wp.floor(v)
        uu = u * 0.15 + hash2(line, 3.0, seed)
        m = wp.max(band(v, share, blur), band(uu, share * 0.15, blur))
        k = (1.0 - m) * 0.7 * hash2(line, wp.floor(uu), seed) * sharp
    elif t.pattern == 11:  # clouds
        m = smooth(share, 0.7, 0.5 + 0.6 * fbm(u, v, seed, noise))
    elif t.pattern == 12:  # camouflage
        m = smooth(share, 0.05 + blur, 0.5 + 0.7 * fbm(u, v, seed, noise))
        k = smooth(0.62, 0.05 + blur, 0.5 + 0.7 * fbm(u + 7.7, v - 3.1, seed + 5.0, noise))
    elif t.pattern == 13:  # speckles
        h = hash2(wp.floor(u), wp.floor(v), seed)
        fade = 1.0 - smooth(1.5, 1.5, pixel)
        m = share * (1.0 - fade) + fade * wp.where(h < share, 1.0, 0.0)
        k = 0.5 * fade * wp.where(h > 0.9, 1.0, 0.0)
    elif t.pattern == 14:  # rings
        cu = fract(u * 0.25) - 0.5
        cv = fract(v * 0.25) - 0.5
        m = band(wp.sqrt(cu * cu + cv * cv) * 4.0, share, blur)
    elif t.pattern == 15:  # waves
        m = band(v + 0.3 * wp.sin(u * 3.0), share, blur)
    elif t.pattern == 16:  # cells
        near = cell_pattern(u, v, seed)
        m = 1.0 - smooth(share * 0.3, blur, near[1] - near[0])
        k = 0.4 * near[0]
    elif t.pattern == 17:  # blocks
        h = hash2(wp.floor(u), wp.floor(v * 0.7), seed)
        fade = 1.0 - smooth(1.0, 1.0, pixel)
        m = 0.4 * (1.0 - fade) + fade * wp.where(h < 0.4, 1.0, 0.0)
        k = fade * wp.where(h > 0.75, 1.0, 0.0)
    elif t.pattern == 18:  # grass
        fade = 1.0 - smooth(2.0, 2.0, pixel)
        coarse = fbm(u * 0.05, v * 0.05, seed + 9.0, noise)
        m = 0.5 + 0.6 * fade * fbm(u, v * 0.4, seed, noise) + 0.3 * coarse
        m = wp.clamp(m, 0.0, 1.0)
    elif t.pattern == 19:  # print: one emblem in the middle of the front
        du = u / 0.5
        dv = (v0 - 0.33) / (0.5 * t.size)
        r = wp.sqrt(du * du + dv * dv)
        wobble = 0.75 + 0.35 * wp.sin(3.0 * wp.atan2(dv, du) + seed) * share
        m = 1.0 - smooth(wobble, 4.0 * blur, r)
        k = m * band(r * 2.0 + seed * 0.1, 0.4, blur)
    color = wp.lerp(wp.lerp(t.a, t.b, m), t.c, k)
    if t.noise > 0.0:
        fade = 1.0 - smooth(1.0, 1.5, footprint / t.noise_size)
        grain = fbm(u0 / t.noise_size, v0 / t.noise_size, seed + 11.0, noise)
        color = color * (1.0 + t.noise * fade * grain)
    return color
