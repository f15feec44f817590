# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The whole main job, as a newcomer starts it."""

import json
import math
import re
import subprocess
from pathlib import Path

import cv2
import pytest

from wsp_mm.evaluation.controls import RULES
from wsp_mm.evaluation.tables import CONTROL_COLUMNS

ROOT = Path(__file__).resolve().parents[2]


def quickstart(tmp_path, target='quickstart'):
    arguments = f'ARGS=--work-dir {tmp_path / "run"} --data-root {tmp_path / "world"}'
    done = subprocess.run(
        ['make', target, 'PRESET=tiny', arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


@pytest.mark.slow
def test_quickstart_tiny(tmp_path):
    quickstart(tmp_path)
    run = tmp_path / 'run'
    figures = json.loads((run / 'report.json').read_text())

    # Every figure that two classes allow is a finite percentage, under both protocols and for every
    # control.
    for protocol in ('p1', 'p2'):
        assert figures[f'{protocol}/rd/n'] > 100
        for name in ('AUC', 'Acc', 'P', 'R', 'F1', 'AUC_gap0.5', 'pair_AUC'):
            assert 0 <= figures[f'{protocol}/rd/{name}'] <= 100, name
        assert 0 <= figures[f'{protocol}/pck/PCK'] <= 100
    rows = ['network, protocol 1', 'network, protocol 2 (ankles removed)', 'network, grey picture']
    rows += [f'rule: {rule}' for rule in RULES] + ['label (perspective rule)']
    for row in rows:
        for column in CONTROL_COLUMNS:
            value = figures[f'control/{row}/{column}']
            assert value is None or (math.isfinite(value) and 0 <= value <= 100)
        assert (
            figures[f'control/{row}/auc_gap1'] is not None
            and figures[f'control/{row}/gt_pairs'] is not None
        )
    assert figures['control/label (perspective rule)/acc_gap1'] == 100

    # The 3D half: every start was finetuned and tested, and the mean pose stands beside them.
    for row in ('scratch-h36m', '2d-h36m', 'wsp-h36m'):
        for column in ('Action Avg', 'Joints Avg', 'X', 'Y', 'Z'):
            assert 0 < figures[f'3d/{row}/{column}'] < 2000, (row, column)
        assert figures[f'3d/{row}/of_mean_pose'] > 0
    assert 0 < figures['3d/mean_pose/MPJPE'] < 1000

    page, markdown = (run / 'report.html').read_text(), (run / 'report.md').read_text()
    for name in ('curves', 'pairs', 'world', 'label_noise', 'pose3d'):
        assert cv2.imread(str(run / 'figures' / f'{name}.png')) is not None
        assert f'figures/{name}.png' in markdown
    assert page.count('data:image/png;base64,') == 5
    assert 'nan' not in re.sub(r'base64,[^"]*', '', page).lower().split()

    # The second time there is nothing to do but write the report again.
    output = quickstart(tmp_path)
    assert output.count('up to date') == 17

    # It goes on to MuPoTS with the same pre-training; nothing of the above is made again.
    output = quickstart(tmp_path, 'quickstart-mupots')
    assert output.count('up to date') == 16
    figures = json.loads((run / 'report.json').read_text())
    assert 0 <= figures['detector/AP50'] <= 100
    for roots in ('k', 'net', 'gt'):
        for pose in ('scratch', 'wsp'):
            assert 0 <= figures[f'mupots/{pose}/{roots}/PCK_All'] <= 100
    boxes = json.loads((run / 'mupots' / 'boxes.json').read_text())
    assert len(boxes['images']) == 60 and boxes['detections']
    assert figures['roots/k/n_roots'] == figures['roots/net/n_roots'] > 60
    page = (run / 'report.html').read_text()
    assert (
        'href="mupots/inference/viewer.html"' in page
        and (run / 'mupots/inference/viewer.html').is_file()
    )
    # A plain quickstart keeps what belongs to its pre-training.
    quickstart(tmp_path)
    assert 'detector/AP50' in json.loads((run / 'report.json').read_text())
