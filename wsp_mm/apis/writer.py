# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The files of an inference run: the json, and the images, video and thumbnails drawn on the
way.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from wsp_mm.apis.partial import OutputError, PartialFile, check_same_run, json_line
from wsp_mm.apis.results import FILES
from wsp_mm.apis.sources import Frame, Source
from wsp_mm.datasets.annotations import load_json
from wsp_mm.utils.files import atomic_file, cut_name
from wsp_mm.visualization.draw import draw_order, draw_overlay, shrink
from wsp_mm.visualization.scene3d import draw_scene
from wsp_mm.visualization.video import VideoWriter

SCHEMA, FORMAT = 'wsp_mm.inference', 2
JSON, VIDEO, VIEWER = 'inference.json', 'video.mp4', 'viewer.html'
#: All that a run writes into its folder.
PARTS = (JSON, 'inference.partial.jsonl', VIDEO, 'video.part.mp4', VIEWER, 'images', *FILES)
#: Longest side of what is drawn, px: larger images are scaled down.
DRAWN_SIDE = 1600
SCENE_SIZE = (1280, 640)
#: Most frames in viewer.html; of longer videos it gets every second, fourth, ... one.
VIEWER_FRAMES = 600
#: Longest side of the viewer's images, px, and how many may have it: more are scaled further down.
VIEWER_SIDE, VIEWER_LARGE = 640, 100
_FPS = 25.0  # of the mp4 where the source does not say


class JsonWriter:
    """Collects a run's records and leaves a valid json, whenever it is closed.

    While the run goes on, ``NAME.partial.jsonl`` grows by a line a chunk of frames. Closing turns
    it into ``NAME.json``, record by record, so that no video is too long for the memory.
    docs/inference.md describes the schema.

    Args:
        path: of the final json, ``NAME.json``.
        info: what the run is: models, camera, units. Equal in a run and its continuation.
        resume: go on after the last whole chunk of an unfinished run.
        overwrite: start anew where there is output.

    Attributes:
        next_frame: number of the first frame that is still to be done.
        complete: whether the run that is there was finished.

    Raises:
        OutputError: there is output, and neither ``resume`` nor ``overwrite``; or it is of another
            run.
        OSError: the folder is not writable.
    """

    def __init__(
        self, path: str | Path, info: Mapping, resume: bool = False, overwrite: bool = False
    ) -> None:
        self.path, self.info, self.next_frame, self.complete = Path(path), info, 0, False
        partial = self.path.with_suffix('.partial.jsonl')
        existing = [file for file in (partial, self.path) if file.exists()]
        if existing and not resume and not overwrite:
            raise OutputError(
                f'{existing[0]} exists already: --resume continues that run, --overwrite starts '
                'anew, another --out keeps both'
            )
        self._log = None
        if resume and existing == [self.path]:
            document = read_inference(self.path)
            check_same_run(self.path, document['info'], info)
            self.complete, self.next_frame = document['progress'].values()
            if not self.complete:
                raise OutputError(f'{self.path} is unfinished, and {partial} is gone: --overwrite')
            return
        self._log = PartialFile(partial, dict(info, format=FORMAT), resume)
        for line in self._log:
            self.next_frame = line['next_frame']
        if not self.next_frame:
            self.path.unlink(missing_ok=True)  # of an earlier run

    def add(self, records: Sequence[dict], next_frame: int) -> None:
        """Write the records of the frames up to ``next_frame`` - 1."""
        self._log.append(dict(records=records, next_frame=next_frame))
        self.next_frame = next_frame

    def records(self) -> Iterator[dict]:
        """Read all records so far, one at a time."""
        if self._log is None:
            yield from read_inference(self.path)['frames']
        else:
            for line in self._log:
                yield from line['records']

    def close(self, complete: bool, notes: Sequence[str] = ()) -> None:
        """Write the json.

        Args:
            complete: whether the source was read to its end. If not, the partial file stays for
                ``resume``.
            notes: about the source as a whole.
        """
        if self._log is None:
            return
        with atomic_file(self.path) as file:
            head = json_line(dict(schema=SCHEMA, format=FORMAT, info=self.info))
            file.write(head[: -len(b'}\n')] + b',\n"frames":[')
            skipped, separator = [], b'\n'
            for record in self.records():
                file.write(separator + json_line(record).rstrip())
                separator = b',\n'
                if 'skipped' in record:
                    named = {key: record[key] for key in ('frame', 'file_name')}
                    skipped.append(dict(named, reason=record['skipped']))
            progress = dict(complete=complete, next_frame=self.next_frame)
            rest = dict(skipped=skipped, notes=list(notes), progress=progress)
            file.write(b'],\n' + json_line(rest)[1:])
        self.complete = complete
        if complete:
            self._log.path.unlink()

    def __enter__(self) -> 'JsonWriter':
        return self

    def __exit__(self, *error: object) -> None:
        """Close the partial file; without :meth:`close` everything is left as it is."""
        if self._log is not None:
            self._log.__exit__(*error)


