# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""tools/score.py: the figures of the metrics, from files."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

sys.path.append(str(Path(__file__).parents[1] / 'evaluation'))  # mupots_fixture, metric_fixture


@pytest.fixture
def score(load_tool, tmp_path):
    """``score(command, ...)`` runs the tool and returns its json, None where it failed."""

    def run(*arguments):
        out = tmp_path / 'out' / 'scores.json'
        done = load_tool('score').main([*map(str, arguments), '--out', str(out)])
        return None if done else json.loads(out.read_text())

    return run


def same(found, expected):
    plain = {key: None if np.isnan(value) else value for key, value in expected.items()}
    assert {key: found[key] for key in expected} == plain


@pytest.fixture
def tested(tmp_path):
    """Figures and dump of one test, as MMEngine's Evaluator makes both."""
    from metric_fixture import pose_samples
    from mmengine.evaluator import Evaluator

    samples, dump = pose_samples(6), tmp_path / 'dump.npz'
    dumping = dict(type='DumpPredictions', out_file=str(dump))
    evaluator = Evaluator([dict(type='MPJPEMetric3D'), dumping])
    for metric in evaluator.metrics:
        metric.process({}, samples)
    return evaluator.evaluate(len(samples)), dump


def test_poses(tested, score, tmp_path, capsys):
    metrics, dump = tested
    same(score('h36m', dump), metrics)
    assert f'{metrics["h36m/MPJPE_action_Photo"]:.1f}' in capsys.readouterr().out
    file = tmp_path / 'pred.json'
    file.write_text(json.dumps(dict(ids=list(range(6)), pred=np.zeros((6, 18, 3)).tolist())))
    assert score('h36m', file) is None
    assert '--gt' in capsys.readouterr().err
    assert score('h36m', file, '--gt', dump, '--prefix', 'mine')['mine/n'] == 6
    for wrong, message in (
        ([tmp_path / 'nothing.npz'], 'nothing.npz'),
        ([dump, '--joint-set', 'h37m'], 'h37m'),
    ):
        assert score('h36m', *wrong) is None
        assert message in capsys.readouterr().err
    arrays = dict(np.load(dump))
    arrays['gt_instances.keypoints_cam'][2] /= 1000
    np.savez(tmp_path / 'odd.npz', **arrays)
    assert score('h36m', tmp_path / 'odd.npz')['h36m/n'] == 5
    assert 'odd.npz: sample 2' in capsys.readouterr().err


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    """MuPoTS-3D.json of a small test set, and noisy predictions for it."""
    from mupots_fixture import perfect_predictions, write_mupots

    root = tmp_path_factory.mktemp('score_mupots')
    perfect, rng = perfect_predictions(write_mupots(root)), np.random.default_rng(0)
    noisy = {k: (flat, deep + rng.normal(0, 90, deep.shape)) for k, (flat, deep) in perfect.items()}
    return root / 'mupots' / 'MuPoTS-3D.json', noisy


def write(folder, predictions):
    """The mat files as 3DMPPE's code writes them."""
    folder.mkdir(exist_ok=True)
    for side, dim in ((0, 2), (1, 3)):
        content = {key: pair[side] for key, pair in predictions.items()}
        savemat(folder / f'preds_{dim}d_kpt_mupots.mat', content)
    return folder


def test_mupots(world, score, tmp_path, capsys):
    from metric_fixture import evaluate

    ann_file, predictions = world
    samples = [
        dict(
            id=f'{key}-{i}', frame_key=key, det_idx=i,
            pred_instances=dict(keypoints=flat[i : i + 1], keypoints_cam=deep[i : i + 1]),
        )
        for key, (flat, deep) in predictions.items()
        for i in range(len(flat))
    ]  # fmt: skip
    options = dict(data_root=str(ann_file.parents[1]), joint_set='mupots17')
    metrics = evaluate(samples, 'MuPoTS3DPCK', dump_dir=str(tmp_path / 'dump'), **options)
    capsys.readouterr()
    for folder in (tmp_path / 'dump', write(tmp_path / 'theirs', predictions)):
        found = score('mupots', folder, '--ann-file', ann_file, '--absolute')
        same(found, metrics)
        assert 'mupots/PCK_All_TS1_Head' in found
        shown = capsys.readouterr()
        assert f'{metrics["mupots/abs_PCK_All_120"]:.1f}' in shown.out
        assert 'annot.mat' in shown.out and '3 sequences instead of 20' in shown.out
        assert not shown.err


def test_mupots_notes_and_errors(world, score, tmp_path, capsys):
    ann, predictions = ('--ann-file', world[0]), world[1]
    some = {key: pair for key, pair in predictions.items() if key != 'TS1_img_000002'}
    good, less = write(tmp_path / 'good', predictions), write(tmp_path / 'less', some)
    other = write(tmp_path / 'other', {**predictions, 'TS19_img_000000': ([], [])})
    files = [good / f'preds_{dim}d_kpt_mupots.mat' for dim in (2, 3)]
    for arguments, fails, message in (
        ((less, *ann), False, 'TS1_img_000002'),
        ((good, *ann, '--json-gt'), False, 'universal height'),
        ((other, *ann, '--preds-2d', files[0], '--preds-3d', files[1]), False, ''),
        ((good, *ann, '--sequences-dir', tmp_path / 'nowhere'), True, '--json-gt'),
        ((tmp_path, *ann), True, 'preds_2d_kpt_mupots.mat'),
        ((other, *ann), True, "'TS19_img_000000'"),
        ((good, '--ann-file', tmp_path / 'no.json', '--json-gt'), True, 'no.json'),
    ):
        capsys.readouterr()
        assert (score('mupots', *arguments) is None) == fails
        error = capsys.readouterr().err
        assert message in error and error.count('\n') == bool(message)


