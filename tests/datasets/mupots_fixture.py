# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""A small MuPoTS-3D, its json and its official files, written by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

SIZE = (200, 160)  # px
INTRINSIC = (300.0, 310.0, 100.0, 80.0)
#: Image id -> sequence, frame. Not in order, as nothing says that they are.
IMAGES = {30: (2, 0), 10: (1, 0), 11: (1, 1), 31: (2, 1)}


def person(ann_id: int, image_id: int, root: tuple[float, float, float], **changes) -> dict:
    """A person whose 17 joints hang about the root (camera mm)."""
    joints = np.random.default_rng(ann_id).normal(0, (120, 250, 80), (17, 3)) + root
    joints[14] = root
    pixels = joints[:, :2] / joints[:, 2:] * INTRINSIC[:2] + INTRINSIC[2:]
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    return dict(
        id=ann_id, image_id=image_id, bbox=[*low.tolist(), *(high - low).tolist()], is_valid=1,
        keypoints_cam=joints.tolist(), keypoints_img=pixels.tolist(), keypoints_vis=[1] * 17,
    ) | changes  # fmt: skip


def people() -> list[dict]:
    """TS1: two persons, then one of them; TS2: one who is not valid, then nobody."""
    return [
        person(1, 10, (-400.0, 0.0, 3000.0)),
        person(2, 10, (500.0, 50.0, 4000.0)),
        person(3, 11, (450.0, 50.0, 3900.0)),
        person(4, 30, (0.0, 0.0, 3500.0), is_valid=0),
    ]


def write(root: Path, annotations: list[dict] | None = None) -> Path:
    """Write json, annot.mat, occlusion.mat and images; return the json's path."""
    annotations = people() if annotations is None else annotations
    folder = root / 'mupots/MultiPersonTestSet'
    records = []
    for image_id, (sequence, frame) in IMAGES.items():
        name = f'TS{sequence}/img_{frame:06d}.jpg'
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.linear_gradient('L').resize(SIZE).convert('RGB').save(folder / name, quality=95)
        camera = dict(width=SIZE[0], height=SIZE[1], intrinsic=list(INTRINSIC))
        records.append(dict(camera, id=image_id, file_name=name))
    for sequence in (1, 2):
        cells, labels = np.empty((2, 2), dtype=object), np.empty((2, 2), dtype=object)
        for frame in range(2):
            image_id = next(k for k, place in IMAGES.items() if place == (sequence, frame))
            there = [a for a in annotations if a['image_id'] == image_id]
            for column in range(2):
                labels[frame, column] = np.zeros((1, 17))
                cells[frame, column] = np.zeros((0, 0))
            for column, someone in enumerate(there):
                cam, pixels = (np.array(someone[f'keypoints_{kind}']).T for kind in ('cam', 'img'))
                cells[frame, column] = dict(
                    annot2=pixels, annot3=cam, univ_annot3=cam * 1.05,
                    isValidFrame=float(someone['is_valid']),
                )  # fmt: skip
        savemat(folder / f'TS{sequence}/annot.mat', dict(annotations=cells))
        savemat(folder / f'TS{sequence}/occlusion.mat', dict(occlusion_labels=labels))
    path = root / 'mupots/MuPoTS-3D.json'
    path.write_text(json.dumps(dict(images=records, annotations=annotations)))
    return path
