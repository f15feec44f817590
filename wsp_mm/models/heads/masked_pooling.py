# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Joint features: a feature map, filtered by joint masks and pooled within person boxes (paper, Eq.
5).

Pure functions on tensors. Letters: B pictures, P persons a picture, J joints, D feature channels,
h x w cells of the map.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

POOLINGS = ('mean', 'sum', 'max', 'normalized')

# Least mass, in cells of a mask of height 1, that `normalized` divides by: below it the pooled
# feature fades to zero instead of growing, and the gradient that reaches the mask stays under 1 /
# MIN_MASS.
MIN_MASS = 1e-3

# Elements that are worked on at a time: of a piece's features and of its masks person by person. A
# processor wants a piece in its cache (4 MiB), a GPU few, large ones (64 MiB).
_PIECE_CPU = 1 << 20
_PIECE_DEVICE = 1 << 24


def masked_pooling(features: Tensor, masks: Tensor, inside: Tensor, mode: str = 'mean') -> Tensor:
    """Feature vector of every joint of every person, (B, P, J, D).

    For joint j of person p this pools ``features * masks[p, j]`` over the person's cells: their
    ``mean``, ``sum`` or elementwise ``max``, or (``normalized``) their sum divided by the mask's
    absolute mass there, which for a mask without negative values is a weighted mean that does not
    depend on the box's size. All but ``max`` are one batched matrix product, (PJ x hw) times (hw x
    D), see :class:`_MaskedSums`; ``max`` looks for the winning cells joint by joint and lets
    gradients flow through these cells alone. Nothing of size J x D x h x w is ever made.

    Computed in float32 (float64 where one of the inputs is) whatever the inputs' precision, also
    under autocast: what is pooled is small (a mean over a box of a narrow peak), too small for half
    precision.

    Args:
        features: (B, D, h, w), contiguous or channels-last.
        masks: (B, J, h, w), shared by the persons, or (B, P, J, h, w), one for each.
        inside: (B, P, h, w) bool, see :func:`wsp_mm.codecs.box_cells.box_membership`; a person
            without a cell gets zeros.
        mode: one of :data:`POOLINGS`.

    Raises:
        ValueError: unknown ``mode`` or shapes that do not fit together.
    """
    if mode not in POOLINGS:
        raise ValueError(f'pooling must be one of {POOLINGS}, got {mode!r}')
    batch, persons, height, width = inside.shape
    per_person = masks if masks.dim() == 5 else masks[:, None].expand(-1, persons, -1, -1, -1)
    if features.shape[0] != batch or features.shape[2:] != inside.shape[2:]:
        raise ValueError(f'features {tuple(features.shape)} do not fit boxes {tuple(inside.shape)}')
    if per_person.shape[:2] != (batch, persons) or per_person.shape[3:] != (height, width):
        raise ValueError(f'masks {tuple(per_person.shape)} do not fit boxes {tuple(inside.shape)}')

    with torch.autocast(features.device.type, enabled=False):
        dtype = torch.promote_types(torch.promote_types(features.dtype, masks.dtype), torch.float32)
        if mode == 'max':
            return _max_pooling(
                features.flatten(2), per_person.flatten(3), inside.flatten(2), dtype
            )
        masks = (
            masks if masks.dim() == 5 else masks[:, None]
        )  # (B, 1, J, h, w): one for all persons
        return _pooled(_MaskedSums.apply(features, masks, inside, dtype), masks, inside, mode)


def heatmaps_and_pooling(
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    inside: Tensor,
    joints: int,
    mode: str = 'mean',
    detach_mask: bool = False,
) -> tuple[Tensor, Tensor]:
    """Heatmaps by a 1x1 convolution, and the features pooled under these as masks: (B, C, h, w),
    (B, P, J, D).

    What ``F.conv2d`` and then :func:`masked_pooling` give. There, each of the two makes a gradient
    of the features, and autograd adds them: one feature map more at the peak of a training's
    memory. Here one product gives the sum.

    Args:
        features: (B, D, h, w), contiguous or channels-last.
        weight: (C, D, 1, 1), C channels: J shared by the persons, or P times J.
        bias: (C,) or None.
        inside: (B, P, h, w) bool.
        joints: J.
        mode: one of :data:`POOLINGS`.
        detach_mask: no gradient of the pooled features reaches the heatmaps.

    Raises:
        ValueError: as :func:`masked_pooling`, or a ``weight`` of another shape.
    """
    channels, persons = weight.shape[0], inside.shape[1]
    if channels not in (joints, persons * joints) or weight.shape[1:] != (features.shape[1], 1, 1):
        raise ValueError(
            f'weight {tuple(weight.shape)} does not make heatmaps of {joints} joints of {persons} persons '
            f'from features {tuple(features.shape)}'
        )
    if mode == 'max' or mode not in POOLINGS:
        heatmaps = F.conv2d(features, weight, bias)
        masks = heatmaps.detach() if detach_mask else heatmaps
        masks = masks if channels == joints else masks.unflatten(1, (persons, joints))
        return heatmaps, masked_pooling(features, masks, inside, mode)
    dtype = torch.promote_types(features.dtype, torch.float32)
    heatmaps, sums = _HeatmapsAndSums.apply(
        features, weight, bias, inside, joints, dtype, not detach_mask
    )
    with torch.autocast(features.device.type, enabled=False):
        masks = (heatmaps.detach() if detach_mask else heatmaps).unflatten(1, (-1, joints))
        return heatmaps, _pooled(sums, masks, inside, mode)


