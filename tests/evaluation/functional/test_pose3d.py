# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import math

import numpy as np
import pytest

from wsp_mm.datasets.h36m_sequences import ACTIONS
from wsp_mm.evaluation.functional import mpjpe, per_axis_error, pose3d_scores
from wsp_mm.evaluation.functional.pose3d import ACTION_HEADS, H36M_ACTIONS, evaluated_joints
from wsp_mm.structures.keypoints import get_joint_set


def random_set(n=40, joint_set='h36m18', seed=0):
    rng = np.random.default_rng(seed)
    gt = rng.normal(0, 300, (n, len(get_joint_set(joint_set)), 3)) + np.array([0, 0, 5000])
    return gt + rng.normal(0, 40, gt.shape), gt


def test_joints_that_count():
    assert evaluated_joints('h36m18') == (list(range(17)), 0)
    assert evaluated_joints('h36m17') == (list(range(17)), 0)
    assert evaluated_joints('muco21') == (list(range(17)), 14)
    assert evaluated_joints('mupots17') == (list(range(17)), 14)
    with pytest.raises(KeyError, match='pelvis'):
        evaluated_joints('coco17')


def test_averages_by_hand():
    """Two samples of Walking and one of Eating; one joint is off in each, by 17, 34 and 170 mm."""
    gt = np.zeros((3, 18, 3))
    gt[:, :, 2] = 5000
    pred = gt.copy()
    pred[0, 3, 0] += 17
    pred[1, 5, 1] += 34
    pred[2, 5, 2] -= 170
    pred[:, 17] += 1000  # the added thorax is not scored
    scores = pose3d_scores(pred, gt, actions=['Walking', 'Walking', 'Eating'])
    assert scores['n'] == 3 and scores['n_actions'] == 2
    assert scores['MPJPE'] == pytest.approx((1 + 2 + 10) / 3)
    assert scores['MPJPE_no_root'] == pytest.approx((17 + 34 + 170) / 16 / 3)
    assert scores['MPJPE_action_Walking'] == pytest.approx(1.5)
    assert scores['MPJPE_action_Eating'] == pytest.approx(10)
    assert math.isnan(scores['MPJPE_action_Posing'])
    assert scores['MPJPE_action_mean'] == pytest.approx((1.5 + 10) / 2)
    assert scores['MPJPE_action_mean_no_root'] == pytest.approx((1.5 + 10) / 2 * 17 / 16)
    assert [scores[axis] for axis in 'XYZ'] == pytest.approx([1 / 3, 2 / 3, 10 / 3])
    assert scores['X_action_mean'] == pytest.approx(0.25)
    assert scores['AxisNorm'] == pytest.approx(math.sqrt(105) / 3)
    assert scores['MPJPE_joint_L_Knee'] == pytest.approx((34 + 170) / 3)
    assert scores['MPJPE_joint_Pelvis'] == 0
    assert 'MPJPE_joint_Thorax' not in scores


def test_rigid_alignment_sees_all_joints_and_scores_those_that_count():
    pred, gt = random_set()
    scores = pose3d_scores(pred, gt)
    assert scores['PA-MPJPE'] == pytest.approx(mpjpe(pred, gt, align='rigid')[:, :17].mean())
    assert scores['PA-MPJPE'] != pytest.approx(
        mpjpe(pred[:, :17], gt[:, :17], align='rigid').mean(), rel=1e-6
    )
    assert scores['PA-MPJPE-sim'] == pytest.approx(
        mpjpe(pred, gt, align='similarity')[:, :17].mean()
    )
    assert scores['PA-MPJPE_no_root'] == pytest.approx(
        mpjpe(pred, gt, align='rigid')[:, 1:17].mean()
    )
    assert not any('action' in key for key in scores)


def test_muco_has_another_root():
    pred, gt = random_set(joint_set='muco21')
    scores = pose3d_scores(pred, gt, joint_set='muco21')
    assert scores['MPJPE'] == pytest.approx(mpjpe(pred, gt, root=14)[:, :17].mean())
    assert scores['Z'] == pytest.approx(per_axis_error(pred, gt, root=14)[:, :17, 2].mean())
    assert scores['MPJPE_joint_Pelvis'] == 0
    assert scores['MPJPE_no_root'] == pytest.approx(scores['MPJPE'] * 17 / 16)


def test_the_norm_of_axis_means_never_exceeds_the_mean_norm():
    for seed in range(5):
        scores = pose3d_scores(*random_set(seed=seed))
        assert scores['AxisNorm'] <= scores['MPJPE']


def test_keys_do_not_depend_on_the_samples():
    pred, gt = random_set(3)
    some = pose3d_scores(pred, gt, actions=['Walking'] * 3)
    none = pose3d_scores(pred[:0], gt[:0], actions=[])
    assert some.keys() == none.keys()
    assert none.pop('n') == none.pop('n_actions') == 0
    assert all(math.isnan(value) for value in none.values())


def test_wrong_input():
    pred, gt = random_set(2)
    with pytest.raises(ValueError, match=r"unknown actions \['WalkingDog'\]"):
        pose3d_scores(pred, gt, actions=['Walking', 'WalkingDog'])
    with pytest.raises(ValueError, match='2 samples but 1 actions'):
        pose3d_scores(pred, gt, actions=['Walking'])
    with pytest.raises(ValueError, match='h36m17 has 17 joints'):
        pose3d_scores(pred, gt, joint_set='h36m17')


def test_heads_are_the_papers():
    assert len(H36M_ACTIONS) == len(set(ACTION_HEADS.values())) == 15
    assert set(H36M_ACTIONS) == set(ACTIONS)
    assert ' '.join(ACTION_HEADS.values()).startswith(
        'Dir. Dis. Eat. Gre. Phoe. Pho. Pos. Pur. Sit. SiD.'
    )
