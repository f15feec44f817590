# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""One frame of the MuPoTS world: a few people in one place anywhere, before one camera that stays.

Unlike MuCo's pictures these are not pasted together: people, their shadows and seats are in one
scene, with the light and the surroundings of the wild world. A sequence is cut into pieces of three
seconds. In each piece everybody takes up a new pose somewhere in the picture, turned anywhere, and
moves on from it; walkers go round circles. The people are none of MuCo's: a stream of random
numbers of their own makes them.

World frame of this module: metres, z up, the ground at 0, the camera over the origin, looking along
+y.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from wsp_mm.structures.keypoints import get_joint_set

from .actions import ACTIONS, sample_pose
from .animation import pose_at, walking_speed
from .body import body_model
from .clothing import sample_outfit
from .mupots_plan import MupotsRequest, cast_size
from .observe import visible_joints
from .people import Identity, PosedBodies, pose_bodies, sample_identity
from .photograph import lens_and_grain
from .placement import View, hull_gap, make_view, plan_hull, turn_plan
from .poses import Pose
from .render import Box, Stage, project_m
from .scene import Setting, seat_under
from .scenery import Scenery, sample_scenery
from .textures import sample_wall

NUM_SUBJECTS = 8
PIECE_SECONDS = 3.0
_NEAR, _FAR = 2.6, 5.8  # m: where people are
_ROOM = 0.12  # m between people, for what they do with their arms
_ACTIONS = dict.fromkeys(ACTIONS, 1.0) | {'Walking': 2.0, 'Jumping': 0.0, 'Lying': 0.2}
# m. Nobody is far from the universal height: absolute 3DPCK is measured against poses scaled to it,
# and 4 % of a person's size are 160 mm at 4 m.
_STATURE = (1.62, 1.76)
# Share of the annotations of people in full view that are missing.
_MISSED = 0.06
# Of somebody annotated at least so many of the world's joints are in the picture, and visible.
_MIN_INSIDE, _MIN_VISIBLE = 20, 8
_PELVIS = get_joint_set('world').index('pelvis')
# Salts of the random streams.
_SUBJECT, _CAST, _VIEW, _SCENERY, _PIECE, _MOTION, _MISS, _PHOTO, _GRAIN = range(311, 320)


@dataclass(frozen=True)
class MupotsRecord:
    """What is kept of a frame. N persons in the order of the annotations' columns, a bystander
    last; J joints of the set ``world``.

    Attributes:
        scene_id, sequence, frame, file_name, width, height: as in :class:`MupotsRequest`. f, c:
        (2,) px.
        joints_cam: (N, J, 3) mm in the camera frame.
        shown: (N, J) whether the joint is in the picture and nothing hides it, the own body
            included.
        valid: (N,) whether the person is annotated in this frame; never a bystander.
        in_view: (N,) whether enough of the person is visible to be annotated.
    """

    scene_id: int
    sequence: int
    frame: int
    file_name: str
    width: int
    height: int
    f: np.ndarray
    c: np.ndarray
    joints_cam: np.ndarray
    shown: np.ndarray
    valid: np.ndarray
    in_view: np.ndarray

    def to_dict(self) -> dict:
        """Plain lists and numbers, for json."""
        arrays = {name: getattr(self, name) for name in ('f', 'c', 'shown', 'valid', 'in_view')}
        arrays['joints_cam'] = np.round(self.joints_cam, 3)
        return vars(self) | {name: value.tolist() for name, value in arrays.items()}

    @classmethod
    def from_dict(cls, data: dict) -> MupotsRecord:
        """The inverse of :meth:`to_dict`.

        Raises:
            ValueError: the joints are not all there. KeyError, TypeError: something is missing or
                too much.
        """
        joints = len(get_joint_set('world'))
        f, c = (np.asarray(data[name], dtype=np.float64) for name in ('f', 'c'))
        cam = np.reshape(np.asarray(data['joints_cam'], dtype=np.float64), (-1, joints, 3))
        shown = np.reshape(np.asarray(data['shown'], dtype=bool), (-1, joints))
        valid, in_view = (np.asarray(data[name], dtype=bool) for name in ('valid', 'in_view'))
        if not len(cam) == len(shown) == len(valid) == len(in_view):
            raise ValueError(
                f'{len(cam)} persons have {len(shown)}, {len(valid)} and {len(in_view)} labels'
            )
        changed = dict(f=f, c=c, joints_cam=cam, shown=shown, valid=valid, in_view=in_view)
        return cls(**{**data, **changed})


