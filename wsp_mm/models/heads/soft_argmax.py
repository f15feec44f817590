# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Expectation of a 3D heatmap under its softmax (paper, Eq. 11; "integral regression").

B samples, K joints, a volume of D x H x W cells a joint (depth, rows, columns), which the network
gives as (B, K * D, H, W): joint-major, depth-minor. Coordinates are cells, (x, y, z) = (column,
row, depth layer), counted from 0.

The expectation of a coordinate needs the probability's marginal along that axis alone. So the
volume is turned into three marginals, and neither a volume of probabilities nor one of coordinates
is ever held: forward keeps the logits that the network made anyway, and backward writes their
gradient once. With p the softmax and g the gradients of the marginals, the gradient of the logit of
cell (x, y, z) is

    p * (g_x[x] + g_y[y] + g_z[z] - c),

where c is the mean of that sum under p: the sum of the products of marginals and their gradients.

Two versions do this: kernels (:mod:`wsp_mm.models.heads.soft_argmax_triton`) on GPUs where Triton
is there and works, and PyTorch's own operations, some joints at a time, everywhere else. Either
stands behind two custom operators, which `torch.compile` leaves whole.
"""

from __future__ import annotations

import functools
import importlib
import os
import warnings
from collections.abc import Iterator
from types import ModuleType

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Marginals = tuple[Tensor, Tensor, Tensor]

# Elements of the logits that are worked on at a time. On a processor a piece should stay in its
# cache (2 of 64^3 cells are 2 MiB); a GPU wants fewer, larger pieces (128 MiB).
_PIECE_CPU = 1 << 19
_PIECE_DEVICE = 1 << 25


def soft_argmax(logits: Tensor, num_joints: int, plain: bool = False) -> Tensor:
    """Expected position of every joint: (B, K * D, H, W) -> (B, K, 3) cells, see
    :func:`softmax_marginals`.
    """
    return expectation(softmax_marginals(logits, num_joints, plain))


def expectation(marginals: Marginals) -> Tensor:
    """Mean position under three marginals (B, K, W), (B, K, H), (B, K, D): (B, K, 3) cells, x y
    z.
    """
    return torch.stack(
        [
            (m * torch.arange(m.shape[-1], dtype=m.dtype, device=m.device)).sum(-1)
            for m in marginals
        ],
        dim=-1,
    )


def softmax_marginals(logits: Tensor, num_joints: int, plain: bool = False) -> Marginals:
    """Marginals of the softmax over each joint's whole volume, along x, y and z.

    Computed in float32 whatever the logits' precision (float64 for float64), also under autocast.
    Differentiable once.

    Args:
        logits: (B, K * D, H, W), joint-major, contiguous or channels-last.
        num_joints: K.
        plain: use PyTorch's own operations on the whole volume at a time: several times the time
            and memory, for export (torch.export, torch.jit, ONNX), second derivatives and
            comparison.

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
    """The same with an own backward, as derived at the top of this module."""

    @staticmethod
    def forward(ctx, logits: Tensor, num_joints: int) -> Marginals:
        *marginals, lse = _forward_op(logits, num_joints)
        ctx.save_for_backward(logits, *marginals, lse)
        return tuple(marginals)

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients: Tensor) -> tuple[Tensor, None]:
        return _backward_op(*ctx.saved_tensors, *gradients), None


# ---------------------------------------------------------------------- operators


