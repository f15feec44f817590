# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from collections.abc import Sequence

import torch
from mmengine.structures import InstanceData, PixelData
from mmpose.models.utils.tta import flip_heatmaps
from mmpose.registry import MODELS
from torch import Tensor, nn

from wsp_mm.models.deconv_head import DeconvHead, batch_labels
from wsp_mm.models.ops.masked_pooling import POOLINGS, heatmaps_and_pooling, masked_pooling


@MODELS.register_module()
class RelativeDepthHead(DeconvHead):
    """2D heatmaps of two persons and, joint by joint, which of the two is nearer (paper, section
    3.4).

    Note:
        - B batch size, K joints, D channels of the last deconvolution, heatmaps of h x w px
        - C heatmap channels: K, shared by both persons, or 2K with ``person_channels`` (A's K, then
          B's K)
        - input px: pixels of the network's input, the crop

    The deconvolutions give the deep features F_d, a 1x1 convolution on them the heatmaps, which are
    also the masks of Eq. 5. F_d times a joint's mask is pooled within each person's box, A's and
    B's vectors are concatenated and two fully connected layers, shared by all joints, answer with
    the logit of "A is nearer" (Eq. 6).

    Predictions (one ``InstanceData`` of length 1 a sample, numpy):

        - keypoints (1, 2, K, 2): both persons' joints, input px (the estimator maps them to image
          px)
        - keypoint_scores (1, 2, K)
        - depth_probs (1, K): probability that joint k of person A is nearer than that of B, f(A, B)
          on the input as it is
        - pair_probs (1,): mean of ``depth_probs`` over ``pair_joints``
        - depth_probs_averaged, pair_probs_averaged: the same averaged, with ``symmetric`` over both
          orders of the persons, with ``flip_test`` over the input and its mirror image; where
          either is on

    Args:
        in_channels: channels of the backbone's last feature map.
        out_channels: number of joints K.
        depth_hidden: width of the hidden fully connected layer.
        num_sampled_joints: N of section 3.4.1: the loss looks at N joints a pair and iteration,
            drawn among those labelled in both persons by the codec's ``joint_order``. None takes
            all.
        alpha: weight of the relative-depth loss (Eq. 8). 0 learns heatmaps alone: the depth branch
            then stays at its initialisation, and what it predicts means nothing.
        pooling: ``mean``, ``sum``, ``max`` or ``normalized``, see :func:`masked_pooling`.
        mask: ``predicted`` filters with the predicted heatmaps; ``target`` with the ground truth in
            training (prediction always uses the predicted ones).
        detach_mask: stop the gradient of the relative-depth loss at the mask.
        person_channels: one set of heatmap channels a person instead of a shared one.
        symmetric: predict the average of f(A, B) and 1 - f(B, A), too, in which swapping the
            persons turns every probability p into 1 - p. Training is the same either way.
        pair_joints: indices of the joints whose mean is the pair's answer; None: of all. Leave out
            joints that the training data never label: their answers mean nothing.
        heatmap_loss: config of the heatmap loss, called with (heatmaps, targets, weights).
        depth_loss: config of the relative-depth loss, called with (logits, labels, weights).
        **kwargs: of :class:`DeconvHead`; ``decoder`` is a :class:`PairHeatmapLabel`.

    Raises:
        ValueError: an argument outside its range.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 16,
        depth_hidden: int = 256,
        num_sampled_joints: int | None = 8,
        alpha: float = 50.0,
        pooling: str = 'mean',
        mask: str = 'predicted',
        detach_mask: bool = False,
        person_channels: bool = False,
        symmetric: bool = False,
        pair_joints: Sequence[int] | None = None,
        heatmap_loss: dict | None = None,
        depth_loss: dict | None = None,
        **kwargs,
    ) -> None:
        if pooling not in POOLINGS:
            raise ValueError(f'pooling must be one of {POOLINGS}, got {pooling!r}')
        if mask not in ('predicted', 'target'):
            raise ValueError(f"mask must be 'predicted' or 'target', got {mask!r}")
        if not 0 <= alpha < torch.inf:
            raise ValueError(f'alpha must be finite and not negative, got {alpha}')
        if num_sampled_joints is not None and not 1 <= num_sampled_joints <= out_channels:
            raise ValueError(
                f'num_sampled_joints must be None or 1 to {out_channels}, the number of joints, '
                f'got {num_sampled_joints}'
            )
        pair_joints = list(range(out_channels) if pair_joints is None else pair_joints)
        if not pair_joints or not set(pair_joints) <= set(range(out_channels)):
            raise ValueError(
                f'pair_joints must be indices of the {out_channels} joints, got {pair_joints}'
            )
        channels = 2 * out_channels if person_channels else out_channels
        heatmap_loss = heatmap_loss or dict(type='HeatmapL2Loss')
        super().__init__(in_channels, channels, loss=heatmap_loss, **kwargs)
        self.depth_loss_module = MODELS.build(depth_loss or dict(type='RelativeDepthLoss'))
        self.depth_hidden_layer = nn.Linear(2 * self.final_layer.in_channels, depth_hidden)
        self.depth_output_layer = nn.Linear(depth_hidden, 1)
        self.num_joints = out_channels
        self.num_sampled_joints = num_sampled_joints
        self.alpha = alpha
        self.pooling = pooling
        self.mask = mask
        self.detach_mask = detach_mask
        self.symmetric = symmetric
        self.pair_joints = pair_joints

    @property
    def default_init_cfg(self) -> list[dict]:
        """HeatmapHead's; the fully connected layers start near probability 1/2.

        A smaller start of the output layer would be nearer to 1/2, but then mean pooling, whose
        features are small, takes long to get going: 93 steps instead of 6 to fit 16 pairs at std
        0.01 and alpha 1.
        """
        output = dict(type='Normal', name='depth_output_layer', std=0.05)
        linear = dict(type='Kaiming', layer='Linear', nonlinearity='relu', override=output)
        return [*super().default_init_cfg, linear]

    # ------------------------------------------------------------------ network

    def forward(
        self, feats: Sequence[Tensor], boxes: Tensor | None = None, masks: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return heatmaps, and the joint features of both persons (Eq. 5).

        Args:
            feats: feature maps of the backbone; the last is used, (B, in_channels, h', w').
            boxes: (B, 2, 4), x1 y1 x2 y2 of both persons in input px. None, for the estimator's
                ``mode='tensor'``, takes the whole input for both.
            masks: (B, C, h, w) that filter the features; by default the heatmaps themselves.

        Returns:
            Heatmaps (B, C, h, w), and features (B, 2, K, D), in float32 also under mixed precision.
        """
        features = self.features(feats)
        if boxes is None:
            whole = features.new_tensor([0, 0, *self.decoder.input_size])
            boxes = whole.expand(len(features), 2, 4)
        inside = self.decoder.box_masks(boxes)
        if masks is None:
            return heatmaps_and_pooling(
                features, self.final_layer, inside, self.num_joints, self.pooling, self.detach_mask
            )
        masks = masks.unflatten(1, (-1, self.num_joints))
        return self.final_layer(features), masked_pooling(features, masks, inside, self.pooling)

    def depth_logits(self, pair_features: Tensor) -> Tensor:
        """Return logits of "A is nearer", joint by joint (Eq. 6): (B, 2, K, D) to (B, K), in
        float32.
        """
        with torch.autocast(pair_features.device.type, enabled=False):
            joined = torch.cat((pair_features[:, 0], pair_features[:, 1]), dim=-1)
            return self.depth_output_layer(self.depth_hidden_layer(joined).relu()).squeeze(-1)

    # ------------------------------------------------------------------ training

    def loss(
        self, feats: Sequence[Tensor], batch_data_samples: list, train_cfg: dict | None = None
    ) -> dict:
        """Return the losses of a batch (Eq. 8).

        Args:
            feats: feature maps of the backbone.
            batch_data_samples: each with ``gt_instance_labels`` as :class:`PairHeatmapLabel` makes
                them, and ``pair_bboxes_input (1, 2, 4)``, x1 y1 x2 y2 in input px.
            train_cfg: not used; part of MMPose's interface.

        Returns:
            ``loss_heatmap``, ``loss_depth`` (alpha included) and, for the log, ``acc_depth`` (share
            of the labelled joints judged rightly) and ``joints_drawn`` (joints a pair that the loss
            looked at).
        """
        labels = batch_labels(batch_data_samples)
        boxes = labels.pair_bboxes_input
        targets, weights = self._targets(labels)
        heatmaps, pair_features = self.forward(
            feats, boxes, targets if self.mask == 'target' else None
        )
        losses = dict(loss_heatmap=self.loss_module(heatmaps, targets, weights))

        logits = self.depth_logits(pair_features)
        # A person wholly outside the input has no features to judge by.
        seen = self.decoder.box_masks(boxes).any((-2, -1)).all(-1, keepdim=True)
        labelled = labels.depth_weights * seen
        drawn = labelled * self._draw(labelled > 0, labels.joint_order)
        losses['loss_depth'] = self.alpha * self.depth_loss_module(
            logits, labels.depth_labels, drawn
        )
        with torch.no_grad():
            right = ((logits >= 0) == (labels.depth_labels > 0.5)) & (labelled > 0)
            losses['acc_depth'] = right.sum() / (labelled > 0).sum().clamp(min=1)
            losses['joints_drawn'] = (drawn > 0).sum(1).float().mean()
        return losses

    @torch.no_grad()
    def _targets(self, labels: InstanceData) -> tuple[Tensor, Tensor]:
        """Return ground-truth heatmaps (B, C, h, w) and weights (B, C).

        On a map that both persons share, the larger of the two Gaussians; its weight is that of a
        joint labelled in either person.
        """
        targets, weights = self.decoder.heatmaps(labels.keypoint_labels, labels.keypoint_weights)
        if self.out_channels == self.num_joints:
            return targets.amax(1), weights.amax(1)
        return targets.flatten(1, 2), weights.flatten(1, 2)

    def _draw(self, valid: Tensor, order: Tensor) -> Tensor:
        """Return at most ``num_sampled_joints`` of the valid joints of each sample, those with the
        highest numbers: (B, K) bool and (B, K) to (B, K) bool.
        """
        if self.num_sampled_joints is None:
            return valid
        chosen = order.masked_fill(~valid, -1.0).topk(self.num_sampled_joints, dim=1).indices
        return torch.zeros_like(valid).scatter(1, chosen, True) & valid

    # ------------------------------------------------------------------ prediction

    def predict(
        self,
        feats: Sequence[Tensor] | list[Sequence[Tensor]],
        batch_data_samples: list,
        test_cfg: dict | None = None,
    ) -> list[InstanceData] | tuple[list[InstanceData], list[PixelData]]:
        """Return keypoints of both persons and who is nearer, from the image and the two boxes
        alone.

        Args:
            feats: feature maps of the backbone; with ``flip_test`` a list of two, of the input and
                of the input mirrored.
            batch_data_samples: each with ``gt_instance_labels.pair_bboxes_input (1, 2, 4)``, x1 y1
                x2 y2 in input px (and metainfo ``flip_indices`` for ``flip_test``).
            test_cfg: ``flip_test`` (heatmaps, and so keypoints, and the averaged probabilities),
                ``flip_mode`` (``'heatmap'`` only), ``shift_heatmap`` and ``output_heatmaps``, as in
                MMPose.

        Returns:
            One ``InstanceData`` a sample (see the class), and with ``output_heatmaps`` also one
            ``PixelData`` with ``heatmaps (C, h, w)``.

        Raises:
            ValueError: a ``test_cfg`` option that does not fit two persons.
        """
        test_cfg = test_cfg or {}
        if test_cfg.get('flip_mode', 'heatmap') != 'heatmap':
            raise ValueError(f"flip_mode must be 'heatmap', got {test_cfg['flip_mode']!r}")
        if test_cfg.get('output_keypoint_indices') is not None:
            raise ValueError(
                'output_keypoint_indices selects along the wrong axis for pairs: remove it'
            )
        boxes = batch_labels(batch_data_samples).pair_bboxes_input
        flipped = test_cfg.get('flip_test', False)
        flip_indices = batch_data_samples[0].metainfo['flip_indices'] if flipped else None
        heatmaps, probs, averaged = self.answers(
            feats, boxes, flip_indices, test_cfg.get('shift_heatmap', False)
        )
        preds = self.decode((heatmaps, boxes))
        for kind, values in (('', probs), ('_averaged', averaged)):
            if kind and values is probs:
                continue  # nothing is averaged
            for pred, prob in zip(preds, values.detach().cpu().numpy(), strict=True):
                pred.set_field(prob[None], f'depth_probs{kind}')
                pair = prob[self.pair_joints].mean(keepdims=True)
                pred.set_field(pair, f'pair_probs{kind}')
        if test_cfg.get('output_heatmaps', False):
            return preds, [PixelData(heatmaps=maps) for maps in heatmaps.detach().flatten(1, 2)]
        return preds

    def answers(
        self,
        feats: Sequence[Tensor] | list[Sequence[Tensor]],
        boxes: Tensor,
        flip_indices: Sequence[int] | None = None,
        shift_heatmap: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return what :meth:`predict` reports: heatmaps (B, 1 or 2, K, h, w), the probabilities
        (B, K) that A is nearer, and the averaged ones; the same tensor where nothing is averaged.

        Args:
            feats: feature maps of the backbone; with ``flip_indices`` a list of two, of the input
                and of the input mirrored.
            boxes: (B, 2, 4), x1 y1 x2 y2 in input px.
            flip_indices: of every joint the index of its mirror image.
            shift_heatmap: shift the mirrored heatmaps by one px, as MMPose.
        """
        if flip_indices is None:
            return self._predict(feats, boxes)
        flip_indices = list(flip_indices)
        heatmaps, probs, averaged = self._predict(feats[0], boxes)
        mirrored, _, mirrored_probs = self._predict(feats[1], self._mirrored(boxes))
        averaged = (averaged + mirrored_probs[:, flip_indices]) / 2
        mirrored = flip_heatmaps(mirrored.flatten(0, 1), flip_indices, shift_heatmap=shift_heatmap)
        return (heatmaps + mirrored.view_as(heatmaps)) / 2, probs, averaged

    def _predict(self, feats: Sequence[Tensor], boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return heatmaps (B, 1 or 2, K, h, w) of one pass, the probabilities (B, K) that A is
        nearer, and those averaged over both orders; without ``symmetric`` the same tensor.
        """
        heatmaps, pair_features = self.forward(feats, boxes)
        heatmaps = heatmaps.float().unflatten(1, (-1, self.num_joints))
        probs = averaged = self.depth_logits(pair_features).sigmoid()
        if self.symmetric:
            averaged = 0.5 + 0.5 * (probs - self.depth_logits(pair_features.flip(1)).sigmoid())
        return heatmaps, probs, averaged

    def _mirrored(self, boxes: Tensor) -> Tensor:
        """Return the boxes in the mirrored input, where px x goes to W - 1 - x."""
        x1, y1, x2, y2 = boxes.unbind(-1)
        last = self.decoder.input_size[0] - 1
        return torch.stack((last - x2, y1, last - x1, y2), dim=-1)
