# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.structures import InstanceData
from mmpose.models.heads import HeatmapHead
from mmpose.registry import MODELS
from torch import Tensor, nn

import wsp_mm.models.losses.root_depth_loss  # noqa: F401  (registers the loss)
from wsp_mm.models.heads.soft_argmax import soft_argmax

_LABELS = ('root_cells', 'root_depths', 'root_weights', 'depth_weights', 'root_priors')


@MODELS.register_module()
class RootDepthHead(HeatmapHead):
    """A person's root joint: its place in the crop, and its distance from the camera (RootNet's
    head).

    Note:
        - B batch size, C channels and h' x w' cells of the backbone's last feature map, w x h cells
          of the map
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

        - keypoints (1, 1, 2): the root, input px (the estimator maps it to picture px)
        - keypoint_scores (1, 1): 1; an expectation has no peak whose height could serve
        - root_gamma (1,)
        - root_depth (1,): mm. Only where the sample's metainfo has ``root_k``, so a camera

    Args:
        in_channels: channels of the backbone's last feature map.
        heatmap_size: (w, h) cells, what the deconvolutions give.
        deconv_out_channels: channels of each deconvolution (each doubles the resolution); () for
            none.
        deconv_kernel_sizes: kernel size of each deconvolution: 4, 3 or 2.
        loss: config of the loss, by default :class:`RootDepthLoss`.
        logit_scale: factor of the logits, the inverse of the softmax's temperature; see
            :class:`Integral3DHead`. 1 is RootNet's.
        decoder: config of the codec (:class:`RootDepthLabel`); without it the head trains but
            cannot predict.
        init_cfg: initialisation, by default MMPose's for heatmap heads, N(0, 0.001), but for
            gamma's.

    Raises:
        ValueError: an argument outside its range, or a decoder that does not fit.
    """

    def __init__(
        self,
        in_channels: int,
        heatmap_size: tuple[int, int] = (64, 64),
        deconv_out_channels: Sequence[int] = (256, 256, 256),
        deconv_kernel_sizes: Sequence[int] = (4, 4, 4),
        loss: dict | None = None,
        logit_scale: float = 1.0,
        decoder: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        if len(heatmap_size) != 2 or min(heatmap_size) < 1:
            raise ValueError(f'heatmap_size must be (w, h) cells, got {heatmap_size}')
        if not (np.isfinite(logit_scale) and logit_scale > 0):
            raise ValueError(f'logit_scale must be positive, got {logit_scale}')
        super().__init__(
            in_channels=in_channels,
            out_channels=1,
            deconv_out_channels=deconv_out_channels,
            deconv_kernel_sizes=deconv_kernel_sizes,
            loss=loss or dict(type='RootDepthLoss'),
            decoder=decoder,
            init_cfg=init_cfg,
        )
        if self.decoder is not None and tuple(self.decoder.heatmap_size) != tuple(heatmap_size):
            raise ValueError(
                f'the head has heatmap_size={tuple(heatmap_size)}, its decoder '
                f'{tuple(self.decoder.heatmap_size)}: set both alike'
            )
        self.heatmap_size = tuple(heatmap_size)
        self.logit_scale = float(logit_scale)
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
        """The root's place and gamma; no data samples needed (``mode='tensor'`` of the estimator).

        Args:
            feats: feature maps of the backbone; the last is used, (B, C, h', w').

        Returns:
            (B, 2) cells and (B,), float32.

        Raises:
            ValueError: the network does not give a map of ``heatmap_size``.
        """
        logits = self.final_layer(self.deconv_layers(feats[-1]))
        if logits.shape[:1:-1] != self.heatmap_size:
            raise ValueError(
                f'the head was told heatmap_size={self.heatmap_size}, but a feature map of '
                f'{tuple(feats[-1].shape[:1:-1])} and its deconvolutions give {tuple(logits.shape[:1:-1])} '
                '(w, h): set heatmap_size of head and codec, or deconv_out_channels, accordingly'
            )
        cells = soft_argmax(self.logit_scale * logits, 1)[:, 0, :2]
        with torch.autocast(logits.device.type, enabled=False):
            dtype, layer = cells.dtype, self.gamma_layer
            pooled = feats[-1].to(dtype).mean((2, 3), keepdim=True)
            gamma = F.conv2d(pooled, layer.weight.to(dtype), layer.bias.to(dtype))
        return cells, gamma.flatten()

    # ------------------------------------------------------------------ training

    def loss(
        self, feats: Sequence[Tensor], batch_data_samples: list, train_cfg: dict | None = None
    ) -> dict:
        """Loss of a batch.

        Args:
            feats: feature maps of the backbone.
            batch_data_samples: each with ``gt_instance_labels`` as :class:`RootDepthLabel` makes
                them.
            train_cfg: not used; part of MMPose's interface.

        Returns:
            ``loss_root`` and, for the log, mean absolute errors where labelled: ``err_xy`` cells,
            ``err_z`` mm, and ``err_z_prior`` mm, that of k alone.
        """
        cells, gamma = self.forward(feats)
        labels = [sample.gt_instance_labels for sample in batch_data_samples]
        place, depth, weights, depth_weights, prior = (
            torch.cat([label[key] for label in labels]).to(cells) for key in _LABELS
        )
        predicted = gamma * prior
        losses = dict(
            loss_root=self.loss_module(cells, predicted, place, depth, weights, depth_weights)
        )
        with torch.no_grad():
            deep = weights * depth_weights
            losses['err_xy'] = (
                (cells - place).abs().mean(1) * weights
            ).sum() / weights.sum().clamp(min=1)
            for name, value in (('err_z', predicted), ('err_z_prior', prior)):
                losses[name] = ((value - depth).abs() * deep).sum() / deep.sum().clamp(min=1)
        return losses

    # ------------------------------------------------------------------ prediction

    def predict(
        self, feats: Sequence[Tensor], batch_data_samples: list, test_cfg: dict | None = None
    ) -> list[InstanceData]:
        """Root of one person a sample, see the class.

        Args:
            feats: feature maps of the backbone.
            batch_data_samples: with metainfo ``root_k`` (mm) where a camera is known.
            test_cfg: of the estimator; ``flip_test`` must be off, as in RootNet.

        Raises:
            RuntimeError: the head has no decoder.
            ValueError: a ``test_cfg`` that this head cannot serve.
        """
        test_cfg = test_cfg or {}
        if self.decoder is None:
            raise RuntimeError(
                'RootDepthHead cannot predict without a decoder: set head.decoder to the codec'
            )
        for name in ('flip_test', 'output_heatmaps'):
            if test_cfg.get(name, False):
                raise ValueError(f'test_cfg.{name}: RootDepthHead has none; remove it')
        cells, gamma = (value.detach().cpu().numpy() for value in self.forward(feats))
        predictions = []
        for place, factor, sample in zip(
            self.decoder.decode(cells), gamma, batch_data_samples, strict=True
        ):
            instance = InstanceData(
                keypoints=place[None, None],
                keypoint_scores=np.ones((1, 1), dtype=np.float32),
                root_gamma=factor[None].astype(np.float32),
            )
            prior = float(np.asarray(sample.metainfo.get('root_k', np.nan)).reshape(()))
            if np.isfinite(prior):
                instance.root_depth = (instance.root_gamma * prior).astype(np.float32)
            predictions.append(instance)
        return predictions
