# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.logging import MessageHub
from mmengine.structures import InstanceData, PixelData
from mmpose.models.heads import HeatmapHead
from mmpose.models.utils.tta import flip_heatmaps
from mmpose.registry import MODELS
from mmpose.utils.tensor_utils import to_numpy
from torch import Tensor, nn

import wsp_mm.models.losses.heatmap_l2_loss
import wsp_mm.models.losses.relative_depth_loss  # noqa: F401  (registers the default losses)
from wsp_mm.codecs.box_cells import box_membership
from wsp_mm.models.heads.masked_pooling import POOLINGS, heatmaps_and_pooling, masked_pooling

MASKS = ('predicted', 'target')


@MODELS.register_module()
class RelativeDepthHead(HeatmapHead):
    """2D heatmaps of two persons and, joint by joint, which of the two is nearer (paper, section
    3.4).

    Note:
        - B batch size, K joints, D channels of the last deconvolution, h x w cells of a heatmap
        - C heatmap channels: K, shared by both persons, or 2K with ``person_channels`` (A's K, then
          B's K)
        - input px: pixels of the network's input, the crop

    The deconvolutions give the deep features F_d, a 1x1 convolution on them the heatmaps, which are
    also the masks of Eq. 5. F_d times a joint's mask is pooled within each person's box, A's and
    B's vectors are concatenated and two fully connected layers, shared by all joints, answer with
    the logit of "A is nearer" (Eq. 6).

    Predictions (one ``InstanceData`` of length 1 a sample, numpy):

        - keypoints (1, 2, K, 2): both persons' joints, input px (the estimator maps them to picture
          px)
        - keypoint_scores (1, 2, K)
        - depth_probs (1, K): probability that joint k of person A is nearer than that of B
        - pair_probs (1,): mean of ``depth_probs`` over the joints

    Args:
        in_channels: channels of the backbone's last feature map.
        out_channels: number of joints K.
        deconv_out_channels: channels of each deconvolution (each doubles the resolution). The last
            is D.
        deconv_kernel_sizes: kernel size of each deconvolution: 4, 3 or 2.
        depth_hidden: width of the hidden fully connected layer.
        num_sampled_joints: N of section 3.4.1, the joints drawn a pair and iteration among those
            labelled in both persons. None takes all. The draw belongs to the sample (metainfo
            ``joint_order``, made by :class:`PackPairInputs`), so that a resumed run draws what an
            uninterrupted one would, and two ranks what one process would from the same batch. Where
            samples come without, it is a function of the run's seed, the iteration and the rank.
            The global random state is left alone.
        alpha: weight of the relative-depth loss (Eq. 8). 0 learns heatmaps alone: the depth branch
            then stays at its initialisation, and what it predicts means nothing.
        pooling: ``mean``, ``sum``, ``max`` or ``normalized``, see :func:`masked_pooling`.
        mask: ``predicted`` filters with the predicted heatmaps; ``target`` with the true ones in
            training (prediction always uses the predicted ones).
        detach_mask: stop the gradient of the relative-depth loss at the mask.
        person_channels: one set of heatmap channels a person instead of a shared one; the decoder
            must agree.
        symmetric: predict the average of f(A, B) and 1 - f(B, A), so that swapping the persons
            turns every probability p into 1 - p. Training is the same either way.
        heatmap_loss: config of the heatmap loss, called with (heatmaps, targets, weights).
        depth_loss: config of the relative-depth loss, called with (logits, labels, weights).
        decoder: config of the codec (:class:`PairHeatmapLabel`) that turns heatmaps into keypoints;
            without it the head trains but cannot predict.
        init_cfg: initialisation, by default :attr:`default_init_cfg`.

    Raises:
        ValueError: an argument outside its range, or a decoder that does not fit.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 16,
        deconv_out_channels: Sequence[int] = (256, 256, 256),
        deconv_kernel_sizes: Sequence[int] = (4, 4, 4),
        depth_hidden: int = 256,
        num_sampled_joints: int | None = 8,
        alpha: float = 50.0,
        pooling: str = 'mean',
        mask: str = 'predicted',
        detach_mask: bool = False,
        person_channels: bool = False,
        symmetric: bool = False,
        heatmap_loss: dict | None = None,
        depth_loss: dict | None = None,
        decoder: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        if pooling not in POOLINGS:
            raise ValueError(f'pooling must be one of {POOLINGS}, got {pooling!r}')
        if mask not in MASKS:
            raise ValueError(f'mask must be one of {MASKS}, got {mask!r}')
        if not (np.isfinite(alpha) and alpha >= 0):
            raise ValueError(f'alpha must be finite and not negative, got {alpha}')
        if num_sampled_joints is not None and not 1 <= num_sampled_joints <= out_channels:
            raise ValueError(
                f'num_sampled_joints must be None or at least 1 and at most {out_channels}, the number of '
                f'joints, got {num_sampled_joints}'
            )
        super().__init__(
            in_channels=in_channels,
            out_channels=2 * out_channels if person_channels else out_channels,
            deconv_out_channels=deconv_out_channels,
            deconv_kernel_sizes=deconv_kernel_sizes,
            loss=heatmap_loss or dict(type='HeatmapL2Loss', squared=False),
            decoder=decoder,
            init_cfg=init_cfg,
        )
        if self.decoder is not None:
            if not hasattr(self.decoder, 'batch_decode_pairs'):
                raise ValueError(
                    f'the decoder must be a PairHeatmapLabel, got {type(self.decoder).__name__}'
                )
            if bool(self.decoder.person_channels) != person_channels:
                raise ValueError(
                    f'the head has person_channels={person_channels}, its decoder '
                    f'person_channels={self.decoder.person_channels}: set both alike'
                )
        self.depth_loss_module = MODELS.build(depth_loss or dict(type='RelativeDepthLoss'))
        channels = deconv_out_channels[-1] if deconv_out_channels else in_channels
        self.depth_hidden_layer = nn.Linear(2 * channels, depth_hidden)
        self.depth_output_layer = nn.Linear(depth_hidden, 1)

        self.num_joints = out_channels
        self.num_sampled_joints = num_sampled_joints
        self.alpha = alpha
        self.pooling = pooling
        self.mask = mask
        self.detach_mask = detach_mask
        self.person_channels = person_channels
        self.symmetric = symmetric
        self._draws = 0

    @property
    def default_init_cfg(self) -> list[dict]:
        """HeatmapHead's; the fully connected layers start near probability 1/2.

        A smaller start of the output layer would be nearer to 1/2, but then mean pooling, whose
        features are small, takes long to get going: 93 steps instead of 6 to fit 16 pairs at std
        0.01 and alpha 1.
        """
        return [
            *super().default_init_cfg,
            dict(
                type='Kaiming',
                layer='Linear',
                nonlinearity='relu',
                override=dict(type='Normal', name='depth_output_layer', std=0.05),
            ),
        ]

    # ------------------------------------------------------------------ network

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Heatmaps and deep features; no data samples needed (``mode='tensor'`` of the estimator).

        Args:
            feats: feature maps of the backbone; the last is used, (B, in_channels, h', w').

        Returns:
            heatmaps (B, C, h, w) and deep features F_d (B, D, h, w).
        """
        features = self.deconv_layers(feats[-1])
        return self.final_layer(features), features

    def pair_features(self, features: Tensor, masks: Tensor, inside: Tensor) -> Tensor:
        """Joint features of both persons (Eq. 5), in float32 also under mixed precision.

        Args:
            features: (B, D, h, w).
            masks: (B, C, h, w).
            inside: (B, 2, h, w) bool, the cells of each person's box, see :func:`box_membership`.

        Returns:
            (B, 2, K, D).
        """
        if self.person_channels:
            masks = masks.unflatten(1, (2, self.num_joints))
        return masked_pooling(features, masks, inside, self.pooling)

    def depth_logits(self, pair_features: Tensor) -> Tensor:
        """Logits of "A is nearer", joint by joint (Eq. 6): (B, 2, K, D) -> (B, K), in float32."""
        with torch.autocast(pair_features.device.type, enabled=False):
            joined = torch.cat((pair_features[:, 0], pair_features[:, 1]), dim=-1).float()
            return self.depth_output_layer(self.depth_hidden_layer(joined).relu()).squeeze(-1)

    def depth_probs(self, pair_features: Tensor) -> Tensor:
        """Probability that A is nearer, joint by joint: (B, 2, K, D) -> (B, K)."""
        prob = self.depth_logits(pair_features).sigmoid()
        if self.symmetric:
            swapped = self.depth_logits(pair_features.flip(1)).sigmoid()
            prob = 0.5 + 0.5 * (prob - swapped)
        return prob

    # ------------------------------------------------------------------ training

    def loss(
        self, feats: Sequence[Tensor], batch_data_samples: list, train_cfg: dict | None = None
    ) -> dict:
        """Losses of a batch (Eq. 8).

        Args:
            feats: feature maps of the backbone.
            batch_data_samples: each with ``gt_instance_labels`` with ``heatmap_weights (1, C)``,
                ``pair_bboxes_input (1, 2, 4)`` input px, ``depth_labels (1, K)``, ``depth_weights
                (1, K)``; metainfo ``input_size``. The true heatmaps are ``gt_fields.heatmaps (C, h,
                w)``, or are made here, on the device, from the labels ``heatmap_cells (1, 2, K,
                2)`` cells and ``heatmap_labelled (1, 2, K)``.
            train_cfg: not used; part of MMPose's interface.

        Returns:
            ``loss_heatmap``, ``loss_depth`` (alpha included) and, unless alpha is 0, ``acc_depth``
            (share of the labelled joints judged rightly) and ``joints_drawn`` (joints a pair that
            the loss looked at).

        Raises:
            ValueError: samples with neither heatmaps nor what they are made from, or the latter and
                a head without a decoder to make them.
        """
        targets = self._target_heatmaps(batch_data_samples)
        features = self.deconv_layers(feats[-1])
        if self.alpha == 0:
            heatmaps = self.final_layer(features)
        else:
            inside = self._cells_of_boxes(batch_data_samples, features)
            heatmaps, pair_features = self._heatmaps_and_pair_features(features, inside, targets)
        labels = [sample.gt_instance_labels for sample in batch_data_samples]
        heatmap_weights = torch.cat([label.heatmap_weights for label in labels])
        losses = dict(loss_heatmap=self.loss_module(heatmaps, targets, heatmap_weights))

        if self.alpha == 0:
            parameters = (
                *self.depth_hidden_layer.parameters(),
                *self.depth_output_layer.parameters(),
            )
            losses['loss_depth'] = sum(0.0 * parameter.sum() for parameter in parameters)
            return losses

        depth_labels = torch.cat([label.depth_labels for label in labels]).float()
        depth_weights = torch.cat([label.depth_weights for label in labels]).float()
        # A person wholly outside the input has no features to judge by.
        depth_weights = depth_weights * inside.flatten(2).any(-1).all(-1, keepdim=True)

        logits = self.depth_logits(pair_features)
        drawn = depth_weights * self._draw_joints(depth_weights > 0, batch_data_samples)
        losses['loss_depth'] = self.alpha * self.depth_loss_module(logits, depth_labels, drawn)

        with torch.no_grad():
            labelled = depth_weights > 0
            right = ((logits >= 0) == (depth_labels > 0.5)) & labelled
            losses['acc_depth'] = right.sum() / labelled.sum().clamp(min=1)
            losses['joints_drawn'] = (drawn > 0).sum(1).float().mean()
        return losses

    def _heatmaps_and_pair_features(
        self, features: Tensor, inside: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Heatmaps (B, C, h, w), and joint features (B, 2, K, D) as training wants them."""
        if self.mask == 'target':
            return self.final_layer(features), self.pair_features(features, targets, inside)
        layer = self.final_layer
        return heatmaps_and_pooling(
            features,
            layer.weight,
            layer.bias,
            inside,
            self.num_joints,
            self.pooling,
            self.detach_mask,
        )

    @torch.no_grad()
    def _target_heatmaps(self, batch_data_samples: list) -> Tensor:
        """True heatmaps, (B, C, h, w): the samples' own, else made from their joints."""
        if 'gt_fields' in batch_data_samples[0] and 'heatmaps' in batch_data_samples[0].gt_fields:
            return torch.stack([sample.gt_fields.heatmaps for sample in batch_data_samples])
        labels = [sample.gt_instance_labels for sample in batch_data_samples]
        if 'heatmap_cells' not in labels[0]:
            raise ValueError(
                'samples without heatmaps: they have neither gt_fields.heatmaps nor gt_instance_labels.'
                'heatmap_cells. Does the pipeline encode them with PairHeatmapLabel (GenerateTarget)?'
            )
        if self.decoder is None:
            raise ValueError(
                'samples with heatmap_cells need the codec that made them: set head.decoder to it'
            )
        return self.decoder.batch_heatmaps(
            torch.cat([label.heatmap_cells for label in labels]).float(),
            torch.cat([label.heatmap_labelled for label in labels]).float(),
        )

    def _draw_joints(self, valid: Tensor, batch_data_samples: Sequence = ()) -> Tensor:
        """At most ``num_sampled_joints`` of the valid joints of each sample: (B, K) bool -> (B, K)
        bool.
        """
        if self.num_sampled_joints is None:
            return valid
        # Drawn on the CPU, so that every device draws the same, and sent without waiting for the
        # device.
        order = torch.from_numpy(self._joint_order(tuple(valid.shape), batch_data_samples))
        order = order.to(valid.device, non_blocking=True).masked_fill(~valid, -1.0)
        chosen = order.topk(self.num_sampled_joints, dim=1).indices
        return torch.zeros_like(valid).scatter(1, chosen, True) & valid

    def _joint_order(self, shape: tuple[int, int], batch_data_samples: Sequence) -> np.ndarray:
        """Random numbers (B, K), the highest of which are drawn: the samples' own, else the
        iteration's.
        """
        orders = [sample.metainfo.get('joint_order') for sample in batch_data_samples]
        if orders and all(order is not None for order in orders):
            return np.stack(orders).astype(np.float32)
        hub = MessageHub.get_current_instance()
        iteration = hub.get_info('iter', default=None)
        if iteration is None:  # outside a Runner: count the draws
            iteration, self._draws = self._draws, self._draws + 1
        key = (int(hub.get_info('seed', default=None) or 0), int(iteration), get_rank())
        return np.random.default_rng(key).random(shape, dtype=np.float32)

    @staticmethod
    def _cells_of_boxes(
        batch_data_samples: list, features: Tensor, mirrored: bool = False
    ) -> Tensor:
        """Cells of both persons' boxes, (B, 2, h, w) bool; of the mirrored input where
        ``mirrored``.
        """
        boxes = _boxes(batch_data_samples)
        input_size = batch_data_samples[0].metainfo['input_size']
        if mirrored:
            boxes = mirror_boxes(boxes, float(input_size[0]))
        height, width = features.shape[2:]
        return box_membership(boxes, input_size, (width, height))

    # ------------------------------------------------------------------ prediction

    def predict(
        self,
        feats: Sequence[Tensor] | list[Sequence[Tensor]],
        batch_data_samples: list,
        test_cfg: dict | None = None,
    ) -> list[InstanceData] | tuple[list[InstanceData], list[PixelData]]:
        """Keypoints of both persons and who is nearer; from the picture and the two boxes alone.

        Args:
            feats: feature maps of the backbone; with ``flip_test`` a list of two, of the input and
                of the input mirrored.
            batch_data_samples: each with ``gt_instance_labels.pair_bboxes_input (1, 2, 4)``, x1 y1
                x2 y2 in input px, and metainfo ``input_size`` (and ``flip_indices`` for
                ``flip_test``).
            test_cfg: ``flip_test`` (heatmaps and probabilities are averaged), ``flip_mode``
                (``'heatmap'`` only), ``shift_heatmap`` and ``output_heatmaps``, as in MMPose.

        Returns:
            One ``InstanceData`` a sample (see the class), and with ``output_heatmaps`` also one
            ``PixelData`` with ``heatmaps (C, h, w)``.

        Raises:
            RuntimeError: the head has no decoder.
            ValueError: a ``test_cfg`` option that does not fit two persons.
        """
        test_cfg = test_cfg or {}
        self._check_test_cfg(test_cfg)
        if test_cfg.get('flip_test', False):
            plain, mirrored = feats
            flip_indices = list(batch_data_samples[0].metainfo['flip_indices'])
            heatmaps, probs = self._answer(plain, batch_data_samples)
            mirrored_heatmaps, mirrored_probs = self._answer(
                mirrored, batch_data_samples, mirrored=True
            )
            probs = (probs + mirrored_probs[:, flip_indices]) / 2
            if self.person_channels:
                flip_indices += [self.num_joints + index for index in flip_indices]
            shift = test_cfg.get('shift_heatmap', False)
            heatmaps = (
                heatmaps + flip_heatmaps(mirrored_heatmaps, flip_indices, shift_heatmap=shift)
            ) / 2
        else:
            heatmaps, probs = self._answer(feats, batch_data_samples)

        keypoints, scores = to_numpy(
            self.decoder.batch_decode_pairs(heatmaps, _boxes(batch_data_samples))
        )
        preds = [
            InstanceData(
                keypoints=sample_keypoints[None],
                keypoint_scores=sample_scores[None],
                depth_probs=sample_probs[None],
                pair_probs=sample_probs.mean(keepdims=True),
            )
            for sample_keypoints, sample_scores, sample_probs in zip(
                keypoints, scores, to_numpy(probs), strict=True
            )
        ]
        if test_cfg.get('output_heatmaps', False):
            return preds, [PixelData(heatmaps=heatmap) for heatmap in heatmaps.detach()]
        return preds

    def _answer(
        self, feats: Sequence[Tensor], batch_data_samples: list, mirrored: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Heatmaps (B, C, h, w) and probabilities (B, K) of one pass, both float32."""
        heatmaps, features = self.forward(feats)
        inside = self._cells_of_boxes(batch_data_samples, features, mirrored)
        return heatmaps.float(), self.depth_probs(self.pair_features(features, heatmaps, inside))

    def _check_test_cfg(self, test_cfg: dict) -> None:
        if self.decoder is None:
            raise RuntimeError(
                'RelativeDepthHead cannot predict without a decoder: set head.decoder to the codec'
            )
        if test_cfg.get('flip_mode', 'heatmap') != 'heatmap':
            raise ValueError(
                f"flip_mode must be 'heatmap' for this head, got {test_cfg['flip_mode']!r}"
            )
        if test_cfg.get('output_keypoint_indices') is not None:
            raise ValueError(
                'output_keypoint_indices selects along the wrong axis for pairs of persons: remove it'
            )


def _boxes(batch_data_samples: list) -> Tensor:
    """Both persons' boxes, (B, 2, 4), x1 y1 x2 y2 in input px."""
    return torch.cat(
        [sample.gt_instance_labels.pair_bboxes_input for sample in batch_data_samples]
    ).float()


def mirror_boxes(boxes: Tensor, width: float) -> Tensor:
    """Boxes (..., 4), x1 y1 x2 y2 in px, in the mirrored picture (pixel x goes to width - 1 -
    x).
    """
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack((width - 1 - x2, y1, width - 1 - x1, y2), dim=-1)
