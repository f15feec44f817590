# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""One picture of the MuCo world: people recorded one by one in a studio, cut out, and pasted
together.

As in MuCo-3DHP, eight subjects with two sets of clothes each are seen by a few fixed cameras. Every
person is rendered alone under a light of their own, without shadow on the floor, and the layers are
pasted in the order of their pelvises' depths, farthest first. So nothing shades anything else, and
where persons interlock, the one is wholly before the other. Behind them is the studio, or
(augmented) a background that another camera saw and that agrees with nobody's perspective.

World frame of this module: metres, z up, the floor at 0, the camera over the origin, looking along
+y.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from wsp_mm.structures.camera import PinholeCamera
from wsp_mm.structures.keypoints import get_joint_set

from .actions import ACTIONS, sample_pose
from .body import body_model
from .clothing import sample_outfit
from .muco_plan import MucoRequest
from .observe import joint_pixels
from .people import Identity, PosedBodies, pose_bodies, sample_identity
from .photograph import lens_and_grain
from .placement import View, hull_gap, make_view, plan_hull, turn_plan
from .render import PROP, Box, Stage, project_m
from .scene import Setting, seat_under
from .scenery import (
    AMBIENT,
    BOUNCE,
    CONTACT,
    EXPOSURE,
    HAZE,
    ROW_LENGTH,
    SUN,
    SUN_COLOR,
    WALL_HEIGHT,
    WALLS,
    ZENITH,
    Scenery,
    sample_scenery,
)  # fmt: skip
from .textures import Texture, hsv, sample_wall

NUM_SUBJECTS, NUM_OUTFITS = 8, 2
# Height m and pitch degrees of the cameras.
_VIEWS = ((0.9, -2.0), (1.2, 2.0), (1.4, 4.0), (1.5, 7.0), (1.8, 9.0), (2.3, 15.0))
# Focal length in widths of the picture.
_FOCAL = 0.731
_NEAR, _FAR = 2.3, 5.6  # m: where people stand
_PELVIS = get_joint_set('world').index('pelvis')
# Salts of the random streams.
_SUBJECT, _CAST, _LIGHT, _BACKGROUND, _PHOTO, _GRAIN = 211, 212, 213, 214, 215, 216
# What the subjects of a studio do.
_ACTIONS = dict.fromkeys(ACTIONS, 1.0) | {'Walking': 2.0, 'Jumping': 0.4, 'Lying': 0.2}


@dataclass(frozen=True)
class MucoRecord:
    """What is kept of a picture. N persons, nearest pelvis first, J joints of the set ``world``.

    Attributes:
        scene_id, file_name: as in :class:`MucoRequest`. width, height: px. f, c: (2,) px.
        joints_cam: (N, J, 3) mm in the camera frame.
        shown: (N, J) whether the joint is in the picture and no nearer person's layer covers it.
            What the own body hides is shown: a layer knows nothing of what is behind its own
            surface.
    """

    scene_id: int
    file_name: str
    width: int
    height: int
    f: np.ndarray
    c: np.ndarray
    joints_cam: np.ndarray
    shown: np.ndarray

    def to_dict(self) -> dict:
        """Plain lists and numbers, for json."""
        arrays = {
            'f': self.f,
            'c': self.c,
            'joints_cam': np.round(self.joints_cam, 3),
            'shown': self.shown,
        }
        return vars(self) | {name: value.tolist() for name, value in arrays.items()}

    @classmethod
    def from_dict(cls, data: dict) -> MucoRecord:
        """The inverse of :meth:`to_dict`.

        Raises:
            ValueError: the joints are not all there. KeyError, TypeError: something is missing or
                too much.
        """
        f, c = (np.asarray(data[name], dtype=np.float64) for name in ('f', 'c'))
        joints = np.asarray(data['joints_cam'], dtype=np.float64)
        shown = np.asarray(data['shown'], dtype=bool)
        if joints.shape[1:] != (len(get_joint_set('world')), 3) or shown.shape != joints.shape[:2]:
            raise ValueError(f'joints_cam has shape {joints.shape}, shown {shown.shape}')
        return cls(**{**data, 'f': f, 'c': c, 'joints_cam': joints, 'shown': shown})


# ------------------------------------------------------------------ who, where
@lru_cache(maxsize=2 * NUM_SUBJECTS * NUM_OUTFITS)
def studio_identity(seed: int, subject: int, outfit: int) -> Identity:
    """A subject (from 0) of the world of that seed, an adult, in one of their two sets of
    clothes.
    """
    rng = np.random.default_rng([seed, _SUBJECT, subject])
    while True:
        identity = sample_identity(rng)
        if 18 <= identity.age <= 60 and identity.female == bool(subject % 2):
            break
    if outfit == 0:
        return identity
    again = np.random.default_rng([seed, _SUBJECT, subject, outfit])
    return replace(
        identity, outfit=sample_outfit(again, body_model(), identity.age, identity.female)
    )