@torch.library.custom_op(
    'wsp_mm::softmax_marginals',
    mutates_args=(),
    schema='(Tensor logits, int num_joints) -> (Tensor, Tensor, Tensor, Tensor)',
)
def _forward_op(logits: Tensor, num_joints: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Marginals along x, y and z, and what :func:`soft_argmax_triton.forward` keeps; 0 without the
    kernels.
    """
    x, y, z, lse = _allocate(logits, num_joints)
    volumes, axes = _in_memory_order(logits, num_joints)
    in_order = _sorted_by(axes, (x, y, z))
    kernels = _kernels_for(volumes)
    if kernels:
        kernels.forward(volumes, in_order, lse)
    else:
        _forward_in_pieces(volumes, in_order)
    return x, y, z, lse


@torch.library.custom_op(
    'wsp_mm::softmax_marginals_backward',
    mutates_args=(),
    schema='(Tensor logits, Tensor x, Tensor y, Tensor z, Tensor lse, Tensor g_x, Tensor g_y, Tensor g_z)'
    ' -> Tensor',
)
def _backward_op(
    logits: Tensor,
    x: Tensor,
    y: Tensor,
    z: Tensor,
    lse: Tensor,
    g_x: Tensor,
    g_y: Tensor,
    g_z: Tensor,
) -> Tensor:
    """Gradient of the logits, laid out as they are."""
    gradient = torch.empty_like(logits)
    volumes, axes = _in_memory_order(logits, x.shape[1])
    written, _ = _in_memory_order(gradient, x.shape[1], axes)
    marginals, gradients = _sorted_by(axes, (x, y, z)), _sorted_by(axes, (g_x, g_y, g_z))
    kernels = _kernels_for(volumes)
    if kernels:
        kernels.backward(volumes, written, marginals, gradients, lse)
    else:
        _backward_in_pieces(volumes, written, marginals, gradients)
    return gradient


def _allocate(logits: Tensor, num_joints: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    dtype = torch.promote_types(logits.dtype, torch.float32)
    batch, channels, height, width = logits.shape
    marginals = (
        logits.new_empty((batch, num_joints, size), dtype=dtype)
        for size in (width, height, channels // num_joints)
    )
    return *marginals, logits.new_zeros((batch, num_joints, 2), dtype=dtype)


_forward_op.register_fake(_allocate)
_backward_op.register_fake(lambda logits, *others: torch.empty_like(logits))


def _sorted_by(axes: str, by_axis: Marginals) -> Marginals:
    """What belongs to x, y and z, in the order in which ``axes`` names them."""
    return tuple(by_axis['xyz'.index(axis)] for axis in axes)


def _in_memory_order(
    logits: Tensor, num_joints: int, axes: str | None = None
) -> tuple[Tensor, str]:
    """View (B, K, ., ., .) of the logits whose last three axes lie in memory in that order, and
    their names.
    """
    volumes = logits.unflatten(1, (num_joints, -1))
    if axes is None:
        axes = 'yxz' if logits.stride(1) == 1 and logits.shape[1] > 1 else 'zyx'
    return (volumes.permute(0, 1, 3, 4, 2) if axes == 'yxz' else volumes), axes


# ---------------------------------------------------------------------- kernels


def _kernels_for(volumes: Tensor) -> ModuleType | None:
    """The module of the kernels, if they can work on these volumes."""
    interpreted = (
        os.environ.get('TRITON_INTERPRET') == '1'
    )  # Triton's own switch: kernels run on the host
    if volumes.dtype == torch.float64 or not (volumes.is_cuda or interpreted):
        return None
    kernels = _working_kernels(volumes.device, volumes.dtype)
    return kernels if kernels and kernels.fits(volumes.shape) else None


@functools.cache
def _working_kernels(device: torch.device, dtype: torch.dtype) -> ModuleType | None:
    """The module of the kernels, if a trial of both on the device succeeds.

    Triton may be missing, or lack the C compiler with which it makes its launchers, or not know the
    GPU. All of that shows at the first launch only, and none of it should end a training that can
    go on without kernels.
    """
    try:
        kernels = importlib.import_module('wsp_mm.models.heads.soft_argmax_triton')
        trial = torch.zeros((1, 1, 1, 1, 2), device=device, dtype=dtype)
        *marginals, lse = (torch.zeros((1, 1, size), device=device) for size in (1, 1, 2, 2))
        kernels.forward(trial, marginals, lse)
        gradient, of_inner = torch.empty_like(trial), torch.tensor([[[0.0, 1.0]]], device=device)
        kernels.backward(
            trial, gradient, marginals, (*map(torch.zeros_like, marginals[:2]), of_inner), lse
        )
        found = marginals[2].flatten().tolist(), gradient.flatten().tolist()
        if found != ([0.5, 0.5], [-0.25, 0.25]):
            raise RuntimeError(f'the kernels gave {found} where halves and quarters are right')
    except ImportError as error:
        if device.type == 'cuda':
            warnings.warn(
                f'no Triton, so the 3D expectation takes several launches: {error}', stacklevel=2
            )
        return None
    except Exception as error:
        warnings.warn(f'the 3D expectation goes without its kernels: {error}', stacklevel=2)
        return None
    return kernels


# ---------------------------------------------------------------------- in pieces


def _forward_in_pieces(volumes: Tensor, marginals: Marginals) -> None:
    """Fill in the marginals of (B, K, n0, n1, n2) volumes: (B, K, n0), (B, K, n1), (B, K, n2)."""
    scratch = None
    for piece in _pieces(volumes):
        scratch = _like(volumes[piece], marginals[0].dtype, scratch)
        probs = _softmax(volumes[piece], scratch)
        lines = probs.sum(4)
        for marginal, part in zip(
            marginals, (lines.sum(3), lines.sum(2), probs.sum((2, 3))), strict=True
        ):
            marginal[piece] = part


def _backward_in_pieces(
    volumes: Tensor, gradient: Tensor, marginals: Marginals, gradients: Marginals
) -> None:
    """Fill in the gradient.

    p is computed again. On processors that is cheaper than exp(logit - logsumexp), as PyTorch's
    softmax has a faster exponential than its exp, and so nothing but the logits and the marginals
    is kept.
    """
    mean = sum((m * g).sum(2, keepdim=True) for m, g in zip(marginals, gradients, strict=True))
    outer, middle, inner = gradients[0] - mean, *gradients[1:]
    slopes = scratch = None
    for piece in _pieces(volumes):
        source, target = volumes[piece], gradient[piece]
        slopes = _like(source, mean.dtype, slopes)
        plane = middle[piece][:, :, None, :, None] + inner[piece][:, :, None, None, :]
        torch.add(plane, outer[piece][:, :, :, None, None], out=slopes)
        if target.is_contiguous() and target.dtype == mean.dtype:
            probs = target  # what is multiplied in place needs no room of its own
        else:
            probs = scratch = _like(source, mean.dtype, scratch)
        torch.mul(_softmax(source, probs), slopes, out=target)


def _softmax(volumes: Tensor, out: Tensor) -> Tensor:
    """Softmax over the last three axes of (b, k, ., ., .), written to ``out``, which is
    contiguous.
    """
    torch.softmax(volumes.flatten(2), 2, dtype=out.dtype, out=out.flatten(2))
    return out


def _like(piece: Tensor, dtype: torch.dtype, room: Tensor | None) -> Tensor:
    """Contiguous room for a piece: the last piece's again, since memory fresh from the system is
    slow.
    """
    if room is not None and room.shape == piece.shape:
        return room
    return torch.empty(piece.shape, dtype=dtype, device=piece.device)


def _pieces(volumes: Tensor) -> Iterator[tuple[slice, slice]]:
    """Slices (of samples, of joints) that share the volumes out in pieces of bounded size."""
    batch, joints = volumes.shape[:2]
    budget = _PIECE_CPU if volumes.device.type == 'cpu' else _PIECE_DEVICE
    fitting = max(1, budget // max(1, volumes[0, 0].numel() if batch else 1))
    samples, per_sample = max(1, fitting // joints), min(joints, fitting)
    for sample in range(0, batch, samples):
        for joint in range(0, joints, per_sample):
            yield slice(sample, sample + samples), slice(joint, joint + per_sample)
