# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Transforms of a pair of persons: choose it, flip, jitter, crop, remove the ankles, pack.

MMPose's flip, jitter and crop, which also move both persons' boxes and every ankle. Flip, scale and
rotation change neither the order of the persons nor the label: they do not change who is nearer. N
persons of an image, K joints, M labelled ankles.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms.utils import cache_randomness
from mmpose.datasets.transforms import RandomBBoxTransform, RandomFlip, TopdownAffine
from mmpose.registry import TRANSFORMS
from mmpose.structures.bbox import flip_bbox, get_warp_matrix

from wsp_mm.datasets.transforms.base import PackInstance, Transform, to_image_frame
from wsp_mm.datasets.transforms.photo import random_fill
from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.structures.relative_depth import relative_depth_label, scale_gap, valid_pairs

#: Knee-ankle length / head length (the scale S of Eq. 13) of an adult: 0.43 m / 0.24 m.
SHANK_PER_SCALE = 1.8

PAIR_META_KEYS = (
    'id', 'img_id', 'img_path', 'ori_shape', 'img_shape', 'input_size', 'input_center',
    'input_scale', 'flip',
    'flip_direction', 'flip_indices', 'dataset_name', 'source', 'sample_idx',
)  # fmt: skip


@TRANSFORMS.register_module()
class SamplePersonPair(Transform):
    """Choose persons A and B, label them (Eq. 7), and set the crop around both.

    Draw a pair among those that have a label (no tie) and at least one joint labelled in both.
    Where the image has ``nearer_probs``, these are the labels instead of the rule's, and nobody
    ties; the label of a fixed pair stays. Return None for an image without such a pair: in
    training, MMEngine's data sets then take
    another image. Where the data set fixed the pair (``pair``), nothing is drawn. With boxes and
    ``pair`` alone, as at inference, there is no label; ``pair`` may then name more than two.

    Required Keys: bbox (N, 4) xyxy px; ground_y (N,) px, keypoints (N, K, 2) px, keypoints_visible
    (N, K), scale (N,) px, ann_ids (N,), other_ankles (M', 3) (all optional where ``pair`` is
    there); pair (2,), pair_label, pair_gap (optional); nearer_probs (N, N) P(row is nearer than
    column), log_depth (N,) (optional).

    Modified Keys: keypoints (2, K, 2), keypoints_visible (2, K), bbox (1, 4) around both.

    Added Keys: pair_bboxes (2, 4) xyxy px, bbox_score (1,), bbox_center (1, 2) px, bbox_scale (1,
    2) px (square), depth_label (1,) 1 where A is nearer, or the probability of that, depth_weight
    (1,) 0 for ties and pairs below ``min_gap_px`` or ``min_confidence``, log_depth_ratio (1,) log
    of B's depth over A's (optional), pair_gap (1,) (Eq. 14), pair_ann_ids (2,), ankles (M, 4): x
    px, y px, knee-ankle length px, the person's scale S px, of every labelled ankle in the image,
    nan where unknown.

    Args:
        padding: side of the crop / longer side of the box around both persons.
        random_order: swap A and B with probability 0.5 where the pair is drawn; otherwise A comes
            first in the data.
        min_gap_px: pairs whose feet differ less in height count as ties, by the rule.
        min_confidence: pairs with ``nearer_probs`` of whose order less is certain, max(p, 1 - p),
            have the weight 0.
        joint_set: name of the joints' set, in which ankles and knees are looked up.

    Raises:
        ValueError: padding that is not positive, a negative gap, a confidence outside 0.5 to 1, or
            fewer than two persons.
    """

    def __init__(
        self,
        padding: float = 1.25,
        random_order: bool = True,
        min_gap_px: float = 0.0,
        joint_set: str = 'mcpc16',
        min_confidence: float = 0.5,
    ) -> None:
        if not padding > 0 or min_gap_px < 0 or not 0.5 <= min_confidence <= 1:
            raise ValueError(
                'SamplePersonPair: padding must be positive, min_gap_px not negative and '
                f'min_confidence in 0.5 to 1, got {padding}, {min_gap_px}, {min_confidence}'
            )
        self.padding, self.random_order = padding, random_order
        self.min_gap_px, self.joint_set = min_gap_px, joint_set
        self.min_confidence = min_confidence
        joints = get_joint_set(joint_set)
        self._legs = [
            (joints.index(f'{side}_ankle'), joints.index(f'{side}_knee'))
            for side in ('left', 'right')
        ]

    @cache_randomness
    def _draw(self, num_pairs: int) -> tuple[int, bool]:
        """Which pair, and whether it is swapped."""
        return int(np.random.randint(num_pairs)), bool(self.random_order and np.random.rand() < 0.5)

    def _choose(self, results: dict) -> np.ndarray | None:
        ground_y, visible = results['ground_y'], results['keypoints_visible']
        if 'nearer_probs' in results:
            valid = valid_pairs(np.arange(len(ground_y)), visible=visible)  # no ties
            valid &= results['nearer_probs'] != 0.5
        else:
            valid = valid_pairs(ground_y, self.min_gap_px, visible)
        pairs = np.argwhere(np.triu(valid))
        if len(pairs) == 0:
            return None
        number, swap = self._draw(len(pairs))
        return pairs[number][::-1] if swap else pairs[number]

    def _ankles(self, results: dict) -> np.ndarray:
        """Every labelled ankle of the image, (M, 4)."""
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
        chosen = [int(i) for i in chosen]
        a, b = chosen[:2]

        if 'ground_y' in results:
            ground_y = results.pop('ground_y')
            label = results.get('pair_label')
            if 'nearer_probs' in results:
                prob = results.pop('nearer_probs')[a, b]
                label = prob if label is None else label
                confidence = max(prob, 1 - prob)
                weight = np.array([0.5 < confidence >= self.min_confidence])
            else:
                if label is None:
                    label = relative_depth_label(ground_y[a], ground_y[b])
                weight = valid_pairs(ground_y[chosen], self.min_gap_px)[:1, 1]
            results['depth_label'] = np.array([label], dtype=np.float32)
            results['depth_weight'] = weight.astype(np.float32)
        if 'log_depth' in results:
            log_depth = results.pop('log_depth')
            results['log_depth_ratio'] = np.array([log_depth[b] - log_depth[a]], dtype=np.float32)
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


