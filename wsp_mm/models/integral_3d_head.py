# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.logging import MessageHub
from mmengine.structures import InstanceData
from mmpose.registry import KEYPOINT_CODECS, MODELS
from torch import Tensor

from wsp_mm.models.deconv_head import DeconvHead, batch_labels, masked_mean
from wsp_mm.models.ops.soft_argmax import Marginals, expectation, softmax_marginals


@MODELS.register_module()
class Integral3DHead(DeconvHead):
    """3D heatmaps and their expectation (paper, section 3.5, Eq. 11; 3DMPPE PoseNet's head).

    Note:
        - B batch size, K joints, a volume of w x h x d heatmap px a joint
        - heatmap px: (x, y, z) of the volume, counted from 0; input px: pixels of the network's
          input, the crop

    Deconvolutions and a 1x1 convolution turn the backbone's last feature map into K volumes
    (channel k * d + i is layer i of joint k); a joint's position is the expectation under the
    softmax over its whole volume, see :mod:`wsp_mm.models.ops.soft_argmax`.

    Predictions (one ``InstanceData`` of length 1 a sample, numpy float32):

        - keypoints (1, K, 2): input px (the estimator maps them to image px)
        - keypoint_scores (1, K): 1; an expectation has no peak whose height could serve
        - keypoints_heatmap (1, K, 3): heatmap px
        - keypoints_depth (1, K): mm relative to the root, away from the camera

    Args:
        in_channels: channels of the backbone's last feature map.
        out_channels: number of joints K.
        loss: config of the loss of the positions, called with (positions, targets, weights, depth
            weights).
        marginal_loss: config of an additional loss of the heatmaps' marginals
            (:class:`MarginalLoss`), which gets short trainings going. None, the paper's and
            PoseNet's way, for none.
        marginal_iterations: the additional loss is 0 from this iteration of the run on; None:
            throughout.
        logit_scale: factor of the logits, the inverse of the softmax's temperature. Fixed: the last
            convolution can learn any factor itself, so a learnable one would add nothing that the
            head could not express, but another weight in every checkpoint. What a fixed one changes
            is how far a step of the optimizer moves the logits. 1 is the paper's and PoseNet's.
        plain_softmax: use PyTorch's own softmax on whole volumes: slower, more memory, can be
            exported.
        decoder: config of the codec, :class:`Integral3DLabel`.
        **kwargs: of :class:`DeconvHead`.

    Raises:
        ValueError: an argument outside its range.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 18,
        loss: dict | None = None,
        marginal_loss: dict | None = None,
        marginal_iterations: int | None = None,
        logit_scale: float = 1.0,
        plain_softmax: bool = False,
        *,
        decoder: dict,
        **kwargs,
    ) -> None:
        if not 0 < logit_scale < torch.inf:
            raise ValueError(f'logit_scale must be positive, got {logit_scale}')
        if marginal_iterations is not None and (marginal_loss is None or marginal_iterations < 0):
            raise ValueError(
                f'marginal_iterations={marginal_iterations} limits the marginal_loss, which is '
                f'{marginal_loss}'
            )
        layers = KEYPOINT_CODECS.build(decoder).heatmap_size[2]
        loss = loss or dict(type='Integral3DLoss')
        super().__init__(in_channels, out_channels * layers, loss=loss, decoder=decoder, **kwargs)
        self.marginal_loss_module = MODELS.build(marginal_loss) if marginal_loss else None
        self.marginal_iterations = marginal_iterations
        self.num_joints = out_channels
        self.logit_scale = logit_scale
        self.plain_softmax = plain_softmax

    # ------------------------------------------------------------------ network

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        """Return the expected positions, (B, K, 3) heatmap px, float32.

        Args:
            feats: feature maps of the backbone; the last is used, (B, in_channels, h', w').
        """
        return expectation(self.marginals(feats))

    def marginals(self, feats: Sequence[Tensor]) -> Marginals:
        """Return the marginals of every joint's probability: (B, K, w), (B, K, h), (B, K, d),
        float32.
        """
        # Scaling the few weights does what scaling the volumes would, without copying those.
        weight, bias = (self.logit_scale * value for value in self.final_layer.parameters())
        logits = F.conv2d(self.features(feats), weight, bias)
        return softmax_marginals(logits, self.num_joints, self.plain_softmax)

    # ------------------------------------------------------------------ training

    def loss(
        self, feats: Sequence[Tensor], batch_data_samples: list, train_cfg: dict | None = None
    ) -> dict:
        """Return the losses of a batch (Eq. 12).

        Args:
            feats: feature maps of the backbone.
            batch_data_samples: each with ``gt_instance_labels`` as :class:`Integral3DLabel` makes
                them.
            train_cfg: not used; part of MMPose's interface.

        Returns:
            ``loss_kpt``, with a ``marginal_loss`` also ``loss_marginal``, and, for the log,
            ``err_xy`` and ``err_z``: mean absolute errors of the labelled coordinates, heatmap px.
        """
        labels = batch_labels(batch_data_samples)
        targets = labels.keypoint_labels, labels.keypoint_weights, labels.depth_weights
        marginals = self.marginals(feats)
        positions = expectation(marginals)
        losses = dict(loss_kpt=self.loss_module(positions, *targets))
        if self.marginal_loss_module is not None:
            losses['loss_marginal'] = (
                self.marginal_loss_module(marginals, *targets)
                if self._in_warm_up()
                else positions.new_zeros(())
            )
        with torch.no_grad():
            error = (positions - labels.keypoint_labels).abs()
            deep = labels.keypoint_weights * labels.depth_weights
            losses['err_xy'] = masked_mean(error[..., :2].mean(-1), labels.keypoint_weights)
            losses['err_z'] = masked_mean(error[..., 2], deep)
        return losses

    def _in_warm_up(self) -> bool:
        if self.marginal_iterations is None:
            return True
        iteration = MessageHub.get_current_instance().get_info('iter', default=0)
        return iteration < self.marginal_iterations

    # ------------------------------------------------------------------ prediction

    def predict(
        self,
        feats: Sequence[Tensor] | list[Sequence[Tensor]],
        batch_data_samples: list,
        test_cfg: dict | None = None,
    ) -> list[InstanceData]:
        """Return the positions of one person a sample, see the class.

        Args:
            feats: feature maps of the backbone; with ``flip_test`` a list of two, of the input and
                of the input mirrored.
            batch_data_samples: for ``flip_test`` with metainfo ``flip_indices``.
            test_cfg: ``flip_test``: average with the answer for the mirrored input. ``flip_mode``:
                how that answer's x is mirrored back. ``'exact'``, the default, undoes the pixels'
                flip (input px x to W - 1 - x) in this grid: w - w / W - x heatmap px. ``'posenet'``
                takes w - 1 - x heatmap px as PoseNet does, which shifts the average by
                (1 - w / W) / 2 heatmap px to the left: 0.375 at 256 px and heatmaps of 64.

        Raises:
            ValueError: a ``test_cfg`` option that does not fit this head.
        """
        test_cfg = test_cfg or {}
        flip_mode = test_cfg.get('flip_mode', 'exact')
        if flip_mode not in ('exact', 'posenet'):
            raise ValueError(f"flip_mode must be 'exact' or 'posenet', got {flip_mode!r}")
        if test_cfg.get('output_heatmaps', False):
            raise ValueError("output_heatmaps: 3D heatmaps do not fit MMPose's fields; remove it")
        flipped = test_cfg.get('flip_test', False)
        flip_indices = batch_data_samples[0].metainfo['flip_indices'] if flipped else None
        positions = self.positions(feats, flip_indices, flip_mode)
        preds = self.decode(positions)
        for pred, position in zip(preds, positions.detach().cpu().numpy(), strict=True):
            keypoints = pred.keypoints.astype('float32')
            pred.keypoints = keypoints[..., :2].copy()
            pred.keypoints_depth = keypoints[..., 2].copy()
            pred.keypoints_heatmap = position[None]
        return preds

    def positions(
        self,
        feats: Sequence[Tensor] | list[Sequence[Tensor]],
        flip_indices: Sequence[int] | None = None,
        flip_mode: str = 'exact',
    ) -> Tensor:
        """Return the positions that :meth:`predict` reports, (B, K, 3) heatmap px.

        Args:
            feats: feature maps of the backbone; with ``flip_indices`` a list of two, of the input
                and of the input mirrored, whose answers are averaged.
            flip_indices: of every joint the index of its mirror image.
            flip_mode: see :meth:`predict`.
        """
        if flip_indices is None:
            return self.forward(feats)
        width, input_width = self.decoder.heatmap_size[0], self.decoder.input_size[0]
        last = width - (width / input_width if flip_mode == 'exact' else 1)
        mirrored = self.forward(feats[1])[:, list(flip_indices)]
        mirrored[..., 0] = last - mirrored[..., 0]
        return (self.forward(feats[0]) + mirrored) / 2
