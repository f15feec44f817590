# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json
import math

import numpy as np
import pytest
import torch
from mmpose.registry import METRICS

from wsp_mm.evaluation.functional import pose3d_scores
from wsp_mm.evaluation.metrics.mpjpe_metric_3d import MPJPEMetric3D

ACTIONS = ('Walking', 'Eating', 'Photo')


def make_sample(number, pred, gt, action='Walking'):
    """A sample as MMEngine's Evaluator passes it: plain dicts."""
    return dict(
        id=number,
        dataset_name='h36m',
        img_path=f'images/s_09_act_14_subact_01_ca_01/{number}.jpg',  # the path says another action
        action=action,
        subject=9,
        pred_instances=dict(keypoints_cam=torch.tensor(pred[None], dtype=torch.float64)),
        gt_instances=dict(keypoints_cam=gt[None]),
    )


def random_samples(count, k=18):
    rng = np.random.default_rng(0)
    gt = rng.normal(0, 300, (count, k, 3)) + np.array([0, 0, 5000])
    pred = gt + rng.normal(0, 50, gt.shape)
    return [make_sample(i, pred[i], gt[i], ACTIONS[i % 3]) for i in range(count)]


def evaluate(samples, size=None, **kwargs):
    metric = METRICS.build(dict(type='MPJPEMetric3D', **kwargs))
    for start in range(0, len(samples), 2):
        metric.process({}, samples[start : start + 2])
    return metric.evaluate(size or len(samples))


def arrays(samples):
    pred = np.array([s['pred_instances']['keypoints_cam'][0].numpy() for s in samples])
    return pred, np.array([s['gt_instances']['keypoints_cam'][0] for s in samples])


def test_equals_the_functional_layer_and_takes_actions_from_the_annotation():
    samples = random_samples(7)
    metrics = evaluate(samples)
    expected = pose3d_scores(*arrays(samples), actions=[s['action'] for s in samples])
    assert metrics == pytest.approx(
        {f'h36m/{key}': value for key, value in expected.items()}, nan_ok=True
    )
    assert metrics['h36m/MPJPE_action_Photo'] > 0
    assert math.isnan(metrics['h36m/MPJPE_action_WalkDog'])
    assert metrics['h36m/n'] == 7 and metrics['h36m/n_actions'] == 3


def test_other_sets_have_their_own_prefix_and_no_actions():
    samples = random_samples(4, k=21)
    for sample in samples:
        del sample['action']
    metrics = evaluate(samples, joint_set='muco21')
    assert metrics['muco/MPJPE'] == pytest.approx(
        pose3d_scores(*arrays(samples), joint_set='muco21')['MPJPE']
    )
    assert not any('action' in key for key in metrics)
    assert 'mine/MPJPE' in evaluate(samples, joint_set='muco21', prefix='mine')


def test_repeated_samples_count_once():
    samples = random_samples(5)
    assert evaluate([*samples, *samples[:3]]) == pytest.approx(evaluate(samples), nan_ok=True)
    with pytest.raises(ValueError, match='carry the id 0'):
        evaluate([samples[0], dict(samples[1], id=0)])


def test_bad_samples_are_named():
    sample = random_samples(1)[0]
    with pytest.raises(KeyError, match=r'id'):
        evaluate([{key: value for key, value in sample.items() if key != 'id'}])
    for action in (None, 'WalkingDog'):
        with pytest.raises(KeyError, match=r"sample 0 of .* 'action' must be packed"):
            evaluate([dict(sample, action=action)])
    with pytest.raises(KeyError, match='prediction of sample 0 has no keypoints_cam'):
        evaluate([dict(sample, pred_instances=dict(keypoints=np.zeros((1, 18, 2))))])
    with pytest.raises(KeyError, match=r'gt_instances\.keypoints_cam'):
        evaluate([dict(sample, gt_instances={})])
    with pytest.raises(ValueError, match=r'\(1, 18, 3\) for h36m18, got \(1, 17, 3\)'):
        evaluate([dict(sample, gt_instances=dict(keypoints_cam=np.zeros((1, 17, 3))))])
    broken = np.zeros((1, 18, 3))
    broken[0, 2] = np.nan
    with pytest.raises(ValueError, match=r'pred.* sample 0 .* R_Knee: has the training diverged'):
        evaluate([dict(sample, pred_instances=dict(keypoints_cam=broken))])
    with pytest.raises(ValueError, match='check its annotation'):
        evaluate([dict(sample, gt_instances=dict(keypoints_cam=broken))])


