# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from __future__ import annotations

import torch
from mmpose.registry import MODELS
from torch import Tensor, nn

from wsp_mm.models.losses.integral_3d_loss import axis_weights
from wsp_mm.models.losses.reduction import rank_share

DIVERGENCES = ('kl', 'js')
# Added to probabilities below their logarithm: small enough to pull from far away, large enough for
# float32.
_TINY = 1e-20


@MODELS.register_module()
class MarginalLoss(nn.Module):
    """Divergence of a 3D heatmap's three marginals from Gaussians around the joint.

    The L1 loss of an expectation pulls every cell of a volume a little; from the uniform volume
    that a network starts with, that teaches nothing for long. This loss says where the mass
    belongs, as a 2D heatmap's loss does, and is cheap, since the marginals are there anyway. Not
    part of the paper: for short trainings, as a start or throughout. (Nibali et al., "Numerical
    coordinate regression" and "3D human pose estimation with 2D marginal heatmaps", regularise with
    the Jensen-Shannon divergence to Gaussians.)

    Args:
        sigma: standard deviation of the Gaussians, cells.
        divergence: ``'kl'``, Kullback-Leibler from the Gaussian to the marginal (cross-entropy less
            the Gaussian's entropy), which pulls the harder the farther the mass is; ``'js'``,
            Jensen-Shannon, at most log 2, whose pull fades with confident errors.
        loss_weight: factor.

    Raises:
        ValueError: an argument outside its range.
    """

    def __init__(
        self, sigma: float = 1.0, divergence: str = 'kl', loss_weight: float = 1.0
    ) -> None:
        super().__init__()
        if not sigma > 0:
            raise ValueError(f'sigma must be positive (cells), got {sigma}')
        if divergence not in DIVERGENCES:
            raise ValueError(f'divergence must be one of {DIVERGENCES}, got {divergence!r}')
        self.sigma = sigma
        self.divergence = divergence
        self.loss_weight = loss_weight

    def forward(
        self,
        marginals: tuple[Tensor, Tensor, Tensor],
        targets: Tensor,
        weights: Tensor,
        depth_weights: Tensor,
    ) -> Tensor:
        """Mean over the labelled axes of the joints; without any 0, which still hangs on the
        marginals.

        With several processes: over those of all ranks, see :func:`rank_share`.

        Args:
            marginals: (B, K, W), (B, K, H), (B, K, D), each summing to 1.
            targets: (B, K, 3) cells; anything where the weight is 0.
            weights: (B, K), 0 for joints without a label.
            depth_weights: (B, K), 0 where z has no label.
        """
        with torch.autocast(weights.device.type, enabled=False):
            axes = axis_weights(weights, depth_weights).to(marginals[0].dtype)
            targets = targets.to(axes.dtype).where(axes > 0, torch.zeros_like(axes))
            values = [
                self._divergence(marginal, targets[..., axis])
                for axis, marginal in enumerate(marginals)
            ]
            total = (torch.stack(values, dim=-1) * axes).sum()
            return self.loss_weight * total / rank_share(axes.sum())

    def _divergence(self, marginal: Tensor, target: Tensor) -> Tensor:
        """Along one axis: (B, K, size) and (B, K) cells to (B, K)."""
        cells = torch.arange(marginal.shape[-1], dtype=marginal.dtype, device=marginal.device)
        wanted = (-0.5 * ((cells - target[..., None]) / self.sigma) ** 2).softmax(-1)
        if self.divergence == 'kl':
            return _kullback_leibler(wanted, marginal)
        middle = (wanted + marginal) / 2
        return (_kullback_leibler(wanted, middle) + _kullback_leibler(marginal, middle)) / 2

    def extra_repr(self) -> str:
        return f'sigma={self.sigma}, divergence={self.divergence}, loss_weight={self.loss_weight}'


def _kullback_leibler(p: Tensor, q: Tensor) -> Tensor:
    """KL(p || q) over the last axis."""
    return (p * ((p + _TINY).log() - (q + _TINY).log())).sum(-1)
