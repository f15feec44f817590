# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import math

import numpy as np
import pytest
from metric_fixture import build, evaluate, logged, pair_sample

from wsp_mm.evaluation.metrics.relative_depth_metric import KEYS

NAME = 'RelativeDepthMetric'


@pytest.fixture
def samples():
    return [
        pair_sample(1, [0.9, 0.6, 0.4], 1, gap=0.05),
        pair_sample(2, [0.1, 0.7, 0.2], 0, gap=0.1, visible=[[1, 1, 1], [1, 0, 1]]),
        pair_sample(3, [0.8, 0.8, 0.3], 0, gap=0.4, visible=[[0, 1, 1], [1, 1, 1]]),
        pair_sample(4, [0.6, 0.6, 0.6], 1, gap=0.7),
        pair_sample(5, [0.2, 0.2, 0.2], 1, gap=0.05, weight=0),  # a tie
        pair_sample(6, [0.3, 0.3, 0.9], 0, gap=math.nan),  # scale unknown
    ]


def test_joints_and_pairs_by_hand(samples):
    metrics = evaluate(samples, NAME)
    # joint level: 3 + 2 + 2 + 3 + 3 decisions
    prob = [0.9, 0.6, 0.4, 0.1, 0.2, 0.8, 0.3, 0.6, 0.6, 0.6, 0.3, 0.3, 0.9]
    label = [1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0]
    assert metrics['rd/n'] == 13
    # wrong: 0.4 of pair 1, 0.8 of 3, 0.9 of 6
    assert metrics['rd/Acc'] == pytest.approx(100 * 10 / 13)
    near, far = ([p for p, a in zip(prob, label, strict=True) if a == side] for side in (1, 0))
    wins = sum((p > q) + 0.5 * (p == q) for p in near for q in far)
    assert metrics['rd/AUC'] == pytest.approx(100 * wins / (6 * 7))
    assert metrics['rd/P_pos'] == pytest.approx(100 * 5 / 7)
    assert metrics['rd/R_pos'] == pytest.approx(100 * 5 / 6)
    assert metrics['rd/P'] == pytest.approx(100 * (5 / 7 + 5 / 6) / 2)
    # pair level: means 0.633, 0.333, 0.633, 0.6, 0.5 with labels 1, 0, 0, 1, 0; 0.5 decides for A
    assert metrics['rd/pair_n'] == 5
    assert metrics['rd/pair_Acc'] == pytest.approx(100 * 3 / 5)
    assert metrics['rd/pair_R'] == pytest.approx(100 * (2 / 2 + 1 / 3) / 2)
    bins = [metrics[f'rd/n{gap}'] for gap in ('', '_gap0.5', '_gap0.3', '_gap0.1')]
    assert bins == [13, 7, 5, 5] and metrics['rd/pair_n_gap0.5'] == 3
    assert metrics['rd/Acc_gap0.1'] == pytest.approx(80) and metrics['rd/AUC_gap0.1'] == 100
    assert evaluate(samples, NAME, threshold=0.65)['rd/Acc'] == pytest.approx(100 * 6 / 13)


def test_keys_are_stable_and_a_bin_with_one_class_is_nan(samples):
    def keys(*gaps):
        return {f'rd/{start}{k}{gap}' for start in ('', 'pair_') for k in KEYS for gap in gaps}

    assert set(evaluate(samples, NAME)) == keys('', '_gap0.5', '_gap0.3', '_gap0.1')
    assert set(evaluate(samples, NAME, gaps=[0.25])) == keys('', '_gap0.25')
    sample = pair_sample(1, [0.5] * 3, 1, visible=[[1, 1, 0], [0, 0, 1]])
    assert evaluate([sample], NAME)['rd/n'] == 0
    metrics = evaluate(samples[:1], NAME)
    assert set(metrics) == keys('', '_gap0.5', '_gap0.3', '_gap0.1')
    assert metrics.pop('rd/n') == 3 and metrics.pop('rd/pair_n_gap0.1') == 1
    assert all(math.isnan(value) for key, value in metrics.items() if 'n' not in key)


def test_averaged_figures_stand_beside_under_their_own_names(samples):
    plain = evaluate(samples, NAME)
    for sample in samples:
        pred = sample['pred_instances']
        pred |= {f'{name}_averaged': 1 - value for name, value in list(pred.items())}
    both = evaluate(samples, NAME)
    assert set(both) == {f'rd/{a}{key[3:]}' for key in plain for a in ('', 'averaged_')}
    assert {key: both[key] for key in plain} == pytest.approx(plain, nan_ok=True)
    for key in ('AUC', 'pair_AUC_gap0.5'):
        assert both[f'rd/averaged_{key}'] == pytest.approx(100 - both[f'rd/{key}'])


def test_share_of_gaps_from_stand_ins(samples, monkeypatch):
    lines = logged(monkeypatch, 'relative_depth_metric')
    for sample, stand_in in zip(samples, (1, 0, 1, 1, 0, 0), strict=True):  # the fifth is a tie
        sample['gt_instances']['pair_stand_in'] = np.array([float(stand_in)])
    metrics = evaluate(samples, NAME)
    found = [metrics[f'rd/stand_in{gap}'] for gap in ('', '_gap0.5', '_gap0.3', '_gap0.1')]
    assert found == pytest.approx([60, 200 / 3, 50, 50])
    assert lines[0][0].count('stand-in gaps') == 2 and '66.67' in lines[0][0]
    del samples[0]['gt_instances']['pair_stand_in']  # not known of all
    assert 'rd/stand_in' not in evaluate(samples, NAME)


@pytest.mark.parametrize('kwargs', [dict(gaps=[2.0]), dict(gaps=[-0.1]), dict(threshold=1.5)])
def test_bad_arguments(kwargs):
    with pytest.raises(ValueError, match=r'\[0, 1\]'):
        build(NAME, **kwargs)


def test_tables_go_to_the_log(samples, monkeypatch):
    lines = logged(monkeypatch, 'relative_depth_metric')
    metrics = evaluate(samples, NAME)
    for key in ('rd/AUC', 'rd/pair_F1_gap0.5'):
        assert f'{metrics[key]:.2f}' in lines[0][0]
    assert '<= 0.1' in lines[0][0]
    evaluate(samples, NAME, show_tables=False)
    assert len(lines) == 1
