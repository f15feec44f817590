# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The whole main job, as a newcomer starts it."""

import json
import math
import os
import re
import sys

import cv2
import pytest
from process_fixture import run

from wsp_mm.evaluation.controls import RULES
from wsp_mm.evaluation.tables import CONTROL_COLUMNS


@pytest.mark.slow
def test_quickstart_tiny(tmp_path, repo):
    folder, world = tmp_path / 'run', tmp_path / 'world'

    def quickstart(*arguments):
        command = [sys.executable, 'tools/experiments/quickstart.py', '--preset', 'tiny']
        command += ['--work-dir', folder, '--data-root', world, *arguments]
        return run(*command, cwd=repo).stdout, json.loads((folder / 'report.json').read_text())

    _, figures = quickstart('--mupots')
    # Every figure that two classes allow is a finite percentage, under both protocols and for every
    # control.
    for protocol in ('p1', 'p2'):
        assert figures[f'{protocol}/rd/n'] > 100
        for name in ('AUC', 'Acc', 'P', 'R', 'F1', 'AUC_gap0.5', 'pair_AUC'):
            assert 0 <= figures[f'{protocol}/rd/{name}'] <= 100, name
        assert 0 <= figures[f'{protocol}/pck/PCK'] <= 100
    rows = ['network, protocol 1', 'network, protocol 2 (ankles removed)', 'network, gray image']
    rows += [f'rule: {rule}' for rule in RULES] + ['label (perspective rule)']
    for row in rows:
        for column in CONTROL_COLUMNS:
            value = figures[f'control/{row}/{column}']
            assert value is None or (math.isfinite(value) and 0 <= value <= 100)
        assert None not in [figures[f'control/{row}/{name}'] for name in ('auc_gap1', 'gt_pairs')]
    assert figures['control/label (perspective rule)/acc_gap1'] == 100

    # The 3D half: every start was finetuned and tested, and the mean pose stands beside them.
    for row in ('scratch-h36m', '2d-h36m', 'wsp-h36m'):
        for column in ('Action Avg', 'Joints Avg', 'X', 'Y', 'Z'):
            assert 0 < figures[f'3d/{row}/{column}'] < 2000, (row, column)
        assert figures[f'3d/{row}/of_mean_pose'] > 0
    assert 0 < figures['3d/mean_pose/MPJPE'] < 1000

    # Many persons in camera space.
    assert 0 <= figures['detector/AP50'] <= 100
    for roots in ('k', 'net', 'gt'):
        for pose in ('scratch', 'wsp'):
            assert 0 <= figures[f'mupots/{pose}/{roots}/PCK_All'] <= 100
    boxes = json.loads((folder / 'mupots/boxes.json').read_text())
    assert len(boxes['images']) == 60 and boxes['detections']
    assert figures['roots/k/n_roots'] == figures['roots/net/n_roots'] > 60

    page, markdown = ((folder / f'report.{kind}').read_text() for kind in ('html', 'md'))
    for name in ('curves', 'pairs', 'world', 'label_noise', 'pose3d'):
        assert cv2.imread(str(folder / f'figures/{name}.png')) is not None
        assert f'figures/{name}.png' in markdown
    assert page.count('data:image/png;base64,') == 5
    assert 'nan' not in re.sub(r'base64,[^"]*', '', page).lower().split()
    viewer = 'mupots/inference/viewer.html'
    assert f'href="{viewer}"' in page and (folder / viewer).is_file()

    # The second time there is nothing to do, whatever the times of the files and the number of
    # workers. What was found beyond the plain quickstart stays in the report.
    for file in world.rglob('*.json'):
        os.utime(file)
    output, again = quickstart('--workers', '1')
    assert output.count('is up to date') == 17 and not re.search(r'\((first|changed|was)', output)
    assert again == figures
