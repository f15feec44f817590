# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Small runs of the benchmarks that measure growth, start-up and memory."""

import sys

import pytest

pytest.importorskip('mmpose')
linux = sys.platform.startswith('linux')
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not linux, reason='reads /proc: Linux only')]


def test_mcpc(run_bench):
    pytest.importorskip('anny')
    tables = run_bench('bench_mcpc', '--images', '960', '--repeats', '1')['by_title']
    peak = 'build_mcpc: peak memory over what the process held before'
    assert list(tables) == ['build_mcpc, clock', 'build_mcpc, CPU', peak]
    rows = [int(row.split()[1].replace(',', '')) for row in tables['build_mcpc, clock']['rows']]
    assert rows[1] == 4 * rows[0] and rows[2] == 16 * rows[0]
    assert 'MB read' in tables['build_mcpc, clock']['notes'][1]
