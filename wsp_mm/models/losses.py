# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The losses, and how their values become one number on one process and on several.

All are computed in float32 also under mixed precision. A batch in which nothing is labelled gives
0, which still hangs on the predictions: every parameter gets a (zero) gradient, since under
DistributedDataParallel the other ranks would wait for a missing one.

B samples, J or K joints, C heatmap channels.
"""

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce, get_world_size
from mmpose.registry import MODELS
from torch import Tensor, nn

from wsp_mm.structures.ground_plane import SEGMENTS
from wsp_mm.structures.keypoints import get_joint_set

# Added to probabilities below their logarithm: small enough to pull from far away, large enough for
# float32.
_TINY = 1e-20


def rank_share(count: Tensor) -> Tensor:
    """Return what a rank divides its sum by, so that all ranks together take the mean over the
    global batch.

    DistributedDataParallel averages gradients over the ranks. With sums S_r over n_r labelled
    elements, a rank that divided by its own n_r would make that the mean of means, which is another
    number wherever the counts differ. Divided by N / W, with N the sum of all n_r and W the number
    of ranks, the average is (sum of S_r) / N, which is what one process gets from the whole batch.

    Costs one collective of a single number a call; with one process there is none. Every rank must
    call it equally often.

    Args:
        count: (), labelled elements of this rank's batch; any dtype.

    Returns:
        (), max(N, 1) / W; with one process max(count, 1). Without a gradient.
    """
    world_size = get_world_size()
    if world_size == 1:
        return count.detach().clamp(min=1)
    total = count.detach().float().clone()
    all_reduce(total)
    return total.clamp(min=1) / world_size


def mean_over_joints(values: Tensor, weights: Tensor) -> Tensor:
    """Return the mean over the joints of a sample (Eq. 9 and 10), then over the samples of all
    ranks (:func:`rank_share`) that have one.

    Args:
        values: (B, J), finite.
        weights: (B, J), not negative; 0 takes a joint out.
    """
    total = weights.sum(1)
    has_joint = total > 0
    per_sample = (values * weights).sum(1) / total.masked_fill(~has_joint, 1.0)
    return per_sample.sum() / rank_share(has_joint.sum())


def axis_weights(weights: Tensor, depth_weights: Tensor) -> Tensor:
    """Return weights of x, y and z: (B, K) and (B, K) to (B, K, 3). A joint without weight has none
    along z either.
    """
    return torch.stack([weights, weights, weights * depth_weights], dim=-1)


@MODELS.register_module()
class HeatmapL2Loss(nn.Module):
    """L2 norm of the heatmap error, averaged over the labelled maps (paper, Eq. 10).

    The norm is taken over a whole map and not divided by its number of pixels, as Eq. 10 says; an
    empty map thus costs about 3.5 for a Gaussian of sigma 2 px, where MMPose's per-pixel mean costs
    0.003. Its sub-gradient where prediction and ground truth agree is 0.

    Args:
        squared: take the squared norm (the sum of squared errors) instead.
    """

    def __init__(self, squared: bool = False) -> None:
        super().__init__()
        self.squared = squared

    def forward(self, output: Tensor, target: Tensor, weights: Tensor) -> Tensor:
        """Return the mean over the weighted maps of a sample, then over the samples that have one,
        see :func:`mean_over_joints`.

        Args:
            output: (B, C, h, w) predicted heatmaps.
            target: (B, C, h, w) ground truth.
            weights: (B, C), 0 for maps without a label.

        Raises:
            ValueError: the shapes disagree.
        """
        _check_shapes(output=output, target=target)
        _check_shapes(output=output[..., 0, 0], weights=weights)
        with torch.autocast(output.device.type, enabled=False):
            error = (output.float() - target.float()).flatten(2)
            if self.squared:
                return mean_over_joints(error.square().sum(2), weights.float())
            # vector_norm passes a zero gradient where the norm is zero, where sqrt would pass nan.
            return mean_over_joints(torch.linalg.vector_norm(error, dim=2), weights.float())


@MODELS.register_module()
class RelativeDepthLoss(nn.Module):
    """Binary cross-entropy of "joint j of person A is nearer than joint j of person B" (paper, Eq.
    9).
    """

    def forward(self, logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        """Return the mean over the weighted joints of a pair, then over the pairs that have one,
        see :func:`mean_over_joints`.

        Args:
            logits: (B, J), positive where A is judged nearer.
            labels: (B, J), probability that A is nearer: 1 or 0, or between, for what is not sure.
            weights: (B, J), 0 for joints without a label or not drawn.

        Raises:
            ValueError: the shapes disagree.
        """
        _check_shapes(logits=logits, labels=labels, weights=weights)
        with torch.autocast(logits.device.type, enabled=False):
            values = F.binary_cross_entropy_with_logits(
                logits.float(), labels.float(), reduction='none'
            )
            return mean_over_joints(values, weights.float())


@MODELS.register_module()
class DepthRatioLoss(nn.Module):
    """Smooth L1 distance of a difference of depth scores and the logarithm of the depth ratio.

    With it the scores are in the unit of log-depth.

    Args:
        beta: error up to which the distance is quadratic, log-depth; about the labels' own error.
        loss_weight: factor.

    Raises:
        ValueError: beta is not positive.
    """

    def __init__(self, beta: float = 0.1, loss_weight: float = 1.0) -> None:
        super().__init__()
        if not beta > 0:
            raise ValueError(f'beta must be positive (log-depth), got {beta}')
        self.beta = beta
        self.loss_weight = loss_weight

    def forward(self, differences: Tensor, ratios: Tensor, weights: Tensor) -> Tensor:
        """Return the mean over the weighted joints of a pair, then over the pairs that have one,
        see :func:`mean_over_joints`.

        Args:
            differences: (B, J), score of B minus that of A.
            ratios: (B, J), log-depth of B minus that of A; nan where there is no label.
            weights: (B, J), 0 for joints without a label.

        Raises:
            ValueError: the shapes disagree.
        """
        _check_shapes(differences=differences, ratios=ratios, weights=weights)
        with torch.autocast(differences.device.type, enabled=False):
            known = ratios.isfinite()
            ratios = ratios.float().masked_fill(~known, 0.0)
            values = F.smooth_l1_loss(differences.float(), ratios, reduction='none', beta=self.beta)
            return self.loss_weight * mean_over_joints(values, weights.float() * known)


@MODELS.register_module()
class WithinPersonDepthLoss(nn.Module):
    """What 2D joints tell of depth within one person, taught to depth scores. Two parts, summed.

    Feet: of a person's two ankles, the lower one in the image is nearer (Eq. 2 within a person).
    The loss is the logistic loss of the scores' difference over the temperature. It says nothing
    where the two are about level, and it is wrong about a foot in the air.

    Limbs: the person's apparent height is the largest length / share over arms, legs and shoulders
    (:data:`wsp_mm.structures.ground_plane.SEGMENTS`), since tilt only shortens. A limb of length l
    px that would have L px is tilted, by ``sqrt(L^2 - l^2)`` px towards the camera or away from it.
    Over the focal length in px this is the difference of log-depth of its ends, up to its sign. The
    loss is the smaller one of both signs, ``| |ds| - target |``, quadratic up to 0.1. Only clearly
    tilted limbs count: where l / L is near 1, l and L differ by their errors.

    Args:
        joint_set: name of the joints' set.
        level: the ankles are level where their heights differ by less than this share of the
            person's apparent height. Half a step of 0.3 m that leads straight away from a camera at
            eye level makes about 0.05.
        tilted: largest l / L of a tilted limb; 0.8 are 37 degrees.
        focal: focal length / width of the crop. A crop is part of a photograph, whose focal length
            is about its own width: 1.5 is a crop of two thirds.
        loss_weight: factor.
    """

    def __init__(
        self,
        joint_set: str = 'mcpc16',
        level: float = 0.05,
        tilted: float = 0.8,
        focal: float = 1.5,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if not (level >= 0 and 0 < tilted <= 1 and focal > 0):
            raise ValueError(
                'level must not be negative, tilted lie in 0 to 1, focal be positive, got '
                f'{level}, {tilted}, {focal}'
            )
        self.level, self.tilted, self.focal = level, tilted, focal
        self.loss_weight = loss_weight
        joints = get_joint_set(joint_set)
        self.ankles = list(joints.ankles)
        # What foreshortening says of the trunk and the head is no better than "not tilted".
        limbs = [limb for limb in SEGMENTS if limb[0].startswith(('left_', 'right_'))]
        ends = [[joints.index(end) for end in limb[:2]] for limb in limbs]
        self.register_buffer('ends', torch.tensor(ends), persistent=False)
        self.register_buffer('shares', torch.tensor([limb[2] for limb in limbs]), persistent=False)

    def forward(
        self,
        scores: Tensor,
        temperature: Tensor,
        keypoints: Tensor,
        weights: Tensor,
        down: Tensor,
        width: float,
    ) -> Tensor:
        """Return the mean over the feet of a pair, then over the pairs that have any, plus the same
        of limbs, see :func:`mean_over_joints`.

        Args:
            scores: (B, P, K), larger is farther.
            temperature: (), positive.
            keypoints: (B, P, K, 2) px of the input.
            weights: (B, P, K), 0 for joints without a label.
            down: (B, P, 2), unit vector in the input that points down in the image, where the
                person is.
            width: of the input, px.
        """
        with torch.autocast(scores.device.type, enabled=False):
            scores, keypoints = scores.float(), keypoints.float().nan_to_num(0.0, 0.0, 0.0)
            labelled = weights > 0
            known = labelled[..., self.ends].all(-1)  # (B, P, L)
            first, second = keypoints[..., self.ends, :].unbind(-2)
            lengths = (first - second).norm(dim=-1)
            heights = (lengths / self.shares * known).amax(-1)  # (B, P)

            one, other = keypoints[..., self.ankles, :].unbind(-2)
            lower = ((one - other) * down.float()).sum(-1)  # of the first ankle, px
            sure = lower.abs() > (self.level * heights).clamp(min=torch.finfo(lower.dtype).tiny)
            sure &= labelled[..., self.ankles].all(-1) & (heights > 0)
            behind = scores[..., self.ankles[0]] - scores[..., self.ankles[1]]
            feet = F.softplus(behind / temperature * lower.sign())

            full = heights[..., None] * self.shares
            tilt = (full.square() - lengths.square()).clamp(min=0).sqrt()
            tilted = known & (lengths < self.tilted * full)
            first, second = scores[..., self.ends].unbind(-1)
            limbs = F.smooth_l1_loss(
                (first - second).abs(), tilt / (self.focal * width), reduction='none', beta=0.1
            )
            return self.loss_weight * (
                mean_over_joints(feet, sure.float())
                + mean_over_joints(limbs.flatten(1), tilted.flatten(1).float())
            )


@MODELS.register_module()
class Integral3DLoss(nn.Module):
    """L1 distance of expected and true positions, ``(|dx| + |dy| + m |dz|) / 3`` heatmap px (paper,
    Eq. 12).

    m is 0 for samples without depth. The paper sums the axes, PoseNet divides by 3, with or without
    depth, and the paper's learning rate belongs to PoseNet's; Eq. 12 as printed is
    ``loss_weight=3``.

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
        if average not in ('all', 'valid'):
            raise ValueError(f"average must be 'all' or 'valid', got {average!r}")
        self.average = average
        self.loss_weight = loss_weight

    def forward(
        self, output: Tensor, target: Tensor, weights: Tensor, depth_weights: Tensor
    ) -> Tensor:
        """Return the loss of a batch.

        Args:
            output: (B, K, 3), predicted.
            target: (B, K, 3), ground truth; anything where the weight is 0.
            weights: (B, K), 0 for joints without a label.
            depth_weights: (B, K), 0 where z has no label.

        Raises:
            ValueError: the shapes disagree.
        """
        _check_shapes(output=output, target=target)
        _check_shapes(output=output[..., 0], weights=weights, depth_weights=depth_weights)
        with torch.autocast(output.device.type, enabled=False):
            axes = axis_weights(weights, depth_weights).to(output)
            error = (output - target.to(output).where(axes > 0, output.detach())).abs()
            total = self.loss_weight * (error * axes).sum() / 3
            if self.average == 'all':
                return total / max(weights.numel(), 1)
            return total / rank_share((weights > 0).sum())


