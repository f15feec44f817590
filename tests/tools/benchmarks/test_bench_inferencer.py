# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

REPO = Path(__file__).parents[3]
SCRIPT = REPO / 'tools/benchmarks/bench_inferencer.py'


def start(out, *options):
    done = subprocess.run(
        [sys.executable, SCRIPT, '--json', out, *options],
        capture_output=True,
        text=True,
        env={**os.environ, 'PYTHONPATH': str(REPO)},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text()), done.stdout


def test_without_a_gpu_nothing_is_measured(tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip('there is a GPU')
    result, text = start(tmp_path / 'new/b.json', '--device', 'cuda')
    assert 'Not measured' in text
    assert result['tables'][0]['rows'] == {}


@pytest.mark.slow
@pytest.mark.skipif(
    not Path('/proc/self/status').exists(), reason='memory is measured on Linux only'
)
def test_small_run(tmp_path):
    result, _ = start(
        tmp_path / 'b.json', '--frames', '4', '--persons', '2', '--size', '96', '72', '--batch-size', '2',
        '--repeats', '1', '--memory-frames', '2', '4', '--threads', '1',
    )  # fmt: skip
    speed, parts, batch, memory = result['tables']
    assert set(speed['rows']) == {'sequential', 'overlapped'}
    assert speed['reference'] == 'sequential'
    assert speed['ratio']['overlapped'] == pytest.approx(
        speed['median']['overlapped'] / speed['median']['sequential']
    )
    assert 'the same files to the byte' in speed['notes'][-1]
    for name in ('reading', 'detector', 'crops', 'root', 'pose', 'drawing', 'writing'):
        assert parts['median'][f'sequential: {name}'] > 0  # all of them ran
    assert 'overlapped: networks waits' in parts['rows']
    # what the parts take is what the whole takes, at most
    whole = 1000 * 2 / speed['median']['sequential']
    assert sum(v for k, v in parts['median'].items() if k.startswith('sequential')) < whole
    assert 'equal to the bit' in batch['notes'][0]
    assert set(memory['rows']) == {'frame 2', 'frame 4'}
    assert all(50 < value < 10_000 for value in memory['median'].values())


def test_figures_are_where_their_boxes_are(load_tool, monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    bench = load_tool('benchmarks/bench_inferencer')
    boxes = bench.figure_boxes(3, 4, (320, 240))
    assert boxes.shape == (4, 4)
    assert (boxes[:, 2:] > 10).all()
    empty, full = (bench.draw_frame(3, persons, (320, 240)).astype(int) for persons in (0, 4))
    changed = np.abs(full - empty).sum(axis=2) > 0
    for x, y, w, h in boxes:
        assert changed[int(y) + 2 : int(y + h), max(int(x), 0) : int(x + w)].mean() > 0.1
    assert not np.array_equal(full, bench.draw_frame(4, 4, (320, 240)))
