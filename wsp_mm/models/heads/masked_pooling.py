# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Joint features: a feature map, filtered by joint masks and pooled within person boxes (paper, Eq. 5).

Pure functions on tensors. Letters: B pictures, P persons a picture, J joints, D feature channels,
h x w cells of the map.
"""

from __future__ import annotations

import torch
from torch import Tensor

POOLINGS = ('mean', 'sum', 'max', 'normalized')

# Least mass, in cells of a mask of height 1, that `normalized` divides by: below it the pooled feature fades
# to zero instead of growing, and the gradient that reaches the mask stays under 1 / MIN_MASS.
MIN_MASS = 1e-3


def masked_pooling(features: Tensor, masks: Tensor, inside: Tensor, mode: str = 'mean') -> Tensor:
    """Feature vector of every joint of every person, (B, P, J, D).

    For joint j of person p this pools ``features * masks[p, j]`` over the person's cells: their ``mean``,
    ``sum`` or elementwise ``max``, or (``normalized``) their sum divided by the mask's absolute mass there,
    which for a mask without negative values is a weighted mean that does not depend on the box's size. All
    but ``max`` are one batched matrix product, (PJ x hw) times (hw x D); ``max`` looks for the winning cells
    joint by joint and lets gradients flow through these cells alone. Nothing of size J x D x h x w is ever
    made.

    Args:
        features: (B, D, h, w).
        masks: (B, J, h, w), shared by the persons, or (B, P, J, h, w), one for each.
        inside: (B, P, h, w) bool, see :func:`wsp_mm.codecs.box_cells.box_membership`; a person without a
            cell gets zeros.
        mode: one of :data:`POOLINGS`.

    Raises:
        ValueError: unknown ``mode`` or shapes that do not fit together.
    """
    if mode not in POOLINGS:
        raise ValueError(f'pooling must be one of {POOLINGS}, got {mode!r}')
    batch, persons, height, width = inside.shape
    if masks.dim() == 4:
        masks = masks[:, None].expand(-1, persons, -1, -1, -1)
    if features.shape[0] != batch or features.shape[2:] != inside.shape[2:]:
        raise ValueError(f'features {tuple(features.shape)} do not fit boxes {tuple(inside.shape)}')
    if masks.shape[:2] != (batch, persons) or masks.shape[3:] != (height, width):
        raise ValueError(f'masks {tuple(masks.shape)} do not fit boxes {tuple(inside.shape)}')

    if mode == 'max':
        return _max_pooling(features.flatten(2), masks.flatten(3), inside.flatten(2))

    weights = masks * inside[:, :, None]
    joints = masks.shape[2]
    pooled = torch.bmm(weights.flatten(3).flatten(1, 2), features.flatten(2).transpose(1, 2))
    pooled = pooled.view(batch, persons, joints, features.shape[1])
    if mode == 'mean':
        pooled = pooled / inside.sum((2, 3)).clamp(min=1)[:, :, None, None]
    elif mode == 'normalized':
        pooled = pooled / weights.abs().sum((3, 4)).clamp(min=MIN_MASS)[..., None]
    return pooled


def _max_pooling(features: Tensor, masks: Tensor, inside: Tensor) -> Tensor:
    """Elementwise maximum of features (B, D, hw) * masks (B, P, J, hw) over inside (B, P, hw): (B, P, J, D)."""
    batch, persons, joints, _ = masks.shape
    channels = features.shape[1]
    with torch.no_grad():
        winners = torch.empty((batch, persons, joints, channels), dtype=torch.long, device=features.device)
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
