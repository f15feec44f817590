# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import importlib
import json
import subprocess
import sys

import cv2

from wsp_mm.datasets.transforms import read_picture


def run(repo, tmp_path, *options):
    command = [
        sys.executable,
        repo / 'tools/benchmarks/bench_crop_cache.py',
        '--json',
        tmp_path / 'b.json',
    ]
    small = ['--size', '500x502', '--frames', '2', '--samples', '6', '--repeats', '2', *options]
    return subprocess.run(
        [*map(str, command), *small], capture_output=True, text=True, cwd=tmp_path
    )


def test_small_run(repo, tmp_path):
    done = run(repo, tmp_path)
    assert done.returncode == 0, done.stderr
    assert 'Smoothed crops differ by' in done.stdout
    rates, cost, epochs, size = json.loads((tmp_path / 'b.json').read_text())['tables']
    assert (
        set(rates['rows']) == {'frames', 'cache', 'frames, whole', 'cache, whole'}
        and rates['reference'] == 'frames'
    )
    assert min(min(values) for values in [*rates['rows'].values(), cost['rows']['cut']]) > 0
    assert len(epochs['rows']['cut / (frames - cache)']) == 2
    assert size['rows']['cache'][0] > 0 and size['ratio']['frames'] == 1


def test_crops_that_differ_are_seen(repo, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(repo / 'tools/benchmarks'))
    bench = importlib.import_module('bench_crop_cache')
    bench.write_data(tmp_path, (160, 120), 1, 90)
    frames = bench.build_dataset(tmp_path)
    assert bench.differences(frames, frames, 3) == [0, 0, 0]
    warp = read_picture.warp_picture
    monkeypatch.setattr(
        read_picture,
        'warp_picture',
        lambda *args, **more: cv2.add(warp(*args, **more), (9, 9, 9, 0)),
    )
    brighter = [frames[i] for i in range(3)]
    monkeypatch.setattr(read_picture, 'warp_picture', warp)
    assert min(bench.differences(brighter, frames, 3)) > 2
