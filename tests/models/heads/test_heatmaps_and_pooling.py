# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Heatmaps and pooling with one gradient of the features, against PyTorch's convolution followed by
pooling.
"""

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from wsp_mm.codecs.box_cells import box_membership
from wsp_mm.models.heads import masked_pooling as module
from wsp_mm.models.heads.masked_pooling import POOLINGS, heatmaps_and_pooling, masked_pooling

B, P, J, D, SIDE = 3, 2, 4, 5, 8


def case(per_person=False, dtype=torch.float64, layout=torch.contiguous_format, size=B):
    torch.manual_seed(0)
    channels = P * J if per_person else J
    features = torch.randn(size, D, SIDE, SIDE, dtype=dtype).contiguous(memory_format=layout)
    weight, bias = torch.randn(channels, D, 1, 1, dtype=dtype), torch.randn(channels, dtype=dtype)
    corners = torch.rand(size, P, 2) * 16
    inside = box_membership(torch.cat((corners, corners + 16), dim=-1), (32, 32), (SIDE, SIDE))
    return [tensor.requires_grad_() for tensor in (features, weight, bias)], inside


def apart(features, weight, bias, inside, joints, mode='mean', detach_mask=False):
    heatmaps = F.conv2d(features, weight, bias)
    masks = heatmaps.detach() if detach_mask else heatmaps
    masks = masks if len(weight) == joints else masks.unflatten(1, (P, joints))
    return heatmaps, masked_pooling(features, masks, inside, mode)


def results(function, inputs, inside, **options):
    """Both outputs and all gradients of one number that depends on every entry of both."""
    for tensor in inputs:
        tensor.grad = None
    heatmaps, pooled = function(*inputs, inside, J, **options)
    numbers = torch.Generator().manual_seed(1)
    total = sum(
        (out * torch.randn(out.shape, generator=numbers, dtype=torch.float64)).sum()
        for out in (heatmaps, pooled)
    )
    total.backward()
    return heatmaps.detach(), pooled.detach(), *(tensor.grad for tensor in inputs)


@pytest.mark.parametrize('mode', POOLINGS)
@pytest.mark.parametrize('per_person', [False, True])
@pytest.mark.parametrize('detach_mask', [False, True])
def test_equals_a_convolution_and_then_pooling(mode, per_person, detach_mask):
    options = dict(mode=mode, detach_mask=detach_mask)
    for layout in (torch.contiguous_format, torch.channels_last):
        inputs, inside = case(per_person, layout=layout)
        own = results(heatmaps_and_pooling, inputs, inside, **options)
        for one, other in zip(own, results(apart, inputs, inside, **options), strict=True):
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize('per_person', [False, True])
def test_gradients_are_right(per_person):
    inputs, inside = case(per_person)
    assert torch.autograd.gradcheck(
        lambda f, w, b: heatmaps_and_pooling(f, w, b, inside, J, 'normalized'), inputs
    )


def test_pieces_do_not_change_the_result(monkeypatch):
    inputs, inside = case()
    whole = results(heatmaps_and_pooling, inputs, inside)
    monkeypatch.setattr(module, '_PIECE_CPU', 1)
    for one, other in zip(results(heatmaps_and_pooling, inputs, inside), whole, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize('frozen', [0, 1, 2])
def test_what_needs_no_gradient_gets_none(frozen):
    inputs, inside = case()
    full = results(heatmaps_and_pooling, inputs, inside)[2:]
    inputs[frozen].requires_grad_(False)
    found = results(heatmaps_and_pooling, inputs, inside)[2:]
    assert found[frozen] is None
    for i in {0, 1, 2} - {frozen}:
        torch.testing.assert_close(found[i], full[i])


def test_without_a_bias():
    (features, weight, _), inside = case()
    heatmaps, pooled = heatmaps_and_pooling(features, weight, None, inside, J)
    expected = F.conv2d(features, weight)
    torch.testing.assert_close(heatmaps, expected)
    torch.testing.assert_close(pooled, masked_pooling(features, expected, inside))
    pooled.sum().backward()
    assert weight.grad.abs().sum() > 0


def test_under_autocast_the_pooling_is_float32_and_the_gradients_are_the_weights_own():
    inputs, inside = case(dtype=torch.float32)
    with torch.autocast('cpu', torch.bfloat16):
        heatmaps, pooled = heatmaps_and_pooling(inputs[0].bfloat16(), *inputs[1:], inside, J)
    assert (heatmaps.dtype, pooled.dtype) == (torch.bfloat16, torch.float32)
    (heatmaps.float().sum() + pooled.sum()).backward()
    own = [tensor.grad for tensor in inputs]
    assert all(grad.dtype == torch.float32 for grad in own)
    for tensor in inputs:
        tensor.grad = None
    with torch.autocast('cpu', torch.bfloat16):
        heatmaps, pooled = apart(inputs[0].bfloat16(), *inputs[1:], inside, J)
    (heatmaps.float().sum() + pooled.sum()).backward()
    for grad, tensor in zip(own, inputs, strict=True):
        torch.testing.assert_close(
            grad, tensor.grad, rtol=2**-5, atol=2**-5 * float(grad.abs().max())
        )


def test_an_empty_batch():
    inputs, inside = case(size=0)
    found = results(heatmaps_and_pooling, inputs, inside)
    assert found[1].shape == (0, P, J, D)
    assert all((grad == 0).all() for grad in found[2:])


def test_misfitting_weights_and_unknown_modes():
    (features, weight, bias), inside = case()
    with pytest.raises(ValueError, match='3 joints of 2 persons'):
        heatmaps_and_pooling(features, weight, bias, inside, 3)
    with pytest.raises(ValueError, match='from features'):
        heatmaps_and_pooling(features[:, 1:], weight, bias, inside, J)
    with pytest.raises(ValueError, match='pooling must be one of'):
        heatmaps_and_pooling(features, weight, bias, inside, J, 'median')


class FeatureMaps(TorchDispatchMode):
    """Counts tensors of a size or more that operations make anew."""

    def __init__(self, nbytes):
        super().__init__()
        self.nbytes, self.seen = nbytes, set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(out):
            if (
                isinstance(tensor, torch.Tensor)
                and tensor.untyped_storage().nbytes() >= self.nbytes
            ):
                self.seen.add(tensor.untyped_storage()._cdata)
        return out


@pytest.mark.parametrize('mode', ['mean', 'sum', 'normalized'])
def test_backward_makes_one_map_of_the_features_size(mode, monkeypatch):
    monkeypatch.setattr(module, '_PIECE_CPU', 1)  # a sample at a time
    torch.manual_seed(0)
    features = torch.randn(8, 64, SIDE, SIDE, requires_grad=True)
    weight = torch.randn(J, 64, 1, 1, requires_grad=True)
    inside = torch.ones(8, P, SIDE, SIDE, dtype=torch.bool)
    made = {}
    for function in (heatmaps_and_pooling, apart):
        heatmaps, pooled = function(features, weight, None, inside, J, mode)
        with FeatureMaps(features.untyped_storage().nbytes()) as counted:
            torch.autograd.backward(
                (heatmaps, pooled), (torch.ones_like(heatmaps), torch.ones_like(pooled))
            )
        made[function] = len(counted.seen - {features.untyped_storage()._cdata})
        features.grad = None
    assert made[heatmaps_and_pooling] == 1 < made[apart]
