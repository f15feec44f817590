# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Batch by batch gives what MMPose gives one by one."""

import copy

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData, PixelData
from mmpose.models.data_preprocessors import PoseDataPreprocessor
from mmpose.structures import PoseDataSample

from wsp_mm.models.data_preprocessor import BatchDataPreprocessor, move_together

KWARGS = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True)


def make_data(sizes=((8, 6), (8, 6), (8, 6))):
    generator = torch.Generator().manual_seed(0)
    inputs, samples = [], []
    for number, (height, width) in enumerate(sizes):
        sample = PoseDataSample(metainfo=dict(img_id=number, input_size=(width, height)))
        sample.gt_instances = InstanceData(bboxes=np.full((1, 4), number, np.float32))
        sample.gt_instance_labels = InstanceData(labels=torch.rand(1, 3, generator=generator))
        if number:  # the first has one label less
            sample.gt_instance_labels.more = torch.full((1,), number)
        sample.gt_fields = PixelData(heatmaps=torch.rand(2, 4, 4, generator=generator))
        inputs.append(
            torch.randint(256, (3, height, width), generator=generator, dtype=torch.uint8)
        )
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


def assert_same(own, stock):
    assert own['inputs'].dtype == torch.float32 and torch.equal(own['inputs'], stock['inputs'])
    for a, b in zip(own['data_samples'], stock['data_samples'], strict=True):
        assert a.metainfo == b.metainfo
        assert torch.equal(a.gt_instance_labels.labels, b.gt_instance_labels.labels)
        assert ('more' in a.gt_instance_labels) == ('more' in b.gt_instance_labels)
        assert torch.equal(a.gt_fields.heatmaps, b.gt_fields.heatmaps)
        assert np.array_equal(a.gt_instances.bboxes, b.gt_instances.bboxes)


@pytest.mark.parametrize(
    'kwargs',
    [
        KWARGS,
        dict(KWARGS, bgr_to_rgb=False, rgb_to_bgr=True),
        {},
        dict(KWARGS, pad_size_divisor=16),
    ],
)
def test_equals_mmposes(kwargs):
    data = make_data()
    stock = PoseDataPreprocessor(**kwargs)(copy.deepcopy(data), training=True)
    assert_same(BatchDataPreprocessor(**kwargs)(data, training=True), stock)


def test_pictures_of_different_sizes_are_padded_as_mmpose_does():
    data = make_data(sizes=((8, 6), (4, 6)))
    stock = PoseDataPreprocessor(**KWARGS)(copy.deepcopy(data), training=True)
    assert_same(BatchDataPreprocessor(**KWARGS)(data, training=True), stock)


def test_takes_a_batch_that_is_one_tensor():
    data = make_data()
    data['inputs'] = torch.stack(data['inputs'])
    stock = PoseDataPreprocessor(**KWARGS)(copy.deepcopy(data))
    own = BatchDataPreprocessor(**KWARGS)(dict(inputs=data['inputs'], data_samples=[]))
    assert torch.equal(own['inputs'], stock['inputs']) and own['data_samples'] == []


def test_a_fields_tensors_go_in_one_copy(monkeypatch):
    data = make_data()
    moved, to = [], torch.Tensor.to

    def noted(tensor, *args, **kwargs):
        moved.append(tuple(tensor.shape))
        return to(tensor, *args, **kwargs)

    monkeypatch.setattr(torch.Tensor, 'to', noted)
    move_together(data['data_samples'], torch.device('meta'))
    assert sorted(moved) == [(2, 1), (3, 1, 3), (3, 2, 4, 4)]  # more, labels, heatmaps
    for sample in data['data_samples']:
        assert (
            sample.gt_instance_labels.labels.device.type
            == 'meta'
            == sample.gt_fields.heatmaps.device.type
        )
        assert sample.gt_instance_labels.labels.shape == (1, 3)


def test_no_metainfo_is_copied():
    data = make_data()
    marker = object()
    data['data_samples'][0].set_field(marker, 'marker', field_type='metainfo')
    result = BatchDataPreprocessor(**KWARGS)(data, training=True)
    assert result['data_samples'][0].marker is marker
    assert result['data_samples'][0].pad_shape == (8, 6)
