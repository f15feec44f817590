# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Pooling against Eq. 5 written out pixel by pixel; the fused function against the plain ones."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wsp_mm.models.ops.masked_pooling import POOLINGS, heatmaps_and_pooling, masked_pooling

B, P, J, D, H, W = 3, 2, 4, 5, 6, 8
LAYOUTS = [torch.contiguous_format, torch.channels_last]


def make_case(persons=1, dtype=torch.float64, layout=torch.contiguous_format):
    """Features, masks and boxes; the last person has no pixel."""
    torch.manual_seed(0)
    features = torch.randn(B, D, H, W, dtype=dtype).contiguous(memory_format=layout)
    masks = torch.randn(B, persons, J, H, W, dtype=dtype)
    inside = torch.zeros(B, P, H, W, dtype=torch.bool)
    inside[:, 0, 1:4, 2:7] = inside[:, 1, 2:, :3] = inside[1, 0, 5] = True
    inside[2, 1] = False
    return features.requires_grad_(), masks.requires_grad_(), inside


@pytest.mark.parametrize('persons', [1, P])
@pytest.mark.parametrize('mode', POOLINGS)
def test_equals_eq5_written_out(mode, persons):
    features, masks, inside = make_case(persons)
    pooled = masked_pooling(features, masks, inside, mode)
    for b, p, j, d in np.ndindex(pooled.shape):
        pixels = inside[b, p].nonzero().tolist()
        mask = masks[b, p % persons, j]
        values = [(features[b, d, y, x] * mask[y, x]).item() for y, x in pixels] or [0.0]
        mass = sum(abs(mask[y, x].item()) for y, x in pixels)
        expected = dict(
            mean=sum(values) / len(values),
            sum=sum(values),
            max=max(values),
            normalized=sum(values) / max(mass, 1e-3),
        )[mode]
        assert pooled[b, p, j, d].item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize('persons', [1, P])
@pytest.mark.parametrize('mode', POOLINGS)
def test_gradients_in_double(mode, persons):
    features, masks, inside = make_case(persons)
    assert torch.autograd.gradcheck(
        lambda f, m: masked_pooling(f, m, inside, mode), (features, masks), fast_mode=True
    )


@given(st.floats(1e-8, 10) | st.floats(-10, -1e-8) | st.just(0.0), st.integers(0, 10**6))
def test_normalized_is_bounded_for_any_mask(height, seed):
    """A tiny or negative mask never makes features larger than they were."""
    features = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(seed))
    masks = torch.zeros(1, 1, 2, 8, 8)
    masks[:, :, 0], masks[:, :, 1, 3, 3] = height, height
    inside = torch.ones(1, 1, 8, 8, dtype=torch.bool)
    pooled = masked_pooling(features, masks, inside, 'normalized')
    assert pooled.abs().max() <= features.abs().max() * (1 + 1e-5)


# ---------------------------------------------------------------------- the fused function


def plain(features, layer, inside, joints, mode, detach_mask):
    heatmaps = layer(features)
    masks = (heatmaps.detach() if detach_mask else heatmaps).unflatten(1, (-1, joints))
    return heatmaps, masked_pooling(features, masks, inside, mode)


def results(function, persons, mode='mean', detach_mask=False, autocast=False, **case):
    """Both outputs, and all gradients of one number that depends on every entry of both."""
    features, _, inside = make_case(**case)
    layer = torch.nn.Conv2d(D, persons * J, 1).double()
    if autocast:
        layer.float()
    with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
        heatmaps, pooled = function(features, layer, inside, J, mode, detach_mask)
    (heatmaps.double().sin().sum() + pooled.double().sin().sum()).backward()
    gradients = features.grad, layer.weight.grad, layer.bias.grad
    return [value.detach() for value in (heatmaps, pooled, *gradients)]


@pytest.mark.parametrize('mode', POOLINGS)
@pytest.mark.parametrize('persons', [1, P])
@pytest.mark.parametrize('detach_mask', [False, True])
@pytest.mark.parametrize('layout', LAYOUTS)
def test_fused_equals_plain(mode, persons, detach_mask, layout):
    options = dict(persons=persons, mode=mode, detach_mask=detach_mask, layout=layout)
    own = results(heatmaps_and_pooling, **options)
    assert own[2].is_contiguous(memory_format=layout)
    for one, other in zip(own, results(plain, **options), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_fused_equals_plain_under_autocast(dtype):
    """Also where the features come in float32, without deconvolutions."""
    options = dict(persons=1, autocast=True, dtype=dtype)
    own, other = (results(function, **options) for function in (heatmaps_and_pooling, plain))
    dtypes = [torch.bfloat16, torch.float32, dtype, torch.float32, torch.float32]
    assert [value.dtype for value in own] == dtypes
    for one, two in zip(own, other, strict=True):
        scale = float(two.abs().max())
        torch.testing.assert_close(one.float(), two.float(), rtol=2**-6, atol=2**-6 * scale)
