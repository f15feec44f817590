# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""A run's pictures, its video and the viewer's thumbnails, made while the frames pass by."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from wsp_mm.apis.inference.pictures import PictureError, read_picture
from wsp_mm.apis.inference.sources import Frame, Source
from wsp_mm.utils.files import atomic_file

#: Longest side of what is drawn, px: a photo of 20 megapixels is drawn smaller.
DRAWN_SIDE = 1600
SCENE_SIZE = (1280, 640)
#: Most frames in viewer.html; of longer videos it gets every second, fourth, ... one.
VIEWER_FRAMES = 600
KINDS = ('overlay', 'scene', 'order')
VIDEO, VIEWER = 'video.mp4', 'viewer.html'
_THUMBNAIL_SIDE = 480
_FPS = 25.0  # of the mp4 where the source does not say


def shrunk(image: np.ndarray, longest: int) -> tuple[np.ndarray, float]:
    """The picture, smaller where its longer side is beyond ``longest`` px, and the scale (at most
    1).
    """
    scale = longest / max(image.shape[:2])
    if scale >= 1:
        return image, 1.0
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), scale


def scaled(image: np.ndarray, record: Mapping, longest: int) -> tuple[np.ndarray, dict]:
    """Picture and record, both smaller where the picture's longer side is beyond ``longest`` px."""
    small, scale = shrunk(image, longest)
    if scale == 1:
        return image, dict(record)
    persons = []
    for person in record['persons']:
        bbox = [value * scale for value in person['bbox']]
        pixels = person['keypoints_img']
        pixels = None if pixels is None else (np.asarray(pixels, dtype=np.float64) * scale).tolist()
        persons.append(dict(person, bbox=bbox, keypoints_img=pixels))
    height, width = small.shape[:2]
    return small, dict(record, width=width, height=height, persons=persons)


def remove_drawings(out: Path) -> None:
    """Remove what an earlier run drew into the folder, and nothing else."""
    for kind in KINDS:
        for path in (out / 'pictures').glob(f'[0-9]*_{kind}.jpg'):
            path.unlink()
    for name in (VIDEO, VIEWER):
        (out / name).unlink(missing_ok=True)


class Artist:
    """Draws frames: pictures of picture sources, one mp4 of a video, thumbnails of both for the
    viewer.

    Args:
        out: folder. info: of the document. source: tells which of them.
        pictures: write pictures or the mp4.
        scene: with the 3D scene; else only what is in the picture.
        viewer: keep thumbnails.
    """

    def __init__(
        self, out: Path, info: dict, source: Source, pictures: bool, scene: bool, viewer: bool
    ) -> None:
        self.out, self.info, self.source = Path(out), info, source
        self.pictures, self.viewer = pictures, viewer
        self.is_order = info['task'] == 'order'
        self.scene = scene and not self.is_order
        self.stride = 1
        self.thumbnails: dict[int, bytes] = {}
        self.written = 0
        self._video = None
        self._fps = source.fps or _FPS

    def draw(self, frame: Frame, record: dict) -> None:
        """Draw a frame; one without an image is passed over."""
        wanted = self.viewer and frame.index % self.stride == 0
        if frame.image is None or not (self.pictures or wanted):
            return
        image, record = scaled(frame.image, record, DRAWN_SIDE)
        drawn = self._picture(image, record)
        if self.pictures and self.source.is_video:
            self._write_frame(drawn, record)
        elif self.pictures:
            self._write_picture('order' if self.is_order else 'overlay', record, drawn)
            if self.scene:
                from wsp_mm.visualization.scene3d import draw_scene

                self._write_picture('scene', record, draw_scene(record, self.info, SCENE_SIZE))
        if wanted:
            self._keep(frame.index, drawn)

    def recall(self, record: dict) -> None:
        """Take the thumbnail of a picture that an earlier part of the run drew from its file."""
        if not self.viewer or record['frame'] % self.stride or 'skipped' in record:
            return
        path = self.path('order' if self.is_order else 'overlay', record)
        try:
            self._keep(record['frame'], read_picture(path))
        except PictureError:
            return  # that part drew no pictures: the viewer shows the scene alone

    def path(self, kind: str, record: Mapping) -> Path:
        """Where a picture goes: the frame's number makes names of any folders distinct."""
        stem = Path(record['file_name']).stem
        safe = ''.join(c if c.isalnum() or c in '-_. ()' else '_' for c in stem)[:80]
        return self.out / 'pictures' / f'{record["frame"]:06d}_{safe}_{kind}.jpg'

    def close(self) -> Path | None:
        """Finish the video; returns its path."""
        return self._video.close() if self._video is not None else None

    def _picture(self, image: np.ndarray, record: dict) -> np.ndarray:
        if self.is_order:
            from wsp_mm.visualization.order import draw_order

            return draw_order(image, record)
        from wsp_mm.visualization.overlay import draw_overlay

        return draw_overlay(image, record, self.info)

    def _write_picture(self, kind: str, record: Mapping, picture: np.ndarray) -> None:
        path = self.path(kind, record)
        ok, data = cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, 90])
        if not ok:
            raise OSError(f'{path}: the picture could not be encoded')
        with atomic_file(path) as file:
            file.write(data)
        self.written += 1

    def _write_frame(self, drawn: np.ndarray, record: dict) -> None:
        from wsp_mm.visualization.video import VideoWriter

        if self.scene:
            from wsp_mm.visualization.scene3d import draw_scene

            width = max(drawn.shape[1], 480)
            scene = draw_scene(record, self.info, (width, width // 2))
            side = width - drawn.shape[1]
            drawn = cv2.copyMakeBorder(
                drawn, 0, 0, side // 2, side - side // 2, cv2.BORDER_CONSTANT
            )
            drawn = np.concatenate([drawn, scene])
        if self._video is None:
            self._video = VideoWriter(self.out / VIDEO, self._fps)
        # A camera's frames come as fast as they are answered: each is shown until the next one's
        # time.
        times = 1
        if self.source.kind == 'webcam' and record['time'] is not None:
            times = max(1, round(record['time'] * self._fps) + 1 - self.written)
        for _ in range(times):
            self._video.write(drawn)
        self.written += times

    def _keep(self, index: int, drawn: np.ndarray) -> None:
        drawn, _ = shrunk(drawn, _THUMBNAIL_SIDE)
        self.thumbnails[index] = cv2.imencode('.jpg', drawn, [cv2.IMWRITE_JPEG_QUALITY, 75])[
            1
        ].tobytes()
        if len(self.thumbnails) > VIEWER_FRAMES:
            self.stride *= 2
            self.thumbnails = {
                i: data for i, data in self.thumbnails.items() if i % self.stride == 0
            }
