# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Read any image file as (H, W, 3) uint8 BGR, and list the images of a folder."""

import io
import re
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

VIDEO_SUFFIXES = (
    '.mp4', '.avi', '.mov', '.mkv', '.webm', '.mpg', '.mpeg', '.m4v', '.wmv', '.flv', '.ts',
)  # fmt: skip
#: The last line has kinds that most installations cannot decode: they are reported, not passed
#: over.
IMAGE_SUFFIXES = (
    '.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.bmp', '.tif', '.tiff', '.webp', '.ppm', '.pgm',
    '.gif',
    '.avif', '.heic', '.heif', '.jp2', '.jxl',
)  # fmt: skip


class InputError(ValueError):
    """An input that cannot be used: image, video, camera, boxes, configuration. Says why."""


def read_image(path: str | Path) -> np.ndarray:
    """Read an image file of any usual kind.

    Gray images get three equal channels, of 16 bits the upper 8 are kept, CMYK is converted,
    transparency becomes white as in a browser, and the orientation in the EXIF data is applied.
    JPEG pixels equal those of ``cv2.imread``, which training uses.

    Args:
        path: any name, spaces and other alphabets included.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        InputError: the file cannot be read, is empty, cut off, a video, or of an unknown kind. The
            message does not repeat the file name.
    """
    if Path(path).suffix.lower() in VIDEO_SUFFIXES:
        raise InputError('a video among images: process it in a run of its own')
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f'cannot be read: {error.strerror or error}') from None
    return decode_image(data)


def decode_image(data: bytes) -> np.ndarray:
    """As :func:`read_image`, from a file's content."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    if not data:
        raise InputError('the file is empty')
    try:
        with Image.open(io.BytesIO(data)) as image:
            ImageOps.exif_transpose(image, in_place=True)  # decodes; a cut-off file is an error
            if image.has_transparency_data:
                white = Image.new('RGBA', image.size, 'white')
                image = Image.alpha_composite(white, image.convert('RGBA'))
            known = not image.mode.startswith(('I', 'F'))
            pixels = np.asarray(image.convert('RGB') if known else image)
    except UnidentifiedImageError:
        raise InputError('damaged, or not an image of a known kind') from None
    except Exception as error:  # decoders raise many types for broken files
        raise InputError(f'damaged or cut off: {error or "too large for the memory"}') from None
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if known else to_bgr(pixels)


def to_bgr(pixels: np.ndarray) -> np.ndarray:
    """Convert pixels in memory to (H, W, 3) uint8 BGR.

    Args:
        pixels: (H, W), (H, W, 1) gray, (H, W, 3) BGR or (H, W, 4) BGRA; uint8, or uint16, of which
            the upper 8 bits are kept. Transparency becomes white.

    Raises:
        InputError: another shape or type.
    """
    channels = 1 if pixels.ndim == 2 else pixels.shape[-1]
    if pixels.ndim not in (2, 3) or not pixels.size or channels not in (1, 3, 4):
        raise InputError(f'shape {pixels.shape} is not an image of 1, 3 (BGR) or 4 channels')
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    elif pixels.dtype != np.uint8:
        raise InputError(f'type {pixels.dtype} has no known range; give uint8 or uint16')
    if channels == 1:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
    if channels == 4:
        alpha = pixels[..., 3:].astype(np.uint16)
        blend = pixels[..., :3] * alpha + 255 * (255 - alpha)
        return ((blend + 127) // 255).astype(np.uint8)
    return pixels


def list_images(folder: str | Path, exclude: str | Path | None = None) -> list[Path]:
    """List the images of a folder and of the folders in it, see :func:`pick_images`.

    Raises:
        InputError: no such folder, or no image in it.
    """
    if not Path(folder).is_dir():
        raise InputError(f'{folder}: no such folder')
    files = pick_images(Path(folder).rglob('*'), exclude)
    if not files:
        raise InputError(f'{folder} holds no image ({", ".join(IMAGE_SUFFIXES)})')
    return files


def pick_images(paths: Iterable[Path], exclude: str | Path | None = None) -> list[Path]:
    """Pick the image files among paths, in natural order (2 before 10).

    Videos are picked, too: reading them raises an error that says what to do. Hidden files are left
    out.

    Args:
        paths: files and folders.
        exclude: a folder whose files are left out, such as the output of an earlier run.
    """
    out = None if exclude is None else Path(exclude).resolve()
    files = [
        path
        for path in paths
        if path.suffix.lower() in IMAGE_SUFFIXES + VIDEO_SUFFIXES
        and not path.name.startswith('.')
        and path.is_file()
        and out not in path.resolve().parents
    ]
    return sorted(files, key=natural_key)


def natural_key(path: Path) -> tuple:
    """Sort key that compares numbers within a path by value; the path itself breaks ties."""
    name = path.as_posix()
    parts = re.split(r'(\d+)', name)
    return [(int(part), '') if part.isdecimal() else (-1, part) for part in parts], name
