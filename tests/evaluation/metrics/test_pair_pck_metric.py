# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import math

import numpy as np
import pytest
from mmpose.registry import METRICS

import wsp_mm.evaluation.metrics.pair_pck_metric  # noqa: F401


def make_sample(number, shift, visible):
    """Person A is 100 px tall, B 50; every joint of A and B is predicted ``shift`` px off."""
    gt = np.arange(12, dtype=np.float64).reshape(1, 2, 3, 2) * 10
    return dict(
        id=number,
        dataset_name='mcpc',
        pred_instances=dict(keypoints=gt + np.array([shift, 0])),
        gt_instances=dict(
            pair_keypoints=gt,
            pair_visible=np.array(visible)[None],
            pair_bboxes=np.array([[[0.0, 10, 40, 110], [20, 20, 40, 70]]]),
        ),
    )


def evaluate(samples, **kwargs):
    metric = METRICS.build(dict(type='PairPCKMetric', **kwargs))
    metric.process({}, samples)
    return metric.evaluate(len(samples))


def test_by_hand():
    samples = [
        make_sample(1, 3, [[1, 1, 0], [1, 0, 0]]),  # all within both thresholds
        make_sample(2, 8, [[1, 1, 1], [1, 1, 0]]),  # within 0.1 of A's 100 px, not of B's 50
        make_sample(3, 20, [[1, 0, 0], [1, 1, 1]]),  # none
    ]
    assert evaluate(samples) == {'pck/PCK': pytest.approx(100 * 6 / 12), 'pck/n': 12}
    assert evaluate(samples, thr=0.2) == {'pck/PCK': pytest.approx(100 * 9 / 12), 'pck/n': 12}
    assert evaluate([*samples, samples[0]]) == evaluate(samples)


def test_no_label():
    metrics = evaluate([make_sample(1, 0, np.zeros((2, 3)))])
    assert metrics['pck/n'] == 0
    assert math.isnan(metrics['pck/PCK'])


def test_bad_input():
    with pytest.raises(ValueError, match='thr'):
        METRICS.build(dict(type='PairPCKMetric', thr=0))
    sample = make_sample(1, 0, np.ones((2, 3)))
    moved = make_sample(1, 0, np.ones((2, 3)))
    moved['gt_instances']['pair_keypoints'] = moved['gt_instances']['pair_keypoints'] + 1
    with pytest.raises(ValueError, match='unique'):
        evaluate([sample, moved])
    del sample['pred_instances']['keypoints']
    with pytest.raises(KeyError, match=r'pred_instances\.keypoints'):
        evaluate([sample])