def read_inference(path: str | Path) -> dict:
    """Read the json of a finished or interrupted run.

    Raises:
        OutputError: it is not one, or of another format.
    """
    try:
        document = load_json(path)
    except ValueError as error:
        raise OutputError(f'{path} is not json: {error}') from None
    get = document.get if isinstance(document, dict) else {}.get
    if (get('schema'), get('format')) != (SCHEMA, FORMAT):
        remedy = 'read it with the version of wsp_mm that wrote it'
        raise OutputError(f'{path} is not of schema {SCHEMA}, format {FORMAT}: {remedy}')
    return document


class FrameDrawer:
    """Draws frames: an image each, or one mp4 of a video, and keeps small ones for the viewer.

    The viewer's images are JPEG files of at most ``VIEWER_SIDE`` px, so that the page of 100 images
    has about 11 MB, of which 4.8 are plotly's script. More images are scaled down to the same sum.

    Args:
        out: folder.
        info: of the run, names the joints.
        source: a video is drawn into one mp4.
        images: write images or the mp4.
        scene: with the 3D scene; else only what is in the image.
        viewer: keep images for the viewer.

    Attributes:
        stride: the viewer has every ``stride``-th frame.
        thumbnails: frame number -> JPEG of the image as it is.
        written: number of images or video frames.
    """

    def __init__(
        self,
        out: str | Path,
        info: Mapping,
        source: Source,
        images: bool = True,
        scene: bool = True,
        viewer: bool = True,
    ) -> None:
        self.out, self.info, self.source = Path(out), info, source
        self.images, self.viewer = images, viewer
        is_order = info['task'] == 'order'
        self.kind, self._draw = ('order', draw_order) if is_order else ('overlay', draw_overlay)
        self.scene = scene and not is_order
        self.stride, self.written, self.thumbnails = 1, 0, {}
        self.video: VideoWriter | None = None
        count = min(source.count or VIEWER_FRAMES, VIEWER_FRAMES)
        self._side = round(VIEWER_SIDE * min(1, VIEWER_LARGE / count) ** 0.5)

    def draw(self, frame: Frame, record: Mapping, again: bool = False) -> None:
        """Draw a frame; one without an image is passed over.

        Args:
            again: an earlier part of the run drew it, and its image is there.
        """
        if frame.image is None:
            return
        if self.viewer and frame.index % self.stride == 0:
            self._keep(frame.index, frame.image)
        if not self.images or again:
            return
        drawn, _ = shrink(self._draw(frame.image, record, self.info), DRAWN_SIDE)
        if self.source.kind == 'video':
            self._write_frame(drawn, record)
        else:
            self._write_image(self.kind, record, drawn)
            if self.scene:
                self._write_image('scene', record, draw_scene(record, self.info, SCENE_SIZE))

    def redraw(self, records: Iterable[Mapping]) -> None:
        """Take up what an earlier part of the run drew.

        An mp4 cannot be continued, so the frames of a video are drawn again. Images are there; the
        viewer's are made again.
        """
        is_video = self.source.kind == 'video'
        if self.viewer or (self.images and is_video):
            for record, frame in zip(records, self.source.frames(), strict=False):
                self.draw(frame, record, again=not is_video)

    def path(self, kind: str, record: Mapping) -> Path:
        """Return where an image goes: the frame's number makes names of any folders distinct."""
        stem = Path(record['file_name']).stem
        safe = ''.join(c if c.isalnum() or c in '-_. ()' else '_' for c in stem)
        name = f'{record["frame"]:06d}_{cut_name(safe, 80)}_{kind}.jpg'
        return self.out / 'images' / name

    def close(self) -> None:
        """Finish the video."""
        if self.video is not None:
            self.video.close()

    def _write_image(self, kind: str, record: Mapping, drawn: np.ndarray) -> None:
        with atomic_file(self.path(kind, record)) as file:
            file.write(_jpeg(drawn, 90))
        self.written += 1

    def _write_frame(self, drawn: np.ndarray, record: Mapping) -> None:
        if self.scene:
            width = max(drawn.shape[1], 480)
            scene = draw_scene(record, self.info, (width, width // 2))
            left, right = (width - drawn.shape[1]) // 2, (width - drawn.shape[1] + 1) // 2
            drawn = cv2.copyMakeBorder(drawn, 0, 0, left, right, cv2.BORDER_CONSTANT)
            drawn = np.concatenate([drawn, scene])
        if self.video is None:
            self.video = VideoWriter(self.out / VIDEO, self.source.fps or _FPS)
        self.video.write(drawn)
        self.written += 1

    def _keep(self, index: int, image: np.ndarray) -> None:
        self.thumbnails[index] = _jpeg(shrink(image, self._side)[0], 75)
        if len(self.thumbnails) > VIEWER_FRAMES:
            self.stride *= 2
            self.thumbnails = {i: t for i, t in self.thumbnails.items() if i % self.stride == 0}


def remove_drawings(out: str | Path) -> None:
    """Remove what an earlier run drew, or saved in other formats, and nothing else."""
    for kind in ('overlay', 'scene', 'order'):
        for path in (Path(out) / 'images').glob(f'[0-9]*_{kind}.jpg'):
            path.unlink()
    for name in (VIDEO, VIEWER, *FILES):
        (Path(out) / name).unlink(missing_ok=True)


def _jpeg(image: np.ndarray, quality: int) -> bytes:
    return cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
