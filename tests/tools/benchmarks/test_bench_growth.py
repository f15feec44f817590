# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Small runs of the benchmarks that measure growth, start-up and memory."""

import sys

import pytest

pytest.importorskip('mmpose')
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not sys.platform.startswith('linux'), reason='reads /proc, which only Linux has'
    ),
]


def test_mcpc(run_bench):
    pytest.importorskip('anny')
    tables = run_bench('bench_mcpc', '--pictures', '320', '--bodies', '8', '--repeats', '1')[
        'by_title'
    ]
    assert list(tables) == [
        'build_mcpc, clock', 'build_mcpc, CPU', 'build_mcpc: peak memory over what the process held before',
        'making the annotation files',
    ]  # fmt: skip
    assert list(tables['making the annotation files']['rows'])[-1] == '16x: 320 pictures'
    assert 'MB read' in tables['build_mcpc, clock']['notes'][1]


def test_world(run_bench):
    pytest.importorskip('anny')
    options = ['--worlds', 'wild', 'h36m', '--preset', 'tiny', '--scenes', '16']
    tables = run_bench('bench_world', *options)['by_title']
    stages = tables['wild, preset tiny: a picture by stage']['median']
    assert {'bodies posed', 'rays cast', 'JPEG', 'lens and noise', 'record'} < set(stages)
    assert sum(stages.values()) == pytest.approx(
        2 * stages['all'], rel=0.02
    )  # stages share out the whole
    assert (
        '(64 pictures of 16 scenes)' in tables['h36m, preset tiny: a picture by stage']['notes'][0]
    )
    assert list(tables['h36m: making scenes']['rows']) == [
        '1x: 1 scenes',
        '4x: 4 scenes',
        '16x: 16 scenes',
    ]
