# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""One wild picture of the embedded world, from its request alone: who, where, how lit, and the
truth about all of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .actions import ACTIONS, WALKS, sample_pose
from .animation import pose_at, walking_speed
from .body import PART_INDEX, body_model
from .observe import observe
from .people import Identity, PosedBodies, pose_bodies, sample_identity
from .photograph import lens_and_grain
from .placement import View, hull_gap, make_view, plan_hull, turn_plan
from .poses import Pose
from .record import Scene
from .render import Box, Rendering, Stage
from .scenery import sample_scenery
from .textures import sample_wall

# How often each action is seen in the wild.
_WILD = dict.fromkeys(ACTIONS, 1.0) | {
    'Walking': 2.5, 'Waiting': 2.5, 'Discussion': 1.5, 'Posing': 1.5, 'Running': 0.8, 'Jumping': 0.5,
    'Lying': 0.2,
    'Kneeling': 0.6, 'Crouching': 0.8, 'Sitting': 1.2, 'SittingDown': 0.7, 'Stepping': 0.8,
}  # fmt: skip
FRAME_RATE = 12.0
# Frames for which walkers have a free way; they may meet in longer ones.
LONGEST_SEQUENCE = 24


@dataclass(frozen=True)
class SceneRequest:
    """What a picture is made from; nothing else has a say in it.

    Attributes:
        scene_id, source, split, file_name: copied to the :class:`Scene`.
        width, height: px. num_persons: 0 to 12 who are meant to be in the picture.
        seed: of everything. sequence, frame: video and frame number, -1 for stills; the frames of a
            sequence share their seed.

    Raises:
        ValueError: a size or number that makes no picture.
    """

    scene_id: int
    source: str
    split: str
    file_name: str
    width: int
    height: int
    num_persons: int
    seed: int
    sequence: int = -1
    frame: int = -1

    def __post_init__(self) -> None:
        if min(self.width, self.height) < 32:
            raise ValueError(
                f'scene {self.scene_id}: {self.width} x {self.height} px is too small, 32 is the least'
            )
        if not 0 <= self.num_persons <= 12:
            raise ValueError(
                f'scene {self.scene_id}: num_persons must be 0 to 12, got {self.num_persons}'
            )


@dataclass
class Setting:
    """Everything of a scene before it is looked at (metres)."""

    request: SceneRequest
    view: View
    bodies: PosedBodies | None
    yaws: np.ndarray
    places: np.ndarray
    lifts: np.ndarray
    boxes: list[Box]
    scenery: object

    @property
    def surfaces(self) -> np.ndarray:
        """(B, V, 3) m, in the world."""
        return self.to_world(self.bodies.surface) if self.bodies else np.zeros((0, 1, 3))

    @property
    def joints(self) -> np.ndarray:
        """(B, J, 3) m, in the world."""
        return self.to_world(self.bodies.joints) if self.bodies else np.zeros((0, 29, 3))

    @property
    def normals(self) -> np.ndarray:
        """(B, V, 3) of the skin, in the world."""
        return (
            self.bodies.normals @ np.swapaxes(self._turns(), 1, 2)
            if self.bodies
            else np.zeros((0, 1, 3))
        )

    def _turns(self) -> np.ndarray:
        c, s = np.cos(self.yaws), np.sin(self.yaws)
        zero = np.zeros_like(c)
        return np.stack([c, -s, zero, s, c, zero, zero, zero, zero + 1], axis=-1).reshape(-1, 3, 3)

    def to_world(self, points: np.ndarray) -> np.ndarray:
        """Stand frames (B, n, 3) to the world."""
        shift = np.concatenate([self.places, self.lifts[:, None]], axis=1)
        return points @ np.swapaxes(self._turns(), 1, 2) + shift[:, None]


def generate_scene(request: SceneRequest) -> tuple[np.ndarray, Scene]:
    """The picture of a request.

    Returns:
        image (H, W, 3) uint8 RGB, and the truth.
    """
    setting = make_setting(request)
    image, scene, _ = render_setting(setting)
    return image, scene


def render_setting(setting: Setting, normals: bool = False) -> tuple[np.ndarray, Scene, Rendering]:
    """Look at a setting: picture, truth, and the renderer's buffers."""
    request = setting.request
    outfits = [identity.outfit for identity in setting.bodies.identities] if setting.bodies else []
    surfaces = setting.surfaces
    stage = Stage(surfaces, setting.normals, outfits, setting.boxes, setting.scenery)
    seen = stage.look(setting.view.camera, request.width, request.height, normals=normals)
    scene = observe(setting, surfaces, seen)
    return _photograph(stage, seen, request), scene, seen


def _photograph(stage: Stage, seen: Rendering, request: SceneRequest) -> np.ndarray:
    """What a camera makes of light: a curve, a soft lens, noise, 8 bits. Only the noise differs
    between a video's frames.
    """
    width, height = request.width, request.height
    rng = np.random.default_rng([request.seed, 5])
    image = stage.develop(seen.light, width, height, float(rng.uniform(0.42, 0.52)))
    blur = rng.uniform(0.3, 0.7) * max(1.0, width / 640) ** 0.5
    level = rng.uniform(0, 4)
    return lens_and_grain(
        image, blur, level if level > 0.5 else 0.0, [request.seed, 6, request.frame + 1]
    )


