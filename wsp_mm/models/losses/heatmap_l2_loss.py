# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from __future__ import annotations

import torch
from mmpose.registry import MODELS
from torch import Tensor, nn

from wsp_mm.models.losses.reduction import mean_over_joints


@MODELS.register_module()
class HeatmapL2Loss(nn.Module):
    """L2 norm of the heatmap error, averaged over the labelled maps (paper, Eq. 10).

    The norm is taken over a whole map and not divided by its number of cells, as Eq. 10 says; an
    empty map thus costs about 3.5 for a Gaussian of sigma 2 cells, where MMPose's per-pixel mean
    costs 0.003. It is computed in float32 also under mixed precision, and its sub-gradient where
    prediction and target agree is 0.

    Args:
        squared: take the squared norm (the sum of squared errors) instead.
    """

    def __init__(self, squared: bool = False) -> None:
        super().__init__()
        self.squared = squared

    def forward(self, output: Tensor, target: Tensor, weights: Tensor) -> Tensor:
        """Mean over the weighted maps of a sample, then over the samples that have one.

        With several processes: over the samples of all ranks, see :func:`mean_over_joints`.

        Args:
            output: (B, C, h, w) predicted heatmaps.
            target: (B, C, h, w) true heatmaps.
            weights: (B, C), 0 for maps without a label.

        Raises:
            ValueError: the shapes disagree.
        """
        if output.shape != target.shape or weights.shape != output.shape[:2]:
            raise ValueError(
                f'heatmaps {tuple(output.shape)}, targets {tuple(target.shape)} and weights '
                f'{tuple(weights.shape)} do not fit together: do the codec and the head agree on '
                'person_channels and the joint set?'
            )
        with torch.autocast(output.device.type, enabled=False):
            error = (output.float() - target.float()).flatten(2)
            # vector_norm passes a zero gradient where the norm is zero, where sqrt would pass nan
            values = (
                error.square().sum(2) if self.squared else torch.linalg.vector_norm(error, dim=2)
            )
            return mean_over_joints(values, weights.float())

    def extra_repr(self) -> str:
        return f'squared={self.squared}'
