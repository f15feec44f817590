# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The expectation's kernels against the plain version: in Triton's interpreter, or on a GPU.

Triton decides at its import whether it interprets, so ``test_soft_argmax_triton.py`` runs this file
as a process of its own. Directly: ``TRITON_INTERPRET=1 pytest
tests/models/heads/soft_argmax_kernel_cases.py``.
"""

import os

import pytest
import torch

from wsp_mm.models.heads import soft_argmax as module
from wsp_mm.models.heads.soft_argmax import softmax_marginals

DEVICE = 'cpu' if os.environ.get('TRITON_INTERPRET') == '1' else 'cuda'
LAYOUTS = pytest.mark.parametrize(
    'layout', [torch.contiguous_format, torch.channels_last], ids=['nchw', 'nhwc']
)


@pytest.fixture(autouse=True)
def launches(monkeypatch):
    """Names of the kernel module's functions that ran. A silent fallback would compare plain with
    plain.
    """
    for dtype in (
        torch.float32,
        torch.bfloat16,
        torch.float16,
    ):  # trials, before anything is counted
        kernels = module._working_kernels(torch.empty(0, device=DEVICE).device, dtype)
        assert kernels is not None
    names = []

    def spy(name, real):
        def called(*args):
            names.append(name)
            real(*args)

        monkeypatch.setattr(kernels, name, called)

    spy('forward', kernels.forward)
    spy('backward', kernels.backward)
    return names


def make_logits(shape, dtype=torch.float32, layout=torch.contiguous_format, scale=2.0):
    values = scale * torch.randn(
        shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.double
    )
    return values.to(dtype).to(DEVICE).contiguous(memory_format=layout)


def compare(logits, joints, launches=None):
    """Marginals and gradients of both versions from the same logits."""
    own, plain = (
        logits.detach().clone(memory_format=torch.preserve_format).requires_grad_()
        for _ in range(2)
    )
    found, expected = softmax_marginals(own, joints), softmax_marginals(plain, joints, plain=True)
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(m.shape, generator=generator).to(m) for m in found]
    for marginals in (found, expected):
        sum((m * w).sum() for m, w in zip(marginals, weights, strict=True)).backward()
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a, b, atol=1e-6, rtol=2e-5, equal_nan=True)
    assert own.grad.dtype == logits.dtype and own.grad.stride() == logits.stride()
    step = dict(atol=1e-6, rtol=1e-4) if logits.dtype == torch.float32 else {}
    torch.testing.assert_close(own.grad, plain.grad, equal_nan=True, **step)
    if launches is not None:
        assert launches == ['forward', 'backward']
    return found, own.grad


@LAYOUTS
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
def test_precisions(launches, layout, dtype):
    compare(make_logits((2, 3 * 8, 8, 16), dtype, layout), 3, launches)


@LAYOUTS
@pytest.mark.parametrize(
    ('shape', 'joints'),
    [
        ((2, 3 * 5, 7, 9), 3),  # no side a power of two
        ((1, 17, 3, 5), 1),  # one joint; more layers than a program of backward takes
        ((3, 4, 1, 1), 2),
        ((2, 2, 1, 9), 2),  # planar heatmaps, one row
        ((1, 1, 1, 1), 1),
        ((1, 2 * 3, 33, 2), 2),
    ],
)
def test_shapes(launches, layout, shape, joints):
    compare(make_logits(shape, layout=layout), joints, launches)


@pytest.mark.parametrize('way', ['sliced channels', 'turned', 'expanded', 'every other column'])
def test_any_strides(launches, way):
    logits = make_logits((2, 3 * 4, 5, 6))
    logits = {
        'sliced channels': lambda: make_logits((2, 20, 5, 6))[:, 4:16],
        'turned': lambda: make_logits((2, 12, 6, 5)).transpose(2, 3),
        'expanded': lambda: logits[:1].expand(3, -1, -1, -1),
        'every other column': lambda: make_logits((2, 12, 5, 12))[..., ::2],
    }[way]()
    own, plain = (logits.detach().requires_grad_() for _ in range(2))
    for values, is_plain in ((own, False), (plain, True)):
        sum((m * m).sum() for m in softmax_marginals(values, 3, is_plain)).backward()
    torch.testing.assert_close(own.grad, plain.grad, atol=1e-6, rtol=1e-4)
    assert launches == ['forward', 'backward']


@LAYOUTS
def test_masks_of_minus_infinity(launches, layout):
    logits = make_logits((2, 2 * 4, 4, 6), layout=layout)
    logits[:, :2] = float('-inf')  # the planes that come first in either layout
    logits[:, :, :2] = float('-inf')
    marginals, gradient = compare(logits, 2, launches)
    assert torch.isfinite(marginals[0]).all() and (gradient[:, :2] == 0).all()


@pytest.mark.filterwarnings('ignore:.*encountered in:RuntimeWarning')  # NumPy's, in the interpreter
def test_nothing_but_masks_is_no_distribution(launches):
    logits = torch.full((1, 4, 4, 4), float('-inf'), device=DEVICE)
    marginals, gradient = compare(logits, 1, launches)
    assert (
        torch.isnan(torch.cat([m.flatten() for m in marginals])).all()
        and torch.isnan(gradient).all()
    )


@LAYOUTS
def test_large_logits(launches, layout):
    """Of logits around 2^16, whose neighbours are 1/128 apart in float32, no digit is lost."""
    logits = make_logits((1, 2 * 4, 4, 4), layout=layout, scale=1).add_(65536)
    compare(logits, 2, launches)
    logits = torch.full((1, 4, 4, 4), -3e4, device=DEVICE).contiguous(memory_format=layout)
    logits[0, 1, 2, 3] = 3e4
    assert [m.argmax().item() for m in softmax_marginals(logits, 1)] == [3, 2, 1]


def test_rising_logits_are_scaled_down_step_by_step(launches):
    """Every plane outdoes all before it; after that, none does."""
    for order in (1, -1):
        layers = order * torch.arange(12.0).view(1, 12, 1, 1) * 9
        compare(make_logits((1, 12, 4, 4), scale=1) + layers.to(DEVICE), 1)
    assert launches == ['forward', 'backward'] * 2


def test_half_precision_is_accumulated_in_float32(launches):
    # 16^3 cells of equal height: a sum of 1/4096 in half precision would stop growing early
    for dtype in (torch.bfloat16, torch.float16):
        marginals = softmax_marginals(torch.zeros(1, 16, 16, 16, dtype=dtype, device=DEVICE), 1)
        for marginal in marginals:
            torch.testing.assert_close(marginal, torch.full_like(marginal, 1 / 16))
    assert launches == ['forward'] * 2


def test_one_output_may_be_unused(launches):
    own, plain = (make_logits((2, 12, 5, 6)).requires_grad_() for _ in range(2))
    softmax_marginals(own, 3)[1].square().sum().backward()
    softmax_marginals(plain, 3, plain=True)[1].square().sum().backward()
    torch.testing.assert_close(own.grad, plain.grad, atol=1e-6, rtol=1e-4)
    assert launches == ['forward', 'backward']


def test_empty_batch():
    logits = make_logits((0, 12, 5, 6)).requires_grad_()
    marginals = softmax_marginals(logits, 3)
    assert [m.shape for m in marginals] == [(0, 3, 6), (0, 3, 5), (0, 3, 4)]
    sum(m.sum() for m in marginals).backward()
    assert logits.grad.shape == logits.shape


@pytest.mark.parametrize(
    ('shape', 'dtype'), [((1, 1, 256, 128), torch.float32), ((1, 4, 4, 4), torch.double)], ids=str
)
def test_what_the_kernels_leave_to_the_plain_pieces(launches, shape, dtype):
    """Planes too large for registers, and double precision."""
    own, plain = (make_logits(shape, dtype).requires_grad_() for _ in range(2))
    softmax_marginals(own, 1)[0].square().sum().backward()
    softmax_marginals(plain, 1, plain=True)[0].square().sum().backward()
    torch.testing.assert_close(own.grad, plain.grad)
    assert launches == []


@pytest.mark.skipif(DEVICE == 'cpu', reason="a whole head's volume takes the interpreter too long")
@LAYOUTS
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
def test_full_size(launches, layout, dtype):
    compare(make_logits((4, 18 * 64, 64, 64), dtype, layout), 18, launches)


@pytest.mark.skipif(DEVICE == 'cpu', reason='autocast and inductor of the GPU')
def test_compiled_with_inductor(launches):
    torch.manual_seed(0)
    network = torch.nn.Conv2d(5, 12, 3).to(DEVICE, memory_format=torch.channels_last)
    images = torch.randn(2, 5, 9, 9, device=DEVICE).contiguous(memory_format=torch.channels_last)

    def loss(images):
        with torch.autocast('cuda', torch.bfloat16):
            return sum((m * m).sum() for m in softmax_marginals(network(images), 3))

    losses, gradients = [], []
    for function in (loss, torch.compile(loss, fullgraph=True)):
        network.zero_grad()
        losses.append(function(images))
        losses[-1].backward()
        gradients.append(network.weight.grad.clone())
    torch.testing.assert_close(*losses, rtol=1e-2, atol=1e-4)
    torch.testing.assert_close(*gradients, rtol=5e-2, atol=1e-3)
    assert launches.count('backward') == 2
