# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest

from wsp_mm.evaluation.functional import mupots_errors


@pytest.fixture
def bench(load_tool, repo, monkeypatch):
    monkeypatch.syspath_prepend(repo / 'tools' / 'benchmarks')
    return load_tool('benchmarks/bench_mupots')


def test_small_run(run_bench):
    options = ['--sequences', '3', '--frames', '16', '--persons', '2', '--repeats', '2']
    scoring, growth = run_bench('bench_mupots', *options)['tables']
    assert {name: len(values) for name, values in scoring['rows'].items()} == {
        'plain': 2,
        'vectorised': 2,
    }
    assert 'Figures agree' in scoring['notes'][0]
    assert list(growth['rows']) == ['1x: 6 persons', '4x: 24 persons', '16x: 96 persons']


def test_a_limit_that_is_passed_fails(bench, capsys):
    options = ['--sequences', '1', '--frames', '16', '--repeats', '1']
    assert bench.main(options) == 0
    assert bench.main([*options, '--limit', '0']) == 1
    assert 'OVER 0 s' in capsys.readouterr().out


def test_its_plain_loop_is_another_way_to_the_same_errors(bench):
    frames = bench.make_sequence(np.random.default_rng(1), frames=20, persons=3)
    plain = bench.plain_errors(frames)
    assert None in plain
    np.testing.assert_allclose(mupots_errors(frames), [row or [np.inf] * 14 for row in plain])


def test_it_notices_a_difference(bench, monkeypatch, capsys):
    plain = bench.plain_figures
    monkeypatch.setattr(
        bench, 'plain_figures', lambda s: {k: v + 0.01 for k, v in plain(s).items()}
    )
    assert bench.main(['--sequences', '1', '--frames', '16', '--repeats', '1']) == 1
    assert 'DIFFER' in capsys.readouterr().out


@pytest.mark.slow
def test_full_size(bench):
    assert bench.main(['--repeats', '1']) == 0
