# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Full-size annotation files without pictures, to measure the time and memory of what reads them.

People come from a bank of posed bodies, are turned and placed on the ground before a camera, and go
through the same writers as rendered pictures. Geometry and labelling rules are those of the
rendered world; what needs pixels is approximate: an outline is the hull of the joints, a person
hides what lies inside the ellipse of its
    joints' box farther away, persons may overlap in space, and a face turned away hides itself. So
    there are no truth tables, and the listed pictures do not exist.

S pictures, N persons in a picture, J joints of the set ``world``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from wsp_mm.structures.camera import PinholeCamera
from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.synthetic.plan import Preset, fingerprint, plan_world
from wsp_mm.synthetic.record import Person, Scene
from wsp_mm.synthetic.scene import SceneRequest
from wsp_mm.synthetic.world import Report, claim, write_annotations

_WORLD = get_joint_set('world')
_PELVIS, _NOSE, _HEAD = (_WORLD.index(concept) for concept in ('pelvis', 'nose', 'head'))
_FACE = [k for k, c in enumerate(_WORLD.concepts) if c == 'nose' or c.endswith('_eye')]

_BANK_SIZE = 1000
_NEAR, _FAR = 2000.0, 14_000.0  # mm


@dataclass(frozen=True)
class Bank:
    """Posed bodies to draw from.

    Attributes:
        joints: (B, J, 3) mm, z up, the ground at 0, the pelvis over the origin.
        posture, action: (B,) names. age: (B,) years. height: (B,) mm. lowest: (B,) mm over the
        ground.
    """

    joints: np.ndarray
    posture: list[str]
    action: list[str]
    age: np.ndarray
    height: np.ndarray
    lowest: np.ndarray


def make_annotations(
    out: Path, pictures: int, persons: float, seed: int = 0, bank: Bank | None = None
) -> Report:
    """Write the annotation files of ``pictures`` pictures with ``persons`` persons each on average.

    Args:
        bank: bodies to draw from; by default made of posed bodies (takes some seconds).

    Raises:
        WorldError: ``out`` holds something else or cannot be written, or the numbers are too small.
    """
    out = Path(out)
    preset = Preset(
        'annotations-only', pictures, 640, video=30, test_share=0.15, mean_persons=persons
    )
    requests = plan_world(preset, seed)
    claim(out, kind='annotations only', preset=preset, seed=seed, plan=fingerprint(requests))
    start = time.perf_counter()
    bank = bank or posed_bank(seed)
    report = Report(workers=0)
    write_annotations(out, scenes(requests, bank, seed), len(requests), report, truth=False)
    report.seconds = time.perf_counter() - start
    return report


def scenes(requests: list[SceneRequest], bank: Bank, seed: int) -> Iterator[Scene]:
    """The records of the planned pictures; each depends on its own number and the seed only."""
    for request in requests:
        # All pictures of a video share camera and people, who walk on by a step a picture.
        start = request.scene_id - max(request.frame, 0)
        yield _scene(request, bank, np.random.default_rng((seed, start)))


def _camera(
    request: SceneRequest, rng: np.random.Generator
) -> tuple[PinholeCamera, float, float, float]:
    """Camera, height mm, pitch and roll in degrees, as wild pictures have them."""
    height = rng.uniform(800, 2200)
    pitch, roll = rng.normal(4, 4), rng.normal(0, 1.5)
    focal = rng.uniform(0.8, 1.8) * max(request.width, request.height)
    p, r = np.deg2rad(pitch), np.deg2rad(roll)
    # World x right, y forward, z up; camera x right, y down, z forward, pitched about x, then
    # rolled about z.
    level = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=float)
    pitched = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    rolled = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    rotation = rolled @ pitched @ level
    centre = ((request.width - 1) / 2, (request.height - 1) / 2)
    camera = PinholeCamera(
        np.full(2, focal), np.array(centre), rotation, -rotation @ (0, 0, height)
    )
    return camera, float(height), float(pitch), float(roll)


