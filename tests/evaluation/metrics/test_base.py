# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""What all metrics do alike: samples count once, whoever scored them; wrong ones are named."""

import json
from pathlib import Path

import numpy as np
import pytest
from metric_fixture import cases, evaluate, same
from mmengine.hooks import LoggerHook
from mmengine.logging import MessageHub

# Predicted fields, where a metric does not need all that the samples have.
NEEDED = {'MuPoTS3DPCK': ('keypoints', 'keypoints_cam'), 'RootDepthMetric': ('root_cam',)}
NAMES = ('rd', 'pck', 'h36m', 'mupots', 'root', 'ap')


@pytest.fixture(params=NAMES)
def case(request, mupots_world):
    return cases(*mupots_world)[request.param]


def test_repeated_samples_count_once(case):
    name, options, samples = case
    same(evaluate([*samples, *samples[:2]], name, **options), evaluate(samples, name, **options))


def test_ids_that_do_not_identify_are_refused(case):
    name, options, samples = case
    one, other = samples[:2]
    for field in ('depth_label', 'pair_keypoints'):
        if field in other.get('gt_instances', {}):
            other['gt_instances'][field] = 1 - one['gt_instances'][field]
    with pytest.raises(ValueError, match=f'id .*{one["id"]}'):
        evaluate([one, dict(other, id=one['id'])], name, **options)
    if 'frame_key' not in one:
        evaluate([one, dict(other, id=one['id'], dataset_name='another')], name, **options)


def test_missing_and_wrong_fields_are_named(case):
    name, options, samples = case
    sample = samples[0]
    for key in ('id', 'frame_key', 'det_idx'):
        if key in sample:
            with pytest.raises(KeyError, match=key):
                evaluate([{k: v for k, v in sample.items() if k != key}], name, **options)
    container = sample['pred_instances']
    for key in NEEDED.get(name, container):
        rest = {k: v for k, v in container.items() if k != key}
        two = dict(container, **{key: np.concatenate([container[key], container[key]])})
        for wrong, error in ((rest, KeyError), (two, ValueError)):
            with pytest.raises(error, match=rf'pred_instances\.{key}'):
                evaluate([dict(sample, pred_instances=wrong)], name, **options)


@pytest.mark.parametrize(
    ('name', 'field'),
    [
        ('h36m', 'pred_instances.keypoints_cam'),
        ('h36m', 'gt_instances.keypoints_cam'),
        ('mupots', 'pred_instances.keypoints'),
        ('mupots', 'pred_instances.keypoints_cam'),
        ('root', 'pred_instances.root_cam'),
        ('root', 'gt_instances.keypoints_cam'),
    ],
)
def test_poses_that_are_not_finite_or_of_other_joints_are_refused(name, field, mupots_world):
    metric, options, samples = cases(*mupots_world)[name]
    container, key = field.split('.')
    value = samples[0][container][key]
    for wrong in (np.full(np.shape(value), np.nan), np.asarray(value)[..., :-1]):
        sample = dict(samples[0], **{container: dict(samples[0][container], **{key: wrong})})
        with pytest.raises(ValueError, match=f'{field} of sample 0 '):
            evaluate([sample], metric, **options)


def test_figures_are_floats_and_reach_the_log(case):
    """MMEngine's logs drop integers of NumPy, which its buffers make of integers."""
    name, options, samples = case
    metrics = evaluate(samples, name, **options)
    hub = MessageHub(f'test_{name}')
    for key, value in metrics.items():
        hub.update_scalar(key, value)
    tags = {key: hub.get_scalar(key).current() for key in metrics}
    assert None not in json.loads(json.dumps(LoggerHook._process_tags(tags))).values()
    assert all(isinstance(value, float) for value in metrics.values())


TWO_PROCESSES = """
import json, sys
from pathlib import Path
sys.path.append(sys.argv[1])
import torch.distributed as dist
from mmengine.dataset import DefaultSampler
from metric_fixture import build, cases
from mupots_fixture import write_mupots

dist.init_process_group('gloo')
root = Path(f'world_{dist.get_rank()}')
for name, (metric, options, samples) in cases(root, write_mupots(root)).items():
    for count in {1, len(samples)}:
        for round_up in (False, True):
            one = build(metric, **options)
            mine = list(DefaultSampler(samples[:count], shuffle=False, round_up=round_up))
            for start in range(0, len(mine), 2):
                one.process({}, [samples[index] for index in mine[start : start + 2]])
            metrics = one.evaluate(count)
            if dist.get_rank() == 0:
                Path(f'{name}_{count}_{round_up}.json').write_text(json.dumps(metrics))
dist.barrier()
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_report_what_one_does(two_ranks, tmp_path, mupots_world):
    """Odd numbers of samples on two ranks, and one (a rank has none), with and without repetition
    to even it out; bit for bit.
    """
    two_ranks(TWO_PROCESSES, Path(__file__).parents[1])
    for name, (metric, options, samples) in cases(*mupots_world).items():
        for count in {1, len(samples)}:
            expected = evaluate(samples[:count], metric, **options)
            for round_up in (False, True):
                file = tmp_path / f'{name}_{count}_{round_up}.json'
                same(json.loads(file.read_text()), expected)
