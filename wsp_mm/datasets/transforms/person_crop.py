# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Which square of the picture is cropped, as PoseNet does it."""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmpose.datasets.transforms import RandomBBoxTransform
from mmpose.registry import TRANSFORMS

from wsp_mm.structures.bbox import PADDING, crop_box, to_sides


@TRANSFORMS.register_module()
class PersonCenterScale(BaseTransform):
    """Centre and sides of the crop, from the labelled box: clipped, grown to the input's aspect,
    padded.

    A box that is extended already (RootNet's) is taken as it is. Also sees that the picture has the
    size that the annotation gives, where it gives one: otherwise boxes and joints are in other
    pixels than the picture.

    Required Keys: bbox (1, 4) xyxy px, img_shape; bbox_extended, picture_size (w, h),
    picture_size_slack px (optional).

    Added Keys: bbox_center (1, 2) px, bbox_scale (1, 2) px. Those that a data set brings along
    (MMPose's MPII) are replaced.

    Args:
        padding: share by which both sides grow.
        aspect: width over height of the network's input.
        skip_bad: a sample with a bad box is left out, and training draws another; otherwise it is
            an error.

    Raises:
        ValueError: a picture of another size than annotated, or a box without area within the
            picture.
    """

    def __init__(
        self, padding: float = PADDING, aspect: float = 1.0, skip_bad: bool = False
    ) -> None:
        if not padding > 0 or not aspect > 0:
            raise ValueError(f'padding and aspect must be positive, got {padding} and {aspect}')
        self.padding, self.aspect, self.skip_bad = float(padding), float(aspect), skip_bad

    def transform(self, results: dict) -> dict | None:
        """Add centre and sides; None for a bad box with ``skip_bad``."""
        height, width = results['img_shape'][:2]
        self._check_size(results, (width, height))
        box = to_sides(np.asarray(results['bbox'][0], dtype=np.float64))
        crop = (
            box
            if results.get('bbox_extended')
            else crop_box(box, (width, height), self.aspect, self.padding)
        )
        if crop is None or not (crop[2:] > 0).all():
            if self.skip_bad:
                return None
            raise ValueError(
                f'{results.get("img_path")}: annotation {results.get("id")}: the box {box.tolist()} (x, y, w, '
                f'h) has no area within its picture of {width} x {height} px; mend the annotation, or set '
                'skip_bad=True of PersonCenterScale to go on without such samples'
            )
        results['bbox_center'] = (crop[:2] + crop[2:] / 2)[None].astype(np.float32)
        results['bbox_scale'] = crop[None, 2:].astype(np.float32)
        return results

    @staticmethod
    def _check_size(results: dict, size: tuple[int, int]) -> None:
        annotated = results.get('picture_size')
        if annotated is None:
            return
        slack = results.get('picture_size_slack', 0)
        if max(abs(a - b) for a, b in zip(annotated, size, strict=True)) > slack:
            raise ValueError(
                f'{results.get("img_path")} is of {size[0]} x {size[1]} px, but its annotation (image '
                f'{results.get("img_id")}) says {annotated[0]} x {annotated[1]}: pictures and annotations are '
                'not of the same release, or the pictures were resized'
            )

    def __repr__(self) -> str:
        return f'{type(self).__name__}(padding={self.padding}, aspect={self.aspect}, skip_bad={self.skip_bad})'


@TRANSFORMS.register_module()
class PersonRandomBBoxTransform(RandomBBoxTransform):
    """Scale and turn the crop: PoseNet's draws.

    The scale is 1 + ``scale`` x a standard normal number cut at +-1, always drawn. The turn is
    ``rotation`` x a standard normal number cut at +-2, with probability ``rotate_prob``. Cut
    numbers pile up at the ends (MMPose's own transform draws anew instead). The depth of a joint is
    neither scaled nor turned.

    Required Keys: bbox_center, bbox_scale. Modified Keys: the same. Added Keys: bbox_rotation (1,)
    degrees.

    Args:
        scale: as above, 0 to less than 1.
        rotation: degrees, 0 to 90.
        rotate_prob: 0 to 1.

    Raises:
        ValueError: an argument outside of its range.
    """

    def __init__(
        self, scale: float = 0.25, rotation: float = 30.0, rotate_prob: float = 0.6
    ) -> None:
        if not 0 <= scale < 1 or not 0 <= rotation <= 90 or not 0 <= rotate_prob <= 1:
            raise ValueError(
                'scale must lie in 0 to 1, rotation in 0 to 90 degrees, rotate_prob in 0 to 1, got '
                f'{scale}, {rotation}, {rotate_prob}'
            )
        super().__init__(0.0, 0.0, (1 - scale, 1 + scale), 1.0, rotation, rotate_prob)
        self.scale = scale

    @cache_randomness
    def _get_transform_params(self, num_bboxes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """No shift (n, 2), scale (n, 1), turn (n,) degrees."""
        scale = 1 + self.scale * np.clip(np.random.randn(num_bboxes, 1), -1, 1)
        turn = self.rotate_factor * np.clip(np.random.randn(num_bboxes), -2, 2)
        turned = np.random.rand(num_bboxes) < self.rotate_prob
        return np.zeros((num_bboxes, 2), dtype=np.float32), scale, np.where(turned, turn, 0.0)
