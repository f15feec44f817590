# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Small runs of the benchmarks that measure growth, start-up and memory."""

import json
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


@pytest.fixture
def run_here(repo, monkeypatch, load_tool, tmp_path):
    """As ``run_bench``, all in this process: fresh ones would take half a minute to import."""

    def run(name: str, answer, *options: str) -> dict:
        monkeypatch.syspath_prepend(repo / 'tools' / 'benchmarks')
        bench = load_tool(f'benchmarks/{name}')
        monkeypatch.setattr(bench, 'ask', lambda script, _, *arguments: answer(bench, *arguments))
        assert bench.main(['--json', str(tmp_path / 'b.json'), *options]) == 0
        return {
            table['title']: table
            for table in json.loads((tmp_path / 'b.json').read_text())['tables']
        }

    return run


def test_h36m_index(run_here):
    def answer(bench, what, root):
        return bench.write(root) if what == 'write' else bench.load(root, what)

    tables = run_here('bench_h36m_index', answer, '--frames', '9600', '--repeats', '1')
    assert list(tables['writing the index']['rows']) == [
        '1x: 600 frames', '4x: 2,400 frames', '16x: 9,600 frames',
    ]  # fmt: skip
    loading = tables['loading the training set, 9,600 frames']
    assert list(loading['rows']) == ['3dmppe', 'index'] and loading['ratio']['3dmppe'] == 1
    own = tables["the data set's own memory (anonymous, not shared by processes)"]
    assert list(own['rows']) == ['3dmppe', 'index']


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


def test_startup(run_bench):
    options = [
        '--config',
        'wsp_pretrain_r18.py',
        '--repeats',
        '1',
        '--workers',
        '0',
        '--batch',
        '1',
    ]
    options += ['--iterations', '2']
    helping, imports, start = run_bench('bench_startup', *options)['tables']
    assert list(helping['rows']) == ['python -c pass', 'train.py --help']
    rows = {name: values[0] for name, values in imports['rows'].items()}
    assert 'torch' in rows and len(rows) > 3  # the slowest; which others are among them differs
    assert sum(rows.values()) == pytest.approx(2 * rows['all'])
    steps = {name: values[0] for name, values in start['rows'].items()}
    later = steps.pop('(an iteration later on)')
    assert sum(steps.values()) == pytest.approx(2 * steps['in all']) and 0 < later < steps['in all']


def test_loader_memory(run_here):
    def answer(bench, plan):
        return json.loads(json.dumps(bench.load_and_draw(**json.loads(plan))))

    options = ['--sets', 'muco', '--records', '960', '--samples', '400', '--workers', '1']
    tables = run_here('bench_loader_memory', answer, *options)
    over = tables["muco: a worker's private dirty memory, 960 persons"]['median']
    assert list(over) == ['0 samples', '100 samples', '200 samples', '400 samples']
    assert 1 < over['0 samples'] < over['400 samples'] < 400  # MiB
    by_size = tables["muco: a worker's PSS by size of the data"]['rows']
    assert list(by_size) == ['1x: 60 persons', '4x: 240 persons', '16x: 960 persons']
    assert 'kept' in tables['muco: loading']['notes'][-1]
