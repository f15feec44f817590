# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import logging
import shutil
import subprocess
from types import SimpleNamespace

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import ConcatDataset, Dataset, Subset

import wsp_mm
from wsp_mm.engine.hooks import (
    PublishedWeightsHook,
    RunInfoHook,
    SubjectOverlapError,
    TrainSubjectsHook,
    git_revision,
    subjects_of,
)
from wsp_mm.utils.checkpoint import CheckpointError, load_file, published_form


class People(Dataset):
    def __init__(self, *subjects):
        self.subjects = subjects

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return dict(inputs=torch.ones(3))


class Images(Dataset):
    """A data set without subjects."""

    __len__, __getitem__ = People.__len__, People.__getitem__


class Net(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)

    def forward(self, inputs, mode='tensor'):
        out = self.layer(torch.stack(inputs))
        return dict(loss=out.mean()) if mode == 'loss' else list(out)


class Score(BaseMetric):
    """Better and better, from call to call."""

    default_prefix = 'my'
    calls = 0

    def process(self, data_batch, data_samples):
        self.results += [1] * len(data_samples)

    def compute_metrics(self, results):
        Score.calls += 1
        return dict(n=len(results), score=Score.calls)


def loader(dataset):
    sampler = dict(type='DefaultSampler', shuffle=False)
    return dict(dataset=dataset, batch_size=2, num_workers=0, sampler=sampler)


def make_runner(folder, hook, train=None, test=None, val=None, model=None, epochs=1, **kwargs):
    if train is not None:
        kwargs.update(
            train_dataloader=loader(train),
            train_cfg=dict(by_epoch=True, max_epochs=epochs),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        )
    if test is not None:
        kwargs.update(test_dataloader=loader(test), test_cfg=dict(), test_evaluator=[Score()])
    if val is not None:
        kwargs.update(val_dataloader=loader(val), val_cfg=dict(), val_evaluator=[Score()])
    checkpoint = dict(type='CheckpointHook', interval=1, **kwargs.pop('checkpoint', {}))
    runner = Runner(
        Net(),
        str(folder),
        default_hooks=dict(checkpoint=checkpoint),
        custom_hooks=[hook],
        experiment_name=f'run_{id(hook)}',
        default_scope='mmengine',
        log_level='WARNING',
        **kwargs,
    )
    if model is not None:
        runner.cfg.model = model
    return runner


@pytest.fixture
def warnings(monkeypatch):
    lines = []

    def keep(text, logger, level=logging.INFO):
        if level == logging.WARNING:
            lines.append(text)

    monkeypatch.setattr('wsp_mm.utils.checkpoint.print_log', keep)
    return lines


