# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Root networks through the real tools: train, test on MuPoTS, predict a file of roots, score
it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SMALL = [
    'train_dataloader.batch_size=2', 'train_dataloader.num_workers=0', 'val_dataloader.num_workers=0',
    'test_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False',
    'val_dataloader.persistent_workers=False', 'test_dataloader.persistent_workers=False',
    'default_hooks.logger.interval=1', 'model.backbone.depth=18', 'model.backbone.init_cfg=None',
    'model.head.in_channels=512', 'model.head.deconv_out_channels=(16,16,16)',
]  # fmt: skip
TWO_ITERATIONS = {
    'configs/quickstart/root_muco_r18.py': ['train_cfg.max_iters=2', 'default_hooks.checkpoint.interval=2'],
    'configs/root_muco_r50.py': [
        'train_cfg.max_epochs=1', 'train_cfg.val_interval=9', 'train_dataloader.sampler.batch_size=2',
        'train_dataloader.dataset.datasets.0.indices=2', 'train_dataloader.dataset.datasets.1.indices=2',
    ],
    'configs/root_h36m_r50.py': [
        'train_cfg.max_epochs=1', 'train_cfg.val_interval=9', 'train_dataloader.dataset.indices=4',
        'test_dataloader.dataset.indices=3',
    ],
}  # fmt: skip


def run(*command):
    env = {**os.environ, 'OMP_NUM_THREADS': '1'}
    done = subprocess.run(
        [sys.executable, *map(str, command)], cwd=ROOT, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    """All embedded worlds of the tiny preset."""
    root = tmp_path_factory.mktemp('world')
    run('tools/make_world.py', '--preset', 'tiny', '--out', root, '--workers', 2)
    return root


@pytest.mark.parametrize('config', TWO_ITERATIONS)
def test_train_test_predict(config, world, tmp_path):
    options = ['--cfg-options', f'data_root={world}', *SMALL, *TWO_ITERATIONS[config]]
    text = run('tools/train.py', config, '--work-dir', tmp_path, *options)
    # The second step is taken after the first, in which gamma was 1: both errors are in the log.
    assert 'err_z_prior' in text and 'err_xy' in text
    checkpoint = (tmp_path / 'last_checkpoint').read_text().strip()
    run(
        'tools/test.py',
        config,
        checkpoint,
        '--work-dir',
        tmp_path / 'test',
        '--out',
        tmp_path / 'm.json',
        *options,
    )
    metrics = json.loads((tmp_path / 'm.json').read_text())
    assert metrics['root/n'] > 0 and 0 < metrics['root/MRPE'] < 1e5 and metrics['root/prior_z'] > 0
    if 'muco' not in config:
        return
    assert (
        metrics['root/n_roots'] == metrics['root/n_detections'] == metrics['root/n']
    )  # labelled boxes
    mupots = world / 'mupots'
    common = ['--gt', '--ann', mupots / 'MuPoTS-3D.json', '--images', mupots / 'MultiPersonTestSet']
    network = ['--cfg-options', *SMALL]
    run(
        'tools/predict_roots.py',
        config,
        checkpoint,
        *common,
        '--out',
        tmp_path / 'net.json',
        *network,
    )
    run('tools/predict_roots.py', '--k-value', *common, '--out', tmp_path / 'k.json')
    run(
        'tools/score.py', 'roots', tmp_path / 'net.json', tmp_path / 'k.json', '--ann-file',
        mupots / 'MuPoTS-3D.json', '--sequences-dir', mupots / 'MultiPersonTestSet', '--out', tmp_path / 's.json',
    )  # fmt: skip
    by_network, by_prior = json.loads((tmp_path / 's.json').read_text()).values()
    # The metric and the file, two ways through the same network, agree.
    assert by_network['AP_root'] == pytest.approx(metrics['root/AP_root'], abs=0.5)
    assert by_network['n_matched'] == by_prior['n_matched'] > 0
    # The test by ``bbox_root`` takes the same boxes and gives the same persons.
    more = [f'bbox_root={tmp_path / "net.json"}']
    run(
        'tools/test.py',
        config,
        checkpoint,
        '--work-dir',
        tmp_path / 'again',
        '--out',
        tmp_path / 'a.json',
        *options,
        *more,
    )
    again = json.loads((tmp_path / 'a.json').read_text())
    assert again['root/AP_root'] == pytest.approx(metrics['root/AP_root'], abs=0.5)
