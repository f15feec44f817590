# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The lab: one room, four calibrated cameras, seven people who never change their clothes.

Nothing varies but who does what, where and how turned: that is what Human3.6M is like, and why
pictures from the wild help. World frame of this module: metres, z up, the floor at 0, the middle of
the room at the origin.

A take is cut into pieces of 64 frames (1.28 s). In each the person takes up a new pose of the
action somewhere in the room, turned anywhere, and moves on from it
(:mod:`wsp_mm.synthetic.animation`); walkers go in circles.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from wsp_mm.structures.camera import PinholeCamera
from wsp_mm.structures.keypoints import get_joint_set

from .actions import sample_pose
from .animation import pose_at, walking_speed
from .lab_plan import CAMERA_NAMES, FRAME_RATE, SUBJECTS, Moment
from .people import Identity, pose_bodies, sample_identity
from .photograph import lens_and_grain
from .placement import View, turn_plan
from .poses import Pose
from .render import Box, Stage, project_m
from .scene import Setting, seat_under
from .scenery import (
    AMBIENT,
    BOUNCE,
    CEILING,
    CONTACT,
    EXPOSURE,
    HAZE,
    ROW_LENGTH,
    SKIRTING,
    SUN,
    SUN_COLOR,
    WALL_HEIGHT,
    WALLS,
    ZENITH,
    Scenery,
)  # fmt: skip
from .textures import Texture, hsv

FRAMES_OF_A_PIECE = 64
# Women and men as in the real set.
_FEMALE = (1, 5, 7)
# m: where the cameras hang, and what they look at.
_CAMERAS = ((1.8, 5.0, 1.6), (1.8, -5.1, 1.6), (-1.8, 5.2, 1.5), (-1.8, -4.5, 1.55))
_AIM = (0.0, 0.0, 0.85)
# Focal length in widths of the picture.
_FOCAL = (1.145, 1.1497, 1.1491, 1.1455)
_HALF_ROOM = (4.2, 6.6)  # m
_HALF_STAGE = np.array([1.1, 1.25])  # m: where people are
# m: how far shadows reach over the floor. The lamp is 16 degrees off the vertical, the light from
# the ceiling comes from at most 27.
_SHADOW = 0.62
# Salts of the random streams.
_IDENTITY, _RIG, _PIECE, _MOTION, _LENS, _GRAIN = 101, 102, 103, 104, 105, 106


@dataclass(frozen=True)
class LabRecord:
    """What is kept of a moment.

    Attributes:
        scene_id, subject, action, subaction, frame: as in :class:`Moment`.
        joints_world: (J, 3) mm, joint set ``world``, z up.
        posture: as in :class:`wsp_mm.synthetic.record.Person`. height: mm, stature.
    """

    scene_id: int
    subject: int
    action: int
    subaction: int
    frame: int
    joints_world: np.ndarray
    posture: str
    height: float

    def to_dict(self) -> dict:
        """Plain lists and numbers, for json."""
        return vars(self) | {'joints_world': np.round(self.joints_world, 3).tolist()}

    @classmethod
    def from_dict(cls, data: dict) -> LabRecord:
        """The inverse of :meth:`to_dict`.

        Raises:
            ValueError: the joints are not all there. TypeError: something else is missing or too
                much.
        """
        joints = np.asarray(data['joints_world'], dtype=np.float64)
        if joints.shape != (len(get_joint_set('world')), 3):
            raise ValueError(f'joints_world has shape {joints.shape}')
        return cls(**{**data, 'joints_world': joints})


# ------------------------------------------------------------------ who, where
@lru_cache(maxsize=2 * len(SUBJECTS))
def subject_identity(seed: int, subject: int) -> Identity:
    """Who a subject is in the world of that seed: an adult of 20 to 50 years, in the same clothes
    for ever.
    """
    rng = np.random.default_rng([seed, _IDENTITY, subject])
    while True:
        identity = sample_identity(rng)
        if 20 <= identity.age <= 50 and identity.female == (subject in _FEMALE):
            return identity


@lru_cache(maxsize=8 * len(SUBJECTS))
def lab_cameras(seed: int, subject: int, side: int) -> tuple[PinholeCamera, ...]:
    """The four cameras (mm) as they hang on the day that a subject is recorded.

    As in the real set they are put up anew for each subject, some centimetres from where they were,
    and the lenses stay the same.
    """
    lenses = np.random.default_rng([seed, _LENS])
    rig = np.random.default_rng([seed, _RIG, subject])
    cameras = []
    for place, focal in zip(_CAMERAS, _FOCAL, strict=True):
        f = side * focal * (1 + lenses.normal(0, 0.0007, 2))
        c = side * (0.5 + lenses.uniform(-0.012, 0.02, 2))
        at = np.array(place) + rig.uniform(-0.12, 0.12, 3)
        forward = np.array(_AIM) + rig.uniform(-0.1, 0.1, 3) - at
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, [0, 0, 1])
        right /= np.linalg.norm(right)
        roll = np.deg2rad(rig.normal(0, 0.6))
        down = np.cross(forward, right)
        right, down = (
            np.cos(roll) * right + np.sin(roll) * down,
            np.cos(roll) * down - np.sin(roll) * right,
        )
        rotation = np.stack([right, down, forward])
        cameras.append(PinholeCamera(f=f, c=c, R=rotation, t=-rotation @ at * 1000))
    return tuple(cameras)


