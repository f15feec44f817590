# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""A whole inference run, from the input to files: what ``demo/infer.py`` does."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from wsp_mm.apis.images import join_notes
from wsp_mm.apis.inferencer import WSPInferencer
from wsp_mm.apis.partial import OutputError
from wsp_mm.apis.sources import Source
from wsp_mm.apis.writer import (
    JSON,
    PARTS,
    VIEWER,
    VIEWER_FRAMES,
    FrameDrawer,
    JsonWriter,
    remove_drawings,
)
from wsp_mm.utils.cli import printable
from wsp_mm.utils.files import progress_bar
from wsp_mm.visualization.viewer import write_viewer

#: Exit statuses.
COMPLETE, SOMETHING_SKIPPED, NOTHING_USABLE, INTERRUPTED = 0, 1, 2, 130
_SHOWN = 10  # skipped files that are named in the summary; the json names all


@dataclass
class Summary:
    """How a run went; counts are of the whole json, an earlier part of a resumed run included.

    Attributes:
        path: of the json. complete: whether the source was read to its end.
        info: what the json says of the run.
        frames, persons: how many.
        skipped: (file name, reason). problems: (file name, what is missing of its answer).
        notes: about the source as a whole, and of frames: each one once, with the first file.
        files: what was written beside the json.
        done: frames of this run, without an earlier part. seconds: time of this run.
    """

    path: Path
    complete: bool
    info: dict
    frames: int = 0
    persons: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    done: int = 0
    seconds: float = 0.0

    @property
    def status(self) -> int:
        """The exit status."""
        if not self.complete:
            return INTERRUPTED
        if len(self.skipped) == self.frames:
            return NOTHING_USABLE
        return SOMETHING_SKIPPED if self.skipped or self.problems or self.notes else COMPLETE

    def text(self) -> str:
        """Return what is printed at the end."""
        lines = [f'{self.frames} frames, {self.persons} persons -> {self.path}']
        lines += [f'also: {path}' for path in self.files]
        if self.info['camera'] is not None:
            source, roots = self.info['camera']['source'], self.info['root_depth']
            lines.append(f'camera: {source}; root depths: {roots}')
        elif self.info['task'] == 'pose3d':
            remedy = 'give --focal or --camera, or assume one with --assume-fov'
            lines.append(f'camera: none given, so no keypoints_cam and no root depths: {remedy}')
        if self.done:
            speed = self.done / max(self.seconds, 1e-9)
            lines.append(f'{self.seconds:.1f} s, {speed:.2f} frames/s')
        for title, entries in (('skipped', self.skipped), ('incomplete', self.problems)):
            if entries:
                lines.append(f'{title}: {len(entries)}')
                lines += [f'  {name}: {reason}' for name, reason in entries[:_SHOWN]]
            if len(entries) > _SHOWN:
                lines.append(f'  ... and {len(entries) - _SHOWN} more, all named in {self.path}')
        lines += [f'note: {note}' for note in self.notes]
        if not self.complete:
            remedy = 'the same command with --resume goes on'
            lines.append(f'interrupted: the output is valid up to here; {remedy}')
        return '\n'.join(map(printable, lines))


@contextmanager
def stop_on_interrupt() -> Iterator[threading.Event]:
    """Yield an event that the first Ctrl-C sets; a second one ends the program at once."""
    stop = threading.Event()

    def ask(number, stack) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        print('\nstopping after the frames at hand (Ctrl-C again: at once)', file=sys.stderr)

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def infer(
    inferencer: WSPInferencer,
    source: Source,
    out: str | Path,
    resume: bool = False,
    overwrite: bool = False,
    images: bool = True,
    scene: bool = True,
    viewer: bool = True,
    progress: bool = True,
) -> Summary:
    """Run over a source: ``inference.json``, images or ``video.mp4``, and ``viewer.html``.

    Ctrl-C ends the run after the frames at hand and leaves all files valid. ``resume`` goes on from
    there, as it does after a crash, and ends with the json of an uninterrupted run.

    Args:
        out: folder, made where it is not there.
        resume, overwrite: what to do where there is output, see :class:`JsonWriter`.
        images, scene, viewer: what to draw, see :class:`FrameDrawer`.
        progress: show a bar.

    Raises:
        OutputError: output that is in the way, is a link to somewhere else, or of another run.
        OSError: the folder is not writable, the disk is full; what was done is kept for ``resume``.
    """
    out, began = Path(out), time.perf_counter()
    for path in (out, *(out / name for name in PARTS)):
        if path.is_symlink():
            what = f'{path} is a link to {os.readlink(path)}, which is left alone'
            raise OutputError(f'{what}: remove the link, or give another --out')
    info = inferencer.info(source)
    writer = JsonWriter(out / JSON, info, resume, overwrite)
    if overwrite:
        remove_drawings(out)
    drawer = FrameDrawer(out, info, source, images, scene, viewer)
    first, complete = writer.next_frame, writer.complete
    with writer, closing(drawer), stop_on_interrupt() as stop:
        if not complete:
            drawer.redraw(writer.records())
            complete = _process(inferencer, source, writer, drawer, stop, progress)
            drawer.close()
        # Counted before the partial file goes: it is read a line at a time.
        summary = Summary(writer.path, complete, info, notes=list(source.notes))
        shown = _count(writer, drawer, summary)
        writer.close(complete, summary.notes)
    if viewer and (writer.next_frame > first or not (out / VIEWER).exists()):
        summary.files.append(write_viewer(out / VIEWER, info, shown, drawer.thumbnails))
    if drawer.video is not None:
        summary.files.append(drawer.video.path)
    elif drawer.written:
        drawn = sorted((out / 'images').glob('[0-9]*.jpg'))
        summary.files += drawn if source.count == 1 else [out / 'images']
    summary.done, summary.seconds = writer.next_frame - first, time.perf_counter() - began
    return summary


def _process(
    inferencer: WSPInferencer,
    source: Source,
    writer: JsonWriter,
    drawer: FrameDrawer,
    stop: threading.Event,
    progress: bool,
) -> bool:
    """Infer, draw and write the frames that are left; return whether the source came to its end."""
    start = writer.next_frame
    with progress_bar(total=source.count, unit='frames', initial=start, show=progress) as bar:
        for frames, records in inferencer.chunks(source, start):
            # Drawn first: whatever is in the partial file has its images.
            for frame, record in zip(frames, records, strict=True):
                drawer.draw(frame, record)
            writer.add(records, frames[-1].index + 1)
            bar.update(len(frames))
            if stop.is_set():
                return False
    return True


def _count(writer: JsonWriter, drawer: FrameDrawer, summary: Summary) -> list[dict]:
    """Count over the whole json; return the records that the viewer shows."""
    shown, noted = [], []
    for record in writer.records():
        summary.frames += 1
        summary.persons += len(record['persons'])
        name = record['file_name']
        if 'skipped' in record:
            summary.skipped.append((name, record['skipped']))
        summary.problems += [(name, problem) for problem in record.get('problems', ())]
        noted += [(name, note) for note in record.get('notes', ())]
        if record['frame'] % drawer.stride == 0 and len(shown) < 2 * VIEWER_FRAMES:
            shown.append(record)
    summary.notes += join_notes(noted)
    return shown
