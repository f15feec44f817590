# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The mean over the ranks of what each computes is what one process computes from the whole
batch.
"""

import pytest
import torch

import wsp_mm.models.losses.reduction as reduction
from wsp_mm.models.losses.heatmap_l2_loss import HeatmapL2Loss
from wsp_mm.models.losses.integral_3d_loss import Integral3DLoss
from wsp_mm.models.losses.marginal_loss import MarginalLoss
from wsp_mm.models.losses.relative_depth_loss import RelativeDepthLoss


def sparse(*shape, share=0.5):
    return (torch.rand(*shape) < share).double()


def heatmaps():
    weights = sparse(6, 4)
    weights[:2] = 0  # the first of three ranks has no label at all
    return HeatmapL2Loss(), torch.randn(6, 4, 5, 5), (torch.rand(6, 4, 5, 5), weights)


def depth():
    weights = sparse(6, 4)
    weights[[0, 1, 4]] = 0
    return RelativeDepthLoss(), torch.randn(6, 4), (sparse(6, 4), weights)


def integral():
    return (
        Integral3DLoss(average='valid'),
        torch.randn(6, 4, 3),
        (torch.rand(6, 4, 3), sparse(6, 4), sparse(6, 4)),
    )


def integral_all():
    return Integral3DLoss(), torch.randn(6, 4, 3), (torch.rand(6, 4, 3), sparse(6, 4), sparse(6, 4))


def marginal():
    class Loss(MarginalLoss):
        def forward(self, logits, *rest):
            return super().forward(tuple(logits.softmax(-1).unbind(2)), *rest)

    return Loss(), torch.randn(6, 4, 3, 8), (8 * torch.rand(6, 4, 3), sparse(6, 4), sparse(6, 4))


@pytest.fixture
def ranks(monkeypatch):
    """``ranks(function, parts)``: function of each part, as if each ran on a rank of its own."""

    def run(function, parts):
        monkeypatch.setattr(reduction, 'get_world_size', lambda: len(parts))
        counts = []
        monkeypatch.setattr(reduction, 'all_reduce', lambda count: counts.append(count.clone()))
        for part in parts:
            function(*part)
        total = sum(counts) if counts else None
        monkeypatch.setattr(reduction, 'all_reduce', lambda count: count.copy_(total))
        return [function(*part) for part in parts]

    return run


@pytest.mark.parametrize('make', [heatmaps, depth, integral, integral_all, marginal])
def test_ranks_together_equal_one_process(make, ranks):
    torch.manual_seed(5)
    loss, output, rest = make()
    output = output.double().requires_grad_()
    rest = [value.double() for value in rest]
    whole = loss(output, *rest)
    (expected,) = torch.autograd.grad(whole, output)
    parts = list(zip(*(value.split(2) for value in (output, *rest)), strict=True))
    values = ranks(loss, parts)
    mean = sum(values) / 3
    (gradient,) = torch.autograd.grad(mean, output)
    torch.testing.assert_close(mean, whole, rtol=1e-6, atol=0)
    torch.testing.assert_close(gradient, expected, rtol=1e-6, atol=1e-9)
    if make is not integral_all:  # a rank's own count would have given something else
        alone = sum(loss_of_one(loss, part) for part in parts) / 3
        assert abs(alone - whole) > 1e-2 * abs(whole)


def loss_of_one(loss, part):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reduction, 'get_world_size', lambda: 1)
        return loss(*part)


def test_no_label_on_any_rank(ranks):
    values = torch.randn(2, 3, requires_grad=True)
    for value in ranks(reduction.mean_over_joints, [(values, torch.zeros(2, 3))] * 2):
        assert value.item() == 0
        (gradient,) = torch.autograd.grad(value, values)
        assert (gradient == 0).all()


def test_one_process_asks_nobody(monkeypatch):
    def refuse(count):
        raise AssertionError('a collective with one process')

    monkeypatch.setattr(reduction, 'all_reduce', refuse)
    assert reduction.rank_share(torch.tensor(0)) == 1
    assert reduction.rank_share(torch.tensor(7)) == 7