def studio_view(number: int, side: int) -> View:
    """One of the studio's cameras, from 0."""
    height, pitch = _VIEWS[number]
    return make_view(_FOCAL * side, height, pitch, 0.0, side, side)


@dataclass
class StudioSetting(Setting):
    """``seats``: what each person sits on, or None; ``boxes`` are those that there are."""

    seats: list[Box | None]


def make_muco_setting(request: MucoRequest) -> StudioSetting:
    """The persons where the layers will show them."""
    rng = np.random.default_rng([request.seed, _CAST, request.scene_id])
    view = studio_view(int(rng.integers(len(_VIEWS))), request.side)
    subjects = rng.permutation(NUM_SUBJECTS)[: request.num_persons]
    identities = [
        studio_identity(request.seed, int(s), int(rng.integers(NUM_OUTFITS))) for s in subjects
    ]
    shares = np.array(list(_ACTIONS.values())) / sum(_ACTIONS.values())
    poses = [
        sample_pose(list(_ACTIONS)[rng.choice(len(shares), p=shares)], rng) for _ in identities
    ]
    bodies = pose_bodies(identities, poses)
    places, yaws = _place(rng, bodies)
    seats = _seats(bodies, places, yaws, rng)
    boxes = [seat for seat in seats if seat is not None]
    return StudioSetting(
        request, view, bodies, yaws, places, np.zeros(len(bodies)), boxes, _studio(), seats
    )


def _place(rng: np.random.Generator, bodies: PosedBodies) -> tuple[np.ndarray, np.ndarray]:
    """Places (N, 2) m and yaws (N,) radians, in view and seldom inside one another."""
    places, yaws, hulls = np.zeros((len(bodies), 2)), np.zeros(len(bodies)), []
    for i in range(len(bodies)):
        own = plan_hull(bodies.surface[i][body_model().on_surface])
        for _ in range(40):
            depth = np.exp(rng.uniform(np.log(_NEAR), np.log(_FAR)))
            across = rng.uniform(-0.38, 0.38) * depth / _FOCAL
            yaws[i], places[i] = rng.uniform(-np.pi, np.pi), (across, depth)
            hull = turn_plan(own, yaws[i], places[i])
            # Recorded apart, they may be a little inside one another.
            if hull[:, 1].min() > 1.2 and all(hull_gap(hull, other) > -0.05 for other in hulls):
                break
        hulls.append(hull)
    return places, yaws


def _seats(bodies: PosedBodies, places, yaws, rng: np.random.Generator) -> list[Box | None]:
    """What each sits on, or None."""
    seats: list[Box | None] = []
    for i, pose in enumerate(bodies.poses):
        seat = seat_under(bodies, i) if pose.posture == 'sitting' else None
        if seat is not None:
            center = turn_plan(seat[0][None], yaws[i], places[i])[0]
            seat = Box(center, seat[1], float(np.rad2deg(yaws[i])), sample_wall(rng).encode())
        seats.append(seat)
    return seats


# ------------------------------------------------------------------ backgrounds and light
@lru_cache(maxsize=1)
def _studio() -> Scenery:
    """A studio hung with green cloth, evenly lit."""
    row = np.zeros(ROW_LENGTH)
    row[SUN : SUN + 3] = np.array([0.2, -0.5, 1.0]) / np.linalg.norm([0.2, -0.5, 1.0])
    row[SUN_COLOR : SUN_COLOR + 3] = 0.5
    row[AMBIENT], row[EXPOSURE], row[CONTACT] = 0.85, 1.0, 0.4
    row[ZENITH : ZENITH + 3] = 0.85
    row[HAZE : HAZE + 3] = 0.5
    row[WALL_HEIGHT] = 40.0
    for i, (nx, ny, h) in enumerate([(0, -1, -8.0), (1, 0, -6.0), (-1, 0, -6.0)]):
        row[WALLS + 5 * i : WALLS + 5 * i + 5] = 1, nx, ny, h, 1 + i
    green = hsv(0.34, 0.55, 0.6)
    row[BOUNCE : BOUNCE + 3] = 0.25 * np.array(green)
    cloth = Texture(
        'clouds', 0.9, 0, 0.5, green, hsv(0.34, 0.55, 0.56), green, 0.04, 0.5, 21
    ).encode()
    return Scenery('room', row, np.stack([cloth] * 5))


def _own_light(rng: np.random.Generator) -> Scenery:
    """The studio's light on the day that one person was recorded."""
    row = _studio().row.copy()
    angle, high = rng.uniform(-np.pi, np.pi), rng.uniform(0.9, 1.4)
    sun = np.array([np.cos(angle) * np.cos(high), np.sin(angle) * np.cos(high), np.sin(high)])
    row[SUN : SUN + 3] = sun
    row[SUN_COLOR : SUN_COLOR + 3] = rng.uniform(0.3, 0.9) * (
        1 + rng.normal(0, 0.05) * np.array([1, 0, -1])
    )
    row[EXPOSURE] = np.exp(rng.normal(0, 0.12))
    return replace(_studio(), row=row)