# ------------------------------------------------------------------------------------- the run
def test_revision(tmp_path, monkeypatch):
    def git(*arguments):
        who = ['-c', 'user.name=a', '-c', 'user.email=a@b']
        command = ['git', '-C', str(tmp_path), *who, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    assert git_revision(tmp_path) is None  # no repository
    git('init', '-q')
    (tmp_path / 'package').mkdir()
    (tmp_path / 'package' / 'file.py').write_text('a = 1\n')
    git('add', '.')
    git('commit', '-q', '-m', 'first')
    git('tag', 'v1')
    revision = git('rev-parse', 'HEAD')
    (tmp_path / 'package' / 'new.py').touch()
    assert git_revision(tmp_path / 'package') == revision
    (tmp_path / 'package' / 'file.py').write_text('a = 2\n')
    assert git_revision(tmp_path / 'package') == f'{revision}+changes'
    (tmp_path / 'site-packages').mkdir()  # a package installed inside another project
    (tmp_path / 'site-packages' / 'ours.py').touch()
    assert git_revision(tmp_path / 'site-packages') is None
    monkeypatch.setenv('PATH', str(tmp_path))
    assert git_revision(tmp_path / 'package') is None  # no git


def test_run_info_is_logged_and_kept(caplog, monkeypatch):
    monkeypatch.setattr('wsp_mm.engine.hooks.git_revision', lambda: 'abc')
    runner, hook = SimpleNamespace(seed=3, logger=logging.getLogger('run_info')), RunInfoHook()
    with caplog.at_level(logging.INFO, logger='run_info'):
        hook.before_run(runner)
    assert f'wsp_mm {wsp_mm.__version__}, git revision abc, seed 3' in caplog.text
    checkpoint = dict(meta=dict(epoch=1))
    hook.before_save_checkpoint(runner, checkpoint)
    expected = dict(version=wsp_mm.__version__, git='abc', seed=3)
    assert checkpoint['meta'] == dict(epoch=1, wsp_mm=expected)


@pytest.mark.parametrize('base', [None, 2, 64])
def test_a_rate_for_another_batch_size_is_warned_about(base, warnings, tmp_path):
    """A batch of two in one process."""
    for enable in (False, True):
        scale = base and dict(base_batch_size=base, enable=enable)
        make_runner(tmp_path, RunInfoHook(), train=Images(), auto_scale_lr=scale).train()
    assert len(warnings) == (base == 64)
    assert base != 64 or all(text in warnings[0] for text in ('of 2 ', '64', '--auto-scale-lr'))


# ------------------------------------------------------------------------------- weights alone
def names(folder):
    return sorted(path.name for path in folder.glob('*.pth'))


def assert_equal_weights(folder, name):
    published = torch.load(folder / f'{name}_weights.pth', weights_only=True)
    training = published_form(load_file(folder / f'{name}.pth'), name)
    assert set(published) == {'meta', 'state_dict'}
    assert published['meta']['epoch'] == training['meta']['epoch']
    for key, value in training['state_dict'].items():
        assert torch.equal(published['state_dict'][key], value)


def train_best(folder, epochs, keep=2, **kwargs):
    """Train on, keeping the last and the best checkpoint, each beside its weights alone."""
    keep = dict(max_keep_ckpts=keep, save_best='my/score', rule='greater')
    data = dict(train=Images(), val=Images(), epochs=epochs)
    make_runner(folder, PublishedWeightsHook(), checkpoint=keep, **data, **kwargs).train()


def test_weights_lie_beside_the_last_and_the_best_and_go_with_them(tmp_path):
    """Across a resume, too; files that the run did not write do not matter."""
    (tmp_path / 'torn.pth').write_bytes(b'PK\x03\x04')
    (tmp_path / 'epoch_9.pth').write_text('<html>')
    (tmp_path / 'epoch_7_weights.pth').write_text('kept by its owner')
    torch.save(Payload(), tmp_path / 'epoch_8.pth')  # loading it would be refused
    foreign = ['epoch_7_weights.pth', 'epoch_8.pth', 'epoch_9.pth', 'torn.pth']
    for epochs, resume in ((3, False), (5, True)):
        train_best(tmp_path, epochs, resume=resume)
        own = [f'epoch_{epochs - 1}', f'epoch_{epochs}', f'best_my_score_epoch_{epochs}']
        expected = [f'{name}{end}.pth' for name in own for end in ('', '_weights')]
        assert names(tmp_path) == sorted(expected + foreign)
        for name in own:
            assert_equal_weights(tmp_path, name)
        assert (tmp_path / 'last_checkpoint').read_text().endswith(f'epoch_{epochs}.pth')


def test_a_copied_work_dir_leaves_the_original_alone(tmp_path):
    old, new = tmp_path / 'old', tmp_path / 'new'
    train_best(old, 2, keep=1)
    shutil.copytree(old, new)
    before = names(old)
    train_best(new, 3, keep=1, resume=True, load_from=str(new / 'epoch_2.pth'))
    assert names(old) == before and len(before) == 4
    assert names(new) == [name.replace('_2', '_3') for name in before]


def test_a_checkpoint_that_cannot_be_published_is_saved_all_the_same(tmp_path, warnings):
    class Odd(PublishedWeightsHook):
        def before_save_checkpoint(self, runner, checkpoint):
            odd = dict(checkpoint, meta=dict(cfg=object()))
            super().before_save_checkpoint(runner, odd)

    make_runner(tmp_path, Odd(), train=Images()).train()
    assert names(tmp_path) == ['epoch_1.pth'] and 'meta.cfg' in warnings[0]


# ------------------------------------------------------------------------------ train subjects
def subjects(folder, *train, epoch=1, **kwargs):
    """Train on data sets, and return what the checkpoint says of them."""
    make_runner(folder, TrainSubjectsHook(), train=ConcatDataset(train), **kwargs).train()
    meta = load_file(folder / f'epoch_{epoch}.pth')['meta']
    return meta['train_subjects'], meta.get('train_subjects_incomplete', False)


def score(folder, dataset, checkpoint, hook=None):
    hook = hook or TrainSubjectsHook()
    return make_runner(folder, hook, test=dataset, load_from=str(checkpoint)).test()


def start_from(checkpoint, **init):
    init = dict(dict(type='Pretrained', checkpoint=str(checkpoint)), **init)
    return dict(backbone=dict(init_cfg=init))


def test_subjects_are_found_at_any_depth():
    inner = ConcatDataset([Images(), Subset(People(7, 1), [0]), People(1, 5)])
    assert subjects_of(SimpleNamespace(dataset=inner)) == (1, 5, 7)
    assert subjects_of(People()) == ()
    assert subjects_of(ConcatDataset([Images(), Images()])) is None


def test_subjects_travel_and_an_overlap_is_refused(tmp_path, warnings, load_tool):
    assert subjects(tmp_path, People(1, 5, 6, 7, 8, 9), Images()) == ([1, 5, 6, 7, 8, 9], False)
    file = tmp_path / 'epoch_1.pth'
    published = load_tool('model_converters/publish_model').publish(file, tmp_path / 'm')
    for checkpoint in (file, published):
        assert score(tmp_path, People(11), checkpoint)['my/n'] == 2
        with pytest.raises(SubjectOverlapError) as caught:
            score(tmp_path, People(9, 11), checkpoint)
        for text in (str(checkpoint), 'S9 of these', 'S9, S11', '_p2.py'):
            assert text in str(caught.value)
    assert issubclass(SubjectOverlapError, CheckpointError)  # tools show these without a traceback
    assert warnings == []
    score(tmp_path, People(9, 11), file, TrainSubjectsHook(on_overlap='warn'))
    assert 'S9 of these' in warnings[0]
    score(tmp_path, Images(), file)  # nothing to compare
    with pytest.raises(ValueError, match='on_overlap'):
        TrainSubjectsHook(on_overlap='ignore')


def test_a_chain_of_trainings_sums_up(tmp_path, warnings):
    assert subjects(tmp_path / 'a', People(9)) == ([9], False)
    first = tmp_path / 'a' / 'epoch_1.pth'
    assert subjects(tmp_path / 'b', People(1), load_from=str(first)) == ([1, 9], False)
    for init in (dict(prefix='layer.'), dict(type='PretrainedParts')):
        model = start_from(first, **init)
        assert subjects(tmp_path / 'c', Images(), model=model) == ([9], False)
    model = start_from('torchvision://resnet18')
    assert subjects(tmp_path / 'd', Images(), model=model) == ([], False)


def test_a_model_just_trained_is_checked_too(tmp_path):
    runner = make_runner(tmp_path, TrainSubjectsHook(), train=People(1, 9), test=People(9))
    runner.train()
    with pytest.raises(SubjectOverlapError, match='S1, S9'):
        runner.test()


def test_unknown_subjects_and_validation_on_training_subjects_are_warned_about(tmp_path, warnings):
    torch.save(dict(state_dict=Net().state_dict(), meta=dict(epoch=1)), tmp_path / 'old.pth')
    torch.save(Net().state_dict(), tmp_path / 'bare.pth')
    for name in ('old.pth', 'bare.pth'):
        score(tmp_path, People(9, 11), tmp_path / name)
        assert name in warnings[-1] and 'S9, S11' in warnings[-1]
    old = str(tmp_path / 'old.pth')
    assert subjects(tmp_path / 't', People(1, 5), val=People(5), load_from=old) == ([1, 5], True)
    assert 'old.pth' in warnings[-2] and 'S1, S5' in warnings[-2]
    assert 'S5 are trained on and validated on' in warnings[-1]


class Payload:
    pass


def test_weights_that_name_nobody_make_all_that_follows_incomplete(tmp_path, warnings):
    """As PoseNet's snapshots, which may have seen S9, or a file that only MMPose's tools read."""
    pose = {'head.final_layer.weight': torch.ones(1)}
    torch.save(dict(state_dict=pose), tmp_path / 'posenet.pth')
    torch.save(dict(state_dict=pose, meta=Payload()), tmp_path / 'pickle.pth')
    for name in ('posenet', 'pickle'):
        folder, model = tmp_path / name, start_from(tmp_path / f'{name}.pth')
        assert subjects(folder, People(1), model=model) == ([1], True)
        assert f'{name}.pth' in warnings[-1]
    first = tmp_path / 'posenet' / 'epoch_1.pth'
    assert subjects(tmp_path / 'b', People(5), load_from=str(first)) == ([1, 5], True)
    score(tmp_path, People(9), tmp_path / 'b' / 'epoch_1.pth')
    assert 'S9 are new to it cannot be checked' in warnings[-1]

    count = len(warnings)
    torch.save(dict(state_dict={'layer1.weight': torch.ones(1)}), tmp_path / 'imagenet.pth')
    model = start_from(tmp_path / 'imagenet.pth')
    assert subjects(tmp_path / 'c', People(1), model=model) == ([1], False)
    assert len(warnings) == count
