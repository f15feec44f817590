# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Packing one person with 3D joints."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmpose.datasets.transforms import PackPoseInputs
from mmpose.registry import TRANSFORMS

from wsp_mm.datasets.transforms.formatting import merged_tables

POSE3D_META_KEYS = (
    'id', 'img_id', 'img_path', 'ori_shape', 'img_shape', 'input_size', 'input_center', 'input_scale', 'flip',
    'flip_direction', 'flip_indices', 'dataset_name', 'sample_idx', 'camera_f', 'camera_c', 'subject', 'action',
    'subaction', 'camera_id', 'sequence', 'frame', 'frame_key', 'det_idx', 'root_k',
)  # fmt: skip


@TRANSFORMS.register_module()
class PackPose3DInputs(PackPoseInputs):
    """Pack one person; every field has length 1, as MMEngine's containers demand. K joints.

    - gt_instances (numpy): bboxes (1, 4) xyxy px, bbox_scores (1,), bbox_scales (1, 2) px,
      keypoints (1, K, 3): px, px, mm relative to the root; keypoints_visible (1, K), has_depth
      (1,), and of 3D samples keypoints_cam (1, K, 3) mm and root_depth (1,) mm. Boxes and keypoints
      are in the picture as it is cropped, so mirrored where ``flip``. keypoints_cam is always the
      ground truth of the picture on disk, never mirrored: it is for tests, where nothing is. Of a
      detected person there are boxes and no keypoints.
    - gt_instance_labels (tensors): what the codec made.
    - metainfo: what ``meta_keys`` names and is there, and root_depth as a float (mm) where it is
      known.

    MMPose's own packing takes a codec's tables instead of its own; here they are merged.

    Args:
        meta_keys: what goes to the sample's metainfo, where it is there.
    """

    instance_mapping_table = dict(
        bbox='bboxes',
        bbox_score='bbox_scores',
        bbox_scale='bbox_scales',
        keypoints='keypoints',
        keypoints_visible='keypoints_visible',
        keypoints_cam='keypoints_cam',
        root_depth='root_depth',
        has_depth='has_depth',
    )
    label_mapping_table = dict()
    field_mapping_table = dict()

    def __init__(self, meta_keys: Sequence[str] = POSE3D_META_KEYS) -> None:
        super().__init__(meta_keys=tuple(meta_keys))

    def transform(self, results: dict) -> dict:
        """inputs (3, H, W) uint8 BGR and data_samples.

        Raises:
            ValueError: keypoints that are not one person's in 3D, or not of the joint set that the
                data set is of; a field that is packed is not one instance long.
        """
        packed = {**results, **merged_tables(self, results)}
        if (
            'keypoints' not in packed
        ):  # a detected person; TopdownAffine invents a joint that is visible
            packed.pop('keypoints_visible', None)
        self._check(packed)
        depth = float(np.asarray(results.get('root_depth', np.nan)).reshape(-1)[0])
        out = super().transform(packed)
        if np.isfinite(depth):
            out['data_samples'].set_metainfo(dict(root_depth=depth))
        else:
            out['data_samples'].gt_instances.pop('root_depth', None)
        return out

    @staticmethod
    def _check(packed: dict) -> None:
        where = f'({packed.get("dataset_name")}, {packed.get("img_path")})'
        shape, joints = np.shape(packed.get('keypoints')), len(packed.get('flip_indices', ()))
        if shape and (len(shape) != 3 or shape[2] != 3 or (joints and shape[1] != joints)):
            raise ValueError(
                f'PackPose3DInputs: keypoints must be (1, {joints or "K"}, 3), are {shape} {where}; a 2D data '
                'set needs ConvertJoints in its own pipeline, a 3D one the joint_set that the others have'
            )
        for table in ('instance_mapping_table', 'label_mapping_table'):
            for key in packed[table]:
                if key in packed and len(packed[key]) != 1:
                    raise ValueError(
                        f'PackPose3DInputs: {key} is {len(packed[key])} long, not 1 {where}'
                    )
