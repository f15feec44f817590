# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Human3.6M as MMPose's converter leaves it: ``h36m/annotation_body3d/{cameras.pkl, fps10,
fps50}/*.npz``.

``fps50`` lists every frame that the world has, ``fps10`` every one of them whose number is a
multiple of 5; ``h36m_train.npz`` the subjects 1, 5, 6, 7, 8 and ``h36m_test.npz`` 9 and 11. N rows:

===========  ==========  =====================================================================================
key          shape       meaning
===========  ==========  =====================================================================================
imgname      (N,) str    ``S1/S1_Directions_1.54138969/S1_Directions_1.54138969_000001.jpg``, in ``h36m/images``
center       (N, 2)      px, middle of the joints' extent
scale        (N,)        1.2 times the larger side of the extent, in units of 200 px
part         (N, 17, 3)  px, px, 1
S            (N, 17, 4)  metres in the camera frame, 1
===========  ==========  =====================================================================================

``cameras.pkl``: ('S1', '54138969') -> R (3, 3) and T (3, 1) metres with X_cam = R^T (X_world - T):
T is the camera's centre and R its orientation; c, f (2, 1) px; k (3, 1), p (2, 1), both zero, as
our lenses do not distort; w, h px; name; id. Of an action's two takes the first has '_1' after its
name and the second nothing, but for those subjects and actions whose real names differ
(:func:`wsp_mm.structures.h36m.subaction_name`).
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np

from wsp_mm.structures.camera import PinholeCamera
from wsp_mm.structures.h36m import subaction_name
from wsp_mm.synthetic.lab import LabRecord, lab_cameras
from wsp_mm.synthetic.lab_plan import (
    CAMERA_NAMES,
    FRAME_RATE,
    SUBJECTS,
    TEST_SUBJECTS,
    TRAIN_STEP,
    Moment,
)
from wsp_mm.synthetic.layouts.files import write_bytes
from wsp_mm.synthetic.layouts.h36m import h36m_joints

FOLDER = 'h36m'
_SCALE_UNIT, _SCALE_MARGIN = 200.0, 1.2


def mmpose_picture_name(moment: Moment, camera: int) -> str:
    """Path of a picture under ``h36m/images``; ``camera`` counts from 1."""
    subject = f'S{moment.subject}'
    number = subaction_name(moment.subject, moment.action_name, moment.subaction)
    action = moment.action_name + ('' if number is None else f'_{number}')
    take = f'{subject}_{action}.{CAMERA_NAMES[camera - 1]}'
    return f'{subject}/{take}/{take}_{moment.frame + 1:06d}.jpg'


def write_h36m_mmpose(out: Path, moments: list[Moment], records: list[LabRecord]) -> list[Path]:
    """Write cameras and both splits at both rates under ``out / h36m / annotation_body3d``; returns
    the paths.

    Args:
        moments, records: of the same moments in the same order.
    """
    folder = Path(out) / FOLDER / 'annotation_body3d'
    paths = [folder / 'cameras.pkl']
    write_bytes(paths[0], pickled_cameras(moments[0].seed, moments[0].side))
    for step in (TRAIN_STEP, 1):
        for split in ('train', 'test'):
            rows = [
                i
                for i, moment in enumerate(moments)
                if (moment.subject in TEST_SUBJECTS) == (split == 'test')
                and moment.frame % step == 0
            ]
            buffer = io.BytesIO()
            np.savez_compressed(
                buffer, **_table([moments[i] for i in rows], [records[i] for i in rows])
            )
            paths.append(folder / f'fps{FRAME_RATE // step}' / f'h36m_{split}.npz')
            write_bytes(paths[-1], buffer.getvalue())
    return paths


def _table(moments: list[Moment], records: list[LabRecord]) -> dict[str, np.ndarray]:
    """The arrays of one file: takes by camera, then by frame, as the converter lists them."""
    rows = []
    for moment, record in zip(moments, records, strict=True):
        joints = h36m_joints(record)
        for number, camera in enumerate(
            lab_cameras(moment.seed, moment.subject, moment.side), start=1
        ):
            local = camera.to_camera(joints)
            take = (moment.subject, moment.action, moment.subaction, number, moment.frame)
            rows.append(
                (
                    take,
                    mmpose_picture_name(moment, number),
                    camera.project(local)[:, :2],
                    local / 1000,
                )
            )
    rows.sort(key=lambda row: row[0])
    n = len(rows)
    part = np.array([px for _, _, px, _ in rows], dtype=np.float64).reshape(n, 17, 2)
    local = np.array([metres for _, _, _, metres in rows], dtype=np.float64).reshape(n, 17, 3)
    low, high = part.min(axis=1), part.max(axis=1)
    return {
        'imgname': np.array([name for _, name, _, _ in rows], dtype=np.str_),
        'center': (low + high) / 2,
        'scale': (high - low).max(axis=1) / _SCALE_UNIT * _SCALE_MARGIN,
        'part': np.concatenate([part, np.ones((n, 17, 1))], axis=2),
        'S': np.concatenate([local, np.ones((n, 17, 1))], axis=2),
    }


def mmpose_camera(camera: PinholeCamera, side: int, number: int) -> dict:
    """One entry of ``cameras.pkl``; ``number`` counts from 1."""
    return {
        'R': np.ascontiguousarray(camera.R.T),
        'T': camera.position.reshape(3, 1) / 1000,
        'c': camera.c.reshape(2, 1),
        'f': camera.f.reshape(2, 1),
        'k': np.zeros((3, 1)),
        'p': np.zeros((2, 1)),
        'w': side,
        'h': side,
        'name': f'camera{number}',
        'id': CAMERA_NAMES[number - 1],
    }


def pickled_cameras(seed: int, side: int) -> bytes:
    """The content of ``cameras.pkl``."""
    cameras = {
        (f'S{subject}', CAMERA_NAMES[number - 1]): mmpose_camera(camera, side, number)
        for subject in SUBJECTS
        for number, camera in enumerate(lab_cameras(seed, subject, side), start=1)
    }
    # NumPy 2 has moved its pickling functions; by their old names, which are the real file's, every
    # version and every reader that allows only known names finds them. Names end with a newline, so
    # lengths may change.
    return pickle.dumps(cameras, protocol=3).replace(b'cnumpy._core.', b'cnumpy.core.')
