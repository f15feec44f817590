# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json
import subprocess
import sys
from pathlib import Path

import pytest

STRAIGHT, OWN = 'softmax, three sums', 'own'


def run(repo, tmp_path, *options):
    command = [
        sys.executable,
        repo / 'tools/benchmarks/bench_integral.py',
        '--json',
        tmp_path / 'b.json',
    ]
    done = subprocess.run(
        [*map(str, command), *options], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads((tmp_path / 'b.json').read_text())


@pytest.mark.skipif(
    not Path('/proc/self/clear_refs').exists(), reason='peak memory is measured on Linux only'
)
def test_small_run(repo, tmp_path):
    printed, result = run(repo, tmp_path, '--batch', '2', '--joints', '8', '--repeats', '2')
    assert f'ratio to {STRAIGHT}' in printed and 'torch' in result['machine']
    assert result['benchmark'] == 'bench_integral' and result['arguments']['size'] == [64, 64, 64]
    time, memory, kept = result['tables']
    assert set(time['rows']) == {STRAIGHT, OWN, 'copy of the logits'}
    assert all(len(values) == 2 and min(values) > 0 for values in time['rows'].values())
    assert 'own 12 (logits' in time['notes'][1] and 'three sums 44 at least' in time['notes'][1]
    # the gradient of 2 x 8 x 64^3 float32 numbers is 16 MiB, and no other volume comes beside it
    assert 15 <= memory['median'][OWN] < 28
    assert memory['median'][STRAIGHT] > 46
    # the straightforward way keeps the probabilities; the other way marginals and the log-sum-exp
    assert kept['median'][STRAIGHT] >= 16
    assert kept['median'][OWN] < 0.1


def test_without_a_gpu_nothing_is_made_up(repo, tmp_path, monkeypatch):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '-1')
    printed, result = run(repo, tmp_path, '--device', 'cuda')
    assert 'Not measured' in printed
    assert [table['rows'] for table in result['tables']] == [{}]
