# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Joint features: a feature map, filtered by joint masks and pooled within person boxes (paper, Eq.
5).

B images, P persons an image, J joints, D feature channels, maps of h x w px. Masks are (B, 1, J, h,
w), shared by the persons, or (B, P, J, h, w), one for each; ``inside`` (B, P, h, w) bool are the
pixels of each person's box.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

POOLINGS = ('mean', 'sum', 'max', 'normalized')

# Least mass, in px of a mask of height 1, that `normalized` divides by: below it the pooled feature
# fades to zero instead of growing, and the gradient that reaches the mask stays under 1 / MIN_MASS.
MIN_MASS = 1e-3


def masked_pooling(features: Tensor, masks: Tensor, inside: Tensor, mode: str = 'mean') -> Tensor:
    """Return the feature vector of every joint of every person, (B, P, J, D).

    For joint j of person p this pools ``features * masks[p, j]`` over the person's pixels: their
    ``mean``, ``sum`` or elementwise ``max``, or (``normalized``) their sum divided by the mask's
    absolute mass there, which for a mask without negative values is a weighted mean that does not
    depend on the box's size. A person without a pixel gets zeros.

    All but ``max`` are one batched matrix product, (PJ x hw) times (hw x D). ``max`` looks for the
    winning pixels joint by joint and lets gradients flow through these pixels alone. Nothing of
    size J x D x h x w is ever made.

    Args:
        features: (B, D, h, w).
        masks: (B, 1 or P, J, h, w).
        inside: (B, P, h, w) bool.
        mode: one of :data:`POOLINGS`.
    """
    if mode == 'max':
        return _max_pooling(features, masks, inside)
    sums = torch.bmm(_box_masks(masks, inside), features.flatten(2).transpose(1, 2))
    return _scaled(sums.unflatten(1, (inside.shape[1], -1)), masks, inside, mode)


