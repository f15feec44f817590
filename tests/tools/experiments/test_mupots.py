# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json
import sys
from pathlib import Path

import mupots
import pytest
from mupots import POSES, ROOTS
from process_fixture import run
from report import Report

from wsp_mm.evaluation.functional.mupots import THRESHOLDS_MM

ROOT_NAMES = (
    'MRPE', 'MRPE_x', 'MRPE_y', 'MRPE_z', 'AP_root', 'recall', 'n_matched', 'n_roots', 'prior_z',
)  # fmt: skip


def scores(value):
    flat = {'mupots/n_sequences': 20}
    for mode in ('All', 'Matched'):
        flat |= {f'mupots/{start}PCK_{mode}': value for start in ('', 'abs_')}
        flat |= {f'mupots/PCK_{mode}_{mm}': value + mm / 1000 for mm in THRESHOLDS_MM}
        flat |= {f'mupots/AUC_{mode}': value / 2, f'mupots/PCK_{mode}_TS1': value}
    return flat


@pytest.fixture
def out(tmp_path, monkeypatch):
    """Metrics as the chain leaves them; those of the roots are made up."""
    kinds = list(enumerate(ROOTS))
    files = {f'tests/{pose}-{kind}': scores(40.0 + i) for i, kind in kinds for pose in POSES}
    files['tests/wsp-k'] |= {f'mupots/PCK_Matched{s}': None for s in ('', '_TS1')}
    files['tests/wsp-k'] |= {'mupots/PCK_Matched_defined': 39.0}
    files['detector/test'] = {'coco/bbox_mAP_50': 0.625}
    files['root/test'] = {f'root/{name}': 9.0 for name in ROOT_NAMES}
    for name, flat in files.items():
        (tmp_path / 'mupots' / name).mkdir(parents=True)
        (tmp_path / 'mupots' / name / 'metrics.json').write_text(json.dumps(flat))
    of_file = {'k': dict.fromkeys(ROOT_NAMES, 7.0), 'net': dict.fromkeys(ROOT_NAMES, 8.0)}
    monkeypatch.setattr(mupots, 'root_scores', lambda file, *_: of_file[file.stem.split('_')[-1]])
    return tmp_path / 'mupots'


def test_sections_and_figures(out):
    report = Report('r', out.parent)
    names = ('root-train', *(f'muco-{name}-train' for name in POSES))
    figures = mupots.add_sections(report, Path('data'), out, dict.fromkeys(names, 60.0))
    report.write()
    assert figures['detector/AP50'] == 62.5
    assert [figures[f'roots/{kind}/MRPE'] for kind in ('k', 'net', 'gt')] == [7.0, 8.0, 9.0]
    assert figures['mupots/scratch/k/PCK_All'] == 40.0
    assert figures['mupots/wsp/net/abs_PCK_Matched'] == 41.0
    assert figures['mupots/wsp/k/PCK_Matched'] is None  # not averaged away
    text = (out.parent / 'report.md').read_text()
    assert '(mupots/inference/viewer.html)' in text and 'AP50 62.5' in text and 'TS1' in text
    assert '| WSP pre-training | detector boxes, learned root | All | 41.1 |' in text
    # True boxes are a bound, no result: they have no row in Table 7.
    assert text.count(f'| {ROOTS["gt"]} |') == len(POSES)


def test_the_camera_file_of_one_sequence(tmp_path):
    names = enumerate(('TS1/img_000000.jpg', 'TS10/img_000000.jpg'))
    images = [dict(file_name=name, intrinsic=[i, i, 5, 6]) for i, name in names]
    (tmp_path / 'ann.json').write_text(json.dumps(dict(images=images)))
    files = [tmp_path / 'ann.json', tmp_path / 'camera.json']
    run(sys.executable, '-c', mupots.CAMERAS, *files)
    written = json.loads(files[1].read_text())
    assert written == {'images': {'img_000000.jpg': {'intrinsic': [0, 0, 5, 6]}}}