@pytest.fixture(scope='module')
def roots(world):
    """``roots(file, scale)`` writes boxes centred on the true roots, and roots at ``scale`` times
    the true distance.
    """
    from wsp_mm.datasets.mupots_annotations import read_mupots

    frames = read_mupots(world[0]).frames

    def write_file(file, scale):
        records = []
        for frame in frames:
            roots = frame.keypoints_cam[:, 14], frame.keypoints_img[:, 14]
            for root, (x, y) in zip(*roots, strict=True):
                place = dict(image_id=frame.image_id, bbox=[x - 20, y - 20, 40, 40])
                score = 1 - root[2] / 1e5
                records.append(dict(place, root_cam=(root * scale).tolist(), score=score))
        file.write_text(json.dumps(records))
        return file

    return write_file


def test_roots(world, roots, score, tmp_path, capsys):
    files = [roots(tmp_path / f'{scale}.json', scale) for scale in (1.0, 1.03, 1.1)]
    good, near, far = score('roots', *files, '--ann-file', world[0]).values()
    # all 14 perfect, the first step of the recall left out
    assert good['AP_root'] == pytest.approx(100 * 13 / 14) and good['MRPE'] == 0
    assert good['n_matched'] == good['n_roots'] == 14
    # some 150 mm and 500 mm off
    assert near['AP_root'] == good['AP_root'] and 100 < near['MRPE_z'] < 200
    assert far['AP_root'] == 0 and far['MRPE_z'] == pytest.approx(near['MRPE_z'] * 10 / 3)
    assert 'AP_root' in capsys.readouterr().out
    (row,) = score('roots', files[1], '--ann-file', world[0], '--threshold', 50).values()
    assert row['AP_root'] == row['recall'] == 0


def test_ties_of_roots_are_in_file_order(world, roots, score, tmp_path):
    """All scores equal: false ones of the last image, listed first, lower the precision."""
    file = roots(tmp_path / 'ties.json', 1.0)
    records = [r | dict(score=1) for r in json.loads(file.read_text())]
    false = [r | dict(root_cam=[0, 0, 90000]) for r in records[-1:] * 6]
    for content, precision in (
        (records + false, [1.0] * 13),
        (false + records, [n / (n + 6) for n in range(1, 15)]),
    ):
        file.write_text(json.dumps(content))
        (row,) = score('roots', file, '--ann-file', world[0]).values()
        assert row['AP_root'] == pytest.approx(100 * sum(precision) / 14)


def test_units(world, roots, score, tmp_path, capsys):
    ann, predictions = ('--ann-file', world[0]), world[1]
    near = {key: (flat, deep - deep[:, 14:15]) for key, (flat, deep) in predictions.items()}
    write(tmp_path / 'near', near)
    assert score('mupots', tmp_path / 'near', *ann) is not None
    for arguments, message in (
        (('mupots', tmp_path / 'near', '--absolute'), 'near/preds_3d'),
        (('roots', roots(tmp_path / 'metres.json', 1e-3)), 'metres.json: prediction number'),
    ):
        assert score(*arguments, *ann) is None and message in capsys.readouterr().err


def test_roots_of_nobody_and_bad_files(world, roots, score, tmp_path, capsys):
    (tmp_path / 'none.json').write_text('[]')
    (row,) = score('roots', tmp_path / 'none.json', '--ann-file', world[0]).values()
    assert row['AP_root'] == 0 and row['n_roots'] == 14 and row['MRPE'] is None
    good = roots(tmp_path / 'good.json', 1.0)
    text = good.read_text().replace('"image_id": 1,', '"image_id": 77,')
    (tmp_path / 'other.json').write_text(text)
    for arguments, message in (
        ((tmp_path / 'other.json',), '77'),
        ((tmp_path / 'nowhere.json',), 'nowhere.json'),
        ((good, '--threshold', 0), '--threshold'),
    ):
        assert score('roots', *arguments, '--ann-file', world[0]) is None
        assert message in capsys.readouterr().err


def test_relative_human(score, tmp_path, capsys):
    from relative_human_fixture import annots, save

    from wsp_mm.datasets.relative_human_annotations import read_relative_human
    from wsp_mm.evaluation.relative_human import person_scores

    file = save(tmp_path / 'test_annots.npz', annots())
    depths, dump = np.linspace(1, 3, 12), tmp_path / 'dump.npz'
    roots = np.column_stack([depths, depths, 1000 * depths])
    np.savez(dump, **{'id': np.arange(12), 'pred_instances.root_cam': roots})
    truth = read_relative_human(file)
    for threshold in (0.2, 0.1):
        more = ('--threshold', threshold) if threshold != 0.2 else ()
        found = score('relative-human', dump, '--ann-file', file, *more)
        expected = person_scores(truth, np.arange(12), depths, threshold)
        same(found, {f'rh/{key}': value for key, value in expected.items()})
        assert f'{expected["PCDR"]:.2f}' in capsys.readouterr().out
    other = score('relative-human', dump, '--ann-file', file, '--prefix', 'mine')
    assert other['mine/n'] == 7
    capsys.readouterr()
    for wrong, message in (
        ([dump, '--ann-file', tmp_path / 'nothing.npz'], 'nothing.npz'),
        ([dump, '--ann-file', file, '--threshold', 0], 'threshold_m'),
        ([file, '--ann-file', file], 'test_annots.npz'),
    ):
        assert score('relative-human', *wrong) is None
        assert message in capsys.readouterr().err
