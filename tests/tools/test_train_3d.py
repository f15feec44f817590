# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""3D training, testing and resuming through the real tools, on the embedded world's tiny preset."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpose.registry import MODELS

import wsp_mm.register  # noqa: F401
from wsp_mm.utils.checkpoint import load_file
from wsp_mm.utils.cli import load_config

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ('posenet_*.py', 'wsp_h36m_*.py', 'wsp_muco_*.py', 'quickstart/*_h36m_*.py')
    for path in (ROOT / 'configs').glob(pattern)
)
# What each mix needs to become a matter of seconds: a small network, and a few samples of each
# side.
SMALL = [
    'train_dataloader.batch_size=2', 'train_dataloader.num_workers=0', 'val_dataloader.num_workers=0',
    'test_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False',
    'val_dataloader.persistent_workers=False', 'test_dataloader.persistent_workers=False',
    'default_hooks.logger.interval=1', 'val_dataloader.dataset.indices=3', 'test_dataloader.dataset.indices=3',
    'model.backbone.depth=18', 'model.backbone.init_cfg=None', 'model.head.in_channels=512',
    'model.head.deconv_out_channels=(16,16,16)',
]  # fmt: skip
MIXED = [
    'train_dataloader.dataset.datasets.0.indices=4',
    'train_dataloader.dataset.datasets.1.indices=3',
    'train_dataloader.sampler.batch_size=2',
]
MIXES = {
    'configs/posenet_h36m_r50.py': ['train_dataloader.dataset.indices=4'],
    'configs/posenet_h36m_mcpc_r50.py': MIXED,
    'configs/posenet_h36m_mpii_r50.py': MIXED,
    'configs/posenet_muco_r50.py': MIXED,
}


def run(*command, cwd=ROOT):
    env = {**os.environ, 'OMP_NUM_THREADS': '2'}
    done = subprocess.run(
        [sys.executable, *map(str, command)], cwd=cwd, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    """All embedded worlds and MCPC."""
    root = tmp_path_factory.mktemp('world')
    run('tools/make_world.py', '--preset', 'tiny', '--out', root, '--workers', 2)
    sources = [
        text
        for name in ('coco', 'mpii', 'posetrack18', 'crowdpose')
        for text in (f'--{name}', root / name)
    ]
    run('tools/dataset_converters/build_mcpc.py', *sources, '--out', root / 'mcpc')
    return root


@pytest.fixture(scope='module')
def pretrained(tmp_path_factory):
    """Untrained pair pre-trainings by depth of the ResNet; what matters is that their tensors
    arrive.
    """
    init_default_scope('mmpose')
    folder, files = tmp_path_factory.mktemp('pretrained'), {}
    for depth, name in (
        (50, 'wsp_pretrain_r50'),
        (18, 'wsp_pretrain_r18'),
        (0, 'quickstart/wsp_pretrain_r18'),
    ):
        config = load_config(ROOT / f'configs/{name}.py')
        config.model.backbone.init_cfg = None
        files[depth] = folder / f'{depth}.pth'
        torch.save(dict(state_dict=MODELS.build(config.model).state_dict(), meta={}), files[depth])
    return files


def weights(file):
    return load_file(file, map_location='cpu')['state_dict']


@pytest.mark.parametrize('config', MIXES)
def test_train_test_and_resume(config, world, tmp_path):
    """A run that is stopped after the first epoch and resumed ends with the weights of one that was
    not.
    """
    options = ['--cfg-options', f'data_root={world}', *SMALL, *MIXES[config]]
    two = ['train_cfg.max_epochs=2', 'train_cfg.val_interval=2']
    run('tools/train.py', config, '--work-dir', tmp_path / 'whole', *options, *two)
    run(
        'tools/train.py',
        config,
        '--work-dir',
        tmp_path / 'parts',
        *options,
        'train_cfg.max_epochs=1',
    )
    text = run(
        'tools/train.py', config, '--work-dir', tmp_path / 'parts', '--resume', *options, *two
    )
    assert 'resumed epoch: 1' in text
    whole, parts = (weights(tmp_path / name / 'epoch_2.pth') for name in ('whole', 'parts'))
    assert all(torch.equal(whole[key], parts[key]) for key in whole)

    dump, out = tmp_path / 'dump.npz', tmp_path / 'metrics.json'
    checkpoint = tmp_path / 'whole/epoch_2.pth'
    files = ['--work-dir', tmp_path / 'test', '--dump', dump, '--out', out]
    run('tools/test.py', config, checkpoint, *files, *options)
    metrics = json.loads(out.read_text())
    if 'muco' in config:  # tested on MuPoTS: three persons of three frames, all others are missed
        assert metrics['mupots/n_frames'] == 60 and metrics['mupots/n_predictions'] == 3
        assert 0 <= metrics['mupots/PCK_All'] < 100
    else:
        assert metrics['h36m/n'] == 3 and 0 < metrics['h36m/MPJPE'] < 1e5
        again = run('tools/score.py', 'h36m', dump, '--out', tmp_path / 'again.json')
        assert (
            json.loads((tmp_path / 'again.json').read_text())['h36m/MPJPE'] == metrics['h36m/MPJPE']
        ), again


@pytest.mark.parametrize('name', CONFIGS)
def test_two_iterations_with_one_data_root(name, world, pretrained, tmp_path):
    """The real network at its real size; ``pretrained`` is all that a wsp config asks for beside
    the data.
    """
    options = {'data_root': str(world)}
    if Path(name).name.startswith('wsp'):
        depth = 0 if 'quickstart' in name else 18 if 'r18' in name else 50
        options['pretrained'] = str(pretrained[depth])
    config = load_config(ROOT / name, options)
    config.model.backbone.init_cfg = None
    config.work_dir = str(tmp_path)
    config.visualizer.name = f'visualizer_{tmp_path.name}'  # one a process and name
    config.experiment_name = tmp_path.name
    loader = config.train_dataloader
    loader.update(batch_size=2, num_workers=0, persistent_workers=False)
    for other in (config.val_dataloader, config.test_dataloader):
        other.update(num_workers=0, persistent_workers=False)
    parts = loader.dataset.get('datasets', [loader.dataset])
    for part in parts:
        part.indices = 4 if len(parts) == 1 else 2
    if loader.sampler.type == 'HalfHalfSampler':
        loader.sampler.batch_size = 2
    length = 'max_iters' if config.train_cfg.type == 'IterBasedTrainLoop' else 'max_epochs'
    config.train_cfg.update({length: 2 if length == 'max_iters' else 1, 'val_interval': 99})
    config.default_hooks.checkpoint.update(interval=-1, save_last=False)
    runner = Runner.from_cfg(config)
    before = {key: value.clone() for key, value in runner.model.state_dict().items()}
    runner.train()
    assert runner.iter == 2
    losses = runner.message_hub.get_scalar('train/loss').data[0]
    assert len(losses) == 2 and all(torch.isfinite(torch.tensor(losses)))
    after = runner.model.state_dict()
    assert any(not torch.equal(before[key], after[key]) for key in before if 'backbone' in key)
