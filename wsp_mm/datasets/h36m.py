# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Human3.6M as images of one person, with the person's joints in 3D."""

import os
import os.path as osp
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmpose.registry import DATASETS

from wsp_mm.datasets.annotations import DATA_REMEDY, AnnotationError
from wsp_mm.datasets.detections import prediction_path, read_bbox_root
from wsp_mm.datasets.h36m_arrays import open_arrays
from wsp_mm.datasets.pose3d import Pose3DDataset, log_notes
from wsp_mm.structures.bbox import to_corners
from wsp_mm.structures.h36m import (
    ACTIONS,
    check_actions,
    frame_key,
    select_step,
    select_subjects,
    sequence_key,
)
from wsp_mm.structures.keypoints import pose_metainfo


@DATASETS.register_module()
class H36MImageDataset(Pose3DDataset):
    """Human3.6M, one frame of one camera a sample (see :class:`Pose3DDataset` for its keys).

    Further keys: subject (int), action (one of the 15 names), subaction (1 or 2), camera_id (1 to
    4), frame (from 0), frame_key (a name for the frame that is the same in every layout).

    It reads the arrays that tools/dataset_converters/convert_h36m.py writes. All checks of the
    annotations are made there; the sequence that is broken in the release (S11 Directions,
    subaction 2, camera 1) is left out there.

    Args:
        ann_file: folder of the arrays, relative to ``data_root`` or absolute.
        protocol: the paper's Subject Protocol, with ``test_mode`` its test subjects, else its
            training subjects: 1 is S1, 5, 6, 7, 8 / S9, S11 (scored by MPJPE), 2 is S1, 5, 6, 7, 8,
            9 / S11 (scored by PA-MPJPE). PoseNet's code calls them 2 and 1. 1 where neither this
            nor ``subjects`` is given.
        subjects: instead of a protocol.
        actions: some of the 15 names; all where None.
        frame_step: frames whose number (at 50 a second) is a multiple of this; None: 5, with
            ``test_mode`` 64.
        bbox_root_file: RootNet's json with predicted boxes and root depths, for ``test_mode``. The
            boxes are square and padded already and are not extended again. It is looked for in the
            working folder, then below ``data_root``.
        joint_set: joints of the samples.
        data_prefix: ``dict(img=...)``, folder of the images; by default that of the layout which
            the arrays were converted from.
        skip_bad: leave out and report sequences whose folder of images is absent, instead of
            raising. A test with frames left out cannot be compared with another.
        check_images: at start-up, check that each sequence's folder of images is there.
        **kwargs: MMEngine's ``data_root``, ``pipeline``, ``test_mode``, ``indices``,
            ``lazy_init``, ``max_refetch``.

    Raises:
        ValueError: an unknown subject, action or protocol, or ``bbox_root_file`` where it does not
            apply.
        AnnotationError: no arrays (the message has the converter's command), nothing selected,
            absent images, or predictions that do not cover the images.

    Attributes:
        subjects: the subjects of the samples.
        arrays: all rows, :class:`~wsp_mm.datasets.h36m_arrays.H36MArrays`.
    """

    SOURCE_SET = 'h36m17'
    METAINFO: dict = dict(pose_metainfo('h36m18'), dataset_name='h36m')

    def __init__(
        self,
        ann_file: str = 'human36m/arrays',
        protocol: int | None = None,
        subjects: Sequence[int] | None = None,
        actions: str | Sequence[str] | None = None,
        frame_step: int | None = None,
        bbox_root_file: str | None = None,
        joint_set: str = 'h36m18',
        data_root: str = '',
        data_prefix: dict | None = None,
        skip_bad: bool = False,
        check_images: bool = True,
        test_mode: bool = False,
        **kwargs: Any,
    ) -> None:
        self.subjects = select_subjects(protocol, subjects, test_mode)
        self.actions = check_actions(actions)
        self.frame_step = select_step(frame_step, test_mode)
        if bbox_root_file and not test_mode:
            raise ValueError(
                'H36MImageDataset: bbox_root_file is for test_mode; training uses labelled boxes'
            )
        self.bbox_root_file = prediction_path(data_root, bbox_root_file) if bbox_root_file else None
        self.skip_bad, self.check_images = skip_bad, check_images
        super().__init__(
            joint_set,
            ann_file=ann_file,
            data_root=data_root,
            data_prefix=dict(data_prefix or {}),
            test_mode=test_mode,
            **kwargs,
        )

    def load_data_list(self) -> np.ndarray:
        """Return the indices of the rows that are selected, (N,)."""
        self.arrays = arrays = open_arrays(self.ann_file)
        rows = arrays.select(self.subjects, self.frame_step, self.actions)
        self.data_prefix.setdefault('img', osp.join(self.data_root, arrays.header['images']))
        notes = list(arrays.header['notes'])
        if self.check_images:
            rows = self._with_images(rows, notes)
        if self.bbox_root_file is not None:
            if arrays.header['layout'] == 'mmpose':
                raise ValueError(
                    "H36MImageDataset: bbox_root_file goes by 3DMPPE's image ids, which MMPose's "
                    f'layout lacks, and {self.ann_file} was converted from it'
                )
            boxes, depths = read_bbox_root(self.bbox_root_file, arrays.columns['image_id'][rows])
            self._predicted = dict(
                zip(rows.tolist(), zip(boxes, depths.tolist(), strict=True), strict=True)
            )
        log_notes(self, notes)
        return rows

    def _with_images(self, rows: np.ndarray, notes: list[str]) -> np.ndarray:
        """The rows whose folder of images is there."""
        names = ('subject', 'action', 'subaction', 'camera')
        keys = np.stack([self.arrays.columns[name][rows] for name in names], axis=1)
        sequences, first, of = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        folders = [osp.dirname(self._path(row)) for row in rows[first]]
        present = np.array([osp.isdir(folder) for folder in folders])
        if present.all():
            return rows
        gone = np.flatnonzero(~present).tolist()
        if not self.skip_bad or not present.any():
            raise AnnotationError(
                'missing images', folders[gone[0]], '',
                f'the folder is not there, nor those of {len(gone) - 1} other sequences of '
                f'{len(present)}',
                f'Set data_prefix=dict(img=...), or skip_bad=True to leave them out. {DATA_REMEDY}',
            )  # fmt: skip
        kept = present[of.reshape(-1)]
        shown = ', '.join(sequence_key(*sequences[i].tolist()) for i in gone[:3])
        notes.append(
            f'skipped {(~kept).sum():,} frames of {len(gone)} sequences without images: {shown}'
            + (', ...' if gone[3:] else '')
        )
        return rows[kept]

    def _path(self, row: int) -> str:
        return osp.join(self.data_prefix['img'], os.fsdecode(self.arrays.columns['file_name'][row]))

    def load_row(self, row: int) -> dict:
        columns = self.arrays.columns
        subject, action, subaction, camera, frame = key = tuple(
            int(columns[name][row])
            for name in ('subject', 'action', 'subaction', 'camera', 'frame')
        )
        box, depth = columns['bbox'][row], None
        if self.bbox_root_file is not None:
            box, depth = self._predicted[row]
        intrinsics = self.arrays.cameras[subject, camera]
        return dict(
            joints=np.array(columns['joints'][row]),
            f=intrinsics[:2],
            c=intrinsics[2:],
            box=to_corners(np.asarray(box, dtype=np.float64)),
            box_extended=depth is not None,
            root_depth=depth,
            img_path=self._path(row),
            img_id=int(columns['image_id'][row]),
            id=int(columns['id'][row]),
            image_size=tuple(columns['size'][row].tolist()),
            image_size_slack=self.arrays.header['size_slack'],
            subject=subject,
            action=ACTIONS[action],
            subaction=subaction,
            camera_id=camera,
            frame=frame,
            frame_key=frame_key(*key),
        )
