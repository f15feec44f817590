# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Checkpoints of version 0.1.0 load, and give the predictions and losses that 0.1.0 gave."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from mmpose.registry import KEYPOINT_CODECS, MODELS
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
RENAMED = dict(
    keypoints_cells='keypoints_heatmap',
    depth_probs='depth_probs_averaged',
    pair_probs='pair_probs_averaged',
)
#: Losses (relative depth at alpha 1) of the checkpoints on the labels of :func:`make_sample`.
LOSSES = dict(
    RelativeDepthHead=dict(loss_heatmap=11.4962, loss_depth=35.0819, acc_depth=0.5, joints_drawn=2),
    Integral3DHead=dict(loss_kpt=4.18554, err_xy=9.21384, err_z=0.814466),
    RootDepthHead=dict(loss_root=412.342, err_xy=4.89204, err_z=1227.24, err_z_prior=199.5),
)


def make_sample(number, name=None):
    """Two boxes, and with the name of a head its labels of fixed joints, one of them unlabelled."""
    sample = PoseDataSample(metainfo=dict(root_k=np.float32([4000 + number])))
    boxes = torch.tensor([[[2.0, 3, 30, 40 + number], [25, 5, 60, 47]]])
    labels, grid = dict(pair_bboxes_input=boxes), np.arange(21.0) * (3 + number) % 47
    if name:
        codec = KEYPOINT_CODECS.build(HEADS[name]['decoder'])
        points = np.stack([grid, grid[::-1], 30 * grid - 700], axis=-1)
        seen = np.arange(21.0) != 1
        given = dict(
            RelativeDepthHead=dict(
                keypoints=points[:6, :2].reshape(2, 3, 2), keypoints_visible=seen[:6].reshape(2, 3),
                depth_label=np.float32([number]), depth_weight=np.float32([1]),
            ),
            Integral3DHead=dict(
                keypoints=points[None, :3], keypoints_visible=seen[None, :3],
                has_depth=np.float32([1 - number]),
            ),
            RootDepthHead=dict(
                keypoints=points[None], keypoints_visible=seen[None], has_depth=np.float32([1]),
                root_depth=np.float32([4200]), root_k=np.float32([4000 + number]),
            ),
        )[name]  # fmt: skip
        encoded = codec.encode(**given)
        labels |= {key: torch.from_numpy(np.asarray(value)) for key, value in encoded.items()}
    sample.gt_instance_labels = InstanceData(**labels)
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


@pytest.mark.parametrize('name', HEADS)
def test_losses_of_fixed_weights_and_labels(name):
    saved = torch.load(DATA / f'{name}.pth', weights_only=True)
    head = MODELS.build(dict(type=name, **COMMON, **HEADS[name]))
    head.load_state_dict({key[5:]: value for key, value in saved['state_dict'].items()})
    losses = head.eval().loss((saved['features'],), [make_sample(0, name), make_sample(1, name)])
    assert {key: value.item() for key, value in losses.items()} == pytest.approx(LOSSES[name], 1e-4)