@lru_cache(maxsize=1)
def lab_scenery() -> Scenery:
    """The room: lamps above, a carpet, four walls of different colours, a ceiling."""
    row = np.zeros(ROW_LENGTH)
    row[SUN : SUN + 3] = np.array([0.25, 0.15, 1.0]) / np.linalg.norm([0.25, 0.15, 1.0])
    row[SUN_COLOR : SUN_COLOR + 3] = 0.75, 0.72, 0.66
    row[AMBIENT], row[EXPOSURE], row[CONTACT] = 0.72, 1.0, 0.55
    row[ZENITH : ZENITH + 3] = 0.85, 0.83, 0.78
    row[HAZE : HAZE + 3] = 0.62, 0.61, 0.58
    row[CEILING], row[WALL_HEIGHT], row[SKIRTING] = 1, 3.4, 0.1
    x, y = _HALF_ROOM
    for i, (nx, ny, h) in enumerate([(-1, 0, -x), (1, 0, -x), (0, -1, -y), (0, 1, -y)]):
        row[WALLS + 5 * i : WALLS + 5 * i + 5] = 1, nx, ny, h, 1 + i
    carpet, dark = hsv(0.02, 0.5, 0.45), hsv(0.03, 0.5, 0.36)
    row[BOUNCE : BOUNCE + 3] = 0.5 * np.array(carpet)
    white, grey = hsv(0.1, 0.06, 0.85), hsv(0.6, 0.05, 0.62)
    blue, black = hsv(0.58, 0.25, 0.55), hsv(0.6, 0.1, 0.2)
    textures = [
        Texture('speckles', 0.03, 0, 0.6, carpet, dark, dark, 0.12, 0.4, 11),
        Texture('plain', 0.1, 0, 0.5, white, white, white, 0.05, 0.6, 12),
        Texture(
            'blocks', 1.1, 0, 0.5, grey, hsv(0.6, 0.05, 0.56), hsv(0.6, 0.05, 0.66), 0.05, 0.4, 13
        ),
        Texture(
            'planks', 0.8, 90, 0.04, blue, hsv(0.58, 0.25, 0.4), hsv(0.58, 0.2, 0.6), 0.06, 0.3, 14
        ),
        Texture('stripes', 0.35, 90, 0.6, black, hsv(0.6, 0.1, 0.15), black, 0.1, 0.2, 15),
    ]
    return Scenery('room', row, np.stack([texture.encode() for texture in textures]))


_WOOD = [hsv(0.08, 0.5, value) for value in (0.5, 0.3, 0.55)]
_CHAIR = Texture('planks', 0.12, 0, 0.05, *_WOOD, seed=16)


# ------------------------------------------------------------------ a moment
def make_lab_setting(moment: Moment) -> Setting:
    """The person, the chair if one is needed, and the room at a moment."""
    piece, since = divmod(moment.frame, FRAMES_OF_A_PIECE)
    key = [moment.seed, _PIECE, moment.subject, moment.action, moment.subaction, piece]
    rng = np.random.default_rng(key)
    identity = subject_identity(moment.seed, moment.subject)
    start = sample_pose(moment.action_name, rng)
    time = since / FRAME_RATE
    pose = pose_at(start, time, np.random.default_rng([*key, _MOTION]))
    place, yaw = _whereabouts(rng, start, identity, time)
    bodies = pose_bodies([identity], [pose])
    boxes = []
    seat = seat_under(bodies, 0) if pose.posture == 'sitting' else None
    if seat is not None:
        center = turn_plan(seat[0][None], yaw, place)[0]
        boxes.append(Box(center, seat[1], float(np.rad2deg(yaw)), _CHAIR.encode()))
    camera = lab_cameras(moment.seed, moment.subject, moment.side)[0]
    pitch = np.arcsin(-camera.R[2, 2])
    roll = np.arcsin(camera.R[0, 2] / np.cos(pitch))
    view = View(
        camera, float(camera.position[2]), float(np.rad2deg(pitch)), float(np.rad2deg(roll))
    )
    return Setting(
        moment, view, bodies, np.array([yaw]), place[None], np.zeros(1), boxes, lab_scenery()
    )


