# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Load only the part of an image that the crop shows.

Decoding is most of the work of loading. Of a JPEG everything above the part must be read through
(its code words have no fixed length), but neither transformed nor converted to colours, and what
lies below is not read at all. This needs nvImageCodec (``requirements/fast.txt``), which runs on
the processor here. Without it the whole image is decoded, and what follows still works on a part.
"""

import io
import os
from contextlib import contextmanager, suppress
from pathlib import Path

import cv2
import mmcv
import numpy as np
from mmpose.registry import TRANSFORMS
from PIL import Image

from wsp_mm.datasets.transforms.base import Transform, move_coordinates

_ORIENTATION = 0x0112  # EXIF's tag
_MARGIN = 2  # px around the crop: bilinear sampling reads the neighbours


@TRANSFORMS.register_module()
class LoadCropImage(Transform):
    """Load the part of an image that the crop shows, in place of ``LoadImage``.

    Put it after the transforms that choose the crop (``SamplePersonPair`` or ``PersonCenterScale``,
    and the random change of the box), and before those that flip, change pixels or crop. ``img`` is
    then an image like any other, all coordinates are px of it, and MMPose's transforms need not
    know. ``PackPairInputs`` and ``PackPose3DInputs`` return to px of the whole image. The crop is
    that of ``LoadImage`` but for rounding in the interpolation.

    An ``img`` that is there already (H, W, 3) is cut instead of loaded. For files that are not on a
    local disk, put ``LoadImage`` first.

    Required Keys: img_path or img; bbox_center (1, 2) px, bbox_scale (1, 2) px; bbox_rotation (1,)
    degrees (optional).

    Modified Keys: bbox_center, bbox, keypoints, pair_bboxes, ankles (those that are there).

    Added Keys: img (h, w, 3) uint8 BGR, img_shape (h, w) of the part, ori_shape (h, w) of the
    image, img_offset (x, y) px of the part in the image, loaded_crop (width px, height px,
    degrees).

    Args:
        aspect: width / height of the network's input. The crop grows to it, as in MMPose.
    """

    def __init__(self, aspect: float = 1.0) -> None:
        self.aspect = aspect

    def transform(self, results: dict) -> dict:
        """Load the part.

        Raises:
            FileNotFoundError: no such file.
            ValueError: the file is not an image; the message names it.
        """
        data = None if 'img' in results else Path(results['img_path']).read_bytes()
        height, width = image_shape(results, data)
        w, h = results['bbox_scale'][0].tolist()
        w, h = max(w, h * self.aspect), max(h, w / self.aspect)
        rotation = float(results['bbox_rotation'][0]) if 'bbox_rotation' in results else 0.0
        cos, sin = abs(np.cos(np.deg2rad(rotation))), abs(np.sin(np.deg2rad(rotation)))
        half = np.array([w * cos + h * sin, w * sin + h * cos]) / 2 + _MARGIN
        low = np.floor(results['bbox_center'][0] - half)
        high = np.ceil(results['bbox_center'][0] + half)
        left, top = np.clip(low, 0, (width - 1, height - 1)).astype(int).tolist()
        right, bottom = np.clip(high, (left + 1, top + 1), (width, height)).astype(int).tolist()
        if 'img' in results:
            results['img'] = results['img'][top:bottom, left:right]
        else:
            results['img'] = _decode(data, results, left, top, right, bottom)
        results['ori_shape'] = (height, width)
        results['img_shape'] = (bottom - top, right - left)
        results['img_offset'] = (left, top)
        results['loaded_crop'] = (w, h, rotation)
        move_coordinates(results, -left, -top)
        return results


def image_shape(results: dict, data: bytes | None = None) -> tuple[int, int]:
    """Return (h, w) px of a sample's image; add img_shape and ori_shape.

    The size comes from ``img_shape``, ``img`` or the header of the file. Where the header does not
    tell what OpenCV makes of the file (it is no JPEG, has unusual colours or is to be turned by
    EXIF's orientation), the image is decoded, and ``img`` is added.

    Args:
        results: with img_shape, img or img_path.
        data: content of the file, where it was read already.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is not an image.
    """
    if 'img_shape' not in results:
        shape = None
        if 'img' not in results:
            shape = _jpeg_shape(results['img_path'] if data is None else io.BytesIO(data))
        if shape is None and 'img' not in results:
            data = Path(results['img_path']).read_bytes() if data is None else data
            results['img'] = _decode_whole(data, results)
        results['img_shape'] = results['ori_shape'] = shape or results['img'].shape[:2]
    return results['img_shape']


def _jpeg_shape(file: str | io.BytesIO) -> tuple[int, int] | None:
    """(h, w) of a JPEG in usual colours that is stored upright; None for any other file."""
    # OpenCV decides about files that Pillow does not understand.
    with suppress(Exception), Image.open(file) as header:
        usual = header.format == 'JPEG' and header.mode == 'RGB'
        usual = usual and header.info.get('adobe_transform', 1) == 1
        if usual and header.getexif().get(_ORIENTATION, 1) == 1:
            return header.size[::-1]
    return None


def _decode_whole(data: bytes, results: dict) -> np.ndarray:
    with suppress(cv2.error):
        pixels = mmcv.imfrombytes(data, flag='color')
        if pixels is not None:
            return pixels
    raise ValueError(f'{results["img_path"]} is not an image that OpenCV can read')


def _decode(data: bytes, results: dict, left: int, top: int, right: int, bottom: int) -> np.ndarray:
    """Pixels of a part of a JPEG, BGR."""
    if part_decoder() is not None and results['img_shape'] != (bottom - top, right - left):
        part = part_decoder().decode(data, left, top, right, bottom)
        if part is not None:
            return part
    return _decode_whole(data, results)[top:bottom, left:right]


class _PartDecoder:
    """Decodes rectangles of JPEGs by nvImageCodec, on the processor and in the calling thread."""

    def __init__(self) -> None:
        with _silent_stderr():
            from nvidia import nvimgcodec
        self._codec = nvimgcodec
        cpu = nvimgcodec.Backend(nvimgcodec.BackendKind.CPU_ONLY)
        self._decoder = nvimgcodec.Decoder(
            device_id=nvimgcodec.NVIMGCODEC_DEVICE_CPU_ONLY, max_num_cpu_threads=1, backends=[cpu]
        )
        # Images that EXIF turns are not decoded in part: the codec would turn the rectangle.
        self._params = nvimgcodec.DecodeParams(
            apply_exif_orientation=False,
            color_spec=nvimgcodec.ColorSpec.SRGB,
            sample_format=nvimgcodec.SampleFormat.I_BGR,
        )

    def decode(
        self, data: bytes, left: int, top: int, right: int, bottom: int
    ) -> np.ndarray | None:
        """Return BGR pixels of the rectangle, or None where this decoder cannot."""
        region = self._codec.Region(top, left, bottom, right)
        stream = self._codec.CodeStream(data).get_sub_code_stream(region=region)
        image = self._decoder.decode(stream, params=self._params)
        pixels = None if image is None else np.asarray(image)
        expected = (bottom - top, right - left, 3)
        return pixels if pixels is not None and pixels.shape == expected else None


# Process id and decoder: a forked worker makes its own.
_decoder: tuple[int, _PartDecoder | None] | None = None


def part_decoder() -> _PartDecoder | None:
    """Return this process's decoder of parts; None where nvImageCodec is not installed."""
    global _decoder
    if _decoder is None or _decoder[0] != os.getpid():
        _decoder = os.getpid(), None
        os.environ.setdefault('PYNVIMGCODEC_VERBOSITY', '0')  # files it cannot decode are not news
        with suppress(ImportError, RuntimeError):
            _decoder = os.getpid(), _PartDecoder()
    return _decoder[1]


@contextmanager
def _silent_stderr():
    """Discard standard error: at import, nvImageCodec reports every GPU library that is missing."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
