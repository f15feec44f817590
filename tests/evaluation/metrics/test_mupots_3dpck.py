# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import logging
import math

import pytest
from metric_fixture import build, evaluate, logged, mupots_samples, same

from wsp_mm.evaluation.mupots import mupots_scores, without_details
from wsp_mm.evaluation.predictions import FILE_2D, FILE_3D, load_mupots

NAME = 'MuPoTS3DPCK'


@pytest.fixture
def samples(mupots_world):
    return mupots_samples(mupots_world[1])


@pytest.fixture
def score(mupots_world):
    def run(samples, **options):
        return evaluate(samples, NAME, **{'data_root': str(mupots_world[0]), **options})

    return run


def test_equals_the_scores_of_the_mat_files_that_it_writes(
    samples, score, mupots_world, mupots_gt, tmp_path
):
    metrics = score(samples, dump_dir=str(tmp_path / 'dump'))
    predictions = load_mupots(tmp_path / 'dump' / FILE_2D, tmp_path / 'dump' / FILE_3D)
    assert set(predictions) == set(mupots_world[1])  # every frame of the test set
    for key, count in (('TS2_img_000002', 0), ('TS1_img_000003', 1), ('TS10_img_000000', 2)):
        assert predictions[key][0].shape == (count, 17, 2)
    expected = without_details(mupots_scores(mupots_gt.frames, predictions))
    same(metrics, {f'mupots/{key}': value for key, value in expected.items()})
    assert 0 < metrics['mupots/PCK_All'] < metrics['mupots/PCK_Matched'] < 100
    # TS2: one of two frames found; TS1: 5 of 6 persons. Frames that made no sample count.
    assert metrics['mupots/n_persons'] == 14 and metrics['mupots/n_matched'] == 11
    assert metrics['mupots/n_frames'] == 10 and metrics['mupots/n_frames_without_predictions'] == 1


def test_no_detection_at_all(score, mupots_world, tmp_path):
    metrics = score([], size=0, dump_dir=str(tmp_path))
    assert metrics['mupots/PCK_All'] == 0 and math.isnan(metrics['mupots/PCK_Matched'])
    assert metrics['mupots/n_persons'] == 14 and metrics['mupots/n_predictions'] == 0
    assert set(load_mupots(tmp_path / FILE_2D, tmp_path / FILE_3D)) == set(mupots_world[1])


def test_the_order_of_samples_does_not_matter_but_that_of_det_idx_does(mupots_world, score):
    """Two predictions that suit the first person equally well: the one with the lower number is
    taken.
    """
    good, bad = mupots_samples(mupots_world[1], noise=0)[:2]
    pred = good['pred_instances']
    bad['pred_instances'] = dict(pred, keypoints_cam=-pred['keypoints_cam'].numpy())
    first = score([good, bad])
    same(score([bad, good]), first)
    good['det_idx'], bad['det_idx'] = 5, 2
    assert first['mupots/PCK_All_TS1'] == pytest.approx(100 / 6)
    assert score([good, bad])['mupots/PCK_All_TS1'] < 10


def test_ground_truth_of_the_json_is_said(samples, score, monkeypatch):
    lines = logged(monkeypatch, 'mupots_3dpck')
    score(samples)
    (table, _), (warning, level) = lines
    assert 'annot.mat' in table and 'Table 7' in table and 'bsolute positions' in table
    assert level == logging.WARNING and '3 sequences instead of 20' in warning
    lines.clear()
    metrics = score(samples, sequences_dir=None, show_tables=False, absolute=False, prefix='mine')
    assert all(level == logging.WARNING for _, level in lines)
    assert any('universal height' in text for text, _ in lines)
    assert 'mine/PCK_All' in metrics and not any('abs_' in key for key in metrics)
    lines.clear()
    score([s for s in samples if not s['frame_key'].startswith('TS2_')])
    assert any('Matched' in text and 'TS2' in text for text, level in lines if level)


def test_other_joint_sets_and_thresholds(samples, score):
    expected = score(samples)
    for sample in samples:
        pred = sample['pred_instances']
        for key in ('keypoints', 'keypoints_cam'):
            pred[key] = pred[key][:, :17]
    metrics = score(samples, joint_set='mupots17', thresholds_mm=(50,))
    assert metrics['mupots/PCK_All'] == expected['mupots/PCK_All']
    assert 'mupots/PCK_All_50' in metrics and 'mupots/PCK_All_100' not in metrics
    with pytest.raises(KeyError, match='muco'):
        build(NAME, joint_set='muco')
    with pytest.raises(ValueError, match='h36m18 lacks head'):
        build(NAME, joint_set='h36m18')


def test_wrong_frames_and_numbers_are_named(samples, score, tmp_path):
    one, other = samples[:2]
    with pytest.raises(ValueError, match='TS3_img_000000'):
        score([dict(one, frame_key='TS3_img_000000')])
    with pytest.raises(ValueError, match=r'TS1_img_000000.* det_idx'):
        score([one, dict(other, det_idx=0)])
    with pytest.raises(ValueError, match=r'MuPoTS-3D\.json'):
        score([one], data_root=str(tmp_path))
