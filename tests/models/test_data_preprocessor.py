# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Batch by batch gives what MMPose gives one by one."""

import copy

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData, PixelData
from mmpose.models.data_preprocessors import PoseDataPreprocessor
from mmpose.structures import PoseDataSample

from wsp_mm.models.data_preprocessor import BatchDataPreprocessor

KWARGS = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True)


def make_data(sizes=((8, 6), (8, 6), (8, 6))):
    inputs = [torch.randint(256, (3, *size), dtype=torch.uint8) for size in sizes]
    samples = []
    for number, (height, width) in enumerate(sizes):
        sample = PoseDataSample(metainfo=dict(img_id=number, input_size=(width, height)))
        sample.gt_instances = InstanceData(bboxes=np.full((1, 4), number, np.float32))
        sample.gt_instance_labels = InstanceData(labels=torch.rand(1, 3))
        sample.gt_fields = PixelData(heatmaps=torch.rand(2, 4, 4))
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


@pytest.mark.parametrize(
    ('kwargs', 'sizes'),
    [
        (KWARGS, {}),
        (dict(KWARGS, bgr_to_rgb=False, rgb_to_bgr=True), {}),
        ({}, {}),
        (dict(KWARGS, pad_size_divisor=16), {}),
        (KWARGS, dict(sizes=((8, 6), (4, 6)))),  # padded
    ],
)
@pytest.mark.parametrize('stacked', [False, True])
def test_equals_mmposes(kwargs, sizes, stacked):
    data = make_data(**sizes)
    stock = PoseDataPreprocessor(**kwargs)(copy.deepcopy(data), training=True)
    if stacked and not sizes:
        data['inputs'] = torch.stack(data['inputs'])
    own = BatchDataPreprocessor(**kwargs)(data, training=True)
    assert own['inputs'].dtype == torch.float32 and torch.equal(own['inputs'], stock['inputs'])
    for a, b in zip(own['data_samples'], stock['data_samples'], strict=True):
        assert a.metainfo == b.metainfo
        assert torch.equal(a.gt_instance_labels.labels, b.gt_instance_labels.labels)
        assert torch.equal(a.gt_fields.heatmaps, b.gt_fields.heatmaps)
        assert np.array_equal(a.gt_instances.bboxes, b.gt_instances.bboxes)


def test_tensors_of_any_depth_are_moved_in_place_and_no_metainfo_is_copied(monkeypatch):
    data, marker, moved = make_data(), object(), []
    data['data_samples'][0].set_field(marker, 'marker', field_type='metainfo')
    to = torch.Tensor.to
    monkeypatch.setattr(torch.Tensor, 'to', lambda t, *a, **k: moved.append(t) or to(t, *a, **k))
    result = BatchDataPreprocessor(**KWARGS)(data, training=True)
    assert {tuple(tensor.shape) for tensor in moved} >= {(1, 3), (2, 4, 4)}
    assert result['data_samples'][0].marker is marker
    assert result['data_samples'][0].pad_shape == (8, 6)
