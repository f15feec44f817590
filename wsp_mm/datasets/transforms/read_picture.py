# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Reading a picture without decoding more of it than the crop needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine import fileio
from mmpose.datasets.transforms import TopdownAffine
from mmpose.registry import TRANSFORMS
from mmpose.structures.bbox import get_warp_matrix

from wsp_mm.datasets.crop_cache import CachedPicture, CropCache, CropCacheError, how_to
from wsp_mm.datasets.picture import REDUCTIONS, Picture, block_grid


@TRANSFORMS.register_module()
class ReadPicture(BaseTransform):
    """Read a picture's file and leave decoding to the crop (``PersonTopdownAffine``,
    ``PairTopdownAffine``).

    Takes ``LoadImage``'s place. Until the crop, ``img`` is an empty list, which MMPose's transforms
    take for "no pictures to change": mirroring and jitter move boxes and joints alone. A transform
    that changes pixels before the crop needs ``LoadImage``; ``RandomOcclusion`` works with both.

    Required Keys: img_path, or img (H, W, 3) as it is; id, bbox, bbox_extended (``crop_cache``). A
    picture that is there already (a data set of a mixture read it by its own pipeline) stays.

    Added Keys: picture (:class:`~wsp_mm.datasets.picture.Picture` or
    :class:`~wsp_mm.datasets.crop_cache.CachedPicture`), img, img_shape (h, w), ori_shape (h, w).

    Args:
        partial: decode the crop's part of the picture alone, where nvImageCodec is installed; same
            pixels.
        reduce: where the crop is at least twice as large as the input, decode at 1/2, 1/4 or 1/8 of
            the size. Pixels then differ from those of a full decode, which is sampled at points:
            these are means. Pays for pictures of many megapixels.
        color_type: MMCV's flag: 'color', or 'color_ignore_orientation' to leave EXIF's turn aside.
        backend_args: MMEngine's, of the place where the files are.
        crop_cache: folder that tools/dataset_converters/cache_crops.py wrote for this training:
            pictures are taken from there, and all coordinates stay px of the frame. For training
            alone.
    """

    def __init__(
        self,
        partial: bool = True,
        reduce: bool = False,
        color_type: str = 'color',
        backend_args: dict[str, Any] | None = None,
        crop_cache: str | Path | None = None,
    ) -> None:
        self.partial, self.reduce, self.color_type = partial, reduce, color_type
        self.backend_args = None if backend_args is None else dict(backend_args)
        self.crop_cache = None if crop_cache is None else str(crop_cache)
        # Opened here, before workers are forked: they then share what is mapped.
        self.cache = None if crop_cache is None else CropCache(crop_cache)

    def transform(self, results: dict) -> dict:
        """Read.

        Raises:
            FileNotFoundError: no such file.
            ValueError: the file holds no picture; the message names it. The ``crop_cache`` lacks
                the sample.
        """
        if 'picture' in results:
            return results
        if 'img' in results:
            results['img_shape'] = results['ori_shape'] = results['img'].shape[:2]
            results.setdefault('img_path', None)
            return results
        if self.cache is not None:
            picture = self.cache.picture(results, self.partial)
        else:
            path = results['img_path']
            picture = Picture(
                fileio.get(path, self.backend_args), str(path), self.color_type, self.partial
            )
        results['picture'] = picture
        results['reduce'] = self.reduce
        results['img'] = []
        results['img_shape'] = results['ori_shape'] = picture.size[::-1]
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(partial={self.partial}, reduce={self.reduce}, '
            f'color_type={self.color_type!r}, backend_args={self.backend_args}, crop_cache={self.crop_cache!r})'
        )


