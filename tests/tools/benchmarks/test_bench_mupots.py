# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json

import numpy as np
import pytest

from wsp_mm.evaluation.functional import mupots_errors


@pytest.fixture
def bench(load_tool):
    return load_tool('benchmarks/bench_mupots')


def test_small_run(bench, tmp_path, capsys):
    out = tmp_path / 'new' / 'b.json'
    options = ['--sequences', '3', '--frames', '10', '--persons', '2', '--json', str(out)]
    assert bench.main(options) == 0
    assert 'figures agree; within 3 s' in capsys.readouterr().out
    result = json.loads(out.read_text())
    assert result['agree'] and result['in_time'] and 0 < result['plain']['PCK_All'] < 100
    assert bench.main([*options, '--limit', '0']) == 1
    assert 'OVER 0 s' in capsys.readouterr().out


def test_its_plain_loop_is_another_way_to_the_same_errors(bench):
    frames = bench.make_sequence(np.random.default_rng(1), frames=20, persons=3)
    plain = bench.plain_errors(frames)
    assert None in plain
    np.testing.assert_allclose(mupots_errors(frames), [row or [np.inf] * 14 for row in plain])


def test_it_notices_a_difference(bench, monkeypatch, capsys):
    plain = bench.plain_figures
    monkeypatch.setattr(bench, 'plain_figures', lambda s: {k: v + 0.01 for k, v in plain(s).items()})
    assert bench.main(['--sequences', '1', '--frames', '5']) == 1
    assert 'DIFFER' in capsys.readouterr().out


@pytest.mark.slow
def test_full_size_in_time(bench):
    assert bench.main([]) == 0
