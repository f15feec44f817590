# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Pictures to an mp4, one at a time."""

from __future__ import annotations

import math
import os
from pathlib import Path

import cv2
import numpy as np

from wsp_mm.visualization.overlay import check_picture
from wsp_mm.visualization.pair_sheet import fit_tile


class VideoError(RuntimeError):
    """A video that cannot be written; the message says why and what to do."""


class VideoWriter:
    """Streams pictures into an mp4; memory does not grow with its length.

    The index that makes an mp4 playable comes last. Closing writes it and gives the file its name,
    and as a context manager it closes however the block ends, so that Ctrl-C leaves a video that
    plays up to there. A killed process leaves ``NAME.part.mp4``, never half a file under the real
    name.

    Args:
        path: ends in ``.mp4``; its folder is made.
        fps: frames a second.
        codec: four letters, as OpenCV names it. ``mp4v`` (MPEG-4 part 2) is in every wheel of
            OpenCV; most lack ``avc1`` (H.264).

    Raises:
        ValueError: another suffix, or an fps that is none.
    """

    def __init__(self, path: str | Path, fps: float, codec: str = 'mp4v') -> None:
        self.path = Path(path)
        if self.path.suffix.lower() != '.mp4':
            raise ValueError(f'{path}: the name of a video must end in .mp4')
        if not (math.isfinite(fps) and fps > 0):
            raise ValueError(f'{path}: frames a second must be positive, got {fps}')
        if len(codec) != 4:
            raise ValueError(f'a codec has four letters (mp4v), got {codec!r}')
        self.fps, self.codec, self.count = float(fps), codec, 0
        self._part = self.path.with_suffix('.part.mp4')
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)

    def write(self, picture: np.ndarray) -> None:
        """Append (H, W, 3) uint8 BGR. The first one sets the size; others are fitted into it on
        grey.

        Raises:
            VideoError: the folder is not writable, or OpenCV has no such codec.
            ValueError: another kind of picture.
        """
        check_picture(picture)
        if self._writer is None:
            self._open((picture.shape[1] + 1) // 2 * 2, (picture.shape[0] + 1) // 2 * 2)
        width, height = self._size
        down, right = height - picture.shape[0], width - picture.shape[1]
        if (down, right) != (0, 0):
            if 0 <= down <= 1 and 0 <= right <= 1:  # encoders want even sides
                picture = cv2.copyMakeBorder(picture, 0, down, 0, right, cv2.BORDER_REPLICATE)
            else:
                picture = fit_tile(picture, width, height)
        self._writer.write(np.ascontiguousarray(picture))
        self.count += 1

    def _open(self, width: int, height: int) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._part.touch()
        except OSError as error:
            raise VideoError(
                f'{self.path}: cannot be written: {error.strerror or error}'
            ) from error
        writer = cv2.VideoWriter(
            str(self._part), cv2.VideoWriter_fourcc(*self.codec), self.fps, (width, height)
        )
        if not writer.isOpened():
            writer.release()
            self._part.unlink(missing_ok=True)
            raise VideoError(
                f'{self.path}: OpenCV {cv2.__version__} of this environment cannot encode {self.codec!r} at '
                f"{width} x {height} px. Wheels from PyPI (opencv-python) have mp4v; a distribution's own "
                'build may lack it. Write pictures instead, or install that wheel'
            )
        self._writer, self._size = writer, (width, height)

    def close(self) -> Path | None:
        """Finish the file and return its path; None when nothing was written. May be called again.

        Raises:
            VideoError: the file is empty: the disk is full, as a rule.
        """
        if self._writer is None:
            return self.path if self.count else None
        self._writer.release()
        self._writer = None
        if not self._part.is_file() or self._part.stat().st_size == 0:
            self._part.unlink(missing_ok=True)
            raise VideoError(f'{self.path}: nothing was written, is the disk full?')
        os.replace(self._part, self.path)
        return self.path

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
