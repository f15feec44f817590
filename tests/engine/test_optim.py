# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from types import SimpleNamespace

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import nn

from wsp_mm.engine import optim
from wsp_mm.engine.optim import BFloat16OptimWrapper, ChannelsLastHook, bfloat16_is_fast


class Net(BaseModel):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, inputs):
        return self.conv(inputs)


def wrapper(net, kind=BFloat16OptimWrapper, **kwargs):
    return kind(optimizer=torch.optim.SGD(net.parameters(), lr=0.1), **kwargs)


@pytest.mark.parametrize(('enabled', 'dtype'), [(True, torch.bfloat16), (False, torch.float32)])
def test_forward_is_bfloat16_only_where_enabled_and_weights_stay_float32(enabled, dtype):
    net = Net()
    optim_wrapper = wrapper(net, enabled=enabled, clip_grad=dict(max_norm=1.0))
    before = net.conv.weight.detach().clone()
    with optim_wrapper.optim_context(net):
        out = net(torch.ones(1, 3, 5, 5))
    assert out.dtype == dtype
    optim_wrapper.update_params(out.float().sum())
    assert net.conv.weight.dtype == torch.float32 and not torch.equal(net.conv.weight, before)


@pytest.mark.parametrize('fast', [True, False])
def test_auto_asks_the_device(monkeypatch, fast):
    monkeypatch.setattr(optim, 'bfloat16_is_fast', lambda device: fast)
    assert wrapper(Net(), enabled='auto').enabled is fast


def test_other_devices_are_not_judged_by_the_processor(monkeypatch):
    monkeypatch.setattr('pathlib.Path.read_text', lambda self: 'flags: avx512_bf16')
    assert bfloat16_is_fast('cpu') and not bfloat16_is_fast('mps')


def test_other_words_are_refused():
    for build in (lambda: wrapper(Net(), enabled='yes'), lambda: ChannelsLastHook('yes')):
        with pytest.raises(ValueError, match='enabled'):
            build()


@pytest.mark.parametrize(
    ('hook', 'kind', 'kwargs', 'expected'),
    [
        (True, OptimWrapper, {}, True),
        ('auto', BFloat16OptimWrapper, dict(enabled=True), True),
        ('auto', BFloat16OptimWrapper, dict(enabled=False), False),
        ('auto', OptimWrapper, {}, False),
        (False, BFloat16OptimWrapper, dict(enabled=True), False),
        (True, lambda **kwargs: dict(type='OptimWrapper'), {}, False),  # a test
    ],
)
def test_channels_last(hook, kind, kwargs, expected):
    net = Net()
    runner = SimpleNamespace(model=net, optim_wrapper=wrapper(net, kind, **kwargs))
    ChannelsLastHook(hook).before_run(runner)
    assert net.conv.weight.is_contiguous(memory_format=torch.channels_last) is expected


@pytest.mark.parametrize('before', [True, False])
def test_moments_of_the_other_layout_go_on(before):
    """A fused optimizer pairs weights and moments by their place in memory."""

    def training(channels_last):
        torch.manual_seed(0)
        net = Net()
        optimizer = torch.optim.Adam(net.parameters(), lr=0.1, fused=True)
        runner = SimpleNamespace(model=net, optim_wrapper=OptimWrapper(optimizer))
        ChannelsLastHook(channels_last).before_run(runner)
        return runner

    def step(runner, seed):
        image = torch.randn(1, 3, 5, 5, generator=torch.Generator().manual_seed(seed))
        runner.optim_wrapper.update_params(runner.model(image).square().sum())

    whole, first, second = training(not before), training(before), training(not before)
    step(whole, 1), step(first, 1)
    second.model.load_state_dict(first.model.state_dict())
    second.optim_wrapper.load_state_dict(first.optim_wrapper.state_dict())
    ChannelsLastHook(not before).before_train(second)
    step(whole, 2), step(second, 2)
    torch.testing.assert_close(second.model.conv.weight, whole.model.conv.weight)
