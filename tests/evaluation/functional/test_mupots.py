# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsp_mm.evaluation.functional import (
    mupots_3dpck,
    mupots_errors,
    mupots_matches,
    mupots_occlusion_pck,
)
from wsp_mm.evaluation.functional.mupots import JOINT_GROUPS, with_bone_lengths
from wsp_mm.structures.keypoints import get_joint_set

# The literal reference counts from 1, as MATLAB does: parent of joint n is PARENTS[n - 1].
PARENTS = [2, 16, 2, 3, 4, 2, 6, 7, 15, 9, 10, 15, 12, 13, 15, 15, 2]
TRAVERSAL = [15, 16, 2, 1, 17, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]


def literal_errors(frames, relative, matched_only):
    """Section by section of the evaluation's description, a loop for everything."""
    rows = []
    for frame in frames:
        used = []
        for i in range(len(frame['gt_2d'])):
            scores = []
            for j in range(len(frame['pred_2d'])):
                score = 0
                for n in range(2, 15):
                    x, y = frame['pred_2d'][j][n - 1]
                    dx, dy = abs(frame['gt_2d'][i][n - 1] - (x, y))
                    if not (x == 0 and y == 0) and dx < 40 and dy < 40:
                        score += 1
                scores.append(-1 if j in used else score)
            best = scores.index(max(scores)) if scores else None
            truth = np.array(frame['gt_3d'][i])
            if relative:
                truth = truth - truth[15 - 1]
            if best is None or scores[best] <= 0:
                if not matched_only:
                    rows.append([math.inf] * 14)
                continue
            used.append(best)
            pose = np.array(frame['pred_3d'][best])
            if relative:
                pose = pose - pose[15 - 1]
            mapped = pose.copy()
            for n in TRAVERSAL[1:]:
                bone = pose[n - 1] - pose[PARENTS[n - 1] - 1]
                length = math.dist(truth[n - 1], truth[PARENTS[n - 1] - 1])
                norm = math.sqrt(sum(bone**2))
                new = bone * length / norm if norm > 0 else np.full(3, math.nan)
                mapped[n - 1] = mapped[PARENTS[n - 1] - 1] + new
            rows.append([math.sqrt(sum((mapped[n] - truth[n]) ** 2)) for n in range(14)])
    return np.reshape(rows, (-1, 14))


def pixels(joints):
    return joints[..., :2] / joints[..., 2:] * 1000 + 500


def skeleton(rng, count):
    """People standing about, bones of some 200 mm."""
    pose = np.zeros((count, 17, 3))
    pose[:, 14] = rng.uniform((-1500, -200, 3000), (1500, 200, 5000), (count, 3))
    for n in TRAVERSAL[1:]:
        bone = rng.normal(0, 1, (count, 3))
        bone *= rng.uniform(100, 300, (count, 1)) / np.linalg.norm(bone, axis=1, keepdims=True)
        pose[:, n - 1] = pose[:, PARENTS[n - 1] - 1] + bone
    return pose


def make_frame(gt_3d, pred_3d, gt_2d=None, pred_2d=None):
    gt_3d, pred_3d = np.reshape(gt_3d, (-1, 17, 3)), np.reshape(pred_3d, (-1, 17, 3))
    return dict(
        gt_3d=gt_3d,
        pred_3d=pred_3d,
        gt_2d=pixels(gt_3d) if gt_2d is None else np.reshape(gt_2d, (-1, 17, 2)),
        pred_2d=pixels(pred_3d) if pred_2d is None else np.reshape(pred_2d, (-1, 17, 2)),
    )


def random_sequence(seed, frames=12):
    """Frames of 0 to 3 persons, predictions shuffled, missing, doubled, hidden, near two persons at
    once.
    """
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(frames):
        gt = skeleton(rng, rng.integers(0, 4))
        pred = np.concatenate([gt, gt[:1]]) + rng.normal(0, 40, (len(gt) + len(gt[:1]), 17, 3))
        pred = pred[rng.permutation(len(pred))[: rng.integers(0, len(pred) + 1)]]
        frame = make_frame(gt, pred)
        # coarse: ties and distances of exactly 40 px occur
        frame['gt_2d'] = frame['gt_2d'].round(-1)
        frame['pred_2d'] = (frame['pred_2d'] * rng.choice([1, 0.95])).round(-1)
        frame['pred_2d'][rng.random(frame['pred_2d'].shape[:2]) < 0.1] = 0
        if len(pred) and rng.random() < 0.3:
            pose = frame['pred_3d'][0]
            pose[rng.integers(0, 14)] = pose[14]  # hips may lose their bone
        out.append(frame)
    return out


