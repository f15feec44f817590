# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Checks of a finished scene: does the record agree with the geometry, the geometry with a body,
and the buffers with a second caster?

Every check returns sentences, one a problem, and an empty list when all is well.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from .body import PART_INDEX, BodyModel, body_model
from .joints import ALLOWED_PARTS, DEPTHS, WORLD
from .observe import NEIGHBOURS, TOUCH, joint_pixels
from .placement import hull_gap, plan_hull
from .poses import column
from .record import Scene
from .reference_caster import ReferenceCaster
from .render import BOX_FACES, PROP, Rendering, Stage
from .scene import SceneRequest, Setting, make_setting

MAX_REPROJECTION = 0.5  # px
MAX_FOOT = 0.03  # m
MAX_OVERLAP = 0.05  # m
KNEE_LIMITS = ELBOW_LIMITS = (-3.0, 153.0)  # degrees; 3 more than the solver's own limits
MAX_TWIST = 6.0  # degrees that a knee or elbow may turn about anything but its hinge
_SAME = 0.01  # m between depths that count as equal


def verify_scene(
    scene: Scene,
    request: SceneRequest,
    setting: Setting | None = None,
    seen: Rendering | None = None,
) -> list[str]:
    """All checks on one scene.

    Args:
        scene: the record under test. request: that it was made from. setting: its geometry; made
            anew from the request when None. seen: the renderer's buffers; made anew from the
            setting when None.
    """
    setting = setting or make_setting(request)
    if seen is None:
        outfits = (
            [identity.outfit for identity in setting.bodies.identities] if setting.bodies else []
        )
        stage = Stage(setting.surfaces, setting.normals, outfits, setting.boxes, setting.scenery)
        seen = stage.look(setting.view.camera, request.width, request.height, color=False)
    caster = _caster(setting)
    problems = check_reprojection(scene, setting)
    problems += check_visibility(scene, setting, caster)
    problems += check_feet(setting)
    problems += check_hinges(setting)
    problems += check_overlap(setting)
    problems += check_depth_order(scene, seen, caster)
    return [f'scene {scene.scene_id}: {problem}' for problem in problems]


def _caster(setting: Setting) -> ReferenceCaster:
    triangles = [surface[body_model().faces] for surface in setting.surfaces]
    triangles += [box.corners()[BOX_FACES] for box in setting.boxes]
    return ReferenceCaster(triangles, setting.view.camera)


def check_reprojection(scene: Scene, setting: Setting) -> list[str]:
    """Recorded joints are where the bodies have them, in the world and in the picture."""
    problems = []
    camera = scene.camera
    for person in scene.persons:
        if not 0 <= person.person_id < len(setting.joints):
            problems.append(f'person {person.person_id} does not exist in the geometry')
            continue
        off = np.linalg.norm(person.joints_world - setting.joints[person.person_id] * 1000, axis=1)
        if off.max() > 1:
            problems.append(
                f'person {person.person_id}: {WORLD[off.argmax()]} is {off.max():.1f} mm off the body'
            )
        local = person.joints_world @ camera.R.T + camera.t
        good = local[:, 2] > 1
        px = local[good, :2] / local[good, 2:] * camera.f + camera.c
        off = np.linalg.norm(px - person.joints_px[good], axis=1)
        # A joint next to the camera's plane projects to anywhere, and nobody reads it.
        off = np.where(np.abs(px).max(axis=1) < 20 * scene.width, off, 0)
        if len(off) and not off.max() <= MAX_REPROJECTION:
            name = np.array(WORLD)[good][off.argmax()]
            problems.append(f'person {person.person_id}: {name} reprojects {off.max():.2f} px off')
    return problems


