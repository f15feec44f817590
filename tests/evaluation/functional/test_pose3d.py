# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import math

import numpy as np
import pytest

from wsp_mm.evaluation.functional import mpjpe, per_axis_error, pose3d_scores
from wsp_mm.evaluation.functional.pose3d import ACTION_HEADS, H36M_ACTIONS, evaluated_joints
from wsp_mm.structures.h36m import ACTIONS
from wsp_mm.structures.keypoints import get_joint_set


def random_set(n=40, joint_set='h36m18', seed=0):
    rng = np.random.default_rng(seed)
    gt = rng.normal(0, 300, (n, len(get_joint_set(joint_set)), 3)) + np.array([0, 0, 5000])
    return gt + rng.normal(0, 40, gt.shape), gt


def test_joints_that_count():
    for name, root in (('h36m18', 0), ('h36m17', 0), ('muco21', 14), ('mupots17', 14)):
        assert evaluated_joints(name) == (list(range(17)), root)
    with pytest.raises(KeyError, match='pelvis'):
        evaluated_joints('coco17')


def test_ground_truth_that_lacks_joints():
    """MuPoTS-3D has neither nose nor the base of the neck: what a network says of them, and of
    PoseNet's thorax, does not count.
    """
    joints, root = evaluated_joints('h36m18', 'mupots17')
    names = get_joint_set('h36m18').concepts
    assert [names[i] for i in range(18) if i not in joints] == ['upper_neck', 'nose', 'thorax']
    pred, gt = random_set()
    scores = pose3d_scores(pred, gt, gt_set='mupots17')
    assert scores['MPJPE'] == pytest.approx(mpjpe(pred, gt)[:, joints].mean())
    aligned = mpjpe(pred[:, joints], gt[:, joints], align='rigid').mean()
    assert scores['PA-MPJPE'] == pytest.approx(aligned)
    assert 'MPJPE_joint_R_Wrist' in scores and 'MPJPE_joint_Nose' not in scores
    absent = np.delete(np.arange(18), joints)
    pred[:, absent], gt[:, absent] = 1e4, 0
    assert pose3d_scores(pred, gt, gt_set='mupots17') == scores
    own = pose3d_scores(*random_set(), gt_set='h36m18')
    assert own['MPJPE'] == pose3d_scores(*random_set())['MPJPE'] and root == 0


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


@pytest.mark.parametrize(('joint_set', 'root'), [('h36m18', 0), ('muco21', 14)])
def test_alignment_sees_all_joints_and_scores_those_that_count(joint_set, root):
    pred, gt = random_set(joint_set=joint_set)
    scores = pose3d_scores(pred, gt, joint_set)
    for name, align in (('MPJPE', 'root'), ('PA-MPJPE', 'rigid'), ('PA-MPJPE-sim', 'similarity')):
        errors = mpjpe(pred, gt, align, root)[:, :17]
        assert scores[name] == pytest.approx(errors.mean())
        assert scores[f'{name}_no_root'] == pytest.approx(np.delete(errors, root, axis=1).mean())
    assert scores['Z'] == pytest.approx(per_axis_error(pred, gt, root)[:, :17, 2].mean())
    assert scores['MPJPE_joint_Pelvis'] == 0 and scores['AxisNorm'] <= scores['MPJPE']
    assert not any('action' in key for key in scores)


def test_keys_do_not_depend_on_the_samples():
    pred, gt = random_set(3)
    some = pose3d_scores(pred, gt, actions=['Walking'] * 3)
    none = pose3d_scores(pred[:0], gt[:0], actions=[])
    assert some.keys() == none.keys()
    assert none.pop('n') == none.pop('n_actions') == 0
    assert all(math.isnan(value) for value in none.values())


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(actions=['Walking', 'WalkingDog']), 'WalkingDog'),
        (dict(actions=['Walking']), '2 samples but 1 actions'),
        (dict(joint_set='h36m17'), 'h36m17 has 17 joints'),
    ],
)
def test_wrong_input(options, message):
    with pytest.raises(ValueError, match=message):
        pose3d_scores(*random_set(2), **options)


def test_heads_are_the_papers():
    assert set(H36M_ACTIONS) == set(ACTIONS)
    heads = ' '.join(ACTION_HEADS.values())
    assert heads.startswith('Dir. Dis. Eat. Gre. Phoe. Pho. Pos. Pur. Sit. SiD. Smo. Wai. WaD.')
