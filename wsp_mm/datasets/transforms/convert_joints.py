# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""A 2D data set's joints to the joints that a 3D network learns."""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform
from mmpose.registry import TRANSFORMS

from wsp_mm.structures.keypoints import convert_joints, get_joint_set


@TRANSFORMS.register_module()
class ConvertJoints(BaseTransform):
    """Bring a 2D sample to a joint set of a 3D data set: order, middles, and a depth that is not
    supervised.

    Joints go by the alias table of ``structures/keypoints.py``; what the source lacks has
    visibility 0. It belongs into the pipeline of the 2D data set, before it is combined. 3D data
    sets convert on their own.

    Required Keys: keypoints (1, K_source, 2) px, keypoints_visible (1, K_source).

    Modified Keys: keypoints (1, K, 3): px, px and 0; keypoints_visible (1, K) 0 or 1; flip_indices,
    flip_pairs, dataset_keypoint_weights (those of the target).

    Added Keys: has_depth (1,) = 0, root_depth (1,) = nan, bbox_extended = False.

    Args:
        source: joint set of the data set.
        target: joint set of the network.

    Raises:
        KeyError: an unknown joint set.
        ValueError: the two share no joint; when it is used, keypoints that are not of the source
            set or have depth.
    """

    def __init__(self, source: str, target: str) -> None:
        joints = get_joint_set(target)
        size = len(get_joint_set(source))
        if not convert_joints(np.ones((size, 1)), np.ones(size), source, target)[1].any():
            raise ValueError(f'ConvertJoints: {source} and {target} share no joint')
        self.source, self.target = source, target
        self._flip = dict(
            flip_indices=list(joints.flip_indices),
            flip_pairs=[list(pair) for pair in joints.flip_pairs],
        )
        self._weights = np.ones(len(joints), dtype=np.float32)

    def transform(self, results: dict) -> dict:
        """Convert."""
        keypoints = results['keypoints']
        if keypoints.ndim != 3 or keypoints.shape[0] != 1 or keypoints.shape[2] != 2:
            raise ValueError(
                f'ConvertJoints: keypoints of one person in 2D, (1, K, 2), are needed, got {keypoints.shape} '
                f'({results.get("img_path")}); 3D data sets convert on their own (joint_set=...)'
            )
        visible = (np.asarray(results['keypoints_visible']) > 0).astype(np.float32)
        points, visible = convert_joints(
            keypoints.astype(np.float32), visible, self.source, self.target
        )
        results['keypoints'] = np.concatenate([points, np.zeros_like(points[..., :1])], axis=-1)
        results['keypoints_visible'] = visible
        results['has_depth'] = np.zeros(1, dtype=np.float32)
        results['root_depth'] = np.full(1, np.nan, dtype=np.float32)
        results['bbox_extended'] = False
        results.update(self._flip, dataset_keypoint_weights=self._weights.copy())
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(source={self.source!r}, target={self.target!r})'
