# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import math
from types import SimpleNamespace

import numpy as np
import pytest

from wsp_mm.evaluation.functional import mupots_3dpck, mupots_errors
from wsp_mm.evaluation.mupots_scores import (
    mupots_scores,
    parse_key,
    undefined_sequences,
    without_details,
)
from wsp_mm.structures.mupots import read_mupots


def frame(sequence, number, poses, valid=None, univ=None, occluded=None):
    """Ground truth of a frame, as read_mupots gives it."""
    poses = np.reshape(poses, (-1, 17, 3))
    return SimpleNamespace(
        sequence=sequence,
        frame=number,
        key=f'TS{sequence}_img_{number:06d}',
        keypoints_img=poses[..., :2] / poses[..., 2:] * 1000,
        keypoints_cam=poses,
        keypoints_univ=poses if univ is None else univ,
        valid=np.ones(len(poses), bool) if valid is None else np.array(valid),
        occluded=np.zeros((len(poses), 17), bool) if occluded is None else occluded,
    )


def people(seed, count):
    rng = np.random.default_rng(seed)
    return rng.normal(0, (90, 250, 90), (count, 17, 3)) + (rng.permutation(count) * 1500)[:, None, None] * (
        np.array([1, 0, 0])
    ) + np.array([0, 0, 5000])  # fmt: skip


def predicted(of, shift=0.0, who=slice(None)):
    return of.keypoints_img[who], of.keypoints_univ[who] + shift


def test_perfect_predictions_on_disk(mupots_world, mupots):
    root, truth = mupots_world
    read = read_mupots(root / 'mupots/MuPoTS-3D.json', root / 'mupots/MultiPersonTestSet')
    assert read.source == 'annot.mat'
    scores = mupots_scores(read.frames, mupots.perfect_predictions(truth))
    for start in ('', 'abs_'):
        for mode in ('All', 'Matched'):
            assert scores[f'{start}PCK_{mode}'] == scores[f'{start}PCK_{mode}_100'] == 100
            assert scores[f'{start}AUC_{mode}'] == pytest.approx(96.774, abs=1e-3)
            assert (
                scores[f'{start}PCK_{mode}_visible'] == scores[f'{start}PCK_{mode}_occluded'] == 100
            )
            assert scores[f'{start}PCK_{mode}_TS10_Knee'] == 100
    # 10 frames of 2 persons, one frame of each of the three sequences without a valid one
    assert scores['n_frames'] == 10 and scores['n_predictions'] == 20
    assert scores['n_persons'] == scores['n_matched'] == 14
    assert (
        scores['n_sequences'] == 3
        and scores['n_undefined_All'] == scores['n_undefined_Matched'] == 0
    )
    assert scores['n_frames_without_predictions'] == 0


def test_the_universal_pose_is_what_counts(mupots_world, mupots):
    """Camera poses fit relative ones by their bones' lengths, but lie elsewhere in space."""
    root, truth = mupots_world
    predictions = mupots.perfect_predictions(truth, scale=1.0)
    paths = root / 'mupots/MuPoTS-3D.json', root / 'mupots/MultiPersonTestSet'
    official = mupots_scores(read_mupots(*paths).frames, predictions)
    assert official['PCK_All'] == 100 and official['abs_PCK_All'] == 0
    by_json = mupots_scores(read_mupots(paths[0]).frames, predictions)
    assert by_json['PCK_All'] == by_json['abs_PCK_All'] == 100


def test_no_prediction_at_all(mupots_world):
    root, _ = mupots_world
    read = read_mupots(root / 'mupots/MuPoTS-3D.json', root / 'mupots/MultiPersonTestSet')
    scores = mupots_scores(read.frames, {})
    assert scores['PCK_All'] == scores['AUC_All'] == scores['abs_PCK_All'] == 0
    assert scores['PCK_All_visible'] == scores['PCK_All_occluded'] == 0
    assert math.isnan(scores['PCK_Matched']) and math.isnan(scores['PCK_Matched_defined'])
    assert scores['n_matched'] == scores['n_predictions'] == 0
    assert scores['n_frames_without_predictions'] == 7  # of the three others nobody is valid
    assert scores['n_undefined_Matched'] == 3 and scores['n_undefined_All'] == 0
    assert undefined_sequences(scores, 'Matched') == ['TS1', 'TS2', 'TS10']
    assert undefined_sequences(scores, 'All') == []


def test_frames_without_predictions_count_in_all_alone():
    one, two = frame(4, 0, people(0, 1)), frame(4, 1, people(1, 1))
    scores = mupots_scores([one, two], {one.key: predicted(one)})
    assert scores['PCK_All'] == 50 and scores['PCK_Matched'] == 100
    assert (
        scores['n_persons'] == 2
        and scores['n_matched'] == 1
        and scores['n_frames_without_predictions'] == 1
    )


def test_persons_who_are_not_valid_neither_count_nor_take_a_prediction():
    pose = people(0, 1)
    broken = frame(1, 0, np.concatenate([pose * np.nan, pose]), valid=[False, True])
    assert mupots_scores([broken], {broken.key: predicted(broken, who=[1])})['PCK_All'] == 100
    twice = frame(1, 0, np.concatenate([pose, pose]), valid=[False, True])
    scores = mupots_scores([twice], {twice.key: predicted(twice, who=[1])})
    assert scores['PCK_All'] == 100 and scores['n_persons'] == 1


