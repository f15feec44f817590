# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parents[3]


@pytest.mark.slow
@pytest.mark.skipif(not Path('/proc/self/clear_refs').exists(), reason='peak memory is measured on Linux only')
def test_small_run(tmp_path):
    command = [sys.executable, REPO / 'tools/benchmarks/bench_integral.py', '--json', tmp_path / 'b.json']
    done = subprocess.run(
        [*command, '--batch', '4', '--joints', '8', '--repeats', '2'],
        capture_output=True,
        text=True,
        env={**os.environ, 'PYTHONPATH': str(REPO)},
    )
    assert done.returncode == 0, done.stderr
    assert 'own / plain: time' in done.stdout and 'torch' in done.stdout
    result = json.loads((tmp_path / 'b.json').read_text())
    assert len(result['seconds']['own']) == len(result['seconds']['plain']) == 2
    assert result['case']['size'] == [64, 64, 64]
    # the gradient of 4 x 8 x 64^3 float32 numbers is 32 MiB, and nothing of that size comes beside it
    own, plain = (result['extra_peak_bytes'][way] / 2**20 for way in ('own', 'plain'))
    assert 31 <= own < 64
    assert plain > 90
    assert result['largest_gradient_difference'] < 1e-4