# ------------------------------------------------------------------ who, where
@lru_cache(maxsize=4 * NUM_SUBJECTS)
def mupots_identity(seed: int, sequence: int, subject: int) -> Identity:
    """A subject (from 0) of the world of that seed: an adult of average height, dressed for a
    sequence.
    """
    rng = np.random.default_rng([seed, _SUBJECT, subject, sequence])
    body = np.random.default_rng([seed, _SUBJECT, subject])
    while True:
        identity = sample_identity(body, dressed=False)
        if not 18 <= identity.age <= 60 or identity.female != bool(subject % 2):
            continue
        low, high = _STATURE
        if low <= float(body_model().shapes(identity.phenotype[None]).height[0]) <= high:
            break
    outfit = sample_outfit(rng, body_model(), identity.age, identity.female)
    return Identity(identity.phenotype, identity.age, identity.female, outfit)


def mupots_view(request: MupotsRequest) -> View:
    """The camera of a sequence."""
    rng = np.random.default_rng([request.seed, _VIEW, request.sequence])
    focal = rng.uniform(0.72, 0.95) * request.height
    height = rng.uniform(0.9, 2.0)
    pitch = np.rad2deg(np.arctan2(height - 0.85, 4.0)) + rng.normal(0, 2)
    return make_view(
        focal, height, float(pitch), float(rng.normal(0, 1.5)), request.width, request.height
    )


@lru_cache(maxsize=4)
def _surroundings(seed: int, sequence: int) -> Scenery:
    return sample_scenery(np.random.default_rng([seed, _SCENERY, sequence]), depth=_FAR + 2.5)


@dataclass
class _Cast:
    """The people of a piece as it begins: who, their poses, and for each the middle (2,) m of what
    they go round, the radius m (0 for who stays), the angle and yaw radians, and the seat's
    texture.
    """

    identities: list[Identity]
    poses: list[Pose]
    middles: np.ndarray
    radii: np.ndarray
    turns: np.ndarray
    seats: list[np.ndarray]


@lru_cache(maxsize=4)
def _piece(seed: int, sequence: int, piece: int, half: float) -> _Cast:
    who = np.random.default_rng([seed, _CAST, sequence]).permutation(NUM_SUBJECTS)[
        : cast_size(sequence)[0]
    ]
    identities = [mupots_identity(seed, sequence, int(subject)) for subject in who]
    rng = np.random.default_rng([seed, _PIECE, sequence, piece])
    shares = np.array(list(_ACTIONS.values())) / sum(_ACTIONS.values())
    poses = [
        sample_pose(list(_ACTIONS)[rng.choice(len(shares), p=shares)], rng) for _ in identities
    ]
    bodies = pose_bodies(identities, poses)
    middles, radii, turns = _place(rng, bodies, half)
    return _Cast(
        identities, poses, middles, radii, turns, [sample_wall(rng).encode() for _ in identities]
    )


def _place(rng: np.random.Generator, bodies: PosedBodies, half: float) -> tuple[np.ndarray, ...]:
    """Middles (N, 2) m, radii (N,) m and turns (N,) radians, so that nobody runs into anybody.

    Args:
        half: tangent of half the horizontal angle of view.
    """
    number = len(bodies)
    middles, radii, turns, hulls = np.zeros((number, 2)), np.zeros(number), np.zeros(number), []
    circle = np.stack(
        [f(np.linspace(0, 2 * np.pi, 24, endpoint=False)) for f in (np.cos, np.sin)], axis=1
    )
    for i, pose in enumerate(bodies.poses):
        cloud = [bodies.surface[i][body_model().on_surface]]
        seat = seat_under(bodies, i) if pose.posture == 'sitting' else None
        if seat is not None:
            cloud.append(Box(seat[0], seat[1], 0.0, np.zeros(1)).corners())
        own = plan_hull(np.concatenate(cloud))
        radii[i] = rng.uniform(0.25, 0.6) if pose.gait is not None else 0.0
        if radii[i]:
            own = circle * (radii[i] + np.linalg.norm(own, axis=1).max())
        for _ in range(80):
            depth = np.exp(rng.uniform(np.log(_NEAR), np.log(_FAR)))
            across = rng.uniform(-0.8, 0.8) * half * depth
            turns[i] = rng.uniform(-np.pi, np.pi)
            middles[i] = across, depth
            hull = turn_plan(own, turns[i], middles[i])
            if hull[:, 1].min() > 1.4 and all(hull_gap(hull, other) > _ROOM for other in hulls):
                break
        else:  # nothing was free: behind everybody else there always is
            back = max(other[:, 1].max() for other in hulls) + _ROOM
            middles[i] = rng.uniform(-0.3, 0.3) * back * half, back
            middles[i, 1] += back + 0.05 - turn_plan(own, turns[i], middles[i])[:, 1].min()
            hull = turn_plan(own, turns[i], middles[i])
        hulls.append(hull)
    return middles, radii, turns