@MODELS.register_module()
class RootDepthLoss(Integral3DLoss):
    """``(|dx| + |dy| + m |dZ|) / 3`` of the root, mean over the batch: RootNet's.

    x and y are in heatmap px, Z in mm, so that depth outweighs the place by far; m is 0 for samples
    without depth. A root that is not supervised counts as an error of 0.

    Args:
        depth_unit: mm that weigh as much as one heatmap px. 1 is RootNet's; a larger unit leaves
            the place more of a short training.
        loss_weight: factor.

    Raises:
        ValueError: a unit that is not positive.
    """

    def __init__(self, depth_unit: float = 1.0, loss_weight: float = 1.0) -> None:
        super().__init__(average='all', loss_weight=loss_weight)
        if not depth_unit > 0:
            raise ValueError(f'depth_unit must be positive (mm), got {depth_unit}')
        self.depth_unit = depth_unit

    def forward(
        self,
        output: tuple[Tensor, Tensor],
        target: tuple[Tensor, Tensor],
        weights: Tensor,
        depth_weights: Tensor,
    ) -> Tensor:
        """Return the loss of a batch.

        Args:
            output, target: place (B, 1, 2) heatmap px and depth (B, 1) mm, predicted and true; the
                latter anything where the weight is 0.
            weights: (B, 1), 0 for a root without a label.
            depth_weights: (B, 1), 0 where Z has no label.

        Raises:
            ValueError: the shapes disagree.
        """
        output, target = (
            torch.cat([place, depth[..., None] / self.depth_unit], dim=-1)
            for place, depth in (output, target)
        )
        return super().forward(output, target, weights, depth_weights)


