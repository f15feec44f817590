# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""MMPose's flip, box jitter and crop, for two persons at once.

Each moves both persons' boxes and every ankle along with picture and joints. None touches person
order or label: mirroring, scaling and turning a picture do not change who is nearer. K joints, M
ankles.
"""

from __future__ import annotations

import cv2
import numpy as np
from mmcv.transforms.utils import cache_randomness
from mmpose.datasets.transforms import RandomBBoxTransform, RandomFlip
from mmpose.registry import TRANSFORMS
from mmpose.structures.bbox import flip_bbox

from wsp_mm.datasets.transforms.read_picture import PictureAffine


@TRANSFORMS.register_module()
class PairRandomFlip(RandomFlip):
    """Mirror the picture left to right, before it is cropped.

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
        """Mirror or not.

        Raises:
            ValueError: the picture is cropped already; its box would be mirrored in the wrong
                frame.
        """
        if 'input_size' in results:
            raise ValueError('PairRandomFlip must come before PairTopdownAffine')
        results = super().transform(results)
        if results['flip']:
            h, w = results['img_shape']
            if 'pair_bboxes' in results:
                results['pair_bboxes'] = flip_bbox(
                    results['pair_bboxes'], (w, h), bbox_format='xyxy'
                )
            if 'ankles' in results:
                results['ankles'] = results['ankles'].copy()
                results['ankles'][:, 0] = w - 1 - results['ankles'][:, 0]
        return results


@TRANSFORMS.register_module()
class PairRandomBBoxTransform(RandomBBoxTransform):
    """Jitter the crop: shift, scale, and turn by any angle. All off by default, as in the paper.

    MMPose's transform with uniform draws: a turn of up to 180 degrees then has no preferred
    direction, which hides where "down" is in the picture.

    Required Keys: bbox_center, bbox_scale. Modified Keys: the same. Added Keys: bbox_rotation (1,)
    degrees.

    Args:
        shift_factor: the centre moves by up to this share of the crop's side.
        shift_prob: probability of a shift.
        scale_factor: smallest and largest factor of the crop's side.
        scale_prob: probability of scaling.
        rotate_factor: largest angle, degrees, 0 to 180.
        rotate_prob: probability of a turn.

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
        if not 0 <= rotate_factor <= 180:
            raise ValueError(f'rotate_factor must lie in 0 to 180 degrees, got {rotate_factor}')
        if not 0 < scale_factor[0] <= scale_factor[1]:
            raise ValueError(
                f'scale_factor must be (smallest, largest), both positive, got {scale_factor}'
            )
        super().__init__(
            shift_factor, shift_prob, scale_factor, scale_prob, rotate_factor, rotate_prob
        )

    @cache_randomness
    def _get_transform_params(self, num_bboxes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Shift (n, 2) as share of the side, scale (n, 1), turn (n,) degrees."""
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
class PairTopdownAffine(PictureAffine):
    """Crop the box around both persons to the network's input.

    The picture's own coordinates (px of the picture, mirrored where ``flip``) stay under their
    names; those in the input (input px) are added. A turned person's box becomes the upright box
    around its four corners.

    Required Keys: img or picture (``ReadPicture``), bbox_center, bbox_scale, pair_bboxes (2, 4);
    bbox_rotation, keypoints, ankles (optional).

    Modified Keys: img, bbox_scale.

    Added Keys: input_size (w, h), input_center, input_scale, pair_bboxes_input (1, 2, 4) xyxy input
    px (may reach beyond the input), transformed_keypoints (2, K, 2) input px, ankles_input (M, 4)
    input px (optional).

    Args:
        input_size: (w, h) px.
    """

    def transform(self, results: dict) -> dict:
        warp = self.crop(results)
        corners = results['pair_bboxes'].astype(np.float64)[
            :, [[0, 1], [2, 1], [2, 3], [0, 3]]
        ]  # (2, 4, 2)
        corners = cv2.transform(corners, warp)
        hulls = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=-1)
        results['pair_bboxes_input'] = hulls[None].astype(np.float32)
        if 'ankles' in results:
            moved = results['ankles'].copy()
            if len(moved):
                moved[:, :2] = cv2.transform(moved[None, :, :2], warp)[0]
            moved[:, 2:] *= np.sqrt(abs(np.linalg.det(warp[:, :2])))
            results['ankles_input'] = moved
        return results
