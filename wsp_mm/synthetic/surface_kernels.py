# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
# ruff: noqa: UP018, RUF046 -- Warp makes a variable of float(0.0), and a constant of 0.0
"""Warp functions that color what a ray hits: sky and walls, people.

The same code runs on CPU and CUDA. Everything is in metres and linear RGB. The template body is a
body with hanging arms (:mod:`wsp_mm.synthetic.clothing`); heights are measured on it.
"""

import warp as wp

from .texture_kernels import TextureRow, band, fbm, fract, hash2, smooth, texture_color

Walls = wp.types.matrix(shape=(4, 3), dtype=float)


@wp.struct
class OutfitRow:
    """Clothes and hair. Heights are m on the template body, ``sleeve`` and ``leg`` shares of the
    limb, ``seed`` is of folds and hairs; ``sleeveless``, ``buttons``, ``belt``, ``beard`` are
    flags.
    """

    first_texture: int  # skin, hair, top, bottom, shoes, socks
    seed: float
    sleeve: float
    sleeveless: float
    neckline: float
    neck_narrow: float
    neck_depth: float
    hem: float
    leg: float
    buttons: float
    belt: float
    shoe: float
    sock: float
    sole: float
    sole_tone: float
    hair: float
    hairline: float
    hair_end: float
    beard: float


@wp.struct
class SceneryRow:
    """Ground, surroundings and light.

    ``mode``: what stands on the horizon, up to a slope of ``skyline``, in the colors ``near`` and
    ``far``; ``clouds``: cover. ``sun``: direction to the light. ``haze``, ``zenith``: colors of the
    sky, ``fog``: how fast the haze covers things, per m. ``walls``: planes, by horizontal normal
    and distance; ``skirting``: its height; ``windows``, ``lines``: distance between them, m.
    ``contact``: how dark it is under things. ``bounce``: light from the ground.
    """

    mode: int
    seed: float
    sun: wp.vec3
    sun_color: wp.vec3
    ambient: float
    exposure: float
    zenith: wp.vec3
    haze: wp.vec3
    clouds: float
    near: wp.vec3
    far: wp.vec3
    skyline: float
    ceiling: float
    wall_height: float
    skirting: float
    windows: float
    lines: float
    line_angle: float
    walls: Walls
    contact: float
    bounce: wp.vec3
    fog: float


@wp.struct
class BodyTables:
    """What all bodies share: faces, the template body with its landmarks, and a table of noise."""

    num_vertices: int
    faces: wp.array2d(dtype=int)
    face_part: wp.array(dtype=int)
    eye_face: wp.array(dtype=int)
    points: wp.array(dtype=wp.vec3)
    axes: wp.array(dtype=wp.vec3)
    noise: wp.array2d(dtype=float)
    shoulder: float
    wrist: float
    hip: float
    ankle: float
    head_y: float
    eye_x: float
    eye_z: float


@wp.func
def sky_color(d: wp.vec3, world: SceneryRow, noise: wp.array2d(dtype=float)) -> wp.vec3:
    """Sky, clouds and what stands on the horizon, for a direction that misses everything near.

    The numbers of the modes are their places in ``scenery.HORIZONS``.
    """
    color = wp.lerp(world.haze, world.zenith, wp.sqrt(wp.clamp(d[2] * 2.2, 0.0, 1.0)))
    seed = world.seed
    if world.clouds > 0.0 and d[2] > 0.01:
        cloud = fbm(d[0] / (d[2] + 0.15) * 0.9, d[1] / (d[2] + 0.15) * 0.9, seed, noise)
        cover = smooth(0.55 - world.clouds, 0.6, 0.5 + 0.6 * cloud)
        color = wp.lerp(color, wp.vec3(0.9, 0.9, 0.92), cover * 0.9)
    azimuth = wp.atan2(d[0], d[1])
    rise = d[2] / wp.max(wp.sqrt(d[0] * d[0] + d[1] * d[1]), 1.0e-4)
    if world.mode == 1:  # hills
        back = world.skyline * (0.6 + 0.5 * fbm(azimuth * 2.5, 3.0, seed + 1.0, noise))
        front = world.skyline * (0.3 + 0.4 * fbm(azimuth * 4.0, 8.0, seed + 2.0, noise))
        if rise < back:
            color = world.far
        if rise < front:
            color = world.near * (1.0 + 0.25 * fbm(azimuth * 60.0, rise * 60.0, seed, noise))
    if world.mode == 2:  # a town
        for row in range(2):
            layer = float(row)
            width = 14.0 + 9.0 * layer
            column = wp.floor(azimuth * width)
            height = (0.35 + 1.2 * hash2(column, layer, seed)) * (1.0 - 0.35 * layer)
            if rise < world.skyline * height:
                tone = 0.6 + 0.6 * hash2(column, 5.0 + layer, seed)
                wall = wp.where(row == 0, world.far, world.near) * tone
                window = band(azimuth * width * 6.0, 0.5, 0.1) * band(rise * 90.0, 0.5, 0.1)
                color = wall * (1.0 - 0.45 * window)
    if world.mode == 3:  # trees
        outline = 0.35 * fbm(azimuth * 9.0, 1.0, seed, noise)
        top = world.skyline * (0.8 + outline + 0.25 * fbm(azimuth * 45.0, 2.0, seed, noise))
        if rise < top:
            leaf = 0.75 + 0.8 * fbm(azimuth * 55.0, rise * 45.0, seed + 4.0, noise)
            color = wp.lerp(world.near, world.far, wp.clamp(leaf - 0.5, 0.0, 1.0))
            sway = 0.3 * fbm(azimuth * 9.0, 5.0, seed, noise)
            if rise < top * 0.25 and band(azimuth * 22.0 + sway, 0.16, 0.03) > 0.5:
                color = world.near * 0.35  # a trunk
    return color


