# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Where frames come from: an image, a folder, a pattern, a video, arrays.

Sources read one frame at a time, when it is asked for: a video of any length takes the memory of
one frame.
"""

import glob
import hashlib
import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from wsp_mm.apis.images import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    InputError,
    list_images,
    pick_images,
    read_image,
    to_bgr,
)
from wsp_mm.utils.files import is_utf8

#: A container's count of frames is an estimate; a video that ends before this share of it was cut
#: off.
_WHOLE_SHARE = 0.95


@dataclass
class Frame:
    """One image of a source.

    Attributes:
        index: number in the source, from 0.
        file_name: with forward slashes, relative to the folder; ``NAME#INDEX`` for a frame of a
            video.
        image: (H, W, 3) uint8 BGR, None where it could not be read.
        time: s since the start, None for images.
        error: why there is no image.
        notes: what :func:`read_image` has to say.
    """

    index: int
    file_name: str
    image: np.ndarray | None = None
    time: float | None = None
    error: str | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height px."""
        return self.image.shape[1], self.image.shape[0]


class ImageSource:
    """Image files and arrays, in the given order.

    Args:
        kind: 'image', 'folder', 'glob' or 'arrays'.
        name: what the user called it.
        items: arrays as :func:`to_bgr` takes, and paths.
        root: folder that file names are relative to; None keeps the paths as they are.

    Attributes:
        fps: None; frames a second of a video.
        count: number of frames.
        notes: what to report of the source as a whole, complete once it was read to its end.
    """

    fps = None

    def __init__(
        self, kind: str, name: str, items: Sequence[Any], root: str | Path | None = None
    ) -> None:
        self.kind, self.name, self.items, self.root = kind, name, list(items), root
        self.count, self.notes = len(self.items), []

    def names(self) -> list[str]:
        """Return the file names of all frames; none where only reading tells."""
        return [self._file_name(i) for i in range(self.count)]

    def describe(self) -> dict:
        """Return what tells this source from another one; a run can only resume with the same.

        Frames are counted through, so a file that came or went makes it another source.
        """
        names = '\n'.join(self.names())
        digest = hashlib.sha256(names.encode('utf-8', 'surrogateescape')).hexdigest()
        return dict(kind=self.kind, name=self.name, files=self.count, files_sha256=digest)

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Read the frames from number ``start`` on, each when it is asked for."""
        for index in range(start, self.count):
            item, frame = self.items[index], Frame(index, self._file_name(index))
            try:
                read = to_bgr if isinstance(item, np.ndarray) else read_image
                frame.image = read(item, frame.notes)
            except InputError as error:
                frame.error = str(error)
            yield frame

    def _file_name(self, index: int) -> str:
        item = self.items[index]
        if isinstance(item, np.ndarray):
            return f'array {index}'
        return Path(item if self.root is None else os.path.relpath(item, self.root)).as_posix()


class VideoSource:
    """Frames of a video file, turned and mirrored where the file says so.

    Attributes:
        fps: frames a second, None where the file does not say.
        count: frames that the file announces, None where it does not say.
        notes: as :class:`ImageSource`.

    Raises:
        InputError: the file is not a readable video.
    """

    kind = 'video'

    def __init__(self, path: str | Path) -> None:
        self.name, self.notes = str(path), []
        if not is_utf8(path):
            raise InputError(f'{path}: rename it: OpenCV reads no file whose name is not UTF-8')
        self._mirror = mirror_of(path)
        capture = self._open()
        fps, count = (capture.get(key) for key in (cv2.CAP_PROP_FPS, cv2.CAP_PROP_FRAME_COUNT))
        capture.release()
        self.fps = float(fps) if 0 < fps <= 1000 else None
        self.count = int(count) if np.isfinite(count) and count > 0 else None

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(self.name)
        if not capture.isOpened():
            raise InputError(f'{self.name}: not a readable video')
        if self._mirror:  # OpenCV knows turns alone
            capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
        return capture

    def names(self) -> list[str]:
        """As :meth:`ImageSource.names`."""
        return []

    def describe(self) -> dict:
        """As :meth:`ImageSource.describe`."""
        return dict(kind=self.kind, name=self.name, fps=self.fps)

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """As :meth:`ImageSource.frames`. Frames before ``start`` are decoded and dropped: seeking
        is not exact in most containers.
        """
        capture, index = self._open(), 0
        try:
            while index < start and capture.grab():
                index += 1
            while True:
                success, image = capture.read()
                if not success or image is None:
                    break
                time = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                if not np.isfinite(time) or (time <= 0 and index):
                    time = index / self.fps if self.fps else None
                time = None if time is None else round(float(time), 4)
                image = to_bgr(image)
                if self._mirror:
                    swap, *flips = self._mirror
                    image = cv2.transpose(image) if swap else image
                    for axis in np.flatnonzero(flips).tolist():  # 0: rows
                        image = cv2.flip(image, axis)
                yield Frame(index, f'{Path(self.name).name}#{index}', image, time)
                index += 1
        finally:
            capture.release()
        if self.count is not None and index < _WHOLE_SHARE * self.count:
            what = f'ends after {index} of {self.count} frames: it may be damaged'
            self.notes.append(f'{self.name}: {what}')


def mirror_of(path: str | Path) -> tuple[bool, bool, bool] | None:
    """Return how a mirrored mp4 or mov (of a front camera) is shown, by its track's matrix.

    Returns:
        whether rows and columns are exchanged, then the rows reversed, then the columns; None of a
        video that is not mirrored, or of another kind.
    """
    if not os.path.isfile(path) or not os.path.getsize(path):
        return None
    with open(path, 'rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for movie in _boxes(data, b'moov', 0, len(data)):
            for track in _boxes(data, b'trak', *movie):
                for start, end in _boxes(data, b'tkhd', *track):
                    if end - start < 44:
                        return None
                    # x' = a x + c y, y' = b x + d y; sound has no width
                    a, b, _, c, d, *_, width, _ = struct.unpack('>9i2I', data[end - 44 : end])
                    if width:
                        swap = abs(b) > abs(a)
                        flips = (b if swap else d) < 0, (c if swap else a) < 0
                        return (swap, *flips) if a * d < b * c else None
    return None


def _boxes(data: mmap.mmap, kind: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield where the content of an mp4's boxes of a kind starts and ends."""
    while start + 16 <= end:
        size, found, long_size = struct.unpack('>I4sQ', data[start : start + 16])
        head, size = (16, long_size) if size == 1 else (8, size or end - start)
        if size < head or start + size > end:
            return
        if found == kind:
            yield start + head, start + size
        start += size


