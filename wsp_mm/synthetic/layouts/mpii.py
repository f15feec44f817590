# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""MPII: MMPose's ``annotations/mpii_{train,val}.json`` and, if asked for, the official MATLAB file.

Pixel counting differs between the two and within the first. The MATLAB file counts pixels from 1
throughout. MMPose takes the json's joints as they are, from 0, but subtracts 1 from its centre; the
json written here is what makes MMPose's reader right.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.synthetic.layouts.base import SourceWriter
from wsp_mm.synthetic.layouts.files import write_bytes
from wsp_mm.synthetic.layouts.labelling import WORLD, Habits, is_seen
from wsp_mm.synthetic.record import Scene

_PELVIS, _THORAX = WORLD.index('pelvis'), WORLD.index('thorax')
_HEAD = [get_joint_set('mpii16').index(concept) for concept in ('upper_neck', 'head_top')]
_HEAD_SHARE = 0.8  # neck and head top lie on the diagonal of the head's box, this share of it apart
_PX_OF_A_PERSON = 200  # scale 1 means that the person, upright, would be 200 px high

MAT_NAME = 'annotations/mpii_human_pose_v1_u12_1.mat'


class MpiiWriter(SourceWriter):
    """One row a person: picture, centre, scale, 16 joints that are labelled or not."""

    source = 'mpii'
    joint_set = 'mpii16'
    habits = Habits(guesses=0.9, step=1.0, min_area=24 * 24)

    # MPII's annotators passed over persons of whom too little is to be seen.
    min_joints = 6

    def __init__(self, keep_truth: bool = True) -> None:
        super().__init__(keep_truth)
        self._rows: dict[str, list[dict]] = {'train': [], 'val': []}
        self._visible: dict[str, list[np.ndarray]] = {'train': [], 'val': []}
        self._pictures: dict[str, list[str]] = {'train': [], 'val': []}

    def annotate(self, scene: Scene, xy: np.ndarray, v: np.ndarray) -> None:
        image = scene.file_name.rpartition('/')[2]
        rows = [
            i
            for i, p in enumerate(scene.persons)
            if is_seen(p) and (v[i] > 0).sum() >= self.min_joints
        ]
        ids = [len(self._rows[scene.split]) + n for n in range(len(rows))]
        self._pictures[scene.split].append(image)
        for row in rows:
            labelled = v[row] > 0
            joints = np.where(labelled[:, None], xy[row], -1.0)
            centre, scale = centre_and_scale(scene, row)
            self._visible[scene.split].append(v[row])
            self._rows[scene.split].append(
                {
                    'joints_vis': labelled.astype(int).tolist(),
                    'joints': joints.tolist(),
                    'image': image,
                    'scale': round(scale, 6),
                    'center': [float(c) for c in np.round(centre) + 1],
                }
            )
        self.record(scene, rows, ids, image, xy, v)

    def files(self) -> dict[str, object]:
        return {f'annotations/mpii_{split}.json': rows for split, rows in self._rows.items()}

    def write_mat(self, root: Path) -> Path:
        """Write the official MATLAB file (needs scipy); train and val together, as MPII knows no
        val.
        """
        from scipy.io import savemat

        buffer = io.BytesIO()
        savemat(buffer, {'RELEASE': self._release()}, oned_as='row')
        # The first 116 bytes of the format are free text, where scipy notes the time: two runs
        # shall be equal.
        data = b'MATLAB 5.0 MAT-file, wsp_mm embedded world'.ljust(116) + buffer.getvalue()[116:]
        path = Path(root) / self.source / MAT_NAME
        write_bytes(path, data)
        return path

    def _release(self) -> dict:
        """RELEASE as in ``mpii_human_pose_v1_u12_1.mat``: one entry a picture, one annorect a
        person.
        """
        pictures = [(split, image) for split in self._pictures for image in self._pictures[split]]
        people: dict[str, list[dict]] = {image: [] for _, image in pictures}
        for split, rows in self._rows.items():
            for row, visible in zip(rows, self._visible[split], strict=True):
                people[row['image']].append(_annorect(row, visible))
        annolist = _structs(
            [
                {
                    'image': {'name': image},
                    'annorect': _structs(people[image], _ANNORECT),
                    'frame_sec': np.zeros((0, 0)),
                    'vididx': np.zeros((0, 0)),
                }
                for _, image in pictures
            ],
            ('image', 'annorect', 'frame_sec', 'vididx'),
        )
        single = np.empty((len(pictures), 1), dtype=object)
        for n, (_, image) in enumerate(pictures):
            single[n, 0] = np.arange(1, len(people[image]) + 1, dtype=np.float64).reshape(-1, 1)
        activity = {'act_name': 'standing', 'cat_name': 'miscellaneous', 'act_id': -1.0}
        act = _structs([activity] * len(pictures), ('act_name', 'cat_name', 'act_id'))
        return {
            'annolist': annolist,
            'img_train': np.ones((1, len(pictures))),
            'version': '1.2',
            'single_person': single,
            'act': act.reshape(-1, 1),
            'video_list': np.empty((1, 0), dtype=object),
        }


_ANNORECT = ('x1', 'y1', 'x2', 'y2', 'annopoints', 'scale', 'objpos')


def _structs(items: list[dict], fields: tuple[str, ...]) -> np.ndarray:
    """Dicts to a MATLAB struct array (1, n)."""
    array = np.empty((1, len(items)), dtype=[(field, object) for field in fields])
    for n, item in enumerate(items):
        for field in fields:
            array[0, n][field] = item[field]
    return array


def _annorect(row: dict, visible: np.ndarray) -> dict:
    """One person; pixels from 1. The rectangle is the head's."""
    joints = np.array(row['joints']) + 1
    labelled = np.flatnonzero(visible > 0)
    points = [
        {
            'x': joints[k, 0],
            'y': joints[k, 1],
            'id': float(k),
            # MPII leaves the flag empty for the two ends of the head.
            'is_visible': np.zeros((0, 0)) if k in _HEAD else float(visible[k] == 2),
        }
        for k in labelled.tolist()
    ]
    if (visible[_HEAD] > 0).all():
        neck, top = joints[_HEAD]
        half = (top - neck) / 2 / _HEAD_SHARE
        head = np.stack([(neck + top) / 2 - half, (neck + top) / 2 + half])
    else:
        head = joints[labelled]
    return {
        'x1': head[:, 0].min(), 'y1': head[:, 1].min(), 'x2': head[:, 0].max(), 'y2': head[:, 1].max(),
        'annopoints': {'point': _structs(points, ('x', 'y', 'id', 'is_visible'))},
        'scale': row['scale'],
        'objpos': {'x': row['center'][0], 'y': row['center'][1]},
    }  # fmt: skip


def centre_and_scale(scene: Scene, row: int) -> tuple[np.ndarray, float]:
    """MPII's rough position (2,) px from 0, the middle of the trunk, and scale: upright height in
    px / 200.
    """
    person = scene.persons[row]
    depth = scene.camera.to_camera(person.joints_world[_PELVIS])[2]
    trunk = person.joints_px[[_PELVIS, _THORAX]].mean(axis=0)
    centre = np.clip(trunk, 0, (scene.width - 1, scene.height - 1))
    return centre, float(scene.camera.f[1] * person.height / max(depth, 1.0) / _PX_OF_A_PERSON)
