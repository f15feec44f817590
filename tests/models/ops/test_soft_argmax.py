# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import math

import numpy as np
import pytest
import torch

from wsp_mm.models.ops import soft_argmax as module
from wsp_mm.models.ops.soft_argmax import expectation, soft_argmax, softmax_marginals

B, K, D, H, W = 2, 3, 4, 5, 6
LAYOUTS = pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])


def make_logits(shape=(B, K * D, H, W), dtype=torch.double, layout=torch.contiguous_format):
    logits = 2 * torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)
    return logits.contiguous(memory_format=layout).requires_grad_()


@pytest.fixture(params=[1, 200, 1 << 20], ids=['joint by joint', 'some', 'all at once'])
def piece(request, monkeypatch):
    monkeypatch.setattr(module, '_PIECE_CPU', request.param)


@LAYOUTS
def test_against_a_literal_loop(piece, layout):
    logits = make_logits(layout=layout)
    found = soft_argmax(logits, K)
    for b, k in np.ndindex(B, K):
        total, expected = 0.0, np.zeros(3)
        for z, y, x in np.ndindex(D, H, W):
            mass = math.exp(logits[b, k * D + z, y, x].item())
            total, expected = total + mass, expected + mass * np.array([x, y, z])
        assert found[b, k].tolist() == pytest.approx((expected / total).tolist(), abs=1e-12)


@LAYOUTS
def test_gradients_in_double(piece, layout):
    logits = make_logits((2, K * 2, 3, 4), layout=layout)
    assert torch.autograd.gradcheck(lambda v: softmax_marginals(v, K), logits)


@LAYOUTS
@pytest.mark.parametrize('shape', [(2, 12, 5, 6), (2, 2, 7, 3), (3, 4, 1, 1), (0, 8, 1, 9)])
def test_own_and_plain_agree(shape, layout):
    found = {}
    for plain in (False, True):
        logits = make_logits(shape, torch.float32, layout)
        x, y, z = softmax_marginals(logits, 2, plain)
        (x.square().sum() + 2 * z.square().sum()).backward()  # y is not used
        found[plain] = x, y, z, logits.grad
        assert logits.grad.stride() == logits.stride()
    for own, plain in zip(found[False], found[True], strict=True):
        torch.testing.assert_close(own, plain)


@pytest.mark.parametrize('plain', [False, True])
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_is_accumulated_in_float32(dtype, plain):
    # 16^3 equal logits: a sum of 1/4096 in half precision would stop growing early
    logits = torch.zeros(1, 16, 16, 16, dtype=dtype, requires_grad=True)
    with torch.autocast('cpu', torch.bfloat16):
        position = expectation(softmax_marginals(logits, 1, plain))
    torch.testing.assert_close(position, torch.full((1, 1, 3), 7.5))
    position.sum().backward()
    assert logits.grad.dtype == dtype


def test_large_logits_do_not_overflow():
    logits = torch.full((1, 4, 4, 4), -3e4)
    logits[0, 1, 2, 3] = 3e4
    assert soft_argmax(logits, 1).tolist() == [[[3, 2, 1]]]


def test_backward_keeps_no_volume_of_probabilities():
    kept, logits = [], make_logits(dtype=torch.float32)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        softmax_marginals(logits, K)
    beyond = sum(t.numel() for t in kept if t.data_ptr() != logits.data_ptr())
    assert beyond == B * K * (W + H + D)  # the marginals


def test_double_backward_is_refused_not_wrong():
    logits = make_logits()
    value = soft_argmax(logits, K).square().sum()
    (gradient,) = torch.autograd.grad(value, logits, create_graph=True)
    with pytest.raises(RuntimeError, match='once_differentiable'):
        gradient.sum().backward()


def test_inside_a_compiled_function():
    logits = make_logits(dtype=torch.float32)
    compiled = torch.compile(lambda v: soft_argmax(2 * v, K).square().sum(), backend='aot_eager')
    compiled(logits).backward()
    plain = make_logits(dtype=torch.float32)
    soft_argmax(2 * plain, K).square().sum().backward()
    torch.testing.assert_close(logits.grad, plain.grad)
