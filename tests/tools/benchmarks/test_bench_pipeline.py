# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import importlib
import json
import subprocess
import sys

import pytest

from wsp_mm.codecs.pair_heatmap import PairHeatmapLabel
from wsp_mm.datasets.transforms import read_picture


def run(repo, tmp_path, *options):
    command = [
        sys.executable,
        repo / 'tools/benchmarks/bench_pipeline.py',
        '--json',
        tmp_path / 'b.json',
    ]
    small = ['--sizes', '320x240', '--pictures', '3', '--samples', '6', '--repeats', '2']
    return subprocess.run(
        [*map(str, command), *small, *options], capture_output=True, text=True, cwd=tmp_path
    )


def test_small_run(repo, tmp_path):
    done = run(repo, tmp_path, '--no-worker')
    assert done.returncode == 0, done.stderr
    assert 'Both ways make the same pixels and targets' in done.stdout
    tables = json.loads((tmp_path / 'b.json').read_text())['tables']
    assert [table['title'].split(':')[0] for table in tables] == [
        'One sample', 'Stages of ours', 'Stages of stock',
    ] * 2  # fmt: skip
    for timed, *stages in (tables[:3], tables[3:]):
        assert set(timed['rows']) == {'ours', 'stock'} and timed['reference'] == 'stock'
        for table in stages:
            assert set(table['rows']) == {'read', 'decode', 'warp', 'targets', 'pack', 'rest'}
            assert min(min(values) for values in table['rows'].values()) > 0


@pytest.fixture
def ways(repo, tmp_path, monkeypatch):
    """The benchmark's module and its data sets of two pictures."""
    monkeypatch.syspath_prepend(str(repo / 'tools/benchmarks'))
    bench = importlib.import_module('bench_pipeline')
    bench.write_data(tmp_path, (160, 120), 2, 90)
    return bench, bench.build_ways(tmp_path)


def test_ways_that_differ_are_no_result(ways, monkeypatch):
    """The comparison of samples sees one grey level, and a target that is a thousandth lower."""
    bench, tasks = ways
    for task in tasks.values():
        bench.check_same(task['ours'], task['stock'], 4)
    pair, person = tasks['pair'], tasks['person']
    heatmaps = PairHeatmapLabel.batch_heatmaps
    with monkeypatch.context() as patch:
        patch.setattr(PairHeatmapLabel, 'batch_heatmaps', lambda *args: 0.999 * heatmaps(*args))
        with pytest.raises(SystemExit, match='sample 0: heatmaps differ by up to'):
            bench.check_same(pair['ours'], pair['stock'], 1)
    warp = read_picture.warp_picture
    monkeypatch.setattr(
        read_picture, 'warp_picture', lambda *args, **options: warp(*args, **options) ^ 1
    )
    for task in (pair, person):
        with pytest.raises(SystemExit, match='sample 0: pixels differ by up to'):
            bench.check_same(task['ours'], task['stock'], 1)
