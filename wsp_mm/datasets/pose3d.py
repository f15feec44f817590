# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""What the image-based 3D data sets share: one person a sample, rows of arrays instead of dicts.

K joints of the sample's joint set. Pixels are px of the image, depths and positions mm in the
camera frame.
"""

import logging
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log
from mmpose.datasets.datasets.utils import parse_pose_metainfo

from wsp_mm.datasets.sampling import SampleMeta, SeededItemsMixin
from wsp_mm.structures.keypoints import convert_joints, get_joint_set, pose_metainfo

#: Largest median distance of projected and labelled joints under the right camera, px. Leaving out
#: lens distortion costs 1 to 3 px.
TOLERANCE_PX = 10.0


class Pose3DDataset(SeededItemsMixin, BaseDataset):
    """Base of the 3D data sets: ``data_list`` is an array of row indices, and :meth:`sample` makes
    the dict.

    A sample: img_path, img_id, id, bbox (1, 4) xyxy px, bbox_score (1,), bbox_extended (bool: the
    box is square and padded already), keypoints (1, K, 3): u px, v px, depth relative to the root
    mm; keypoints_visible (1, K), keypoints_cam (1, K, 3) mm, root_depth (1,) mm, has_depth (1,) =
    1, camera_f and camera_c (2,) px, image_size (w, h) px as annotated and image_size_slack px
    (``PersonCenterScale`` compares them with the image), and what MMPose's pipelines read of a data
    set's metainfo. A predicted box belongs to nobody: its sample has no keypoints,
    keypoints_visible, keypoints_cam and has_depth.

    ``keypoints_cam`` and ``root_depth`` are the ground truth of the image on disk; no transform
    flips them. They are for tests, where nothing is flipped, and training does not read them.

    A subclass sets ``SOURCE_SET``, the joint set of its rows, and ``METAINFO`` with its
    dataset_name.

    Args:
        joint_set: joint set of the samples; it must have a pelvis, the root.
        share: of the samples that are taken, spread evenly over the set: row i where i times the
            golden ratio has a fractional part below it, which is in step with neither cameras nor
            frames.
        **kwargs: MMEngine's, except ``serialize_data`` and ``metainfo``.
    """

    SOURCE_SET: str

    def __init__(self, joint_set: str, share: float = 1.0, **kwargs: Any) -> None:
        if not 0 < share <= 1:
            raise ValueError(f'{type(self).__name__}: share must lie in (0, 1], got {share}')
        for name in {'serialize_data', 'metainfo'} & set(kwargs):
            raise TypeError(f'{type(self).__name__} takes no {name}; joint_set selects the joints')
        self.joint_set, self.share = joint_set, share
        self.root = get_joint_set(joint_set).index('pelvis')
        metainfo = dict(pose_metainfo(joint_set), dataset_name=self.METAINFO['dataset_name'])
        super().__init__(serialize_data=False, metainfo=metainfo, **kwargs)
        self._sample_meta = SampleMeta(self._metainfo)

    @classmethod
    def _load_metainfo(cls, metainfo: dict | None = None) -> dict:
        return parse_pose_metainfo(metainfo or deepcopy(cls.METAINFO))

    def full_init(self) -> None:
        """Load the rows.

        Raises:
            ValueError: ``indices`` selects none.
        """
        if self._fully_initialized:
            return
        super().full_init()
        places = np.arange(len(self.data_list)) * (np.sqrt(5) - 1) / 2
        self.data_list = np.asarray(self.data_list)[places % 1 < self.share]
        if self._indices is not None and not len(self.data_list):
            raise ValueError(f'{type(self).__name__}: indices={self._indices} selects no sample')

    def _get_unserialized_subset(self, indices: int | Sequence[int]) -> np.ndarray:
        rows = np.asarray(self.data_list)
        if isinstance(indices, int):
            return rows[:indices] if indices >= 0 else rows[indices:]
        return rows[np.asarray(indices, dtype=np.int64)]

    def load_row(self, row: int) -> dict:
        """Return the arguments of :meth:`sample` for one row."""
        raise NotImplementedError

    def get_data_info(self, idx: int) -> dict:
        """Return one sample, see the class."""
        if not self._fully_initialized:
            self.full_init()
        info = self.sample(**self.load_row(int(self.data_list[idx])))
        info['sample_idx'] = idx if idx >= 0 else len(self) + idx
        info.update(self._sample_meta())
        return info

    def sample(
        self,
        *,
        f: np.ndarray,
        c: np.ndarray,
        box: np.ndarray,
        score: float = 1.0,
        box_extended: bool = False,
        root_depth: float | None = None,
        joints: np.ndarray | None = None,
        pixels: np.ndarray | None = None,
        visible: np.ndarray | None = None,
        **more: Any,
    ) -> dict:
        """Make a sample.

        Args:
            f, c: (2,) px.
            box: (4,) xyxy px. score: of the box.
            box_extended: the box is square and padded already.
            root_depth: predicted depth of the root, mm; None: the true one.
            joints: (K_source, 3) camera mm; None for a predicted box.
            pixels: (K_source, 2) px as labelled; None: projected.
            visible: (K_source,); None: all 1.
            **more: further keys.
        """
        f, c = np.asarray(f, dtype=np.float64), np.asarray(c, dtype=np.float64)
        info = dict(
            bbox=np.asarray(box, dtype=np.float32)[None],
            bbox_score=np.array([score], dtype=np.float32),
            bbox_extended=box_extended,
            camera_f=f,
            camera_c=c,
            **more,
        )
        if joints is not None:
            info |= self._keypoints(joints[None].astype(np.float64), pixels, visible, f, c)
            true_depth = info['keypoints_cam'][0, self.root, 2]
            root_depth = true_depth if root_depth is None else root_depth
        return info | dict(root_depth=np.array([root_depth], dtype=np.float32))

    def _keypoints(self, joints, pixels, visible, f, c) -> dict:
        """The keys of a person's joints (1, K_source, 3)."""
        if pixels is None:
            pixels = joints[0, :, :2] / joints[0, :, 2:] * f + c
        # The midpoint of two joints is the same point in every frame, so thorax (and pelvis) may be
        # made here, in the camera frame, though PoseNet makes it in the world's. It is not the
        # midpoint in the image, so its pixels are projected afterwards.
        source, target = get_joint_set(self.SOURCE_SET), get_joint_set(self.joint_set)
        both = np.concatenate([joints, pixels[None]], axis=-1)
        converted, present = convert_joints(
            both, np.ones(joints.shape[:2]), self.SOURCE_SET, self.joint_set
        )
        cam, uv = converted[..., :3], converted[..., 3:]
        made = [
            k
            for k, concept in enumerate(target.concepts)
            if concept not in source.concepts and present[0, k]
        ]
        uv[:, made] = cam[:, made, :2] / cam[:, made, 2:] * f + c
        depth = np.where(present > 0, cam[..., 2] - cam[:, self.root, None, 2], 0)
        # A hidden joint keeps its place: the root may be one, and every depth is relative to it.
        if visible is not None:
            present = convert_joints(both, visible[None], self.SOURCE_SET, self.joint_set)[1]
        return dict(
            keypoints=np.concatenate([uv, depth[..., None]], axis=-1).astype(np.float32),
            keypoints_visible=present.astype(np.float32),
            keypoints_cam=cam.astype(np.float32),
            has_depth=np.ones(1, dtype=np.float32),
        )


def log_notes(dataset: BaseDataset, notes: Sequence[str]) -> None:
    """Log what a user should know of a data set: what is missing or was left out, with counts."""
    for note in notes:
        text = f'{type(dataset).__name__}: {note}'
        print_log(text, logger='current', level=logging.WARNING)


def projection_error(
    joints: np.ndarray, f: np.ndarray, c: np.ndarray, labelled: np.ndarray
) -> float:
    """Return the median distance of projected and labelled joints, px, over at most 200 persons.

    Args:
        joints: (N, K, 3) camera mm. f, c: (N, 2) px. labelled: (N, K, 2) px.
    """
    some = np.linspace(0, len(joints) - 1, min(200, len(joints))).astype(int)
    joints = joints[some].astype(np.float64)
    with np.errstate(divide='ignore', invalid='ignore'):
        pixels = joints[..., :2] / joints[..., 2:] * f[some, None] + c[some, None]
    errors = np.linalg.norm(pixels - labelled[some], axis=-1)
    return float(np.median(np.where(np.isfinite(errors), errors, np.inf)))