def test_seen_and_hidden_follow_their_persons():
    """The first person is missed, the second found: its occlusion labels, not the first one's,
    count.
    """
    occluded = np.zeros((2, 17), bool)
    occluded[0, 0:14], occluded[1, 3] = True, True
    both = frame(1, 0, people(0, 2), occluded=occluded)
    pred_2d, pred_3d = predicted(both, who=[1])
    pred_3d = pred_3d.copy()
    pred_3d[0, 4] += (0, 0, 9000)  # a visible wrist of the second person
    scores = mupots_scores([both], {both.key: (pred_2d, pred_3d)})
    assert scores['PCK_All_occluded'] == pytest.approx(100 * 1 / 15)
    assert (
        scores['PCK_All_visible'] == scores['PCK_Matched_visible'] == pytest.approx(100 * 12 / 13)
    )
    assert scores['PCK_Matched_occluded'] == 100


def test_absolute_or_not():
    one = frame(1, 0, people(0, 2))
    scores = mupots_scores([one], {one.key: predicted(one, shift=(0, 0, 120.0))})
    assert (
        scores['PCK_All'] == 100
        and scores['abs_PCK_All_120'] == 0
        and scores['abs_PCK_All_130'] == 100
    )
    assert scores['abs_PCK_All_TS1_Hip'] == 100
    without = mupots_scores([one], {one.key: predicted(one)}, absolute=False)
    assert not any(key.startswith('abs_') for key in without) and without['PCK_All'] == 100


def test_equals_the_functional_layer(mupots_world, mupots):
    root, truth = mupots_world
    rng = np.random.default_rng(0)
    predictions = {
        key: (flat[:1], deep[:1] + rng.normal(0, 90, (1, 17, 3)))
        for key, (flat, deep) in mupots.perfect_predictions(truth).items()
    }
    frames = read_mupots(root / 'mupots/MuPoTS-3D.json', root / 'mupots/MultiPersonTestSet').frames
    scores = mupots_scores(frames, predictions, thresholds_mm=(50, 100))
    for matched_only, mode in ((False, 'All'), (True, 'Matched')):
        errors = {}
        for sequence in (1, 2, 10):
            rows = [
                dict(
                    gt_2d=f.keypoints_img[f.valid], gt_3d=f.keypoints_univ[f.valid],
                    pred_2d=predictions[f.key][0], pred_3d=predictions[f.key][1],
                )
                for f in frames
                if f.sequence == sequence
            ]  # fmt: skip
            errors[sequence] = mupots_errors(rows, matched_only=matched_only)
        expected = mupots_3dpck(errors, (50, 100))
        assert 0 < expected['PCK'] < 100
        for ours, theirs in (
            (f'PCK_{mode}', 'PCK'), (f'PCK_{mode}_50', 'PCK_50'), (f'AUC_{mode}', 'AUC'),
            (f'PCK_{mode}_TS10', 'PCK_TS10'), (f'AUC_{mode}_TS2', 'AUC_TS2'), (f'PCK_{mode}_Knee', 'PCK_Knee'),
            (f'PCK_{mode}_TS1_Head', 'PCK_TS1_Head'), (f'PCK_{mode}_100_defined', 'PCK_100_defined'),
        ):  # fmt: skip
            assert scores[ours] == expected[theirs]


def test_details_stay_out_of_logs():
    one = frame(1, 0, people(0, 1))
    kept = without_details(mupots_scores([one], {}))
    for key in (
        'PCK_All',
        'PCK_All_100',
        'PCK_All_TS1',
        'PCK_All_Head',
        'abs_AUC_All',
        'n_sequences_All_occluded',
    ):
        assert key in kept
    for key in ('PCK_All_TS1_Head', 'AUC_All_TS1', 'abs_PCK_Matched_TS1_Hip', 'abs_AUC_All_TS1'):
        assert key not in kept
    assert all(isinstance(value, (int, float)) for value in kept.values())


def test_wrong_input_is_named():
    one = frame(1, 0, people(0, 1))
    with pytest.raises(ValueError, match='no frame to score'):
        mupots_scores([], {})
    with pytest.raises(ValueError, match=r'1 frames .* key of another'):
        mupots_scores([one, one], {})
    with pytest.raises(ValueError, match=r"1 frames have predictions.*'TS1_img_000001'"):
        mupots_scores([one], {'TS1_img_000001': predicted(one)})
    with pytest.raises(
        ValueError,
        match=r'predictions of TS1_img_000000 must be .* got \(1, 17, 2\) and \(1, 21, 3\)',
    ):
        mupots_scores([one], {one.key: (np.zeros((1, 17, 2)), np.zeros((1, 21, 3)))})
    with pytest.raises(ValueError, match=r'got \(2, 17, 2\) and \(1, 17, 3\)'):
        mupots_scores([one], {one.key: (np.zeros((2, 17, 2)), np.zeros((1, 17, 3)))})
    with pytest.raises(
        ValueError, match='valid person of TS1_img_000000 has joints that are not finite'
    ):
        mupots_scores([frame(1, 0, people(0, 1), univ=np.full((1, 17, 3), np.nan))], {})


def test_keys():
    assert parse_key('TS20_img_000345') == (20, 345)
    for bad in (
        'TS1/img_000000',
        'TS0_img_000000',
        'TS1_img_1',
        'xTS1_img_000000',
        'TS1_img_0000001',
        None,
        3,
    ):
        with pytest.raises(ValueError, match='does not name a frame'):
            parse_key(bad)
