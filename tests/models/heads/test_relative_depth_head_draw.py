# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The draw of N joints a pair and iteration."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub
from relative_depth_cases import (
    MAP,
    SIDE,
    K,
    build,
    make_batch,
    make_feats,
    sigmoid,
)

from wsp_mm.codecs.box_cells import box_membership


@pytest.fixture
def hub():
    """MMEngine's message hub as a Runner leaves it, put back afterwards."""
    hub = MessageHub.get_current_instance()
    kept = {key: hub.runtime_info[key] for key in ('iter', 'seed') if key in hub.runtime_info}
    yield hub
    for key in ('iter', 'seed'):
        hub.runtime_info.pop(key, None)
        if key in kept:
            hub.update_info(key, kept[key])


def test_draw_takes_n_of_the_valid_joints(hub):
    head = build(out_channels=16, num_sampled_joints=8, decoder=None)
    valid = torch.zeros(3, 16, dtype=torch.bool)
    valid[0] = True
    valid[1, 3:7] = True
    counts = torch.zeros(16)
    for iteration in range(400):
        hub.update_info('iter', iteration)
        drawn = head._draw_joints(valid)
        assert drawn.sum(1).tolist() == [8, 4, 0]
        assert not (drawn & ~valid).any()
        counts += drawn[0]
    assert (counts > 150).all()  # 200 +- 5 sigma: every joint has its turn
    assert (counts < 250).all()


def test_draw_is_a_function_of_seed_iteration_and_rank(hub, monkeypatch):
    valid = torch.ones(4, 16, dtype=torch.bool)
    drawn = {}
    for seed, iteration, rank in [(0, 0, 0), (0, 1, 0), (1, 0, 0), (0, 0, 1)]:
        hub.update_info('seed', seed)
        hub.update_info('iter', iteration)
        monkeypatch.setattr(
            'wsp_mm.models.heads.relative_depth_head.get_rank', lambda rank=rank: rank
        )
        # a head that has just been built draws what one that has drawn before does: resuming
        # changes nothing
        head = build(out_channels=16, num_sampled_joints=8, decoder=None)
        drawn[seed, iteration, rank] = first = head._draw_joints(valid)
        assert torch.equal(first, head._draw_joints(valid))
        assert not torch.equal(first[0], first[1])  # samples draw on their own
    assert len({tuple(mask.flatten().tolist()) for mask in drawn.values()}) == 4


def test_samples_that_bring_their_order_draw_by_it_alone(hub, monkeypatch):
    """Whichever the iteration, the rank and the place in the batch."""
    head = build(out_channels=16, num_sampled_joints=8, decoder=None)
    samples = [
        SimpleNamespace(metainfo=dict(joint_order=np.random.default_rng(i).random(16)))
        for i in range(4)
    ]
    valid = torch.ones(4, 16, dtype=torch.bool)
    hub.update_info('iter', 0)
    drawn = head._draw_joints(valid, samples)
    for sample, mask in zip(samples, drawn, strict=True):
        highest = np.argsort(sample.metainfo['joint_order'])[8:]
        assert set(mask.nonzero().flatten().tolist()) == set(highest.tolist())
    hub.update_info('iter', 1)
    monkeypatch.setattr('wsp_mm.models.heads.relative_depth_head.get_rank', lambda: 1)
    parts = [head._draw_joints(valid[:2], samples[start::2]) for start in (0, 1)]
    assert torch.equal(drawn[[0, 2, 1, 3]], torch.cat(parts))


def test_draw_outside_a_runner_differs_from_call_to_call(hub):
    hub.runtime_info.pop('iter', None)
    head = build(out_channels=16, num_sampled_joints=8, decoder=None)
    valid = torch.ones(2, 16, dtype=torch.bool)
    assert not torch.equal(head._draw_joints(valid), head._draw_joints(valid))


def test_draw_leaves_the_global_random_state_alone():
    head, feats, batch = build(num_sampled_joints=2), make_feats(), make_batch()
    torch.manual_seed(3)
    np.random.seed(3)
    expected = torch.rand(1), np.random.rand()
    torch.manual_seed(3)
    np.random.seed(3)
    head.loss(feats, batch)
    assert (torch.rand(1), np.random.rand()) == expected


def test_loss_looks_at_the_drawn_joints_alone(hub):
    hub.update_info('iter', 5)
    head, feats, batch = build(num_sampled_joints=1), make_feats(), make_batch()
    drawn = head._draw_joints(torch.ones(3, K, dtype=torch.bool))
    losses = head.loss(feats, batch)
    heatmaps, features = head(feats)
    boxes = torch.cat([sample.gt_instance_labels.pair_bboxes_input for sample in batch])
    inside = box_membership(boxes, (SIDE, SIDE), (MAP, MAP))
    logits = head.depth_logits(head.pair_features(features, heatmaps, inside))[drawn]
    expected = 2.0 * np.mean(
        [-math.log(sigmoid(x if seed % 2 else -x)) for seed, x in enumerate(logits.tolist())]
    )
    assert losses['joints_drawn'].item() == 1
    assert losses['loss_depth'].item() == pytest.approx(expected, rel=1e-5)
