# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import math
from types import SimpleNamespace

import numpy as np
import pytest
from mupots_fixture import perfect_predictions

from wsp_mm.datasets.mupots_annotations import read_mupots
from wsp_mm.evaluation.mupots import mupots_scores


def frame(sequence, number, poses, univ=None, occluded=None):
    """Ground truth of a frame, as read_mupots gives it."""
    poses = np.reshape(poses, (-1, 17, 3))
    return SimpleNamespace(
        sequence=sequence,
        frame=number,
        key=f'TS{sequence}_img_{number:06d}',
        keypoints_img=poses[..., :2] / poses[..., 2:] * 1000,
        keypoints_cam=poses,
        keypoints_univ=poses if univ is None else univ,
        occluded=np.zeros((len(poses), 17), bool) if occluded is None else occluded,
    )


def people(seed, count):
    """Persons 1.5 m from each other."""
    rng = np.random.default_rng(seed)
    poses = rng.normal(0, (90, 250, 90), (count, 17, 3)) + np.array([0, 0, 5000])
    return poses + np.arange(count)[:, None, None] * np.array([1500, 0, 0])


def predicted(of, shift=0.0, who=slice(None)):
    return of.keypoints_img[who], of.keypoints_univ[who] + shift


def test_perfect_predictions_on_disk(mupots_world, mupots_gt):
    assert mupots_gt.source == 'annot.mat'
    scores = mupots_scores(mupots_gt.frames, perfect_predictions(mupots_world[1]))
    for start in ('PCK_All', 'abs_PCK_Matched'):
        for end in ('', '_100', '_visible', '_occluded', '_TS10_Knee'):
            assert scores[start + end] == 100
        assert scores[start.replace('PCK', 'AUC')] == pytest.approx(96.774, abs=1e-3)
    # 10 frames of 2 persons, one frame of each of the three sequences without a valid one
    counts = dict(
        frames=10, predictions=20, persons=14, matched=14, sequences=3, undefined_All=0,
        undefined_Matched=0, frames_without_predictions=0,
    )  # fmt: skip
    assert {key: scores[f'n_{key}'] for key in counts} == counts


def test_the_universal_pose_is_what_counts(mupots_world, mupots_gt):
    """Camera poses fit relative ones by their bones' lengths, but lie elsewhere in space."""
    predictions = perfect_predictions(mupots_world[1], scale=1.0)
    official = mupots_scores(mupots_gt.frames, predictions)
    assert official['PCK_All'] == 100 and official['abs_PCK_All'] == 0
    by_json = read_mupots(mupots_world[0] / 'mupots' / 'MuPoTS-3D.json')
    scores = mupots_scores(by_json.frames, predictions)
    assert scores['PCK_All'] == scores['abs_PCK_All'] == 100


def test_frames_without_predictions_count_in_all_alone():
    one, two = frame(4, 0, people(0, 1)), frame(4, 1, people(1, 1))
    scores = mupots_scores([one, two], {one.key: predicted(one)})
    assert scores['PCK_All'] == 50 and scores['PCK_Matched'] == 100
    counts = [scores[f'n_{k}'] for k in ('persons', 'matched', 'frames_without_predictions')]
    assert counts == [2, 1, 1]
    nothing = mupots_scores([one, two], {})
    assert nothing['AUC_All'] == nothing['abs_PCK_All'] == nothing['PCK_All_visible'] == 0
    assert math.isnan(nothing['PCK_Matched']) and math.isnan(nothing['PCK_Matched_defined'])
    assert nothing['n_undefined_Matched'] == 1 and nothing['n_undefined_All'] == 0


def test_occlusion_labels_follow_their_persons():
    """The first person is missed, the second found: its labels, not the first one's, count."""
    occluded = np.zeros((2, 17), bool)
    occluded[0, 0:14], occluded[1, 3] = True, True
    both = frame(1, 0, people(0, 2), occluded=occluded)
    pred_2d, pred_3d = predicted(both, who=[1])
    pred_3d[0, 4] += (0, 0, 9000)  # a visible wrist of the second person
    scores = mupots_scores([both], {both.key: (pred_2d, pred_3d)})
    assert scores['PCK_All_occluded'] == pytest.approx(100 * 1 / 15)
    assert scores['PCK_All_visible'] == scores['PCK_Matched_visible']
    assert scores['PCK_All_visible'] == pytest.approx(100 * 12 / 13)
    assert scores['PCK_Matched_occluded'] == 100


def test_absolute_or_not():
    one = frame(1, 0, people(0, 2))
    predictions = {one.key: predicted(one, shift=np.array([0, 0, 120.0]))}
    scores = mupots_scores([one], predictions)
    assert scores['PCK_All'] == scores['abs_PCK_All_130'] == scores['abs_PCK_All_TS1_Hip'] == 100
    assert scores['abs_PCK_All_120'] == 0
    without = mupots_scores([one], predictions, absolute=False)
    assert without.items() == {k: v for k, v in scores.items() if k[:3] != 'abs'}.items()


ONE = frame(1, 0, people(0, 1))
BROKEN = frame(1, 0, people(0, 1), univ=np.full((1, 17, 3), np.nan))


@pytest.mark.parametrize(
    ('frames', 'predictions', 'message'),
    [
        ([], {}, '0 frames'),
        ([ONE, ONE], {}, '2 frames'),
        ([ONE], {'TS1_img_000001': predicted(ONE)}, "'TS1_img_000001'"),
        ([ONE], {ONE.key: (np.zeros((1, 17, 2)), np.zeros((1, 21, 3)))}, ONE.key),
        ([ONE], {ONE.key: (np.zeros((2, 17, 2)), np.zeros((1, 17, 3)))}, ONE.key),
        ([BROKEN], {}, f'{ONE.key} is not finite'),
    ],
)
def test_wrong_input_is_named(frames, predictions, message):
    with pytest.raises(ValueError, match=message):
        mupots_scores(frames, predictions)
