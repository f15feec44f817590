# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import math
from collections.abc import Sequence

import torch
from mmengine.structures import InstanceData, PixelData
from mmpose.models.utils.tta import flip_heatmaps
from mmpose.registry import MODELS
from torch import Tensor, nn

from wsp_mm.models.deconv_head import DeconvHead, batch_labels
from wsp_mm.models.ops.masked_pooling import POOLINGS, heatmaps_and_pooling, masked_pooling

#: Temperature that a depth score's head starts with: two persons whose log-depths differ by this
#: much are told apart with 73 %. A fifth is about the size of a step between two persons.
FIRST_TEMPERATURE = 0.2


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

    ``pairwise='difference'`` replaces Eq. 6 by a depth score. The two layers read one person's
    vector and give one number s, larger for what is farther away: log-depth up to the scale of the
    image. The logit of "A is nearer" is (s_B - s_A) / t, with a learned temperature t. Swapping the
    persons then negates the logit, the order of several persons never contradicts itself, and one
    pass scores everybody in a crop (:meth:`person_scores`). ``ratio_loss`` and ``within_loss``
    teach the score more than an order.

    Predictions (one ``InstanceData`` of length 1 a sample, numpy):

        - keypoints (1, 2, K, 2): both persons' joints, input px (the estimator maps them to image
          px)
        - keypoint_scores (1, 2, K)
        - depth_probs (1, K): probability that joint k of person A is nearer than that of B, f(A, B)
          on the input as it is
        - depth_scores (1, 2, K), of ``pairwise='difference'`` alone: s of both persons
        - pair_probs (1,): mean of ``depth_probs`` over ``pair_joints``
        - depth_probs_averaged, pair_probs_averaged: the same averaged, with ``symmetric`` over both
          orders of the persons, with ``flip_test`` over the input and its mirror image; where
          either is on. Of a depth score, the score is averaged over the mirror image
          (depth_scores_averaged); ``symmetric`` changes nothing and costs nothing.

    With ``pairwise='difference'`` the boxes may be those of any number P of persons. The
    predictions are then P long where they are 2 long above, without probabilities unless P is 2.

    Args:
        in_channels: channels of the backbone's last feature map.
        out_channels: number of joints K.
        depth_hidden: width of the hidden fully connected layer.
        pairwise: ``concat``, the paper's Eq. 6, or ``difference``, of depth scores.
        num_sampled_joints: N of section 3.4.1: the loss looks at N joints a pair and iteration,
            drawn among those labelled in both persons by the codec's ``joint_order``. None takes
            all.
        alpha: weight of the relative-depth loss (Eq. 8). 0 learns heatmaps alone: the depth branch
            then stays at its initialisation, and what it predicts means nothing.
        pooling: ``mean``, ``sum``, ``max`` or ``normalized``, see :func:`masked_pooling`; or
            ``peak``, the weighted mean of the features under a Gaussian of the codec's sigma around
            the joint. The box then only finds the joint, its highest place in the heatmap; neither
            the box's size nor its place reaches the classifier, nor do other places of the heatmap.
        mask: ``predicted`` filters with the predicted heatmaps (``peak``: around the predicted
            joint); ``target`` with the ground truth in training (``peak``: around the labelled
            joint where there is one). Prediction always uses the predicted ones. With ``peak`` and
            ``target``, depth is learned from the first iteration on, when peaks still lie anywhere,
            but a predicted joint that is off its place is new to the classifier.
        detach_mask: stop the gradient of the relative-depth loss at the mask.
        person_channels: one set of heatmap channels a person instead of a shared one.
        symmetric: predict the average of f(A, B) and 1 - f(B, A), too, in which swapping the
            persons turns every probability p into 1 - p. Training is the same either way.
        pair_joints: indices of the joints whose mean is the pair's answer; None: of all. Leave out
            joints that the training data never label: their answers mean nothing.
        heatmap_loss: config of the heatmap loss, called with (heatmaps, targets, weights).
        depth_loss: config of the relative-depth loss, called with (logits, labels, weights).
        ratio_loss: config of a loss of score differences, such as :class:`DepthRatioLoss`, called
            with (s_B - s_A, ``depth_ratios``, weights). None: no such loss. Its weight is its own,
            not ``alpha``.
        within_loss: config of a loss within a person, such as :class:`WithinPersonDepthLoss`,
            called with (scores, temperature, keypoints, weights, down, width). None: none.
        **kwargs: of :class:`DeconvHead`; ``decoder`` is a :class:`PairHeatmapLabel`.

    Raises:
        ValueError: an argument outside its range, or options that do not go together.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 16,
        depth_hidden: int = 256,
        pairwise: str = 'concat',
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
        ratio_loss: dict | None = None,
        within_loss: dict | None = None,
        **kwargs,
    ) -> None:
        if pairwise not in ('concat', 'difference'):
            raise ValueError(f"pairwise must be 'concat' or 'difference', got {pairwise!r}")
        if pairwise == 'concat' and (ratio_loss or within_loss):
            raise ValueError("ratio_loss and within_loss need pairwise='difference'")
        if pairwise == 'difference' and person_channels:
            raise ValueError("pairwise='difference' needs a shared map: person_channels=False")
        poolings = (*POOLINGS, 'peak')
        if pooling not in poolings:
            raise ValueError(f'pooling must be one of {poolings}, got {pooling!r}')
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
        self.pairwise = pairwise  # HeatmapHead asks for default_init_cfg at once
        super().__init__(in_channels, channels, loss=heatmap_loss, **kwargs)
        self.depth_loss_module = MODELS.build(depth_loss or dict(type='RelativeDepthLoss'))
        self.ratio_loss_module = MODELS.build(ratio_loss) if ratio_loss else None
        self.within_loss_module = MODELS.build(within_loss) if within_loss else None
        vectors = 2 if pairwise == 'concat' else 1
        self.depth_hidden_layer = nn.Linear(vectors * self.final_layer.in_channels, depth_hidden)
        # A score's bias would cancel in every difference.
        self.depth_output_layer = nn.Linear(depth_hidden, 1, bias=pairwise == 'concat')
        if pairwise == 'difference':
            self.log_temperature = nn.Parameter(torch.tensor(math.log(FIRST_TEMPERATURE)))
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
        0.01 and alpha 1. A depth score starts smaller by its temperature, so that logits start as
        large as those of pairs.
        """
        std = 0.05 * (1.0 if self.pairwise == 'concat' else FIRST_TEMPERATURE)
        output = dict(type='Normal', name='depth_output_layer', std=std)
        linear = dict(type='Kaiming', layer='Linear', nonlinearity='relu', override=output)
        return [*super().default_init_cfg, linear]

    # ------------------------------------------------------------------ network

    def forward(
        self, feats: Sequence[Tensor], boxes: Tensor | None = None, masks: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return heatmaps, and the joint features of all persons (Eq. 5).

        Args:
            feats: feature maps of the backbone; the last is used, (B, in_channels, h', w').
            boxes: (B, P, 4), x1 y1 x2 y2 of the persons in input px: two, or any number with
                ``pairwise='difference'``. None, for the estimator's ``mode='tensor'``, takes the
                whole input for two.
            masks: (B, 1 or P, K, h, w) that filter the features; by default the heatmaps
                themselves. With ``pooling='peak'`` (B, P, K, h, w), by default made from these; a
                joint whose mask is empty takes the default.

        Returns:
            Heatmaps (B, C, h, w), and features (B, P, K, D), in float32 also under mixed precision.
        """
        features = self.features(feats)
        if boxes is None:
            whole = features.new_tensor([0, 0, *self.decoder.input_size])
            boxes = whole.expand(len(features), 2, 4)
        if self.pooling == 'peak':
            heatmaps = self.final_layer(features)
            around = self._around_peaks(heatmaps, boxes)
            if masks is not None:
                around = torch.where(masks.amax((-2, -1), keepdim=True) > 0, masks, around)
            everywhere = torch.ones_like(around[:, :, 0], dtype=torch.bool)
            return heatmaps, masked_pooling(features, around, everywhere, 'normalized')
        inside = self.decoder.box_masks(boxes)
        if masks is None:
            return heatmaps_and_pooling(
                features, self.final_layer, inside, self.num_joints, self.pooling, self.detach_mask
            )
        return self.final_layer(features), masked_pooling(features, masks, inside, self.pooling)

    @torch.no_grad()
    def _around_peaks(self, heatmaps: Tensor, boxes: Tensor) -> Tensor:
        """Return Gaussians (B, P, K, h, w) around the highest places of heatmaps in boxes."""
        peaks, _ = self.decoder.peaks(heatmaps.unflatten(1, (-1, self.num_joints)), boxes)
        peaks = peaks / peaks.new_tensor(self.decoder.stride)
        return self.decoder.heatmaps(peaks, torch.ones_like(peaks[..., 0]))[0]

    def depth_scores(self, features: Tensor) -> Tensor:
        """Return the depth scores s of joints, (..., D) to (...), in float32: larger is farther.

        With ``pairwise='difference'``.
        """
        with torch.autocast(features.device.type, enabled=False):
            return self.depth_output_layer(self.depth_hidden_layer(features).relu()).squeeze(-1)

    def person_scores(self, feats: Sequence[Tensor], boxes: Tensor) -> Tensor:
        """Return the depth scores of any number of persons in one crop, (B, P, K), in one pass.

        Two persons' difference over the temperature is what a pair of them gets: with the same
        input, the answer for a pair does not depend on who else is asked about.

        Args:
            feats: feature maps of the backbone.
            boxes: (B, P, 4), x1 y1 x2 y2 in input px.
        """
        return self.depth_scores(self.forward(feats, boxes)[1])

    @property
    def temperature(self) -> Tensor:
        """t, positive: (s_B - s_A) / t is the logit of "A is nearer"."""
        return self.log_temperature.exp()

    def depth_logits(self, pair_features: Tensor) -> Tensor:
        """Return logits of "A is nearer", joint by joint (Eq. 6): (B, 2, K, D) to (B, K), in
        float32.
        """
        if self.pairwise == 'difference':
            return self._score_logits(self.depth_scores(pair_features))
        return self.depth_scores(torch.cat((pair_features[:, 0], pair_features[:, 1]), dim=-1))

    def _score_logits(self, scores: Tensor) -> Tensor:
        """Return logits of "A is nearer": (B, 2, K) to (B, K)."""
        return (scores[:, 1] - scores[:, 0]) / self.temperature

    def crowd_probs(self, scores: Tensor) -> Tensor:
        """Return the probability that person i is nearer than j, mean over ``pair_joints``.

        Args:
            scores: (..., P, K), as :meth:`person_scores` gives them.

        Returns:
            (..., P, P); [..., i, j] and [..., j, i] add up to 1.
        """
        scores = scores[..., self.pair_joints]
        logits = (scores[..., None, :, :] - scores[..., :, None, :]) / self.temperature
        return logits.sigmoid().mean(-1)

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
            ``loss_heatmap``, ``loss_depth`` (alpha included), ``loss_ratio`` and ``loss_within``
            (where on) and, for the log, ``acc_depth`` (share of the labelled joints judged rightly;
            a soft label of 1/2 counts as none) and ``joints_drawn`` (joints a pair that the loss
            looked at).
        """
        labels = batch_labels(batch_data_samples)
        boxes = labels.pair_bboxes_input
        with torch.no_grad():
            maps, inside = self.decoder.heatmaps(labels.keypoint_labels, labels.keypoint_weights)
            targets, weights = self._targets(maps, inside)
            masks = targets.unflatten(1, (-1, self.num_joints))
            if self.pooling == 'peak':
                masks = maps * inside[..., None, None]
        heatmaps, features = self.forward(feats, boxes, masks if self.mask == 'target' else None)
        losses = dict(loss_heatmap=self.loss_module(heatmaps, targets, weights))

        # A person wholly outside the input has no features to judge by.
        seen = self.decoder.box_masks(boxes).any((-2, -1))
        labelled = labels.depth_weights * seen.all(-1, keepdim=True)
        drawn = labelled * self._draw(labelled > 0, labels.joint_order)
        if self.pairwise == 'difference':
            scores = self.depth_scores(features)
            logits = self._score_logits(scores)
            losses.update(self._score_losses(scores, labels, labelled, inside * seen[..., None]))
        else:
            logits = self.depth_logits(features)
        losses['loss_depth'] = self.alpha * self.depth_loss_module(
            logits, labels.depth_labels, drawn
        )
        with torch.no_grad():
            decided = (labelled > 0) & (labels.depth_labels != 0.5)
            right = ((logits >= 0) == (labels.depth_labels > 0.5)) & decided
            losses['acc_depth'] = right.sum() / decided.sum().clamp(min=1)
            losses['joints_drawn'] = (drawn > 0).sum(1).float().mean()
        return losses

    def _score_losses(
        self, scores: Tensor, labels: InstanceData, labelled: Tensor, inside: Tensor
    ) -> dict:
        """Return the losses of depth scores (B, 2, K) that are on.

        ``labelled`` (B, K) are the weights of a pair's joints, ``inside`` (B, 2, K) is 1 where a
        joint is labelled and inside the input.
        """
        losses = {}
        if self.ratio_loss_module is not None:
            difference = scores[:, 1] - scores[:, 0]
            ratios = labels.get('depth_ratios', torch.full_like(difference, torch.nan))
            losses['loss_ratio'] = self.ratio_loss_module(difference, ratios, labelled)
        if self.within_loss_module is not None:
            keypoints = labels.keypoint_labels * scores.new_tensor(self.decoder.stride)
            # Without a transform that says otherwise, down in the input is down in the image.
            down = scores.new_tensor([0.0, 1.0]).expand(*scores.shape[:2], 2)
            losses['loss_within'] = self.within_loss_module(
                scores, self.temperature, keypoints, inside, labels.get('pair_down', down),
                self.decoder.input_size[0],
            )  # fmt: skip
        return losses

    def _targets(self, maps: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return ground-truth heatmaps (B, C, h, w) and weights (B, C), from those of each person,
        (B, 2, K, h, w) and (B, 2, K).

        On a map that both persons share, the larger of the two Gaussians; its weight is that of a
        joint labelled in either person.
        """
        if self.out_channels == self.num_joints:
            return maps.amax(1), weights.amax(1)
        return maps.flatten(1, 2), weights.flatten(1, 2)

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
        """Return keypoints of the persons and who is nearer, from the image and the boxes alone.

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
        heatmaps, plain, averaged = self.answers(
            feats, boxes, flip_indices, test_cfg.get('shift_heatmap', False)
        )
        preds = self.decode((heatmaps, boxes))
        for kind, answer in (('', plain), ('_averaged', averaged)):
            if kind and answer is plain and not self.symmetric:
                continue  # nothing is averaged
            self._report(preds, kind, answer)
        if test_cfg.get('output_heatmaps', False):
            return preds, [PixelData(heatmaps=maps) for maps in heatmaps.detach().flatten(1, 2)]
        return preds

    def _report(self, preds: list[InstanceData], kind: str, answer: Tensor) -> None:
        """Add what :meth:`answers` found to the predictions, in fields that end with ``kind``."""
        fields = {}
        if self.pairwise == 'difference':
            fields[f'depth_scores{kind}'] = answer
        if self.pairwise == 'concat' or answer.shape[1] == 2:
            fields[f'depth_probs{kind}'] = probs = self.probabilities(answer)
            fields[f'pair_probs{kind}'] = probs[:, self.pair_joints].mean(-1)
        for name, values in fields.items():
            for pred, value in zip(preds, values.detach().cpu().numpy(), strict=True):
                pred.set_field(value[None], name)

    def answers(
        self,
        feats: Sequence[Tensor] | list[Sequence[Tensor]],
        boxes: Tensor,
        flip_indices: Sequence[int] | None = None,
        shift_heatmap: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return what :meth:`predict` reports: heatmaps (B, 1 or 2, K, h, w), the answer, and the
        averaged one; the same tensor where nothing is averaged.

        The answer is the probabilities (B, K) that A is nearer, or, with ``pairwise='difference'``,
        the scores (B, P, K), of which :meth:`probabilities` makes them.

        Args:
            feats: feature maps of the backbone; with ``flip_indices`` a list of two, of the input
                and of the input mirrored.
            boxes: (B, P, 4), x1 y1 x2 y2 in input px; P is 2 but with ``pairwise='difference'``.
            flip_indices: of every joint the index of its mirror image.
            shift_heatmap: shift the mirrored heatmaps by one px, as MMPose.
        """
        if flip_indices is None:
            return self._predict(feats, boxes)
        flip_indices = list(flip_indices)
        heatmaps, plain, averaged = self._predict(feats[0], boxes)
        mirrored, _, other = self._predict(feats[1], self._mirrored(boxes))
        averaged = (averaged + other[..., flip_indices]) / 2
        mirrored = flip_heatmaps(mirrored.flatten(0, 1), flip_indices, shift_heatmap=shift_heatmap)
        return (heatmaps + mirrored.view_as(heatmaps)) / 2, plain, averaged

    def probabilities(self, answer: Tensor) -> Tensor:
        """Return the probabilities (B, K) that A is nearer, of an answer for two persons."""
        return answer if self.pairwise == 'concat' else self._score_logits(answer).sigmoid()

    def _predict(self, feats: Sequence[Tensor], boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return heatmaps (B, 1 or 2, K, h, w) of one pass, the answer (see :meth:`answers`), and
        that averaged over both orders; without ``symmetric`` the same tensor.
        """
        heatmaps, features = self.forward(feats, boxes)
        heatmaps = heatmaps.float().unflatten(1, (-1, self.num_joints))
        if self.pairwise == 'difference':
            scores = self.depth_scores(features)
            return heatmaps, scores, scores
        probs = averaged = self.depth_logits(features).sigmoid()
        if self.symmetric:
            averaged = 0.5 + 0.5 * (probs - self.depth_logits(features.flip(1)).sigmoid())
        return heatmaps, probs, averaged

    def _mirrored(self, boxes: Tensor) -> Tensor:
        """Return the boxes in the mirrored input, where px x goes to W - 1 - x."""
        x1, y1, x2, y2 = boxes.unbind(-1)
        last = self.decoder.input_size[0] - 1
        return torch.stack((last - x2, y1, last - x1, y2), dim=-1)
