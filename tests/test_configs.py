# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Every config is built as the tools would build it, and says what its name says."""

from pathlib import Path

import mmdet.registry
import pytest
import torch
from mmengine.registry import DefaultScope
from mmpose.registry import METRICS, MODELS, TRANSFORMS

import wsp_mm.register  # noqa: F401
from wsp_mm.utils.cli import RUNNER_KEYS, load_config

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
LEAVES = sorted(
    path.relative_to(CONFIGS).with_suffix('').as_posix()
    for path in CONFIGS.rglob('*.py')
    if '_base_' not in path.parts
)
DETECTORS = [name for name in LEAVES if name.endswith('_person') or '_detector' in name]
POSES = [name for name in LEAVES if name not in DETECTORS]
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def load(name):
    return load_config(CONFIGS / f'{name}.py')


def plain(config):
    """What the Runner reads, as a plain dict."""
    content = config._cfg_dict.to_dict()
    return {key: content[key] for key in RUNNER_KEYS & content.keys()}


def parts(dataset):
    """The data sets of a mixture, or the one."""
    return dataset.get('datasets', [dataset])


# ------------------------------------------------------------------------------------- all of them
@pytest.mark.parametrize('name', POSES)
def test_builds(name, monkeypatch):
    monkeypatch.setenv('WSP_DATA', '/somewhere')
    config = load(name)
    config.model.backbone.init_cfg = None  # no downloads in tests
    model = MODELS.build(config.model)
    assert model.head.decoder is not None
    # The shipped 3D networks are trained where there is nothing to validate on.
    loaders = [loader for loader in LOADERS if config[loader]]
    assert len(loaders) == 3 or name.startswith('zoo/')
    for loader in loaders:
        dataset, sizes = config[loader].dataset, set()
        for step in dataset.pipeline:
            TRANSFORMS.build(step)
            sizes |= {tuple(step.input_size)} if 'input_size' in step else set()
            if step.type == 'GenerateTarget':
                assert step.encoder == config.model.head.decoder
        assert sizes == {tuple(config.model.head.decoder.input_size)}, 'crop and codec must agree'
        # one variable moves every data set, with or without a slash at its end
        assert {part.data_root for part in parts(dataset)} == {'/somewhere'}
    assert config.val_dataloader in (None, config.test_dataloader)
    for metric in (config.val_evaluator or [], config.test_evaluator):
        for one in metric if isinstance(metric, list) else [metric]:
            assert one.get('data_root', '/somewhere') == '/somewhere'
            METRICS.build(one)
    hooks = [hook.type for hook in config.custom_hooks]
    assert {'RunInfoHook', 'TrainSubjectsHook', 'PublishedWeightsHook'} <= set(hooks)


@pytest.mark.parametrize('name', DETECTORS)
def test_detector_builds(name):
    config = load(name)
    assert config.default_scope == 'mmdet' and 'wsp_mm.register' in config.custom_imports.imports
    hooks = [hook['type'] for hook in config.custom_hooks]
    assert {'mmpose.RunInfoHook', 'mmpose.PublishedWeightsHook'} <= set(hooks)
    config.model.backbone.init_cfg = None
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = mmdet.registry.MODELS.build(config.model)
        for loader in LOADERS:
            if 'coco80' not in name:
                assert tuple(config[loader].dataset.metainfo.classes) == ('person',)
            for step in config[loader].dataset.pipeline:
                mmdet.registry.TRANSFORMS.build(step)
    head = model.bbox_head if hasattr(model, 'bbox_head') else model.roi_head.bbox_head
    assert head.num_classes == (80 if 'coco80' in name else 1)
    assert config.test_dataloader == config.val_dataloader


def test_data_lie_in_data_unless_told_otherwise(monkeypatch):
    monkeypatch.delenv('WSP_DATA', raising=False)
    for name in ('wsp_pretrain_r50', 'wsp_h36m_mcpc_r50', 'zoo/wsp_lite0_detector'):
        dataset = load(name).train_dataloader.dataset
        assert {part.data_root for part in parts(dataset)} == {'data/'}


