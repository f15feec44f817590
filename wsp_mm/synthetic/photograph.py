# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""What a camera makes of the picture that falls into it: a soft lens and noise."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np


def lens_and_grain(image: np.ndarray, blur: float, grain: float, seed: Sequence[int]) -> np.ndarray:
    """Blur a picture and add noise.

    Args:
        image: (H, W, 3) uint8. blur: px, standard deviation. grain: standard deviation of the noise
            in grey levels, 0 for none. seed: of the noise.

    Returns:
        (H, W, 3) uint8.
    """
    height, width = image.shape[:2]
    image = cv2.GaussianBlur(image, (0, 0), blur)
    if not grain:
        return image
    # A tile of noise, repeated: as good as fresh noise and much cheaper.
    tile = np.random.default_rng(seed).normal(0, grain, (128, 128)).astype(np.int16)
    noise = np.tile(tile, (-(-height // 128), -(-width // 128)))[:height, :width]
    return cv2.add(image, cv2.merge([noise, noise, noise]), dtype=cv2.CV_8U)