def _pooled(sums: Tensor, masks: Tensor, inside: Tensor, mode: str) -> Tensor:
    """Sums over persons' cells (B, P, J, D), of masks (B, 1 or P, J, h, w), as ``mode`` wants
    them.
    """
    if mode == 'mean':
        return sums / inside.sum((2, 3)).clamp(min=1)[:, :, None, None]
    if mode == 'normalized':
        return sums / _mass(masks.to(sums.dtype), inside).clamp(min=MIN_MASS)[..., None]
    return sums


class _MaskedSums(torch.autograd.Function):
    """Sums of features times masks over persons' cells.

    (B, D, h, w), (B, 1 or P, J, h, w) and (B, P, h, w) to (B, P, J, D).

    Written out so that backward keeps the three inputs alone, which the network has anyway: neither
    the masks cut out person by person nor, under mixed precision, a float32 copy of the features.
    Both are made piece by piece, and made again in backward. The features' gradient is written
    once, in the features' precision.
    """

    @staticmethod
    def forward(ctx, features: Tensor, masks: Tensor, inside: Tensor, dtype: torch.dtype) -> Tensor:
        ctx.save_for_backward(features, masks, inside)
        ctx.dtype = dtype
        return _masked_sums(features, masks, inside, dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        features, masks, inside = ctx.saved_tensors
        layout = _layout(features)
        for_features = (
            torch.empty_like(features, memory_format=layout) if ctx.needs_input_grad[0] else None
        )
        for_masks = torch.empty_like(masks) if ctx.needs_input_grad[1] else None
        gradient = gradient.flatten(1, 2)  # (B, PJ, D)
        for piece in _pieces(features, masks, inside):
            if for_features is not None:
                rows = _weights(masks[piece], inside[piece], ctx.dtype).flatten(1, 2)
                _products(gradient[piece], rows, out=for_features[piece].flatten(2))
            if for_masks is not None:
                products = torch.bmm(gradient[piece], features[piece].flatten(2).to(ctx.dtype))
                products = products.view(*inside[piece].shape[:2], masks.shape[2], *masks.shape[3:])
                products.mul_(inside[piece][:, :, None])
                for_masks[piece] = products if masks.shape[1] > 1 else products.sum(1, keepdim=True)
        return for_features, for_masks, None, None


class _HeatmapsAndSums(torch.autograd.Function):
    """A 1x1 convolution, and sums of features times its result over persons' cells.

    (B, D, h, w), (C, D, 1, 1) and (B, P, h, w) to (B, C, h, w) and (B, P, J, D). In pieces as
    :class:`_MaskedSums`; what reaches the weights is summed in ``dtype``.
    """

    @staticmethod
    def forward(
        ctx,
        features: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        inside: Tensor,
        joints: int,
        dtype: torch.dtype,
        learn_mask: bool,
    ) -> tuple[Tensor, Tensor]:
        heatmaps = F.conv2d(features, weight, bias)
        ctx.save_for_backward(features, weight, heatmaps, inside)
        ctx.joints, ctx.dtype, ctx.learn_mask = joints, dtype, learn_mask
        with torch.autocast(features.device.type, enabled=False):
            return heatmaps, _masked_sums(
                features, heatmaps.unflatten(1, (-1, joints)), inside, dtype
            )

    @staticmethod
    @once_differentiable
    def backward(ctx, for_heatmaps: Tensor, gradient: Tensor) -> tuple[Tensor | None, ...]:
        features, weight, heatmaps, inside = ctx.saved_tensors
        wants_features, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        masks = heatmaps.unflatten(1, (-1, ctx.joints))
        # As the convolution read it: under autocast not as it is stored.
        kernel = weight.to(heatmaps.dtype).to(ctx.dtype).flatten(1)
        layout = _layout(features)
        for_features = torch.empty_like(features, memory_format=layout) if wants_features else None
        for_kernel, for_bias = torch.zeros_like(kernel), kernel.new_zeros(len(kernel))
        gradient = gradient.flatten(1, 2)  # (B, PJ, D)
        with torch.autocast(features.device.type, enabled=False):
            for piece in _pieces(features, masks, inside):
                columns = features[piece].flatten(2).to(ctx.dtype)
                shares = for_heatmaps[piece].flatten(2).to(ctx.dtype)
                if ctx.learn_mask:
                    products = torch.bmm(gradient[piece], columns).unflatten(1, (-1, ctx.joints))
                    products.mul_(inside[piece].flatten(2)[:, :, None])
                    shares = shares + (
                        products.flatten(1, 2) if masks.shape[1] > 1 else products.sum(1)
                    )
                if wants_weight:
                    for_kernel += torch.bmm(shares, columns.transpose(1, 2)).sum(0)
                if wants_bias:
                    for_bias += shares.sum((0, 2))
                if wants_features:
                    rows = _weights(masks[piece], inside[piece], ctx.dtype).flatten(1, 2)
                    left = torch.cat((gradient[piece], kernel.expand(len(rows), -1, -1)), 1)
                    _products(
                        left, torch.cat((rows, shares), 1), out=for_features[piece].flatten(2)
                    )
        for_weight = for_kernel.view(weight.shape).to(weight.dtype) if wants_weight else None
        return (
            for_features,
            for_weight,
            for_bias.to(weight.dtype) if wants_bias else None,
            *[None] * 4,
        )


def _masked_sums(features: Tensor, masks: Tensor, inside: Tensor, dtype: torch.dtype) -> Tensor:
    """Of :class:`_MaskedSums`, forward."""
    sums = features.new_empty((*inside.shape[:2], masks.shape[2], features.shape[1]), dtype=dtype)
    for piece in _pieces(features, masks, inside):
        rows = _weights(masks[piece], inside[piece], dtype)
        columns = features[piece].flatten(2).transpose(1, 2).to(dtype)
        sums[piece] = torch.bmm(rows.flatten(1, 2), columns).view(sums[piece].shape)
    return sums


def _pieces(features: Tensor, masks: Tensor, inside: Tensor) -> Iterator[slice]:
    """Slices of samples that share the batch out in pieces of bounded size."""
    batch, persons, height, width = inside.shape
    budget = _PIECE_CPU if features.device.type == 'cpu' else _PIECE_DEVICE
    per_sample = (features.shape[1] + persons * masks.shape[2]) * height * width
    samples = max(1, budget // max(1, per_sample))
    for sample in range(0, batch, samples):
        yield slice(sample, sample + samples)


def _layout(features: Tensor) -> torch.memory_format:
    """The layout that a gradient gets: one in which a cell's channels, or a channel's cells, lie in
    a row.
    """
    last = (
        features.is_contiguous(memory_format=torch.channels_last) and not features.is_contiguous()
    )
    return torch.channels_last if last else torch.contiguous_format


def _products(gradient: Tensor, rows: Tensor, out: Tensor) -> None:
    """(b, PJ, D) times (b, PJ, hw), summed over PJ, into (b, D, hw), in the order that this has in
    memory.
    """
    left, right = gradient.transpose(1, 2), rows
    if out.stride(1) == 1 and out.shape[1] > 1:
        out, left, right = out.transpose(1, 2), rows.transpose(1, 2), gradient
    if out.dtype == rows.dtype:
        torch.bmm(left, right, out=out)
    else:
        out.copy_(torch.bmm(left, right))


def _weights(masks: Tensor, inside: Tensor, dtype: torch.dtype) -> Tensor:
    """Masks within the persons' boxes: (b, 1 or P, J, h, w) and (b, P, h, w) to (b, P, J, hw)."""
    return (masks.to(dtype) * inside[:, :, None]).flatten(3)


def _mass(masks: Tensor, inside: Tensor) -> Tensor:
    """Absolute mass of the masks within the persons' boxes: (B, 1 or P, J, h, w), (B, P, h, w) to
    (B, P, J).
    """
    cells = inside.flatten(2).to(masks.dtype)
    return torch.einsum(
        'bpjn,bpn->bpj', masks.abs().flatten(3).expand(-1, cells.shape[1], -1, -1), cells
    )


def _max_pooling(features: Tensor, masks: Tensor, inside: Tensor, dtype: torch.dtype) -> Tensor:
    """Elementwise maximum of features (B, D, hw) * masks (B, P, J, hw) over inside (B, P, hw): (B,
    P, J, D).
    """
    batch, persons, joints, _ = masks.shape
    channels = features.shape[1]
    features, masks = (
        features.to(dtype),
        masks.to(dtype),
    )  # not kept: gather's backward needs the places alone
    with torch.no_grad():
        winners = torch.empty(
            (batch, persons, joints, channels), dtype=torch.long, device=features.device
        )
        for person in range(persons):
            outside = ~inside[:, person, None]
            for joint in range(joints):
                product = features * masks[:, person, joint, None]
                winners[:, person, joint] = product.masked_fill_(outside, -torch.inf).argmax(-1)
    winners = winners.flatten(1, 2)
    mask = masks.flatten(1, 2).gather(2, winners)
    feature = features.gather(2, winners.transpose(1, 2)).transpose(1, 2)
    pooled = (mask * feature).view(batch, persons, joints, channels)
    return pooled * inside.any(-1)[:, :, None, None]
