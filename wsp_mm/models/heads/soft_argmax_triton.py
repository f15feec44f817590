# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""GPU kernels of the expectation's marginals: one pass over the logits forward, one backward.

Imported only where it is used, since Triton is not on every machine.
:mod:`wsp_mm.models.heads.soft_argmax` has the formulas and the plain version.

A volume's axes are called outer, middle and inner (n0, n1, n2 cells, s0, s1, s2 elements apart) by
their order in memory, so that both memory layouts are one and the same kernel. A program walks
along the outer axis, one plane of middle x inner cells a step. In forward the greatest logit so far
may rise from step to step; what was summed up is then scaled down (online softmax: Milakov and
Gimelshein, 2018, "Online normalizer calculation for softmax"). Per cell that is one exponential,
two additions and a product forward, one exponential and a product backward, far below what a GPU
can do while it reads the cell: memory bounds both kernels.
"""

from __future__ import annotations

import contextlib

import torch
import triton
import triton.language as tl
from torch import Tensor

# Cells of a plane, sides rounded up to powers of two, that the forward kernel can keep in
# registers.
LARGEST_PLANE = 1 << 14

# Steps of one program in backward, where the outer axis is shared out among programs.
_STEPS = 8

_LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit
def forward_kernel(
    logits, lse, outer_out, middle_out, inner_out, joints,
    stride_b, stride_k, s0, s1, s2, n0, n1, n2,
    N0: tl.constexpr, N1: tl.constexpr, N2: tl.constexpr,
):  # fmt: skip
    """Marginals of one volume, normalised, and (greatest logit, log of the sum of exp(logit -
    greatest)).
    """
    volume = tl.program_id(0).to(tl.int64)
    base = logits + volume // joints * stride_b + volume % joints * stride_k
    i0, i1, i2 = tl.arange(0, N0), tl.arange(0, N1), tl.arange(0, N2)
    inside = (i1[:, None] < n1) & (i2[None, :] < n2)
    cells = base + i1[:, None].to(tl.int64) * s1 + i2[None, :].to(tl.int64) * s2

    top = float('-inf')
    plane = tl.zeros((N1, N2), tl.float32)
    outer = tl.zeros((N0,), tl.float32)
    for step in range(n0):
        tile = tl.load(cells, mask=inside, other=float('-inf')).to(tl.float32)
        cells += s0
        raised = tl.maximum(top, tl.max(tile))
        # where all so far is masked by -inf, any finite level will do: -inf - -inf would not be a
        # number
        level = tl.where(raised == float('-inf'), 0.0, raised)
        shrink = tl.exp2((top - level) * _LOG2_E)
        exps = tl.exp2((tile - level) * _LOG2_E)
        plane = plane * shrink + exps
        outer = tl.where(i0 == step, tl.sum(exps), outer * shrink)
        top = raised

    total = tl.sum(outer)
    tl.store(lse + 2 * volume, top)
    tl.store(lse + 2 * volume + 1, tl.log(total))
    tl.store(outer_out + volume * n0 + i0, outer / total, mask=i0 < n0)
    tl.store(middle_out + volume * n1 + i1, tl.sum(plane, 1) / total, mask=i1 < n1)
    tl.store(inner_out + volume * n2 + i2, tl.sum(plane, 0) / total, mask=i2 < n2)


@triton.jit
def backward_kernel(
    logits, gradient, lse, outer_in, middle_in, inner_in, outer_grad, middle_grad, inner_grad, joints,
    stride_b, stride_k, s0, s1, s2, to_b, to_k, to_0, to_1, to_2, n0, n1, n2,
    N0: tl.constexpr, N1: tl.constexpr, N2: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    """Gradient of up to STEPS planes of one volume's logits; ``to_*`` are the gradient's
    strides.
    """
    volume = tl.program_id(0).to(tl.int64)
    first = tl.program_id(1) * STEPS
    i0, i1, i2 = tl.arange(0, N0), tl.arange(0, N1), tl.arange(0, N2)
    at0, at1, at2 = volume * n0 + i0, volume * n1 + i1, volume * n2 + i2
    g0 = tl.load(outer_grad + at0, mask=i0 < n0, other=0.0)
    g1 = tl.load(middle_grad + at1, mask=i1 < n1, other=0.0)
    g2 = tl.load(inner_grad + at2, mask=i2 < n2, other=0.0)
    mean = tl.sum(g0 * tl.load(outer_in + at0, mask=i0 < n0, other=0.0))
    mean += tl.sum(g1 * tl.load(middle_in + at1, mask=i1 < n1, other=0.0))
    mean += tl.sum(g2 * tl.load(inner_in + at2, mask=i2 < n2, other=0.0))
    top = tl.load(lse + 2 * volume)
    log_total = tl.load(lse + 2 * volume + 1)

    inside = (i1[:, None] < n1) & (i2[None, :] < n2)
    rows, columns = i1[:, None].to(tl.int64), i2[None, :].to(tl.int64)
    batch, joint = volume // joints, volume % joints
    source = (
        logits
        + batch * stride_b
        + joint * stride_k
        + first.to(tl.int64) * s0
        + rows * s1
        + columns * s2
    )
    target = (
        gradient
        + batch * to_b
        + joint * to_k
        + first.to(tl.int64) * to_0
        + rows * to_1
        + columns * to_2
    )
    for step in range(first, tl.minimum(first + STEPS, n0)):
        tile = tl.load(source, mask=inside, other=float('-inf')).to(tl.float32)
        probs = tl.exp2(((tile - top) - log_total) * _LOG2_E)
        slope = tl.load(outer_grad + volume * n0 + step) - mean
        tl.store(target, probs * (g1[:, None] + (g2[None, :] + slope)), mask=inside)
        source += s0
        target += to_0


def fits(shape: tuple[int, ...]) -> bool:
    """Whether planes of volumes (B, K, ., ., .) are small enough, whichever two axes they lie
    along.

    So the answer does not change with the memory layout, and backward goes the way forward went.
    """
    *_, second, largest = sorted(triton.next_power_of_2(size) for size in shape[2:])
    return second * largest <= LARGEST_PLANE


def forward(volumes: Tensor, marginals: tuple[Tensor, Tensor, Tensor], lse: Tensor) -> None:
    """Fill in the marginals and the log-sum-exp.

    Args:
        volumes: (B, K, n0, n1, n2) view of the logits, floating point of at most 32 bits, any
            strides. Fast where the last axis is the innermost in memory.
        marginals: (B, K, n0), (B, K, n1), (B, K, n2), float32, contiguous.
        lse: (B, K, 2), float32, contiguous: the greatest logit, and the log of the sum of the
            exponentials relative to it. The log-sum-exp is their sum; kept apart, no digits are
            lost where logits are large.
    """
    batch, joints, *sizes = volumes.shape
    if batch:
        with _on(volumes.device):
            forward_kernel[(batch * joints,)](
                volumes, lse, *marginals, joints, *volumes.stride(), *sizes, **_tile(sizes)
            )


def backward(
    volumes: Tensor,
    gradient: Tensor,
    marginals: tuple[Tensor, Tensor, Tensor],
    gradients: tuple[Tensor, Tensor, Tensor],
    lse: Tensor,
) -> None:
    """Fill in the gradient of the logits.

    Args:
        volumes: as for :func:`forward`.
        gradient: of the same shape, any strides.
        marginals: as :func:`forward` made them.
        gradients: of the marginals, float32, any strides.
        lse: as :func:`forward` made it.
    """
    batch, joints, *sizes = volumes.shape
    if batch:
        gradients = [g.contiguous() for g in gradients]
        with _on(volumes.device):
            backward_kernel[(batch * joints, triton.cdiv(sizes[0], _STEPS))](
                volumes, gradient, lse, *marginals, *gradients, joints, *volumes.stride(), *gradient.stride(),
                *sizes, **_tile(sizes), STEPS=_STEPS,
            )  # fmt: skip


def _tile(sizes: list[int]) -> dict[str, int]:
    """Sides of the tile in registers, and warps, so that a thread has at most 32 cells of it."""
    sides = [triton.next_power_of_2(size) for size in sizes]
    return dict(zip(('N0', 'N1', 'N2'), sides, strict=True)) | dict(
        num_warps=min(16, max(1, sides[1] * sides[2] // 1024))
    )


def _on(device: torch.device) -> contextlib.AbstractContextManager:
    """Launches go to the tensors' device, not to the current one. (The interpreter works on the
    host.)
    """
    return torch.cuda.device(device) if device.type == 'cuda' else contextlib.nullcontext()
