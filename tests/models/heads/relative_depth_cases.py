# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Small heads and pairs for the tests of RelativeDepthHead.

32 x 32 px input, 8 x 8 features, 16 x 16 cells, 4 joints.
"""

import math

import numpy as np
import torch
from mmengine.structures import InstanceData, PixelData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

import wsp_mm.models.heads.relative_depth_head  # noqa: F401  (registers the head)
from wsp_mm.codecs.pair_heatmap import PairHeatmapLabel

K, D, SIDE, MAP = 4, 6, 32, 16
FLIP_INDICES = [1, 0, 2, 3]


def codec(person_channels=False):
    return dict(
        type='PairHeatmapLabel',
        input_size=(SIDE, SIDE),
        heatmap_size=(MAP, MAP),
        sigma=1.0,
        person_channels=person_channels,
    )


def build(**kwargs):
    cfg = dict(
        type='RelativeDepthHead',
        in_channels=5,
        out_channels=K,
        deconv_out_channels=(D,),
        deconv_kernel_sizes=(4,),
        depth_hidden=8,
        num_sampled_joints=None,
        alpha=2.0,
        decoder=codec(kwargs.get('person_channels', False)),
    )
    torch.manual_seed(0)
    return MODELS.build({**cfg, **kwargs})


def make_sample(seed, visible=None, label=None, weight=1.0, person_channels=False, boxes=None):
    """A pair with joints inside its boxes and everything that the codec makes of it."""
    rng = np.random.default_rng(seed)
    boxes = (
        np.array([[2, 2, 16, 28], [14, 6, 30, 30]], np.float32)
        if boxes is None
        else np.float32(boxes)
    )
    low, high = np.clip(boxes[:, None, :2], 0, SIDE - 1), np.clip(boxes[:, None, 2:], 0, SIDE - 1)
    keypoints = low + rng.random((2, K, 2)) * (high - low)
    visible = np.ones((2, K)) if visible is None else np.asarray(visible)
    encoded = PairHeatmapLabel((SIDE, SIDE), (MAP, MAP), 1.0, person_channels).encode(
        keypoints.astype(np.float32),
        visible,
        depth_label=np.array([seed % 2 if label is None else label]),
        depth_weight=np.array([weight]),
    )
    sample = PoseDataSample(metainfo=dict(input_size=(SIDE, SIDE), flip_indices=FLIP_INDICES))
    labels = {
        key: torch.from_numpy(encoded[key])
        for key in ('heatmap_weights', 'depth_labels', 'depth_weights')
    }
    sample.gt_instance_labels = InstanceData(
        pair_bboxes_input=torch.from_numpy(boxes)[None], **labels
    )
    sample.gt_fields = PixelData(heatmaps=torch.from_numpy(encoded['heatmaps']))
    return sample


def make_batch(size=3, **kwargs):
    return [make_sample(seed, **kwargs) for seed in range(size)]


def make_feats(size=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(size, 5, MAP // 2, MAP // 2, generator=generator, requires_grad=True),)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def sharpen(head):
    """Weights that make the probabilities of joints and pairs differ visibly."""
    torch.nn.init.normal_(head.depth_hidden_layer.weight, std=5.0)
    torch.nn.init.normal_(head.depth_output_layer.weight, std=5.0)


def swap_persons(sample):
    boxes = sample.gt_instance_labels.pair_bboxes_input.flip(1)
    swapped = PoseDataSample(metainfo=dict(sample.metainfo))
    swapped.gt_instance_labels = InstanceData(pair_bboxes_input=boxes)
    return swapped
