# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json
import math

import numpy as np
import pytest
import torch
from mmpose.registry import METRICS

from wsp_mm.evaluation.functional import relative_depth_scores
from wsp_mm.evaluation.metrics.relative_depth_metric import KEYS, RelativeDepthMetric

K = 3


def make_sample(number, probs, label, gap=0.2, visible=None, weight=1.0, **meta):
    """A sample as MMEngine's Evaluator passes it: plain dicts."""
    visible = np.ones((2, K)) if visible is None else np.array(visible)
    probs = np.array(probs, dtype=np.float32)
    return dict(
        id=number,
        dataset_name='mcpc',
        img_path=f'{number}.jpg',
        pred_instances=dict(depth_probs=probs[None], pair_probs=probs.mean(keepdims=True)),
        gt_instances=dict(
            depth_label=np.array([label]),
            depth_weight=np.array([weight]),
            pair_gap=np.array([gap]),
            pair_visible=visible[None],
        ),
        **meta,
    )


@pytest.fixture
def samples():
    return [
        make_sample(1, [0.9, 0.6, 0.4], 1, gap=0.05),
        make_sample(2, [0.1, 0.7, 0.2], 0, gap=0.1, visible=[[1, 1, 1], [1, 0, 1]]),
        make_sample(3, [0.8, 0.8, 0.3], 0, gap=0.4, visible=[[0, 1, 1], [1, 1, 1]]),
        make_sample(4, [0.6, 0.6, 0.6], 1, gap=0.7),
        make_sample(5, [0.2, 0.2, 0.2], 1, gap=0.05, weight=0),  # a tie
        make_sample(6, [0.3, 0.3, 0.9], 0, gap=math.nan),  # scale unknown
    ]


def evaluate(samples, **kwargs):
    metric = METRICS.build(dict(type='RelativeDepthMetric', **kwargs))
    for start in range(0, len(samples), 2):
        metric.process({}, samples[start : start + 2])
    return metric.evaluate(len(samples))


def test_joints_and_pairs_by_hand(samples):
    metrics = evaluate(samples)
    # joint level: 3 + 2 + 2 + 3 + 3 decisions
    prob = [0.9, 0.6, 0.4, 0.1, 0.2, 0.8, 0.3, 0.6, 0.6, 0.6, 0.3, 0.3, 0.9]
    label = [1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0]
    assert metrics['rd/n'] == 13
    assert metrics['rd/Acc'] == pytest.approx(
        100 * 10 / 13
    )  # wrong: 0.4 of pair 1, 0.8 of 3, 0.9 of 6
    wins = sum(
        (p > q) + 0.5 * (p == q)
        for p, a in zip(prob, label, strict=True)
        for q, b in zip(prob, label, strict=True)
        if a > b
    )
    assert metrics['rd/AUC'] == pytest.approx(100 * wins / (6 * 7))
    assert metrics['rd/P_pos'] == pytest.approx(100 * 5 / 7)
    assert metrics['rd/R_pos'] == pytest.approx(100 * 5 / 6)
    assert metrics['rd/P'] == pytest.approx(100 * (5 / 7 + 5 / 6) / 2)
    # pair level: means 0.633, 0.333, 0.633, 0.6, 0.5 with labels 1, 0, 0, 1, 0; 0.5 decides for A
    assert metrics['rd/pair_n'] == 5
    assert metrics['rd/pair_Acc'] == pytest.approx(100 * 3 / 5)
    assert metrics['rd/pair_R'] == pytest.approx(100 * (2 / 2 + 1 / 3) / 2)


def test_bins_hold_the_pairs_up_to_their_gap(samples):
    metrics = evaluate(samples)
    assert {gap: metrics[f'rd/n{gap}'] for gap in ('', '_gap0.5', '_gap0.3', '_gap0.1')} == {
        '': 13, '_gap0.5': 7, '_gap0.3': 5, '_gap0.1': 5,
    }  # fmt: skip
    assert metrics['rd/pair_n_gap0.5'] == 3
    assert metrics['rd/Acc_gap0.1'] == pytest.approx(80)
    assert metrics['rd/AUC_gap0.1'] == 100
    assert metrics['rd/pair_AUC_gap0.1'] == 100


def test_keys_are_stable(samples):
    expected = {
        f'rd/{level}{key}{gap}'
        for level in ('', 'pair_')
        for key in ('AUC', 'Acc', 'P', 'R', 'F1', 'P_pos', 'R_pos', 'F1_pos', 'n')
        for gap in ('', '_gap0.5', '_gap0.3', '_gap0.1')
    }
    metrics = evaluate(samples)
    assert set(metrics) == expected
    assert all(isinstance(value, (int, float)) for value in metrics.values())
    assert set(evaluate(samples[:1])) == expected
    assert set(evaluate(samples, gaps=[0.25])) == {
        key.replace('_gap0.3', '_gap0.25')
        for key in expected
        if '_gap0.5' not in key and '_gap0.1' not in key
    }