def check_visibility(scene: Scene, setting: Setting, caster: ReferenceCaster) -> list[str]:
    """Visibility flags follow from what the second caster finds at the joints' pixels."""
    problems = []
    part = body_model().face_part
    bodies, size = len(setting.surfaces), (scene.width, scene.height)
    for person in scene.persons:
        i = person.person_id
        local = person.joints_world @ scene.camera.R.T + scene.camera.t
        pixel, inside = joint_pixels(
            np.c_[person.joints_px, local[:, 2]], scene.width, scene.height
        )
        for k in range(len(WORLD)):
            if inside[k] != person.in_picture[k]:
                problems.append(f'person {i}: in_picture of {WORLD[k]} is {person.in_picture[k]}')
            if not inside[k]:
                if person.visible[k]:
                    problems.append(f'person {i}: {WORLD[k]} is visible out of the picture')
                continue
            # Outlines within 0.03 px, and thicknesses within 1 mm, may be judged either way.
            expected = {
                _expected_visible(
                    caster, i, bodies, part, k, x, y, depth, person.height / 1700, size
                )
                for x, y in pixel[k] + _JITTER
                for depth in local[k, 2] / 1000 + np.array([-0.001, 0.0, 0.001])
            }
            said = bool(person.visible[k])
            if expected == {not said}:
                problems.append(
                    f'person {i}: visible of {WORLD[k]} is {said}, the surfaces say otherwise'
                )
    return problems


# Around a pixel's centre: where these disagree an outline passes, and float32 may see either side
# of it.
_JITTER = np.array([[0, 0], [0.03, 0], [-0.03, 0], [0, 0.03], [0, -0.03]])


def _expected_visible(
    caster, i: int, bodies: int, part, k: int, x, y, depth: float, scale: float, size
) -> bool:
    """The rule of :mod:`wsp_mm.synthetic.observe`, from single rays."""
    thin = _own_part_thin(caster, i, part, k, x, y, depth, scale)
    hits, _ = caster.cast(x, y)
    first = int(hits.argmin()) if len(hits) else -1
    nearest, ground = hits[first] if first >= 0 else np.inf, caster.ground(x, y)
    if nearest < ground and first < bodies:
        return first == i and bool(thin)
    if depth - min(nearest, ground) > TOUCH:
        return False
    pixels = [(x + dx, y + dy) for dx, dy in NEIGHBOURS]
    pixels = [(u, v) for u, v in pixels if -0.5 < u < size[0] - 0.5 and -0.5 < v < size[1] - 0.5]
    beside = [_own_part_thin(caster, i, part, k, u, v, depth, scale) for u, v in pixels]
    return any(beside) or all(state is None for state in beside)


def _own_part_thin(caster, i: int, part, k: int, x, y, depth: float, scale: float) -> bool | None:
    """None unless a pixel shows a part of body i that joint k lies in; else whether it is thin
    enough there.
    """
    hits, faces = caster.cast(x, y)
    if (
        not len(hits)
        or hits.argmin() != i
        or not hits[i] < caster.ground(x, y)
        or not ALLOWED_PARTS[k, part[faces[i]]]
    ):
        return None
    return bool(depth - hits[i] <= DEPTHS[k] * scale)


def check_feet(setting: Setting) -> list[str]:
    """Planted feet are on the ground or on their step, and whoever is not in the air touches the
    ground.
    """
    problems = []
    if not setting.bodies:
        return problems
    part, on_surface = body_model().vertex_part, body_model().on_surface
    for i, (surface, pose) in enumerate(zip(setting.surfaces, setting.bodies.poses, strict=True)):
        height = surface[:, 2] - setting.lifts[i]
        lowest = height[on_surface].min()
        wanted = pose.values[column('airborne')]
        if abs(lowest - wanted) > MAX_FOOT:
            problems.append(
                f'person {i} ({pose.action}): lowest point {100 * (lowest - wanted):.1f} cm off the ground'
            )
        if pose.posture not in ('standing', 'crouching'):
            continue
        for side in ('left', 'right'):
            foot = height[(part == PART_INDEX[f'{side}_foot']) & on_surface].min()
            free = (
                pose.values[column(f'{side}_foot_z')] > 0
                or pose.values[column(f'{side}_leg_fk')] > 0.5
            )
            if foot < -MAX_FOOT or (foot > MAX_FOOT and not free):
                verb = 'sinks' if foot < 0 else 'hovers'
                problems.append(
                    f'person {i} ({pose.action}): {side} foot {verb} by {100 * abs(foot):.1f} cm'
                )
    return problems


