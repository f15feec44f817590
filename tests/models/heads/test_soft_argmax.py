# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import math

import pytest
import torch

from wsp_mm.models.heads import soft_argmax as module
from wsp_mm.models.heads.soft_argmax import soft_argmax, softmax_marginals

B, K, D, H, W = 2, 3, 4, 5, 6


def make_logits(shape=(B, K * D, H, W), dtype=torch.double, layout=torch.contiguous_format, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(shape, generator=generator, dtype=dtype)
    return logits.contiguous(memory_format=layout).requires_grad_()


@pytest.fixture(params=[1, 200, 1 << 20], ids=['joint by joint', 'some', 'all at once'])
def piece(request, monkeypatch):
    monkeypatch.setattr(module, '_PIECE_CPU', request.param)


LAYOUTS = pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])


@LAYOUTS
def test_against_a_literal_triple_loop(piece, layout):
    logits = make_logits(layout=layout)
    found = soft_argmax(logits, K)
    for b in range(B):
        for k in range(K):
            total, expected = 0.0, [0.0, 0.0, 0.0]
            for z in range(D):
                for y in range(H):
                    for x in range(W):
                        mass = math.exp(logits[b, k * D + z, y, x].item())
                        total += mass
                        expected = [e + mass * c for e, c in zip(expected, (x, y, z), strict=True)]
            assert found[b, k].tolist() == pytest.approx([e / total for e in expected], abs=1e-12)


@LAYOUTS
def test_gradients_in_double(piece, layout):
    logits = make_logits((2, K * 2, 3, 4), layout=layout)
    assert torch.autograd.gradcheck(lambda v: softmax_marginals(v, K), logits)
    assert torch.autograd.gradcheck(lambda v: soft_argmax(v, K), logits)


@LAYOUTS
@pytest.mark.parametrize('shape', [(2, 12, 5, 6), (1, 1, 7, 3), (3, 4, 1, 1), (2, 8, 1, 9)])
def test_own_and_plain_agree(shape, layout):
    joints = 1 if shape[1] == 1 else 2
    own, plain = (make_logits(shape, torch.float32, layout) for _ in range(2))
    weights = [torch.rand(2, 1, generator=torch.Generator().manual_seed(1)) for _ in range(3)]
    values = {}
    for logits, is_plain in ((own, False), (plain, True)):
        marginals = softmax_marginals(logits, joints, plain=is_plain)
        values[is_plain] = marginals
        sum((m * m * w[0]).sum() for m, w in zip(marginals, weights, strict=True)).backward()
    for a, b in zip(values[False], values[True], strict=True):
        torch.testing.assert_close(a, b)
        torch.testing.assert_close(a.sum(-1), torch.ones_like(a[..., 0]))
    torch.testing.assert_close(own.grad, plain.grad)
    assert own.grad.stride() == own.stride()


def test_one_output_may_be_unused():
    logits, plain = make_logits(), make_logits()
    softmax_marginals(logits, K)[2].square().sum().backward()
    softmax_marginals(plain, K, plain=True)[2].square().sum().backward()
    torch.testing.assert_close(logits.grad, plain.grad)


@pytest.mark.parametrize('plain', [False, True])
def test_empty_batch(plain):
    logits = make_logits((0, K * D, H, W), torch.float32)
    cells = soft_argmax(logits, K, plain)
    assert cells.shape == (0, K, 3)
    cells.sum().backward()
    assert logits.grad.shape == logits.shape


@pytest.mark.parametrize('plain', [False, True])
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_is_accumulated_in_float32(dtype, plain):
    # 16^3 cells of equal height: a sum of 1/4096 in half precision would stop growing early
    logits = torch.zeros(1, 16, 16, 16, dtype=dtype, requires_grad=True)
    with torch.autocast('cpu', torch.bfloat16):
        cells = soft_argmax(logits, 1, plain)
    assert cells.dtype == torch.float32
    torch.testing.assert_close(cells, torch.full((1, 1, 3), 7.5))
    cells.sum().backward()
    assert logits.grad.dtype == dtype


@pytest.mark.parametrize('plain', [False, True])
def test_large_logits_do_not_overflow(plain):
    logits = torch.full((1, 4, 4, 4), -3e4)
    logits[0, 1, 2, 3] = 3e4
    assert soft_argmax(logits, 1, plain).tolist() == [[[3, 2, 1]]]


def test_backward_keeps_no_volume_of_probabilities():
    kept = []
    logits = make_logits(dtype=torch.float32)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        softmax_marginals(logits, K)
    assert sum(t.numel() for t in kept if t.data_ptr() != logits.data_ptr()) == B * K * (
        W + H + D + 2
    )  # marginals, log-sum-exp


def test_double_backward_is_refused_not_wrong():
    logits = make_logits()
    (gradient,) = torch.autograd.grad(
        soft_argmax(logits, K).square().sum(), logits, create_graph=True
    )
    with pytest.raises(RuntimeError, match='once_differentiable'):
        gradient.sum().backward()


@pytest.mark.parametrize('shape', [(1, 10, 4, 4), (1, 0, 4, 4), (12, 4, 4)])
def test_channels_that_cannot_be_shared_out(shape):
    with pytest.raises(ValueError, match='volumes of 3 joints'):
        soft_argmax(torch.zeros(shape), 3)
