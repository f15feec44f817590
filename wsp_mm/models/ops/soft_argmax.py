# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Expectation of a 3D heatmap under its softmax (paper, Eq. 11; "integral regression").

B samples, K joints, a volume of D x H x W px a joint (depth, rows, columns), which the network
gives as (B, K * D, H, W): joint-major, depth-minor. Coordinates are heatmap px, (x, y, z) =
(column, row, depth layer), counted from 0.

The expectation of a coordinate needs the probability's marginal along that axis alone. So the
volume is turned into three marginals, and neither a volume of probabilities nor one of coordinates
is ever held: forward keeps the logits that the network made anyway, and backward writes their
gradient once. With p the softmax and g the gradients of the marginals, the gradient of the logit of
pixel (x, y, z) is

    p * (g_x[x] + g_y[y] + g_z[z] - c),

where c is the mean of that sum under p: the sum of the products of marginals and their gradients.
Both directions work on some joints at a time.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Marginals = tuple[Tensor, Tensor, Tensor]

# Elements of the logits that are worked on at a time. On a processor a piece should stay in its
# cache (2 of 64^3 px are 2 MiB); a GPU wants fewer, larger pieces (128 MiB).
_PIECE_CPU = 1 << 19
_PIECE_DEVICE = 1 << 25


def soft_argmax(logits: Tensor, num_joints: int) -> Tensor:
    """Return the expected position of every joint: (B, K * D, H, W) to (B, K, 3) heatmap px, see
    :func:`softmax_marginals`.
    """
    return expectation(softmax_marginals(logits, num_joints))


def expectation(marginals: Marginals) -> Tensor:
    """Return the mean position under three marginals (B, K, W), (B, K, H), (B, K, D): (B, K, 3)
    heatmap px, x y z.
    """
    indices = [torch.arange(m.shape[-1], dtype=m.dtype, device=m.device) for m in marginals]
    means = [(m * index).sum(-1) for m, index in zip(marginals, indices, strict=True)]
    return torch.stack(means, dim=-1)


@torch.compiler.disable
def softmax_marginals(logits: Tensor, num_joints: int, plain: bool = False) -> Marginals:
    """Return the marginals of the softmax over each joint's whole volume, along x, y and z.

    Computed in float32 whatever the logits' precision (float64 for float64), also under autocast.
    Differentiable once.

    Args:
        logits: (B, K * D, H, W), joint-major, contiguous or channels-last.
        num_joints: K.
        plain: use PyTorch's own operations on all volumes at a time: three times the time and
            memory, for export (torch.export, torch.jit), second derivatives and comparison. An
            export to ONNX always does.

    Returns:
        (B, K, W), (B, K, H) and (B, K, D); each sums to 1 along its last axis.
    """
    volumes = logits.unflatten(1, (num_joints, -1))
    if plain or torch.onnx.is_in_onnx_export():
        probs = _softmax(volumes)
        return probs.sum((2, 3)), probs.sum((2, 4)), probs.sum((3, 4))
    if logits.is_contiguous():
        z, y, x = _SoftmaxMarginals.apply(volumes)
    else:  # Channels-last: in the order of the axes in memory, pieces are copied faster.
        y, x, z = _SoftmaxMarginals.apply(volumes.permute(0, 1, 3, 4, 2))
    return x, y, z


class _SoftmaxMarginals(torch.autograd.Function):
    """(B, K, n0, n1, n2) to (B, K, n0), (B, K, n1), (B, K, n2), as derived at the top of this
    module.
    """

    @staticmethod
    def forward(ctx, volumes: Tensor) -> Marginals:
        dtype = torch.promote_types(volumes.dtype, torch.float32)
        (*rows, n0, n1, n2) = volumes.shape
        marginals = [volumes.new_empty((*rows, n), dtype=dtype) for n in (n0, n1, n2)]
        for piece in _pieces(volumes):
            probs = _softmax(volumes[piece])
            lines = probs.sum(4)
            parts = lines.sum(3), lines.sum(2), probs.sum((2, 3))
            for marginal, part in zip(marginals, parts, strict=True):
                marginal[piece] = part
        ctx.save_for_backward(volumes, *marginals)
        return tuple(marginals)

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients: Tensor) -> Tensor:
        volumes, *marginals = ctx.saved_tensors
        mean = sum((m * g).sum(2, keepdim=True) for m, g in zip(marginals, gradients, strict=True))
        outer, middle, inner = gradients[0] - mean, gradients[1], gradients[2]
        gradient = torch.empty_like(volumes)
        for piece in _pieces(volumes):
            plane = middle[piece][:, :, :, None] + inner[piece][:, :, None]
            slopes = outer[piece][:, :, :, None, None] + plane[:, :, None]
            torch.mul(_softmax(volumes[piece]), slopes, out=gradient[piece])
        return gradient


def _softmax(volumes: Tensor) -> Tensor:
    """Softmax over the last three axes of (B, K, n0, n1, n2), in float32 at least."""
    dtype = torch.promote_types(volumes.dtype, torch.float32)
    return volumes.flatten(2).softmax(2, dtype=dtype).view(volumes.shape)


def _pieces(volumes: Tensor) -> Iterator[tuple[slice, slice]]:
    """Yield slices (of samples, of joints) that share the volumes out in pieces of bounded size."""
    batch, joints = volumes.shape[:2]
    budget = _PIECE_CPU if volumes.device.type == 'cpu' else _PIECE_DEVICE
    fitting = max(1, budget // max(1, volumes.shape[2:].numel()))
    samples, per_sample = max(1, fitting // joints), min(joints, fitting)
    for sample in range(0, batch, samples):
        for joint in range(0, joints, per_sample):
            yield slice(sample, sample + samples), slice(joint, joint + per_sample)