# ------------------------------------------------------------------ who, where, how
def make_setting(request: SceneRequest) -> Setting:
    """People, places, camera and surroundings of a request."""
    rng = np.random.default_rng([request.seed, 1])
    time = max(request.frame, 0) / FRAME_RATE
    people = [_person(rng, request.sequence >= 0) for _ in range(request.num_persons)]
    if len(people) > 1 and rng.random() < 0.15:  # some do the same thing together
        people = [(identity, replace_action(people[0][1], pose, rng)) for identity, pose in people]
    lift_rng = np.random.default_rng([request.seed, 2])
    bodies = _bodies(people, time, request.seed)
    still = bodies if time == 0 else _bodies(people, 0.0, request.seed)
    view = _sample_view(rng, request)
    lifts, supports = _supports(lift_rng, still)
    places, yaws, walls = _place(
        rng, still, supports, view, request, people if request.sequence >= 0 else None
    )
    boxes = [
        replace(
            box,
            center=turn_plan(box.center[None], yaws[i], places[i])[0],
            yaw=float(np.rad2deg(yaws[i])),
        )
        for i, box in supports
    ]
    if time > 0:
        places = _moved(places, yaws, still, time)
    scenery = sample_scenery(np.random.default_rng([request.seed, 3]), depth=walls)
    return Setting(request, view, bodies, yaws, places, lifts, boxes, scenery)


def _bodies(people: list[tuple[Identity, Pose]], time: float, seed: int) -> PosedBodies | None:
    if not people:
        return None
    poses = [
        pose_at(pose, time, np.random.default_rng([seed, 4, i]))
        for i, (_, pose) in enumerate(people)
    ]
    return pose_bodies([identity for identity, _ in people], poses)


def _person(rng: np.random.Generator, moving: bool) -> tuple[Identity, Pose]:
    names = list(_WILD)
    p = np.array(list(_WILD.values()))
    if moving:  # a body in the air cannot stay there, and videos are of people who go somewhere
        p = p * [0.0 if name == 'Jumping' else 3.0 if name in WALKS else 1.0 for name in names]
    return sample_identity(rng), sample_pose(names[rng.choice(len(p), p=p / p.sum())], rng)


def replace_action(leader: Pose, pose: Pose, rng: np.random.Generator) -> Pose:
    """The leader's action for somebody else, who does it in their own way."""
    return sample_pose(leader.action, rng) if leader.action != pose.action else pose


def _sample_view(rng: np.random.Generator, request: SceneRequest) -> View:
    f = float(np.exp(rng.uniform(np.log(500), np.log(1500)))) * request.width / 640
    height = rng.uniform(0.8, 2.2)
    # Aim at the middle of people at a typical distance, then miss a little.
    distance = np.clip(f / request.width * 640 / 135, 3.0, 9)
    pitch = np.rad2deg(np.arctan2(height - 0.8, distance)) + rng.normal(0, 2.5)
    return make_view(
        f,
        height,
        float(np.clip(pitch, -8, 22)),
        float(rng.normal(0, 2.2)),
        request.width,
        request.height,
    )


def _depth_range(view: View, request: SceneRequest) -> tuple[float, float]:
    """Distances at which a person of 1.7 m is between 32 % and nearly all of the picture's
    height.
    """
    f = view.camera.f[1]
    near = 1.7 * f / (0.95 * request.height)
    far = 1.7 * f / (0.32 * request.height)
    return float(np.clip(near, 2.0, 9.0)), float(np.clip(far, 4.5, 12.0))


