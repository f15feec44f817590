# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from __future__ import annotations

import numpy as np
import torch
from mmpose.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class RootDepthLoss(nn.Module):
    """(|dx| + |dy| + m |dZ|) / 3 of the root, mean over the batch: RootNet's.

    x and y are in cells, Z in mm, so that depth outweighs the place by far; m is 0 for samples
    without depth. A root that is not supervised counts as an error of 0. In float32 also under
    mixed precision.

    Args:
        depth_unit: mm that weigh as much as one cell. 1 is RootNet's; a larger unit leaves the
            place more of a short training.
        loss_weight: factor.

    Raises:
        ValueError: a unit that is not positive.
    """

    def __init__(self, depth_unit: float = 1.0, loss_weight: float = 1.0) -> None:
        super().__init__()
        if not (np.isfinite(depth_unit) and depth_unit > 0):
            raise ValueError(f'depth_unit must be positive (mm), got {depth_unit}')
        self.depth_unit = float(depth_unit)
        self.loss_weight = loss_weight

    def forward(
        self,
        cells: Tensor,
        depth: Tensor,
        target_cells: Tensor,
        target_depth: Tensor,
        weights: Tensor,
        has_depth: Tensor,
    ) -> Tensor:
        """The loss of a batch; without any supervised root 0, which still hangs on the predictions.

        (Under DistributedDataParallel the other ranks would wait for a missing gradient. Their mean
        is that of the global batch, since the samplers give every rank batches of the same size.)

        Args:
            cells, target_cells: (B, 2), predicted and true; the latter anything where the weight is
            0.
            depth, target_depth: (B,) mm, likewise.
            weights: (B,), 0 for a root without a label.
            has_depth: (B,), 0 where Z has no label.

        Raises:
            ValueError: the shapes disagree.
        """
        flat = {tuple(value.shape) for value in (depth, target_depth, weights, has_depth)}
        if (
            cells.shape != target_cells.shape
            or flat != {tuple(cells.shape[:1])}
            or cells.shape[1:] != (2,)
        ):
            raise ValueError(
                f'places {tuple(cells.shape)}, {tuple(target_cells.shape)} and depths, weights {sorted(flat)} '
                'do not fit together'
            )
        with torch.autocast(cells.device.type, enabled=False):
            predicted = torch.cat([cells, depth[:, None] / self.depth_unit], dim=1)
            true = torch.cat([target_cells, target_depth[:, None] / self.depth_unit], dim=1).to(
                predicted
            )
            axes = torch.stack([weights, weights, weights * has_depth], dim=-1).to(predicted)
            error = (predicted - true.where(axes > 0, predicted.detach())).abs()
            total = (error * axes).sum() / 3
            return self.loss_weight * total / max(len(cells), 1)

    def extra_repr(self) -> str:
        return f'depth_unit={self.depth_unit}, loss_weight={self.loss_weight}'