# ------------------------------------------------------------------------------------- differences
@pytest.mark.parametrize('base', ['wsp_pretrain_r50', 'quickstart/wsp_pretrain_lite0'])
def test_protocols_and_controls_differ_in_one_thing(base):
    config = plain(load(base))
    for suffix, transform in (('_ra', 'RemoveAnkles'), ('_gray', 'GrayImage')):
        other = plain(load(base + suffix))
        for loader in LOADERS[1:]:
            steps = other[loader]['dataset']['pipeline']
            (own,) = [step for step in steps if step['type'] == transform]
            steps.remove(own)
        assert other == config
    only_2d = plain(load(f'{base}_2d'))
    assert only_2d['model']['head'].pop('alpha') == 0
    del config['model']['head']['alpha']
    assert only_2d == config


FINETUNINGS = ['h36m_r50', 'h36m_mcpc_r50', 'h36m_mpii_r50', 'muco_r50', 'muco_r18']
P2 = [f'{name}_p2' for name in FINETUNINGS if name.startswith('h36m')]
SMALL = [f'quickstart/{name}_lite0' for name in ('h36m', 'h36m_mcpc', 'muco')]


@pytest.mark.parametrize('name', FINETUNINGS + P2 + SMALL)
def test_wsp_differs_from_posenet_by_the_start_alone(name):
    folder, _, name = name.rpartition('/')
    posenet, wsp = (plain(load(Path(folder, f'{method}_{name}'))) for method in ('posenet', 'wsp'))
    loaded = ('backbone', 'head.deconv_layers') if folder else ('backbone',)
    init = wsp['model'].pop('init_cfg')
    assert init == dict(type='PretrainedParts', parts=loaded, checkpoint=None)
    assert wsp == posenet


@pytest.mark.parametrize('name', P2)
@pytest.mark.parametrize('method', ['posenet', 'wsp'])
def test_p2_changes_the_subjects_alone(method, name):
    one, two = load(f'{method}_{name.removesuffix("_p2")}'), load(f'{method}_{name}')
    for loader in LOADERS:
        dataset = parts(two[loader].dataset)[0]
        assert dataset.type == 'H36MImageDataset' and dataset.protocol == 2
        dataset.protocol = 1
    assert plain(two) == plain(one)


def test_quickstarts_rows_have_equal_steps():
    """Alone or mixed: as many iterations of as many samples, and the same network."""
    alone, mixed = (load(f'quickstart/posenet_{data}_lite0') for data in ('h36m', 'h36m_mcpc'))
    for key in ('model', 'train_cfg', 'param_scheduler', 'optim_wrapper', 'val_dataloader'):
        assert alone[key] == mixed[key]
    assert alone.param_scheduler[1].T_max == alone.train_cfg.max_iters
    assert alone.train_dataloader.batch_size == mixed.train_dataloader.batch_size == 16


# -------------------------------------------------------------------------------------- the papers'
@pytest.mark.parametrize('name', [name for name in POSES if name.startswith('quickstart/')])
def test_quickstarts_rates_belong_to_one_process(name):
    config = load(name)
    assert config.auto_scale_lr.base_batch_size == config.train_dataloader.batch_size


def check_schedule(config, epochs, milestones):
    assert config.train_dataloader.batch_size == 32 and config.auto_scale_lr.base_batch_size == 64
    assert config.optim_wrapper.optimizer == dict(type='Adam', lr=1e-3, fused=True)
    assert config.train_cfg.max_epochs == epochs
    (step,) = config.param_scheduler
    assert (step.type, list(step.milestones), step.gamma) == ('MultiStepLR', milestones, 0.1)


