# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Estimators that check that backbone and head fit; those of 3D, and of a root, also predict in the
camera's frame: x right, y down, z forward, mm.

These need the metainfo ``camera_f`` (2,) and ``camera_c`` (2,), px. Without these, and for a sample
that a transform mirrored, whose camera is another one, the camera-space field is absent: a camera
is never invented.
"""

import numpy as np
from mmpose.models.pose_estimators import TopdownPoseEstimator
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample
from torch import nn

from wsp_mm.models.ops.padding import replicate_padding
from wsp_mm.structures.camera import PinholeCamera


@MODELS.register_module()
class TopdownEstimator(TopdownPoseEstimator):
    """MMPose's top-down estimator, where a head that does not fit the backbone is an error.

    Args:
        padding_mode: ``zeros``, or ``replicate``: all convolutions repeat the border of their
            input, so that nothing tells a network where in the crop a place is, see
            :func:`replicate_padding`. Weights trained with one can start the other.
        **kwargs: of MMPose's ``TopdownPoseEstimator``.

    Raises:
        ValueError: another ``padding_mode``, or the backbone's last feature map has other than the
            head's ``in_channels``.
    """

    def __init__(self, *args, padding_mode: str = 'zeros', **kwargs) -> None:
        if padding_mode not in ('zeros', 'replicate'):
            raise ValueError(f"padding_mode must be 'zeros' or 'replicate', got {padding_mode!r}")
        super().__init__(*args, **kwargs)
        if padding_mode == 'replicate':
            replicate_padding(self)
        found = None if self.with_neck else last_channels(self.backbone)
        if self.with_head and found not in (None, self.head.in_channels):
            name = type(self.backbone).__name__
            name += f' {self.backbone.model_name}' if hasattr(self.backbone, 'model_name') else ''
            raise ValueError(
                f'model.head.in_channels is {self.head.in_channels}, but the last feature map of '
                f'model.backbone, {name}, has {found} channels: set model.head.in_channels={found}'
            )


def last_channels(backbone: nn.Module) -> int | None:
    """Return the channels of a backbone's last feature map, or None where it does not tell."""
    channels = getattr(backbone, 'out_channels', None)
    if isinstance(channels, tuple):  # TimmBackbone
        return channels[-1]
    # MMPose's name for those of the last stage, as of a ResNet, which need not be the one returned.
    last, returned = getattr(backbone, 'num_stages', 0) - 1, getattr(backbone, 'out_indices', ())
    return getattr(backbone, 'feat_dim', None) if tuple(returned)[-1:] == (last,) else None


@MODELS.register_module()
class TopdownPoseEstimator3D(TopdownEstimator):
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
class TopdownRootEstimator(TopdownEstimator):
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