@TRANSFORMS.register_module()
class PairRandomBBoxTransform(RandomBBoxTransform):
    """Shift, scale and rotate the crop at random. All off by default, as in the paper.

    MMPose's transform with uniform draws. A rotation by up to 180 degrees then has no preferred
    direction, which hides where "down" is in the image.

    Required Keys: bbox_center, bbox_scale. Modified Keys: the same. Added Keys: bbox_rotation (1,)
    degrees.

    Args:
        shift_factor: the centre moves by up to this share of the crop's side.
        shift_prob: probability of a shift.
        scale_factor: smallest and largest factor of the crop's side.
        scale_prob: probability of scaling.
        rotate_factor: largest angle, degrees, 0 to 180.
        rotate_prob: probability of a rotation.

    Raises:
        ValueError: an angle beyond 180 degrees, or scale factors that are not positive and in
            order.
    """

    def __init__(
        self,
        shift_factor: float = 0.0,
        shift_prob: float = 1.0,
        scale_factor: tuple[float, float] = (1.0, 1.0),
        scale_prob: float = 1.0,
        rotate_factor: float = 0.0,
        rotate_prob: float = 1.0,
    ) -> None:
        if not 0 <= rotate_factor <= 180 or not 0 < scale_factor[0] <= scale_factor[1]:
            raise ValueError(
                'PairRandomBBoxTransform: rotate_factor must lie in 0 to 180 degrees and '
                f'scale_factor be (smallest, largest), got {rotate_factor}, {scale_factor}'
            )
        super().__init__(
            shift_factor, shift_prob, scale_factor, scale_prob, rotate_factor, rotate_prob
        )

    @cache_randomness
    def _get_transform_params(self, num_bboxes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Shift (n, 2) as share of the side, scale (n, 1), rotation (n,) degrees."""
        offset = np.random.uniform(-self.shift_factor, self.shift_factor, (num_bboxes, 2))
        scale = np.random.uniform(*self.scale_factor, (num_bboxes, 1))
        rotate = np.random.uniform(-self.rotate_factor, self.rotate_factor, num_bboxes)
        do_shift, do_scale, do_rotate = np.random.rand(3, num_bboxes)
        return (
            np.where(do_shift[:, None] < self.shift_prob, offset, 0.0).astype(np.float32),
            np.where(do_scale[:, None] < self.scale_prob, scale, 1.0).astype(np.float32),
            np.where(do_rotate < self.rotate_prob, rotate, 0.0).astype(np.float32),
        )


@TRANSFORMS.register_module()
class PairRandomFlip(RandomFlip):
    """Flip the image left to right at random, before it is cropped.

    Required Keys: img, img_shape, flip_indices; keypoints, keypoints_visible, bbox, bbox_center,
    pair_bboxes (2, 4), ankles (M, 4) (all optional).

    Modified Keys: those that are there.

    Added Keys: flip, flip_direction.

    Args:
        prob: probability, 0 to 1.
    """

    def __init__(self, prob: float = 0.5) -> None:
        super().__init__(prob=float(prob), direction='horizontal')

    def transform(self, results: dict) -> dict:
        """Flip or not.

        Raises:
            ValueError: the image is cropped already; its box would be flipped in the wrong frame.
        """
        if 'input_size' in results:
            raise ValueError('PairRandomFlip must come before PairTopdownAffine')
        img = results['img']
        results = super().transform(results)
        if results['flip']:
            # A contiguous copy: OpenCV takes ten times as long for MMPose's mirrored view.
            results['img'] = cv2.flip(img, 1)
            h, w = results['img_shape']
            if 'pair_bboxes' in results:
                results['pair_bboxes'] = flip_bbox(results['pair_bboxes'], (w, h), 'xyxy')
            if 'ankles' in results:
                results['ankles'] = results['ankles'].copy()
                results['ankles'][:, 0] = w - 1 - results['ankles'][:, 0]
        return results


@TRANSFORMS.register_module()
class PairTopdownAffine(TopdownAffine):
    """Crop the box around both persons to the network's input.

    The coordinates in the image (flipped where ``flip``) keep their names; those in the input
    (input px) are added. A rotated person's box becomes the upright box around its four corners.
    P persons, of a pair 2.

    Required Keys: img, bbox_center, bbox_scale, pair_bboxes (P, 4); bbox_rotation, keypoints,
    ankles (optional).

    Modified Keys: img, bbox_scale.

    Added Keys: input_size (w, h), input_center, input_scale, pair_bboxes_input (1, P, 4) xyxy input
    px (may reach beyond the input), pair_down (1, P, 2) unit vector in the input that points down
    in the image, at each person, transformed_keypoints (P, K, 2) input px, ankles_input (M, 4)
    input px (optional).

    Args:
        input_size: (w, h) px.
    """

    def __init__(self, input_size: tuple[int, int]) -> None:
        super().__init__(input_size=tuple(input_size))

    def transform(self, results: dict) -> dict:
        results = super().transform(results)
        rotation = results['bbox_rotation'][0] if 'bbox_rotation' in results else 0.0
        warp = get_warp_matrix(
            results['input_center'], results['input_scale'], rotation, self.input_size
        )
        boxes = results['pair_bboxes'].astype(np.float64)
        corners = cv2.transform(boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]], warp)  # (2, 4, 2)
        hulls = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=-1)
        results['pair_bboxes_input'] = hulls[None].astype(np.float32)
        down = warp[:, 1] / np.linalg.norm(warp[:, 1])
        results['pair_down'] = np.tile(down, (1, len(boxes), 1)).astype(np.float32)
        if 'ankles' in results:
            moved = results['ankles'].copy()
            if len(moved):
                moved[:, :2] = cv2.transform(moved[None, :, :2], warp)[0]
            moved[:, 2:] *= np.sqrt(abs(np.linalg.det(warp[:, :2])))
            results['ankles_input'] = moved
        return results


@TRANSFORMS.register_module()
class RemoveAnkles(Transform):
    """RD protocol 2: cover every labelled ankle in the crop with a square, of whichever person.

    It comes after ``PairTopdownAffine``. The square's side is a share of the knee-ankle length or
    of the person's scale S. Where only the other of the two is known, that one times 1.8 (or
    divided by it) is used; where neither is, the median of the image's other ankles.

    Required Keys: img, ankles_input (M, 4) input px: x, y, knee-ankle length, S. Modified Keys:
    img.

    Args:
        share: side of the square / length. The default covers a foot: 0.6 of a shank is 0.26 m.
        relative_to: ``'shank'`` or ``'scale'``.
        fill: ``'mean'``, the crop's mean colour, or ``'gray'``.

    Raises:
        ValueError: an unknown switch, or a share that is not positive.
    """

    def __init__(self, share: float = 0.6, relative_to: str = 'shank', fill: str = 'mean') -> None:
        if not share > 0 or relative_to not in ('shank', 'scale') or fill not in ('mean', 'gray'):
            raise ValueError(
                "RemoveAnkles: share must be positive, relative_to 'shank' or 'scale', fill 'mean' "
                f"or 'gray', got {share}, {relative_to!r}, {fill!r}"
            )
        self.share, self.relative_to, self.fill = share, relative_to, fill

    def sides(self, ankles: np.ndarray) -> np.ndarray:
        """Return the sides (M,) input px of the squares for ankles (M, 4).

        Raises:
            ValueError: nobody's length is known.
        """
        lengths, other = ankles[:, 2:].T.astype(np.float64)
        factor = SHANK_PER_SCALE
        if self.relative_to == 'scale':
            lengths, other, factor = other, lengths, 1 / SHANK_PER_SCALE
        lengths = np.where(np.isfinite(lengths), lengths, other * factor)
        known = np.isfinite(lengths)
        if len(lengths) and not known.any():
            raise ValueError(
                'RemoveAnkles: no ankle has a knee-ankle length or a scale to size its square by'
            )
        return self.share * np.where(
            known, lengths, np.median(lengths[known] if len(ankles) else 0)
        )

    def transform(self, results: dict) -> dict:
        """Cover the ankles.

        Raises:
            KeyError: the sample carries no ankles, so that nothing could be removed.
        """
        if 'ankles_input' not in results:
            raise KeyError(
                "RemoveAnkles needs 'ankles_input': it comes after PairTopdownAffine, on samples "
                'with keypoints'
            )
        ankles = results['ankles_input']
        img = results['img'].copy()
        color = img.mean(axis=(0, 1)).round() if self.fill == 'mean' else 128
        # Pixel centres are at integers: the square covers those within half a side, and the
        # ankle's own.
        half = np.maximum(self.sides(ankles) / 2, 0.5)[:, None]
        size = img.shape[1::-1]
        low = np.clip(np.ceil(ankles[:, :2] - half), 0, size).astype(int)
        high = np.clip(np.floor(ankles[:, :2] + half) + 1, 0, size).astype(int)
        for (left, top), (right, bottom) in zip(low, high, strict=True):
            img[top:bottom, left:right] = color
        results['img'] = img
        return results


@TRANSFORMS.register_module()
class PairRandomPerspective(Transform):
    """Turn the crop and move its corners at random, so that a place in it tells less of the depth.

    It comes after ``PairTopdownAffine`` and before the targets. Who is nearer stays; sizes of
    persons change with the place, so ``distortion`` should be small where sizes are to be learned.
    A person's box becomes the upright box around its warped part inside the crop. Outside of the
    old crop its border is repeated.

    Required Keys: img (H, W, 3), pair_bboxes_input (1, P, 4), pair_down (1, P, 2);
    transformed_keypoints (P, K, 2), ankles_input (M, 4) (optional). Modified Keys: the same.

    Args:
        prob: probability, 0 to 1.
        rotate_factor: largest angle, degrees, 0 to 180; the draw is uniform.
        distortion: each corner moves by up to this share of the side along each axis, 0 to below
            0.25 (up to there the crop stays convex).

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(
        self, prob: float = 0.5, rotate_factor: float = 30.0, distortion: float = 0.1
    ) -> None:
        if not 0 <= prob <= 1 or not 0 <= rotate_factor <= 180 or not 0 <= distortion < 0.25:
            raise ValueError(
                'PairRandomPerspective: prob must lie in 0 to 1, rotate_factor in 0 to 180 '
                f'degrees, distortion in 0 to below 0.25, got {prob}, {rotate_factor}, {distortion}'
            )
        self.prob, self.rotate_factor, self.distortion = prob, rotate_factor, distortion

    def _homography(self, width: int, height: int) -> np.ndarray:
        """Draw a warp (3, 3) of the crop's px."""
        corners = np.float32([[0, 0], [1, 0], [1, 1], [0, 1]]) * [width - 1, height - 1]
        moved = corners + np.random.uniform(-1, 1, (4, 2)) * self.distortion * [width, height]
        warp = cv2.getPerspectiveTransform(np.float32(corners), np.float32(moved))
        angle = np.random.uniform(-self.rotate_factor, self.rotate_factor)
        turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
        return np.vstack([turn, [0, 0, 1]]) @ warp

    def transform(self, results: dict) -> dict:
        """Warp or not.

        Raises:
            KeyError: the pair is not cropped yet.
        """
        if 'pair_bboxes_input' not in results:
            raise KeyError(
                "PairRandomPerspective needs 'pair_bboxes_input': it comes after PairTopdownAffine"
            )
        if np.random.rand() >= self.prob:
            return results
        height, width = results['img'].shape[:2]
        warp = self._homography(width, height)
        results['img'] = cv2.warpPerspective(
            results['img'], warp, (width, height), borderMode=cv2.BORDER_REPLICATE
        )
        boxes = results['pair_bboxes_input'][0].astype(np.float64)
        # A little way beyond the crop a warp may have its horizon.
        limits = np.array([width - 1, height - 1, width - 1, height - 1])
        outside = (boxes[:, 2:] < 0).any(-1) | (boxes[:, :2] > limits[:2]).any(-1)
        inside = np.clip(boxes, 0, limits)
        corners = _warped(inside[:, [[0, 1], [2, 1], [2, 3], [0, 3]]], warp)[0]
        hulls = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=-1)
        # Somebody wholly outside stays where nobody looks.
        hulls = np.where(outside[:, None], boxes, hulls)
        results['pair_bboxes_input'] = hulls[None].astype(np.float32)
        middles = (inside[:, :2] + inside[:, 2:]) / 2
        turned = np.einsum('pij,pj->pi', _warped(middles, warp)[1], results['pair_down'][0])
        turned /= np.linalg.norm(turned, axis=-1, keepdims=True)
        results['pair_down'] = turned[None].astype(np.float32)
        if 'transformed_keypoints' in results:
            keypoints = results['transformed_keypoints']
            moved = np.array(keypoints)
            moved[..., :2] = _warped(keypoints[..., :2], warp)[0]
            results['transformed_keypoints'] = moved
        if 'ankles_input' in results:
            ankles = results['ankles_input'].copy()
            ankles[:, :2], jacobians = _warped(ankles[:, :2], warp)
            ankles[:, 2:] *= np.sqrt(np.abs(np.linalg.det(jacobians)))[:, None]
            results['ankles_input'] = ankles
        return results


