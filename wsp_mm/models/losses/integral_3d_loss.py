# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from __future__ import annotations

import torch
from mmpose.registry import MODELS
from torch import Tensor, nn

from wsp_mm.models.losses.reduction import rank_share

AVERAGES = ('all', 'valid')


@MODELS.register_module()
class Integral3DLoss(nn.Module):
    """L1 distance of expected and true positions in cells, (|dx| + |dy| + m |dz|) / 3 (paper, Eq.
    12).

    m is 0 for samples without depth. The paper sums the axes, PoseNet divides by 3, with or without
    depth, and the paper's learning rate belongs to PoseNet's; Eq. 12 as printed is
    ``loss_weight=3``. In float32 also under mixed precision.

    Args:
        average: ``'all'``, PoseNet's: over all joints of the batch, so that a missing label counts
            as an error of 0 and lowers the weight of the others; ``'valid'``: over the joints that
            have a label, counted on all ranks (:func:`rank_share`). ``'all'`` needs no count:
            MMEngine's samplers and ours give every rank batches of the same size.
        loss_weight: factor.

    Raises:
        ValueError: another word for ``average``.
    """

    def __init__(self, average: str = 'all', loss_weight: float = 1.0) -> None:
        super().__init__()
        if average not in AVERAGES:
            raise ValueError(f'average must be one of {AVERAGES}, got {average!r}')
        self.average = average
        self.loss_weight = loss_weight

    def forward(
        self, cells: Tensor, targets: Tensor, weights: Tensor, depth_weights: Tensor
    ) -> Tensor:
        """The loss of a batch; without any valid joint 0, which still hangs on ``cells``.

        (Under DistributedDataParallel the other ranks would wait for a missing gradient.)

        Args:
            cells: (B, K, 3), predicted.
            targets: (B, K, 3), true; anything where the weight is 0.
            weights: (B, K), 0 for joints without a label.
            depth_weights: (B, K), 0 where z has no label.

        Raises:
            ValueError: the shapes disagree.
        """
        check_shapes(cells, targets, weights, depth_weights)
        with torch.autocast(cells.device.type, enabled=False):
            axes = axis_weights(weights, depth_weights).to(cells.dtype)
            error = (cells - targets.to(cells.dtype).where(axes > 0, cells.detach())).abs()
            total = (error * axes).sum() / 3
            if self.average == 'all':
                return self.loss_weight * total / max(weights.numel(), 1)
            return self.loss_weight * total / rank_share((weights > 0).sum())

    def extra_repr(self) -> str:
        return f'average={self.average}, loss_weight={self.loss_weight}'


def axis_weights(weights: Tensor, depth_weights: Tensor) -> Tensor:
    """Weights of x, y and z: (B, K) and (B, K) to (B, K, 3). A joint without weight has none along
    z either.
    """
    return torch.stack([weights, weights, weights * depth_weights], dim=-1)


def check_shapes(cells: Tensor, targets: Tensor, weights: Tensor, depth_weights: Tensor) -> None:
    """Raises:
    ValueError: predictions, targets and weights do not fit together.
    """
    if cells.shape != targets.shape or not weights.shape == depth_weights.shape == cells.shape[:2]:
        raise ValueError(
            f'predictions {tuple(cells.shape)}, targets {tuple(targets.shape)}, weights {tuple(weights.shape)} '
            f'and depth weights {tuple(depth_weights.shape)} do not fit together: do the head and the data set '
            'use the same joint set?'
        )
