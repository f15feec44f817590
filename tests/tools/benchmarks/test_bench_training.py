# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The benchmarks of the training step, small, as processes."""

import sys
from pathlib import Path

import pytest
from process_fixture import run as process

REPO = Path(__file__).resolve().parents[3]
LINUX = pytest.mark.skipif(not Path('/proc/self/clear_refs').exists(), reason='memory: Linux only')


@pytest.fixture
def run(run_bench):
    """``run(name, *options)``: tables and printed text of two repeats."""

    def run(name, *options):
        found = run_bench(name, '--repeats', '2', *options)
        return found['tables'], found['stdout']

    return run


@LINUX
@pytest.mark.slow
def test_heads(run):
    sizes = ('--batch', '2', '--channels', '64')
    (time, peak, kept), text = run('bench_heads', *sizes)
    ways = ['plain', 'own', 'two functions', 'naive']
    assert list(time['rows']) == list(peak['rows']) == list(kept['rows']) == ways
    assert {len(values) for values in time['rows'].values()} == {2}
    assert kept['ratio']['own'] < 1.15
    # the filtered features of 2 pairs, 2 x 16 x 64 x 64^2 float32 numbers each, are 64 MiB
    assert peak['median']['naive'] > 64 > peak['median']['own']
    assert 'not measured' in text

    (_, peak, kept), _ = run('bench_heads', '--head', 'integral', '--batch', '1')
    # the gradient of 18 x 64^3 float32 numbers is 18 MiB, and no other volume comes beside it
    assert 17 <= peak['median']['own'] < 30 and peak['median']['plain'] > 50
    assert kept['median']['own'] < 0.1 and kept['median']['plain'] >= 18


@LINUX
@pytest.mark.slow
def test_train_step(run):
    sizes = ('--side', '32', '--batch', '2', '--steps', '1', '--iterations', '3')
    (speed, memory, curve), text = run('bench_train_step', *sizes)
    ways = ['float32', 'bfloat16', 'bfloat16 + channels_last']
    assert list(speed['rows']) == ways == list(memory['rows'])
    assert list(curve['rows']) == [*ways, 'float32, other weights']
    assert {len(values) for values in curve['rows'].values()} == {3}
    assert curve['ratio']['bfloat16'] == pytest.approx(1, abs=0.1)
    assert 'bench_train_step.py --device cuda' in text


def test_end_to_end_says_how_data_is_made(tmp_path):
    words = [REPO / 'tools/benchmarks/bench_end_to_end.py', '--data-root', tmp_path / 'none']
    done = process(sys.executable, *words, status=None, PYTHONPATH=str(REPO))
    assert done.returncode and 'tools/dataset_converters/make_world.py' in done.stderr


@pytest.mark.slow
def test_end_to_end(run):
    root = REPO / 'data/synthetic'
    if not (root / 'mcpc/mcpc_train.json').exists():
        make = 'python tools/dataset_converters/make_world.py --out data/synthetic'
        pytest.skip(f'{root} holds no pairs: {make}')
    sizes = ('--side', '32', '--batch', '2', '--seconds', '0.5')
    (rates, waits), _ = run('bench_end_to_end', *sizes, '--data-root', str(root))
    assert list(rates['rows']) == ['together', 'loading alone', 'device alone']
    assert all(len(values) == 2 and min(values) > 0 for values in rates['rows'].values())
    assert all(0 < value < 100 for value in waits['rows']['together'])
