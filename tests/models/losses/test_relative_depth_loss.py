# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import math

import pytest
import torch
from mmpose.registry import MODELS

from wsp_mm.models.losses.relative_depth_loss import RelativeDepthLoss


def logit(p):
    return math.log(p / (1 - p))


@pytest.mark.parametrize(
    ('weights', 'expected'),
    [
        # Eq. 9: the mean over the joints of a pair, then over the pairs
        (
            [[1, 1], [1, 1]],
            (-(math.log(0.9) + math.log(0.2)) / 2 - (math.log(0.7) + math.log(0.5)) / 2) / 2,
        ),
        ([[1, 0], [1, 1]], (-math.log(0.9) - (math.log(0.7) + math.log(0.5)) / 2) / 2),
        ([[0, 0], [0, 1]], -math.log(0.5)),
        ([[0, 0], [0, 0]], 0),
    ],
)
def test_by_hand(weights, expected):
    logits = torch.tensor([[logit(0.9), logit(0.2)], [logit(0.3), logit(0.5)]])
    labels = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    loss = MODELS.build(dict(type='RelativeDepthLoss'))(
        logits, labels, torch.tensor(weights).float()
    )
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_no_label_gives_a_zero_gradient_and_not_a_missing_one():
    logits = torch.randn(2, 3, requires_grad=True)
    RelativeDepthLoss()(logits, torch.ones(2, 3), torch.zeros(2, 3)).backward()
    assert (logits.grad == 0).all()


def test_far_wrong_logits_stay_finite_in_half_precision():
    logits = torch.tensor([[6e4, -6e4]], dtype=torch.float16, requires_grad=True)
    loss = RelativeDepthLoss()(logits, torch.tensor([[0.0, 1.0]]), torch.ones(1, 2))
    loss.backward()
    assert loss.item() == pytest.approx(6e4, rel=1e-3)
    assert torch.isfinite(logits.grad).all()


def test_misfitting_shapes():
    with pytest.raises(ValueError, match='joint set'):
        RelativeDepthLoss()(torch.zeros(1, 4), torch.zeros(1, 3), torch.ones(1, 4))
