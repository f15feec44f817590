# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""A rectangle of noise in front of the person."""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmpose.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomOcclusion(BaseTransform):
    """Hide part of the person behind a rectangle of uniform noise, before the picture is mirrored
    or cropped.

    As in PoseNet: the rectangle's area is a uniform share of the crop's, its height over width is
    uniform, and it is placed uniformly in the crop. One that is not wholly inside the picture is
    drawn anew; PoseNet does that without an end, here the picture stays as it is after
    ``max_tries``. Labels stay: hidden joints are learnt.

    Required Keys: img (H, W, 3) uint8 or picture (``ReadPicture``), bbox_center (1, 2), bbox_scale
    (1, 2).

    Modified Keys: img. Added Keys: occlusion (x, y, noise (h, w, 3)) for a picture that is not
    decoded yet.

    Args:
        prob: probability, 0 to 1.
        area: smallest and largest share of the crop's area.
        aspect: smallest and largest height over width.
        max_tries: so many rectangles are drawn at most.

    Raises:
        ValueError: an argument outside of its range; when it is used, a picture that is cropped
            already.
    """

    def __init__(
        self,
        prob: float = 0.5,
        area: tuple[float, float] = (0.0, 0.7),
        aspect: tuple[float, float] = (0.3, 1 / 0.3),
        max_tries: int = 50,
    ) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f'prob must lie in 0 to 1, got {prob}')
        if not 0 <= area[0] <= area[1] or not 0 < aspect[0] <= aspect[1]:
            raise ValueError(
                f'area and aspect must be (smallest, largest), got {area} and {aspect}'
            )
        if max_tries < 1:
            raise ValueError(f'max_tries must be positive, got {max_tries}')
        self.prob, self.area, self.aspect, self.max_tries = (
            prob,
            tuple(area),
            tuple(aspect),
            max_tries,
        )

    def transform(self, results: dict) -> dict:
        """Hide or not."""
        if 'input_size' in results:
            raise ValueError('RandomOcclusion must come before TopdownAffine')
        centre, side = results['bbox_center'][0], results['bbox_scale'][0]
        encoded = 'picture' in results  # then the crop pastes the noise
        shape = results['picture'].size[::-1] if encoded else results['img'].shape[:2]
        found = self._rectangle(tuple(centre.tolist()), tuple(side.tolist()), shape)
        if found is not None:
            x, y, w, h = found
            noise = self._noise(h, w)
            if encoded:
                results['occlusion'] = (x, y, noise)
            else:
                results['img'] = results['img'].copy()
                results['img'][y : y + h, x : x + w] = noise
        return results

    @cache_randomness
    def _rectangle(
        self, centre: tuple[float, float], side: tuple[float, float], shape: tuple[int, int]
    ) -> tuple[int, int, int, int] | None:
        """x, y, w, h px; None for no occlusion.

        Args:
            centre, side: of the crop, px.
            shape: (H, W) of the picture.
        """
        if np.random.rand() >= self.prob:
            return None
        for _ in range(self.max_tries):
            area = np.random.uniform(*self.area) * side[0] * side[1]
            aspect = np.random.uniform(*self.aspect)
            h, w = np.sqrt(area * aspect), np.sqrt(area / aspect)
            x = centre[0] - side[0] / 2 + np.random.rand() * (side[0] - w - 1)
            y = centre[1] - side[1] / 2 + np.random.rand() * (side[1] - h - 1)
            if x >= 0 and y >= 0 and x + w < shape[1] and y + h < shape[0]:
                return int(x), int(y), int(w), int(h)
        return None

    @cache_randomness
    def _noise(self, h: int, w: int) -> np.ndarray:
        return np.random.randint(0, 256, (h, w, 3), dtype=np.uint8)

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(prob={self.prob}, area={self.area}, aspect={self.aspect}, '
            f'max_tries={self.max_tries})'
        )
