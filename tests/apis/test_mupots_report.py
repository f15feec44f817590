# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import math
import os

import numpy as np
import pytest

from wsp_mm.apis.mupots_report import add_mupots_sections
from wsp_mm.apis.mupots_study import POSES, ROOTS, MuPoTSResults, identity
from wsp_mm.evaluation.functional.mupots import THRESHOLDS_MM
from wsp_mm.visualization.report import Report

ROOT_NAMES = (
    'MRPE',
    'MRPE_x',
    'MRPE_y',
    'MRPE_z',
    'AP_root',
    'recall',
    'n_matched',
    'n_roots',
    'prior_z',
)


@pytest.fixture
def results():
    def scores(value):
        flat = {'mupots/n_sequences': 20}
        for mode in ('All', 'Matched'):
            flat |= {f'mupots/{start}PCK_{mode}': value for start in ('', 'abs_')}
            flat |= {f'mupots/PCK_{mode}_{mm}': value + mm / 1000 for mm in THRESHOLDS_MM}
            flat |= {f'mupots/AUC_{mode}': value / 2, f'mupots/PCK_{mode}_TS1': value}
        return flat

    tests = {f'{pose}/{roots}': scores(40.0 + i) for i, roots in enumerate(ROOTS) for pose in POSES}
    tests['wsp/k']['mupots/PCK_Matched'] = math.nan
    tests['wsp/k']['mupots/PCK_Matched_TS1'] = math.nan
    tests['wsp/k']['mupots/PCK_Matched_defined'] = 39.0
    names = ('detector-train', 'root-train', *(f'muco-{name}-train' for name in POSES))
    return MuPoTSResults(
        start='a.pth:1:2',
        scores=tests,
        detector={'coco/bbox_mAP_50': 0.625},
        roots={key: dict.fromkeys(ROOT_NAMES, 7.0 + i) for i, key in enumerate(('k', 'net', 'gt'))},
        seconds=dict.fromkeys(names, 60.0),
        viewer='mupots/inference/viewer.html',
    )


def test_sections_and_figures(results, tmp_path):
    report = Report('r', tmp_path)
    figures = add_mupots_sections(report, results)
    assert (
        figures['detector/AP50'] == 62.5
        and figures['roots/net/MRPE'] == 8.0
        and figures['roots/gt/recall'] == 9.0
    )
    assert (
        figures['mupots/scratch/k/PCK_All'] == 40.0
        and figures['mupots/wsp/net/abs_PCK_Matched'] == 41.0
    )
    assert figures['mupots/wsp/k/PCK_Matched'] is None  # not averaged away
    text = report.write()[1].read_text()
    assert 'Matched: no matched person in TS1' in text
    assert '(mupots/inference/viewer.html)' in text and 'AP50 62.5' in text
    assert '| WSP pre-training | detector boxes, learned root | All | 41.1 |' in text
    # True boxes are a bound, no result: they have no row in Table 7.
    assert text.count(f'| {ROOTS["gt"]} |') == len(POSES)


def test_results_are_kept(results, tmp_path):
    results.save(tmp_path / 'a' / 'results.json')
    again = MuPoTSResults.load(tmp_path / 'a' / 'results.json')
    assert again.roots == results.roots and again.start == results.start
    assert np.isnan(again.scores['wsp/k']['mupots/PCK_Matched'])
    assert MuPoTSResults.load(tmp_path / 'b.json') is None
    (tmp_path / 'b.json').write_text('{"start": "a.pth:1:2", "scores": {}}')  # of another version
    assert MuPoTSResults.load(tmp_path / 'b.json') is None


def test_a_checkpoint_that_was_written_anew_is_another(tmp_path):
    file = tmp_path / 'epoch_1.pth'
    file.write_text('weights')
    before = identity(file)
    os.utime(file, ns=(1, 1))
    assert identity(file) != before