def hinge_angles(
    body: BodyModel, heads: np.ndarray, rotations: np.ndarray, bone: str, parent: str, child: str
):
    """Bend, and turn about anything else (degrees, both (B,)), of a knee or elbow, from what the
    bones do.

    Args:
        heads: (B, N, 3) reference bone heads. rotations: (B, N, 3, 3) relative to the parent bone.
        bone: below the joint, e.g. 'lowerleg01.L'. parent: first bone above it. child: first bone
            below its end.
    """
    a, b, c = (heads[:, body.index[name]] for name in (parent, bone, child))
    upper, lower = b - a, c - b
    line = (c - a) / np.linalg.norm(c - a, axis=1, keepdims=True)
    # A knee's axis is level, across the line from hip to ankle; an elbow's is normal to both bones.
    hinge = np.array([1.0, 0, 0]) - line[:, :1] * line if 'leg' in bone else np.cross(upper, lower)
    hinge = hinge / np.linalg.norm(hinge, axis=1, keepdims=True)
    r = rotations[:, body.index[bone]]
    bent = np.einsum('bij,bj->bi', r, lower)
    flat_upper = upper - (upper * hinge).sum(1, keepdims=True) * hinge
    flat_bent = bent - (bent * hinge).sum(1, keepdims=True) * hinge
    sine = (np.cross(flat_upper, flat_bent) * hinge).sum(1)
    angle = np.rad2deg(np.arctan2(sine, (flat_upper * flat_bent).sum(1)))
    moved = np.einsum('bij,bj->bi', r, hinge)
    turn = np.rad2deg(np.arccos(np.clip((moved * hinge).sum(1), -1, 1)))
    return angle, turn


def check_hinges(setting: Setting) -> list[str]:
    """Knees and elbows bend the right way and not too far."""
    problems = []
    if not setting.bodies:
        return problems
    body, bodies = body_model(), setting.bodies
    heads = body.shapes(np.stack([identity.phenotype for identity in bodies.identities])).heads
    chains = {
        'knee': ('lowerleg01', 'upperleg01', 'foot', KNEE_LIMITS),
        'elbow': ('lowerarm01', 'upperarm01', 'wrist', ELBOW_LIMITS),
    }
    for name, (bone, parent, child, (low, high)) in chains.items():
        for side, tag in (('left', 'L'), ('right', 'R')):
            angle, turn = hinge_angles(
                body, heads, bodies.rotations, f'{bone}.{tag}', f'{parent}.{tag}', f'{child}.{tag}'
            )
            for i in range(len(bodies)):
                if not low <= angle[i] <= high:
                    problems.append(
                        f'person {i} ({bodies.poses[i].action}): {side} {name} bent by {angle[i]:.0f} degrees'
                    )
                if turn[i] > MAX_TWIST:
                    problems.append(
                        f'person {i} ({bodies.poses[i].action}): {side} {name} twisted by {turn[i]:.0f} degrees'
                    )
    return problems


def check_overlap(setting: Setting) -> list[str]:
    """No two bodies are more than 5 cm inside each other."""
    problems = []
    body = body_model()
    surfaces = setting.surfaces
    hulls = [plan_hull(surface[body.on_surface]) for surface in surfaces]
    for i in range(len(surfaces)):
        for j in range(len(surfaces)):
            if i == j or hull_gap(hulls[i], hulls[j]) > 0:
                continue
            deep = _deepest(surfaces[i][body.on_surface], surfaces[j], body.faces)
            if deep > MAX_OVERLAP:
                problems.append(f'persons {i} and {j} are {100 * deep:.0f} cm inside each other')
    return problems


