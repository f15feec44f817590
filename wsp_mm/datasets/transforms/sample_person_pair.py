# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""From a picture's persons to one pair.

N persons, K joints, M labelled ankles.
"""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmpose.registry import TRANSFORMS

from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.structures.relative_depth import relative_depth_label, scale_gap, valid_pairs


@TRANSFORMS.register_module()
class SamplePersonPair(BaseTransform):
    """Choose persons A and B, label them (Eq. 7), and set the crop around both.

    A pair is drawn among those that have a label (no tie) and at least one joint labelled in both.
    A picture that has none is refused (None): MMEngine's data sets then take another one, in
    training only. Where the data set fixed the pair (``pair``), nothing is drawn. With boxes and
    ``pair`` alone, as at inference, there is no label.

    Required Keys: bbox (N, 4) xyxy px; ground_y (N,) px, keypoints (N, K, 2) px, keypoints_visible
    (N, K), scale (N,) px, ann_ids (N,), other_ankles (M', 3) (all optional where ``pair`` is
    there); pair (2,), pair_label, pair_gap (optional).

    Modified Keys: keypoints (2, K, 2), keypoints_visible (2, K), bbox (1, 4) around both.

    Added Keys: pair_bboxes (2, 4) xyxy px, bbox_score (1,), bbox_center (1, 2) px, bbox_scale (1,
    2) px (square), depth_label (1,) 1 where A is nearer, depth_weight (1,) 0 for ties and pairs
    below ``min_gap_px``, pair_gap (1,) (Eq. 14), pair_ann_ids (2,), ankles (M, 4): x px, y px,
    knee-ankle length px, the person's scale S px, of every labelled ankle in the picture, nan where
    unknown.

    Args:
        padding: side of the crop / longer side of the box around both persons.
        random_order: swap A and B with probability 0.5 where the pair is drawn; else A comes first
            in the data.
        min_gap_px: pairs whose feet differ less in height count as ties.
        joint_set: name of the joints' set, in which ankles and knees are looked up.

    Raises:
        ValueError: padding or gap that make no sense, or fewer than two persons.
    """

    def __init__(
        self,
        padding: float = 1.25,
        random_order: bool = True,
        min_gap_px: float = 0.0,
        joint_set: str = 'mcpc16',
    ) -> None:
        if not padding > 0 or min_gap_px < 0:
            raise ValueError(
                f'padding must be positive and min_gap_px not negative, got {padding}, {min_gap_px}'
            )
        self.padding = padding
        self.random_order = random_order
        self.min_gap_px = min_gap_px
        self.joint_set = joint_set
        joints = get_joint_set(joint_set)
        self._legs = [
            (joints.index(f'{side}_ankle'), joints.index(f'{side}_knee'))
            for side in ('left', 'right')
        ]

    @cache_randomness
    def _draw(self, num_pairs: int) -> tuple[int, bool]:
        """Which pair, and whether it is swapped."""
        return int(np.random.randint(num_pairs)), bool(self.random_order and np.random.rand() < 0.5)

    def _choose(self, results: dict) -> tuple[int, int] | None:
        valid = valid_pairs(results['ground_y'], self.min_gap_px, results['keypoints_visible'])
        pairs = np.argwhere(np.triu(valid))
        if len(pairs) == 0:
            return None
        number, swap = self._draw(len(pairs))
        a, b = pairs[number]
        return (b, a) if swap else (a, b)

    def _ankles(self, results: dict) -> np.ndarray:
        """Every labelled ankle of the picture, (M, 4)."""
        keypoints, visible = results['keypoints'], results['keypoints_visible'] > 0
        scale = results.get('scale', np.full(len(keypoints), np.nan))
        rows = []
        for ankle, knee in self._legs:
            length = np.linalg.norm(keypoints[:, ankle] - keypoints[:, knee], axis=-1)
            length = np.where(visible[:, knee] & (length > 0), length, np.nan)
            rows.append(np.column_stack([keypoints[:, ankle], length, scale])[visible[:, ankle]])
        other = np.asarray(results.get('other_ankles', np.zeros((0, 3))))
        rows.append(np.column_stack([other, np.full(len(other), np.nan)]))
        return np.concatenate(rows).astype(np.float32)

    def transform(self, results: dict) -> dict | None:
        boxes = np.asarray(results['bbox'], dtype=np.float32)
        if len(boxes) < 2:
            raise ValueError(
                f'SamplePersonPair: {results.get("img_path")} has {len(boxes)} person(s), not two'
            )
        chosen = results['pair'] if 'pair' in results else self._choose(results)
        if chosen is None:
            return None
        a, b = chosen = [int(i) for i in chosen]

        if 'ground_y' in results:
            ground_y = results.pop('ground_y')
            fixed = results.get('pair_label')
            label = relative_depth_label(ground_y[a], ground_y[b]) if fixed is None else fixed
            results['depth_label'] = np.array([label], dtype=np.float32)
            results['depth_weight'] = valid_pairs(ground_y[chosen], self.min_gap_px)[:1, 1].astype(
                np.float32
            )
        if 'keypoints' in results:
            results['ankles'] = self._ankles(results)
            results['keypoints'] = results['keypoints'][chosen]
            results['keypoints_visible'] = results['keypoints_visible'][chosen]
        if 'scale' in results:
            scale = results.pop('scale')
            gap = results.get('pair_gap')
            results['pair_gap'] = np.array([scale_gap(scale[a], scale[b]) if gap is None else gap])
        if 'ann_ids' in results:
            results['pair_ann_ids'] = np.asarray(results.pop('ann_ids'))[chosen]
        results.pop('other_ankles', None)

        pair_boxes = boxes[chosen]
        low, high = pair_boxes[:, :2].min(axis=0), pair_boxes[:, 2:].max(axis=0)
        results['pair_bboxes'] = pair_boxes
        results['bbox'] = np.concatenate([low, high])[None]
        results['bbox_score'] = np.ones(1, dtype=np.float32)
        results['bbox_center'] = (low + high)[None] / 2
        results['bbox_scale'] = np.full((1, 2), (high - low).max() * self.padding, dtype=np.float32)
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(padding={self.padding}, random_order={self.random_order}, '
            f'min_gap_px={self.min_gap_px}, joint_set={self.joint_set!r})'
        )
