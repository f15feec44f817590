# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The log is MMEngine's, number by number; nothing is fetched before somebody reads."""

import copy
import json
import pickle
import uuid
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset

import wsp_mm.engine.deferred_log as deferred_log
import wsp_mm.engine.precision  # noqa: F401  (registers the optimizer wrapper)
from wsp_mm.engine.deferred_log import DeferredBuffer, DeferredQueue, defer_scalar


class Numbers(Dataset):
    def __len__(self):
        return 14

    def __getitem__(self, index):
        return torch.tensor([float(index)])


class Net(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)
        nn.init.ones_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)

    def forward(self, inputs, data_samples=None, mode='loss'):
        inputs = torch.stack(list(inputs))
        error = self.layer(inputs) - 0.1 * inputs.square() - 1
        return dict(
            loss_a=error.square().mean(),
            loss_b=0.3 * error.abs().mean(),
            acc=(error.detach().bfloat16() > 0).float().mean(),
            seen=(error > 0).sum().detach().float(),
        )


def train(work_dir, hook, epochs=2, resume=False, clip=True):
    clip_grad = dict(clip_grad=dict(max_norm=5.0)) if clip else {}
    wrapper = 'BFloat16OptimWrapper' if hook == 'DeferredRuntimeInfoHook' else 'OptimWrapper'
    extra = dict(enabled=False) if wrapper == 'BFloat16OptimWrapper' else {}
    runner = Runner(
        model=Net(),
        work_dir=str(work_dir),
        experiment_name=uuid.uuid4().hex,
        train_dataloader=dict(
            batch_size=2,
            num_workers=0,
            dataset=Numbers(),
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=lambda batch: dict(inputs=batch),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(type=wrapper, optimizer=dict(type='SGD', lr=1e-3), **clip_grad, **extra),
        default_hooks=dict(
            runtime_info=dict(type=hook),
            logger=dict(type='LoggerHook', interval=3),
            checkpoint=dict(type='CheckpointHook', interval=1),
        ),
        log_processor=dict(window_size=4, by_epoch=True, custom_cfg=[
            dict(data_src='loss_b', log_name='loss_b_most', method_name='max', window_size='global'),
        ]),
        default_scope='mmpose',
        randomness=dict(seed=0),
        resume=resume,
    )  # fmt: skip
    runner.train()
    return runner


def records(runner):
    lines = (
        (Path(runner.log_dir) / 'vis_data' / f'{runner.timestamp}.json').read_text().splitlines()
    )
    timed = ('time', 'data_time', 'memory')
    return [
        {key: value for key, value in json.loads(line).items() if key not in timed}
        for line in lines
    ]


def histories(source):
    return {
        key: (buffer.data[0].tolist(), buffer.data[1].tolist(), buffer.data[0].dtype)
        for key, buffer in source.items()
        if 'time' not in key
    }


def test_log_lines_histories_and_checkpoints_are_mmengines(tmp_path):
    own = train(tmp_path / 'own', 'DeferredRuntimeInfoHook')
    stock = train(tmp_path / 'stock', 'RuntimeInfoHook')
    assert records(own) == records(stock) and len(records(own)) == 4
    assert {
        'loss',
        'loss_a',
        'loss_b',
        'loss_b_most',
        'acc',
        'seen',
        'lr',
        'grad_norm',
        'iter',
    } <= set(records(own)[0])
    assert histories(own.message_hub.log_scalars) == histories(stock.message_hub.log_scalars)
    saved = [
        torch.load(tmp_path / name / 'epoch_2.pth', weights_only=False)['message_hub'][
            'log_scalars'
        ]
        for name in ('own', 'stock')
    ]
    assert histories(saved[0]) == histories(saved[1]) and list(saved[0]) == list(saved[1])
    assert {type(buffer) for buffer in saved[0].values()} == {HistoryBuffer}


def test_a_resumed_run_goes_on_with_the_histories(tmp_path):
    train(tmp_path / 'own', 'DeferredRuntimeInfoHook', epochs=1)
    resumed = train(tmp_path / 'own', 'DeferredRuntimeInfoHook', epochs=2, resume=True)
    stock = train(tmp_path / 'stock', 'RuntimeInfoHook', epochs=2)
    assert histories(resumed.message_hub.log_scalars) == histories(stock.message_hub.log_scalars)


@pytest.fixture
def hub():
    return MessageHub(f'deferred{np.random.randint(1 << 30)}')


def test_nothing_is_fetched_before_somebody_reads_and_then_all_at_once(hub, monkeypatch):
    fetched = []
    stack = torch.stack
    monkeypatch.setattr(
        torch, 'stack', lambda tensors: fetched.append(len(tensors)) or stack(tensors)
    )
    queue = DeferredQueue()
    for value in range(5):
        defer_scalar(hub, queue, 'train/a', torch.tensor(float(value)))
        defer_scalar(hub, queue, 'train/b', torch.tensor(10.0 + value))
    assert fetched == []
    assert hub.get_scalar('train/a').mean(2) == 3.5
    assert fetched == [10]
    assert hub.get_scalar('train/b').current() == 14 and fetched == [10]


def test_order_and_types_are_kept(hub):
    queue = DeferredQueue()
    hub.update_scalar('train/n', 1)
    defer_scalar(hub, queue, 'train/n', torch.tensor(2))
    hub.update_scalar('train/n', 3)
    defer_scalar(hub, queue, 'train/n', torch.tensor([4]))
    values, counts = hub.get_scalar('train/n').data
    assert (
        values.tolist() == [1, 2, 3, 4] and values.dtype.kind == 'i' and counts.tolist() == [1] * 4
    )
    defer_scalar(hub, queue, 'train/whole', torch.tensor(7))
    assert hub.get_scalar('train/whole').data[0].dtype.kind == 'i'
    defer_scalar(hub, queue, 'train/half', torch.tensor(0.1, dtype=torch.bfloat16))
    assert hub.get_scalar('train/half').current() == torch.tensor(0.1, dtype=torch.bfloat16).item()


def test_copies_are_mmengines_own_class(hub):
    queue = DeferredQueue()
    defer_scalar(hub, queue, 'train/a', torch.tensor(1.5))
    buffer = hub.get_scalar('train/a')
    assert isinstance(buffer, DeferredBuffer)
    for copied in (copy.deepcopy(buffer), pickle.loads(pickle.dumps(buffer))):
        assert type(copied) is HistoryBuffer and copied.current() == 1.5


def test_a_log_that_nobody_reads_does_not_pile_up(hub, monkeypatch):
    monkeypatch.setattr(deferred_log, 'MOST_WAITING', 3)
    queue = DeferredQueue()
    for value in range(7):
        defer_scalar(hub, queue, 'train/a', torch.tensor(float(value)))
        assert len(queue._waiting) < 3
    assert hub.get_scalar('train/a').data[0].tolist() == list(range(7))