Source = ImageSource | VideoSource


def open_source(given: Any, exclude: str | Path | None = None) -> Source:
    """Open what the user gave.

    Args:
        given: path of an image, a folder (with the folders in it) or a video; a pattern with ``*``,
            ``?`` or ``[`` (``**`` for folders in folders); an array as :func:`to_bgr` takes, or
            (N, H, W, 3); a list of arrays and paths; a source. A path that exists is never taken as
            a pattern.
        exclude: folder whose files are left out of folders and patterns.

    Raises:
        InputError: nothing is there, or nothing of a known kind.
        TypeError: neither a path nor an array, or a list that holds something else.
    """
    if isinstance(given, Source):
        return given
    if isinstance(given, np.ndarray):
        given = given if given.ndim == 4 else [given]
    if isinstance(given, (list, tuple, np.ndarray)):
        if not len(given):
            raise InputError('an empty list of images')
        for i, item in enumerate(given):
            _check_type(item, f'item {i} of the images')
        return ImageSource('arrays', 'arrays', given)
    _check_type(given, 'the input')
    text, path = str(given), Path(given).expanduser()
    if path.is_dir():
        return ImageSource('folder', text, list_images(path, exclude), path)
    if path.is_file():
        suffix = path.suffix.lower()
        is_image = suffix in IMAGE_SUFFIXES or (is_utf8(path) and cv2.haveImageReader(str(path)))
        if suffix in VIDEO_SUFFIXES or not is_image:
            return VideoSource(path)
        return ImageSource('image', text, [path], path.parent)
    if not glob.has_magic(text):
        raise InputError(f'{text} does not exist; give an image, a folder, a pattern or a video')
    files = pick_images(map(Path, glob.glob(str(path), recursive=True)), exclude)
    if not files:
        raise InputError(f'no image matches {text}')
    root = os.path.commonpath([file.parent for file in files])
    return ImageSource('glob', text, files, root)


def _check_type(item: Any, name: str) -> None:
    if not isinstance(item, (str, os.PathLike, np.ndarray)):
        remedy = 'give a path or a (H, W, 3) uint8 BGR array of numpy'
        raise TypeError(f'{name} is of type {type(item).__name__}: {remedy}')