def make_mupots_setting(request: MupotsRequest) -> Setting:
    """The people of a frame where the camera sees them; nobody where the request says so."""
    view, scenery = mupots_view(request), _surroundings(request.seed, request.sequence)
    if not request.num_persons:
        none = np.zeros(0)
        return Setting(request, view, None, none, np.zeros((0, 2)), none, [], scenery)
    piece, since = divmod(request.time, PIECE_SECONDS)
    # A frame at the very end of a piece is the first of the next.
    if PIECE_SECONDS - since < 1e-6:
        piece, since = piece + 1, 0.0
    half = 0.5 * request.width / float(view.camera.f[0])
    cast = _piece(request.seed, request.sequence, int(piece), half)
    poses = [
        pose_at(
            pose,
            since,
            np.random.default_rng([request.seed, _MOTION, request.sequence, int(piece), i]),
        )
        for i, pose in enumerate(cast.poses)
    ]
    bodies = pose_bodies(cast.identities, poses)
    places, yaws = cast.middles.copy(), cast.turns.copy()
    boxes = []
    for i, pose in enumerate(poses):
        if cast.radii[i]:
            angle = (
                cast.turns[i]
                + walking_speed(cast.poses[i], bodies.height[i]) * since / cast.radii[i]
            )
            places[i] += cast.radii[i] * np.array([np.cos(angle), np.sin(angle)])
            yaws[i] = np.arctan2(np.sin(angle + np.pi), np.cos(angle + np.pi))
        seat = seat_under(bodies, i) if pose.posture == 'sitting' else None
        if seat is not None:
            center = turn_plan(seat[0][None], yaws[i], places[i])[0]
            boxes.append(Box(center, seat[1], float(np.rad2deg(yaws[i])), cast.seats[i]))
    return Setting(request, view, bodies, yaws, places, np.zeros(len(bodies)), boxes, scenery)


# ------------------------------------------------------------------ a frame
def generate_mupots(request: MupotsRequest) -> tuple[list[np.ndarray], MupotsRecord]:
    """The picture of a request.

    Returns:
        the image (height, width, 3) uint8 RGB, alone in a list, and the record.
    """
    setting = make_mupots_setting(request)
    camera, (width, height) = setting.view.camera, (request.width, request.height)
    outfits = [identity.outfit for identity in setting.bodies.identities] if setting.bodies else []
    stage = Stage(setting.surfaces, setting.normals, outfits, setting.boxes, setting.scenery)
    seen = stage.look(camera, width, height)
    rng = np.random.default_rng([request.seed, _PHOTO, request.sequence])
    image = stage.develop(seen.light, width, height, float(rng.uniform(0.42, 0.52)))
    blur, grain = rng.uniform(0.3, 0.6) * max(1.0, height / 512) ** 0.5, rng.uniform(0, 2.5)
    image = lens_and_grain(image, blur, grain, [request.seed, _GRAIN, request.scene_id])
    number = len(setting.joints)
    shown, in_view = (
        np.zeros((number, len(get_joint_set('world'))), dtype=bool),
        np.zeros(number, dtype=bool),
    )
    for i in range(number):
        projected = project_m(camera, setting.joints[i])
        inside, shown[i] = visible_joints(
            i, projected, float(setting.bodies.height[i]), seen.depth, seen.owner, seen.face
        )
        enough = inside.sum() >= _MIN_INSIDE and shown[i].sum() >= _MIN_VISIBLE
        in_view[i] = enough and inside[_PELVIS] and (projected[:, 2] > 0.3).all()
    missed = np.random.default_rng([request.seed, _MISS, request.scene_id]).random(number) < _MISSED
    valid = in_view & ~missed & request.annotated
    if request.bystander:
        valid[-1:] = False
    record = MupotsRecord(
        request.scene_id, request.sequence, request.frame, request.file_name, width, height, camera.f, camera.c,
        camera.to_camera(setting.joints * 1000), shown, valid, in_view,
    )  # fmt: skip
    return [image], record
