# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Estimators whose predictions also come in the camera's frame: x right, y down, z forward, mm.

They need the metainfo ``camera_f`` (2,) and ``camera_c`` (2,), px. Without these, and for a sample
that a transform mirrored, whose camera is another one, the camera-space field is absent: a camera
is never invented.
"""

import numpy as np
from mmpose.models.pose_estimators import TopdownPoseEstimator
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

from wsp_mm.structures.camera import PinholeCamera


@MODELS.register_module()
class TopdownPoseEstimator3D(TopdownPoseEstimator):
    """Top-down estimator whose predictions come in three frames.

    ``pred_instances`` of a sample (length 1, numpy float32):

        - keypoints_heatmap (1, K, 3): px of the 3D heatmap, x y z, see :class:`Integral3DHead`
        - keypoints (1, K, 2) px of the image and keypoints_depth (1, K) mm relative to the root
          joint, away from the camera
        - keypoints_cam (1, K, 3): mm in the camera's frame. Only where the sample's metainfo has
          ``root_depth`` (mm, measured or predicted: the root's distance along z) and a camera.

    Heatmap coordinates are mapped to the image as PoseNet does it: times box size / heatmap size
    from the box's upper left corner, which is what MMPose's half-pixel convention gives for a crop
    that was not rotated.
    """

    def add_pred_to_datasample(self, batch_pred_instances, batch_pred_fields, batch_data_samples):
        """Map the predictions to the image (MMPose) and, where possible, into the camera's frame.

        Raises:
            ValueError: a root depth that is not in front of the camera, or a wrong camera.
        """
        results = super().add_pred_to_datasample(
            batch_pred_instances, batch_pred_fields, batch_data_samples
        )
        for sample in results:
            root_depth = sample.metainfo.get('root_depth')
            root_depth = np.float64(np.nan if root_depth is None else root_depth).reshape(())
            camera = sample_camera(sample)
            if camera is None or np.isnan(root_depth):  # A data set's word for unknown is nan.
                continue
            if not 0 < root_depth < np.inf:
                raise ValueError(
                    f'{sample.metainfo.get("img_path")}: root_depth is {root_depth} mm; it must be '
                    'positive (in front of the camera)'
                )
            pred = sample.pred_instances
            depth = pred.keypoints_depth[..., None] + root_depth
            points = np.concatenate([pred.keypoints, depth], axis=-1)
            pred.keypoints_cam = camera.unproject(points).astype(np.float32)
        return results


@MODELS.register_module()
class TopdownRootEstimator(TopdownPoseEstimator):
    """Top-down estimator of the root joint in the camera's frame; its head is
    :class:`RootDepthHead`.

    ``pred_instances`` of a sample (length 1, numpy float32):

        - keypoints (1, 1, 2): the root, px of the image
        - root_gamma (1,), and where the sample has a camera root_depth (1,): mm along the camera's
          axis
        - root_cam (1, 3): mm in the camera's frame. Only where the sample has a camera.

    A gamma that is not positive puts the root behind the camera: the network's answer is reported
    as it is, and ``root_cam`` is its point there.
    """

    def add_pred_to_datasample(self, batch_pred_instances, batch_pred_fields, batch_data_samples):
        """Map the predictions to the image (MMPose) and, where possible, into the camera's frame.

        Raises:
            ValueError: a wrong camera.
        """
        results = super().add_pred_to_datasample(
            batch_pred_instances, batch_pred_fields, batch_data_samples
        )
        for sample in results:
            pred, camera = sample.pred_instances, sample_camera(sample)
            if camera is not None and 'root_depth' in pred:
                point = np.concatenate([pred.keypoints[:, 0], pred.root_depth[:, None]], axis=-1)
                pred.root_cam = camera.unproject(point).astype(np.float32)
        return results


def sample_camera(sample: PoseDataSample) -> PinholeCamera | None:
    """Return the camera of a sample, or None, see this module.

    Raises:
        ValueError: numbers that make no camera.
    """
    meta = sample.metainfo
    if meta.get('camera_f') is None or meta.get('camera_c') is None or meta.get('flip'):
        return None
    try:
        return PinholeCamera(f=np.reshape(meta['camera_f'], 2), c=np.reshape(meta['camera_c'], 2))
    except ValueError as error:
        raise ValueError(f'{meta.get("img_path")}: {error}') from None
