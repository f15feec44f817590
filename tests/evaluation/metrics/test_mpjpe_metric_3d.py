# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import math

import numpy as np
import pytest
from metric_fixture import build, evaluate, logged, pose_samples

from wsp_mm.evaluation.functional import pose3d_scores

NAME = 'MPJPEMetric3D'


def expected(samples, **options):
    pred = np.concatenate([s['pred_instances']['keypoints_cam'] for s in samples])
    gt = np.concatenate([s['gt_instances']['keypoints_cam'] for s in samples])
    return pose3d_scores(pred, gt, **options)


def test_equals_the_functional_layer_and_takes_actions_from_the_annotation():
    samples = pose_samples()
    metrics = evaluate(samples, NAME)
    wanted = expected(samples, actions=[s['action'] for s in samples])
    assert metrics == pytest.approx({f'h36m/{k}': v for k, v in wanted.items()}, nan_ok=True)
    assert metrics['h36m/MPJPE_action_Photo'] > 0
    assert math.isnan(metrics['h36m/MPJPE_action_WalkDog'])
    assert metrics['h36m/n'] == 7 and metrics['h36m/n_actions'] == 3


def test_other_sets_have_their_own_prefix_and_no_actions():
    samples = pose_samples(4, k=21)
    for sample in samples:
        del sample['action']
    metrics = evaluate(samples, NAME, joint_set='muco21')
    assert metrics['muco/MPJPE'] == pytest.approx(expected(samples, joint_set='muco21')['MPJPE'])
    assert not any('action' in key for key in metrics)
    assert 'mine/MPJPE' in evaluate(samples, NAME, joint_set='muco21', prefix='mine')


def test_ground_truth_of_a_smaller_set():
    samples, options = pose_samples(4), dict(gt_set='mupots17', per_action=False)
    wanted = expected(samples, gt_set='mupots17')
    metrics = evaluate(samples, NAME, prefix='mupots', **options)
    assert metrics == pytest.approx({f'mupots/{key}': value for key, value in wanted.items()})
    assert metrics['mupots/MPJPE'] != evaluate(samples, NAME)['h36m/MPJPE']


def test_unknown_actions_and_joint_sets():
    for action in (None, 'WalkingDog'):
        with pytest.raises(KeyError, match='action'):
            evaluate([dict(pose_samples(1)[0], action=action)], NAME)
    for name, message in (('h36m', 'unknown joint set'), ('coco17', 'pelvis')):
        with pytest.raises(KeyError, match=message):
            build(NAME, joint_set=name)


def test_tables_go_to_the_log(monkeypatch):
    lines = logged(monkeypatch, 'mpjpe_metric_3d')
    metrics = evaluate(pose_samples(6), NAME)
    (table, _), (warning, _) = lines
    for key in ('MPJPE_action_mean', 'Z', 'PA-MPJPE_action_Photo', 'MPJPE_joint_L_Wrist'):
        assert f'{metrics[f"h36m/{key}"]:.1f}' in table
    assert 'Pho.' in table and 'Joints Avg' in table
    assert '3 of 15 actions' in warning
    lines.clear()
    evaluate(pose_samples(6), NAME, show_tables=False)
    assert len(lines) == 1