@wp.func
def wall_color(
    t: TextureRow, along: float, z: float, footprint: float, world: SceneryRow,
    noise: wp.array2d(dtype=float),
) -> wp.vec3:  # fmt: skip
    """Color of a wall at ``along`` and ``z`` m: texture, skirting, and windows or pictures."""
    color = texture_color(t, along, z, footprint, noise)
    if z < world.skirting:
        color = color * 0.5
    if world.windows > 0.0:
        u = fract(along / world.windows + 0.31)
        edge = wp.min(wp.min(u - 0.3, 0.75 - u) * world.windows, wp.min(z - 1.0, 2.1 - z))
        if edge >= 0.06:
            color = world.far * (0.7 + 0.4 * fbm(along, z, world.seed, noise))
        elif edge > 0.0:
            color = color * 0.45
    return color


@wp.func
def surroundings(
    origin: wp.vec3, d: wp.vec3, max_t: float, pixel: float, world: SceneryRow,
    textures: wp.array(dtype=TextureRow), noise: wp.array2d(dtype=float),
) -> wp.vec4:  # fmt: skip
    """Vertical walls and a ceiling: color, and distance along the ray (negative: none)."""
    best = float(max_t)
    color = wp.vec3(0.0, 0.0, 0.0)
    found = bool(False)
    for i in range(4):
        # Plane n.x = h with a horizontal normal, seen from its positive side; n = 0: no wall.
        n = wp.vec3(world.walls[i, 0], world.walls[i, 1], 0.0)
        speed = wp.dot(n, d)
        if speed < -1.0e-4:
            t = (world.walls[i, 2] - wp.dot(n, origin)) / speed
            p = origin + d * t
            if t > 0.0 and t < best and p[2] < world.wall_height:
                best = t
                found = True
                along = p[0] * n[1] - p[1] * n[0]
                color = wall_color(textures[1 + i], along, p[2], t * pixel, world, noise)
                color = color * (0.72 + 0.28 * wp.abs(n[0] * 0.8 + n[1] * 0.6))
    if world.ceiling > 0.5 and d[2] > 1.0e-4:
        t = (world.wall_height - origin[2]) / d[2]
        if t > 0.0 and t < best:
            best = t
            found = True
            color = world.haze * 0.8
    return wp.vec4(color[0], color[1], color[2], wp.where(found, best, -1.0))


@wp.func
def is_hair(part: int, q: wp.vec3, o: OutfitRow, body: BodyTables) -> bool:
    """Whether the point q of the template body's head or neck is under hair, a beard or a cap."""
    h = q - wp.vec3(0.0, body.head_y, body.eye_z)
    style = int(o.hair)
    edge = 0.012 * fbm(q[0] * 40.0, q[1] * 40.0 + q[2] * 25.0, o.seed, body.noise)
    # Above and behind a plane that falls from the forehead to the nape.
    plane = o.hairline + edge - 0.95 * wp.max(h[1] + 0.015, 0.0)
    plane = plane - 0.15 * wp.max(-h[1] - 0.02, 0.0)
    head = part == 0
    hair = style > 0 and head and h[2] > plane
    if style < 3 and wp.abs(h[0]) > 0.062 and h[1] < 0.02 and h[2] < 0.02:  # ears
        hair = False
    behind = h[1] > -0.02 - 0.03 * wp.clamp(h[2] * 10.0, -1.0, 0.0)
    if style >= 3 and behind and h[2] > o.hair_end:
        hair = True
    if style == 5 and h[2] > o.hairline - 0.02:  # a cap
        hair = True
    chin = h[1] < -0.045 and h[2] < -0.052 + 0.2 * wp.abs(h[0]) and h[2] > -0.14
    return hair or (o.beard > 0.5 and head and chin)


