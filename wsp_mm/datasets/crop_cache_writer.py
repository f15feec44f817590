# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Writes the cache that :mod:`wsp_mm.datasets.crop_cache` reads, shard by shard, so that it can be
stopped.

A shard takes its name when it is whole. The manifest says from the start what the cache is made
for, and at the end that it is complete; it holds no date of its own, so that the same input gives
the same bytes:

``format``, ``version``; ``dataset``: type and arguments; ``annotations``: see ``annotation_files``;
``reach``: numbers of the pipeline; ``color_type``; ``quality``; ``shard_size``; ``samples``;
``complete``; then also ``shards``: bytes of each; ``frame_bytes``: sum over different frames.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from wsp_mm.datasets.crop_cache import (
    FORMAT,
    KEYS,
    MANIFEST,
    RECORD,
    RECORDS,
    VERSION,
    CropCacheError,
    hash64,
    read_manifest,
    sample_key,
    shard_file,
)
from wsp_mm.datasets.crop_reach import Reach
from wsp_mm.utils.files import atomic_file, write_text_atomic

#: Samples that a process takes at a time.
_CHUNK = 16
_SOI, _EOI = b'\xff\xd8', b'\xff\xd9'


class Cutter:
    """Cuts a sample's part out of its frame.

    Args:
        steps: the training pipeline, built, without a cache.
        quality: of the JPEGs, 1 to 100. Colours are stored in full (4:4:4).

    Raises:
        ValueError: the pipeline does not read and crop one person, see :meth:`Reach.of`.
    """

    def __init__(self, steps: Sequence[Any], quality: int) -> None:
        from wsp_mm.datasets.transforms.person_crop import PersonCenterScale
        from wsp_mm.datasets.transforms.read_picture import ReadPicture

        if not 1 <= quality <= 100:
            raise ValueError(f'quality must lie in 1 to 100, got {quality}')
        self.reach, self.quality = Reach.of(steps), quality
        first = [i for i, step in enumerate(steps) if isinstance(step, ReadPicture)]
        if not first:
            raise ValueError('a crop cache is for pipelines with ReadPicture; this one has none')
        self.before, self.read = list(steps[: first[0]]), steps[first[0]]
        self.box = next(step for step in steps if isinstance(step, PersonCenterScale))
        self._flags = [cv2.IMWRITE_JPEG_QUALITY, quality]
        # Older builds of OpenCV cannot choose; their colours are halved.
        if hasattr(cv2, 'IMWRITE_JPEG_SAMPLING_FACTOR'):
            self._flags += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]

    def __call__(self, sample: dict) -> tuple[np.ndarray, bytes]:
        """A record () without its place, and the JPEG.

        Raises:
            FileNotFoundError, ValueError: the frame or its box cannot be used; the message names
            it.
        """
        for step in self.before:
            sample = step(sample)
        record = np.zeros((), dtype=RECORD)
        record['key'] = sample_key(sample)
        sample = self.read(sample)
        picture = sample['picture']
        record['size'], record['frame'] = picture.size, hash64(str(sample['img_path']).encode())
        record['frame_bytes'] = picture.encoded_bytes
        sample = self.box(sample)
        if sample is None:  # skip_bad: training will not draw it either
            return record, b''
        side = self.reach.side(sample['bbox_scale'][0])
        left, top, right, bottom = part = self.reach.part(
            sample['bbox_center'][0], side, picture.size
        )
        if left >= right or top >= bottom:
            return record, b''
        pixels = picture.region(*part)
        factor = self.reach.factor(side)
        if factor > 1:
            small = [int(np.ceil(length / factor)) for length in (right - left, bottom - top)]
            pixels = cv2.resize(pixels, small, interpolation=cv2.INTER_AREA)
        done, data = cv2.imencode('.jpg', pixels, self._flags)
        if not done:
            raise ValueError(
                f'{picture.name}: OpenCV cannot write columns {left} to {right} of it as a JPEG'
            )
        record['part'], record['length'] = part, len(data)
        return record, data.tobytes()


@dataclass
class Written:
    """What a run did.

    Attributes:
        samples: all of the cache. cut: those of this run. seconds: of this run.
        cache_bytes: size of the shards. frame_bytes: of the different frames' files.
    """

    samples: int
    cut: int
    seconds: float
    cache_bytes: int
    frame_bytes: int