def _empty(scenery: Scenery, camera: PinholeCamera, side: int, gamma: float) -> np.ndarray:
    stage = Stage(np.zeros((0, 1, 3)), np.zeros((0, 1, 3)), [], [], scenery)
    return stage.develop(stage.look(camera, side, side).light, side, side, gamma)


@lru_cache(maxsize=2 * len(_VIEWS))
def _empty_studio(camera_height: float, pitch: float, side: int) -> np.ndarray:
    return _empty(
        _studio(),
        make_view(_FOCAL * side, camera_height, pitch, 0.0, side, side).camera,
        side,
        0.47,
    )


def _background(request: MucoRequest, view: View) -> np.ndarray:
    if not request.augmented:
        return _empty_studio(view.height / 1000, view.pitch, request.side).copy()
    rng = np.random.default_rng([request.seed, _BACKGROUND, request.scene_id])
    focal = np.exp(rng.uniform(np.log(0.8), np.log(2.2))) * request.side
    other = make_view(
        focal, rng.uniform(0.8, 2.2), rng.normal(5, 5), rng.normal(0, 3), request.side, request.side
    )
    scenery = sample_scenery(rng, depth=rng.uniform(4, 10))
    return _empty(scenery, other.camera, request.side, float(rng.uniform(0.42, 0.52)))


# ------------------------------------------------------------------ layers
def generate_muco(request: MucoRequest) -> tuple[list[np.ndarray], MucoRecord]:
    """The picture of a request.

    Returns:
        the image (side, side, 3) uint8 RGB, alone in a list, and the record.
    """
    setting = make_muco_setting(request)
    camera, side = setting.view.camera, request.side
    projected = project_m(camera, setting.joints)
    nearest_first = np.argsort(projected[:, _PELVIS, 2], kind='stable')
    image = _background(request, setting.view)
    rank = np.full((side, side), len(nearest_first))
    for place in reversed(range(len(nearest_first))):
        (x0, y0, x1, y1), mask, colors = _layer(setting, int(nearest_first[place]))
        image[y0:y1, x0:x1][mask] = colors[mask]
        rank[y0:y1, x0:x1][mask] = place
    rng = np.random.default_rng([request.seed, _PHOTO, request.scene_id])
    blur, grain = rng.uniform(0.35, 0.6) * max(1.0, side / 512) ** 0.5, rng.uniform(0, 2.5)
    image = lens_and_grain(image, blur, grain, [request.seed, _GRAIN, request.scene_id])
    joints, shown = [], []
    for place, i in enumerate(nearest_first):
        pixel, inside = joint_pixels(projected[i], side, side)
        joints.append(camera.to_camera(setting.joints[i] * 1000))
        shown.append(inside & (rank[pixel[:, 1], pixel[:, 0]] >= place))
    record = MucoRecord(
        request.scene_id,
        request.file_name,
        side,
        side,
        camera.f,
        camera.c,
        np.stack(joints),
        np.stack(shown),
    )
    return [image], record


def _layer(
    setting: StudioSetting, i: int
) -> tuple[tuple[int, int, int, int], np.ndarray, np.ndarray]:
    """Person i alone, with what they sit on.

    Returns:
        window x0, y0, x1, y1 px; mask (h, w) of the pixels they cover in it; colours (h, w, 3)
        uint8.
    """
    request, camera, side = setting.request, setting.view.camera, setting.request.side
    rng = np.random.default_rng([request.seed, _LIGHT, request.scene_id, i])
    surface = setting.surfaces[i]
    own = [] if setting.seats[i] is None else [setting.seats[i]]
    cloud = np.concatenate([surface, *(box.corners() for box in own)])
    projected = project_m(camera, cloud)[:, :2]
    x0, y0 = np.clip(np.floor(projected.min(axis=0)).astype(int) - 1, 0, side)
    x1, y1 = np.clip(np.ceil(projected.max(axis=0)).astype(int) + 2, 0, side)
    window = int(x0), int(y0), int(x1), int(y1)
    if x1 <= x0 or y1 <= y0:
        return window, np.zeros((0, 0), dtype=bool), np.zeros((0, 0, 3), dtype=np.uint8)
    stage = Stage(
        surface[None],
        setting.normals[i][None],
        [setting.bodies.identities[i].outfit],
        own,
        _own_light(rng),
    )
    seen = stage.look(replace(camera, c=camera.c - (x0, y0)), int(x1 - x0), int(y1 - y0))
    colors = stage.develop(seen.light, int(x1 - x0), int(y1 - y0), float(rng.uniform(0.44, 0.5)))
    return window, (seen.owner == 0) | (seen.owner == PROP), colors
