# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import logging
from types import SimpleNamespace

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmpose.registry import HOOKS
from torch.utils.data import ConcatDataset, Dataset, Subset

from wsp_mm.engine.train_subjects import SubjectOverlapError, TrainSubjectsHook, subjects_of
from wsp_mm.utils.checkpoint import CheckpointError, load_file


class People(Dataset):
    def __init__(self, *subjects):
        self.subjects = subjects

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return dict(inputs=torch.ones(3))


class Pictures(Dataset):
    """A data set without subjects."""

    __len__, __getitem__ = People.__len__, People.__getitem__


class Net(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)

    def forward(self, inputs, mode='tensor'):
        out = self.layer(torch.stack(inputs))
        return dict(loss=out.mean()) if mode == 'loss' else list(out)


class Count(BaseMetric):
    default_prefix = 'count'

    def process(self, data_batch, data_samples):
        self.results += [1] * len(data_samples)

    def compute_metrics(self, results):
        return dict(n=len(results))


def loader(dataset):
    return dict(
        dataset=dataset,
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
    )


def make_runner(folder, train=None, test=None, val=None, model_cfg=None, name='run', **kwargs):
    if train is not None:
        kwargs.update(
            train_dataloader=loader(train),
            train_cfg=dict(by_epoch=True, max_epochs=1),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        )
    if test is not None:
        kwargs.update(test_dataloader=loader(test), test_cfg=dict(), test_evaluator=[Count()])
    if val is not None:
        kwargs.update(val_dataloader=loader(val), val_cfg=dict(), val_evaluator=[Count()])
    hook = kwargs.pop('hook', TrainSubjectsHook())
    runner = Runner(
        Net(),
        str(folder),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1)),
        custom_hooks=[hook],
        experiment_name=f'{folder.name}_{name}',
        default_scope='mmengine',
        log_level='WARNING',
        **kwargs,
    )
    if model_cfg is not None:
        runner.cfg.model = model_cfg
    return runner


@pytest.fixture
def warnings(monkeypatch):
    lines = []

    def keep(text, logger, level):
        assert level == logging.WARNING
        lines.append(text)

    monkeypatch.setattr('wsp_mm.engine.train_subjects.print_log', keep)
    return lines


def test_subjects_are_found_at_any_depth():
    wrapped = SimpleNamespace(
        dataset=ConcatDataset([Pictures(), Subset(People(7, 1), [0]), People(1, 5)])
    )
    assert subjects_of(wrapped) == (1, 5, 7)
    assert subjects_of(People()) == ()
    assert subjects_of(ConcatDataset([Pictures(), Pictures()])) is None


def test_subjects_travel_and_an_overlap_is_refused(tmp_path, warnings):
    train = ConcatDataset([People(1, 5, 6, 7, 8, 9), Pictures()])
    make_runner(tmp_path, train=train).train()
    file = tmp_path / 'epoch_1.pth'
    assert load_file(file)['meta']['train_subjects'] == [1, 5, 6, 7, 8, 9]

    assert make_runner(tmp_path, test=People(11), name='p2', load_from=str(file)).test() == {
        'count/n': 2
    }
    with pytest.raises(SubjectOverlapError) as caught:
        make_runner(tmp_path, test=People(9, 11), name='p1', load_from=str(file)).test()
    message = str(caught.value)
    assert (
        str(file) in message
        and 'would be scored on S9, S11' in message
        and 'has seen S9' in message
    )
    assert 'Score it on S11 alone' in message
    assert issubclass(
        SubjectOverlapError, CheckpointError
    )  # the tools print these without a traceback
    assert warnings == []

    hook = TrainSubjectsHook(on_overlap='warn')
    make_runner(tmp_path, test=People(9, 11), name='warned', load_from=str(file), hook=hook).test()
    assert 'has seen S9' in warnings[0]
    make_runner(
        tmp_path, test=Pictures(), name='none', load_from=str(file)
    ).test()  # nothing to compare


