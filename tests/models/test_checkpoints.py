# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Checkpoints of version 0.1.0 load, and give the predictions that 0.1.0 gave."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

DATA = Path(__file__).parents[1] / 'data/checkpoints_0.1.0'
INPUT, SIZE = (64, 48), (32, 24)
COMMON = dict(in_channels=4, deconv_out_channels=(6, 5), deconv_kernel_sizes=(4, 4))
HEADS = dict(
    RelativeDepthHead=dict(
        out_channels=3,
        depth_hidden=7,
        num_sampled_joints=None,
        symmetric=True,
        decoder=dict(type='PairHeatmapLabel', input_size=INPUT, heatmap_size=SIZE),
    ),
    Integral3DHead=dict(
        out_channels=3,
        decoder=dict(type='Integral3DLabel', input_size=INPUT, heatmap_size=(*SIZE, 5)),
    ),
    RootDepthHead=dict(decoder=dict(type='RootDepthLabel', input_size=INPUT, heatmap_size=SIZE)),
)
RENAMED = dict(keypoints_cells='keypoints_heatmap')


def make_sample(number):
    sample = PoseDataSample(metainfo=dict(root_k=np.float32([4000 + number])))
    boxes = torch.tensor([[[2.0, 3, 30, 40 + number], [25, 5, 60, 47]]])
    sample.gt_instance_labels = InstanceData(pair_bboxes_input=boxes)
    return sample


@pytest.mark.parametrize('with_metadata', [True, False])
@pytest.mark.parametrize('name', HEADS)
def test_predictions_are_those_of_0_1_0(name, with_metadata):
    """Also from a raw state dict, without the versions by which MMPose converts old checkpoints."""
    saved = torch.load(DATA / f'{name}.pth', weights_only=True)
    model = torch.nn.ModuleDict(dict(head=MODELS.build(dict(type=name, **COMMON, **HEADS[name]))))
    state = saved['state_dict']
    if with_metadata:
        state = type(model.state_dict())(state)
        state._metadata = model.state_dict()._metadata
    model.load_state_dict(state, strict=True)
    with torch.no_grad():
        samples = [make_sample(0), make_sample(1)]
        preds = model['head'].eval().predict((saved['features'],), samples)
    for old, expected in saved['predictions'].items():
        found = np.stack([pred[RENAMED.get(old, old)] for pred in preds])
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4, err_msg=old)
