# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Where pictures come from: a file, a folder, a pattern, a video, a camera on the desk, arrays.

A source reads one frame at a time, when it is asked for it: a video of any length takes the memory
of a frame.
"""

from __future__ import annotations

import glob
import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from wsp_mm.apis.inference.pictures import (
    OTHER_SUFFIXES,
    PICTURE_SUFFIXES,
    PictureError,
    read_picture,
    to_bgr,
)

VIDEO_SUFFIXES = (
    '.mp4',
    '.avi',
    '.mov',
    '.mkv',
    '.webm',
    '.mpg',
    '.mpeg',
    '.m4v',
    '.wmv',
    '.flv',
    '.ts',
)

#: A container's count of frames is an estimate; a video that ends before this share of it was cut
#: off.
_WHOLE_SHARE = 0.95


class SourceError(ValueError):
    """There is nothing to work on; the message says what to give instead."""


@dataclass
class Frame:
    """One picture of a source.

    Attributes:
        index: number in the source, from 0.
        file_name: with forward slashes, relative to the folder; ``NAME#INDEX`` for a frame of a
            video.
        image: (H, W, 3) uint8 BGR, None where it could not be read.
        time: s since the start, None for pictures.
        error: why there is no image.
    """

    index: int
    file_name: str
    image: np.ndarray | None = None
    time: float | None = None
    error: str | None = None


class Source:
    """Frames in order.

    Attributes:
        kind: 'image', 'folder', 'glob', 'video', 'webcam' or 'arrays'.
        name: what the user called it.
        fps: frames a second of a video or camera, else None.
        notes: what is worth saying of the source as a whole, complete once it was read to its end.
    """

    kind: str
    name: str
    fps: float | None = None

    def __init__(self) -> None:
        self.notes: list[str] = []

    def __len__(self) -> int:
        """How many frames are expected.

        Raises:
            TypeError: nobody knows.
        """
        raise TypeError(f'nobody knows how many frames {self.name} will have')

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Frames from number ``start`` on, each read when it is asked for."""
        raise NotImplementedError

    def describe(self) -> dict:
        """What tells this source from another one, for the document; a run can only go on with the
        same.
        """
        return dict(kind=self.kind, name=self.name, fps=self.fps)

    @property
    def is_video(self) -> bool:
        return self.kind in ('video', 'webcam')


class PictureFiles(Source):
    """Picture files in the order of their names."""

    def __init__(self, kind: str, name: str, files: Sequence[Path], root: Path) -> None:
        super().__init__()
        self.kind, self.name, self.root = kind, name, root
        self.files = list(files)

    def __len__(self) -> int:
        return len(self.files)

    def describe(self) -> dict:
        """Frames are counted through, so a file that came or went makes it another source."""
        names = '\n'.join(map(self._name, self.files))
        digest = hashlib.sha256(names.encode('utf-8', 'surrogateescape')).hexdigest()
        return dict(super().describe(), files=len(self.files), files_sha256=digest)

    def _name(self, path: Path) -> str:
        return Path(os.path.relpath(path, self.root)).as_posix()

    def frames(self, start: int = 0) -> Iterator[Frame]:
        for index, path in enumerate(self.files[start:], start):
            name = self._name(path)
            if path.suffix.lower() in VIDEO_SUFFIXES:
                yield Frame(
                    index, name, error='a video among pictures: give it as INPUT of its own'
                )
                continue
            try:
                yield Frame(index, name, read_picture(path))
            except (PictureError, MemoryError) as error:
                yield Frame(index, name, error=str(error) or 'too large for the memory')


