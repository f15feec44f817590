# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.structures import InstanceData
from mmpose.registry import MODELS
from torch import Tensor, nn

from wsp_mm.models.deconv_head import DeconvHead, batch_labels, masked_mean
from wsp_mm.models.ops.soft_argmax import soft_argmax


@MODELS.register_module()
class RootDepthHead(DeconvHead):
    """A person's root joint: its place in the crop, and its distance from the camera (RootNet's
    head).

    Note:
        - B batch size, C channels and h' x w' px of the backbone's last feature map, w x h px of
          the heatmap
        - k: the distance that the box alone gives, mm (:class:`RootDepthPrior`)

    Deconvolutions and a 1x1 convolution give one map, whose expectation under the softmax is the
    root's place. The features' mean over the crop gives gamma by another 1x1 convolution, and the
    depth is gamma * k: the network never sees the camera, and corrects what the box's size cannot
    know (posture, height, truncation).

    gamma is linear, and starts with weights 0 and bias 1: an untrained network answers k, exactly.
    A small random start would add noise of some per cent of several metres, for nothing: one output
    has no symmetry to break, and its weights get their gradients from the features at once. It is
    computed in float32 whatever the precision of the rest: 8 bits of bfloat16 are 20 mm at 5 m.

    Predictions (one ``InstanceData`` of length 1 a sample, numpy float32):

        - keypoints (1, 1, 2): the root, input px (the estimator maps it to image px)
        - keypoint_scores (1, 1): 1; an expectation has no peak whose height could serve
        - root_gamma (1,)
        - root_depth (1,): mm. Only where the sample's metainfo has ``root_k``, so a camera

    Args:
        in_channels: channels of the backbone's last feature map.
        loss: config of the loss, by default :class:`RootDepthLoss`.
        logit_scale: factor of the logits, the inverse of the softmax's temperature; see
            :class:`Integral3DHead`. 1 is RootNet's.
        **kwargs: of :class:`DeconvHead`; ``decoder`` is a :class:`RootDepthLabel`. ``init_cfg`` is
            by default MMPose's for heatmap heads, N(0, 0.001), but for gamma's.

    Raises:
        ValueError: an argument outside its range.
    """

    def __init__(
        self,
        in_channels: int,
        loss: dict | None = None,
        logit_scale: float = 1.0,
        **kwargs,
    ) -> None:
        if not 0 < logit_scale < torch.inf:
            raise ValueError(f'logit_scale must be positive, got {logit_scale}')
        super().__init__(in_channels, 1, loss=loss or dict(type='RootDepthLoss'), **kwargs)
        self.logit_scale = logit_scale
        self.gamma_layer = nn.Conv2d(in_channels, 1, kernel_size=1)
        nn.init.zeros_(self.gamma_layer.weight)
        nn.init.ones_(self.gamma_layer.bias)

    @property
    def default_init_cfg(self) -> list[dict]:
        """MMPose's, with gamma's layer at 0 and 1."""
        first, *rest = super().default_init_cfg
        gamma = dict(type='Constant', name='gamma_layer', val=0.0, bias=1.0)
        return [dict(first, override=gamma), *rest]

    # ------------------------------------------------------------------ network

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the root's place, (B, 1, 2) heatmap px, and gamma, (B, 1), both float32.

        Args:
            feats: feature maps of the backbone; the last is used, (B, C, h', w').
        """
        logits = self.final_layer(self.features(feats))
        place = soft_argmax(self.logit_scale * logits, 1)[..., :2]
        with torch.autocast(logits.device.type, enabled=False):
            pooled = feats[-1].to(place.dtype).mean((2, 3), keepdim=True)
            weight, bias = (value.to(place.dtype) for value in self.gamma_layer.parameters())
            return place, F.conv2d(pooled, weight, bias)[..., 0, 0]

    # ------------------------------------------------------------------ training

    def loss(
        self, feats: Sequence[Tensor], batch_data_samples: list, train_cfg: dict | None = None
    ) -> dict:
        """Return the loss of a batch.

        Args:
            feats: feature maps of the backbone.
            batch_data_samples: each with ``gt_instance_labels`` as :class:`RootDepthLabel` makes
                them.
            train_cfg: not used; part of MMPose's interface.

        Returns:
            ``loss_root`` and, for the log, mean absolute errors where labelled: ``err_xy`` heatmap
            px, ``err_z`` mm, and ``err_z_prior`` mm, that of k alone.
        """
        place, gamma = self.forward(feats)
        labels = batch_labels(batch_data_samples)
        depth, weights = gamma * labels.root_priors, labels.keypoint_weights
        true = labels.keypoint_labels, labels.root_depths
        losses = dict(
            loss_root=self.loss_module((place, depth), true, weights, labels.depth_weights)
        )
        with torch.no_grad():
            deep = weights * labels.depth_weights
            losses['err_xy'] = masked_mean((place - true[0]).abs().mean(-1), weights)
            losses['err_z'] = masked_mean((depth - true[1]).abs(), deep)
            losses['err_z_prior'] = masked_mean((labels.root_priors - true[1]).abs(), deep)
        return losses

    # ------------------------------------------------------------------ prediction

    def predict(
        self, feats: Sequence[Tensor], batch_data_samples: list, test_cfg: dict | None = None
    ) -> list[InstanceData]:
        """Return the root of one person a sample, see the class.

        Args:
            feats: feature maps of the backbone.
            batch_data_samples: with metainfo ``root_k`` (mm) where a camera is known.
            test_cfg: of the estimator; ``flip_test`` must be off, as in RootNet.

        Raises:
            ValueError: a ``test_cfg`` option that does not fit this head.
        """
        for name in ('flip_test', 'output_heatmaps'):
            if (test_cfg or {}).get(name, False):
                raise ValueError(f'test_cfg.{name}: RootDepthHead has none; remove it')
        place, gamma = self.forward(feats)
        preds = self.decode(place)
        for pred, factor, sample in zip(
            preds, gamma.detach().cpu().numpy(), batch_data_samples, strict=True
        ):
            pred.root_gamma = factor.astype(np.float32)
            prior = np.float32(sample.metainfo.get('root_k', np.nan)).reshape(1)
            if np.isfinite(prior).all():
                pred.root_depth = pred.root_gamma * prior
        return preds