def _warped(points: np.ndarray, warp: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Warp points (..., 2) px by a homography (3, 3).

    Returns:
        Points (..., 2), and the warp's derivatives there, (..., 2, 2). What lies at the horizon or
        beyond goes far away from any crop: -1e4.
    """
    homogeneous = points.astype(np.float64) @ warp[:, :2].T + warp[:, 2]
    scale = homogeneous[..., 2:]
    seen = scale > 1e-2
    scale = np.where(seen, scale, 1.0)
    moved = homogeneous[..., :2] / scale
    jacobians = (warp[:2, :2] - moved[..., None] * warp[2, :2]) / scale[..., None]
    return np.where(seen, moved, -1e4), jacobians


@TRANSFORMS.register_module()
class RandomHideLegs(Transform):
    """Hide feet, lower legs or whole legs of some persons of the pair, in training.

    As behind a table or grass: each leg, from a drawn joint to the foot, is painted over with one
    colour or another part of the image. Labels stay: hidden joints are learned, and who is nearer
    has to be seen elsewhere. RD protocol 2, which tests, is :class:`RemoveAnkles`. It comes after
    ``PairTopdownAffine``.

    Required Keys: img (H, W, 3), transformed_keypoints (2, K, 2) input px, keypoints_visible (2,
    K), pair_bboxes_input (1, 2, 4). Modified Keys: img.

    Args:
        prob: probability for each person, 0 to 1.
        width: of what hides a leg, share of the longer side of the person's box.
        joint_set: name of the joints' set.

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(self, prob: float = 0.3, width: float = 0.15, joint_set: str = 'mcpc16') -> None:
        if not 0 <= prob <= 1 or not width > 0:
            raise ValueError(
                f'RandomHideLegs: prob must lie in 0 to 1, width be positive, got {prob}, {width}'
            )
        self.prob, self.width, self.joint_set = prob, width, joint_set
        joints = get_joint_set(joint_set)
        self._legs = [
            [joints.index(f'{side}_{joint}') for joint in ('ankle', 'knee', 'hip')]
            for side in ('left', 'right')
        ]

    def transform(self, results: dict) -> dict:
        """Hide or not.

        Raises:
            KeyError: the pair is not cropped yet, or has no joints.
        """
        if 'transformed_keypoints' not in results:
            raise KeyError(
                "RandomHideLegs needs 'transformed_keypoints': it comes after PairTopdownAffine, "
                'on samples with keypoints'
            )
        for person, box in enumerate(results['pair_bboxes_input'][0]):
            if np.random.rand() >= self.prob:
                continue
            count = np.random.randint(1, 4)  # of a leg's joints, from the ankle up
            thickness = max(round(self.width * float((box[2:] - box[:2]).max())), 1)
            mask = np.zeros(results['img'].shape[:2], np.uint8)
            for leg in self._legs:
                hidden = [j for j in leg[:count] if results['keypoints_visible'][person, j] > 0]
                points = results['transformed_keypoints'][person, hidden, :2].round()
                if hidden:  # closed, so that a single joint is a dot as thick as the line
                    cv2.polylines(mask, [points.astype(np.int32)], True, 1, thickness)
            img = results['img']
            results['img'] = np.where(mask[..., None] > 0, random_fill(img), img)
        return results


@TRANSFORMS.register_module()
class PackPairInputs(PackInstance):
    """Pack a pair as one instance.

    - gt_instances (numpy): bboxes (1, 4) around both, bbox_scores (1,), pair_bboxes (1, 2, 4) xyxy
      px of the image, and where labelled pair_keypoints (1, 2, K, 2) px of the image, pair_visible
      (1, 2, K), pair_ann_ids (1, 2), pair_gap (1,), pair_stand_in (1,), depth_label (1,),
      depth_weight (1,). The image is flipped where ``flip``.
    - gt_instance_labels (tensors): pair_bboxes_input (1, 2, 4) xyxy input px, pair_down (1, 2, 2),
      and what the codec made.
    - gt_fields (tensors): what the codec made.
    - metainfo: ``meta_keys``.

    Args:
        meta_keys: what goes to the sample's metainfo, where it is there.
    """

    instance_mapping_table = dict(
        bbox='bboxes',
        bbox_score='bbox_scores',
        pair_bboxes='pair_bboxes',
        pair_keypoints='pair_keypoints',
        pair_visible='pair_visible',
        pair_ann_ids='pair_ann_ids',
        pair_gap='pair_gap',
        pair_stand_in='pair_stand_in',
        depth_label='depth_label',
        depth_weight='depth_weight',
    )
    label_mapping_table = dict(pair_bboxes_input='pair_bboxes_input', pair_down='pair_down')

    def __init__(self, meta_keys: Sequence[str] = PAIR_META_KEYS) -> None:
        super().__init__(meta_keys)

    def transform(self, results: dict) -> dict:
        pair = dict(to_image_frame(results))
        for name, key in (
            ('pair_bboxes', 'pair_bboxes'),
            ('pair_keypoints', 'keypoints'),
            ('pair_visible', 'keypoints_visible'),
            ('pair_ann_ids', 'pair_ann_ids'),
        ):
            if key in pair and (key != 'keypoints_visible' or 'keypoints' in pair):
                pair[name] = np.asarray(pair[key])[None]
        return super().transform(pair)
