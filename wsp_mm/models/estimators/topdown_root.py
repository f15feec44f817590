# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from __future__ import annotations

import numpy as np
from mmpose.models.pose_estimators import TopdownPoseEstimator
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

from wsp_mm.structures.camera import PinholeCamera


@MODELS.register_module()
class TopdownRootEstimator(TopdownPoseEstimator):
    """Top-down estimator of the root joint in the camera's frame; its head is
    :class:`RootDepthHead`.

    ``pred_instances`` of a sample (length 1, numpy float32):

        - keypoints (1, 1, 2): the root, px of the picture
        - root_gamma (1,), and where the sample has a camera root_depth (1,): mm along the camera's
          axis
        - root_cam (1, 3): mm in the camera's frame (x right, y down, z forward). Only where the
          metainfo has ``camera_f`` and ``camera_c`` (2,) px, and for a picture that was not
          mirrored. A camera is never invented.

    A gamma that is not positive puts the root behind the camera: the network's answer is reported
    as it is, and ``root_cam`` is its point there.
    """

    def add_pred_to_datasample(self, batch_pred_instances, batch_pred_fields, batch_data_samples):
        """Map the predictions to the picture (MMPose) and, where possible, into the camera's frame.

        Raises:
            ValueError: a camera that is none.
        """
        results = super().add_pred_to_datasample(
            batch_pred_instances, batch_pred_fields, batch_data_samples
        )
        for sample in results:
            point = camera_root(sample)
            if point is not None:
                sample.pred_instances.root_cam = point
        return results


def camera_root(sample: PoseDataSample) -> np.ndarray | None:
    """A sample's predicted root in the camera's frame, (1, 3) mm, or None, see the estimator."""
    meta, pred = sample.metainfo, sample.pred_instances
    if (
        'root_depth' not in pred
        or meta.get('camera_f') is None
        or meta.get('camera_c') is None
        or meta.get('flip')
    ):
        return None
    try:
        camera = PinholeCamera(f=np.reshape(meta['camera_f'], 2), c=np.reshape(meta['camera_c'], 2))
    except ValueError as error:
        raise ValueError(f'{meta.get("img_path", "a sample without img_path")}: {error}') from None
    place = np.concatenate([pred.keypoints[:, 0, :2], pred.root_depth[:, None]], axis=-1)
    return camera.unproject(place).astype(np.float32)
