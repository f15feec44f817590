# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Anybody's picture file to (H, W, 3) uint8 BGR, as a viewer would show it, or an error that says
why not.
"""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np

PICTURE_SUFFIXES = (
    '.jpg',
    '.jpeg',
    '.jpe',
    '.jfif',
    '.png',
    '.bmp',
    '.tif',
    '.tiff',
    '.webp',
    '.ppm',
    '.pgm',
)
#: Pictures, too, to the owner of a folder; what OpenCV cannot read of them is to be reported.
OTHER_SUFFIXES = ('.gif', '.avif', '.heic', '.heif', '.jp2', '.jxl')

# EXIF's orientation (tag 274) -> what turns the stored picture upright.
_ORIENTATION = 274
_UPRIGHT = {
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1),
    6: lambda p: p.swapaxes(0, 1)[:, ::-1],
    7: lambda p: p.swapaxes(0, 1)[::-1, ::-1],
    8: lambda p: p.swapaxes(0, 1)[::-1],
}


class PictureError(ValueError):
    """A file that gives no picture; the message says why, without its name."""


def read_picture(path: str | Path) -> np.ndarray:
    """Read a picture file of any usual kind.

    Grey pictures get three equal channels, 16 bits become the upper 8, CMYK is converted, what is
    transparent is white as in a browser, and the orientation in the EXIF data is applied.

    Args:
        path: any name, spaces and other alphabets included.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        PictureError: the file cannot be read, is empty, cut off, or of a kind that is not known.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise PictureError(f'cannot be read: {error.strerror or error}') from None
    return decode_picture(data)


def decode_picture(data: bytes) -> np.ndarray:
    """As :func:`read_picture`, from a file's content."""
    if not data:
        raise PictureError('the file is empty')
    if is_cut_off(data):
        raise PictureError('the file is cut off (its end is missing)')
    buffer = np.frombuffer(data, np.uint8)
    try:
        if data.startswith(b'\xff\xd8'):  # JPEG has no alpha: one pass, and OpenCV turns it upright
            picture = cv2.imdecode(buffer, cv2.IMREAD_COLOR)
        else:
            picture = _any_kind(cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED), data)
    except cv2.error as error:
        raise PictureError(f'cannot be decoded: {error.err or error}') from None
    if picture is None or picture.size == 0:
        raise PictureError('damaged, or no picture of a known kind')
    return np.ascontiguousarray(picture)


def _any_kind(stored: np.ndarray | None, data: bytes) -> np.ndarray | None:
    """The decoded file as it is stored -> BGR uint8, upright."""
    if stored is None:
        return None
    return _UPRIGHT.get(_orientation(data), lambda p: p)(to_bgr(stored))


def to_bgr(stored: np.ndarray) -> np.ndarray:
    """Pixels of any usual kind to a picture.

    Args:
        stored: (H, W), (H, W, 1), (H, W, 3) BGR or (H, W, 4) BGRA; uint8, or uint16, whose upper 8
            bits count.

    Returns:
        (H, W, 3) uint8 BGR; what is transparent is white.

    Raises:
        PictureError: of another shape or type.
    """
    if (
        stored.ndim not in (2, 3)
        or not stored.size
        or (stored.ndim == 3 and stored.shape[2] not in (1, 3, 4))
    ):
        raise PictureError(
            f'{stored.dtype} {stored.shape} is no picture of 1, 3 (BGR) or 4 channels'
        )
    if stored.dtype == np.uint16:
        stored = (stored >> 8).astype(np.uint8)
    elif stored.dtype != np.uint8:
        raise PictureError(f'its values are {stored.dtype}; only 8 and 16 bits have a known range')
    if stored.ndim == 2 or stored.shape[2] == 1:
        return cv2.cvtColor(stored, cv2.COLOR_GRAY2BGR)
    if stored.shape[2] == 4:
        share = stored[..., 3:].astype(np.float32) / 255
        return np.round(stored[..., :3] * share + 255 * (1 - share)).astype(np.uint8)
    return stored


def _orientation(data: bytes) -> int:
    """EXIF's orientation, where decoding has not applied it already: OpenCV does so with TIFF
    alone.
    """
    if data[:4] in (b'II*\0', b'MM\0*'):
        return 1
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as picture:
            return int(picture.getexif().get(_ORIENTATION, 1))
    except (
        Exception
    ):  # no EXIF data, a kind that only OpenCV reads, or records broken in any of many ways
        return 1


def is_cut_off(data: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end: decoders fill the missing rest with grey and call it a
    picture.
    """
    if data.startswith(b'\x89PNG\r\n\x1a\n'):
        return b'IEND' not in data
    if not data.startswith(b'\xff\xd8'):
        return False
    # Skip the headers by their lengths: a preview in the EXIF data has an end mark of its own.
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xDA:  # the compressed picture begins
            return data.rfind(b'\xff\xd9') < place
        if (
            marker == 0xFF or 0xD0 <= marker <= 0xD8 or marker == 0x01
        ):  # filler and marks without a length
            place += 1 if marker == 0xFF else 2
            continue
        place += 2 + int.from_bytes(data[place + 2 : place + 4], 'big')
    return place + 4 > len(data)