@pytest.mark.parametrize('relative', [True, False])
@pytest.mark.parametrize('matched_only', [True, False])
def test_equals_a_literal_loop(relative, matched_only):
    for seed in range(5):
        frames = random_sequence(seed)
        found = mupots_errors(frames, relative=relative, matched_only=matched_only)
        expected = literal_errors(frames, relative, matched_only)
        assert len(expected) > 5
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


# ---- matching, rule by rule


def at(*xs, y=100.0, **moved):
    """Persons whose joints all lie in one point (x, y), but for joints ``j3=x`` of the last."""
    persons = np.array([np.tile([x, y], (17, 1)) for x in xs], dtype=float).reshape(-1, 17, 2)
    for joint, x in moved.items():
        persons[-1, int(joint[1:])] = x
    return persons


@pytest.mark.parametrize(
    ('gt_2d', 'pred_2d', 'expected'),
    [
        # greedy in the order of the annotations: the first takes what would suit the second better
        (at(100, 130), at(135), [0, -1]),
        (at(130, 100), at(135), [0, -1]),
        # and although another assignment would serve both
        (at(100, 155), at(120, 70, **{f'j{j}': 5000 for j in range(5, 17)}), [0, -1]),
        # the first of those with equally many joints, however near they are
        (at(100), at(130, 100, 70), [0]),
        (at(100, 100), at(130, 100, 70), [0, 1]),
        (at(100), np.concatenate([at(100, j7=900), at(100)]), [1]),  # most joints win
        (at(100, 110, 120), at(105, 5000, 115), [0, 2, -1]),  # used ones are gone
        # one joint suffices, of those from the neck to the ankles
        *((at(100), at(5000, **{f'j{j}': 100}), [0]) for j in (1, 13)),
        *((at(100), at(5000, **{f'j{j}': 100}), [-1]) for j in (0, 14, 15, 16)),
        # less than 40 px along each axis
        *((at(100), at(100) + np.array(d), [0]) for d in [(39.9, 39.9), (-39.9, 39.9)]),
        *((at(100), at(100) + np.array(d), [-1]) for d in [(40, 0), (0, 40), (0, -40), (39, 41)]),
        # predicted joints at the origin are not visible
        (at(10, y=10), at(0, y=0), [-1]),
        (at(10, y=10), at(0, y=1), [0]),
        (at(10, y=10), at(1, y=0), [0]),
        (at(10, y=10), at(0, 0, y=0, j5=10), [1]),
    ],
)
def test_matching(gt_2d, pred_2d, expected):
    rng = np.random.default_rng(0)
    frame = make_frame(skeleton(rng, len(gt_2d)), skeleton(rng, len(pred_2d)), gt_2d, pred_2d)
    assert mupots_matches([frame]).tolist() == expected


def test_no_person_no_prediction_no_frame():
    pose = skeleton(np.random.default_rng(0), 1)
    for frames in ([], [make_frame([], [])], [make_frame([], pose)]):
        assert mupots_errors(frames).shape == (0, 14)
    assert np.isinf(mupots_errors([make_frame(pose, [])])).all()
    assert mupots_errors([make_frame(pose, [])], matched_only=True).shape == (0, 14)


# ---- errors


def test_a_bone_without_length_misses_all_behind_it():
    gt = skeleton(np.random.default_rng(1), 1)
    pred = gt.copy()
    pred[0, 3] = pred[0, 2]  # right elbow in the shoulder: elbow and wrist point nowhere
    errors = mupots_errors([make_frame(gt, pred, pred_2d=pixels(gt))])
    assert np.flatnonzero(np.isnan(errors[0])).tolist() == [3, 4]
    scores = mupots_3dpck({1: errors})
    assert scores['PCK_TS1'] == pytest.approx(100 * 12 / 14)
    assert [scores[f'PCK_TS1_{group}'] for group in ('Shou', 'Elbow', 'Wrist')] == [100, 50, 50]


