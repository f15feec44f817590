# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import importlib.util
import json

import numpy as np
import pytest
from scipy.io import savemat

from wsp_mm.evaluation.metrics.mupots_3dpck import MuPoTS3DPCK


@pytest.fixture(scope='module')
def world(repo, tmp_path_factory):
    """Folder of a small MuPoTS-3D, and noisy predictions for it."""
    spec = importlib.util.spec_from_file_location(
        'mupots_fixture', repo / 'tests/evaluation/mupots_fixture.py'
    )
    fixture = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fixture)
    root = tmp_path_factory.mktemp('score_mupots')
    truth = fixture.write_mupots(root)
    rng = np.random.default_rng(0)
    predictions = {
        key: (flat, deep + rng.normal(0, 90, deep.shape))
        for key, (flat, deep) in fixture.perfect_predictions(truth).items()
    }
    return root, predictions


def write(folder, predictions):
    """The mat files as 3DMPPE's code writes them."""
    folder.mkdir(exist_ok=True)
    for side, dim in ((0, 2), (1, 3)):
        savemat(
            folder / f'preds_{dim}d_kpt_mupots.mat',
            {key: pair[side] for key, pair in predictions.items()},
        )
    return folder


def score(load_tool, world, folder, *options):
    tool = load_tool('analysis_tools/score_mupots')
    return tool.main([str(folder), '--ann-file', str(world[0] / 'mupots/MuPoTS-3D.json'), *options])


def test_figures_are_the_metrics(world, load_tool, tmp_path, capsys):
    predictions = world[1]
    samples = [
        dict(
            id=f'{key}-{i}', frame_key=key, det_idx=i,
            pred_instances=dict(keypoints=flat[i : i + 1], keypoints_cam=deep[i : i + 1]),
        )
        for key, (flat, deep) in predictions.items()
        for i in range(len(flat))
    ]  # fmt: skip
    metric = MuPoTS3DPCK(
        data_root=str(world[0]), joint_set='mupots17', dump_dir=str(tmp_path / 'dump')
    )
    metric.process({}, samples)
    metrics = metric.evaluate(len(samples))
    capsys.readouterr()
    out = tmp_path / 'scores.json'
    for folder in (tmp_path / 'dump', write(tmp_path / 'theirs', predictions)):
        assert score(load_tool, world, folder, '--absolute', '--out', str(out)) == 0
        found = json.loads(out.read_text())
        assert metrics.keys() <= found.keys()
        assert {key: found[key] for key in metrics} == metrics
        assert 'mupots/PCK_All_TS1_Head' in found
        shown = capsys.readouterr()
        assert (
            f'{metrics["mupots/abs_PCK_All_120"]:.1f}' in shown.out
            and 'ground truth of annot.mat' in shown.out
        )
        assert '3 sequences instead of 20' in shown.out and not shown.err


def test_relative_alone_and_undefined_as_null(world, load_tool, tmp_path, capsys):
    predictions = world[1]
    nobody = {key: (flat[:0], deep[:0]) for key, (flat, deep) in predictions.items()}
    out = tmp_path / 'scores.json'
    folder = write(tmp_path / 'p', nobody)
    assert score(load_tool, world, folder, '--out', str(out), '--prefix', 'mine') == 0
    found = json.loads(out.read_text())
    assert (
        found['mine/PCK_All'] == 0
        and found['mine/PCK_Matched'] is None
        and found['mine/PCK_Matched_TS2'] is None
    )
    assert not any('abs_' in key for key in found)
    shown = capsys.readouterr()
    assert 'Matched: TS1, TS2, TS10: no person whom a prediction matches' in shown.out
    assert 'absolute' not in shown.out


def test_frames_that_the_files_lack_count_and_are_said(world, load_tool, tmp_path, capsys):
    predictions = world[1]
    some = {key: pair for key, pair in predictions.items() if key != 'TS1_img_000002'}
    assert score(load_tool, world, write(tmp_path, some)) == 0
    assert (
        '1 frames with persons are not in the files, the first is TS1_img_000002'
        in capsys.readouterr().err
    )


def test_truth_of_the_json(world, load_tool, tmp_path, capsys):
    folder = write(tmp_path, world[1])
    assert score(load_tool, world, folder, '--json-truth') == 0
    shown = capsys.readouterr()
    assert 'ground truth of json' in shown.out and 'not scaled to the universal height' in shown.err
    assert score(load_tool, world, folder, '--sequences-dir', str(world[0] / 'nowhere')) == 1
    assert 'nowhere is no folder: give --sequences-dir' in capsys.readouterr().err
    sequences = str(world[0] / 'mupots/MultiPersonTestSet')
    assert score(load_tool, world, folder, '--sequences-dir', sequences) == 0
    assert 'ground truth of annot.mat' in capsys.readouterr().out


def test_what_is_wrong_is_one_line(world, load_tool, tmp_path, capsys):
    predictions = world[1]
    assert score(load_tool, world, tmp_path) == 1
    assert 'preds_2d_kpt_mupots.mat does not exist' in capsys.readouterr().err
    other = dict(predictions, TS19_img_000000=predictions['TS1_img_000000'])
    folder = write(tmp_path / 'other', other)
    assert score(load_tool, world, folder) == 1
    error = capsys.readouterr().err
    assert "'TS19_img_000000'" in error and error.count('\n') == 1
    good = write(tmp_path / 'good', predictions)
    files = (
        '--preds-2d',
        str(good / 'preds_2d_kpt_mupots.mat'),
        '--preds-3d',
        str(good / 'preds_3d_kpt_mupots.mat'),
    )
    assert score(load_tool, world, folder, *files) == 0
    tool = load_tool('analysis_tools/score_mupots')
    capsys.readouterr()
    assert tool.main([str(good), '--ann-file', str(tmp_path / 'no.json'), '--json-truth']) == 1
    assert 'no.json: there is no such file' in capsys.readouterr().err
