# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The head in training: targets made on the device, what backward keeps, mixed precision."""

import pytest
import torch
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample
from relative_depth_cases import MAP, SIDE, D, K, build, make_batch, make_feats

from wsp_mm.codecs.box_cells import box_membership
from wsp_mm.models.heads import masked_pooling as pooling
from wsp_mm.models.heads.masked_pooling import POOLINGS, masked_pooling


def without_maps(batch, cells, labelled):
    """The same samples, with what their heatmaps are made from instead."""
    out = []
    for sample, place, seen in zip(batch, cells, labelled, strict=True):
        bare = PoseDataSample(metainfo=dict(sample.metainfo))
        labels = dict(sample.gt_instance_labels.items())
        bare.gt_instance_labels = InstanceData(
            **labels, heatmap_cells=place[None], heatmap_labelled=seen[None]
        )
        out.append(bare)
    return out


@pytest.mark.parametrize('person_channels', [False, True])
@pytest.mark.parametrize('mask', ['predicted', 'target'])
def test_targets_made_from_cells_equal_those_of_the_samples(person_channels, mask):
    head = build(person_channels=person_channels, mask=mask)
    generator = torch.Generator().manual_seed(0)
    cells = torch.rand((3, 2, K, 2), generator=generator) * MAP
    labelled = (torch.rand((3, 2, K), generator=generator) > 0.2).float()
    batch = make_batch(person_channels=person_channels)
    for sample, maps in zip(batch, head.decoder.batch_heatmaps(cells, labelled), strict=True):
        sample.gt_fields.heatmaps = maps
    bare = without_maps(batch, cells, labelled)
    host, device = head.loss(make_feats(), batch), head.loss(make_feats(), bare)
    assert host.keys() == device.keys()
    for name in host:
        torch.testing.assert_close(device[name], host[name], rtol=0, atol=0)


def test_samples_without_any_target_are_refused():
    bare = [PoseDataSample(metainfo=dict(sample.metainfo)) for sample in make_batch()]
    for sample, full in zip(bare, make_batch(), strict=True):
        sample.gt_instance_labels = full.gt_instance_labels
    with pytest.raises(ValueError, match='GenerateTarget'):
        build().loss(make_feats(), bare)
    zeros = without_maps(bare, torch.zeros(3, 2, K, 2), torch.zeros(3, 2, K))
    with pytest.raises(ValueError, match='decoder'):
        build(decoder=None).loss(make_feats(), zeros)


def case(dtype=torch.float32, layout=torch.contiguous_format, size=5):
    torch.manual_seed(0)
    features = (
        torch.randn(size, D, MAP, MAP).to(dtype).contiguous(memory_format=layout).requires_grad_()
    )
    masks = torch.rand(size, K, MAP, MAP).to(dtype).requires_grad_()
    boxes = torch.rand(size, 2, 2) * SIDE / 2
    inside = box_membership(torch.cat((boxes, boxes + SIDE / 2), dim=-1), (SIDE, SIDE), (MAP, MAP))
    return features, masks, inside


def bytes_kept(function):
    kept = {}
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: (
            kept.setdefault(t.untyped_storage().data_ptr(), t.untyped_storage().nbytes()) and t
        ),
        lambda t: t,
    ):
        result = function()
    return kept, result


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('mode', ['mean', 'sum', 'normalized'])
def test_backward_keeps_its_inputs_and_little_else(mode, dtype):
    features, masks, inside = case(dtype)
    kept, _ = bytes_kept(lambda: masked_pooling(features, masks, inside, mode))
    own = {t.untyped_storage().data_ptr() for t in (features, masks, inside)}
    beyond = sum(size for address, size in kept.items() if address not in own)
    pooled = 4 * len(features) * 2 * K * D
    # normalized also keeps its mass and the masks' absolute values
    assert beyond <= 2 * pooled + (
        4 * 2 * masks.numel() + 4 * inside.numel() if mode == 'normalized' else 0
    )


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('mode', POOLINGS)
def test_bfloat16_inputs_are_pooled_in_float32(mode, layout):
    features, masks, inside = case(torch.bfloat16, layout)
    wide = [t.detach().float().requires_grad_() for t in (features, masks)]
    with torch.autocast('cpu', torch.bfloat16):
        result = masked_pooling(features, masks, inside, mode)
    expected = masked_pooling(*wide, inside, mode)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, expected)
    weights = torch.randn_like(result)
    (result * weights).sum().backward()
    (expected * weights).sum().backward()
    for own, full in zip((features, masks), wide, strict=True):
        assert own.grad.dtype == torch.bfloat16
        torch.testing.assert_close(
            own.grad.float(), full.grad, rtol=2**-7, atol=1e-4
        )  # rounded once


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('per_person', [False, True])
def test_neither_pieces_nor_layout_change_the_result(per_person, layout, monkeypatch):
    answers = []
    for budget, memory_format in ((1, layout), (1 << 20, torch.contiguous_format)):
        monkeypatch.setattr(pooling, '_PIECE_CPU', budget)
        features, masks, inside = case(layout=memory_format)
        used = torch.stack((masks, 2 * masks), dim=1) if per_person else masks
        result = masked_pooling(features, used, inside)
        result.square().sum().backward()
        answers.append((result.detach(), features.grad, masks.grad))
    for one, other in zip(*answers, strict=True):
        torch.testing.assert_close(one, other)


def test_an_empty_batch_gives_nothing():
    features, masks, inside = case(size=0)
    result = masked_pooling(features, masks, inside)
    assert result.shape == (0, 2, K, D)
    result.sum().backward()
    assert features.grad.shape == features.shape