def test_bones_are_those_of_the_original_prediction():
    """Knee and hip by hand: a prediction twice as large, with the ankle bent forward."""
    gt, pred = np.zeros((1, 17, 3)), np.zeros((1, 17, 3))
    gt[0, :, 0] = np.arange(17) * 50.0  # somewhere, so that no bone is empty
    gt[0, 14] = 0
    gt[0, 8], gt[0, 9], gt[0, 10] = (100, 0, 0), (100, 400, 0), (100, 800, 0)
    pred[0] = 2 * gt[0]
    pred[0, 10] = pred[0, 9] + (0, 0, 10)
    mapped = with_bone_lengths(pred, gt)
    np.testing.assert_allclose(
        mapped[0, 8:11], [(100, 0, 0), (100, 400, 0), (100, 400, 400)], atol=1e-12
    )
    errors = mupots_errors([make_frame(gt, pred, at(50), at(50))])
    np.testing.assert_allclose(errors[0, 8:11], [0, 0, 400 * math.sqrt(2)], atol=1e-9)


def test_the_order_of_joints_is_the_sets():
    names = get_joint_set('mupots17').concepts
    parts = ['head_top', 'thorax', 'shoulder', 'elbow', 'wrist', 'hip', 'knee', 'ankle']
    assert sorted(j for group in JOINT_GROUPS.values() for j in group) == list(range(14))
    for part, joints in zip(parts, JOINT_GROUPS.values(), strict=True):
        sides = ('',) if len(joints) == 1 else ('left_', 'right_')
        assert {names[j] for j in joints} == {f'{side}{part}' for side in sides}


@given(st.integers(0, 2**32 - 1), st.tuples(*[st.floats(-5000, 5000)] * 3), st.floats(0.05, 20))
def test_relative_errors_do_not_see_place_and_size_of_predictions(seed, shift, factor):
    rng = np.random.default_rng(seed)
    gt = skeleton(rng, 2)
    frame = make_frame(gt, gt + rng.normal(0, 80, gt.shape), pred_2d=pixels(gt))
    moved = dict(frame, pred_3d=factor * frame['pred_3d'] + shift)
    np.testing.assert_allclose(mupots_errors([moved]), mupots_errors([frame]), atol=1e-5)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(pred_3d=np.zeros((2, 21, 3))), r'pred_3d of frame 1 .* \(2, 21, 3\)'),
        (dict(pred_2d=np.zeros((1, 17, 2))), 'pred_3d of frame 1'),
        (dict(gt_3d=np.full((2, 17, 3), np.nan), key='TS1_img_000001'), 'TS1_img_000001 .* finite'),
    ],
)
def test_bad_frames_are_named(change, message):
    frame = make_frame(*[skeleton(np.random.default_rng(0), 2)] * 2)
    with pytest.raises(ValueError, match=message):
        mupots_errors([frame, {**frame, **change}])


def test_predictions_that_are_not_finite_miss():
    gt = skeleton(np.random.default_rng(3), 1)
    pred = gt.copy()
    pred[0, 4] = np.nan
    errors = mupots_errors([make_frame(gt, pred)])
    assert np.isnan(errors[0, 4]) and np.isfinite(np.delete(errors[0], 4)).all()
    pred[0, 14] = np.inf
    frame = make_frame(gt, pred, pred_2d=pixels(gt))
    assert mupots_3dpck([mupots_errors([frame])])['PCK'] == 0


# ---- 3DPCK


