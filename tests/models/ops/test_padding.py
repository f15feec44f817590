# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Networks without a border: a constant image gives a constant map; inside, values stay."""

import copy

import pytest
import torch
from mmpose.registry import MODELS
from torch import nn

import wsp_mm.register  # noqa: F401
from wsp_mm.models.ops.padding import replicate_padding

LITE0 = dict(type='TimmBackbone', model_name='tf_efficientnet_lite0')
BACKBONES = [dict(type='ResNet', depth=18), LITE0]


def spread(maps):
    """Largest difference within a channel, relative to the largest value."""
    return ((maps.amax((2, 3)) - maps.amin((2, 3))).max() / maps.abs().max()).item()


@pytest.mark.parametrize('cfg', BACKBONES, ids=lambda cfg: cfg['type'])
@pytest.mark.parametrize('side', [64, 75])
def test_a_constant_image_gives_a_constant_map(cfg, side):
    if cfg is LITE0:
        pytest.importorskip('timm', reason="the extra 'timm' is not installed")
    torch.manual_seed(0)
    model, image = MODELS.build(cfg), torch.full((1, 3, side, side), 0.3)
    model.eval()  # MMPose's returns nothing
    before = model(image)[0]
    assert spread(before) > 0.1
    names = list(model.state_dict())
    replicate_padding(model)
    after = copy.deepcopy(model)(image)[0]  # also in a copy, as an averaged model is
    assert after.shape == before.shape and spread(after) < 1e-4
    assert list(model.state_dict()) == names


@pytest.mark.parametrize(('kernel', 'stride', 'padding'), [(3, 1, 1), (5, 2, 2), (3, 2, 0)])
def test_inside_of_the_border_nothing_changes(kernel, stride, padding):
    torch.manual_seed(0)
    conv, x = nn.Conv2d(2, 3, kernel, stride, padding), torch.randn(1, 2, 16, 16)
    own = copy.deepcopy(conv)
    replicate_padding(nn.Sequential(own))
    one, other = conv(x), own(x)
    torch.testing.assert_close(one[..., 2:-2, 2:-2], other[..., 2:-2, 2:-2])
    assert torch.equal(one, other) == (padding == 0)


# Kernel, padding and output padding of MMPose's deconvolutions.
@pytest.mark.parametrize(('kernel', 'padding', 'extra'), [(4, 1, 0), (3, 1, 1), (2, 0, 0)])
def test_a_deconvolution_is_itself_and_a_binomial_filter(kernel, padding, extra):
    torch.manual_seed(0)
    layer, x = nn.ConvTranspose2d(2, 2, kernel, 2, padding, extra), torch.randn(1, 2, 9, 7)
    own = copy.deepcopy(layer)
    replicate_padding(nn.Sequential(own))
    weights = torch.tensor([1.0, 2, 1]) / 4
    weights = torch.outer(weights, weights).expand(2, 1, 3, 3)
    expected = nn.functional.conv2d(layer(x), weights, padding=1, groups=2)
    found = own(x)
    assert found.shape == expected.shape
    torch.testing.assert_close(found[..., 3:-3, 3:-3], expected[..., 3:-3, 3:-3])
    constant = torch.full((1, 2, 5, 5), 0.7)
    assert spread(own(constant)) < 1e-6 < spread(layer(constant))


def test_a_deconvolution_of_stride_1_is_not_smoothed():
    layer = nn.ConvTranspose2d(2, 2, 3, 1, 1)
    own, x = copy.deepcopy(layer), torch.randn(1, 2, 8, 8)
    replicate_padding(nn.Sequential(own))
    torch.testing.assert_close(own(x)[..., 1:-1, 1:-1], layer(x)[..., 1:-1, 1:-1])