def test_the_papers_pre_training():
    config = load('wsp_pretrain_r50')
    head, decoder = config.model.head, config.model.head.decoder
    assert (config.model.backbone.type, config.model.backbone.depth) == ('ResNet', 50)
    assert config.model.backbone.init_cfg.checkpoint == 'torchvision://resnet50'
    values = (head.alpha, head.num_sampled_joints, head.pooling, head.out_channels)
    assert values == (50.0, 8, 'mean', 16)
    assert head.heatmap_loss == dict(type='HeatmapL2Loss', squared=False)
    assert (tuple(decoder.input_size), tuple(decoder.heatmap_size)) == ((256, 256), (64, 64))
    check_schedule(config, 50, [30, 40])


@pytest.mark.parametrize('name', ['lite0', 'vit-s16'])
def test_another_backbone_changes_the_network_alone(name):
    config, other = (plain(load(f'wsp_pretrain_{net}')) for net in ('r50', name))
    kind = other['model']['backbone'].pop('type')
    assert kind == 'TimmBackbone'
    for one in (config, other):
        one['model'].pop('backbone')
        for key in ('in_channels', 'deconv_out_channels', 'deconv_kernel_sizes'):
            one['model']['head'].pop(key)
        for key in ('mean', 'std'):
            one['model']['data_preprocessor'].pop(key)
    assert other == config


@pytest.mark.parametrize('name', ['lite0', 'vit-s16'])
def test_backbones_of_timm_fit(name):
    """The images are scaled as the network's weights ask, and the heatmaps are as promised."""
    timm = pytest.importorskip('timm', reason="the extra 'timm' is not installed")
    config = load(f'wsp_pretrain_{name}').model
    weights = timm.get_pretrained_cfg(config.backbone.model_name)
    scale = config.data_preprocessor
    assert [value / 255 for value in (*scale.mean, *scale.std)] == [*weights.mean, *weights.std]
    config.backbone.init_cfg = None
    heatmaps, _ = MODELS.build(config).eval()(torch.zeros(1, 3, 256, 256), None, mode='tensor')
    assert heatmaps.shape == (1, 16, 64, 64)


def test_the_papers_finetuning():
    config = load('posenet_h36m_r50')
    head = config.model.head
    assert (head.out_channels, tuple(head.decoder.heatmap_size)) == (18, (64, 64, 64))
    assert (head.loss.average, head.loss.loss_weight) == ('all', 1.0)
    assert (head.get('logit_scale', 1.0), head.get('marginal_loss')) == (1.0, None)
    check_schedule(config, 25, [17, 21])
    assert load('posenet_muco_r50').model.head.out_channels == 21


@pytest.mark.parametrize('name', ['posenet_muco_r50', 'wsp_muco_r18', 'quickstart/wsp_muco_lite0'])
def test_muco_tests_on_mupots_with_its_own_boxes_and_roots(name):
    config = load(name)
    dataset, metric = config.test_dataloader.dataset, config.test_evaluator
    assert (dataset.type, dataset.joint_set, dataset.test_mode) == ('MuPoTSDataset', 'muco21', True)
    assert not {'bbox_root_file', 'boxes_file'} & set(dataset)
    assert (metric.type, metric.joint_set) == ('MuPoTS3DPCK', 'muco21')
    assert dataset.ann_file == metric.ann_file and config.val_evaluator == metric


@pytest.mark.parametrize('name', [name for name in POSES if name.endswith('_relative_human')])
def test_relative_human_is_another_test_of_the_same_network(name):
    config, base = load(name), load(name.removesuffix('_relative_human'))
    for key in ('model', 'train_dataloader', 'optim_wrapper', 'train_cfg'):
        assert config[key] == base[key]
    dataset, metrics = config.test_dataloader.dataset, config.test_evaluator
    metric = metrics[0] if isinstance(metrics, list) else metrics
    assert (dataset.type, metric.type) == ('RelativeHumanDataset', 'PCDR')
    assert dataset.item == ('person' if 'root' in name else 'pair')
    assert (dataset.ann_file, dataset.data_root) == (metric.ann_file, metric.data_root)
    assert dataset.pipeline == base.test_dataloader.dataset.pipeline