def test_by_hand_strict_thresholds_and_the_mean_over_sequences():
    short = np.full((1, 14), 150.0)  # exactly at the threshold: missed
    short[0, :7] = 99.999
    long = np.full((30, 14), 149.999)
    long[:, 0] = 100.0
    long[0, 13] = np.inf
    scores = mupots_3dpck({3: short, 5: long})
    assert scores['PCK_TS3'] == 50 and scores['PCK_TS5'] == pytest.approx(100 * 419 / 420)
    assert scores['PCK'] == pytest.approx((50 + 100 * 419 / 420) / 2)  # not weighted by persons
    assert scores['PCK_150'] == scores['PCK'] == scores['PCK_defined']
    assert scores['PCK_100'] == pytest.approx((50 + 0) / 2)
    assert scores['PCK_110'] == pytest.approx((50 + 100 / 14) / 2)
    assert [scores[f'PCK_TS3_{group}'] for group in ('Head', 'Ankle', 'Hip')] == [100, 0, 0]
    assert scores['PCK_TS5_Ankle'] == pytest.approx(100 * 59 / 60)
    assert scores['PCK_Head'] == 100 and scores['PCK_Elbow'] == pytest.approx((100 + 100) / 2)
    # thresholds above 99.999 are 100, 105, ..., 150: 11 of 31; above 100: 10; above 149.999: 1
    assert scores['AUC_TS3'] == pytest.approx(50 * 11 / 31)
    assert scores['AUC_TS5'] == pytest.approx(100 * (30 * 10 + 389) / 420 / 31)
    assert scores['n_persons'] == 31
    listed = mupots_3dpck([np.full((1, 14), 45.0)], thresholds_mm=[40, 62.5])
    assert listed['PCK_40'] == 0 and listed['PCK_62.5'] == 100 == listed['PCK_TS1']


def test_a_sequence_without_anybody_is_named_and_spoils_the_mean():
    good, nobody = np.zeros((2, 14)), np.zeros((0, 14))
    scores = mupots_3dpck({1: good, 7: nobody})
    for key in ('PCK_TS7', 'AUC_TS7', 'PCK_TS7_Head', 'PCK', 'PCK_100', 'AUC', 'PCK_Head'):
        assert math.isnan(scores[key])
    assert scores['PCK_defined'] == scores['PCK_100_defined'] == scores['PCK_TS1'] == 100
    assert scores['AUC_defined'] == pytest.approx(96.774, abs=1e-3)
    assert scores['n_undefined'] == 1 and scores['n_sequences'] == 2
    for errors in ({1: nobody}, {}):
        empty = mupots_3dpck(errors)
        assert math.isnan(empty['PCK']) and math.isnan(empty['PCK_defined'])
        assert empty['n_persons'] == 0


@pytest.mark.parametrize(
    ('errors', 'thresholds', 'message'),
    [
        ({1: np.zeros((1, 14)), 2: np.zeros((1, 17))}, (100,), 'sequence 2'),
        ({1: -np.ones((1, 14))}, (100,), 'sequence 1'),
        *(({1: np.zeros((1, 14))}, (mm,), 'thresholds') for mm in (0, -5, math.nan, math.inf)),
    ],
)
def test_bad_errors(errors, thresholds, message):
    with pytest.raises(ValueError, match=message):
        mupots_3dpck(errors, thresholds)


def test_visible_and_occluded_joints_pool_a_sequence_and_150_mm_is_a_hit():
    errors = np.full((2, 14), 10.0)
    errors[0, :4] = 150, 150.001, np.nan, np.inf
    occluded = np.zeros((2, 17), dtype=bool)
    occluded[0, :3] = True
    occluded[:, 14:] = True  # joints that are not scored count in neither
    other = np.full((1, 14), 500.0), np.zeros((1, 14), dtype=bool)
    assert mupots_occlusion_pck({1: errors, 2: other[0]}, {1: occluded, 2: other[1]}) == dict(
        PCK_occluded=pytest.approx(100 / 3), n_sequences_occluded=1,
        PCK_visible=pytest.approx((100 * 24 / 25 + 0) / 2), n_sequences_visible=2,
    )  # fmt: skip
    empty = mupots_occlusion_pck({1: np.zeros((0, 14))}, {1: np.zeros((0, 17))})
    assert math.isnan(empty['PCK_visible']) and empty['n_sequences_visible'] == 0
    for wrong in ({2: occluded}, {1: occluded[:1]}):
        with pytest.raises(ValueError, match='occlusion labels'):
            mupots_occlusion_pck({1: errors}, wrong)
