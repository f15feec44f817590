# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The benchmarks of the training step, small, as processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[3]
LINUX = pytest.mark.skipif(not Path('/proc/self/clear_refs').exists(), reason='memory: Linux only')


def run(name, tmp_path, *arguments):
    out = tmp_path / 'b.json'
    command = [
        sys.executable,
        REPO / 'tools/benchmarks' / name,
        '--json',
        out,
        '--repeats',
        '2',
        *arguments,
    ]
    env = {**os.environ, 'PYTHONPATH': str(REPO), 'OMP_NUM_THREADS': '1'}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text()), done.stdout


@LINUX
@pytest.mark.slow
def test_relative_depth(tmp_path):
    sizes = (
        '--batch',
        '2',
        '--joints',
        '8',
        '--channels',
        '64',
        '--in-channels',
        '16',
        '--map',
        '64',
    )
    result, text = run('bench_relative_depth.py', tmp_path, *sizes)
    time, peak, kept = result['tables']
    assert (
        list(time['rows']) == list(peak['rows']) == list(kept['rows']) == ['plain', 'own', 'naive']
    )
    assert {len(values) for values in time['rows'].values()} == {2}
    assert kept['ratio']['own'] < 1.15
    # the filtered features of 2 pairs, 2 x 8 x 64 x 64^2 float32 numbers each, are 32 MiB
    assert peak['median']['naive'] > 32 > peak['median']['own']
    assert 'not measured' in text


@LINUX
@pytest.mark.slow
def test_train_step(tmp_path):
    sizes = ('--side', '32', '--batch', '2', '--steps', '1', '--iterations', '3')
    result, text = run('bench_train_step.py', tmp_path, *sizes)
    speed, memory, curve = result['tables']
    ways = ['float32', 'bfloat16', 'bfloat16 + channels_last']
    assert list(speed['rows']) == ways == list(memory['rows'])
    assert list(curve['rows']) == [*ways, 'float32, other weights']
    assert {len(values) for values in curve['rows'].values()} == {3}
    assert curve['ratio']['bfloat16'] == pytest.approx(1, abs=0.1)
    assert 'bench_train_step.py --device cuda' in text


def test_end_to_end_says_how_data_is_made(tmp_path):
    command = [
        sys.executable,
        REPO / 'tools/benchmarks/bench_end_to_end.py',
        '--data-root',
        tmp_path / 'none',
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, 'PYTHONPATH': str(REPO)}
    )
    assert done.returncode and 'tools/make_world.py' in done.stderr


@pytest.mark.slow
def test_end_to_end(tmp_path):
    root = REPO / 'data/synthetic'
    if not (root / 'mcpc/mcpc_train.json').exists():
        pytest.skip(f'{root} holds no pairs: python tools/make_world.py --out data/synthetic')
    sizes = ('--side', '32', '--batch', '2', '--seconds', '0.5')
    result, _ = run('bench_end_to_end.py', tmp_path, *sizes, '--data-root', str(root))
    rates, waits = result['tables']
    assert list(rates['rows']) == ['together', 'loading alone', 'device alone']
    assert all(len(values) == 2 and min(values) > 0 for values in rates['rows'].values())
    assert all(0 < value < 100 for value in waits['rows']['together'])
