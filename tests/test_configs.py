# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Every config is built as the tools would build it, and says what its name says."""

from pathlib import Path

import pytest
from mmengine.registry import init_default_scope
from mmpose.registry import METRICS, MODELS, TRANSFORMS

import wsp_mm.register  # noqa: F401
from wsp_mm.utils.config import load_config

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / 'configs').rglob('*.py')
    if '_base_' not in path.parts
    and not path.stem.endswith('_person')  # those: test_detector_configs.py
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
    ('stem', 'transform'),
    [('_ra', 'RemoveAnkles'), ('_grey', 'GreyPicture')],
    ids=['ankles removed', 'grey'],
)
@pytest.mark.parametrize(
    'base', ['configs/wsp_pretrain_r50', 'configs/quickstart/wsp_pretrain_r18']
)
def test_protocols_change_the_test_pictures_alone(base, stem, transform):
    plain, changed = load(f'{base}.py'), load(f'{base}{stem}.py')
    steps = [step['type'] for step in changed.test_dataloader.dataset.pipeline]
    assert steps.count(transform) == 1
    steps.remove(transform)
    assert steps == [step['type'] for step in plain.test_dataloader.dataset.pipeline]
    changed.test_dataloader.dataset.pipeline = plain.test_dataloader.dataset.pipeline
    assert changed.test_dataloader == plain.test_dataloader
    assert changed.model == plain.model and changed.train_dataloader == plain.train_dataloader


@pytest.mark.parametrize(
    'base', ['configs/wsp_pretrain_r50', 'configs/quickstart/wsp_pretrain_r18']
)
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
    assert (head.alpha, head.num_sampled_joints, head.pooling, head.out_channels) == (
        50.0,
        8,
        'mean',
        16,
    )
    assert head.heatmap_loss == dict(type='HeatmapL2Loss', squared=False)
    assert tuple(head.decoder.input_size) == (256, 256) and tuple(head.decoder.heatmap_size) == (
        64,
        64,
    )
    assert config.train_dataloader.batch_size == 32 and config.auto_scale_lr.base_batch_size == 64
    assert config.optim_wrapper.optimizer == dict(type='Adam', lr=1e-3, fused=True)
    assert config.train_cfg.max_epochs == 50
    (step,) = config.param_scheduler
    assert (step.type, list(step.milestones), step.gamma) == ('MultiStepLR', [30, 40], 0.1)


def test_one_data_root_moves_every_data_set():
    config = load_config(ROOT / 'configs/wsp_pretrain_r50_ra.py', {'data_root': '/somewhere'})
    loaders = (config.train_dataloader, config.val_dataloader, config.test_dataloader)
    assert {loader.dataset.data_root for loader in loaders} == {'/somewhere/'}


FINETUNINGS = ['h36m_r50', 'h36m_mcpc_r50', 'h36m_mpii_r50', 'muco_r50', 'muco_r18']


@pytest.mark.parametrize(
    'name', FINETUNINGS + [f'{n}_p2' for n in FINETUNINGS if n.startswith('h36m')]
)
def test_wsp_differs_from_posenet_by_the_start_alone(name):
    posenet, wsp = load(f'configs/posenet_{name}.py'), load(f'configs/wsp_{name}.py')
    init = wsp.model.pop('init_cfg')
    assert init == dict(type='PretrainedParts', parts=('backbone',), checkpoint=None)
    assert 'pretrained' in wsp.plain_options and 'pretrained' not in (
        posenet.get('plain_options') or {}
    )
    for config in (posenet, wsp):
        config.pop('plain_options', None)
    assert wsp._cfg_dict.to_dict() == posenet._cfg_dict.to_dict()


@pytest.mark.parametrize('name', ['h36m_r50', 'h36m_mcpc_r50', 'h36m_mpii_r50'])
def test_p2_changes_the_subjects_alone(name):
    for method in ('posenet', 'wsp'):
        one, two = load(f'configs/{method}_{name}.py'), load(f'configs/{method}_{name}_p2.py')
        changed = 0
        for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
            dataset = two[loader].dataset
            dataset = dataset.datasets[0] if 'datasets' in dataset else dataset
            assert dataset.protocol == 2
            dataset.protocol = 1
            changed += 1
        assert changed == 3 and two._cfg_dict.to_dict() == one._cfg_dict.to_dict()


