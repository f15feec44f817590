# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.logging import MessageHub
from mmengine.structures import InstanceData
from mmpose.models.heads import HeatmapHead
from mmpose.registry import MODELS
from torch import Tensor

import wsp_mm.models.losses.integral_3d_loss
import wsp_mm.models.losses.marginal_loss  # noqa: F401  (registers the losses)
from wsp_mm.models.heads.soft_argmax import Marginals, expectation, softmax_marginals

FLIP_MODES = ('exact', 'posenet')


@MODELS.register_module()
class Integral3DHead(HeatmapHead):
    """3D heatmaps and their expectation (paper, section 3.5, Eq. 11; 3DMPPE PoseNet's head).

    Note:
        - B batch size, K joints, w x h x d cells of a joint's volume
        - cells: (x, y, z) of the volume, counted from 0; input px: pixels of the network's input,
          the crop

    Deconvolutions and a 1x1 convolution turn the backbone's last feature map into K volumes
    (channel k * d + i is layer i of joint k); a joint's position is the expectation under the
    softmax over its whole volume. For speed and memory see :mod:`wsp_mm.models.heads.soft_argmax`.

    Predictions (one ``InstanceData`` of length 1 a sample, numpy float32):

        - keypoints (1, K, 2): input px (the estimator maps them to picture px)
        - keypoint_scores (1, K): 1; an expectation has no peak whose height could serve
        - keypoints_cells (1, K, 3): cells
        - keypoints_depth (1, K): mm relative to the root, away from the camera

    Args:
        in_channels: channels of the backbone's last feature map.
        out_channels: number of joints K.
        heatmap_size: (w, h, d) cells. w and h must be what the deconvolutions give.
        deconv_out_channels: channels of each deconvolution (each doubles the resolution); () for
            none.
        deconv_kernel_sizes: kernel size of each deconvolution: 4, 3 or 2.
        loss: config of the loss of the positions, called with (cells, targets, weights, depth
            weights).
        marginal_loss: config of an additional loss of the heatmaps' marginals
            (:class:`MarginalLoss`), which gets short trainings going. None, the paper's and
            PoseNet's way, for none.
        marginal_iterations: the additional loss is 0 from this iteration of the run on; None:
            throughout. Outside a runner, calls of :meth:`loss` are counted.
        logit_scale: factor of the logits, the inverse of the softmax's temperature. Fixed: the last
            convolution can learn any factor itself, so a learnable one would add nothing that the
            head could not express, but another weight in every checkpoint. What a fixed one changes
            is how far a step of the optimizer moves the logits. 1 is the paper's and PoseNet's.
        plain_softmax: use PyTorch's own softmax on whole volumes: slower, more memory, can be
            exported.
        decoder: config of the codec (:class:`Integral3DLabel`); without it the head trains but
            cannot predict.
        init_cfg: initialisation, by default MMPose's for heatmap heads, which is PoseNet's: N(0,
            0.001).

    Raises:
        ValueError: an argument outside its range, or a decoder that does not fit.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 18,
        heatmap_size: tuple[int, int, int] = (64, 64, 64),
        deconv_out_channels: Sequence[int] = (256, 256, 256),
        deconv_kernel_sizes: Sequence[int] = (4, 4, 4),
        loss: dict | None = None,
        marginal_loss: dict | None = None,
        marginal_iterations: int | None = None,
        logit_scale: float = 1.0,
        plain_softmax: bool = False,
        decoder: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        if len(heatmap_size) != 3 or min(heatmap_size) < 1:
            raise ValueError(f'heatmap_size must be (w, h, d) cells, got {heatmap_size}')
        if not (np.isfinite(logit_scale) and logit_scale > 0):
            raise ValueError(f'logit_scale must be positive, got {logit_scale}')
        if marginal_iterations is not None and (marginal_loss is None or marginal_iterations < 0):
            raise ValueError(
                f'marginal_iterations={marginal_iterations} limits the marginal_loss, which is {marginal_loss}'
            )
        super().__init__(
            in_channels=in_channels,
            out_channels=out_channels * heatmap_size[2],
            deconv_out_channels=deconv_out_channels,
            deconv_kernel_sizes=deconv_kernel_sizes,
            loss=loss or dict(type='Integral3DLoss'),
            decoder=decoder,
            init_cfg=init_cfg,
        )
        if self.decoder is not None and tuple(self.decoder.heatmap_size) != tuple(heatmap_size):
            raise ValueError(
                f'the head has heatmap_size={tuple(heatmap_size)}, its decoder '
                f'{tuple(self.decoder.heatmap_size)}: set both alike'
            )
        self.marginal_loss_module = MODELS.build(marginal_loss) if marginal_loss else None
        self.marginal_iterations = marginal_iterations
        self.num_joints = out_channels
        self.heatmap_size = tuple(heatmap_size)
        self.logit_scale = logit_scale
        self.plain_softmax = plain_softmax
        self._calls = 0

    # ------------------------------------------------------------------ network

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        """Expected positions; no data samples needed (``mode='tensor'`` of the estimator).

        Args:
            feats: feature maps of the backbone; the last is used, (B, in_channels, h', w').

        Returns:
            (B, K, 3) cells, float32.
        """
        return expectation(self.marginals(feats))

    def marginals(self, feats: Sequence[Tensor]) -> Marginals:
        """Marginals of every joint's probability: (B, K, w), (B, K, h), (B, K, d), float32.

        Raises:
            ValueError: the network does not give maps of ``heatmap_size``.
        """
        features = self.deconv_layers(feats[-1])
        if features.shape[:1:-1] != self.heatmap_size[:2]:
            raise ValueError(
                f'the head was told heatmap_size={self.heatmap_size}, but a feature map of '
                f'{tuple(feats[-1].shape[:1:-1])} and its deconvolutions give {tuple(features.shape[:1:-1])} '
                '(w, h): set heatmap_size of head and codec, or deconv_out_channels, accordingly'
            )
        if self.logit_scale == 1:
            logits = self.final_layer(features)
        else:  # scaling the few weights does what scaling the volumes would, without copying those
            layer = self.final_layer
            logits = F.conv2d(
                features, self.logit_scale * layer.weight, self.logit_scale * layer.bias
            )
        return softmax_marginals(logits, self.num_joints, self.plain_softmax)

    # ------------------------------------------------------------------ training

    def loss(
        self, feats: Sequence[Tensor], batch_data_samples: list, train_cfg: dict | None = None
    ) -> dict:
        """Losses of a batch (Eq. 12).

        Args:
            feats: feature maps of the backbone.
            batch_data_samples: each with ``gt_instance_labels`` as :class:`Integral3DLabel` makes
                them: ``keypoint_labels (1, K, 3)`` cells, ``keypoint_weights (1, K)``,
                ``depth_weights (1, K)``.
            train_cfg: not used; part of MMPose's interface.

        Returns:
            ``loss_kpt``, with a ``marginal_loss`` also ``loss_marginal``, and, for the log,
            ``err_xy`` and ``err_z``: mean absolute errors of the labelled coordinates, cells.
        """
        marginals = self.marginals(feats)
        cells = expectation(marginals)
        labels = [sample.gt_instance_labels for sample in batch_data_samples]
        targets, weights, depth_weights = (
            torch.cat([label[key] for label in labels]).to(cells)
            for key in ('keypoint_labels', 'keypoint_weights', 'depth_weights')
        )
        losses = dict(loss_kpt=self.loss_module(cells, targets, weights, depth_weights))
        if self.marginal_loss_module is not None:
            if self._in_warm_up():
                value = self.marginal_loss_module(marginals, targets, weights, depth_weights)
            else:
                value = cells.new_zeros(())
            losses['loss_marginal'] = value
        with torch.no_grad():
            # Masked sums: picking out the labelled ones would wait for the device to count them.
            # Where there is no label the target may be anything, nan too.
            plane, depth = weights > 0, (weights * depth_weights) > 0
            error = (cells - targets).abs()
            off_plane, off_depth = error[..., :2].sum(-1), error[..., 2]
            losses['err_xy'] = off_plane.masked_fill(~plane, 0.0).sum() / (2 * plane.sum()).clamp(
                min=1
            )
            losses['err_z'] = off_depth.masked_fill(~depth, 0.0).sum() / depth.sum().clamp(min=1)
        return losses

    def _in_warm_up(self) -> bool:
        if self.marginal_iterations is None:
            return True
        iteration = MessageHub.get_current_instance().get_info('iter', default=None)
        if iteration is None:  # outside a Runner: count the calls
            iteration, self._calls = self._calls, self._calls + 1
        return int(iteration) < self.marginal_iterations

    # ------------------------------------------------------------------ prediction

    def predict(
        self,
        feats: Sequence[Tensor] | list[Sequence[Tensor]],
        batch_data_samples: list,
        test_cfg: dict | None = None,
    ) -> list[InstanceData]:
        """Positions of one person a sample, see the class.

        Args:
            feats: feature maps of the backbone; with ``flip_test`` a list of two, of the input and
                of the input mirrored.
            batch_data_samples: for ``flip_test`` with metainfo ``flip_indices``.
            test_cfg: ``flip_test``: average with the answer for the mirrored input. ``flip_mode``:
                how that answer's x is mirrored back. ``'exact'``, the default, undoes the pixels'
                flip (px x to W - 1 - x) in this grid: w - w / W - x cells. ``'posenet'`` takes w -
                1 - x cells as PoseNet does, which shifts the average by (1 - w / W) / 2 cells to
                the left: 0.375 at 256 px and 64 cells.

        Raises:
            RuntimeError: the head has no decoder.
            ValueError: a ``test_cfg`` option that does not fit this head.
        """
        test_cfg = test_cfg or {}
        self._check_test_cfg(test_cfg)
        if test_cfg.get('flip_test', False):
            plain, mirrored = feats
            indices = list(batch_data_samples[0].metainfo['flip_indices'])
            back = self.forward(mirrored)[:, indices]
            back[..., 0] = self._mirror_sum(test_cfg.get('flip_mode', 'exact')) - back[..., 0]
            cells = (self.forward(plain) + back) / 2
        else:
            cells = self.forward(feats)
        cells = cells.detach().cpu().numpy()
        positions = self.decoder.decode(cells).astype(np.float32)
        return [
            InstanceData(
                keypoints=position[None, :, :2].copy(),
                keypoint_scores=np.ones((1, self.num_joints), dtype=np.float32),
                keypoints_cells=cell[None],
                keypoints_depth=position[None, :, 2].copy(),
            )
            for position, cell in zip(positions, cells, strict=True)
        ]

    def _mirror_sum(self, flip_mode: str) -> float:
        """Sum of a position's x and its mirror image's x, cells."""
        width = self.heatmap_size[0]
        return width - (width / self.decoder.input_size[0] if flip_mode == 'exact' else 1)

    def _check_test_cfg(self, test_cfg: dict) -> None:
        if self.decoder is None:
            raise RuntimeError(
                'Integral3DHead cannot predict without a decoder: set head.decoder to the codec'
            )
        if test_cfg.get('flip_mode', 'exact') not in FLIP_MODES:
            raise ValueError(
                f'flip_mode must be one of {FLIP_MODES}, got {test_cfg["flip_mode"]!r}'
            )
        if test_cfg.get('output_heatmaps', False):
            raise ValueError(
                "output_heatmaps: a 3D heatmap does not fit MMPose's 2D fields; remove it"
            )
