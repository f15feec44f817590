# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""``--show-dir`` for pairs of persons."""

from __future__ import annotations

import numpy as np
from mmengine.dist import master_only
from mmengine.structures import InstanceData
from mmpose.registry import VISUALIZERS
from mmpose.structures import PoseDataSample
from mmpose.visualization import PoseLocalVisualizer

from wsp_mm.visualization.pair_sheet import mark_pair


@VISUALIZERS.register_module()
class PairLocalVisualizer(PoseLocalVisualizer):
    """MMPose's visualizer, which also draws samples where one instance is a pair of persons.

    A pair has ``pred_instances.keypoints`` (1, 2, K, 2) px and ``gt_instances.pair_bboxes`` (1, 2,
    4) xyxy px; MMPose takes its first axes for persons and joints and fails. Both persons are
    drawn, A blue and B orange, with the answer who is nearer, its probability, and whether it is
    right where that is known. Everything else goes to MMPose unchanged.
    """

    @master_only
    def add_datasample(
        self, name: str, image: np.ndarray, data_sample: PoseDataSample, *args, **kwargs
    ) -> np.ndarray:
        """As MMPose's; the picture (H, W, 3) is RGB."""
        if is_pair(data_sample):
            threshold = kwargs.get('kpt_thr', 0.3)
            image = draw_pair_sample(image, data_sample, threshold)
            data_sample = without_pair(data_sample)
        return super().add_datasample(name, image, data_sample, *args, **kwargs)


def is_pair(data_sample: PoseDataSample) -> bool:
    """Whether its predictions are of pairs of persons."""
    keypoints = getattr(data_sample.get('pred_instances'), 'keypoints', None)
    return keypoints is not None and np.ndim(keypoints) == 4


def without_pair(data_sample: PoseDataSample) -> PoseDataSample:
    """The sample with what is left for MMPose to draw: heatmaps, where the head gives any."""
    rest = PoseDataSample(metainfo=data_sample.metainfo, pred_instances=InstanceData())
    if 'pred_fields' in data_sample:
        rest.pred_fields = data_sample.pred_fields
    return rest


def draw_pair_sample(
    image: np.ndarray, data_sample: PoseDataSample, threshold: float
) -> np.ndarray:
    """A copy of the RGB picture with both persons and the answer.

    Args:
        threshold: score that a joint needs to be drawn.
    """
    pred, truth = data_sample.pred_instances, data_sample.gt_instances
    known = 'depth_label' in truth and float(np.ravel(truth.get('depth_weight', 1.0))[0]) > 0
    picture = np.ascontiguousarray(image[..., ::-1])
    mark_pair(
        picture,
        np.asarray(truth.pair_bboxes[0]),
        np.asarray(pred.keypoints[0]),
        np.asarray(pred.keypoint_scores[0]) >= threshold,
        float(pred.pair_probs[0]),
        int(truth.depth_label[0] > 0.5) if known else None,
    )
    return np.ascontiguousarray(picture[..., ::-1])
