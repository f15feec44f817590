# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""MuCo-3DHP as 3DMPPE has it: ``muco/MuCo-3DHP.json``, one file for both sets of pictures.

images: id, file_name (with the set's folder), width, height, f, c (2,) px; annotations: id,
image_id, bbox (x, y, w, h px: the joints' extent with a margin), keypoints_cam (21, 3) mm in the
camera frame, keypoints_img (21, 2) px, keypoints_vis (21 booleans: in the picture and not covered
by another person). There are no extrinsics.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from wsp_mm.structures.camera import PinholeCamera
from wsp_mm.structures.keypoints import convert_joints
from wsp_mm.synthetic.layouts.files import write_json
from wsp_mm.synthetic.layouts.h36m import joint_box
from wsp_mm.synthetic.muco_scene import MucoRecord

FOLDER = 'muco'
FILE = 'MuCo-3DHP.json'
_DECIMALS = 4  # of mm and px


def muco_joints(record: MucoRecord) -> tuple[np.ndarray, np.ndarray]:
    """(N, 21, 3) mm in the camera frame, rounded as they are written, and (N, 21) whether they are
    shown.
    """
    labelled = np.ones(record.shown.shape)
    joints, _ = convert_joints(record.joints_cam, labelled, 'world', 'muco21')
    # Shown or not is no label: 2 and 1, so that joints that are not shown convert, too.
    _, shown = convert_joints(record.joints_cam, labelled + record.shown, 'world', 'muco21')
    return np.round(joints, _DECIMALS), shown > 1


def write_muco(out: Path, records: list[MucoRecord]) -> Path:
    """Write the json under ``out / muco``; returns its path."""
    images, annotations = [], []
    for record in records:
        images.append(
            {
                'id': record.scene_id,
                'file_name': record.file_name,
                'width': record.width,
                'height': record.height,
                'f': record.f.tolist(),
                'c': record.c.tolist(),
            }
        )
        camera = PinholeCamera(record.f, record.c)
        for joints, shown in zip(*muco_joints(record), strict=True):
            px = camera.project(joints)[:, :2]
            annotations.append(
                {
                    'id': len(annotations),
                    'image_id': record.scene_id,
                    'bbox': joint_box(px),
                    'keypoints_cam': joints.tolist(),
                    'keypoints_img': np.round(px, _DECIMALS).tolist(),
                    'keypoints_vis': shown.tolist(),
                }
            )
    path = Path(out) / FOLDER / FILE
    write_json(path, {'images': images, 'annotations': annotations})
    return path
