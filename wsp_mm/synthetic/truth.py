# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""True depth of every annotated person: ``truth/truth_{source}_{split}.npz``, one row a person.

Rows are found by the source's own annotation id, which is what MCPC keeps as ``source`` and
``source_id``. N rows, J = 29 joints of the set ``world``, K = 16 joints of ``mcpc16``.

===================  ==========  ==========================================================================
key                  shape       meaning
===================  ==========  ==========================================================================
source_ids           (N,)        annotation id in the source's file (MPII: row number in the json list)
image_source_ids     (N,) str    picture's id in the source's file (MPII: file name)
scene_ids            (N,)        number of the picture in the world, ``truth/scenes/NNNNNN.json``
keypoints_cam        (N, J, 3)   mm, camera frame
keypoints_px         (N, J, 2)   px
visible              (N, J)      whether the joint can be seen
keypoints            (N, K, 2)   px as annotated, 0 where not labelled
labelled             (N, K)      0 not labelled, 1 labelled but hidden (PoseTrack18: labelled), 2 in sight
person_ids           (N,)        identity within a scene or video
sequences, frames    (N,)        video and frame number, -1 for stills
pitch, roll          (N,)        degrees; positive pitch looks down
camera_height        (N,)        mm over the ground
age, height          (N,)        years, mm
lowest_mm            (N,)        height of the body's lowest point over the ground
visible_share        (N,)        visible px / px that the body would fill alone
posture, action      (N,) str    as in :class:`wsp_mm.synthetic.record.Person`
===================  ==========  ==========================================================================
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from wsp_mm.datasets.converters.mcpc.sources import MCPC_SPLITS
from wsp_mm.structures.keypoints import convert_joints
from wsp_mm.synthetic.layouts.files import WorldError, write_bytes
from wsp_mm.synthetic.record import Scene

_DTYPES = {
    'source_ids': np.int64, 'image_source_ids': np.str_, 'scene_ids': np.int64, 'keypoints_cam': np.float32,
    'keypoints_px': np.float32, 'visible': bool, 'keypoints': np.float32, 'labelled': np.int8,
    'person_ids': np.int64, 'sequences': np.int64, 'frames': np.int64, 'pitch': np.float32, 'roll': np.float32,
    'camera_height': np.float32, 'age': np.float32, 'height': np.float32, 'lowest_mm': np.float32,
    'visible_share': np.float32, 'posture': np.str_, 'action': np.str_,
}  # fmt: skip
KEYS = tuple(_DTYPES)
_EMPTY = {
    'keypoints_cam': (29, 3),
    'keypoints_px': (29, 2),
    'visible': (29,),
    'keypoints': (16, 2),
    'labelled': (16,),
}
_SCENE = {
    'scene_ids': 'scene_id', 'sequences': 'sequence', 'frames': 'frame', 'pitch': 'pitch', 'roll': 'roll',
    'camera_height': 'camera_height',
}  # fmt: skip
_PERSON = {
    'person_ids': 'person_id', 'age': 'age', 'height': 'height', 'lowest_mm': 'lowest_mm',
    'visible_share': 'visible_share', 'posture': 'posture', 'action': 'action',
}  # fmt: skip