def _whereabouts(
    rng: np.random.Generator, start: Pose, identity: Identity, time: float
) -> tuple[np.ndarray, float]:
    """Place (2,) m and yaw (radians) ``time`` seconds into a piece."""
    turn = rng.uniform(-np.pi, np.pi)
    spot = rng.uniform(-1, 1, 2) * _HALF_STAGE
    radius, way = rng.uniform(0.6, 1.0), rng.choice([-1.0, 1.0])
    if start.gait is None:
        return spot, float(turn)
    # Round a circle within the stage. Statures differ by too little to matter for how fast one goes
    # round it.
    speed = walking_speed(start, 1.6 if identity.female else 1.75)
    middle = spot * (_HALF_STAGE - radius) / _HALF_STAGE
    angle = turn + way * speed * time / radius
    yaw = angle + np.pi / 2 + way * np.pi / 2
    place = middle + radius * np.array([np.cos(angle), np.sin(angle)])
    return place, float(np.arctan2(np.sin(yaw), np.cos(yaw)))


def generate_moment(moment: Moment) -> tuple[list[np.ndarray], LabRecord]:
    """The pictures of a moment.

    Returns:
        one image (side, side, 3) uint8 RGB for each camera, and the record.
    """
    setting = make_lab_setting(moment)
    stage = Stage(
        setting.surfaces,
        setting.normals,
        [setting.bodies.identities[0].outfit],
        setting.boxes,
        setting.scenery,
    )
    rooms = _empty_room(moment.seed, moment.subject, moment.side)
    images = []
    for number, camera in enumerate(lab_cameras(moment.seed, moment.subject, moment.side), start=1):
        image = rooms[number - 1].copy()
        lens = _lens(moment.seed, number)
        x0, y0, x1, y1 = _window(setting, camera, moment.side)
        if x1 > x0 and y1 > y0:
            part = replace(camera, c=camera.c - (x0, y0))
            seen = stage.look(part, x1 - x0, y1 - y0)
            image[y0:y1, x0:x1] = stage.develop(seen.light, x1 - x0, y1 - y0, lens.gamma)
        blur = lens.blur * max(1.0, moment.side / 512) ** 0.5
        grain_seed = [moment.seed, _GRAIN, moment.scene_id, number]
        images.append(lens_and_grain(image, blur, lens.grain, grain_seed))
    pose = setting.bodies.poses[0]
    record = LabRecord(
        moment.scene_id, moment.subject, moment.action, moment.subaction, moment.frame,
        setting.joints[0] * 1000, pose.posture, round(float(setting.bodies.height[0]) * 1000, 1),
    )  # fmt: skip
    return images, record


@dataclass(frozen=True)
class _Lens:
    gamma: float
    blur: float
    grain: float


@lru_cache(maxsize=4 * len(CAMERA_NAMES))
def _lens(seed: int, number: int) -> _Lens:
    """How a camera (from 1) sees: exponent of its curve, blur in px at up to 512 px, noise in grey
    levels.
    """
    rng = np.random.default_rng([seed, _LENS, number])
    return _Lens(
        float(rng.uniform(0.44, 0.5)), float(rng.uniform(0.35, 0.5)), float(rng.uniform(1.0, 2.5))
    )


@lru_cache(maxsize=2 * len(SUBJECTS))
def _empty_room(seed: int, subject: int, side: int) -> list[np.ndarray]:
    """What each camera sees of the room without anybody, (side, side, 3) uint8.

    Nine tenths of every picture are this; it is rendered once for each day.
    """
    stage = Stage(np.zeros((0, 1, 3)), np.zeros((0, 1, 3)), [], [], lab_scenery())
    rooms = []
    for number, camera in enumerate(lab_cameras(seed, subject, side), start=1):
        light = stage.look(camera, side, side).light
        rooms.append(stage.develop(light, side, side, _lens(seed, number).gamma))
    return rooms


def _window(setting: Setting, camera: PinholeCamera, side: int) -> tuple[int, int, int, int]:
    """The part x0, y0, x1, y1 px of the picture that differs from the empty room's: person, chair,
    shadows.
    """
    cloud = [setting.surfaces[0], *(box.corners() for box in setting.boxes)]
    low, high = (np.array([getattr(c, end)(axis=0) for c in cloud]) for end in ('min', 'max'))
    (left, front, _), (right, back, top) = low.min(axis=0), high.max(axis=0)
    corners = np.array(
        [
            (x, y, 0.0)
            for x in (left - _SHADOW, right + _SHADOW)
            for y in (front - _SHADOW, back + _SHADOW)
        ]
        + [(x, y, top) for x in (left, right) for y in (front, back)]
    )
    projected = project_m(camera, corners)
    if (projected[:, 2] < 0.2).any():
        return 0, 0, side, side
    low, high = projected[:, :2].min(axis=0), projected[:, :2].max(axis=0)
    x0, y0 = np.clip(np.floor(low).astype(int), 0, side)
    x1, y1 = np.clip(np.ceil(high).astype(int) + 1, 0, side)
    return int(x0), int(y0), int(x1), int(y1)
