# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""What the image-based 3D data sets share: one person a sample, rows instead of dicts.

K joints of the set that is asked for. Pixels are px of the picture, depths and positions mm in the
camera's frame.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log
from mmpose.datasets.datasets.utils import parse_pose_metainfo

from wsp_mm.datasets.converters.mcpc.records import Findings
from wsp_mm.datasets.crop_check import check_crop_caches
from wsp_mm.datasets.meta_keys import SampleMeta
from wsp_mm.datasets.seeding import SeededItemsMixin
from wsp_mm.structures.keypoints import convert_joints, get_joint_set, pose_metainfo


class Pose3DDataset(SeededItemsMixin, BaseDataset):
    """Base of the 3D data sets: ``data_list`` is an array of row numbers, and :meth:`sample` makes
    the dict.

    A sample: img_path, img_id, id, bbox (1, 4) xyxy px, bbox_score (1,), bbox_extended (bool: the
    box is square and padded already), keypoints (1, K, 3): u px, v px, depth relative to the root
    mm; keypoints_visible (1, K), keypoints_cam (1, K, 3) mm, root_depth (1,) mm, has_depth (1,) =
    1, camera_f and camera_c (2,) px, picture_size (w, h) px as annotated and picture_size_slack px
    (``PersonCenterScale`` compares them with the picture), and what MMPose's pipelines read of a
    data set's metainfo.

    ``keypoints_cam`` and ``root_depth`` are the ground truth of the picture on disk; no transform
    mirrors them along. They are for tests, where nothing is mirrored, and training does not read
    them.

    Args:
        source_set: joint set of the rows.
        joint_set: joint set of the samples; it must have a pelvis, the root.
        dataset_name: for metrics and logs.
        **kwargs: MMEngine's, save ``serialize_data`` and ``metainfo``.
    """

    def __init__(self, source_set: str, joint_set: str, dataset_name: str, **kwargs: Any) -> None:
        for name in ('serialize_data', 'metainfo'):
            if name in kwargs:
                raise TypeError(
                    f'{type(self).__name__} takes no {name}: joint_set says which joints there are'
                )
        self.source_set, self.joint_set = source_set, joint_set
        self.root = get_joint_set(joint_set).index('pelvis')
        metainfo = dict(pose_metainfo(joint_set), dataset_name=dataset_name)
        super().__init__(serialize_data=False, metainfo=metainfo, **kwargs)
        self._sample_meta = SampleMeta(self._metainfo)
        if self._fully_initialized:
            check_crop_caches(self)

    @classmethod
    def _load_metainfo(cls, metainfo: dict | None = None) -> dict:
        return parse_pose_metainfo(metainfo or deepcopy(cls.METAINFO))

    def full_init(self) -> None:
        """Load the rows.

        Raises:
            ValueError: there are none.
        """
        super().full_init()
        if self._indices is not None and not len(self.data_list):
            raise ValueError(f'{type(self).__name__}: indices={self._indices} selects no sample')

    def _get_unserialized_subset(self, indices: int | Sequence[int]) -> np.ndarray:
        rows = np.asarray(self.data_list)
        if isinstance(indices, int):
            return rows[:indices] if indices >= 0 else rows[indices:]
        return rows[np.asarray(indices, dtype=np.int64)]

    def load_row(self, row: int) -> dict:
        """The arguments of :meth:`sample` for one row."""
        raise NotImplementedError

    def get_data_info(self, idx: int) -> dict:
        """One sample, see the class."""
        if not self._fully_initialized:
            self.full_init()
        info = self.sample(**self.load_row(int(self.data_list[idx])))
        info['sample_idx'] = idx if idx >= 0 else len(self) + idx
        info.update(self._sample_meta())
        return info

    def sample(
        self,
        *,
        joints: np.ndarray,
        f: np.ndarray,
        c: np.ndarray,
        box: np.ndarray,
        pixels: np.ndarray | None = None,
        visible: np.ndarray | None = None,
        root_depth: float | None = None,
        box_extended: bool = False,
        **more: Any,
    ) -> dict:
        """Make a sample.

        Args:
            joints: (K_source, 3) camera mm.
            f, c: (2,) px.
            box: (4,) xyxy px.
            pixels: (K_source, 2) px as labelled; projected where None.
            visible: (K_source,); all 1 where None.
            root_depth: predicted depth of the root, mm; the true one where None.
            box_extended: the box is square and padded already.
            **more: further keys.
        """
        joints = joints[None].astype(np.float64)
        f, c = np.asarray(f, dtype=np.float64), np.asarray(c, dtype=np.float64)
        if pixels is None:
            pixels = joints[0, :, :2] / joints[0, :, 2:] * f + c
        # The middle of two joints is the same point in every frame, so thorax (and pelvis) may be
        # made here, in the camera's, though PoseNet makes it in the world's; but not in the
        # picture, so pixels are made after.
        everywhere = np.ones(joints.shape[:2])
        both = np.concatenate([joints, pixels[None]], axis=-1)
        converted, there = convert_joints(both, everywhere, self.source_set, self.joint_set)
        cam, uv = converted[..., :3], converted[..., 3:]
        made = [k for k in _made(self.source_set, self.joint_set) if there[0, k]]
        uv[:, made] = cam[:, made, :2] / cam[:, made, 2:] * f + c
        # A hidden joint keeps its place: the root may be one, and every depth is measured from it.
        shown = there
        if visible is not None:
            shown = convert_joints(both, visible[None], self.source_set, self.joint_set)[1]
        depth = cam[..., 2] - cam[:, self.root, None, 2]
        keypoints = np.concatenate([uv, np.where(there > 0, depth, 0)[..., None]], axis=-1)
        return dict(
            bbox=np.asarray(box, dtype=np.float32)[None],
            bbox_score=np.ones(1, dtype=np.float32),
            bbox_extended=box_extended,
            keypoints=keypoints.astype(np.float32),
            keypoints_visible=shown.astype(np.float32),
            keypoints_cam=cam.astype(np.float32),
            root_depth=np.array(
                [cam[0, self.root, 2] if root_depth is None else root_depth], dtype=np.float32
            ),
            has_depth=np.ones(1, dtype=np.float32),
            camera_f=f,
            camera_c=c,
            **more,
        )

    def report(
        self,
        findings: Findings,
        notes: Sequence[str] = (),
        skipped: dict[str, int] | None = None,
        what_of: str = 'frames',
    ) -> None:
        """Say in the log what is missing and what was left out, with counts."""
        name = type(self).__name__
        for note in [*notes, *findings.notes]:
            print_log(f'{name}: {note}', logger='current', level=logging.WARNING)
        for what, count in (skipped or {}).items():
            print_log(f'{name}: left out {count:,} {what_of} {what}', logger='current')
        for kind, count in findings.counts().items():
            first = next(error for error in findings.bad if error.kind == kind)
            print_log(
                f'{name}: skipped {count:,} x {kind}, the first: {first}',
                logger='current',
                level=logging.WARNING,
            )


def _made(source: str, target: str) -> list[int]:
    """Joints of the target that the source lacks, so that they are middles of two others."""
    have = get_joint_set(source).concepts
    return [k for k, concept in enumerate(get_joint_set(target).concepts) if concept not in have]