def _place(rng, bodies: PosedBodies | None, supports, view: View, request: SceneRequest, movers):
    """Places (B, 2) m and yaws (B,) radians of everybody, and the distance that must stay free of
    walls.
    """
    n = len(bodies) if bodies else 0
    places, yaws, hulls = np.zeros((n, 2)), np.zeros(n), []
    near, far = _depth_range(view, request)
    style = rng.choice(['spread', 'row', 'group'], p=[0.8, 0.08, 0.12])
    row_depth = rng.uniform(near, 0.4 * near + 0.6 * far)
    facing = rng.random() < 0.5  # most people look at the camera, or anywhere
    f = view.camera.f[0]
    for i in range(n):
        cloud = [bodies.surface[i][body_model().on_surface]]
        cloud += [box.corners() for owner, box in supports if owner == i]
        body_hull = plan_hull(np.concatenate(cloud))
        if movers:  # room for what they will do, and for the way that they will go
            body_hull = plan_hull(_swept(body_hull, walking_speed(movers[i][1], bodies.height[i])))
        yaw = rng.normal(0, 0.6) if facing and rng.random() < 0.8 else rng.uniform(-np.pi, np.pi)
        for attempt in range(60):
            slack = attempt / 60
            if style == 'group' and i > 0 and attempt < 30:
                around = places[rng.integers(i)]
                angle, reach = rng.uniform(-np.pi, np.pi), rng.uniform(0.35, 1.1 + slack)
                at = around + reach * np.array([np.cos(angle), np.sin(angle)])
                at[1] = max(at[1], 2.0)
            else:
                depth = (
                    row_depth + rng.normal(0, 0.25)
                    if style == 'row'
                    else np.exp(rng.uniform(np.log(near), np.log(far)))
                )
                depth = float(np.clip(depth + slack * rng.uniform(-1, 3), 2.0, 12.0))
                # People gather about the middle of a photograph; some are cut by its edge.
                reach = 0.56 if rng.random() < 0.15 else 0.42
                across = float(np.clip(rng.normal(0, 0.2), -reach, reach))
                at = np.array([across * request.width / f * depth, depth])
            hull = turn_plan(body_hull, yaw, at)
            if hull[:, 1].min() < 1.2:
                continue
            if all(hull_gap(hull, other) > 0.03 for other in hulls):
                break
            yaw = yaw + rng.normal(0, 0.3)
        else:
            # Nothing near was free: behind everybody else there always is.
            back = max(other[:, 1].max() for other in hulls) + 1.0
            at = np.array([rng.uniform(-0.3, 0.3) * back * request.width / f, back])
            at[1] += max(0.0, -turn_plan(body_hull, yaw, at)[:, 1].min() + back)
            hull = turn_plan(body_hull, yaw, at)
        places[i], yaws[i] = at, yaw
        hulls.append(hull)
    deepest = max([hull[:, 1].max() for hull in hulls], default=6.0)
    return places, yaws, max(deepest, 4.0) + 0.5


def _supports(
    rng: np.random.Generator, bodies: PosedBodies | None
) -> tuple[np.ndarray, list[tuple[int, Box]]]:
    """Seats under those who sit, and a step under some who stand: heights (B,) m that people are
    lifted by, and for each box whose it is and where it stands in that body's stand frame."""
    lifts, boxes = np.zeros(len(bodies) if bodies else 0), []
    for i, pose in enumerate(bodies.poses if bodies else []):
        if pose.posture == 'sitting':
            seat = seat_under(bodies, i)
            if seat is not None:
                boxes.append((i, Box(*seat, 0.0, sample_wall(rng).encode())))
        elif pose.posture == 'standing' and pose.gait is None and rng.random() < 0.07:
            lifts[i] = rng.uniform(0.08, 0.45)
            hull = plan_hull(bodies.surface[i][bodies.surface[i][:, 2] < 0.15])
            size = np.append(hull.max(0) - hull.min(0) + rng.uniform(0.04, 0.15, 2), lifts[i])
            boxes.append(
                (i, Box((hull.min(0) + hull.max(0)) / 2, size, 0.0, sample_wall(rng).encode()))
            )
    return lifts, boxes


def seat_under(bodies: PosedBodies, i: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Centre (2,) and size (3,) m of a seat in the stand frame of body i; None where it sits on the
    ground.
    """
    surface = bodies.surface[i]
    part = body_model().vertex_part
    bottom = surface[part == PART_INDEX['pelvis']]
    top = bottom[:, 2].min()
    if top < 0.12:
        return None
    # From behind the pelvis to half-way along the thighs, but not into the shins.
    shins = surface[np.isin(part, [PART_INDEX['left_shin'], PART_INDEX['right_shin']])]
    low_shins = shins[shins[:, 2] < top]
    front = max(bottom[:, 1].min() - 0.16, low_shins[:, 1].max() + 0.02 if len(low_shins) else -9)
    back = bottom[:, 1].max() + 0.02
    if front > back - 0.12:
        front = back - 0.12
    half = np.abs(bottom[:, 0]).max() * 0.95
    return np.array([0.0, (front + back) / 2]), np.array([2 * half, back - front, top])


def _swept(hull: np.ndarray, speed: float) -> np.ndarray:
    """A hull in the stand frame with arms' room around it, drawn out along the way of a sequence's
    walker.
    """
    middle = hull.mean(axis=0)
    wide = middle + (hull - middle) * (
        1 + 0.2 / np.maximum(np.linalg.norm(hull - middle, axis=1, keepdims=True), 0.1)
    )
    return np.concatenate([wide, wide - np.array([0, speed * LONGEST_SEQUENCE / FRAME_RATE])])


def _moved(
    places: np.ndarray, yaws: np.ndarray, start: PosedBodies | None, time: float
) -> np.ndarray:
    """Where walkers are after ``time`` seconds."""
    if start is None:
        return places
    speed = np.array(
        [walking_speed(pose, h) for pose, h in zip(start.poses, start.height, strict=True)]
    )
    forward = np.stack([np.sin(yaws), -np.cos(yaws)], axis=1)
    return places + forward * (speed * time)[:, None]