class Video(Source):
    """A video file (turned upright where the file says so) or a camera, whose number is given as an
    int.
    """

    def __init__(self, which: Path | int) -> None:
        super().__init__()
        self.which = which
        self.kind = 'webcam' if isinstance(which, int) else 'video'
        self.name = f'camera {which}' if isinstance(which, int) else str(which)
        capture = self._open()
        fps, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
        capture.release()
        self.fps = float(fps) if np.isfinite(fps) and 0 < fps <= 1000 else None
        self.count = (
            int(count) if self.kind == 'video' and np.isfinite(count) and count > 0 else None
        )

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(self.which if isinstance(self.which, int) else str(self.which))
        if not capture.isOpened():
            what = (
                'there is no such camera, or it is in use'
                if self.kind == 'webcam'
                else 'no readable video'
            )
            raise SourceError(f'{self.name}: {what}')
        return capture

    def __len__(self) -> int:
        return self.count if self.count is not None else super().__len__()

    def frames(self, start: int = 0) -> Iterator[Frame]:
        if start and self.kind == 'webcam':
            raise SourceError(f'{self.name} cannot be asked for the past')
        capture, began = self._open(), time.monotonic()
        stem = 'camera' if self.kind == 'webcam' else Path(self.name).name
        try:
            # Skipped by decoding: seeking is not exact in most containers.
            index = 0
            while index < start and capture.grab():
                index += 1
            while True:
                there, image = capture.read()
                if not there or image is None:
                    break
                if self.kind == 'webcam':
                    at = time.monotonic() - began
                else:
                    at = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                    if (at <= 0 and index) or not np.isfinite(at):
                        at = index / self.fps if self.fps else None
                if image.ndim == 2:
                    image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
                yield Frame(
                    index, f'{stem}#{index}', image, None if at is None else round(float(at), 4)
                )
                index += 1
        finally:
            capture.release()
        if self.count is not None and index < _WHOLE_SHARE * self.count:
            self.notes.append(
                f'{self.name}: ends after {index} of {self.count} frames: it may be damaged'
            )


class Arrays(Source):
    """Pictures that are in memory, or a mixed list of pictures and file names."""

    kind = 'arrays'
    name = 'arrays'

    def __init__(self, items: Sequence[np.ndarray | str | Path]) -> None:
        super().__init__()
        self.items = list(items)

    def __len__(self) -> int:
        return len(self.items)

    def frames(self, start: int = 0) -> Iterator[Frame]:
        for index, item in enumerate(self.items[start:], start):
            is_array = isinstance(item, np.ndarray)
            name = f'array {index}' if is_array else str(item)
            try:
                yield Frame(index, name, to_bgr(item) if is_array else read_picture(item))
            except PictureError as error:
                yield Frame(index, name, error=str(error))


def open_source(given: Any) -> Source:
    """Find out what the user gave.

    Args:
        given: path of a picture, a folder or a video; a pattern with ``*``, ``?`` or ``[`` (``**``
            for folders in folders); the number of a camera; an array as :func:`to_bgr` takes, or
            (N, H, W, 3); a list of arrays and paths. What exists under the very name is taken as
            that, whatever characters the name has.

    Raises:
        SourceError: there is nothing, or nothing of a known kind.
    """
    if isinstance(given, Source):
        return given
    if isinstance(given, np.ndarray):
        several = given.ndim == 4 or (given.ndim == 1 and given.dtype.kind in 'OU')
        return Arrays(list(given) if several else [given])
    if isinstance(given, (list, tuple)):
        if not given:
            raise SourceError('an empty list of pictures')
        return Arrays(given)
    if isinstance(given, (int, np.integer)) and not isinstance(given, bool):
        return Video(int(given))
    text = str(given)
    path = Path(text).expanduser()
    if path.is_dir():
        return _folder(path)
    if path.is_file():
        return _file(path)
    if text.isdecimal():
        return Video(int(text))
    if glob.has_magic(text):
        # Shells that found nothing hand the pattern on, so quoted and unquoted ones both come here.
        files = sorted(Path(name) for name in glob.glob(str(path), recursive=True))
        files = [file for file in files if file.is_file() and file.suffix.lower() in _KNOWN]
        if not files:
            raise SourceError(f'no picture matches {text}')
        return PictureFiles(
            'glob', text, files, Path(os.path.commonpath([file.parent for file in files]))
        )
    raise SourceError(
        f'{text} does not exist; INPUT is a picture, a folder, a pattern, a video or a camera'
    )


_PICTURES = PICTURE_SUFFIXES + OTHER_SUFFIXES
_KNOWN = _PICTURES + VIDEO_SUFFIXES


def _file(path: Path) -> Source:
    suffix = path.suffix.lower()
    if suffix not in _PICTURES and (suffix in VIDEO_SUFFIXES or not cv2.haveImageReader(str(path))):
        return Video(path)
    return PictureFiles('image', str(path), [path], path.parent)


def _folder(path: Path) -> Source:
    files = sorted(
        file for file in path.iterdir() if file.suffix.lower() in _KNOWN and file.is_file()
    )
    if not files:
        below = any(file.is_dir() for file in path.iterdir())
        hint = f"; for the folders in it, give the pattern '{path}/**/*.jpg'" if below else ''
        raise SourceError(f'{path} holds no picture ({", ".join(PICTURE_SUFFIXES)}){hint}')
    return PictureFiles('folder', str(path), files, path)
