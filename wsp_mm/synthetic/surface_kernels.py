# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
# ruff: noqa: UP018, RUF046 -- Warp makes a variable of float(0.0), and a constant of 0.0
"""Warp functions that colour surfaces: textures, sky and walls, people. The same code runs on CPU
and CUDA.

Everything is in metres and linear RGB. Rows of ``textures`` are laid out in
:mod:`wsp_mm.synthetic.textures`, of ``people`` in :mod:`wsp_mm.synthetic.clothing`, of ``world`` in
:mod:`wsp_mm.synthetic.scenery`.
"""

import warp as wp

wp.config.log_level = wp.LOG_WARNING


@wp.func
def fract(x: float) -> float:
    return x - wp.floor(x)


@wp.func
def hash2(x: float, y: float, seed: float) -> float:
    """Uniform in [0, 1) for integer cells."""
    state = wp.rand_init(int(x) * 73856093 + int(seed), int(y) * 19349663 + 17)
    return wp.randf(state)


@wp.func
def smooth(edge: float, width: float, x: float) -> float:
    """0 below the edge, 1 above, over a ramp of that width."""
    t = wp.clamp((x - edge) / wp.max(width, 1.0e-4) + 0.5, 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


@wp.func
def fbm(x: float, y: float, seed: float, noise: wp.array2d(dtype=float)) -> float:
    """Three octaves of smooth noise, about -1 to 1, one unit a bump; read from a table that repeats
    after 64 units.
    """
    u = (x + seed * 7.31) * 8.0
    v = (y + seed * 3.77) * 8.0
    fu = wp.floor(u)
    fv = wp.floor(v)
    i = int(fu) & 511
    j = int(fv) & 511
    i1 = (i + 1) & 511
    j1 = (j + 1) & 511
    a = u - fu
    b = v - fv
    top = noise[j, i] * (1.0 - a) + noise[j, i1] * a
    bottom = noise[j1, i] * (1.0 - a) + noise[j1, i1] * a
    return top * (1.0 - b) + bottom * b


@wp.func
def band(x: float, share: float, blur: float) -> float:
    """1 in the first part of each unit interval, with ramps of the width ``blur``."""
    d = wp.abs(fract(x) - 0.5 * share)
    d = wp.min(d, 1.0 - d)
    return 1.0 - smooth(0.5 * share, blur, d)


@wp.func
def texture_color(
    row: int,
    u0: float,
    v0: float,
    footprint: float,
    textures: wp.array2d(dtype=float),
    noise: wp.array2d(dtype=float),
) -> wp.vec3:
    """Colour of a texture at (u, v) m. ``footprint``: width of a pixel there, m; finer detail fades
    to the mean.
    """
    kind = int(textures[row, 0])
    size = textures[row, 1]
    angle = textures[row, 2]
    share = textures[row, 3]
    a = wp.vec3(textures[row, 4], textures[row, 5], textures[row, 6])
    b = wp.vec3(textures[row, 7], textures[row, 8], textures[row, 9])
    c = wp.vec3(textures[row, 10], textures[row, 11], textures[row, 12])
    seed = textures[row, 15]
    ca = wp.cos(angle)
    sa = wp.sin(angle)
    u = (u0 * ca - v0 * sa) / size
    v = (u0 * sa + v0 * ca) / size
    blur = wp.clamp(footprint / size, 0.02, 1.0)
    m = float(0.0)  # share of b
    k = float(0.0)  # share of c, on top
    if kind == 1:  # stripes
        m = 1.0 - band(v, share, blur)
    elif kind == 2:  # checks
        pu = band(u * 0.5, 0.5, blur * 0.5)
        pv = band(v * 0.5, 0.5, blur * 0.5)
        m = pu + pv - 2.0 * pu * pv
    elif kind == 3:  # gingham
        m = 0.5 * (band(u, 0.5, blur) + band(v, 0.5, blur))
    elif kind == 4:  # tartan
        m = 0.5 * (band(u, share, blur) + band(v, share, blur))
        k = 0.8 * wp.max(band(u + 0.3, 0.08, blur), band(v + 0.3, 0.08, blur))
    elif kind == 5:  # dots
        row_shift = 0.5 * fract(wp.floor(v) * 0.5) * 2.0
        du = fract(u + row_shift) - 0.5
        dv = fract(v) - 0.5
        m = 1.0 - smooth(share * 0.8, blur, wp.sqrt(du * du + dv * dv))
    elif kind == 6:  # zigzag
        m = band(v + wp.abs(fract(u) - 0.5), share, blur)
    elif kind == 7:  # diamonds
        m = 1.0 - smooth(share, blur, wp.abs(fract(u) - 0.5) + wp.abs(fract(v * 0.6) - 0.5))
        k = band(u + v * 0.6, 0.06, blur)
    elif kind == 8:  # bricks
        line = wp.floor(v * 2.0)
        uu = u + 0.5 * fract(line * 0.5) * 2.0
        m = wp.max(band(uu, share * 0.5, blur), band(v * 2.0, share, blur * 2.0))
        k = (1.0 - m) * 0.6 * hash2(wp.floor(uu), line, seed) * (1.0 - wp.min(1.0, blur))
    elif kind == 9:  # tiles
        m = wp.max(band(u, share, blur), band(v, share, blur))
        k = (1.0 - m) * 0.4 * hash2(wp.floor(u), wp.floor(v), seed) * (1.0 - wp.min(1.0, blur))
    elif kind == 10:  # planks
        line = wp.floor(v)
        uu = u * 0.15 + hash2(line, 3.0, seed)
        m = wp.max(band(v, share, blur), band(uu, share * 0.15, blur))
        k = (1.0 - m) * 0.7 * hash2(line, wp.floor(uu), seed) * (1.0 - wp.min(1.0, blur))
    elif kind == 11:  # clouds
        m = smooth(share, 0.7, 0.5 + 0.6 * fbm(u, v, seed, noise))
    elif kind == 12:  # camouflage
        m = smooth(share, 0.05 + blur, 0.5 + 0.7 * fbm(u, v, seed, noise))
        k = smooth(0.62, 0.05 + blur, 0.5 + 0.7 * fbm(u + 7.7, v - 3.1, seed + 5.0, noise))
    elif kind == 13:  # speckles
        h = hash2(wp.floor(u), wp.floor(v), seed)
        fade = 1.0 - smooth(1.5, 1.5, footprint / size)
        m = share * (1.0 - fade) + fade * wp.where(h < share, 1.0, 0.0)
        k = 0.5 * fade * wp.where(h > 0.9, 1.0, 0.0)
    elif kind == 14:  # rings
        cu = fract(u * 0.25) - 0.5
        cv = fract(v * 0.25) - 0.5
        m = band(wp.sqrt(cu * cu + cv * cv) * 4.0, share, blur)
    elif kind == 15:  # waves
        m = band(v + 0.3 * wp.sin(u * 3.0), share, blur)
    elif kind == 16:  # cells
        iu = wp.floor(u)
        iv = wp.floor(v)
        best = float(9.0)
        second = float(9.0)
        for i in range(9):
            cx = iu + float(i % 3) - 1.0
            cy = iv + float(i // 3) - 1.0
            dx = cx + hash2(cx, cy, seed) - u
            dy = cy + hash2(cx, cy, seed + 3.0) - v
            dist = wp.sqrt(dx * dx + dy * dy)
            if dist < best:
                second = best
                best = dist
            elif dist < second:
                second = dist
        m = 1.0 - smooth(share * 0.3, blur, second - best)
        k = 0.4 * best
    elif kind == 17:  # blocks
        h = hash2(wp.floor(u), wp.floor(v * 0.7), seed)
        fade = 1.0 - smooth(1.0, 1.0, footprint / size)
        m = 0.4 * (1.0 - fade) + fade * wp.where(h < 0.4, 1.0, 0.0)
        k = fade * wp.where(h > 0.75, 1.0, 0.0)
    elif kind == 18:  # grass
        fade = 1.0 - smooth(2.0, 2.0, footprint / size)
        m = (
            0.5
            + 0.6 * fade * fbm(u, v * 0.4, seed, noise)
            + 0.3 * fbm(u * 0.05, v * 0.05, seed + 9.0, noise)
        )
        m = wp.clamp(m, 0.0, 1.0)
    elif kind == 19:  # print: one emblem in the middle of the front
        du = u / 0.5
        dv = (v0 - 0.33) / (0.5 * size)
        r = wp.sqrt(du * du + dv * dv)
        wobble = 0.75 + 0.35 * wp.sin(3.0 * wp.atan2(dv, du) + seed) * share
        m = 1.0 - smooth(wobble, 4.0 * blur, r)
        k = m * band(r * 2.0 + seed * 0.1, 0.4, blur)
    color = a + (b - a) * m
    color = color + (c - color) * k
    amplitude = textures[row, 13]
    if amplitude > 0.0:
        grain = textures[row, 14]
        fade = 1.0 - smooth(1.0, 1.5, footprint / grain)
        color = color * (1.0 + amplitude * fade * fbm(u0 / grain, v0 / grain, seed + 11.0, noise))
    return color


@wp.func
def sky_color(d: wp.vec3, world: wp.array(dtype=float), noise: wp.array2d(dtype=float)) -> wp.vec3:
    """Sky, clouds and what stands on the horizon, for a direction that misses everything near."""
    mode = int(world[0])
    zenith = wp.vec3(world[10], world[11], world[12])
    haze = wp.vec3(world[13], world[14], world[15])
    t = wp.clamp(d[2] * 2.2, 0.0, 1.0)
    color = haze + (zenith - haze) * wp.sqrt(t)
    seed = world[1]
    if world[16] > 0.0 and d[2] > 0.01:
        cloud = fbm(d[0] / (d[2] + 0.15) * 0.9, d[1] / (d[2] + 0.15) * 0.9, seed, noise)
        cover = smooth(0.55 - world[16], 0.6, 0.5 + 0.6 * cloud)
        color = color + (wp.vec3(0.9, 0.9, 0.92) - color) * cover * 0.9
    azimuth = wp.atan2(d[0], d[1])
    rise = d[2] / wp.max(wp.sqrt(d[0] * d[0] + d[1] * d[1]), 1.0e-4)
    near = wp.vec3(world[17], world[18], world[19])
    far = wp.vec3(world[20], world[21], world[22])
    if mode == 1:  # hills
        back = world[23] * (0.6 + 0.5 * fbm(azimuth * 2.5, 3.0, seed + 1.0, noise))
        front = world[23] * (0.3 + 0.4 * fbm(azimuth * 4.0, 8.0, seed + 2.0, noise))
        if rise < back:
            color = far
        if rise < front:
            color = near * (1.0 + 0.25 * fbm(azimuth * 60.0, rise * 60.0, seed, noise))
    if mode == 2:  # a town
        for layer in range(2):
            width = 14.0 + 9.0 * float(layer)
            column = wp.floor(azimuth * width)
            top = (
                world[23]
                * (0.35 + 1.2 * hash2(column, float(layer), seed))
                * (1.0 - 0.35 * float(layer))
            )
            if rise < top:
                tone = 0.6 + 0.6 * hash2(column, 5.0 + float(layer), seed)
                wall = wp.where(layer == 0, far, near) * tone
                window = band(azimuth * width * 6.0, 0.5, 0.1) * band(rise * 90.0, 0.5, 0.1)
                color = wall * (1.0 - 0.45 * window)
    if mode == 3:  # trees
        top = world[23] * (
            0.8
            + 0.35 * fbm(azimuth * 9.0, 1.0, seed, noise)
            + 0.25 * fbm(azimuth * 45.0, 2.0, seed, noise)
        )
        if rise < top:
            leaf = 0.75 + 0.8 * fbm(azimuth * 55.0, rise * 45.0, seed + 4.0, noise)
            color = near + (far - near) * wp.clamp(leaf - 0.5, 0.0, 1.0)
            if (
                rise < top * 0.25
                and band(azimuth * 22.0 + 0.3 * fbm(azimuth * 9.0, 5.0, seed, noise), 0.16, 0.03)
                > 0.5
            ):
                color = near * 0.35
    return color


@wp.func
def surround(
    origin: wp.vec3,
    d: wp.vec3,
    max_t: float,
    pixel: float,
    world: wp.array(dtype=float),
    textures: wp.array2d(dtype=float),
    noise: wp.array2d(dtype=float),
) -> wp.vec4:
    """Walls (two vertical planes and a ceiling at most): colour, and distance along the ray
    (negative: none).
    """
    best = float(max_t)
    color = wp.vec3(0.0, 0.0, 0.0)
    found = int(0)
    for i in range(4):
        base = 30 + 5 * i
        if world[base] > 0.5:
            # Plane n.x = h with a horizontal normal, seen from its positive side.
            n = wp.vec3(world[base + 1], world[base + 2], 0.0)
            speed = wp.dot(n, d)
            if speed < -1.0e-4:
                t = (world[base + 3] - wp.dot(n, origin)) / speed
                p = origin + d * t
                if t > 0.0 and t < best and p[2] < world[25]:
                    best = t
                    found = 1
                    along = p[0] * n[1] - p[1] * n[0]
                    color = texture_color(
                        int(world[base + 4]), along, p[2], t * pixel, textures, noise
                    )
                    shade = 0.72 + 0.28 * wp.abs(n[0] * 0.8 + n[1] * 0.6)
                    if p[2] < world[26]:  # skirting
                        shade = shade * 0.5
                    if world[27] > 0.0:  # windows or pictures
                        wu = fract(along / world[27] + 0.31)
                        wv = p[2]
                        if wu > 0.3 and wu < 0.75 and wv > 1.0 and wv < 2.1:
                            inside = wp.vec3(world[20], world[21], world[22])
                            edge = wp.min(
                                wp.min(wu - 0.3, 0.75 - wu) * world[27], wp.min(wv - 1.0, 2.1 - wv)
                            )
                            color = wp.where(
                                edge < 0.06,
                                color * 0.45,
                                inside * (0.7 + 0.4 * fbm(along, wv, world[1], noise)),
                            )
                    color = color * shade
    if world[24] > 0.5 and d[2] > 1.0e-4:  # ceiling
        t = (world[25] - origin[2]) / d[2]
        if t > 0.0 and t < best:
            best = t
            found = 1
            color = wp.vec3(world[13], world[14], world[15]) * 0.8
    if found == 1:
        return wp.vec4(color[0], color[1], color[2], best)
    return wp.vec4(0.0, 0.0, 0.0, -1.0)


@wp.func
def person_color(
    row: int,
    part: int,
    eye: int,
    q: wp.vec3,
    n: wp.vec3,
    footprint: float,
    people: wp.array2d(dtype=float),
    axes: wp.array2d(dtype=float),
    textures: wp.array2d(dtype=float),
    noise: wp.array2d(dtype=float),
) -> wp.vec4:
    """Colour of a person at the point q of the canonical body (arms hanging), and how much it
    shines.

    Which garment covers q is decided here, per pixel, so that hems are sharp and straight.
    """
    base = int(
        people[row, 0]
    )  # first of the person's textures: skin, hair, top, bottom, shoes, socks
    shoulder = people[row, 1]
    wrist = people[row, 2]
    hip = people[row, 3]
    ankle = people[row, 4]
    arm = part >= 4 and part <= 9
    leg = part >= 10
    u = wp.atan2(q[0] - axes[part, 0], axes[part, 1] - q[1]) * axes[part, 2]
    v = q[2]
    slot = int(0)
    shine = float(0.06)
    arm_t = (shoulder - q[2]) / (shoulder - wrist)
    leg_t = (hip - q[2]) / (hip - ankle)
    wave = 0.006 * wp.sin(u * 35.0)
    if arm:
        if arm_t < people[row, 5] and part < 8:
            slot = 2
    elif leg or part == 3:
        if leg_t < people[row, 6]:
            slot = 3
        if q[2] + wave > people[row, 7]:
            slot = 2
        if part >= 14 or part == 12 or part == 13:
            if q[2] < people[row, 12]:
                slot = 5
            if q[2] < people[row, 10] and part >= 12:
                slot = 4
    elif part == 2 or part == 1:
        slot = 2
        if q[2] + wave < people[row, 7]:
            slot = 3
        # Neckline: lower in front.
        front = wp.clamp(-q[1] * 8.0, 0.0, 1.0) * (
            1.0 - wp.clamp(wp.abs(q[0]) * people[row, 9], 0.0, 1.0)
        )
        if q[2] > people[row, 8] - 0.10 * front * people[row, 11]:
            slot = 0
        if people[row, 13] > 0.5 and wp.abs(q[0]) > 0.105 and q[2] > people[row, 8] - 0.02:
            slot = 0
    tint = wp.vec3(1.0, 1.0, 1.0)
    if part <= 1:
        # Hair: above and behind a plane that falls from the forehead to the nape.
        h = q - wp.vec3(0.0, people[row, 14], people[row, 15])
        style = int(people[row, 16])
        line = people[row, 17] + 0.012 * fbm(
            q[0] * 40.0, q[1] * 40.0 + q[2] * 25.0, people[row, 19], noise
        )
        hair = False
        if style > 0:
            if part == 0 and h[2] > line - 0.95 * wp.max(h[1] + 0.015, 0.0) - 0.15 * wp.max(
                -h[1] - 0.02, 0.0
            ):
                hair = True
            if wp.abs(h[0]) > 0.062 and h[1] < 0.02 and h[2] < 0.02 and style < 3:
                hair = False
            if (
                style >= 3
                and h[1] > -0.02 - 0.03 * wp.clamp(h[2] * 10.0, -1.0, 0.0)
                and h[2] > people[row, 18]
            ):
                hair = True
        if style == 5 and h[2] > people[row, 17] - 0.02:  # a cap
            hair = True
        if (
            people[row, 20] > 0.5
            and part == 0
            and h[1] < -0.045
            and h[2] < -0.052 + 0.2 * wp.abs(h[0])
            and h[2] > -0.14
        ):
            hair = True
        if hair:
            slot = 1
            shine = 0.12
        elif part == 0 and h[1] < -0.05:
            # Lips, brows.
            if wp.abs(h[0]) < 0.024 and wp.abs(h[2] + 0.066) < 0.008 and people[row, 20] < 0.5:
                tint = wp.vec3(0.8, 0.45, 0.45)
            if wp.abs(h[2] - 0.026) < 0.0045 and wp.abs(wp.abs(h[0]) - 0.034) < 0.02:
                tint = wp.vec3(0.4, 0.35, 0.3)
    color = texture_color(base + slot, u, v, footprint, textures, noise)
    if slot == 4:
        shine = 0.2
        if q[2] < people[row, 21]:  # sole
            color = wp.vec3(people[row, 22], people[row, 22], people[row, 22])
    if slot == 2 and people[row, 23] > 0.5 and part == 2 and q[1] < 0.0 and wp.abs(q[0]) < 0.012:
        color = color * 0.55  # buttons, a zip
    if slot >= 2 and slot <= 3:
        # Folds.
        fold = fbm(u * 11.0, v * 6.0, people[row, 19] + 1.0, noise)
        color = color * (1.0 + 0.22 * fold)
        if slot == 3 and wp.abs(q[2] - people[row, 7]) < 0.018 and people[row, 24] > 0.5:
            color = wp.vec3(0.03, 0.025, 0.02)  # belt
    if eye == 1:
        color = wp.vec3(0.75, 0.73, 0.7)
        ex = wp.abs(wp.abs(q[0]) - people[row, 25])
        ez = q[2] - people[row, 26]
        if ex * ex + ez * ez < 0.000045:
            color = wp.vec3(0.05, 0.03, 0.02)
        shine = 0.3
        tint = wp.vec3(1.0, 1.0, 1.0)
    color = wp.cw_mul(color, tint)
    return wp.vec4(color[0], color[1], color[2], shine)
