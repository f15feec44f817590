# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The configurations of root networks say what RootNet says, and quickstart's is the same network,
smaller.
"""

from pathlib import Path

import pytest

from wsp_mm.utils.config import load_config

ROOT = Path(__file__).resolve().parents[1]
NAMES = ('root_muco_r50', 'root_h36m_r50', 'quickstart/root_muco_r18')


def load(name, **options):
    return load_config(ROOT / f'configs/{name}.py', options)


def muco(config):
    dataset = config.train_dataloader.dataset
    return dataset.datasets[0] if 'datasets' in dataset else dataset


@pytest.mark.parametrize('name', NAMES)
def test_pipelines(name):
    config = load(name)
    loaders = [config.train_dataloader, config.val_dataloader, config.test_dataloader]
    for loader in loaders:
        steps = [step.type for step in loader.dataset.pipeline]
        assert steps.index('RootDepthPrior') == steps.index('PersonCenterScale') + 1
        assert not {'RandomOcclusion'} & set(steps)
    train = {step.type: step for step in config.train_dataloader.dataset.pipeline}
    assert train['PersonRandomBBoxTransform'].scale == 0  # a scaled crop would say another depth
    assert train['GenerateTarget'].encoder == config.model.head.decoder == config.codec
    assert set(config.codec) == {'type', 'joint_set', 'input_size', 'heatmap_size'}
    assert tuple(train['PersonTopdownAffine'].input_size) == tuple(config.codec.input_size)
    assert tuple(config.model.head.heatmap_size) == tuple(config.codec.heatmap_size)
    assert {evaluator.type for evaluator in (config.val_evaluator, config.test_evaluator)} == {
        'RootDepthMetric'
    }
    assert not config.model.test_cfg.flip_test


def test_rootnets_values():
    config = load('root_muco_r50')
    assert (config.model.backbone.depth, config.model.head.loss.depth_unit) == (50, 1.0)
    assert muco(config).use_visibility and tuple(muco(config).root_range_mm) == (1500.0, 7500.0)
    assert config.codec.joint_set == 'muco21' and load('root_h36m_r50').codec.joint_set == 'h36m18'
    assert [part.type for part in config.train_dataloader.dataset.datasets] == [
        'MuCoDataset',
        'CocoDataset',
    ]
    posenet = load('posenet_muco_r50')
    for key in ('train_cfg', 'param_scheduler', 'optim_wrapper', 'auto_scale_lr'):
        assert config[key] == posenet[key]


def test_what_is_tested():
    config = load('root_muco_r50', data_root='/somewhere', boxes='boxes.json')
    assert config.test_dataloader.dataset.type == 'MuPoTSDataset'
    assert config.test_dataloader.dataset.boxes_file == 'boxes.json'
    assert config.test_evaluator.ann_file == config.test_dataloader.dataset.ann_file
    assert (
        config.test_evaluator.data_root == config.test_dataloader.dataset.data_root == '/somewhere/'
    )
    assert load('root_h36m_r50').test_evaluator == dict(type='RootDepthMetric', joint_set='h36m18')


def test_quickstart_is_muco_alone():
    config = load('quickstart/root_muco_r18', data_root='/somewhere')
    assert config.train_dataloader.dataset.type == 'MuCoDataset'
    assert config.train_dataloader.dataset.data_root == '/somewhere/'
    assert muco(config).use_visibility and config.train_cfg.type == 'IterBasedTrainLoop'
    assert config.param_scheduler[1].T_max == config.train_cfg.max_iters
