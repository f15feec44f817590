# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
# ruff: noqa: UP018 -- Warp makes a variable of float(0.0), and a constant of 0.0
"""Warp kernels of the renderer: ray casting, light and shadow, and the camera's tone curve.

The same code runs on CPU and CUDA. Metres and linear RGB.
"""

import warp as wp

from .surface_kernels import (
    BodyTables,
    OutfitRow,
    SceneryRow,
    person_color,
    sky_color,
    surroundings,
)
from .texture_kernels import TextureRow, band, fbm, texture_color

wp.config.log_level = wp.LOG_WARNING
# No gradients are wanted, and approximate divisions are exact enough for colors and for depth
# (float32).
wp.set_module_options({'enable_backward': False, 'fast_math': True})

# What a pixel shows when it is not a person (0, 1, 2, ...). Walls count as SKY.
GROUND, SKY, PROP = wp.constant(-1), wp.constant(-2), wp.constant(-3)
_FAR = wp.constant(1.0e5)


@wp.struct
class View:
    """A pinhole camera: ``rays`` turns its axes to the world's; ``f``, ``c`` and ``width`` px."""

    origin: wp.vec3
    rays: wp.mat33
    f: wp.vec2
    c: wp.vec2
    width: int


@wp.struct
class Objects:
    """Bodies and boxes of a scene. The mesh has the faces of all bodies, then those of the boxes;
    body i is its group i + 1, boxes are group 0.

    Attributes:
        mesh: id. num_bodies: B. faces_per_body: F.
        windows: (B + boxes,) px, x0, y0, x1, y1 of everywhere that an object may be seen.
        discs: (B + boxes,) m, x, y, radius and height of upright cylinders around the objects.
        normals: (B * V,). outfits: (B,). textures: of ground, walls, boxes, outfits.
        box_points: (boxes * 8,) m. box_faces: (boxes * 12, 3). box_texture: (boxes * 12,).
    """

    mesh: wp.uint64
    num_bodies: int
    faces_per_body: int
    windows: wp.array(dtype=wp.vec4)
    discs: wp.array(dtype=wp.vec4)
    normals: wp.array(dtype=wp.vec3)
    outfits: wp.array(dtype=OutfitRow)
    textures: wp.array(dtype=TextureRow)
    box_points: wp.array(dtype=wp.vec3)
    box_faces: wp.array2d(dtype=int)
    box_texture: wp.array(dtype=int)


@wp.func
def ray(view: View, x: int, y: int) -> wp.vec3:
    """Ray through a pixel's centre in the world; its length is that of a depth of 1."""
    local = wp.vec3((float(x) - view.c[0]) / view.f[0], (float(y) - view.c[1]) / view.f[1], 1.0)
    return view.rays * local


