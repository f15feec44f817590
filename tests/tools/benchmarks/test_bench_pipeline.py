# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json
import sys

import bench_pipeline as bench
import numpy as np
import pytest

from wsp_mm.datasets.transforms import load_image


def test_small_run(tmp_path, monkeypatch, capsys):
    options = ['--sizes', '320x240', '--images', '3', '--samples', '6', '--repeats', '2']
    file = tmp_path / 'b.json'
    options += ['--no-worker', '--json', str(file)]
    monkeypatch.setattr(sys, 'argv', ['bench_pipeline', *options])
    bench.main()
    assert 'Both ways make the same samples' in capsys.readouterr().out
    tables = json.loads(file.read_text())['tables']
    assert [set(table['rows']) for table in tables] == [{'ours', 'stock'}] * 2
    assert all(table['ratio']['stock'] == 1 < 10 / table['ratio']['ours'] for table in tables)


def test_ways_that_differ_are_no_result(tmp_path, monkeypatch):
    """The comparison notices a part that is taken a pixel aside."""
    bench.write_data(tmp_path, (160, 120), 2)
    tasks = bench.build_ways(tmp_path)
    for task in tasks.values():
        bench.check_same(task['ours'], task['stock'], 4)
    decode = load_image._decode
    monkeypatch.setattr(load_image, '_decode', lambda *args: np.roll(decode(*args), 1, axis=1))
    for task in tasks.values():
        with pytest.raises(SystemExit, match='pixels differ'):
            bench.check_same(task['ours'], task['stock'], 4)
