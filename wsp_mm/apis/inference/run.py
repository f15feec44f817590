# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""A whole run, from the input to files: what ``tools/infer.py`` does."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from wsp_mm.apis.inference.document import DocumentWriter
from wsp_mm.apis.inference.drawing import VIEWER, VIEWER_FRAMES, Artist, remove_drawings
from wsp_mm.apis.inference.sources import Source, SourceError
from wsp_mm.apis.inferencer import WSPInferencer

#: Exit statuses.
ALL_WELL, SOMETHING_SKIPPED, NOTHING_USABLE, INTERRUPTED = 0, 1, 2, 130

_SHOWN = 10  # skipped files that are named in the summary; the document names all


@dataclass
class Summary:
    """How a run went; counts are of the whole document, an earlier part of a resumed run included.

    Attributes:
        seconds: time of this run by kind of work. here: frames, persons and pairs of this run.
        skipped: (file name, reason). problems: (file name, what is missing of its answer).
    """

    document: Path
    complete: bool
    frames: int = 0
    persons: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    here: dict[str, int] = field(default_factory=dict)
    wall: float = 0.0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    camera: str = ''
    resumable: bool = True

    @property
    def status(self) -> int:
        """The exit status."""
        if not self.complete:
            return INTERRUPTED
        if (self.frames and len(self.skipped) == self.frames) or not self.frames:
            return NOTHING_USABLE
        return SOMETHING_SKIPPED if self.skipped or self.problems or self.notes else ALL_WELL

    def text(self) -> str:
        """What is printed at the end."""
        lines = [
            f'{self.frames} frames, {self.persons} persons -> {self.document}',
            *(f'also: {path}' for path in self.files),
            f'camera: {self.camera}',
        ]
        if self.here.get('frames'):
            lines.append(self._speed())
        for title, entries in (('skipped', self.skipped), ('incomplete', self.problems)):
            if entries:
                lines.append(f'{title}: {len(entries)}')
                lines += [f'  {name}: {reason}' for name, reason in entries[:_SHOWN]]
                if len(entries) > _SHOWN:
                    lines.append(
                        f'  ... and {len(entries) - _SHOWN} more, all named in {self.document}'
                    )
        lines += [f'note: {note}' for note in self.notes]
        if not self.complete:
            more = '; the same command with --resume goes on' if self.resumable else ''
            lines.append(f'interrupted: the output is valid up to here{more}')
        return '\n'.join(lines)

    def _speed(self) -> str:
        frames, persons = self.here['frames'], self.here.get('persons', 0)
        work = ', '.join(
            f'{name} {seconds:.1f} s' for name, seconds in self.seconds.items() if seconds >= 0.05
        )
        wall = max(self.wall, 1e-9)
        return (
            f'{wall:.1f} s: {frames / wall:.2f} frames/s, {persons / wall:.2f} persons/s ({work})'
        )


class Stop:
    """Whether the user pressed Ctrl-C."""

    requested = False