def test_bad_arguments():
    with pytest.raises(KeyError, match='unknown joint set'):
        MPJPEMetric3D(joint_set='h36m')
    with pytest.raises(KeyError, match='pelvis'):
        MPJPEMetric3D(joint_set='coco17')


def test_tables_go_to_the_log(monkeypatch):
    lines = []
    monkeypatch.setattr(
        'wsp_mm.evaluation.metrics.mpjpe_metric_3d.print_log',
        lambda text, logger, level=None: lines.append(text),
    )
    metrics = evaluate(random_samples(6))
    table, warning = lines
    for key in (
        'MPJPE_action_mean',
        'MPJPE',
        'X',
        'Z',
        'PA-MPJPE_action_Photo',
        'MPJPE_joint_L_Wrist',
    ):
        assert f'{metrics[f"h36m/{key}"]:.1f}' in table
    assert 'Pho.' in table and 'Joints Avg' in table and '\x1b' not in table
    assert 'only 3 of 15 actions' in warning
    lines.clear()
    evaluate(random_samples(6), show_tables=False)
    assert not any('Table' in line for line in lines)


TWO_PROCESSES = """
import importlib.util, json, sys
import torch.distributed as dist
from mmengine.dataset import DefaultSampler

spec = importlib.util.spec_from_file_location('metric_tests', sys.argv[1])
metric_tests = importlib.util.module_from_spec(spec)
spec.loader.exec_module(metric_tests)

dist.init_process_group('gloo')
samples = metric_tests.random_samples(7)
for round_up in (False, True):
    metric = metric_tests.MPJPEMetric3D()
    mine = list(DefaultSampler(samples, shuffle=False, round_up=round_up))
    for start in range(0, len(mine), 3):
        metric.process({}, [samples[index] for index in mine[start : start + 3]])
    metrics = metric.evaluate(len(samples))
    if dist.get_rank() == 0:
        with open(f'round_up_{round_up}.json', 'w') as file:
            json.dump(metrics, file)
dist.barrier()
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_report_what_one_does(two_ranks, tmp_path):
    """Seven samples on two ranks: a ragged end, with and without samples repeated to even it
    out.
    """
    two_ranks(TWO_PROCESSES, __file__)
    expected = evaluate(random_samples(7))
    for round_up in (False, True):
        found = json.loads((tmp_path / f'round_up_{round_up}.json').read_text())
        assert found.keys() == expected.keys()
        # bit for bit: samples come in the same order, whoever scored them
        np.testing.assert_array_equal([found[key] for key in expected], list(expected.values()))


def collected(parts, size):
    """What MMEngine's collect_results makes of the ranks' results."""
    from itertools import zip_longest

    together = [r for group in zip_longest(*parts) for r in group if r is not None]
    return together[:size]


@pytest.mark.parametrize('count', [5, 6])
@pytest.mark.parametrize('round_up', [False, True])
def test_results_of_two_ranks_put_together(count, round_up):
    samples = random_samples(count)
    ranks = [list(range(rank, count, 2)) for rank in range(2)]
    if round_up and count % 2:
        ranks[1].append(0)
    parts = []
    for mine in ranks:
        metric = MPJPEMetric3D(show_tables=False)
        metric.process({}, [samples[i] for i in mine])
        parts.append(metric.results)
    scores = MPJPEMetric3D(show_tables=False).compute_metrics(collected(parts, count))
    alone = {key.removeprefix('h36m/'): value for key, value in evaluate(samples).items()}
    np.testing.assert_array_equal([scores[key] for key in alone], list(alone.values()))