def _deepest(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> float:
    """How deep (m) the deepest of the points lies inside a closed surface; 0 when all are
    outside.
    """
    used = vertices[np.unique(faces)]
    low, high = used.min(axis=0), used.max(axis=0)
    points = points[((points > low) & (points < high)).all(axis=1)]
    if not len(points):
        return 0.0
    corners = vertices[faces]
    cloud = cKDTree(np.concatenate([used, corners.mean(axis=1)]))
    distance, _ = cloud.query(points)
    # Furthest from the surface first: the first that is inside is the answer. A few hundred points
    # will do.
    order = np.argsort(-distance)
    order = order[distance[order] > MAX_OVERLAP * 0.9]
    for k in order[:: max(1, len(order) // 300)]:
        if _inside(points[k], corners):
            return float(distance[k])
    return 0.0


def _inside(point: np.ndarray, corners: np.ndarray) -> bool:
    """Whether rays along x, y and z mostly cross the surface an odd number of times."""
    votes = 0
    point = point + np.array(
        [1.3e-6, 2.9e-6, 4.7e-6]
    )  # off the vertices and edges that a round point lines up with
    low, high = corners.min(axis=1), corners.max(axis=1)
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        near = (
            (low[:, u] <= point[u])
            & (high[:, u] >= point[u])
            & (low[:, v] <= point[v])
            & (high[:, v] >= point[v])
        )
        t = corners[near][..., [u, v, axis]] - point[[u, v, axis]]
        cross = [
            t[:, a, 0] * t[:, b, 1] - t[:, a, 1] * t[:, b, 0] for a, b in ((1, 2), (2, 0), (0, 1))
        ]
        w = np.stack(cross, axis=1)
        hit = ((w > 0).all(axis=1) | (w < 0).all(axis=1)) & (w.sum(axis=1) != 0)
        height = (w[hit] * t[hit, :, 2]).sum(axis=1) / w[hit].sum(axis=1)
        votes += int((height > 0).sum() % 2)
    return votes >= 2


def check_depth_order(
    scene: Scene, seen: Rendering, caster: ReferenceCaster, samples: int = 60
) -> list[str]:
    """At sampled pixels the renderer shows what the second caster finds nearest, as deep as it
    finds it.

    Pixels that more than one body could cover come first.
    """
    height, width = seen.owner.shape
    bodies = seen.extent.shape[0]
    cover = np.zeros((height, width), dtype=np.int32)
    for x0, y0, mask in seen.alone:
        cover[y0 : y0 + mask.shape[0], x0 : x0 + mask.shape[1]] += mask
    rng = np.random.default_rng(0)
    problems = []
    for pool in (np.argwhere(cover > 1), np.argwhere(cover == 1), np.argwhere(cover == 0)):
        for y, x in pool[rng.permutation(len(pool))[:samples]]:
            said, depth = int(seen.owner[y, x]), float(seen.depth[y, x])
            agreed, truth = False, None
            for dx, dy in _JITTER:
                hits, _ = caster.cast(x + dx, y + dy)
                first = int(hits.argmin()) if len(hits) else -1
                nearest = hits[first] if first >= 0 else np.inf
                solid = nearest < caster.ground(x + dx, y + dy)
                owner = (first if first < bodies else PROP) if solid else None
                truth = owner if truth is None else truth
                agreed |= (
                    (said == owner and abs(depth - nearest) < _SAME) if solid else said in (-1, -2)
                )
                # Two surfaces as deep as each other may be seen in either order.
                agreed |= (
                    solid and 0 <= said < bodies and max(hits[said], depth) - nearest < _SAME / 4
                )
            if not agreed:
                problems.append(
                    f'pixel ({x}, {y}) shows {said} at {depth:.3f} m, nearest is {truth}'
                )
    return problems