def test_bin_with_one_class_reports_n_and_nan(samples):
    metrics = evaluate(samples[:1])
    assert metrics['rd/n'] == 3
    assert metrics['rd/pair_n_gap0.1'] == 1
    assert all(
        math.isnan(value)
        for key, value in metrics.items()
        if '/n' not in key and 'pair_n' not in key
    )


def test_nothing_valid(samples):
    metrics = evaluate([make_sample(1, [0.5] * 3, 1, visible=[[1, 1, 0], [0, 0, 1]], weight=1)])
    assert metrics['rd/n'] == 0
    assert metrics['rd/pair_n'] == 1
    assert evaluate([make_sample(1, [0.5] * 3, 1, weight=0)])['rd/pair_n'] == 0


def test_threshold_and_tensors(samples):
    for sample in samples:
        sample['pred_instances'] = {
            key: torch.from_numpy(value) for key, value in sample['pred_instances'].items()
        }
        sample['gt_instances'] = {
            key: torch.from_numpy(value) for key, value in sample['gt_instances'].items()
        }
    assert evaluate(samples, threshold=0.65)['rd/Acc'] == pytest.approx(100 * 6 / 13)


def test_repeated_samples_count_once(samples):
    assert evaluate([*samples, *samples[:3]]) == pytest.approx(evaluate(samples), nan_ok=True)


def test_ids_that_do_not_identify_are_refused(samples):
    with pytest.raises(ValueError, match='carry the id 1'):
        evaluate([*samples, make_sample(1, [0.5] * 3, 0)])
    other = make_sample(1, [0.5] * 3, 0)
    other['dataset_name'] = 'another'
    assert evaluate([*samples, other])['rd/pair_n'] == 6


def test_missing_fields_are_named(samples):
    del samples[0]['id']
    with pytest.raises(KeyError, match="'id'"):
        evaluate(samples)
    sample = make_sample(7, [0.5] * 3, 0)
    del sample['gt_instances']['pair_gap']
    with pytest.raises(KeyError, match=r'gt_instances\.pair_gap.*7'):
        evaluate([sample])
    sample = make_sample(7, [0.5] * 3, 0)
    sample['pred_instances']['depth_probs'] = np.zeros((2, K))
    with pytest.raises(ValueError, match='one pair'):
        evaluate([sample])


@pytest.mark.parametrize('kwargs', [dict(gaps=[2.0]), dict(gaps=[-0.1]), dict(threshold=1.5)])
def test_bad_arguments(kwargs):
    with pytest.raises(ValueError, match='must lie in'):
        RelativeDepthMetric(**kwargs)


def test_tables_go_to_the_log(samples, monkeypatch):
    lines = []
    monkeypatch.setattr(
        'wsp_mm.evaluation.metrics.relative_depth_metric.print_log',
        lambda text, logger: lines.append(text),
    )
    metrics = evaluate(samples)
    table = lines[-1]
    assert f'{metrics["rd/AUC"]:.2f}' in table
    assert f'{metrics["rd/pair_F1_gap0.5"]:.2f}' in table
    assert '<= 0.1' in table
    assert '\x1b' not in table  # no terminal colours in a log file
    lines.clear()
    evaluate(samples, show_tables=False)
    assert lines == []


def random_samples(count):
    rng = np.random.default_rng(0)
    return [
        make_sample(
            i,
            rng.random(K),
            int(rng.integers(2)),
            gap=rng.random() * 0.6,
            visible=rng.integers(0, 2, (2, K)),
        )
        for i in range(count)
    ]


def test_equals_the_functional_layer():
    samples = random_samples(50)
    metrics = evaluate(samples)
    chosen = [sample for sample in samples if sample['gt_instances']['pair_gap'][0] <= 0.3]
    valid = [sample['gt_instances']['pair_visible'][0].prod(0) > 0 for sample in chosen]
    prob = np.concatenate(
        [s['pred_instances']['depth_probs'][0][v] for s, v in zip(chosen, valid, strict=True)]
    )
    label = np.concatenate(
        [
            np.repeat(s['gt_instances']['depth_label'], v.sum())
            for s, v in zip(chosen, valid, strict=True)
        ]
    )
    expected = relative_depth_scores(prob, label)
    assert {key: metrics[f'rd/{key}_gap0.3'] for key in KEYS} == {
        key: expected[name] for key, name in KEYS.items()
    }


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
    metric = metric_tests.RelativeDepthMetric()
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
    assert expected['rd/n'] > 0
    for round_up in (False, True):
        found = json.loads((tmp_path / f'round_up_{round_up}.json').read_text())
        assert found.keys() == expected.keys()
        np.testing.assert_array_equal([found[key] for key in expected], list(expected.values()))
