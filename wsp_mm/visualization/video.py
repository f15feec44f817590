# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Images to an mp4, one at a time."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from wsp_mm.utils.files import is_utf8
from wsp_mm.visualization.draw import check_image
from wsp_mm.visualization.figures import fit_image

#: H.264 plays everywhere, but most wheels of OpenCV cannot encode it; VP9 plays in browsers. MPEG-4
#: part 2 (mp4v) does not.
CODECS = ('avc1', 'vp09')


class VideoWriter:
    """Streams images into an mp4; memory does not grow with its length.

    The index that makes an mp4 playable comes last. Closing writes it and gives the file its name,
    and as a context manager it closes however the block ends, so that Ctrl-C leaves a video that
    plays up to there. A killed process leaves ``NAME.part.mp4``, never half a file under the real
    name.

    Args:
        path: ends in ``.mp4``; its folder is made.
        fps: frames a second.
        codecs: four letters each, as OpenCV names them; the first that it can encode is used.

    Raises:
        ValueError: another suffix, a name that is not UTF-8, or an fps that is not positive.
    """

    def __init__(self, path: str | Path, fps: float, codecs: Sequence[str] = CODECS) -> None:
        self.path, self.fps, self.codecs, self.count = Path(path), float(fps), codecs, 0
        if not is_utf8(path):
            raise ValueError(f'{path}: OpenCV writes no video into a path that is not UTF-8')
        if self.path.suffix.lower() != '.mp4' or not (math.isfinite(fps) and fps > 0):
            raise ValueError(f'{path}: a video is an .mp4 with positive fps, got {fps}')
        self._part = self.path.with_suffix('.part.mp4')
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)

    def write(self, image: np.ndarray) -> None:
        """Append (H, W, 3) uint8 BGR. The first one sets the size; others are fitted into it.

        Raises:
            OSError: the folder is not writable, or OpenCV has no such codec.
            ValueError: another kind of image.
        """
        check_image(image)
        if self._writer is None:
            self._open(*((side + 1) // 2 * 2 for side in image.shape[1::-1]))  # encoders want even
        width, height = self._size
        if image.shape[:2] != (height, width):
            image = fit_image(image, width, height)
        self._writer.write(np.ascontiguousarray(image))
        self.count += 1

    def _open(self, width: int, height: int) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._part.touch()
        level = cv2.setLogLevel(0)  # a codec that is not there is no error
        for codec in self.codecs:
            fourcc = cv2.VideoWriter_fourcc(*codec)
            writer = cv2.VideoWriter(str(self._part), fourcc, self.fps, (width, height))
            if writer.isOpened():
                break
        cv2.setLogLevel(level)
        if not writer.isOpened():
            self._part.unlink(missing_ok=True)
            raise OSError(
                f'{self.path}: OpenCV {cv2.__version__} of this environment cannot encode '
                f'{" or ".join(self.codecs)} at {width} x {height} px. The wheels of opencv-python '
                'can: install one, or write no video (--no-images)'
            )
        self._writer, self._size = writer, (width, height)

    def close(self) -> None:
        """Finish the file; may be called again.

        Raises:
            OSError: the file is empty: the disk is full, as a rule.
        """
        if self._writer is not None:
            self._writer.release()
            self._writer = None
            if not self._part.stat().st_size:
                self._part.unlink()
                raise OSError(f'{self.path}: nothing was written, is the disk full?')
            os.replace(self._part, self.path)

    def __enter__(self) -> 'VideoWriter':
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