def test_a_chain_of_trainings_sums_up(tmp_path, warnings):
    make_runner(tmp_path / 'a', train=People(9)).train()
    first = str(tmp_path / 'a' / 'epoch_1.pth')
    make_runner(tmp_path / 'b', train=People(1), load_from=first).train()
    assert load_file(tmp_path / 'b' / 'epoch_1.pth')['meta']['train_subjects'] == [1, 9]
    init = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=first, prefix='layer.')))
    make_runner(tmp_path / 'c', train=Pictures(), model_cfg=init).train()
    assert load_file(tmp_path / 'c' / 'epoch_1.pth')['meta']['train_subjects'] == [9]
    init = dict(
        backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet18'))
    )
    make_runner(tmp_path / 'd', train=Pictures(), model_cfg=init).train()
    assert load_file(tmp_path / 'd' / 'epoch_1.pth')['meta']['train_subjects'] == []


def test_a_model_just_trained_is_checked_too(tmp_path):
    runner = make_runner(tmp_path, train=People(1, 9), test=People(9))
    runner.train()
    with pytest.raises(SubjectOverlapError, match='the model just trained was trained on S1, S9'):
        runner.test()


def test_unknown_subjects_and_validation_on_training_subjects_are_warned_about(tmp_path, warnings):
    torch.save(dict(state_dict=Net().state_dict(), meta=dict(epoch=1)), tmp_path / 'old.pth')
    torch.save(Net().state_dict(), tmp_path / 'bare.pth')
    for name in ('old', 'bare'):
        file = tmp_path / f'{name}.pth'
        make_runner(tmp_path, test=People(9, 11), name=name, load_from=str(file)).test()
        assert f'{name}.pth does not say' in warnings[-1] and 'S9, S11 are new' in warnings[-1]
    train = dict(train=People(1, 5), val=People(5))
    make_runner(tmp_path / 't', load_from=str(tmp_path / 'old.pth'), **train).train()
    assert 'will name those known, S1, S5' in warnings[-2]
    assert 'S5 are trained on and validated on' in warnings[-1]


def test_weights_that_name_nobody_make_all_that_follows_incomplete(tmp_path, warnings, load_tool):
    """As PoseNet's snapshots, which may have seen S9."""
    torch.save(
        dict(state_dict={'head.final_layer.weight': torch.ones(1)}), tmp_path / 'posenet.pth'
    )
    init = dict(
        backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'posenet.pth')))
    )
    make_runner(tmp_path / 'a', train=People(1), model_cfg=init).train()
    assert 'posenet.pth does not say' in warnings[-1] and 'there may be more' in warnings[-1]
    first = tmp_path / 'a' / 'epoch_1.pth'
    make_runner(tmp_path / 'b', train=People(5), load_from=str(first)).train()
    final = load_tool('misc/publish_model').publish(tmp_path / 'b' / 'epoch_1.pth', tmp_path / 'm')
    meta = load_file(final)['meta']
    assert (meta['train_subjects'], meta['train_subjects_incomplete']) == ([1, 5], True)
    make_runner(tmp_path, test=People(9), name='unsure', load_from=str(final)).test()
    assert 'S9 are new to it cannot be checked' in warnings[-1]

    torch.save(dict(state_dict={'layer1.weight': torch.ones(1)}), tmp_path / 'imagenet.pth')
    said = len(warnings)
    init = dict(
        backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'imagenet.pth')))
    )
    make_runner(tmp_path / 'c', train=People(1), model_cfg=init).train()
    assert len(warnings) == said
    assert 'train_subjects_incomplete' not in load_file(tmp_path / 'c' / 'epoch_1.pth')['meta']


def test_it_survives_publishing(tmp_path, load_tool):
    make_runner(tmp_path, train=People(5, 9)).train()
    final = load_tool('misc/publish_model').publish(tmp_path / 'epoch_1.pth', tmp_path / 'm')
    assert torch.load(final, weights_only=True)['meta']['train_subjects'] == [5, 9]
    with pytest.raises(SubjectOverlapError, match='has seen S9'):
        make_runner(tmp_path, test=People(9), name='published', load_from=str(final)).test()


def test_configs_find_it():
    assert HOOKS.get('TrainSubjectsHook') is TrainSubjectsHook


def test_unknown_word():
    with pytest.raises(ValueError, match="'refuse' or 'warn'"):
        TrainSubjectsHook(on_overlap='ignore')