@wp.kernel
def cast(
    view: View, objects: Objects, depth: wp.array(dtype=float), owner: wp.array(dtype=int),
    face: wp.array(dtype=int), bary: wp.array(dtype=wp.vec2),
):  # fmt: skip
    """First surface at every pixel centre.

    Out: ``depth`` along the camera's axis (m), ``owner`` (person, GROUND, SKY, PROP), ``face`` (of
    that body, of all boxes; -1) and ``bary`` (weights of its first two corners).
    """
    i = wp.tid()
    x = i % view.width
    y = i // view.width
    d = ray(view, x, y)
    limit = _FAR
    owner[i] = SKY
    face[i] = -1
    if d[2] < -1.0e-5:
        limit = -view.origin[2] / d[2]
        owner[i] = GROUND
    depth[i] = limit
    near = bool(False)
    for k in range(objects.windows.shape[0]):
        w = objects.windows[k]
        if float(x) >= w[0] and float(y) >= w[1] and float(x) <= w[2] and float(y) <= w[3]:
            near = True
    if not near:
        return
    hit = wp.mesh_query_ray(objects.mesh, view.origin, d, limit)
    if hit.result:
        depth[i] = hit.t
        bary[i] = wp.vec2(hit.u, hit.v)
        body = wp.min(hit.face // objects.faces_per_body, objects.num_bodies)
        owner[i] = wp.where(body < objects.num_bodies, body, PROP)
        face[i] = hit.face - body * objects.faces_per_body


@wp.kernel
def cover(
    view: View, objects: Objects, body: int, x0: int, y0: int, width: int,
    owner: wp.array(dtype=int), covered: wp.array(dtype=wp.uint8),
):  # fmt: skip
    """Whether a body would cover the pixels of a window if nothing else were there."""
    i = wp.tid()
    x = x0 + i % width
    y = y0 + i // width
    who = owner[y * view.width + x]
    if who == body:
        covered[i] = wp.uint8(1)
    elif who >= 0 or who == PROP:  # ground and sky lie behind everybody
        root = wp.mesh_get_group_root(objects.mesh, body + 1)
        if wp.mesh_query_ray_anyhit(objects.mesh, view.origin, ray(view, x, y), _FAR, root):
            covered[i] = wp.uint8(1)


@wp.kernel
def tone_map(light: wp.array(dtype=wp.vec3), gamma: float, out: wp.array2d(dtype=wp.uint8)):
    """Linear light to 8 bits by a power."""
    i = wp.tid()
    for k in range(3):
        value = wp.pow(wp.clamp(light[i][k], 0.0, 1.0), gamma)
        out[i, k] = wp.uint8(value * 255.0 + 0.5)


@wp.func
def under_any(p: wp.vec3, way: wp.vec3, reach: float, discs: wp.array(dtype=wp.vec4)) -> bool:
    """Whether the way up from a ground point passes within ``reach`` of a disc below its height."""
    for k in range(discs.shape[0]):
        disc = discs[k]
        sx = way[0] / way[2] * disc[3]
        sy = way[1] / way[2] * disc[3]
        dx = disc[0] - p[0]
        dy = disc[1] - p[1]
        along = wp.clamp((dx * sx + dy * sy) / wp.max(sx * sx + sy * sy, 1.0e-6), 0.0, 1.0)
        dx -= along * sx
        dy -= along * sy
        r = disc[2] + reach
        if dx * dx + dy * dy < r * r:
            return True
    return False


@wp.func
def ground_color(
    p: wp.vec3, footprint: float, objects: Objects, world: SceneryRow, body: BodyTables
) -> wp.vec3:
    """Color of the ground: texture, patches, and the lines of a road or pitch."""
    color = texture_color(objects.textures[0], p[0], p[1], footprint, body.noise)
    color = color * (1.0 + 0.12 * fbm(p[0] * 0.35, p[1] * 0.35, world.seed, body.noise))
    if world.lines > 0.0:
        along = p[0] * wp.cos(world.line_angle) + p[1] * wp.sin(world.line_angle)
        line = band(along / world.lines, 0.12 / world.lines, footprint / world.lines)
        color = wp.lerp(color, wp.vec3(0.8, 0.8, 0.78), line * 0.8)
    return color


@wp.kernel
def shade(
    view: View, objects: Objects, world: SceneryRow, body: BodyTables, depth: wp.array(dtype=float),
    owner: wp.array(dtype=int), face: wp.array(dtype=int), bary: wp.array(dtype=wp.vec2),
    light: wp.array(dtype=wp.vec3),
):  # fmt: skip
    """Light from every pixel: texture, sun or lamp with cast shadow, light from the sky and from
    the ground, haze. Pixels of walls become SKY at the wall's depth.
    """
    i = wp.tid()
    d = ray(view, i % view.width, i // view.width)
    length = wp.length(d)
    d = d / length
    pixel = 1.0 / view.f[0]
    who = owner[i]
    t = depth[i] * length
    if who < 0 and who != PROP:
        wall = surroundings(view.origin, d, t, pixel, world, objects.textures, body.noise)
        if wall[3] > 0.0:
            light[i] = wp.vec3(wall[0], wall[1], wall[2]) * world.exposure
            owner[i] = SKY
            depth[i] = wall[3] / length
            return
    if who == SKY:
        light[i] = sky_color(d, world, body.noise)
        return
    p = view.origin + d * t
    footprint = t * pixel
    n = wp.vec3(0.0, 0.0, 1.0)
    albedo = wp.vec3(0.0, 0.0, 0.0)
    shine = float(0.02)
    k = face[i]
    if who == GROUND:
        # Seen at a flat angle a pixel covers more ground.
        albedo = ground_color(p, footprint / wp.max(-d[2], 0.03), objects, world, body)
    elif who == PROP:
        a = objects.box_points[objects.box_faces[k, 0]]
        b = objects.box_points[objects.box_faces[k, 1]]
        c = objects.box_points[objects.box_faces[k, 2]]
        n = wp.normalize(wp.cross(b - a, c - a))
        if wp.dot(n, d) > 0.0:
            n = -n
        u = p[0] * wp.abs(n[1]) + p[1] * wp.abs(n[0]) + p[0] * wp.abs(n[2])
        v = p[2] * (1.0 - wp.abs(n[2])) + p[1] * wp.abs(n[2])
        texture = objects.textures[objects.box_texture[k]]
        albedo = texture_color(texture, u, v, footprint, body.noise)
    else:
        weights = wp.vec3(bary[i][0], bary[i][1], 1.0 - bary[i][0] - bary[i][1])
        n = wp.vec3(0.0, 0.0, 0.0)
        q = wp.vec3(0.0, 0.0, 0.0)
        for corner in range(3):
            vertex = body.faces[k, corner]
            n += objects.normals[who * body.num_vertices + vertex] * weights[corner]
            q += body.points[vertex] * weights[corner]
        n = wp.normalize(n)
        if wp.dot(n, d) > 0.0:
            n = wp.normalize(n - d * (1.05 * wp.dot(n, d)))
        part = body.face_part[k]
        outfit = objects.outfits[who]
        seen = person_color(outfit, part, body.eye_face[k], q, footprint, body, objects.textures)
        albedo = wp.vec3(seen[0], seen[1], seen[2])
        shine = seen[3]

    start = p + n * 0.004
    facing = wp.dot(n, world.sun)
    lit = wp.where(facing > 0.0, 1.0, 0.0)
    shaded = lit > 0.0 and (who != GROUND or under_any(p, world.sun, 0.0, objects.discs))
    if shaded and wp.mesh_query_ray_anyhit(objects.mesh, start, world.sun, 40.0, -1):
        lit = 0.0
    # Light from above is kept off by what stands there: the dark under feet and chins.
    opening = float(1.0)
    up = wp.vec3(0.0, 0.0, 1.0)
    if who == GROUND and world.contact > 0.0 and under_any(p, up, 0.9, objects.discs):
        state = wp.rand_init(int(world.seed), i)
        lean = wp.vec3(0.7 * (wp.randf(state) - 0.5), 0.7 * (wp.randf(state) - 0.5), 1.0)
        if wp.mesh_query_ray_anyhit(objects.mesh, start, lean, 1.5, -1):
            opening = 1.0 - world.contact
    sky = 0.5 + 0.5 * n[2]
    above = (world.zenith * 0.6 + wp.vec3(0.4, 0.4, 0.4)) * sky
    incoming = world.sun_color * (wp.max(facing, 0.0) * lit)
    incoming += (above + world.bounce * (1.0 - sky)) * (world.ambient * opening)
    gloss = wp.pow(wp.max(wp.dot(n, wp.normalize(world.sun - d)), 0.0), 24.0)
    color = wp.cw_mul(albedo, incoming) + world.sun_color * (lit * shine * gloss)
    light[i] = wp.lerp(color * world.exposure, world.haze, 1.0 - wp.exp(-t * world.fog))
