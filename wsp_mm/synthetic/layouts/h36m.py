# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Human3.6M as 3DMPPE has it: three json files a subject under ``human36m/annotations``.

``Human36M_subject{s}_data.json`` images: id, file_name, width, height, subject, action_name,
    action_idx (2 to 16), subaction_idx (1, 2), cam_idx (1 to 4), frame_idx (from 0; the file's
    number is one more). annotations: id, image_id, keypoints_vis (17 booleans: in the picture),
    bbox (x, y, w, h px). Ids are unique over all subjects.
``Human36M_subject{s}_camera.json``
    '1' to '4' -> R (3, 3), t (3,) mm with X_cam = R X_world + t, f, c (2,) px.
``Human36M_subject{s}_joint_3d.json``
    action -> sub-action -> frame -> (17, 3) mm in the world; all keys are strings.

There is no ``bbox_root`` file: those hold what a detector and a root network predicted, and made
from the truth they would pass for predictions.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np

from wsp_mm.structures.camera import PinholeCamera
from wsp_mm.structures.keypoints import convert_joints
from wsp_mm.synthetic.lab import LabRecord, lab_cameras
from wsp_mm.synthetic.lab_plan import CAMERA_NAMES, Moment
from wsp_mm.synthetic.layouts.files import write_json

FOLDER = 'human36m'
_BOX_MARGIN = 1.2
_DECIMALS = 4  # of mm and px


def picture_name(moment: Moment, camera: int) -> str:
    """Path of a picture under ``human36m/images``; ``camera`` counts from 1."""
    take = f's_{moment.subject:02d}_act_{moment.action:02d}_subact_{moment.subaction:02d}_ca_{camera:02d}'
    return f'{take}/{take}_{moment.frame + 1:06d}.jpg'


def h36m_joints(record: LabRecord) -> np.ndarray:
    """(17, 3) mm in the world, rounded as they are written."""
    world = record.joints_world
    joints, _ = convert_joints(world, np.ones(len(world)), 'world', 'h36m17')
    return np.round(joints, _DECIMALS)


def written_camera(camera: PinholeCamera) -> dict[str, list]:
    """R, t, f, c as in the camera file."""
    return {name: getattr(camera, name).tolist() for name in ('R', 't', 'f', 'c')}


def joint_box(px: np.ndarray, margin: float = _BOX_MARGIN) -> list[float]:
    """Box x, y, w, h of joints (K, 2) px: their extent less one pixel, ``margin`` as large about
    its centre.
    """
    low, high = px.min(axis=0), px.max(axis=0)
    size = np.maximum(high - low - 1, 1.0) * margin
    return np.round([*((low + high) / 2 - size / 2), *size], _DECIMALS).tolist()


def in_picture(px: np.ndarray, width: int, height: int) -> np.ndarray:
    """(K,) whether projections (K, 2) px fall into the picture."""
    return ((px >= 0) & (px < (width, height))).all(axis=1)


def write_h36m(out: Path, moments: list[Moment], records: list[LabRecord]) -> list[Path]:
    """Write the files of all subjects under ``out / human36m / annotations``; returns their paths.

    Args:
        moments, records: of the same moments in the same order, subjects one after another.
    """
    by_take: dict[int, dict[tuple[int, int], list[int]]] = defaultdict(lambda: defaultdict(list))
    for i, moment in enumerate(moments):
        by_take[moment.subject][moment.action, moment.subaction].append(i)
    paths, next_id = [], 0
    for subject, takes in by_take.items():
        images, annotations, joints_3d = [], [], {}
        first = moments[next(iter(takes.values()))[0]]
        cameras = lab_cameras(first.seed, subject, first.side)
        for (action, subaction), rows in takes.items():
            frames = {str(moments[i].frame): h36m_joints(records[i]) for i in rows}
            joints_3d.setdefault(str(action), {})[str(subaction)] = {
                k: v.tolist() for k, v in frames.items()
            }
            for number, camera in enumerate(cameras, start=1):
                for i in rows:
                    moment = moments[i]
                    px = camera.project(camera.to_camera(frames[str(moment.frame)]))[:, :2]
                    images.append(_image(moment, number, next_id))
                    annotations.append(
                        {
                            'id': next_id,
                            'image_id': next_id,
                            'keypoints_vis': in_picture(px, moment.side, moment.side).tolist(),
                            'bbox': joint_box(px),
                        }
                    )
                    next_id += 1
        files = {
            'data': {'images': images, 'annotations': annotations},
            'camera': {str(n): written_camera(camera) for n, camera in enumerate(cameras, start=1)},
            'joint_3d': joints_3d,
        }
        for name, content in files.items():
            paths.append(annotation_path(out, subject, name))
            write_json(paths[-1], content)
    return paths


def annotation_path(out: Path, subject: int, name: str) -> Path:
    """``name`` is 'data', 'camera' or 'joint_3d'."""
    return Path(out) / FOLDER / 'annotations' / f'Human36M_subject{subject}_{name}.json'


def _image(moment: Moment, camera: int, image_id: int) -> dict:
    if not 1 <= camera <= len(CAMERA_NAMES):
        raise ValueError(f'cameras have the numbers 1 to {len(CAMERA_NAMES)}, got {camera}')
    return {
        'id': image_id,
        'file_name': picture_name(moment, camera),
        'width': moment.side,
        'height': moment.side,
        'subject': moment.subject,
        'action_name': moment.action_name,
        'action_idx': moment.action,
        'subaction_idx': moment.subaction,
        'cam_idx': camera,
        'frame_idx': moment.frame,
    }
