# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Human3.6M in memory: arrays with a row for each frame of each camera, whatever files they came
from.

N rows. A dict for each of 312,000 training frames would take minutes and gigabytes; arrays take
neither, and can lie in a file that all processes map (:mod:`wsp_mm.datasets.h36m_index`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields

import numpy as np

from wsp_mm.datasets.h36m_sequences import ACTIONS, BROKEN, CAMERA_IDS, SUBJECTS, sequence_key

#: Joints as Human3.6M's files have them; any other set is made of them.
JOINT_SET = 'h36m17'


@dataclass(frozen=True)
class H36MRows:
    """The arrays.

    Attributes:
        subject: (N,). action: (N,) index in ``ACTIONS``. take: (N,) 1 or 2. camera: (N,) 1 to 4.
        frame: (N,) from 0, at 50 frames a second.
        id, image_id: (N,) of annotation and picture.
        size: (N, 2) width and height of the picture as annotated, px.
        bbox: (N, 4) x, y, w, h px as labelled: around the joints, neither square nor padded.
        joints: (N, 17, 3) camera mm, ``h36m17``.
        file_name: (N,) bytes, relative to the folder of the pictures.
    """

    subject: np.ndarray
    action: np.ndarray
    take: np.ndarray
    camera: np.ndarray
    frame: np.ndarray
    id: np.ndarray
    image_id: np.ndarray
    size: np.ndarray
    bbox: np.ndarray
    joints: np.ndarray
    file_name: np.ndarray

    def __len__(self) -> int:
        return len(self.subject)

    def take_rows(self, rows: np.ndarray) -> H36MRows:
        """A subset, by indices or a mask."""
        return H36MRows(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def sequences(self, rows: np.ndarray | None = None) -> list[tuple[int, int, int, int]]:
        """The different (subject, action index, take, camera), sorted."""
        columns = [self.subject, self.action, self.take, self.camera]
        columns = [c if rows is None else c[rows] for c in columns]
        code = np.zeros(len(columns[0]), dtype=np.int64)
        for column in columns:
            code = code * 64 + column
        found = np.unique(code)
        return [tuple(int(code >> shift & 63) for shift in (18, 12, 6, 0)) for code in found]


DTYPES = {
    'subject': np.uint8, 'action': np.uint8, 'take': np.uint8, 'camera': np.uint8, 'frame': np.int32,
    'id': np.int64, 'image_id': np.int64, 'size': np.int16, 'bbox': np.float32, 'joints': np.float32,
}  # fmt: skip


def make_rows(**columns: np.ndarray) -> H36MRows:
    """Rows with the types that are stored."""
    names = columns.pop('file_name')
    return H36MRows(
        **{key: np.ascontiguousarray(value, dtype=DTYPES[key]) for key, value in columns.items()},
        file_name=np.array([name.encode() for name in names], dtype=np.bytes_)
        if len(names)
        else np.zeros(0, dtype='S1'),
    )


def join_rows(parts: list[H36MRows]) -> H36MRows:
    """Several sets of rows as one."""
    return H36MRows(
        **{
            f.name: np.concatenate([getattr(part, f.name) for part in parts])
            for f in fields(H36MRows)
        }
    )


@dataclass
class H36MTable:
    """Rows, cameras, and what is to be known about both.

    Attributes:
        layout: ``'3dmppe'`` or ``'mmpose'``: whose pictures the file names are.
        rows: all frames.
        cameras: (subject, camera 1 to 4) -> f (2,) px and c (2,) px, as (4,).
        subjects: whose files were read.
        steps: the rows hold every frame whose number is a multiple of one of them.
        size_slack: by how many px a picture may differ from ``size``.
        files: files that the rows were read from.
        skipped: what was left out -> how many frames.
        notes: sentences for the user.
        path: the index, where the rows lie in one.
    """

    layout: str
    rows: H36MRows
    cameras: dict[tuple[int, int], np.ndarray]
    subjects: tuple[int, ...]
    steps: tuple[int, ...]
    size_slack: int
    files: list[str]
    skipped: Counter = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    path: str | None = None

    def __deepcopy__(self, memo: dict) -> H36MTable:
        return self  # nobody writes into it, and MMEngine copies data sets deeply to take subsets

    def __reduce__(self):
        if self.path is None:
            return super().__reduce__()
        # Workers that are started afresh map the file again; pickling would give each its own copy.
        from wsp_mm.datasets.h36m_index import read_index

        return read_index, (self.path,)


def keep_frames(frames: np.ndarray, steps: tuple[int, ...]) -> np.ndarray:
    """Mask of the frames (N,) whose number is a multiple of one of ``steps``."""
    return np.any([frames % step == 0 for step in steps], axis=0)


def is_broken(subject, action, take, camera) -> np.ndarray:
    """Mask of rows of the video that is broken; arrays (N,) or numbers, ``action`` an index."""
    wanted = (BROKEN[0], ACTIONS.index(BROKEN[1]), *BROKEN[2:])
    return np.logical_and.reduce(
        [np.asarray(a) == b for a, b in zip((subject, action, take, camera), wanted, strict=True)]
    )


def absent_sequences(table: H36MTable, subjects: tuple[int, ...]) -> list[str]:
    """Names of the videos that Human3.6M has of these subjects, and the table has not."""
    present = set(table.rows.sequences())
    return [
        sequence_key(*key)
        for subject in SUBJECTS
        if subject in subjects
        for key in (
            (subject, action, take, camera)
            for action in range(len(ACTIONS))
            for take in (1, 2)
            for camera in range(1, len(CAMERA_IDS) + 1)
        )
        if key not in present and not is_broken(*key)
    ]
