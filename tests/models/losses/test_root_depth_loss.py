# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import pytest
import torch
from mmpose.registry import MODELS

import wsp_mm.models.losses.root_depth_loss  # noqa: F401  (register)


def build(**kwargs):
    return MODELS.build(dict(type='RootDepthLoss', **kwargs))


def batch(**changes):
    values = dict(
        cells=[[10.0, 20.0], [5.0, 5.0], [7.0, 7.0]],
        depth=[4000.0, 3000.0, 1.0],
        target_cells=[[11.0, 17.0], [5.5, 4.0], [0.0, 0.0]],
        target_depth=[3990.0, 0.0, 0.0],
        weights=[1.0, 1.0, 0.0],
        has_depth=[1.0, 0.0, 1.0],
    )
    return {key: torch.tensor(value) for key, value in {**values, **changes}.items()}


def test_by_hand():
    # ((1 + 3 + 10) + (0.5 + 1) + nothing) / 3, over a batch of 3
    assert build()(**batch()).item() == pytest.approx((14 + 1.5) / 9)
    assert build(depth_unit=100.0, loss_weight=2.0)(**batch()).item() == pytest.approx(
        2 * (4.1 + 1.5) / 9
    )


def test_gradients_by_hand():
    values = batch()
    for key in ('cells', 'depth'):
        values[key].requires_grad_()
    build()(**values).backward()
    ninth = torch.tensor(1 / 9)
    torch.testing.assert_close(
        values['cells'].grad / ninth, torch.tensor([[-1.0, 1], [-1, 1], [0, 0]])
    )
    # neither the 2D sample nor the hidden root pulls at the depth
    torch.testing.assert_close(values['depth'].grad / ninth, torch.tensor([1.0, 0, 0]))


def test_what_is_not_supervised_may_be_anything():
    nan = float('nan')
    values = batch(
        target_cells=[[11.0, 17.0], [5.5, 4.0], [nan, nan]], target_depth=[3990.0, nan, nan]
    )
    for key in ('cells', 'depth'):
        values[key].requires_grad_()
    loss = build()(**values)
    loss.backward()
    assert loss.item() == pytest.approx(15.5 / 9)
    assert torch.isfinite(values['cells'].grad).all() and torch.isfinite(values['depth'].grad).all()


def test_nothing_supervised_is_a_zero_in_the_graph():
    values = batch(weights=[0.0, 0.0, 0.0])
    values['depth'].requires_grad_()
    loss = build()(**values)
    loss.backward()
    assert loss.item() == 0 and values['depth'].grad.tolist() == [0, 0, 0]


def test_float32_under_autocast():
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss = build()(**batch())
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(15.5 / 9)


def test_what_is_refused():
    with pytest.raises(ValueError, match='do not fit together'):
        build()(**batch(depth=[1.0]))
    with pytest.raises(ValueError, match='depth_unit'):
        build(depth_unit=0.0)
