# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from __future__ import annotations

import torch
import torch.nn.functional as F
from mmpose.registry import MODELS
from torch import Tensor, nn

from wsp_mm.models.losses.reduction import mean_over_joints


@MODELS.register_module()
class RelativeDepthLoss(nn.Module):
    """Binary cross-entropy of "joint j of person A is nearer than joint j of person B" (paper, Eq.
    9).

    From logits and in float32, also under mixed precision.
    """

    def forward(self, logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        """Mean over the weighted joints of a pair, then over the pairs that have one.

        With several processes: over the pairs of all ranks, see :func:`mean_over_joints`.

        Args:
            logits: (B, J), positive where A is judged nearer.
            labels: (B, J), 1 where A is nearer, else 0.
            weights: (B, J), 0 for joints without a label or not drawn.

        Raises:
            ValueError: the shapes disagree.
        """
        if not logits.shape == labels.shape == weights.shape:
            raise ValueError(
                f'logits {tuple(logits.shape)}, labels {tuple(labels.shape)} and weights '
                f'{tuple(weights.shape)} do not fit together: do the codec and the head use the same joint set?'
            )
        with torch.autocast(logits.device.type, enabled=False):
            values = F.binary_cross_entropy_with_logits(
                logits.float(), labels.float(), reduction='none'
            )
            return mean_over_joints(values, weights.float())
