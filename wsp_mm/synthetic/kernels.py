# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
# ruff: noqa: UP018 -- Warp makes a variable of float(0.0), and a constant of 0.0
"""Warp kernels of the renderer: casting, light and shadow, and the camera's curve. The same code
runs on CPU and CUDA.

Metres and linear RGB, as in :mod:`wsp_mm.synthetic.surface_kernels`.
"""

import warp as wp

from .surface_kernels import band, fbm, person_color, sky_color, surround, texture_color

wp.config.log_level = wp.LOG_WARNING
# No gradients are wanted, and approximate divisions are exact enough for colours and for depth
# (float32).
wp.set_module_options({'enable_backward': False, 'fast_math': True})

# What a pixel shows when it is not a person (0, 1, 2, ...).
GROUND, SKY, PROP = wp.constant(-1), wp.constant(-2), wp.constant(-3)
_FAR = wp.constant(1.0e5)


@wp.kernel
def cast(
    mesh: wp.uint64, width: int, faces_per_body: int, num_bodies: int,
    origin: wp.vec3, rays: wp.mat33, f: wp.vec2, c: wp.vec2, num_boxes: int, boxes: wp.array(dtype=wp.vec4),
    depth: wp.array(dtype=float), owner: wp.array(dtype=int), face: wp.array(dtype=int),
    bary: wp.array(dtype=wp.vec2),
):  # fmt: skip
    """First surface at every pixel centre.

    Out: ``depth`` along the camera's axis (m), ``owner`` (person, GROUND, SKY, PROP), ``face`` (of
    that body, of all props; -1) and ``bary`` (weights of its first two corners). ``boxes``: px, x0,
    y0, x1, y1 of everything that is not ground or sky; outside them no ray need be cast.
    """
    i = wp.tid()
    x = float(i % width)
    y = float(i // width)
    local = wp.vec3((x - c[0]) / f[0], (y - c[1]) / f[1], 1.0)
    length = wp.length(local)
    d = rays * (local / length)
    limit = _FAR
    owner[i] = SKY
    face[i] = -1
    if d[2] < -1.0e-5:
        limit = -origin[2] / d[2]
        owner[i] = GROUND
    depth[i] = limit / length
    near = bool(False)
    for k in range(num_boxes):
        box = boxes[k]
        if x >= box[0] and y >= box[1] and x <= box[2] and y <= box[3]:
            near = True
    if not near:
        return
    hit = wp.mesh_query_ray(mesh, origin, d, limit)
    if hit.result:
        depth[i] = hit.t / length
        bary[i] = wp.vec2(hit.u, hit.v)
        body = hit.face // faces_per_body
        if body < num_bodies:
            owner[i] = body
            face[i] = hit.face - body * faces_per_body
        else:
            owner[i] = PROP
            face[i] = hit.face - num_bodies * faces_per_body


@wp.kernel
def fill(
    mesh: wp.uint64, width: int, origin: wp.vec3, rays: wp.mat33, f: wp.vec2, c: wp.vec2, body: int, root: int,
    x0: int, y0: int, box_width: int, owner: wp.array(dtype=int), covered: wp.array(dtype=wp.uint8),
):  # fmt: skip
    """Whether the body of that group would cover the pixels of a box, were it alone."""
    i = wp.tid()
    column = x0 + i % box_width
    line = y0 + i // box_width
    who = owner[line * width + column]
    if who == body:
        covered[i] = wp.uint8(1)
    elif who >= 0 or who == PROP:  # ground and sky lie behind everybody
        x = float(column)
        y = float(line)
        d = rays * wp.normalize(wp.vec3((x - c[0]) / f[0], (y - c[1]) / f[1], 1.0))
        if wp.mesh_query_ray_anyhit(mesh, origin, d, _FAR, root):
            covered[i] = wp.uint8(1)


@wp.func
def near_any(p: wp.vec3, reach: float, count: int, discs: wp.array(dtype=wp.vec4)) -> bool:
    """Whether a ground point lies within ``reach`` of anybody's disc (x, y, radius, height)."""
    for k in range(count):
        disc = discs[k]
        dx = p[0] - disc[0]
        dy = p[1] - disc[1]
        r = disc[2] + reach
        if dx * dx + dy * dy < r * r:
            return True
    return False


@wp.func
def shaded_by_any(p: wp.vec3, sun: wp.vec3, count: int, discs: wp.array(dtype=wp.vec4)) -> bool:
    """Whether the way from a ground point to the sun passes over anybody's disc below their
    height.
    """
    for k in range(count):
        disc = discs[k]
        sx = sun[0] / sun[2] * disc[3]
        sy = sun[1] / sun[2] * disc[3]
        px = disc[0] - p[0]
        py = disc[1] - p[1]
        along = wp.clamp((px * sx + py * sy) / wp.max(sx * sx + sy * sy, 1.0e-6), 0.0, 1.0)
        dx = px - along * sx
        dy = py - along * sy
        if dx * dx + dy * dy < disc[2] * disc[2]:
            return True
    return False


@wp.kernel
def develop(
    linear: wp.array(dtype=wp.vec3), gamma: float, out: wp.array2d(dtype=wp.uint8)
):  # fmt: skip
    """Linear light to 8 bits by a power."""
    i = wp.tid()
    for k in range(3):
        value = wp.pow(wp.clamp(linear[i][k], 0.0, 1.0), gamma)
        out[i, k] = wp.uint8(value * 255.0 + 0.5)


@wp.kernel
def shade(
    mesh: wp.uint64, width: int, origin: wp.vec3, rays: wp.mat33, f: wp.vec2, c: wp.vec2,
    num_vertices: int, num_bodies: int, num_props: int, discs: wp.array(dtype=wp.vec4),
    noise: wp.array2d(dtype=float),
    depth: wp.array(dtype=float), owner: wp.array(dtype=int), face: wp.array(dtype=int),
    bary: wp.array(dtype=wp.vec2),
    faces: wp.array2d(dtype=int), face_part: wp.array(dtype=int), eye_face: wp.array(dtype=int),
    normals: wp.array(dtype=wp.vec3), canonical: wp.array(dtype=wp.vec3),
    prop_faces: wp.array2d(dtype=int), prop_points: wp.array(dtype=wp.vec3), prop_texture: wp.array(dtype=int),
    people: wp.array2d(dtype=float), axes: wp.array2d(dtype=float), textures: wp.array2d(dtype=float),
    world: wp.array(dtype=float), image: wp.array(dtype=wp.vec3),
):  # fmt: skip
    """Colour of every pixel: texture, sun or lamp with cast shadow, light from the sky and from the
    ground, haze.
    """
    i = wp.tid()
    x = float(i % width)
    y = float(i // width)
    local = wp.vec3((x - c[0]) / f[0], (y - c[1]) / f[1], 1.0)
    length = wp.length(local)
    d = rays * (local / length)
    pixel = 1.0 / f[0]
    sun = wp.vec3(world[2], world[3], world[4])
    sun_color = wp.vec3(world[5], world[6], world[7])
    ambient = world[8]
    who = owner[i]
    t = depth[i] * length
    wall = wp.vec4(0.0, 0.0, 0.0, -1.0)
    if who < 0 and who != PROP:
        wall = surround(origin, d, wp.where(who == GROUND, t, _FAR), pixel, world, textures, noise)
    if wall[3] > 0.0:
        image[i] = wp.vec3(wall[0], wall[1], wall[2]) * world[9]
        owner[i] = SKY
        depth[i] = wall[3] / length
        return
    if who == SKY:
        image[i] = sky_color(d, world, noise)
        return
    p = origin + d * t
    n = wp.vec3(0.0, 0.0, 1.0)
    albedo = wp.vec3(0.5, 0.5, 0.5)
    shine = float(0.02)
    footprint = t * pixel
    if who == GROUND:
        # Seen at a flat angle a pixel covers more ground.
        footprint = footprint / wp.max(-d[2], 0.03)
        albedo = texture_color(0, p[0], p[1], footprint, textures, noise)
        albedo = albedo * (1.0 + 0.12 * fbm(p[0] * 0.35, p[1] * 0.35, world[1], noise))
        if world[28] > 0.0:  # lines: a road, a pitch
            along = p[0] * wp.cos(world[29]) + p[1] * wp.sin(world[29])
            line = band(along / world[28], 0.12 / world[28], footprint / world[28])
            albedo = albedo + (wp.vec3(0.8, 0.8, 0.78) - albedo) * line * 0.8
    elif who == PROP:
        k = face[i]
        pa = prop_points[prop_faces[k, 0]]
        pb = prop_points[prop_faces[k, 1]]
        pc = prop_points[prop_faces[k, 2]]
        n = wp.normalize(wp.cross(pb - pa, pc - pa))
        if wp.dot(n, d) > 0.0:
            n = -n
        u = p[0] * wp.abs(n[1]) + p[1] * wp.abs(n[0]) + p[0] * wp.abs(n[2])
        v = p[2] * (1.0 - wp.abs(n[2])) + p[1] * wp.abs(n[2])
        albedo = texture_color(prop_texture[k], u, v, footprint, textures, noise)
    else:
        k = face[i]
        b0 = bary[i][0]
        b1 = bary[i][1]
        b2 = 1.0 - b0 - b1
        base = who * num_vertices
        n0 = normals[base + faces[k, 0]]
        n1 = normals[base + faces[k, 1]]
        n2 = normals[base + faces[k, 2]]
        n = wp.normalize(n0 * b0 + n1 * b1 + n2 * b2)
        if wp.dot(n, d) > 0.0:
            n = wp.normalize(n - d * (1.05 * wp.dot(n, d)))
        q = canonical[faces[k, 0]] * b0 + canonical[faces[k, 1]] * b1 + canonical[faces[k, 2]] * b2
        both = person_color(
            who, face_part[k], eye_face[k], q, n, footprint, people, axes, textures, noise
        )
        albedo = wp.vec3(both[0], both[1], both[2])
        shine = both[3]

    facing = wp.dot(n, sun)
    lit = float(0.0)
    casters = num_bodies + num_props
    if facing > 0.0:
        lit = 1.0
        if (who != GROUND or shaded_by_any(p, sun, casters, discs)) and wp.mesh_query_ray_anyhit(
            mesh, p + n * 0.004, sun, 40.0, -1
        ):
            lit = 0.0
    # Light from above is kept off by what stands there: the dark under feet and chins.
    opening = float(1.0)
    if who == GROUND and world[50] > 0.0 and near_any(p, 0.9, casters, discs):
        state = wp.rand_init(int(world[1]), i)
        lean = wp.vec3(0.7 * (wp.randf(state) - 0.5), 0.7 * (wp.randf(state) - 0.5), 1.0)
        if wp.mesh_query_ray_anyhit(mesh, p + n * 0.004, lean, 1.5, -1):
            opening = 1.0 - world[50]
    sky = 0.5 + 0.5 * n[2]
    zenith = wp.vec3(world[10], world[11], world[12])
    bounce = wp.vec3(world[51], world[52], world[53])
    light = sun_color * (wp.max(facing, 0.0) * lit)
    light = (
        light
        + (zenith * (0.6 * sky) + wp.vec3(0.4, 0.4, 0.4) * sky + bounce * (1.0 - sky))
        * ambient
        * opening
    )
    color = wp.cw_mul(albedo, light)
    half = wp.normalize(sun - d)
    color = color + sun_color * (lit * shine * wp.pow(wp.max(wp.dot(n, half), 0.0), 24.0))
    fog = 1.0 - wp.exp(-t * world[54])
    haze = wp.vec3(world[13], world[14], world[15])
    image[i] = color * world[9] + (haze - color * world[9]) * fog


@wp.kernel
def group_roots(mesh: wp.uint64, roots: wp.array(dtype=int)):
    """Root of each body's part of the tree: body i is group i + 1."""
    i = wp.tid()
    roots[i] = wp.mesh_get_group_root(mesh, i + 1)