@wp.func
def garment(part: int, q: wp.vec3, u: float, o: OutfitRow, body: BodyTables) -> int:
    """What covers the point q of the template body: index in ``clothing.SLOTS``, without hair.

    It is decided per pixel, so that hems are sharp and straight. The numbers of the parts are their
    places in ``body.PARTS``.
    """
    slot = int(0)
    wave = 0.006 * wp.sin(u * 35.0)
    if part >= 4 and part <= 7:  # arms
        if (body.shoulder - q[2]) / (body.shoulder - body.wrist) < o.sleeve:
            slot = 2
    elif part >= 10 or part == 3:  # legs, pelvis
        if (body.hip - q[2]) / (body.hip - body.ankle) < o.leg:
            slot = 3
        if q[2] + wave > o.hem:
            slot = 2
        if part >= 12:
            if q[2] < o.sock:
                slot = 5
            if q[2] < o.shoe:
                slot = 4
    elif part == 1 or part == 2:  # neck, torso
        slot = 2
        if q[2] + wave < o.hem:
            slot = 3
        # The neckline is lower in front.
        front = wp.clamp(-q[1] * 8.0, 0.0, 1.0)
        front = front * (1.0 - wp.clamp(wp.abs(q[0]) * o.neck_narrow, 0.0, 1.0))
        if q[2] > o.neckline - 0.10 * front * o.neck_depth:
            slot = 0
        if o.sleeveless > 0.5 and wp.abs(q[0]) > 0.105 and q[2] > o.neckline - 0.02:
            slot = 0
    return slot


@wp.func
def person_color(
    o: OutfitRow, part: int, eye: int, q: wp.vec3, footprint: float, body: BodyTables,
    textures: wp.array(dtype=TextureRow),
) -> wp.vec4:  # fmt: skip
    """Color of a person at the point q of the template body, and how much it shines."""
    if eye == 1:
        ex = wp.abs(wp.abs(q[0]) - body.eye_x)
        ez = q[2] - body.eye_z
        if ex * ex + ez * ez < 0.000045:
            return wp.vec4(0.05, 0.03, 0.02, 0.3)
        return wp.vec4(0.75, 0.73, 0.7, 0.3)
    axis = body.axes[part]
    u = wp.atan2(q[0] - axis[0], axis[1] - q[1]) * axis[2]
    slot = garment(part, q, u, o, body)
    if part <= 1 and is_hair(part, q, o, body):
        slot = 1
    color = texture_color(textures[o.first_texture + slot], u, q[2], footprint, body.noise)
    shine = float(0.06)
    up = q[2] - body.eye_z
    if slot == 1:
        shine = 0.12
    elif slot == 4:
        shine = 0.2
        if q[2] < o.sole:
            color = wp.vec3(o.sole_tone, o.sole_tone, o.sole_tone)
    elif slot == 2 or slot == 3:
        if slot == 2 and o.buttons > 0.5 and part == 2 and q[1] < 0.0 and wp.abs(q[0]) < 0.012:
            color = color * 0.55  # buttons, a zip
        fold = fbm(u * 11.0, q[2] * 6.0, o.seed + 1.0, body.noise)
        color = color * (1.0 + 0.22 * fold)
        if slot == 3 and wp.abs(q[2] - o.hem) < 0.018 and o.belt > 0.5:
            color = wp.vec3(0.03, 0.025, 0.02)
    elif part == 0 and q[1] < body.head_y - 0.05:
        if wp.abs(q[0]) < 0.024 and wp.abs(up + 0.066) < 0.008 and o.beard < 0.5:  # lips
            color = wp.cw_mul(color, wp.vec3(0.8, 0.45, 0.45))
        if wp.abs(up - 0.026) < 0.0045 and wp.abs(wp.abs(q[0]) - 0.034) < 0.02:  # brows
            color = wp.cw_mul(color, wp.vec3(0.4, 0.35, 0.3))
    return wp.vec4(color[0], color[1], color[2], shine)
