# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import pytest
import torch
from mmpose.registry import MODELS

from wsp_mm.models.losses.integral_3d_loss import Integral3DLoss

CELLS = torch.tensor([[[1.0, 2, 3], [4, 4, 4]], [[0, 0, 0], [9, 9, 9]]])
TARGETS = torch.tensor([[[2.0, 4, 7], [4, 4, 1]], [[3, 0, 6], [0, 0, 0]]])
WEIGHTS = torch.tensor([[1.0, 1], [1, 0]])
DEPTH = torch.tensor([[1.0, 0], [0, 0]])


def test_by_hand():
    # (1 + 2 + 4) / 3 + (0 + 0, no depth) / 3 + (3 + 0, no depth) / 3 = 10 / 3, over 4 entries or 3
    # valid ones
    assert Integral3DLoss()(CELLS, TARGETS, WEIGHTS, DEPTH).item() == pytest.approx(10 / 3 / 4)
    assert Integral3DLoss('valid')(CELLS, TARGETS, WEIGHTS, DEPTH).item() == pytest.approx(
        10 / 3 / 3
    )


def test_eq_12_is_three_times_it():
    loss = Integral3DLoss('all', loss_weight=3.0)(CELLS, TARGETS, WEIGHTS, DEPTH)
    assert loss.item() == pytest.approx(10 / 4)


@pytest.mark.parametrize('average', ['all', 'valid'])
def test_masked_coordinates_have_no_influence(average):
    cells = CELLS.clone().requires_grad_()
    targets = TARGETS.clone()
    targets[1, 1] = float('nan')
    targets[0, 1, 2] = targets[1, 0, 2] = float('inf')
    loss = Integral3DLoss(average)(cells, targets, WEIGHTS, DEPTH)
    assert loss.item() == pytest.approx(
        Integral3DLoss(average)(CELLS, TARGETS, WEIGHTS, DEPTH).item()
    )
    loss.backward()
    assert (cells.grad != 0).tolist() == [
        [[True, True, True], [False, False, False]],
        [[True, False, False], [False, False, False]],
    ]


def test_a_joint_without_weight_has_no_depth_either():
    loss = Integral3DLoss()(CELLS, TARGETS, torch.zeros(2, 2), torch.ones(2, 2))
    assert loss.item() == 0


@pytest.mark.parametrize('average', ['all', 'valid'])
@pytest.mark.parametrize('batch', [0, 2])
def test_nothing_valid_is_zero_and_still_has_gradients(average, batch):
    cells = torch.rand(batch, 3, 3, requires_grad=True)
    nothing = torch.zeros(batch, 3)
    loss = Integral3DLoss(average)(cells, torch.zeros(batch, 3, 3), nothing, nothing)
    loss.backward()
    assert loss.item() == 0
    assert cells.grad.shape == cells.shape and not cells.grad.any()


def test_half_precision_input_is_summed_in_float32():
    cells = torch.full((64, 18, 3), 300.0)
    with torch.autocast('cpu', torch.bfloat16):
        loss = Integral3DLoss()(
            cells, torch.zeros_like(cells), torch.ones(64, 18), torch.ones(64, 18)
        )
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(300)


def test_bad_settings_and_shapes():
    with pytest.raises(ValueError, match='average'):
        Integral3DLoss('some')
    with pytest.raises(ValueError, match='joint set'):
        Integral3DLoss()(CELLS, TARGETS[:, :1], WEIGHTS, DEPTH)
    with pytest.raises(ValueError, match='joint set'):
        Integral3DLoss()(CELLS, TARGETS, WEIGHTS, DEPTH[:, :1])
    assert 'valid' in repr(MODELS.build(dict(type='Integral3DLoss', average='valid')))