class PictureAffine(TopdownAffine):
    """MMPose's crop, which decodes a picture that :class:`ReadPicture` left encoded: of it what it
    needs.

    Required Keys: those of ``TopdownAffine``; picture, reduce, flip, occlusion (all optional).

    Modified Keys: img, bbox_scale. Added Keys: those of ``TopdownAffine``.

    Args:
        input_size: (w, h) px.
    """

    def __init__(self, input_size: tuple[int, int]) -> None:
        super().__init__(input_size=tuple(input_size))

    def transform(self, results: dict) -> dict:
        """Crop.

        Raises:
            ValueError: the picture is broken (the message names it), or mirrored otherwise than
                left to right.
        """
        self.crop(results)
        return results

    def crop(self, results: dict) -> np.ndarray:
        """:meth:`transform` in place; returns :meth:`warp`."""
        picture = results.pop('picture', None)
        super().transform(
            results
        )  # which has an empty list of pictures to warp where one is to come
        warp = self.warp(results)
        if picture is not None:
            mirrored = bool(results.get('flip', False))
            if mirrored and results.get('flip_direction', 'horizontal') != 'horizontal':
                raise ValueError(
                    f'RandomFlip with the direction {results["flip_direction"]!r}: ReadPicture mirrors left to '
                    "right alone; put dict(type='LoadImage') in its place"
                )
            results['img'] = warp_picture(
                picture,
                warp,
                self.input_size,
                mirrored=mirrored,
                patch=results.pop('occlusion', None),
                reduce=results.pop('reduce', False),
            )
        return warp

    def warp(self, results: dict) -> np.ndarray:
        """The matrix (2, 3) from px of the picture, mirrored where ``flip``, to input px."""
        rotation = results['bbox_rotation'][0] if 'bbox_rotation' in results else 0.0
        centre, scale = results['bbox_center'][0], results['bbox_scale'][0]
        return get_warp_matrix(centre, scale, rotation, output_size=self.input_size)


@TRANSFORMS.register_module()
class PersonTopdownAffine(PictureAffine):
    """Crop one person, see :class:`PictureAffine`; also of a picture that ``LoadImage`` decoded."""


def warp_picture(
    picture: Picture | CachedPicture,
    warp: np.ndarray,
    input_size: tuple[int, int],
    mirrored: bool = False,
    patch: tuple[int, int, np.ndarray] | None = None,
    reduce: bool = False,
) -> np.ndarray:
    """The crop of a picture, pixel for pixel what warping all of it gives; black beyond the
    picture.

    Args:
        picture: as read. Of a cached part of a frame, "picture" means the frame here; pixels are
            then nearly those of the frame.
        warp: (2, 3), px of the picture (mirrored where ``mirrored``) to input px.
        input_size: (w, h) input px.
        mirrored: mirror the picture left to right before the crop.
        patch: x, y px of the upper left corner in the picture as it is on disk, and pixels (h, w,
            3) that are pasted there before anything else.
        reduce: see :class:`ReadPicture`; not together with a patch.

    Returns:
        (h, w, 3) uint8 BGR.

    Raises:
        CropCacheError: the crop reaches beyond what is cached of the frame.
    """
    if isinstance(picture, CachedPicture):
        return _warp_cached(picture, warp, input_size, mirrored, patch, reduce)
    width, height = picture.size
    if reduce and patch is None and picture.can_reduce():
        factor = _reduction(warp)
        if factor > 1:
            pixels = picture.reduced(factor)
            pixels = cv2.flip(pixels, 1) if mirrored else pixels
            # Pixel i stands for those from i * factor on; mirrored, the last one may stand for
            # fewer, so that the first begins before the picture does.
            beyond = pixels.shape[1] * factor - width if mirrored else 0
            grid = block_grid((factor, factor), (-beyond, 0))
            return cv2.warpAffine(pixels, warp @ grid, input_size, flags=cv2.INTER_LINEAR)
    back = _inverse(warp)
    left, top, right, bottom = _needed(back, input_size, (width, height))
    if left >= right or top >= bottom:
        return np.zeros((input_size[1], input_size[0], 3), dtype=np.uint8)
    on_disk = (width - right, width - left) if mirrored else (left, right)
    pixels = picture.region(on_disk[0], top, on_disk[1], bottom)
    if patch is not None:
        pixels = _paste(pixels, patch, on_disk[0], top)
    if mirrored:
        pixels = cv2.flip(pixels, 1)
    return cv2.remap(pixels, *_maps(back, input_size, (left, top)), cv2.INTER_LINEAR)


