# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Every config is built as the tools would build it, and says what its name says."""

from pathlib import Path

import pytest
from mmengine.registry import init_default_scope
from mmpose.registry import MODELS, TRANSFORMS

import wsp_mm.register  # noqa: F401
from wsp_mm.utils.config import load_config

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted(
    path.relative_to(ROOT).as_posix() for path in (ROOT / 'configs').rglob('*.py') if '_base_' not in path.parts
)


def load(name):
    init_default_scope('mmpose')
    return load_config(ROOT / name)


@pytest.mark.parametrize('name', CONFIGS)
def test_builds(name):
    config = load(name)
    config.model.backbone.init_cfg = None  # no downloads in tests
    model = MODELS.build(config.model)
    assert model.head.decoder is not None
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        sizes = set()
        for step in loader.dataset.pipeline:
            TRANSFORMS.build(step)
            sizes |= {tuple(step[key]) for key in ('input_size',) if key in step}
        assert sizes == {tuple(config.model.head.decoder.input_size)}, 'crop and codec must agree'
    assert config.test_dataloader == config.val_dataloader


@pytest.mark.parametrize('name', CONFIGS)
def test_leaves_are_thin(name):
    assert len((ROOT / name).read_text().splitlines()) <= 60


@pytest.mark.parametrize(
    ('stem', 'transform'), [('_ra', 'RemoveAnkles'), ('_grey', 'GreyPicture')], ids=['ankles removed', 'grey']
)
@pytest.mark.parametrize('base', ['configs/wsp_pretrain_r50', 'configs/quickstart/wsp_pretrain_r18'])
def test_protocols_change_the_test_pictures_alone(base, stem, transform):
    plain, changed = load(f'{base}.py'), load(f'{base}{stem}.py')
    steps = [step['type'] for step in changed.test_dataloader.dataset.pipeline]
    assert steps.count(transform) == 1
    steps.remove(transform)
    assert steps == [step['type'] for step in plain.test_dataloader.dataset.pipeline]
    changed.test_dataloader.dataset.pipeline = plain.test_dataloader.dataset.pipeline
    assert changed.test_dataloader == plain.test_dataloader
    assert changed.model == plain.model and changed.train_dataloader == plain.train_dataloader


@pytest.mark.parametrize('base', ['configs/wsp_pretrain_r50', 'configs/quickstart/wsp_pretrain_r18'])
def test_2d_differs_by_alpha_alone(base):
    plain, only_2d = load(f'{base}.py'), load(f'{base}_2d.py')
    assert only_2d.model.head.alpha == 0
    only_2d.model.head.alpha = plain.model.head.alpha
    assert only_2d.model == plain.model and only_2d.train_dataloader == plain.train_dataloader


def test_the_papers_values():
    config = load('configs/wsp_pretrain_r50.py')
    head = config.model.head
    assert (config.model.backbone.type, config.model.backbone.depth) == ('ResNet', 50)
    assert config.model.backbone.init_cfg.checkpoint == 'torchvision://resnet50'
    assert (head.alpha, head.num_sampled_joints, head.pooling, head.out_channels) == (50.0, 8, 'mean', 16)
    assert head.heatmap_loss == dict(type='HeatmapL2Loss', squared=False)
    assert tuple(head.decoder.input_size) == (256, 256) and tuple(head.decoder.heatmap_size) == (64, 64)
    assert config.train_dataloader.batch_size == 32 and config.auto_scale_lr.base_batch_size == 64
    assert config.optim_wrapper.optimizer == dict(type='Adam', lr=1e-3)
    assert config.train_cfg.max_epochs == 50
    (step,) = config.param_scheduler
    assert (step.type, list(step.milestones), step.gamma) == ('MultiStepLR', [30, 40], 0.1)


def test_one_data_root_moves_every_data_set():
    config = load_config(ROOT / 'configs/wsp_pretrain_r50_ra.py', {'data_root': '/somewhere'})
    loaders = (config.train_dataloader, config.val_dataloader, config.test_dataloader)
    assert {loader.dataset.data_root for loader in loaders} == {'/somewhere/'}
