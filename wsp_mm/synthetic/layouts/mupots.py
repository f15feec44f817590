# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""MuPoTS-3D in both of its forms: 3DMPPE's ``mupots/MuPoTS-3D.json``, and of each sequence the
official files ``mupots/MultiPersonTestSet/TS1/annot.mat`` and ``occlusion.mat`` beside its
pictures.

The json's keypoints_cam and annot.mat's annot3 are the pose that the camera sees. univ_annot3 is
that pose scaled about the camera, which leaves every pixel where it is, until the bones from knee
to neck are as long as in everybody else's: what a network that sees one picture can know of
somebody's size.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from wsp_mm.structures.camera import PinholeCamera
from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.synthetic.layouts.files import write_bytes, write_json
from wsp_mm.synthetic.layouts.h36m import joint_box
from wsp_mm.synthetic.layouts.muco import muco_joints
from wsp_mm.synthetic.mupots_plan import num_columns
from wsp_mm.synthetic.mupots_scene import MupotsRecord

FOLDER, FILE, SEQUENCES = 'mupots', 'MuPoTS-3D.json', 'MultiPersonTestSet'
# From knee to neck along the bones: the mean of the embedded world's adults, so that the universal
# pose is, on average, where the person is.
UNIVERSAL_MM = 890.0
_DECIMALS = 4  # of mm and px
_SET = get_joint_set('mupots17')


def knee_to_neck(joints: np.ndarray) -> np.ndarray:
    """Length (N,) mm of the bones from knee (the mean of both) over hips, pelvis and spine to the
    neck.

    Args:
        joints: (N, 17, 3) mm. The length does not depend on the posture.
    """

    def bone(a: str, b: str) -> np.ndarray:
        return np.linalg.norm(joints[:, _SET.index(a)] - joints[:, _SET.index(b)], axis=-1)

    thigh = (bone('left_hip', 'left_knee') + bone('right_hip', 'right_knee')) / 2
    return thigh + bone('pelvis', 'spine') + bone('spine', 'thorax')


def mupots_joints(record: MupotsRecord) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Joints of those who have a column: (N, 17, 3) mm as seen, the same universal, (N, 17) whether
    shown.
    """
    columns = num_columns(record.sequence)
    joints, shown = (array[:columns, :17] for array in muco_joints(record))
    universal = joints * (UNIVERSAL_MM / np.maximum(knee_to_neck(joints), 1.0))[:, None, None]
    return joints, universal, shown


def write_mupots(out: Path, records: list[MupotsRecord]) -> list[Path]:
    """Write everything under ``out / mupots``; returns the paths.

    Args:
        records: sequences one after another, frames in order.
    """
    folder = Path(out) / FOLDER
    paths = [folder / FILE]
    write_json(paths[0], _json(records))
    for sequence in dict.fromkeys(record.sequence for record in records):
        frames = [record for record in records if record.sequence == sequence]
        persons = num_columns(sequence)
        annotations, labels = (np.empty((len(frames), persons), dtype=object) for _ in range(2))
        for row, record in enumerate(frames):
            for person, (struct, occluded) in enumerate(_cells(record, persons)):
                annotations[row, person], labels[row, person] = struct, occluded
        place = folder / SEQUENCES / f'TS{sequence}'
        for name, content in (('annotations', annotations), ('occlusion_labels', labels)):
            paths.append(place / ('annot.mat' if name == 'annotations' else 'occlusion.mat'))
            write_bytes(paths[-1], encode_mat({name: content}))
    return paths


def encode_mat(content: dict) -> bytes:
    """A MATLAB 5 file whose bytes depend on the content alone."""
    from scipy.io import savemat

    buffer = io.BytesIO()
    savemat(buffer, content, oned_as='row')
    # The first 116 bytes of the format are free text, where SciPy notes the time.
    return b'MATLAB 5.0 MAT-file, wsp_mm embedded world'.ljust(116) + buffer.getvalue()[116:]


def _pixels(record: MupotsRecord, joints: np.ndarray) -> np.ndarray:
    """Projections (N, 17, 2) px; 0 of a joint behind the camera, whom nobody annotates."""
    px = PinholeCamera(record.f, record.c).project(joints)[..., :2]
    return np.round(np.nan_to_num(px), _DECIMALS)


def _cells(record: MupotsRecord, persons: int) -> Iterable[tuple[dict, np.ndarray]]:
    """Struct and occlusion labels of every column; zeros for who is not there."""
    joints, universal, shown = mupots_joints(record)
    pixels = _pixels(record, joints)
    for i in range(persons):
        there = i < len(joints)
        arrays = (
            (pixels[i].T, joints[i].T, universal[i].T)
            if there
            else (np.zeros((n, 17)) for n in (2, 3, 3))
        )
        annot2, annot3, univ = arrays
        valid = bool(there and record.valid[i])
        struct = {
            'annot2': annot2,
            'annot3': annot3,
            'univ_annot3': univ,
            'isValidFrame': np.array([[valid]]),
        }
        yield struct, (1.0 - shown[i] if there else np.zeros(17))[None]


def _json(records: list[MupotsRecord]) -> dict:
    images, annotations = [], []
    for record in records:
        images.append(
            {
                'id': record.scene_id,
                'file_name': record.file_name,
                'width': record.width,
                'height': record.height,
                'intrinsic': [*record.f.tolist(), *record.c.tolist()],
            }
        )
        joints, _, shown = mupots_joints(record)
        for i, px in enumerate(_pixels(record, joints)):
            annotations.append(
                {
                    'id': len(annotations),
                    'image_id': record.scene_id,
                    'bbox': joint_box(px),
                    'is_valid': int(record.valid[i]),
                    'keypoints_cam': joints[i].tolist(),
                    'keypoints_img': px.tolist(),
                    'keypoints_vis': shown[i].astype(int).tolist(),
                }
            )
    return {'images': images, 'annotations': annotations}