def _warp_cached(
    picture: CachedPicture,
    warp: np.ndarray,
    input_size: tuple[int, int],
    mirrored: bool,
    patch: tuple[int, int, np.ndarray] | None,
    reduce: bool,
) -> np.ndarray:
    """:func:`warp_picture` of a cached part of a frame."""
    back = _inverse(warp)
    left, top, right, bottom = picture.part
    needed = _needed(back, input_size, picture.size)
    if needed[0] >= needed[2] or needed[1] >= needed[3]:
        return np.zeros((input_size[1], input_size[0], 3), dtype=np.uint8)
    at = (
        (picture.size[0] - right, top, picture.size[0] - left, bottom) if mirrored else picture.part
    )
    if needed[0] < at[0] or needed[1] < at[1] or needed[2] > at[2] or needed[3] > at[3]:
        raise CropCacheError(
            f'{picture.name}: the crop takes left, top, right, bottom {needed} px'
            f'{" (mirrored)" if mirrored else ""}, but {at} are cached: the cache was made for other '
            f'augmentation. {how_to("DIR")}'
        )
    grid = picture.grid(mirrored)
    crop = warp_picture(picture.stored, warp @ grid, input_size, mirrored, reduce=reduce)
    return crop if patch is None else _cover(crop, patch, warp, picture.size[0], mirrored)


def _cover(
    crop: np.ndarray,
    patch: tuple[int, int, np.ndarray],
    warp: np.ndarray,
    width: int,
    mirrored: bool,
) -> np.ndarray:
    """Lay a patch, which is in px of the frame, on a crop that was made without it.

    Pasted into a reduced frame it would have to be reduced as well, and noise loses contrast by
    that. Warped by itself it keeps its pixels: within it they are those of a frame with the patch
    on it.

    Args:
        crop: (h, w, 3), changed.
        patch: x, y px of the frame, pixels (h, w, 3).
        warp: (2, 3) px of the frame, mirrored where ``mirrored``, to input px.
        width: of the frame, px.
    """
    x, y, content = patch
    if not content.size:
        return crop
    if mirrored:
        x, content = width - x - content.shape[1], cv2.flip(content, 1)
    height, wide = content.shape[:2]
    corners = warp[:, :2] @ np.array(
        [[x - 1, x + wide, x - 1, x + wide], [y - 1, y - 1, y + height, y + height]]
    )
    corners += warp[:, 2:]
    low = np.clip(np.floor(corners.min(axis=1)).astype(int), 0, crop.shape[1::-1]).tolist()
    high = np.clip(np.ceil(corners.max(axis=1)).astype(int) + 1, 0, crop.shape[1::-1]).tolist()
    if low[0] >= high[0] or low[1] >= high[1]:
        return crop
    maps = _maps(_inverse(warp), (high[0] - low[0], high[1] - low[1]), (x, y), low)
    below = crop[low[1] : high[1], low[0] : high[0]]
    share = cv2.remap(np.full((height, wide), 255, dtype=np.uint8), *maps, cv2.INTER_LINEAR)
    # At its edge a pixel of the input is read from both; what the patch has of it is in the warped
    # patch, whose surroundings are black.
    rest = cv2.multiply(below, cv2.cvtColor(255 - share, cv2.COLOR_GRAY2BGR), scale=1 / 255)
    below[...] = cv2.add(cv2.remap(content, *maps, cv2.INTER_LINEAR), rest)
    return crop


