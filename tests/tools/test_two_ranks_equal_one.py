# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Two real processes end where one ends that takes the same global batches."""

import math
import sys

import pytest
import scale_out_fixture as jobs
import torch

from wsp_mm.utils.checkpoint import load_file

pytestmark = pytest.mark.slow

# A batch's sum is rounded differently than the sum of two halves' sums: 1e-7 a step. What an error
# of the reduction would do is a hundred times more: see the last assertions of the test.
LOSS_TOLERANCE = 1e-5  # relative
WEIGHT_TOLERANCE = 1e-3  # of the distance that training moved the tensor


def by_name_and_loss(sample):
    """Order of (name, losses): a short epoch shows some samples twice, in other augmentation."""
    return sample[0], sample[1]['loss_heatmap' if 'loss_heatmap' in sample[1] else 'loss_kpt']


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    return tmp_path_factory.mktemp('trainings')


@pytest.fixture
def train(load_tool, monkeypatch, scale_out_data, place):
    """``train(kind, processes)`` runs a training of global batch 4, once, and returns its
    folder.
    """

    def run(kind, processes, *options, name=None):
        folder = place / (name or f'{kind}_{processes}')
        if folder.exists():
            return folder
        folder.mkdir()
        config = jobs.write_config(folder, kind)
        own = [f'train_dataloader.batch_size={4 // processes}']
        options = jobs.options(scale_out_data, folder, *own, *options)
        if processes > 1:
            jobs.finish(jobs.start(processes, config, '--auto-scale-lr', *options, cwd=place))
        else:  # the tool itself; starting a process takes longer than all that it does
            monkeypatch.chdir(place)
            monkeypatch.setattr(sys, 'argv', ['train.py', str(config), '--auto-scale-lr', *options])
            load_tool('train').main()
        return folder

    return run


def weights(folder, epoch=2):
    return load_file(folder / f'epoch_{epoch}.pth', map_location='cpu')['state_dict']


def worst(one, other, start):
    """The largest |one - other| of any tensor, relative to how far training moved it."""
    ratios = [0.0]
    for key, value in one.items():
        if value.is_floating_point():
            moved = (value - start[key]).norm()
            apart = (value - other[key]).norm()
            assert moved > 0 or apart == 0, key
            ratios.append(float(apart / moved) if moved > 0 else 0.0)
    return max(ratios)


@pytest.mark.parametrize('kind', ['pairs', 'h36m', 'muco'])
def test_two_processes_equal_one(kind, train):
    """Per-sample losses, batch losses, rate, weights and metrics; no length is a multiple of a
    batch.
    """
    one, two = (train(kind, processes) for processes in (1, 2))
    (whole,), halves = jobs.records(one, 1), jobs.records(two, 2)
    assert len(whole) == len(halves[0]) == len(halves[1]) == (4 if kind == 'muco' else 6)
    for step, first, second in zip(whole, *halves, strict=True):
        rate = pytest.approx(jobs.KINDS[kind][1] * 4 / 64)
        assert step['lr'] == first['lr'] == second['lr'] == rate
        alone, together = (
            sorted(samples, key=by_name_and_loss)
            for samples in (step['samples'], first['samples'] + second['samples'])
        )
        for (name, expected), (other, losses) in zip(alone, together, strict=True):
            assert name == other and losses == pytest.approx(expected, rel=LOSS_TOLERANCE)
        mean = (first['loss'] + second['loss']) / 2
        assert mean == pytest.approx(step['loss'], rel=LOSS_TOLERANCE)
    assert worst(weights(one), weights(two), weights(one, 1)) < WEIGHT_TOLERANCE
    metrics_one, metrics_two = (jobs.metrics(folder) for folder in (one, two))
    scored = [name for name in metrics_one if '/' in name]
    assert scored and metrics_one.keys() == metrics_two.keys()
    for name in scored:
        expected = metrics_one[name]
        assert metrics_two[name] == pytest.approx(expected, rel=1e-4, nan_ok=True), name
    assert any(not math.isnan(metrics_one[name]) for name in scored)


def test_two_nodes_equal_one_node_with_two_processes(train, scale_out_data, place):
    """torchrun started twice, one process each: the same ranks, so the same weights to the last
    bit.
    """
    one, two = train('pairs', 2), place / 'two_nodes'
    where = dict(NNODES=2, MASTER_ADDR='127.0.0.1', PORT=jobs.free_port())
    words = ['--auto-scale-lr', *jobs.options(scale_out_data, two, 'train_dataloader.batch_size=2')]
    nodes = [
        jobs.start(1, one / 'pairs.py', *words, cwd=place, NODE_RANK=rank, **where)
        for rank in (0, 1)
    ]
    for node in nodes:
        jobs.finish(node)
    assert jobs.records(one, 2) == jobs.records(two, 2)
    there = weights(two)
    assert all(torch.equal(value, there[key]) for key, value in weights(one).items())


def test_two_batches_accumulated_equal_one_twice_as_large(train):
    """Where both hold equally many counted elements: here PoseNet's loss, which counts all joints.

    Eight samples, so that no step is left half full. The rate stays: --auto-scale-lr knows nothing
    of this.
    """
    eight = 'train_dataloader.dataset.indices=8'
    rate = 'auto_scale_lr.base_batch_size={}'
    large = train('h36m', 1, eight, rate.format(4), name='large')
    halves = ['train_dataloader.batch_size=2', 'optim_wrapper.accumulative_counts=2']
    halves.append(rate.format(2))
    parts = train('h36m', 1, eight, *halves, name='parts')
    assert worst(weights(large), weights(parts), weights(large, 1)) < WEIGHT_TOLERANCE
    (steps,), (half_steps,) = jobs.records(large, 1), jobs.records(parts, 1)
    assert len(half_steps) == 2 * len(steps) == 8
    for number, step in enumerate(steps):
        mean = sum(part['loss'] for part in half_steps[2 * number : 2 * number + 2]) / 2
        assert mean == pytest.approx(step['loss'], rel=LOSS_TOLERANCE)
