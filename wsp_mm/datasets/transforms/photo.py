# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Changes of the image alone that make training on synthetic images carry over to photographs."""

import cv2
import numpy as np
from mmpose.registry import TRANSFORMS

from wsp_mm.datasets.transforms.base import Transform


@TRANSFORMS.register_module()
class RandomPhotoEffects(Transform):
    """Light, colour, blur, noise and compression as in photographs, each drawn on its own.

    In this order: contrast and brightness, gamma, colour gains, saturation (now and then none at
    all), blur by a Gaussian or by a smaller image, noise, JPEG.

    Required Keys: img (H, W, 3) uint8 BGR. Modified Keys: img.

    Args:
        prob: of each effect, 0 to 1.
        max_blur: px, largest standard deviation of the Gaussian.
        min_quality: lowest quality of the JPEG, 1 to 95.

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(self, prob: float = 0.5, max_blur: float = 1.5, min_quality: int = 30) -> None:
        if not 0 <= prob <= 1 or max_blur < 0.1 or not 1 <= min_quality <= 95:
            raise ValueError(
                'RandomPhotoEffects: prob must lie in 0 to 1, max_blur be at least 0.1, '
                f'min_quality lie in 1 to 95, got {prob}, {max_blur}, {min_quality}'
            )
        self.prob, self.max_blur, self.min_quality = prob, max_blur, min_quality

    def transform(self, results: dict) -> dict:
        """Change the image."""
        img = self._color(results['img'])
        height, width = img.shape[:2]
        if self._draw():
            if np.random.rand() < 0.5:
                img = cv2.GaussianBlur(img, (0, 0), np.random.uniform(0.1, self.max_blur))
            else:
                scale = np.random.uniform(0.35, 1)
                size = max(1, round(width * scale)), max(1, round(height * scale))
                small = cv2.resize(img, size, interpolation=cv2.INTER_AREA)
                img = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
        if self._draw():
            noise = np.random.normal(0, np.random.uniform(1, 12), img.shape).astype(np.int16)
            img = cv2.add(img, noise, dtype=cv2.CV_8U)
        if self._draw():
            quality = int(np.random.uniform(self.min_quality, 95))
            data = cv2.imencode('.jpg', img, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
            img = cv2.imdecode(data, cv2.IMREAD_COLOR)
        results['img'] = img
        return results

    def _draw(self) -> bool:
        return np.random.rand() < self.prob

    def _color(self, img: np.ndarray) -> np.ndarray:
        levels = np.repeat(np.arange(256, dtype=np.float32)[:, None] / 255, 3, axis=1)
        if self._draw():
            levels = (levels - 0.5) * np.random.uniform(0.5, 1.3) + 0.5
            levels += np.random.uniform(-0.2, 0.2)
        if self._draw():
            levels = np.clip(levels, 0, 1) ** np.exp(np.random.uniform(-0.5, 0.5))
        if self._draw():
            levels *= np.random.uniform(0.75, 1.25, 3).astype(np.float32)
        img = cv2.LUT(img, np.clip(levels * 255 + 0.5, 0, 255).astype(np.uint8)[None])
        if self._draw():
            gray = cv2.cvtColor(cv2.cvtColor(img, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
            share = 0.0 if np.random.rand() < 0.1 else np.random.uniform(0.2, 1.5)
            img = cv2.addWeighted(img, share, gray, 1 - share, 0)
        return img


@TRANSFORMS.register_module()
class RandomFilter(Transform):
    """Replace textures: filter the image by a random kernel over space and colours.

    Xu et al., "Robust and Generalizable Visual Representation Learning via Random Convolutions",
    2021.

    Shapes stay where they are. The result has the image's own mean and standard deviation in each
    channel, and is blended with the image by a share that is uniform in 0 to 1.

    Required Keys: img (H, W, 3) uint8. Modified Keys: img.

    Args:
        prob: probability, 0 to 1.
        sizes: sides of the kernels, px, odd.

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(self, prob: float = 0.5, sizes: tuple[int, ...] = (1, 3, 5)) -> None:
        if not 0 <= prob <= 1 or not sizes or any(size % 2 != 1 for size in sizes):
            raise ValueError(
                f'RandomFilter: prob must lie in 0 to 1, sizes be odd, got {prob}, {sizes}'
            )
        self.prob, self.sizes = prob, tuple(sizes)

    def transform(self, results: dict) -> dict:
        """Filter or not."""
        if np.random.rand() >= self.prob:
            return results
        img = results['img'].astype(np.float32)
        size, mixed = int(np.random.choice(self.sizes)), np.zeros_like(img)
        for channel in range(3):
            kernels = np.random.normal(size=(3, size, size)).astype(np.float32)
            for source in range(3):
                mixed[..., channel] += cv2.filter2D(img[..., source], -1, kernels[source])
        mean, spread = mixed.mean(axis=(0, 1)), mixed.std(axis=(0, 1)) + 1e-6
        mixed = (mixed - mean) / spread * img.std(axis=(0, 1)) + img.mean(axis=(0, 1))
        share = np.random.rand()
        results['img'] = np.clip(share * img + (1 - share) * mixed, 0, 255).astype(np.uint8)
        return results


@TRANSFORMS.register_module()
class RandomPatches(Transform):
    """Hide parts of a crop behind polygons of one colour or of the image itself.

    It comes after the crop. Labels stay: hidden joints are learned.

    Required Keys: img (H, W, 3) uint8. Modified Keys: img.

    Args:
        prob: probability, 0 to 1.
        most: at most this many polygons.
        size: smallest and largest radius, share of the image's shorter side.

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(
        self, prob: float = 0.5, most: int = 3, size: tuple[float, float] = (0.04, 0.2)
    ) -> None:
        if not 0 <= prob <= 1 or most < 1 or not 0 < size[0] <= size[1]:
            raise ValueError(
                'RandomPatches: prob must lie in 0 to 1, most be at least 1, size be (smallest, '
                f'largest), got {prob}, {most}, {size}'
            )
        self.prob, self.most, self.size = prob, most, tuple(size)

    def transform(self, results: dict) -> dict:
        """Hide or not."""
        if np.random.rand() >= self.prob:
            return results
        img = results['img'].copy()
        height, width = img.shape[:2]
        for _ in range(np.random.randint(1, self.most + 1)):
            radius = np.random.uniform(*self.size) * min(height, width)
            angles = np.sort(np.random.uniform(0, 2 * np.pi, np.random.randint(3, 9)))
            middle = np.random.uniform(0, [width, height])
            way = np.stack([np.cos(angles), np.sin(angles)], axis=1)
            points = middle + way * radius * np.random.uniform([0.5, 0.5], [1.5, 1.5])
            mask = np.zeros((height, width), np.uint8)
            cv2.fillPoly(mask, [points.astype(np.int32)], 1)
            img = np.where(mask[..., None] > 0, random_fill(img), img)
        results['img'] = img
        return results


def random_fill(img: np.ndarray) -> np.ndarray:
    """Draw what to paint over an image (H, W, 3) with: a colour (3,), or the image moved."""
    color = np.random.randint(0, 256, 3).astype(np.uint8)
    if np.random.rand() < 0.6:  # another part of the image, which has a texture
        return np.roll(img, np.random.randint(1, img.shape[:2]), axis=(0, 1))
    return color