class TruthTable:
    """Collects the rows of one source and split."""

    def __init__(self, source: str, split: str) -> None:
        self.source, self.split = source, split
        self._columns: dict[str, list] = {key: [] for key in KEYS}

    def add(
        self,
        scene: Scene,
        rows: list[int],
        ids: list[int],
        image_id: int | str,
        xy: np.ndarray,
        v: np.ndarray,
        joint_set: str,
    ) -> None:
        """Add the annotated persons ``scene.persons[rows]``.

        Args:
            ids: their annotation ids. image_id: the picture's id in the source's file.
            xy: (n, K_source, 2) px and v: (n, K_source), their labels in the source's
                ``joint_set``.
        """
        if not rows:
            return
        columns, persons = self._columns, [scene.persons[row] for row in rows]
        keypoints, labelled = convert_joints(xy, v, joint_set, 'mcpc16')
        columns['source_ids'] += ids
        columns['image_source_ids'] += [str(image_id)] * len(rows)
        columns['keypoints_cam'] += list(
            scene.camera.to_camera(np.stack([p.joints_world for p in persons])).astype(np.float32)
        )
        columns['keypoints_px'] += [p.joints_px.astype(np.float32) for p in persons]
        columns['visible'] += [p.visible for p in persons]
        columns['keypoints'] += list(keypoints.astype(np.float32))
        columns['labelled'] += list(labelled.astype(np.int8))
        for key, name in _SCENE.items():
            columns[key] += [getattr(scene, name)] * len(rows)
        for key, name in _PERSON.items():
            columns[key] += [getattr(person, name) for person in persons]

    def arrays(self) -> dict[str, np.ndarray]:
        """The table as arrays, keys as in the module's table."""
        return {
            key: np.array(column, dtype=_DTYPES[key])
            if column
            else np.zeros((0, *_EMPTY.get(key, ())), dtype=_DTYPES[key])
            for key, column in self._columns.items()
        }

    def write(self, world: Path) -> Path:
        """Write the npz under ``world / truth``; returns its path."""
        path = truth_path(world, self.source, self.split)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **self.arrays())
        write_bytes(path, buffer.getvalue())
        return path


def truth_path(world: Path, source: str, split: str) -> Path:
    return Path(world) / 'truth' / f'truth_{source}_{split}.npz'


def load_truth(world: Path, source: str, split: str) -> dict[str, np.ndarray]:
    """One table.

    Raises:
        WorldError: the file is absent, broken or lacks a key.
    """
    path = truth_path(world, source, split)
    if not path.is_file():
        raise WorldError(
            f'{path}: no such file. Make the world first: python tools/make_world.py --out {world}'
        )
    try:
        with np.load(path, allow_pickle=False) as data:
            table = {key: data[key] for key in data.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise WorldError(
            f'{path}: not a readable npz ({error}); delete it and run make_world.py again'
        ) from error
    missing = sorted(set(KEYS) - set(table))
    if missing:
        raise WorldError(f'{path}: lacks {missing}; delete it and run make_world.py again')
    return table


def available(world: Path) -> list[tuple[str, str]]:
    """(source, split) of every truth table that the world has, sorted.

    Raises:
        WorldError: there is none.
    """
    found = sorted(
        tuple(path.stem.removeprefix('truth_').rsplit('_', 1))
        for path in (Path(world) / 'truth').glob('truth_*_*.npz')
    )
    if not found:
        raise WorldError(
            f'{world}: no truth/truth_*.npz in it, so it is no embedded world or an unfinished one. '
            f'Make it with: python tools/make_world.py --out {world}'
        )
    return found


def mcpc_truth(
    world: Path, mcpc_split: str
) -> tuple[dict[tuple[str, int], int], dict[str, np.ndarray]]:
    """The truth behind one of MCPC's splits.

    Args:
        mcpc_split: 'train' or 'test'.

    Returns:
        row number of each (source, source_id), and the tables of all sources, one after the other.

    Raises:
        WorldError: no table of that split is there. KeyError: unknown ``mcpc_split``.
    """
    wanted = [
        (source, split) for source, splits in MCPC_SPLITS[mcpc_split].items() for split in splits
    ]
    there = [pair for pair in wanted if pair in available(world)]
    if not there:
        raise WorldError(f'{world}: none of the truth tables of MCPC {mcpc_split}: {wanted}')
    tables = [load_truth(world, *pair) for pair in there]
    merged = {key: np.concatenate([table[key] for table in tables]) for key in KEYS}
    names = [
        (source, int(source_id))
        for (source, _), table in zip(there, tables, strict=True)
        for source_id in table['source_ids']
    ]
    return {name: row for row, name in enumerate(names)}, merged
