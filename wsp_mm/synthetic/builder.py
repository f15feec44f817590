# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Makes a world: plan, images with their ground truth, annotation files.

Images are made by worker processes of one thread each, so that bytes do not depend on how many
there are. Every file is written whole; a run that stops in the middle is taken up again by the same
command.
"""

import errno
import itertools
import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from wsp_mm.utils.files import atomic_file, write_text_atomic

from .ground_truth import SceneGT
from .layouts import LAYOUTS
from .layouts.labelling import AnnotationWriter
from .plan import SceneRequest, WorldError, fingerprint
from .scene import generate_scene
from .worlds import WORLDS

# Raise it whenever a request's image or ground truth changes, lest old and new be mixed in one
# folder.
FORMAT = 3
JPEG_QUALITY = 92
_THREADS = ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS')

Generate = Callable[[SceneRequest], tuple[np.ndarray, SceneGT]]


@dataclass
class Report:
    """What a run did.

    Attributes:
        rendered, kept: images made now, and found from an earlier run.
        seconds: spent on the images made now. workers: processes that made them.
        counts: (source, split) -> number of images and of annotated persons.
        paths: annotation and ground-truth files.
    """

    rendered: int = 0
    kept: int = 0
    seconds: float = 0.0
    workers: int = 1
    counts: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    paths: list[Path] = field(default_factory=list)


def _generate(request: SceneRequest) -> tuple[np.ndarray, SceneGT]:
    return generate_scene(request, WORLDS[request.world].SETTINGS[request.source])


def plan_world(world: str, preset: str | dict, seed: int) -> list[SceneRequest]:
    """The images of a preset, or of options of the world's ``plan``.

    Raises:
        WorldError: unknown world or preset, or a negative seed.
    """
    if world not in WORLDS:
        raise WorldError(f'unknown world {world!r}; there are: {", ".join(WORLDS)}')
    presets = WORLDS[world].PRESETS
    if isinstance(preset, str) and preset not in presets:
        raise WorldError(f'unknown preset {preset!r}; there are: {", ".join(presets)}')
    if seed < 0:
        raise WorldError(f'the seed must not be negative, got {seed}')
    return WORLDS[world].plan(seed, **(presets[preset] if isinstance(preset, str) else preset))


def make_world(
    out: Path, world: str, preset: str | dict, seed: int = 0, workers: int = 1,
    generate: Generate = _generate,
) -> Report:  # fmt: skip
    """Make one of ``WORLDS`` in the folder ``out``, or go on with it. Worlds share a folder without
    touching each other's files.

    Args:
        preset: a name, or options of the world's ``plan``.
        workers: processes; 0 makes the images in this process (for tests and debugging).
        generate: makes one image (H, W, 3) uint8 RGB and its ground truth; picklable unless
            ``workers`` is 0.

    Raises:
        WorldError: unknown world or preset, ``out`` holds something else or cannot be written, or
            an image cannot be made.
    """
    out, requests = Path(out), plan_world(world, preset, seed)
    try:
        _claim(out, world, dict(preset=preset, seed=seed, plan=fingerprint(requests)))
        todo = [request for request in requests if not _is_done(out, request)]
        done = len(requests) - len(todo)
        report = Report(len(todo), done, workers=workers)
        # Frames of a clip share their people: they are made one after another in one process.
        clips = [list(clip) for _, clip in itertools.groupby(todo, lambda request: request.clip)]
        start = time.perf_counter()
        with progress(len(requests), done) as bar:
            _in_processes(partial(_make_images, out, generate), clips, workers, bar)
        report.seconds = time.perf_counter() - start
        _write_annotations(out, requests, report)
    except OSError as error:
        raise WorldError(_explain(out, error)) from error
    return report


def _claim(out: Path, world: str, identity: dict) -> None:
    """Take the world's folders, or find that they are this world's already.

    ``world_{name}.json`` says whose they are.

    Raises:
        WorldError: a folder belongs to another world or to real data.
    """
    path = out / f'world_{world}.json'
    folders = (*WORLDS[world].FOLDERS, f'records/{world}')
    removal = f'rm -r {out}/{{{",".join((path.name, *folders))}}}'
    identity = json.loads(json.dumps({'format': FORMAT, **identity}))
    if path.is_file():
        try:
            found = json.loads(path.read_text())
        except ValueError as error:
            raise WorldError(f'{path}: broken json ({error}); begin anew: {removal}') from error
        if found != identity:
            differing = [
                f'{key} is {found.get(key)!r}, asked for is {value!r}'
                for key, value in identity.items()
                if found.get(key) != value
            ]
            raise WorldError(
                f'{out} already holds another world {world}: {"; ".join(differing)}. Choose '
                f'another --out, or delete it first: {removal}'
            )
    else:
        taken = [folder for folder in folders if (out / folder).exists()]
        if taken:
            raise WorldError(
                f'{out} holds {taken} but no {path.name}, so it may be real data, and nothing is '
                'written there. Choose another --out'
            )
        write_text_atomic(path, json.dumps(identity))
    for folder in folders:  # what a killed run left half written
        for part in (out / folder).rglob('.*.part'):
            part.unlink(missing_ok=True)


def _record_path(out: Path, request: SceneRequest) -> Path:
    return out / 'records' / request.world / f'{request.scene_id:06d}.json'


def _is_done(out: Path, request: SceneRequest) -> bool:
    """Whether the image, under both names, and its ground truth are there.

    That they fit the plan, ``world_{name}.json`` vouches for. The ground truth is written last.
    """
    paths = [_record_path(out, request), out / request.path]
    paths += [out / request.link] if request.link else []
    return all(path.is_file() and path.stat().st_size > 0 for path in paths)


def _make_images(out: Path, generate: Generate, requests: list[SceneRequest]) -> int:
    """Make images with their ground truth; returns how many.

    Raises:
        WorldError: one cannot be made (the message names it). OSError: it cannot be written.
    """
    for request in requests:
        try:
            image, scene = generate(request)
            jpeg = _encode_jpeg(image)
            record = json.dumps(scene.to_dict(), allow_nan=False, separators=(',', ':')).encode()
        except Exception as error:
            message = f'{type(error).__name__}: {error}'
            raise WorldError(f'{request.path} cannot be made: {message} ({request})') from error
        for path, data in ((out / request.path, jpeg), (_record_path(out, request), record)):
            if path.suffix == '.json' and request.link:
                _link(out / request.path, out / request.link)
            with atomic_file(path, sync=False) as file:
                file.write(data)
    return len(requests)


def _encode_jpeg(image: np.ndarray) -> bytes:
    """An image (H, W, 3) uint8 RGB as JPEG.

    Raises:
        cv2.error: it is no image.
    """
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, as a hard link; where the file system has none, as a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def read_scenes(out: Path, requests: list[SceneRequest]) -> Iterator[SceneGT]:
    """The ground truth of images, in the plan's order.

    Raises:
        WorldError: a record is broken or belongs to another plan; the message names it.
    """
    for request in requests:
        path = _record_path(out, request)
        try:
            yield SceneGT.from_dict(json.loads(path.read_text()), request)
        except (OSError, ValueError, KeyError, TypeError) as error:
            message = f'{path}: not the ground truth of {request.path} ({error!r})'
            raise WorldError(f'{message}; delete it and run again') from error


def _write_annotations(out: Path, requests: list[SceneRequest], report: Report) -> None:
    """Write the annotation files of every source and the ground truth; fills the report."""
    for source, chosen in itertools.groupby(requests, lambda request: request.source):
        writer, images = AnnotationWriter(out), list(chosen)
        LAYOUTS[source](writer, read_scenes(out, images))
        writer.write_ground_truth()
        report.paths += writer.paths
        for split, count in Counter(request.split for request in images).items():
            report.counts[source, split] = count, writer.annotated[split]


# ------------------------------------------------------------------ processes
def _in_processes(task: Callable[[list], int], chunks: list[list], workers: int, bar: tqdm) -> None:
    """Do ``task`` for every chunk in ``workers`` processes of one thread each; 0: in this one.

    Raises:
        WorldError: a process died. Whatever the task raises; what has not begun by then is given
            up.
    """
    if not workers:
        for chunk in chunks:
            bar.update(task(chunk))
        return
    with _single_threaded():
        pool = ProcessPoolExecutor(
            max_workers=min(workers, max(1, len(chunks))),
            mp_context=multiprocessing.get_context('spawn'),
            # An interrupt is for this process, which then lets the others finish their chunks.
            initializer=signal.signal,
            initargs=(signal.SIGINT, signal.SIG_IGN),
        )
        try:
            futures = [pool.submit(task, chunk) for chunk in chunks]
            for future in futures:
                future.add_done_callback(lambda f: f.exception() or bar.update(f.result()))
            wait(futures, return_when=FIRST_EXCEPTION)
            for future in futures:
                if future.done():
                    future.result()
        except BrokenProcessPool as error:
            raise WorldError(
                'a worker process died, mostly for want of memory. Finished images are kept: run '
                'the same command again, with fewer --workers'
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Processes started within have one thread each."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, '1'))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def progress(total: int, done: int) -> tqdm:
    """A progress bar; where the output is no terminal, a line now and then."""
    if sys.stderr.isatty():
        return tqdm(total=total, initial=done, unit=' images')
    line = '{n_fmt} of {total_fmt} images, {rate_fmt}, {elapsed} gone, {remaining} to go\n'
    return tqdm(total=total, initial=done, unit=' images', mininterval=15, bar_format=line)


def _explain(out: Path, error: OSError) -> str:
    """One line on why something could not be written and what to do."""
    path = error.filename or out
    if error.errno == errno.ENOSPC:
        return (
            f'{path}: the disk is full. What is finished is kept: free some space (or choose '
            'another --out) and run the same command again to go on'
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return (
            f'{path}: not writable ({error.strerror}). Choose another --out or fix its permissions'
        )
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return f'{path}: a file lies where a folder should be. Move it or choose another --out'
    return f'{path}: cannot be written: {error.strerror or error}'
