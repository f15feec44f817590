# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import math

import pytest
import torch

from wsp_mm.models.losses.marginal_loss import MarginalLoss

SIZES = (6, 5, 4)


def gaussian(size, centre, sigma):
    values = [math.exp(-0.5 * ((i - centre) / sigma) ** 2) for i in range(size)]
    return [value / sum(values) for value in values]


def uniform(batch=1, joints=1):
    return tuple(torch.full((batch, joints, size), 1 / size) for size in SIZES)


def kl(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a > 0)


def js(p, q):
    middle = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    return (kl(p, middle) + kl(q, middle)) / 2


@pytest.mark.parametrize(('name', 'divergence'), [('kl', kl), ('js', js)])
def test_by_hand(name, divergence):
    target = torch.tensor([[[2.0, 3.5, 0.25]]])
    expected = [
        divergence(gaussian(size, centre, 0.8), [1 / size] * size)
        for size, centre in zip(SIZES, target.flatten().tolist(), strict=True)
    ]
    loss = MarginalLoss(sigma=0.8, divergence=name, loss_weight=2.0)
    ones = torch.ones(1, 1)
    assert loss(uniform(), target, ones, ones).item() == pytest.approx(
        2 * sum(expected) / 3, rel=1e-5
    )
    # without depth: the mean over the two axes that are labelled
    assert loss(uniform(), target, ones, 0 * ones).item() == pytest.approx(
        sum(expected[:2]), rel=1e-5
    )


@pytest.mark.parametrize('divergence', ['kl', 'js'])
def test_zero_exactly_where_the_marginals_are_the_gaussians(divergence):
    target = torch.tensor([[[2.0, 3.5, 0.25]]])
    marginals = tuple(
        torch.tensor([[gaussian(size, centre, 1.0)]])
        for size, centre in zip(SIZES, target.flatten().tolist(), strict=True)
    )
    ones = torch.ones(1, 1)
    assert MarginalLoss(1.0, divergence)(marginals, target, ones, ones).item() == pytest.approx(
        0, abs=1e-6
    )


@pytest.mark.parametrize('divergence', ['kl', 'js'])
def test_finite_where_all_mass_is_elsewhere(divergence):
    logits = [torch.zeros(1, 1, size) for size in SIZES]
    for tensor in logits:
        tensor[..., 0] = 200.0  # the others underflow to 0
        tensor.requires_grad_()
    marginals = tuple(tensor.softmax(-1) for tensor in logits)
    ones = torch.ones(1, 1)
    loss = MarginalLoss(0.5, divergence)(marginals, torch.tensor([[[5.0, 4.0, 3.0]]]), ones, ones)
    loss.backward()
    assert loss.isfinite() and all(tensor.grad.isfinite().all() for tensor in logits)


def test_nothing_valid_is_zero_and_still_has_gradients():
    marginals = tuple(m.requires_grad_() for m in uniform(2, 3))
    targets, nothing = torch.full((2, 3, 3), float('nan')), torch.zeros(2, 3)
    loss = MarginalLoss()(marginals, targets, nothing, nothing)
    loss.backward()
    assert loss.item() == 0
    assert all(m.grad is not None and not m.grad.any() for m in marginals)


def test_bad_settings():
    with pytest.raises(ValueError, match='sigma'):
        MarginalLoss(sigma=0)
    with pytest.raises(ValueError, match='divergence'):
        MarginalLoss(divergence='l2')