@contextmanager
def stop_on_interrupt() -> Iterator[Stop]:
    """The first Ctrl-C asks for an end after the frames at hand; a second one ends at once."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number, stack) -> None:
        if stop.requested:
            raise KeyboardInterrupt
        stop.requested = True
        print(
            '\nstopping after the frames at hand (Ctrl-C again: at once)',
            file=sys.stderr,
            flush=True,
        )

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
    pictures: bool = True,
    scene: bool = True,
    viewer: bool = True,
    progress: bool = True,
) -> Summary:
    """Run over a source: ``inference.json``, pictures or ``video.mp4``, and ``viewer.html`` in a
    folder.

    Ctrl-C ends the run after the frames at hand and leaves all files valid; ``resume`` goes on from
    there, as it does after a crash, and ends with the json of an uninterrupted run.

    Args:
        out: folder, made where it is not there.
        resume, overwrite: what to do where there is output, see :class:`DocumentWriter`.
        pictures: draw. scene: draw the 3D scene, too. viewer: write the page. progress: show a bar.

    Raises:
        DocumentError: output that is in the way, or of another run.
        SourceError: a camera cannot be resumed.
        OSError: the folder is not writable, the disk is full; what was done is kept for ``resume``.
    """
    if resume and source.kind == 'webcam':
        raise SourceError('a camera cannot show again what it saw: --resume is for files')
    out, began = Path(out), time.perf_counter()
    writer = DocumentWriter(out / 'inference.json', inferencer.info(source), resume, overwrite)
    if overwrite:
        remove_drawings(out)
    artist = Artist(out, writer.info, source, pictures, scene, viewer)
    pipeline = inferencer.pipeline
    for kept in (pipeline.seconds, pipeline.waiting, pipeline.counts):
        kept.clear()
    complete = writer.complete
    try:
        with stop_on_interrupt() as stop:
            if not complete:
                with _bar(source, progress) as bar:
                    _recall(writer, source, artist, stop)
                    bar.update(writer.next_frame)
                    complete = _go_on(inferencer, source, writer, artist, stop, bar)
        video = artist.close()
        # counted before the partial file goes: it is read a line at a time
        summary = Summary(
            writer.path,
            complete,
            notes=list(source.notes),
            camera=_camera_sentence(inferencer),
            resumable=source.kind != 'webcam',
        )
        shown = _count(writer, artist, summary)
        writer.close(complete, source.notes)
    except BaseException:
        artist.close()
        writer.abandon()
        raise
    finished_before = complete and not pipeline.counts['frames'] and (out / VIEWER).exists()
    if viewer and not finished_before:
        _write_viewer(out / VIEWER, writer.info, shown, artist, summary)
    if video is not None:
        summary.files.append(video)
    elif artist.written:
        summary.files.append(out / 'pictures')
    summary.seconds, summary.here = dict(pipeline.seconds), dict(pipeline.counts)
    summary.wall = time.perf_counter() - began
    return summary


def _recall(writer: DocumentWriter, source: Source, artist: Artist, stop: Stop) -> None:
    """What an earlier part of the run drew: an mp4 cannot be continued, so its frames are drawn
    again.
    """
    if not writer.next_frame:
        return
    if not source.is_video:
        for record in writer.records():
            artist.recall(record)
        return
    if not (artist.pictures or artist.viewer):
        return
    for record, frame in zip(writer.records(), source.frames(), strict=False):
        if stop.requested:
            break
        artist.draw(frame, record)


def _go_on(
    inferencer, source: Source, writer: DocumentWriter, artist: Artist, stop: Stop, bar
) -> bool:
    """Whether the source came to its end."""
    if stop.requested:
        return False
    timed = inferencer.pipeline.timed
    with closing(inferencer.chunks(source, writer.next_frame)) as chunks:
        for frames, records in chunks:
            # drawn first: whatever is in the partial file has its pictures
            with timed('drawing'):
                for frame, record in zip(frames, records, strict=True):
                    artist.draw(frame, record)
            with timed('writing'):
                writer.add(records, frames[-1].index + 1)
            bar.update(len(frames))
            if stop.requested:
                return False
    return True


def _count(writer: DocumentWriter, artist: Artist, summary: Summary) -> list[dict]:
    """Count over the whole document; returns the records that the viewer shows."""
    shown = []
    for record in writer.records():
        summary.frames += 1
        summary.persons += len(record['persons'])
        name = record['file_name']
        if 'skipped' in record:
            summary.skipped.append((name, record['skipped']))
        summary.problems += [(name, problem) for problem in record.get('problems', ())]
        if record['frame'] % artist.stride == 0 and len(shown) < 2 * VIEWER_FRAMES:
            shown.append(record)
    return shown


def _write_viewer(
    path: Path, info: dict, shown: list[dict], artist: Artist, summary: Summary
) -> None:
    try:
        from wsp_mm.visualization.viewer import write_viewer
    except ImportError as error:
        summary.notes.append(f'{path.name} was not written: {error}')
        return
    images = {
        place: artist.thumbnails[record['frame']]
        for place, record in enumerate(shown)
        if record['frame'] in artist.thumbnails
    }
    document = dict(format='wsp_mm.inference', version=1, info=info, frames=shown)
    try:
        write_viewer(path, document, images)
    except ImportError as error:  # the package that draws in the page
        summary.notes.append(f'{path.name} was not written: {error}')
        return
    summary.files.append(path)


def _camera_sentence(inferencer: WSPInferencer) -> str:
    if inferencer.pose.kind == 'order':
        return 'not used (a pre-training network gives the order of persons)'
    camera = inferencer.camera.describe()
    if camera is None:
        return (
            'none given, so no keypoints_cam and no root depths: pixels, and depth relative to each root. '
            'Give --focal or --camera, or assume one with --assume-fov'
        )
    root = 'root network' if inferencer.root else "k, from the boxes' sizes alone"
    if camera['source'] == 'assumed-fov':
        return (
            f'ASSUMED, {camera["fov_deg"]:g} degrees across the longer side; root depths by {root}'
        )
    return f'{"as given" if camera["source"] == "given" else "of the camera file"}; root depths by {root}'


@contextmanager
def _bar(source: Source, wanted: bool) -> Iterator:
    """A progress bar; where the output is no terminal, a line now and then."""
    from tqdm import tqdm

    try:
        total = len(source)
    except TypeError:
        total = None
    more = {}
    if not sys.stderr.isatty():
        more = dict(
            mininterval=15, bar_format='{n_fmt} of {total_fmt}{unit}, {rate_fmt}, {elapsed} gone\n'
        )
        if total is None:
            more['bar_format'] = '{n_fmt}{unit}, {rate_fmt}, {elapsed} gone\n'
    more['leave'] = not sys.stderr.isatty()
    with tqdm(total=total, unit=' frames', disable=not wanted, **more) as bar:
        yield bar
