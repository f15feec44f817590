# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Read any image file as (H, W, 3) uint8 BGR, and list the images of a folder."""

import io
import re
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from wsp_mm.datasets.annotations import TURNED_FORMATS

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


#: Formats of several images in one file. Not MPO: the second image of a phone's JPEG is a
#: preview or a gain map.
_SEQUENCES = ('GIF', 'PNG', 'TIFF', 'WEBP')
_STRIP = 64  # rows that are blended at a time


class InputError(ValueError):
    """An input that cannot be used: image, video, camera, boxes, configuration. Says why."""


def read_image(path: str | Path, notes: list[str] | None = None) -> np.ndarray:
    """Read an image file of any usual kind.

    Gray images get three equal channels, 16 bits become 8 as :func:`to_bgr` says, CMYK is
    converted, transparency becomes white as in a browser, and the orientation in the EXIF data is
    applied where OpenCV does (JPEG, PNG, TIFF). JPEG pixels equal those of ``cv2.imread``, which
    training uses. Of an animation, or a TIFF of several pages, the first image is taken.

    Args:
        path: any name, spaces and other alphabets included.
        notes: gets a sentence for images left out and for values scaled by another range.

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
    return decode_image(data, notes)


def decode_image(data: bytes, notes: list[str] | None = None) -> np.ndarray:
    """As :func:`read_image`, from a file's content."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    if not data:
        raise InputError('the file is empty')
    try:
        with Image.open(io.BytesIO(data)) as image:
            count = getattr(image, 'n_frames', 1) if image.format in _SEQUENCES else 1
            is_deep = ';16' in str(image.tile)  # which Pillow may drop the lower 8 bits of
            image.load()  # a cut-off file is an error
            if image.format in TURNED_FORMATS:
                ImageOps.exif_transpose(image, in_place=True)
            if image.has_transparency_data:
                white, image = Image.new('RGB', image.size, 'white'), image.convert('RGBA')
                white.paste(image, mask=image)
                image = white
            known = not image.mode.startswith(('I', 'F'))
            pixels = np.asarray(image.convert('RGB') if known and image.mode != 'RGB' else image)
    except UnidentifiedImageError:
        raise InputError('damaged, or not an image of a known kind') from None
    except Exception as error:  # decoders raise many types for broken files
        raise InputError(f'damaged or cut off: {error or "too large for the memory"}') from None
    if count > 1 and notes is not None:
        notes.append(f'the first of {count} images in the file was used')
    if known and is_deep and pixels.max() < 16:  # 12 bits at most
        deep = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
        return to_bgr(cv2.imdecode(np.frombuffer(data, np.uint8), deep), notes)
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if known else to_bgr(pixels, notes)


def to_bgr(pixels: np.ndarray, notes: list[str] | None = None) -> np.ndarray:
    """Convert pixels in memory to (H, W, 3) uint8 BGR.

    Args:
        pixels: (H, W), (H, W, 1) gray, (H, W, 3) BGR or (H, W, 4) BGRA; uint8, or uint16, of which
            the upper 8 bits are kept. Where no value exceeds 8, 10 or 12 bits, as sensors give
            them, that is the range. Transparency becomes white.
        notes: as :func:`read_image`.

    Raises:
        InputError: another shape or type.
    """
    channels = 1 if pixels.ndim == 2 else pixels.shape[-1]
    if pixels.ndim not in (2, 3) or not pixels.size or channels not in (1, 3, 4):
        raise InputError(f'shape {pixels.shape} is not an image of 1, 3 (BGR) or 4 channels')
    if pixels.dtype == np.uint16:
        highest = int(pixels.max())
        bits = next(bits for bits in (8, 10, 12, 16) if highest < 2**bits)
        if highest > 0 and bits < 16 and notes is not None:
            notes.append(f'values of {bits} bits in an image of 16: scaled by that range')
        pixels = (pixels >> (bits - 8)).astype(np.uint8)
    elif pixels.dtype != np.uint8:
        raise InputError(f'type {pixels.dtype} has no known range; give uint8 or uint16')
    if channels == 1:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
    if channels == 4:
        opaque = np.empty((*pixels.shape[:2], 3), np.uint8)
        for top in range(0, len(pixels), _STRIP):
            strip = pixels[top : top + _STRIP]
            alpha = strip[..., 3:].astype(np.uint16)
            opaque[top : top + _STRIP] = (strip[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
        return opaque
    return pixels


def join_notes(notes: Iterable[tuple[str, str]]) -> list[str]:
    """Return the notes of (file name, note), each once: its first file and how many more."""
    names: dict[str, list[str]] = {}
    for name, note in notes:
        names.setdefault(note, []).append(name)
    return [
        f'{first} (and {len(more)} more): {note}' if more else f'{first}: {note}'
        for note, (first, *more) in names.items()
    ]


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