def heatmaps_and_pooling(
    features: Tensor,
    layer: torch.nn.Conv2d,
    inside: Tensor,
    joints: int,
    mode: str = 'mean',
    detach_mask: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return heatmaps (B, C, h, w), by a 1x1 convolution, and the features pooled under these.

    The same as ``layer(features)`` and then :func:`masked_pooling`. There, each of the two makes a
    gradient of the features, and autograd adds them: two feature maps more at the peak of a
    training's memory. Here one product gives the sum. (Peak of the head's training step beside
    MMPose's HeatmapHead, 32 pairs: 1.00, and 1.25 with the two functions.)

    Args:
        features: (B, D, h, w), contiguous or channels-last.
        layer: 1x1 convolution to C channels: J shared by the persons, or P times J.
        inside: (B, P, h, w) bool.
        joints: J.
        mode: one of :data:`POOLINGS`.
        detach_mask: no gradient of the pooled features reaches the heatmaps.

    Returns:
        Heatmaps (B, C, h, w) and pooled features (B, P, J, D).
    """
    if mode == 'max':
        heatmaps = layer(features)
        masks = heatmaps.detach() if detach_mask else heatmaps
        return heatmaps, masked_pooling(features, masks.unflatten(1, (-1, joints)), inside, mode)
    heatmaps, sums = _HeatmapsAndSums.apply(
        features, layer.weight, layer.bias, inside, joints, detach_mask
    )
    masks = (heatmaps.detach() if detach_mask else heatmaps).unflatten(1, (-1, joints))
    return heatmaps, _scaled(sums, masks, inside, mode)


class _HeatmapsAndSums(torch.autograd.Function):
    """A 1x1 convolution, and sums of features times its result over persons' pixels.

    (B, D, h, w), (C, D, 1, 1), (C,) and (B, P, h, w) to (B, C, h, w) and (B, P, J, D).
    """

    @staticmethod
    def forward(ctx, features, weight, bias, inside, joints, detach_mask):
        heatmaps = F.conv2d(features, weight, bias)
        rows = _box_masks(heatmaps.unflatten(1, (-1, joints)), inside)
        ctx.save_for_backward(features, weight, heatmaps, inside)
        ctx.joints, ctx.detach_mask = joints, detach_mask
        sums = torch.bmm(rows, features.flatten(2).transpose(1, 2))
        return heatmaps, sums.unflatten(1, (-1, joints))

    @staticmethod
    @once_differentiable
    def backward(ctx, for_heatmaps, for_sums):
        features, weight, heatmaps, inside = ctx.saved_tensors
        masks = heatmaps.unflatten(1, (-1, ctx.joints))
        # Under autocast the convolution read its weights, and perhaps the features, in 16 bit.
        columns = features.flatten(2).to(heatmaps)
        kernel = weight.flatten(1).to(heatmaps)
        for_sums, for_heatmaps = for_sums.flatten(1, 2).to(heatmaps), for_heatmaps.flatten(2)
        if not ctx.detach_mask:
            products = torch.bmm(for_sums, columns).unflatten(1, (-1, ctx.joints))
            products *= inside.flatten(2)[:, :, None]
            shared = masks.shape[1] == 1
            for_heatmaps = for_heatmaps + (products.sum(1) if shared else products.flatten(1, 2))
        kernels = kernel.expand(len(features), -1, -1)
        rows = _box_masks(masks, inside)
        # In the features' memory layout: autograd would copy the gradient otherwise.
        if features.is_contiguous(memory_format=torch.channels_last):
            for_features = torch.bmm(rows.transpose(1, 2), for_sums)
            for_features = for_features.baddbmm_(for_heatmaps.transpose(1, 2), kernels)
            for_features = for_features.transpose(1, 2)
        else:
            for_features = torch.bmm(for_sums.transpose(1, 2), rows)
            for_features = for_features.baddbmm_(kernels.transpose(1, 2), for_heatmaps)
        for_weight = torch.bmm(for_heatmaps, columns.transpose(1, 2)).sum(0)
        return (
            for_features.unflatten(2, features.shape[2:]).to(features.dtype),
            for_weight[..., None, None].to(weight.dtype),
            for_heatmaps.sum((0, 2)).to(weight.dtype),
            *[None] * 3,
        )


def _box_masks(masks: Tensor, inside: Tensor) -> Tensor:
    """Return the masks within each person's box: (B, PJ, hw)."""
    return (masks * inside[:, :, None]).flatten(3).flatten(1, 2)


def _scaled(sums: Tensor, masks: Tensor, inside: Tensor, mode: str) -> Tensor:
    """Scale sums over persons' pixels (B, P, J, D) as ``mode`` wants it, in float32 at least."""
    sums = sums.to(torch.promote_types(sums.dtype, torch.float32))
    if mode == 'mean':
        return sums / inside.sum((2, 3)).clamp(min=1)[:, :, None, None]
    if mode == 'normalized':
        mass = (masks.abs() * inside[:, :, None]).sum((3, 4), dtype=sums.dtype)
        return sums / mass.clamp(min=MIN_MASS)[..., None]
    return sums


def _max_pooling(features: Tensor, masks: Tensor, inside: Tensor) -> Tensor:
    """Return the maximum of features times masks over persons' pixels, elementwise."""
    dtype = torch.promote_types(features.dtype, torch.float32)
    features, inside = features.flatten(2), inside.flatten(2)
    masks = masks.flatten(3).expand(-1, inside.shape[1], -1, -1)
    with torch.no_grad():
        winners = [
            (features * masks[:, person, joint, None])
            .masked_fill(~inside[:, person, None], -torch.inf)
            .argmax(-1)
            for person in range(masks.shape[1])
            for joint in range(masks.shape[2])
        ]
        winners = torch.stack(winners, dim=1)  # (B, PJ, D)
    mask = masks.flatten(1, 2).gather(2, winners)
    feature = features.gather(2, winners.transpose(1, 2)).transpose(1, 2)
    pooled = (mask.to(dtype) * feature).unflatten(1, masks.shape[1:3])
    return pooled * inside.any(-1)[:, :, None, None]
