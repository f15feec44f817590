# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""A picture of which only the part that is needed is decoded.

Decoding is most of the work of loading, and a crop needs a part of the picture. Of a JPEG
everything above the part must be read through (its code words have no fixed length), but neither
transformed nor coloured, and what is below is not even read. That takes nvImageCodec (extra
``fast``), on the processor, with libjpeg-turbo inside as in OpenCV: same pixels. Without it the
whole picture is decoded, as MMPose does it.
"""

from __future__ import annotations

import io
import os
from contextlib import contextmanager

import cv2
import mmcv
import numpy as np
from PIL import Image

# EXIF's tag, and how many px a part is decoded with on each side.
_ORIENTATION = 0x0112
_MARGIN = 16
# nvImageCodec's number for "no GPU".
_CPU_ONLY = -99999
REDUCTIONS = {
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


class Picture:
    """One encoded picture, decoded as late and as little as possible. Pixels are BGR, uint8.

    Args:
        data: the file's bytes.
        name: for messages.
        color_type: MMCV's flag; ``'color'`` turns a picture as its EXIF record says.
        partial: decode only a part where that is possible; otherwise the whole picture, once.

    Attributes:
        size: (w, h) px.

    Raises:
        ValueError: these bytes are no picture.
    """

    def __init__(
        self, data: bytes, name: str, color_type: str = 'color', partial: bool = True
    ) -> None:
        self.name = name
        self._data, self._color_type = data, color_type
        self._whole: np.ndarray | None = None
        self._plain = self._is_plain_jpeg()
        self._partial = partial and self._plain and part_decoder() is not None
        if not self._plain:
            self.size = self.whole().shape[1::-1]

    @property
    def encoded_bytes(self) -> int:
        """Size of the file."""
        return len(self._data)

    def _is_plain_jpeg(self) -> bool:
        """Whether this is a JPEG in usual colours that lies upright; sets the size of one."""
        if (
            self._color_type not in ('color', 'color_ignore_orientation')
            or self._data[:2] != b'\xff\xd8'
        ):
            return False
        try:
            with Image.open(io.BytesIO(self._data)) as header:
                usual = header.format == 'JPEG' and header.mode == 'RGB'
                usual = usual and header.info.get('adobe_transform', 1) == 1
                if self._color_type == 'color' and 'exif' in header.info:
                    usual = usual and header.getexif().get(_ORIENTATION, 1) == 1
                self.size = header.size
        except Exception:  # whatever Pillow says of a broken header, OpenCV decides
            return False
        return usual

    def whole(self) -> np.ndarray:
        """All pixels, (h, w, 3); kept.

        Raises:
            ValueError: they cannot be decoded.
        """
        if self._whole is None:
            try:
                pixels = mmcv.imfrombytes(self._data, flag=self._color_type)
            except cv2.error as error:
                raise ValueError(
                    f'{self.name} is no picture that OpenCV can read: {error}'
                ) from None
            if pixels is None:
                raise ValueError(
                    f'{self.name} is no picture that OpenCV can read: it is broken or empty'
                )
            self._whole = pixels
            self.size = pixels.shape[1::-1]
        return self._whole

    def region(self, left: int, top: int, right: int, bottom: int) -> np.ndarray:
        """Pixels of columns ``left`` to ``right`` - 1 and rows ``top`` to ``bottom`` - 1, as in
        :meth:`whole`.

        Args:
            left, top, right, bottom: px within the picture.

        Returns:
            (bottom - top, right - left, 3); it may be a view of all pixels: copy before writing.
        """
        if self._partial and self._whole is None and (right - left, bottom - top) != self.size:
            # A margin: at its edges a part has no neighbours to smooth its colours with.
            x, y = max(0, left - _MARGIN), max(0, top - _MARGIN)
            far = min(self.size[0], right + _MARGIN), min(self.size[1], bottom + _MARGIN)
            part = part_decoder().decode(self._data, x, y, *far)
            if part is not None:
                return part[top - y : bottom - y, left - x : right - x]
        return self.whole()[top:bottom, left:right]

    def can_reduce(self) -> bool:
        """Whether :meth:`reduced` reads less than :meth:`whole`."""
        return self._plain and self._whole is None

    def reduced(self, factor: int) -> np.ndarray:
        """All pixels at 1 / ``factor`` (2, 4 or 8) of the size, means over the pixels that each
        stands for.

        Raises:
            ValueError: they cannot be decoded.
        """
        flag = REDUCTIONS[factor]
        if self._color_type == 'color_ignore_orientation':
            flag |= cv2.IMREAD_IGNORE_ORIENTATION
        pixels = cv2.imdecode(np.frombuffer(self._data, np.uint8), flag)
        if pixels is None:
            raise ValueError(
                f'{self.name} is no picture that OpenCV can read: it is broken or empty'
            )
        return pixels


def block_grid(sides: tuple[float, float], origin: tuple[float, float]) -> np.ndarray:
    """(3, 3) from px of a picture that holds means over blocks to px of the picture of which these
    are blocks.

    Pixels are squares about their coordinates: the centre of block i is origin + (i + 0.5) * side -
    0.5.

    Args:
        sides: width and height of a block, px.
        origin: left, top px at which the first one begins.
    """
    (across, down), (left, top) = sides, origin
    return np.array(
        [[across, 0, left + across / 2 - 0.5], [0, down, top + down / 2 - 0.5], [0, 0, 1]],
        dtype=np.float64,
    )


class _PartDecoder:
    """Decodes rectangles of JPEGs by nvImageCodec, on the processor and in the calling thread."""

    def __init__(self, codec) -> None:
        self._codec = codec
        cpu = codec.Backend(codec.BackendKind.CPU_ONLY)
        self._decoder = codec.Decoder(device_id=_CPU_ONLY, max_num_cpu_threads=1, backends=[cpu])
        # Turned pictures never come here, and the module's own orientation would turn the
        # rectangle.
        self._params = codec.DecodeParams(
            apply_exif_orientation=False, color_spec=codec.ColorSpec.SRGB
        )

    def decode(
        self, data: bytes, left: int, top: int, right: int, bottom: int
    ) -> np.ndarray | None:
        """BGR pixels of the rectangle, or None where this decoder cannot."""
        stream = self._codec.CodeStream(data)
        stream = stream.get_sub_code_stream(region=self._codec.Region(top, left, bottom, right))
        image = self._decoder.decode(stream, params=self._params)
        pixels = None if image is None else np.asarray(image)
        if pixels is None or pixels.shape != (bottom - top, right - left, 3):
            return None
        return cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)


# Of this process: process id and decoder. A forked worker makes its own.
_decoder: tuple[int, _PartDecoder | None] | None = None


def part_decoder() -> _PartDecoder | None:
    """This process's decoder of parts of pictures; None where nvImageCodec is not installed."""
    global _decoder
    if _decoder is None or _decoder[0] != os.getpid():
        _decoder = os.getpid(), _load_decoder()
    return _decoder[1]


def _load_decoder() -> _PartDecoder | None:
    os.environ.setdefault(
        'PYNVIMGCODEC_VERBOSITY', '0'
    )  # of a picture that it cannot decode, Picture tells
    try:
        with _silence():
            from nvidia import nvimgcodec
        return _PartDecoder(nvimgcodec)
    except (ImportError, RuntimeError):
        return None


@contextmanager
def _silence():
    """Nothing goes to standard error: at import, nvImageCodec complains of each GPU library that is
    missing.
    """
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
