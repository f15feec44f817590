# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import pytest
import torch
from mmpose.registry import MODELS

from wsp_mm.models.losses.heatmap_l2_loss import HeatmapL2Loss


@pytest.fixture
def maps():
    """Two samples of three maps; the errors' norms are 5, 2, 0 and 3, 10, 1."""
    target = torch.zeros(2, 3, 2, 2)
    output = torch.tensor(
        [
            [[[3.0, 0], [0, -4]], [[1, 1], [-1, 1]], [[0, 0], [0, 0]]],
            [[[2, -2], [1, 0]], [[6, 0], [8, 0]], [[0, 0], [0, 1]]],
        ]
    )
    return output + 7, target + 7


@pytest.mark.parametrize(
    ('weights', 'expected', 'squared'),
    [
        # Eq. 10: the mean over the maps of a sample, then over the samples
        (
            [[1, 1, 1], [1, 1, 1]],
            ((5 + 2 + 0) / 3 + (3 + 10 + 1) / 3) / 2,
            ((25 + 4) / 3 + (9 + 100 + 1) / 3) / 2,
        ),
        ([[1, 0, 1], [0, 1, 0]], (5 / 2 + 10) / 2, (25 / 2 + 100) / 2),
        ([[1, 1, 0], [0, 0, 0]], 7 / 2, 29 / 2),  # a sample without labels does not count
        ([[0, 0, 0], [0, 0, 0]], 0, 0),
    ],
)
def test_by_hand(maps, weights, expected, squared):
    weights = torch.tensor(weights).float()
    assert MODELS.build(dict(type='HeatmapL2Loss'))(*maps, weights).item() == pytest.approx(
        expected
    )
    loss = MODELS.build(dict(type='HeatmapL2Loss', squared=True))(*maps, weights)
    assert loss.item() == pytest.approx(squared)


def test_gradient_is_the_unit_error_and_zero_at_zero(maps):
    output, target = maps
    output.requires_grad_()
    HeatmapL2Loss()(output, target, torch.ones(2, 3)).backward()
    assert output.grad[0, 0].flatten().tolist() == pytest.approx([3 / 5 / 6, 0, 0, -4 / 5 / 6])
    assert (output.grad[0, 2] == 0).all()
    assert torch.isfinite(output.grad).all()


def test_unlabelled_maps_get_no_gradient(maps):
    output, target = maps
    output.requires_grad_()
    loss = HeatmapL2Loss()(output, target, torch.zeros(2, 3))
    loss.backward()
    assert loss.item() == 0
    assert output.grad is not None  # other ranks would wait for a missing one
    assert (output.grad == 0).all()


def test_half_precision_is_computed_in_float32():
    """Squares beyond half precision's range."""
    output = torch.full((1, 1, 64, 64), 300.0, dtype=torch.float16)
    with torch.autocast('cpu', dtype=torch.float16):
        loss = HeatmapL2Loss()(output, torch.zeros(1, 1, 64, 64), torch.ones(1, 1))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(300 * 64)


def test_misfitting_shapes_name_the_likely_cause():
    with pytest.raises(ValueError, match='person_channels'):
        HeatmapL2Loss()(torch.zeros(1, 4, 2, 2), torch.zeros(1, 2, 2, 2), torch.ones(1, 2))
    with pytest.raises(ValueError, match='person_channels'):
        HeatmapL2Loss()(torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, 2), torch.ones(1, 4))
