# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Expectation of a 3D heatmap under its softmax (paper, Eq. 11; "integral regression").

B samples, K joints, a volume of D x H x W cells a joint (depth, rows, columns), which the network gives as
(B, K * D, H, W): joint-major, depth-minor. Coordinates are cells, (x, y, z) = (column, row, depth layer),
counted from 0.

The expectation of a coordinate needs the probability's marginal along that axis alone. So the volume is turned
into three marginals, a few joints at a time, and neither a volume of probabilities nor one of coordinates is
ever held: forward keeps the logits that the network made anyway, and backward writes their gradient once.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Marginals = tuple[Tensor, Tensor, Tensor]

# Elements of the logits that are worked on at a time. On a processor a piece should stay in its cache (2 of
# 64^3 cells are 2 MiB); a GPU wants fewer, larger pieces (128 MiB).
_PIECE_CPU = 1 << 19
_PIECE_DEVICE = 1 << 25


def soft_argmax(logits: Tensor, num_joints: int, plain: bool = False) -> Tensor:
    """Expected position of every joint: (B, K * D, H, W) -> (B, K, 3) cells, see :func:`softmax_marginals`."""
    return expectation(softmax_marginals(logits, num_joints, plain))


def expectation(marginals: Marginals) -> Tensor:
    """Mean position under three marginals (B, K, W), (B, K, H), (B, K, D): (B, K, 3) cells, x y z."""
    return torch.stack(
        [(m * torch.arange(m.shape[-1], dtype=m.dtype, device=m.device)).sum(-1) for m in marginals], dim=-1
    )


def softmax_marginals(logits: Tensor, num_joints: int, plain: bool = False) -> Marginals:
    """Marginals of the softmax over each joint's whole volume, along x, y and z.

    Computed in float32 whatever the logits' precision (float64 for float64), also under autocast.
    Differentiable once.

    Args:
        logits: (B, K * D, H, W), joint-major, contiguous or channels-last.
        num_joints: K.
        plain: use PyTorch's own operations on the whole volume at a time: several times the time and memory,
            for export (torch.jit, ONNX), second derivatives and comparison.

    Returns:
        (B, K, W), (B, K, H) and (B, K, D); each sums to 1 along its last axis.

    Raises:
        ValueError: the channels cannot be shared out among the joints.
    """
    if logits.dim() != 4 or num_joints < 1 or logits.shape[1] % num_joints or logits.shape[1] == 0:
        raise ValueError(
            f'logits of shape {tuple(logits.shape)} are no volumes of {num_joints} joints: (B, K * D, H, W)'
        )
    if plain:
        return _plain_marginals(logits, num_joints)
    return _SoftmaxMarginals.apply(logits, num_joints)


def _plain_marginals(logits: Tensor, num_joints: int) -> Marginals:
    volumes = logits.unflatten(1, (num_joints, -1))
    with torch.autocast(logits.device.type, enabled=False):
        dtype = torch.promote_types(logits.dtype, torch.float32)
        probs = volumes.flatten(2).softmax(2, dtype=dtype).view(volumes.shape)
        return probs.sum((2, 3)), probs.sum((2, 4)), probs.sum((3, 4))


class _SoftmaxMarginals(torch.autograd.Function):
    """The same with an own backward.

    With p the softmax and g the gradients of the marginals, the gradient of the logit of cell (x, y, z) is
    p * (g_x[x] + g_y[y] + g_z[z] - c), where c is the mean of that sum under p: the sum of the products of
    marginals and their gradients.

    p is computed again in backward. That is cheaper than exp(logit - logsumexp) on processors, whose softmax
    kernel has the faster exponential, and so nothing but the logits and the marginals is kept.
    """

    @staticmethod
    def forward(ctx, logits: Tensor, num_joints: int) -> Marginals:
        volumes, axes = _in_memory_order(logits, num_joints)
        dtype = torch.promote_types(logits.dtype, torch.float32)
        in_order = [volumes.new_empty((*volumes.shape[:2], size), dtype=dtype) for size in volumes.shape[2:]]
        for piece in _pieces(volumes):
            probs = _softmax(volumes[piece], dtype)
            lines = probs.sum(4)
            for marginal, part in zip(in_order, (lines.sum(3), lines.sum(2), probs.sum((2, 3))), strict=True):
                marginal[piece] = part
        marginals = tuple(in_order[axes.index(axis)] for axis in 'xyz')
        ctx.save_for_backward(logits, *marginals)
        return marginals

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients: Tensor) -> tuple[Tensor, None]:
        logits, *marginals = ctx.saved_tensors
        num_joints = marginals[0].shape[1]
        mean = sum((m * g).sum(2, keepdim=True) for m, g in zip(marginals, gradients, strict=True))
        by_axis = dict(zip('xyz', (gradients[0] - mean, *gradients[1:]), strict=True))
        volumes, axes = _in_memory_order(logits, num_joints)
        outer, middle, inner = (by_axis[axis] for axis in axes)
        gradient = torch.empty_like(logits)
        written, _ = _in_memory_order(gradient, num_joints, axes)
        for piece in _pieces(volumes):
            probs = _softmax(volumes[piece], mean.dtype)
            plane = middle[piece][:, :, None, :, None] + inner[piece][:, :, None, None, :]
            torch.mul(probs, plane + outer[piece][:, :, :, None, None], out=written[piece])
        return gradient, None


def _in_memory_order(logits: Tensor, num_joints: int, axes: str | None = None) -> tuple[Tensor, str]:
    """View (B, K, ., ., .) of the logits whose last three axes lie in memory in that order, and their names."""
    volumes = logits.unflatten(1, (num_joints, -1))
    if axes is None:
        axes = 'yxz' if logits.stride(1) == 1 and logits.shape[1] > 1 else 'zyx'
    return (volumes.permute(0, 1, 3, 4, 2) if axes == 'yxz' else volumes), axes


def _softmax(volumes: Tensor, dtype: torch.dtype) -> Tensor:
    """Softmax over the last three axes of (b, k, ., ., .), a new tensor."""
    return volumes.flatten(2).softmax(2, dtype=dtype).view(volumes.shape)


def _pieces(volumes: Tensor) -> Iterator[tuple[slice, slice]]:
    """Slices (of samples, of joints) that share the volumes out in pieces of bounded size."""
    batch, joints = volumes.shape[:2]
    budget = _PIECE_CPU if volumes.device.type == 'cpu' else _PIECE_DEVICE
    fitting = max(1, budget // max(1, volumes[0, 0].numel() if batch else 1))
    samples, per_sample = max(1, fitting // joints), min(joints, fitting)
    for sample in range(0, batch, samples):
        for joint in range(0, joints, per_sample):
            yield slice(sample, sample + samples), slice(joint, joint + per_sample)