def _inverse(warp: np.ndarray) -> np.ndarray:
    """Input px to px of the picture, (2, 3), in the order of operations of OpenCV's warpAffine."""
    (a, b, x), (c, d, y) = warp.tolist()
    scale = 1 / (a * d - b * c)
    a, b, c, d = d * scale, b * -scale, c * -scale, a * scale
    return np.array([[a, b, -a * x - b * y], [c, d, -c * x - d * y]])


def _maps(
    back: np.ndarray,
    input_size: tuple[int, int],
    origin: tuple[int, int],
    first: Sequence[int] = (0, 0),
) -> tuple[np.ndarray, np.ndarray]:
    """Where in a part of a picture each pixel of the input is read, in ``cv2.remap``'s whole px and
    1/32 px.

    These are the integers that warpAffine computes of the whole picture, less the part's origin.
    Given the part's own matrix it would now and then round the other way, which is seen at sharp
    edges.

    Args:
        back: (2, 3) input px to px of the picture.
        input_size: (w, h).
        origin: left, top px of the part.
        first: x, y of the first pixel of the input.

    Returns:
        (h, w, 2) int16 x, y and (h, w) uint16, 32 * y + x of the remainders.
    """
    columns, rows = (
        np.arange(start, start + count) for start, count in zip(first, input_size, strict=True)
    )
    x, y = (
        _places(factor * columns, other * rows + offset, start)
        for (factor, other, offset), start in zip(back.tolist(), origin, strict=True)
    )
    whole = np.empty((input_size[1], input_size[0], 2), dtype=np.int16)
    whole[..., 0], whole[..., 1] = x >> 5, y >> 5
    rest = np.empty(whole.shape[:2], dtype=np.uint16)
    rest[...] = (y & 31) << 5 | (x & 31)
    return whole, rest


def _places(along: np.ndarray, across: np.ndarray, start: int) -> np.ndarray:
    """One coordinate in 1/32 px, (h, w), or (1, w) or (h, 1) where it does not change along the
    other axis.
    """
    along, across = (np.rint(1024 * values).astype(np.int32) for values in (along, across))
    across += 16 - 1024 * start
    along = along[:1] if (along == along[0]).all() else along
    across = across[:1] if (across == across[0]).all() else across
    # What is farther away than 16 bits say is beyond the picture all the same.
    return np.clip((across[:, None] + along) >> 5, -(1 << 20), (1 << 20) - 1)


def _needed(
    back: np.ndarray, input_size: tuple[int, int], size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Left, top, right, bottom px of the part of a picture that a crop reads; the ends are
    exclusive.
    """
    w, h = input_size
    corners = back[:, :2] @ np.array([[0, w, 0, w], [0, 0, h, h]]) + back[:, 2:]
    low = np.floor(corners.min(axis=1)).astype(int) - 2
    high = np.ceil(corners.max(axis=1)).astype(int) + 3
    left, top = np.clip(low, 0, size).tolist()
    right, bottom = np.clip(high, 0, size).tolist()
    return left, top, right, bottom


def _reduction(warp: np.ndarray) -> int:
    """The largest reduction that leaves at least a pixel of the picture for each of the input; 1
    for none.
    """
    shrink = 1 / np.sqrt(abs(np.linalg.det(warp[:, :2])))
    return max((factor for factor in REDUCTIONS if factor <= shrink), default=1)


def _paste(
    pixels: np.ndarray, patch: tuple[int, int, np.ndarray], left: int, top: int
) -> np.ndarray:
    """A copy of the part of a picture that begins at ``left, top`` with the patch on it."""
    x, y, content = patch
    pixels = pixels.copy()
    height, width = pixels.shape[:2]
    x0, y0 = max(x, left), max(y, top)
    x1, y1 = min(x + content.shape[1], left + width), min(y + content.shape[0], top + height)
    if x0 < x1 and y0 < y1:
        pixels[y0 - top : y1 - top, x0 - left : x1 - left] = content[
            y0 - y : y1 - y, x0 - x : x1 - x
        ]
    return pixels