def write_cache(
    folder: str | Path,
    dataset: Any,
    cutter: Cutter,
    dataset_args: dict,
    annotations: list[dict],
    shard_size: int = 4096,
    workers: int = 2,
    progress: Callable[[int], object] = lambda count: None,
) -> Written:
    """Write a cache, or go on with one.

    Args:
        folder: of the cache; made.
        dataset: ``len`` and ``get_data_info``.
        dataset_args: type and arguments, for the manifest.
        annotations: see ``annotation_files``.
        shard_size: samples of a shard.
        workers: processes; 0 does it in this one.
        progress: called with the number of samples that are there, again and again.

    Raises:
        CropCacheError: the folder holds a cache for something else. What is wrong with a frame.
    """
    folder, start = Path(folder), time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    for part in folder.glob('.*.part'):  # of a run that was killed
        part.unlink(missing_ok=True)
    head = dict(
        format=FORMAT,
        version=VERSION,
        dataset=json.loads(json.dumps(dataset_args, default=str)),
        annotations=[
            {key: value for key, value in file.items() if key != 'path'} for file in annotations
        ],
        reach=cutter.reach.plain(),
        color_type=cutter.read.color_type,
        quality=cutter.quality,
        shard_size=shard_size,
        samples=len(dataset),
    )
    _same_or_new(folder, head)
    ranges = {
        number: range(first, min(first + shard_size, len(dataset)))
        for number, first in enumerate(range(0, len(dataset), shard_size))
    }
    todo = {
        number: samples
        for number, samples in ranges.items()
        if not is_whole(folder, number, len(samples))
    }
    there = len(dataset) - sum(map(len, todo.values()))
    cut = 0
    progress(there)
    chunks = [
        range(first, min(first + _CHUNK, samples.stop))
        for samples in todo.values()
        for first in range(samples.start, samples.stop, _CHUNK)
    ]
    results = _ordered(dataset, cutter, chunks, workers)
    try:
        for number, samples in todo.items():
            with _Shard(folder, number) as shard:
                while len(shard.records) < len(samples):
                    for record, data in next(results):
                        shard.add(record, data)
                        cut += 1
                    progress(there + cut)
    finally:
        results.close()
    records, sizes = _index(folder, ranges)
    frame_bytes = _write_index(folder, records, dataset_args)
    _dump(folder, dict(head, complete=True, shards=sizes, frame_bytes=frame_bytes))
    return Written(len(dataset), cut, time.monotonic() - start, sum(sizes), frame_bytes)


def is_whole(folder: Path, number: int, count: int) -> bool:
    """Whether a shard is there with so many samples, and each of its JPEGs begins and ends where it
    should.
    """
    try:
        records = np.load(shard_file(folder, number, 'npy'))
        path = shard_file(folder, number)
        total = int(records['length'].sum(dtype=np.int64))
        if records.dtype != RECORD or len(records) != count or path.stat().st_size != total:
            return False
        if total == 0:
            return True
        data = np.memmap(path, np.uint8, 'r')
        some = records[records['length'] > 0]
        first, last = (
            some['offset'].astype(np.int64),
            (some['offset'] + some['length']).astype(np.int64),
        )
        begins = np.stack([data[first], data[first + 1]], axis=-1) == np.frombuffer(_SOI, np.uint8)
        ends = np.stack([data[last - 2], data[last - 1]], axis=-1) == np.frombuffer(_EOI, np.uint8)
        return bool(begins.all() and ends.all())
    except (OSError, EOFError, ValueError, IndexError):
        return False


def _same_or_new(folder: Path, head: dict) -> None:
    """Begin a manifest, or see that the one that is there says the same."""
    if not (folder / MANIFEST).exists():
        if any(folder.glob('shard-*')):
            raise CropCacheError(
                f'{folder} holds shards without a manifest: take another folder or remove it'
            )
        _dump(folder, dict(head, complete=False))
        return
    old = read_manifest(folder)
    for key, value in head.items():
        before = old[key]
        if key == 'annotations':  # a copied tree has other dates
            value, before = (
                [{k: v for k, v in f.items() if k != 'mtime_ns'} for f in x]
                for x in (value, before)
            )
        if value != before:
            raise CropCacheError(
                f'{folder} holds a crop cache made for something else: {key} is {before} there, {value} here. '
                'Take another folder, or remove that one'
            )


