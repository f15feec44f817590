# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Another brightness for each colour."""

from __future__ import annotations

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmpose.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ChannelGain(BaseTransform):
    """Multiply each colour channel by a number of its own, uniform in ``gain``, and clip to 0 to
    255.

    PoseNet's only change of colour. Rounded, so that the picture stays uint8. A table of 256 values
    a channel does it in no time.

    Required Keys: img (H, W, 3) uint8. Modified Keys: img.

    Args:
        gain: smallest and largest factor.

    Raises:
        ValueError: factors that are negative or not in order; when it is used, a picture that is
            not uint8.
    """

    def __init__(self, gain: tuple[float, float] = (0.8, 1.2)) -> None:
        if not 0 <= gain[0] <= gain[1]:
            raise ValueError(f'gain must be (smallest, largest), not negative, got {gain}')
        self.gain = float(gain[0]), float(gain[1])

    @cache_randomness
    def _factors(self) -> np.ndarray:
        return np.random.uniform(*self.gain, 3)

    def transform(self, results: dict) -> dict:
        """Multiply."""
        if results['img'].dtype != np.uint8:
            raise ValueError(f'ChannelGain needs a picture of uint8, got {results["img"].dtype}')
        table = np.clip(np.rint(np.arange(256)[:, None] * self._factors()), 0, 255).astype(np.uint8)
        results['img'] = cv2.LUT(results['img'], table[None])
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(gain={self.gain})'
