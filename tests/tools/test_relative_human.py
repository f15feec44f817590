# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Relative Human from the world to the figures, with the networks of the model zoo."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
IMAGES = 12  # of the test split


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """``run(tool, ...)`` runs a command on the tiny world, in its folder; returns that folder."""
    folder = tmp_path_factory.mktemp('relative_human')

    def call(tool, *words):
        environment = os.environ | dict(WSP_DATA='data', PYTHONPATH=str(REPO))
        command = [sys.executable, str(REPO / tool), *map(str, words)]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode in (0, 1 if 'infer' in tool else 0), done.stdout + done.stderr
        return folder

    make = 'tools/dataset_converters/make_world.py'
    call(make, '--worlds', 'relative_human', '--preset', 'tiny', '--out', 'data', '--workers', 1)
    return call


def weights(name):
    (path,) = (REPO / 'model_zoo').glob(f'wsp-lite0-{name}-*.pth')
    return path


@pytest.mark.slow
@pytest.mark.parametrize(('name', 'least'), [('order', 80), ('root', 60)])
def test_configs(run, name, least):
    """Test and dump agree, and the networks are better than chance."""
    config = REPO / f'configs/zoo/wsp_lite0_{name}_relative_human.py'
    folder = run(
        'tools/test.py', config, weights(name), '--dump', f'{name}.npz', '--work-dir', name
    )
    (log,) = folder.glob(f'{name}/*/*.json')
    metrics = json.loads(log.read_text().splitlines()[-1])
    ann_file = 'data/relative_human/test_annots.npz'
    run(
        'tools/score.py', 'relative-human', f'{name}.npz', '--ann-file', ann_file, '--out',
        f'{name}.json',
    )  # fmt: skip
    scores = json.loads((folder / f'{name}.json').read_text())
    for key in ('rh/PCDR', 'rh/Acc', 'rh/AUC', 'rh/n', 'rh/n_different'):
        assert scores[key] == pytest.approx(metrics[key]), key
    assert scores['rh/n'] > scores['rh/n_different'] > IMAGES and scores['rh/AUC'] > least
    if name == 'order':
        assert scores['rh/PCDR_equal'] == 0


@pytest.mark.slow
def test_from_images_alone(run):
    folder = run(
        'demo/infer.py', 'data/relative_human/images', '--assume-fov', 60, '--no-images',
        '--no-viewer', '--out', 'out',
    )  # fmt: skip
    ann_file = 'data/relative_human/test_annots.npz'
    run(
        'tools/score.py', 'relative-human', 'out/inference.json', '--ann-file', ann_file, '--out',
        'out/scores.json',
    )  # fmt: skip
    scores = json.loads((folder / 'out/scores.json').read_text())
    assert scores['rh/n'] > 0 and scores['rh/n_missed'] < scores['rh/n_persons']
    assert scores['rh/recall'] == pytest.approx(
        100 * (1 - scores['rh/n_missed'] / scores['rh/n_persons'])
    )
    assert 0 < scores['rh/mPCKh'] <= 100