def test_finetuning_has_the_papers_values():
    config = load('configs/posenet_h36m_r50.py')
    head = config.model.head
    assert (head.out_channels, tuple(head.heatmap_size), head.loss.average) == (
        18,
        (64, 64, 64),
        'all',
    )
    assert (head.loss.loss_weight, head.get('logit_scale', 1.0), head.get('marginal_loss')) == (
        1.0,
        1.0,
        None,
    )
    assert config.train_dataloader.batch_size == 32 and config.auto_scale_lr.base_batch_size == 64
    assert config.optim_wrapper.optimizer == dict(type='Adam', lr=1e-3, fused=True)
    assert config.train_cfg.max_epochs == 25
    assert list(config.param_scheduler[0].milestones) == [17, 21]
    assert load('configs/posenet_muco_r50.py').model.head.out_channels == 21


@pytest.mark.parametrize('name', ['h36m_r50', 'h36m_mcpc_r50', 'h36m_mpii_r50'])
def test_action_is_one_plain_option(name):
    for method in ('posenet', 'wsp'):
        config = load_config(ROOT / f'configs/{method}_{name}.py', {'action': 'Walking'})
        dataset = config.train_dataloader.dataset
        dataset = dataset.datasets[0] if 'datasets' in dataset else dataset
        assert dataset.actions == 'Walking' and 'actions' not in config.test_dataloader.dataset


@pytest.mark.parametrize('name', ['muco_r50', 'muco_r18'])
def test_muco_tests_on_mupots_out_of_the_box(name):
    for method in ('posenet', 'wsp'):
        config = load_config(ROOT / f'configs/{method}_{name}.py', {'data_root': '/somewhere'})
        dataset, metric = config.test_dataloader.dataset, config.test_evaluator
        assert (dataset.type, dataset.joint_set, dataset.test_mode) == (
            'MuPoTSDataset',
            'muco21',
            True,
        )
        assert not {'bbox_root_file', 'boxes_file'} & set(
            dataset
        )  # ground truth unless told otherwise
        assert (metric.type, metric.joint_set) == ('MuPoTS3DPCK', 'muco21')
        assert (
            dataset.data_root == metric.data_root == '/somewhere/'
            and dataset.ann_file == metric.ann_file
        )
        assert config.val_evaluator == metric and config.val_dataloader == config.test_dataloader
        METRICS.build(metric)
        assert 'action' not in config.plain_options
        for option, key in (('bbox_root', 'bbox_root_file'), ('boxes', 'boxes_file')):
            config = load_config(ROOT / f'configs/{method}_{name}.py', {option: 'x.json'})
            assert (
                config.val_dataloader.dataset[key]
                == config.test_dataloader.dataset[key]
                == 'x.json'
            )
        with pytest.raises(ValueError, match='no option action'):
            load_config(ROOT / f'configs/{method}_{name}.py', {'action': 'Walking'})


def test_quickstarts_rows_have_equal_steps():
    """Alone or mixed, from scratch or pre-trained: as many iterations and the same network."""
    alone, mixed = (
        load(f'configs/quickstart/posenet_{data}_r18.py') for data in ('h36m', 'h36m_mcpc')
    )
    assert alone.model == mixed.model and alone.train_cfg == mixed.train_cfg
    assert alone.param_scheduler[1].T_max == alone.train_cfg.max_iters
    for data, base in (('h36m', alone), ('h36m_mcpc', mixed)):
        wsp = load(f'configs/quickstart/wsp_{data}_r18.py')
        assert wsp.model.pop('init_cfg').parts == ('backbone', 'head.deconv_layers')
        assert wsp.model == base.model and wsp.train_dataloader == base.train_dataloader