class _Shard:
    """Writes one shard: bytes first, and records, which make it valid, at last."""

    def __init__(self, folder: Path, number: int) -> None:
        self.number, self.records, self._offset = number, [], 0
        self._folder, self._stack = folder, ExitStack()

    def __enter__(self) -> _Shard:
        shard_file(self._folder, self.number, 'npy').unlink(
            missing_ok=True
        )  # of one that was not whole
        self._file = self._stack.enter_context(atomic_file(shard_file(self._folder, self.number)))
        return self

    def add(self, record: np.ndarray, data: bytes) -> None:
        record['shard'], record['offset'] = self.number, self._offset
        self._offset += self._file.write(data)
        self.records.append(record)

    def __exit__(self, exc_type, exc, traceback) -> None:
        self._stack.__exit__(exc_type, exc, traceback)
        if exc_type is None:
            with atomic_file(shard_file(self._folder, self.number, 'npy')) as file:
                np.save(file, np.array(self.records, dtype=RECORD))


def _index(folder: Path, numbers: Iterable[int]) -> tuple[np.ndarray, list[int]]:
    """All records, and the sizes of the shards."""
    numbers = list(numbers)
    records = np.concatenate([np.load(shard_file(folder, number, 'npy')) for number in numbers])
    return records, [shard_file(folder, number).stat().st_size for number in numbers]


def _write_index(folder: Path, records: np.ndarray, dataset_args: dict) -> int:
    """Records in the order of their keys; returns the bytes of the frames.

    Raises:
        CropCacheError: two samples of one name, id and box that lie in different parts or frames.
    """
    order = np.argsort(records['key'], kind='stable')
    records = records[order]
    again = np.flatnonzero(records['key'][1:] == records['key'][:-1])
    for i in again:
        if any(
            (records[i][name] != records[i + 1][name]).any()
            for name in ('part', 'size', 'frame_bytes')
        ):
            raise CropCacheError(
                f'two samples of {dataset_args["type"]} have the same file name, id and box, but different '
                f'pictures (samples {order[i]} and {order[i + 1]}): they cannot be told apart'
            )
    records = np.delete(records, again + 1)
    for name, values in ((KEYS, np.ascontiguousarray(records['key'])), (RECORDS, records)):
        with atomic_file(folder / name) as file:
            np.save(file, values)
    frames = np.unique(records['frame'], return_index=True)[1]
    return int(records['frame_bytes'][frames].sum(dtype=np.int64))


def _dump(folder: Path, manifest: dict) -> None:
    write_text_atomic(folder / MANIFEST, json.dumps(manifest, indent=1) + '\n')


# Of a worker process: data set and cutter.
_job: tuple[Any, Cutter] | None = None


def _ordered(dataset: Any, cutter: Cutter, chunks: list[range], workers: int) -> Iterator[list]:
    """What is cut of each chunk, in order; as many are under way as keep the processes busy."""
    if not workers:
        for chunk in chunks:
            yield [cutter(dataset.get_data_info(i)) for i in chunk]
        return
    # Forked, the processes share what the data set holds.
    method = 'fork' if 'fork' in multiprocessing.get_all_start_methods() else 'spawn'
    pool = ProcessPoolExecutor(
        workers,
        multiprocessing.get_context(method),
        initializer=_start,
        initargs=(dataset, cutter, os.getpid()),
    )
    try:
        waiting: deque = deque()
        for chunk in chunks:
            waiting.append(pool.submit(_cut, chunk))
            if len(waiting) > 4 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _start(dataset: Any, cutter: Cutter, parent: int) -> None:
    global _job
    _job = dataset, cutter
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for the first process
    cv2.setNumThreads(0)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """A killed process cannot end its workers."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _cut(chunk: range) -> list[tuple[np.ndarray, bytes]]:
    dataset, cutter = _job
    return [cutter(dataset.get_data_info(i)) for i in chunk]
