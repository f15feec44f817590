# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from __future__ import annotations

import numpy as np
from mmpose.models.pose_estimators import TopdownPoseEstimator
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

from wsp_mm.structures.camera import PinholeCamera


@MODELS.register_module()
class TopdownPoseEstimator3D(TopdownPoseEstimator):
    """Top-down estimator whose predictions come in three frames.

    ``pred_instances`` of a sample (length 1, numpy float32):

        - keypoints_cells (1, K, 3): cells of the 3D heatmap, x y z, see :class:`Integral3DHead`
        - keypoints (1, K, 2) px of the picture and keypoints_depth (1, K) mm relative to the root
          joint, away from the camera
        - keypoints_cam (1, K, 3): mm in the camera's frame (x right, y down, z forward). Only where
          the sample's metainfo has ``root_depth`` (mm, measured or predicted: the root's distance
          along z), ``camera_f`` (2,) and ``camera_c`` (2,) px. Without them it is absent: a camera
          is never invented. It is absent, too, for a sample that a transform mirrored, whose camera
          is another one.

    The cells are mapped to the picture as PoseNet does it: cell times box size / heatmap size from
    the box's upper left corner, which is what MMPose's half-pixel convention gives for a crop that
    was not rotated.
    """

    def add_pred_to_datasample(self, batch_pred_instances, batch_pred_fields, batch_data_samples):
        """Map the predictions to the picture (MMPose) and, where possible, into the camera's frame.

        Raises:
            ValueError: a root depth that is not in front of the camera, or a camera that is none.
        """
        results = super().add_pred_to_datasample(
            batch_pred_instances, batch_pred_fields, batch_data_samples
        )
        for sample in results:
            camera_frame = camera_keypoints(sample)
            if camera_frame is not None:
                sample.pred_instances.keypoints_cam = camera_frame
        return results


def camera_keypoints(sample: PoseDataSample) -> np.ndarray | None:
    """A sample's predicted joints in the camera's frame, (1, K, 3) mm, or None, see the
    estimator.
    """
    meta = sample.metainfo
    root_depth = meta.get('root_depth')
    if (
        root_depth is None
        or meta.get('camera_f') is None
        or meta.get('camera_c') is None
        or meta.get('flip')
    ):
        return None
    root_depth = float(np.asarray(root_depth, dtype=np.float64).reshape(()))
    if np.isnan(root_depth):  # what a data set says that does not know it
        return None
    name = meta.get('img_path', 'a sample without img_path')
    if not (np.isfinite(root_depth) and root_depth > 0):
        raise ValueError(
            f'{name}: root_depth is {root_depth} mm; it must be positive (in front of the camera)'
        )
    try:
        camera = PinholeCamera(f=np.reshape(meta['camera_f'], 2), c=np.reshape(meta['camera_c'], 2))
    except ValueError as error:
        raise ValueError(f'{name}: {error}') from None
    pred = sample.pred_instances
    depth = pred.keypoints_depth[..., None] + root_depth
    return camera.unproject(np.concatenate([pred.keypoints[..., :2], depth], axis=-1)).astype(
        np.float32
    )
