# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The configs' switch: what it turns on, that it learns as float32 does, that checkpoints do not
tell.
"""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmpose.registry import MODELS
from torch import nn

import wsp_mm.register  # noqa: F401
from wsp_mm.engine.precision import (
    BFloat16OptimWrapper,
    ChannelsLastHook,
    CompileHook,
    bfloat16_is_fast,
)

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'tools/benchmarks'))
from train_steps import config, fresh, losses, make_batches, make_step  # noqa: E402


class Backbone(nn.Sequential):
    def forward(self, inputs):  # PyTorch compiles no forward of its own containers
        return self[1](self[0](inputs))


class Net(BaseModel):
    def __init__(self):
        super().__init__()
        self.backbone = Backbone(nn.Conv2d(3, 4, 3), nn.ReLU())

    def forward(self, inputs):
        return self.backbone(inputs)


def wrapper(net, kind=BFloat16OptimWrapper, **kwargs):
    return kind(optimizer=torch.optim.SGD(net.parameters(), lr=0.1), **kwargs)


@pytest.mark.parametrize(
    'kind, kwargs, expected',
    [
        (BFloat16OptimWrapper, dict(enabled=True), True),
        (BFloat16OptimWrapper, dict(enabled=False), False),
        (OptimWrapper, {}, False),
    ],
)
def test_channels_last_auto_goes_with_16_bit(kind, kwargs, expected):
    net = Net()
    ChannelsLastHook('auto').before_run(
        SimpleNamespace(model=net, optim_wrapper=wrapper(net, kind, **kwargs))
    )
    assert net.backbone[0].weight.is_contiguous(memory_format=torch.channels_last) is expected


def test_channels_last_refuses_other_words():
    with pytest.raises(ValueError, match="'auto'"):
        ChannelsLastHook('yes')


def test_other_devices_are_not_judged_by_the_processor(monkeypatch):
    monkeypatch.setattr('pathlib.Path.read_text', lambda self: 'flags: avx512_bf16')
    assert bfloat16_is_fast('cpu') and not bfloat16_is_fast('mps')


def test_compiled_in_place_with_the_same_names_and_values():
    net = Net()
    names, inputs = list(net.state_dict()), torch.rand(2, 3, 8, 8)
    expected = net(inputs)
    compiled = []

    def backend(graph, example_inputs):
        compiled.append(graph)
        return graph.forward

    CompileHook(enabled=False, backend=backend).before_train(SimpleNamespace(model=net))
    net(inputs)
    assert not compiled
    CompileHook(enabled=True, backend=backend).before_train(SimpleNamespace(model=net))
    torch.testing.assert_close(net(inputs), expected)
    assert len(compiled) == 1 and list(net.state_dict()) == names
    Net().load_state_dict(net.state_dict())


SMALL = dict(depth=18, side=32, deconv=32)


@pytest.mark.slow
@pytest.mark.parametrize('task', ['pairs', 'h36m'])
def test_losses_of_bfloat16_are_within_the_noise_of_float32(task):
    """Two float32 runs whose weights at the start differ show what 20 iterations leave to chance;
    bfloat16 from the same weights must stay nearer to its float32 run, on average, than such runs
    do to each other."""
    batches = make_batches(task, 4, 4, SMALL['side'], pinned=False)
    curves = {}
    for name, way, seed in (
        ('float32', 'float32', 0),
        ('bfloat16', 'bfloat16 + channels_last', 0),
        *((seed, 'float32', seed) for seed in (1, 2)),
    ):
        curves[name] = torch.tensor(
            losses(make_step(config(task, way, **SMALL), 'cpu', seed), batches, 20)
        )
    own = (curves['bfloat16'] - curves['float32']).abs().mean()
    spread = torch.stack(
        [(curves[a] - curves[b]).abs().mean() for a, b in (('float32', 1), ('float32', 2), (1, 2))]
    )
    assert all(curve.isfinite().all() for curve in curves.values())
    assert 0 < own < spread.max()


def test_gradients_are_finite_and_checkpoints_interchangeable(monkeypatch):
    """One step each way; float32's weights load into the other network and give the same first
    loss.
    """
    built, build = {}, MODELS.build

    def keep(cfg, *args, **kwargs):
        module = build(cfg, *args, **kwargs)
        if isinstance(module, BaseModel):
            built['model'] = module
        return module

    monkeypatch.setattr(MODELS, 'build', keep)
    models, first = {}, {}
    batch = make_batches('pairs', 1, 2, 32, pinned=False)[0]
    for way in ('float32', 'bfloat16 + channels_last'):
        step = make_step(config('pairs', way, 18, 32, 16), 'cpu')
        models[way], gradients = built['model'], []
        for parameter in models[way].parameters():
            parameter.register_hook(
                lambda gradient, kept=gradients: kept.append(bool(gradient.isfinite().all()))
            )
        first[way] = float(step(fresh(batch))['loss'])
        assert len(gradients) == len(list(models[way].parameters())) and all(gradients)
    plain, other = models['float32'], models['bfloat16 + channels_last']
    assert first['float32'] == pytest.approx(first['bfloat16 + channels_last'], rel=0.02)
    assert {key: value.dtype for key, value in plain.state_dict().items()} == {
        key: value.dtype for key, value in other.state_dict().items()
    }
    other.load_state_dict(plain.state_dict())
    assert other.backbone.layer1[0].conv1.weight.is_contiguous(memory_format=torch.channels_last)
    for model in models.values():
        model.eval()
    inputs = torch.rand(1, 3, 32, 32)
    found, expected = (model(inputs, None, mode='tensor')[0] for model in (other, plain))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
