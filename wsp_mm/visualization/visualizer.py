# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""``--show-dir`` for pairs of persons."""

import numpy as np
from mmengine.dist import master_only
from mmengine.structures import InstanceData
from mmpose.registry import VISUALIZERS
from mmpose.structures import PoseDataSample
from mmpose.visualization import PoseLocalVisualizer

from wsp_mm.visualization.draw import mark_pair


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
        """As MMPose's; the image (H, W, 3) is RGB."""
        keypoints = getattr(data_sample.get('pred_instances'), 'keypoints', None)
        if keypoints is not None and np.ndim(keypoints) == 4:
            image = draw_pair_sample(image, data_sample, kwargs.get('kpt_thr', 0.3))
            # What is left for MMPose to draw: heatmaps, where the head gives any.
            rest = PoseDataSample(metainfo=data_sample.metainfo, pred_instances=InstanceData())
            if 'pred_fields' in data_sample:
                rest.pred_fields = data_sample.pred_fields
            data_sample = rest
        return super().add_datasample(name, image, data_sample, *args, **kwargs)


def draw_pair_sample(
    image: np.ndarray, data_sample: PoseDataSample, threshold: float
) -> np.ndarray:
    """Return a copy of the RGB image with both persons and the answer.

    Args:
        threshold: score that a joint needs to be drawn.
    """
    pred, gt = data_sample.pred_instances, data_sample.gt_instances
    known = 'depth_label' in gt and float(np.ravel(gt.get('depth_weight', 1.0))[0]) > 0
    drawn = np.ascontiguousarray(image[..., ::-1])
    mark_pair(
        drawn,
        np.asarray(gt.pair_bboxes[0]),
        np.asarray(pred.keypoints[0]),
        np.asarray(pred.keypoint_scores[0]) >= threshold,
        float(pred.pair_probs[0]),
        int(gt.depth_label[0] > 0.5) if known else None,
    )
    return np.ascontiguousarray(drawn[..., ::-1])
