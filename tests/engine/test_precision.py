# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from types import SimpleNamespace

import pytest
import torch
from mmengine.model import BaseModel
from mmpose.registry import OPTIM_WRAPPERS
from torch import nn

from wsp_mm.engine.precision import BFloat16OptimWrapper, ChannelsLastHook


class Net(BaseModel):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, inputs):
        return self.conv(inputs)


def wrapper(net, **kwargs):
    config = dict(
        type='BFloat16OptimWrapper', optimizer=torch.optim.SGD(net.parameters(), lr=0.1), **kwargs
    )
    built = OPTIM_WRAPPERS.build(config)
    assert isinstance(built, BFloat16OptimWrapper)
    return built


@pytest.mark.parametrize(('enabled', 'dtype'), [(True, torch.bfloat16), (False, torch.float32)])
def test_forward_is_bfloat16_only_where_enabled_and_weights_stay_float32(enabled, dtype):
    net = Net()
    optim_wrapper = wrapper(net, enabled=enabled)
    before = net.conv.weight.detach().clone()
    with optim_wrapper.optim_context(net):
        out = net(torch.ones(1, 3, 5, 5))
    assert out.dtype == dtype
    optim_wrapper.update_params(out.float().sum())
    assert net.conv.weight.dtype == torch.float32 and not torch.equal(net.conv.weight, before)


def test_auto_asks_the_device(monkeypatch):
    for fast in (True, False):
        monkeypatch.setattr(
            'wsp_mm.engine.precision.bfloat16_is_fast', lambda device, fast=fast: fast
        )
        assert wrapper(Net(), enabled='auto').enabled is fast


def test_a_word_that_means_nothing_is_refused():
    with pytest.raises(ValueError, match="'auto'"):
        wrapper(Net(), enabled='yes')


def test_channels_last():
    net = Net()
    ChannelsLastHook().before_run(
        SimpleNamespace(model=net, optim_wrapper=dict(type='OptimWrapper'))
    )  # a test
    assert not net.conv.weight.is_contiguous(memory_format=torch.channels_last)
    ChannelsLastHook().before_run(SimpleNamespace(model=net, optim_wrapper=wrapper(net)))
    assert net.conv.weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize('before', [True, False])
def test_moments_of_the_other_layout_go_on(before):
    """A fused optimizer pairs weights and moments by their place in memory."""

    def training(channels_last):
        torch.manual_seed(0)
        net = Net()
        optimizer = torch.optim.Adam(net.parameters(), lr=0.1, fused=True)
        optim_wrapper = OPTIM_WRAPPERS.build(dict(type='OptimWrapper', optimizer=optimizer))
        runner = SimpleNamespace(model=net, optim_wrapper=optim_wrapper)
        if channels_last:
            ChannelsLastHook(True).before_run(runner)
        return runner

    def step(runner, seed):
        picture = torch.randn(1, 3, 5, 5, generator=torch.Generator().manual_seed(seed))
        runner.optim_wrapper.update_params(runner.model(picture).square().sum())

    whole, first, second = training(not before), training(before), training(not before)
    step(whole, 1), step(first, 1)
    second.model.load_state_dict(first.model.state_dict())
    second.optim_wrapper.load_state_dict(first.optim_wrapper.state_dict())
    ChannelsLastHook(not before).before_train(second)
    step(whole, 2), step(second, 2)
    torch.testing.assert_close(second.model.conv.weight, whole.model.conv.weight)