def _scene(request: SceneRequest, bank: Bank, rng: np.random.Generator) -> Scene:
    camera, height, pitch, roll = _camera(request, rng)
    n, size = request.num_persons, np.array((request.width, request.height))
    chosen = rng.integers(len(bank.joints), size=n)
    yaw, forward = rng.uniform(0, 2 * np.pi, n), np.exp(rng.uniform(np.log(_NEAR), np.log(_FAR), n))
    sideways = rng.uniform(-0.45, 0.45, n) * size[0] / camera.f[0] * forward
    forward = forward + 40 * max(request.frame, 0) * np.cos(yaw)
    cos, sin = np.cos(yaw), np.sin(yaw)
    turn = np.zeros((n, 3, 3))
    turn[:, 0, 0], turn[:, 0, 1], turn[:, 1, 0], turn[:, 1, 1], turn[:, 2, 2] = (
        cos,
        -sin,
        sin,
        cos,
        1,
    )
    joints = np.einsum('nij,nkj->nki', turn, bank.joints[chosen])
    joints[..., 0] += sideways[:, None]
    joints[..., 1] += forward[:, None]

    projected = camera.project(camera.to_camera(joints))
    px, depth = projected[..., :2], projected[..., 2]
    inside = (depth > 0) & (px >= -0.5).all(axis=-1) & (px < size - 0.5).all(axis=-1)
    hidden = _hidden(px, depth, inside)
    visible = inside & ~hidden
    away = depth[:, _NOSE] > depth[:, _HEAD]
    visible[np.ix_(away, _FACE)] = False
    # Rows without a joint in the picture are not recorded, as in the rendered world.
    persons = [
        Person(
            person_id=int(i),
            action=bank.action[chosen[i]],
            posture=bank.posture[chosen[i]],
            age=float(bank.age[chosen[i]]),
            height=float(bank.height[chosen[i]]),
            joints_world=joints[i],
            joints_px=px[i],
            in_picture=inside[i],
            visible=visible[i],
            lowest_mm=float(bank.lowest[chosen[i]]),
            **_silhouette(px[i], inside[i], hidden[i], size),
        )
        for i in np.flatnonzero(inside.any(axis=1))
    ]
    return Scene(
        scene_id=request.scene_id,
        source=request.source,
        split=request.split,
        file_name=request.file_name,
        width=request.width,
        height=request.height,
        camera=camera,
        camera_height=height,
        pitch=pitch,
        roll=roll,
        sequence=request.sequence,
        frame=request.frame,
        persons=persons,
    )


def _hidden(px: np.ndarray, depth: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(N, J) joints behind the ellipse of a nearer person's joints."""
    safe = np.where(inside[..., None], px, np.nan)
    known = inside.any(axis=1)
    low, high = np.full((len(px), 2), np.inf), np.full((len(px), 2), -np.inf)
    low[known], high[known] = np.nanmin(safe[known], axis=1), np.nanmax(safe[known], axis=1)
    with np.errstate(invalid='ignore'):
        centre, radius = (low + high) / 2, np.maximum((high - low) / 2, 1.0)
        offset = (safe[None] - centre[:, None, None]) / radius[:, None, None]
        covered = (offset**2).sum(axis=-1) < 1  # (hider, N, J)
    covered[~known] = False
    nearer = depth[:, None, _PELVIS] < depth[None, :, _PELVIS]
    return (covered & nearer[..., None]).any(axis=0)


def _silhouette(px: np.ndarray, inside: np.ndarray, hidden: np.ndarray, size: np.ndarray) -> dict:
    """Box, outline and visible share from the joints alone."""
    seen = inside & ~hidden
    everything = np.nan_to_num(px)
    low, high = everything.min(axis=0), everything.max(axis=0)
    share = float(seen.sum() / inside.sum())
    empty = {'bbox': np.zeros(4), 'area': 0, 'polygons': []}
    visible = empty
    if seen.sum() >= 3:
        hull = cv2.convexHull(px[seen].astype(np.float32))[:, 0]
        middle = hull.mean(axis=0)
        # Flesh reaches beyond the joints.
        hull = np.clip(middle + 1.15 * (hull - middle), 0, size - 1).astype(np.float32)
        area = int(cv2.contourArea(hull))
        first, last = hull.min(axis=0), hull.max(axis=0)
        if area > 0 and len(hull) >= 3:
            polygon = hull.ravel().astype(np.float64).round(2).tolist()
            visible = {
                'bbox': np.concatenate([first, last - first]),
                'area': area,
                'polygons': [polygon],
            }
    return {**visible, 'visible_share': share, 'full_bbox': np.concatenate([low, high - low])}


def posed_bank(seed: int, size: int = _BANK_SIZE) -> Bank:
    """A bank of the world's own people, undressed and unrendered."""
    from wsp_mm.synthetic.people import (
        sample_people,
    )  # loads the body model, which a given bank does not need

    people = sample_people(size, seed)
    return Bank(
        joints=people['joints'],
        posture=people['posture'].tolist(),
        action=people['action'].tolist(),
        age=people['age'],
        height=people['height'],
        lowest=people['lowest'],
    )
