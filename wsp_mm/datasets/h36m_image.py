# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Human3.6M as pictures of one person, with the person's joints in 3D."""

from __future__ import annotations

import os.path as osp
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmpose.registry import DATASETS

from wsp_mm.datasets.bbox_root import read_bbox_root
from wsp_mm.datasets.converters.mcpc.records import BadDataError, Findings
from wsp_mm.datasets.h36m_3dmppe import read_3dmppe
from wsp_mm.datasets.h36m_convention import TOLERANCE_PX
from wsp_mm.datasets.h36m_files import PLACES, select_step, select_subjects
from wsp_mm.datasets.h36m_index import check_fresh, read_index
from wsp_mm.datasets.h36m_mmpose import read_mmpose
from wsp_mm.datasets.h36m_sequences import (
    ACTIONS,
    check_actions,
    frame_key,
    sequence_key,
)
from wsp_mm.datasets.h36m_table import JOINT_SET, H36MTable, absent_sequences
from wsp_mm.datasets.pose3d import Pose3DDataset
from wsp_mm.structures.bbox import to_corners
from wsp_mm.structures.keypoints import pose_metainfo


@DATASETS.register_module()
class H36MImageDataset(Pose3DDataset):
    """Human3.6M, one frame of one camera a sample (see :class:`Pose3DDataset` for its keys).

    Further keys: subject (int), action (one of the 15 names), subaction (1 or 2), camera_id (1 to
    4), frame (from 0), frame_key (a name for the frame that is the same in every layout).

    The video that is broken in the release (S11 Directions, take 2, camera 1) is left out. What is
    missing or was left out is said in the log, with counts.

    Args:
        data_root: folder that the places below are in.
        layout: ``'3dmppe'`` (json), ``'mmpose'`` (npz + cameras.pkl) or ``'index'``, written from
            either by tools/dataset_converters/index_h36m.py: the only one that loads quickly at
            full size.
        protocol: the paper's Subject Protocol, with ``test_mode`` its test subjects, else its
            training subjects: 1 is S1, 5, 6, 7, 8 / S9, S11 (scored by MPJPE), 2 is S1, 5, 6, 7, 8,
            9 / S11 (scored by PA-MPJPE). PoseNet's code calls them 2 and 1. 1 where neither this
            nor ``subjects`` is given.
        subjects: instead of a protocol.
        actions: some of the 15 names; all where None.
        frame_step: frames whose number (at 50 a second) is a multiple of this; None: 5, with
            ``test_mode`` 64.
        bbox_root_file: RootNet's json with predicted boxes and root depths, for ``test_mode``. The
            boxes are square and padded already and are not extended again.
        joint_set: joints of the samples.
        ann_path: folder of the annotations, or the index; by default the layout's, see
            :data:`PLACES`.
        data_prefix: ``dict(img=...)``, folder of the pictures; by default the layout's.
        skip_bad: leave out, count and report bad records and videos whose folder of pictures is
            absent, instead of raising at the first. A test with frames left out cannot be compared
            with another.
        check_pictures: at start-up, look whether each video's folder of pictures is there.
        convention_tolerance: of the check of the camera convention by reprojection, px.
        **kwargs: MMEngine's ``pipeline``, ``test_mode``, ``indices``, ``lazy_init``,
            ``max_refetch``.

    Raises:
        ValueError: an unknown subject, action, layout or protocol, a bad record (``BadDataError``:
            file, record and mend), or a selection of which nothing is left.
        FileNotFoundError: ``check_pictures`` finds no pictures.

    Attributes:
        subjects: the subjects of the samples.
        table: all that was read.
    """

    METAINFO: dict = dict(pose_metainfo('h36m18'), dataset_name='h36m')

    def __init__(
        self,
        data_root: str = '',
        layout: str = '3dmppe',
        protocol: int | None = None,
        subjects: Sequence[int] | None = None,
        actions: str | Sequence[str] | None = None,
        frame_step: int | None = None,
        bbox_root_file: str | None = None,
        joint_set: str = 'h36m18',
        ann_path: str | None = None,
        data_prefix: dict | None = None,
        skip_bad: bool = False,
        check_pictures: bool = True,
        convention_tolerance: float = TOLERANCE_PX,
        test_mode: bool = False,
        **kwargs: Any,
    ) -> None:
        if layout not in PLACES:
            raise ValueError(
                f'H36MImageDataset: layout must be one of {sorted(PLACES)}, got {layout!r}'
            )
        self.layout = layout
        self.subjects = select_subjects(protocol, subjects, test_mode)
        self.actions = check_actions(actions)
        self.frame_step = select_step(frame_step, test_mode)
        if bbox_root_file and not test_mode:
            raise ValueError(
                'H36MImageDataset: bbox_root_file is for test_mode; training takes labelled boxes'
            )
        if bbox_root_file and layout == 'mmpose':
            raise ValueError(
                "H36MImageDataset: bbox_root_file goes by 3DMPPE's image ids, which MMPose's layout lacks; "
                "take layout='3dmppe' or an index of it"
            )
        self.ann_path = osp.join(data_root, ann_path or PLACES[layout][0])
        self.bbox_root_file = osp.join(data_root, bbox_root_file) if bbox_root_file else None
        self.skip_bad, self.check_pictures = skip_bad, check_pictures
        self.convention_tolerance = convention_tolerance
        self._predicted: tuple[np.ndarray, np.ndarray] | None = None
        super().__init__(
            JOINT_SET,
            joint_set,
            'h36m',
            data_root=data_root,
            data_prefix=dict(data_prefix or {}),
            test_mode=test_mode,
            **kwargs,
        )

    def load_data_list(self) -> np.ndarray:
        """Numbers of the rows that are selected, (N,)."""
        findings = Findings(skip_bad=self.skip_bad)
        self.table = self._read(findings)
        rows = self.table.rows
        kept = np.isin(rows.subject, self.subjects) & (rows.frame % self.frame_step == 0)
        kept &= np.isin(rows.action, [ACTIONS.index(action) for action in self.actions])
        selected = np.flatnonzero(kept)
        if not len(selected):
            raise ValueError(
                f'H36MImageDataset: {self.ann_path} has no frame of subjects {self.subjects}, actions '
                f'{", ".join(self.actions)} and a number that is a multiple of {self.frame_step}'
            )
        self.data_prefix.setdefault('img', osp.join(self.data_root, PLACES[self.table.layout][1]))
        if self.check_pictures:
            selected = self._with_pictures(selected, findings)
        if self.bbox_root_file is not None:
            self._predict(selected)
        absent = absent_sequences(self.table, self.subjects)
        if absent:
            shown = ', '.join(absent[:3]) + (', ...' if len(absent) > 3 else '')
            findings.notes.append(
                f'{len(absent)} videos of {self.subjects} are not in {self.ann_path}: {shown}'
            )
        self.report(findings, self.table.notes, self.table.skipped)
        return selected

    def _read(self, findings: Findings) -> H36MTable:
        steps = (self.frame_step,)
        if self.layout != 'index':
            reader = read_3dmppe if self.layout == '3dmppe' else read_mmpose
            return reader(self.ann_path, self.subjects, steps, findings, self.convention_tolerance)
        table = read_index(self.ann_path)
        findings.notes += check_fresh(self.ann_path, self.data_root)
        if self.bbox_root_file and table.layout == 'mmpose':
            raise ValueError(
                f"H36MImageDataset: {self.ann_path} was made of MMPose's layout, which has no image ids for "
                'bbox_root_file to go by'
            )
        absent = sorted(set(self.subjects) - set(table.subjects))
        if absent or all(self.frame_step % step for step in table.steps):
            raise BadDataError(
                'not in the index', self.ann_path, '',
                f'it holds subjects {table.subjects} and frames that are multiples of {table.steps}, but '
                f'subjects {self.subjects} and multiples of {self.frame_step} are asked for',
                'Write it again with tools/dataset_converters/index_h36m.py --subjects ... --steps ...',
            )  # fmt: skip
        return table

    def _with_pictures(self, selected: np.ndarray, findings: Findings) -> np.ndarray:
        """The rows whose folder of pictures is there."""
        rows = self.table.rows
        keys = rows.sequences(selected)
        columns = np.stack([rows.subject, rows.action, rows.take, rows.camera], axis=-1)[
            selected
        ].astype(int)
        code = (((columns[:, 0] * 64 + columns[:, 1]) * 64) + columns[:, 2]) * 64 + columns[:, 3]
        found, first = np.unique(code, return_index=True)
        gone = {}
        for key, one, i in zip(keys, found, first, strict=True):
            folder = osp.dirname(self._path(selected[i]))
            if not osp.isdir(folder):
                gone[one] = (key, folder)
        if not gone:
            return selected
        key, folder = next(iter(gone.values()))
        if len(gone) == len(keys) or not self.skip_bad:
            raise FileNotFoundError(
                f'{folder} is not there, nor are the pictures of {len(gone) - 1} other videos of {len(keys)}: '
                "set data_root or data_prefix=dict(img='folder of the pictures'), or skip_bad=True to go on "
                'without them; tools/misc/check_data.py lists all that is missing'
            )
        kept = ~np.isin(code, list(gone))
        findings.notes.append(
            f'skipped {int((~kept).sum()):,} frames of {len(gone)} videos without pictures: '
            f'{", ".join(sequence_key(*key) for key, _ in list(gone.values())[:3])}'
            + (', ...' if len(gone) > 3 else '')
        )
        return selected[kept]

    def _predict(self, selected: np.ndarray) -> None:
        """Boxes and root depths for each row of the table, nan for those that are not selected."""
        boxes, depths = read_bbox_root(self.bbox_root_file, self.table.rows.image_id[selected])
        self._predicted = (
            np.full((len(self.table.rows), 4), np.nan),
            np.full(len(self.table.rows), np.nan),
        )
        self._predicted[0][selected], self._predicted[1][selected] = boxes, depths

    def _path(self, row: int) -> str:
        return osp.join(self.data_prefix['img'], self.table.rows.file_name[row].decode())

    def load_row(self, row: int) -> dict:
        rows = self.table.rows
        subject, action, take, camera, frame = (
            int(column[row])
            for column in (rows.subject, rows.action, rows.take, rows.camera, rows.frame)
        )
        predicted = self._predicted is not None
        box = self._predicted[0][row] if predicted else rows.bbox[row]
        intrinsics = self.table.cameras[subject, camera]
        return dict(
            joints=rows.joints[row],
            f=intrinsics[:2],
            c=intrinsics[2:],
            box=to_corners(np.asarray(box, dtype=np.float64)),
            box_extended=predicted,
            root_depth=float(self._predicted[1][row]) if predicted else None,
            img_path=self._path(row),
            img_id=int(rows.image_id[row]),
            id=int(rows.id[row]),
            picture_size=tuple(rows.size[row].tolist()),
            picture_size_slack=self.table.size_slack,
            subject=subject,
            action=ACTIONS[action],
            subaction=take,
            camera_id=camera,
            frame=frame,
            frame_key=frame_key(subject, action, take, camera, frame),
        )