@MODELS.register_module()
class MarginalLoss(nn.Module):
    """Divergence of a 3D heatmap's three marginals from Gaussians around the joint.

    The L1 loss of an expectation pulls every pixel of a volume a little; from the uniform volume
    that a network starts with, that teaches nothing for long. This loss says where the mass
    belongs, as a 2D heatmap's loss does, and is cheap, since the marginals are there anyway. Not
    part of the paper: for short trainings, as a start or throughout. (Nibali et al., "Numerical
    coordinate regression" and "3D human pose estimation with 2D marginal heatmaps", regularise with
    the Jensen-Shannon divergence to Gaussians.)

    Args:
        sigma: standard deviation of the Gaussians, heatmap px.
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
            raise ValueError(f'sigma must be positive (heatmap px), got {sigma}')
        if divergence not in ('kl', 'js'):
            raise ValueError(f"divergence must be 'kl' or 'js', got {divergence!r}")
        self.sigma = sigma
        self.divergence = divergence
        self.loss_weight = loss_weight

    def forward(
        self,
        marginals: tuple[Tensor, Tensor, Tensor],
        target: Tensor,
        weights: Tensor,
        depth_weights: Tensor,
    ) -> Tensor:
        """Return the mean over the labelled axes of the joints of all ranks (:func:`rank_share`).

        Args:
            marginals: (B, K, w), (B, K, h), (B, K, d), each summing to 1.
            target: (B, K, 3) heatmap px; anything where the weight is 0.
            weights: (B, K), 0 for joints without a label.
            depth_weights: (B, K), 0 where z has no label.
        """
        with torch.autocast(weights.device.type, enabled=False):
            axes = axis_weights(weights, depth_weights).to(marginals[0])
            target = target.to(axes).where(axes > 0, 0.0)
            values = [
                self._divergence(marginal, target[..., axis])
                for axis, marginal in enumerate(marginals)
            ]
            total = (torch.stack(values, dim=-1) * axes).sum()
            return self.loss_weight * total / rank_share(axes.sum())

    def _divergence(self, marginal: Tensor, target: Tensor) -> Tensor:
        """Divergence along one axis: (B, K, size) and (B, K) heatmap px to (B, K)."""
        index = torch.arange(marginal.shape[-1], dtype=marginal.dtype, device=marginal.device)
        wanted = (-0.5 * ((index - target[..., None]) / self.sigma) ** 2).softmax(-1)
        if self.divergence == 'kl':
            return _kullback_leibler(wanted, marginal)
        middle = (wanted + marginal) / 2
        return (_kullback_leibler(wanted, middle) + _kullback_leibler(marginal, middle)) / 2


def _kullback_leibler(p: Tensor, q: Tensor) -> Tensor:
    """KL(p || q) over the last axis."""
    return (p * ((p + _TINY).log() - (q + _TINY).log())).sum(-1)


def _check_shapes(**tensors: Tensor) -> None:
    """Raise a ValueError if the tensors' shapes differ."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(
            f'{shapes} do not fit together: do the codec, the head and the data set use the same '
            'joint set?'
        )
