# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Persons in a folder or list of pictures, into a file of boxes; a run that was stopped can go on.

Beside the output grows ``OUT.partial``: a first line that says what is being done, then a line a
batch. A line is written after its batch and holds all of it, so whatever ends the run, what is
whole can be used again. Pictures are dealt into the same batches in every run: going on gives the
same boxes to the last bit.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from wsp_mm.apis.inference.pictures import PICTURE_SUFFIXES, PictureError, read_picture
from wsp_mm.datasets.box_files import BOX_DECIMALS, SCORE_DECIMALS, read_boxes, write_boxes
from wsp_mm.datasets.converters.mcpc.files import load_json
from wsp_mm.datasets.converters.mcpc.records import BadDataError, Findings

PARTIAL = '.partial'


@dataclass(frozen=True)
class Picture:
    """A picture to look at: its number and name in the output, where it lies, and its size px if
    known.
    """

    id: int
    file_name: str
    path: Path
    size: tuple[int, int] | None = None


@dataclass
class DetectionRun:
    """What a run did.

    Attributes:
        pictures, persons: how many were looked at and found; without_persons: pictures in which
        nobody was.
        resumed: pictures taken over from the run before.
        bad: pictures that were skipped, with the reason.
    """

    pictures: int = 0
    persons: int = 0
    without_persons: int = 0
    resumed: int = 0
    bad: list[BadDataError] = field(default_factory=list)


def pictures_of_folder(folder: str | Path) -> list[Picture]:
    """All pictures in a folder and the folders in it, 2 before 10, numbered from 1.

    Raises:
        BadDataError: no such folder, or no picture in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise BadDataError(
            'missing folder', folder, '', 'there is no such folder', 'Check --images'
        )
    names = [
        path.relative_to(folder).as_posix()
        for path in folder.rglob('*')
        if path.suffix.lower() in PICTURE_SUFFIXES
        and path.is_file()
        and not path.name.startswith('.')
    ]
    if not names:
        raise BadDataError(
            'no pictures',
            folder,
            '',
            f'it holds no picture ({", ".join(PICTURE_SUFFIXES)})',
            'Check --images',
        )
    names.sort(key=_natural)
    return [Picture(i, name, folder / name) for i, name in enumerate(names, start=1)]


def _natural(name: str) -> tuple:
    """Key that sorts numbers within names by value; the name itself parts a2 from a02."""
    return [
        (int(part), '') if part.isdigit() else (-1, part) for part in re.split(r'(\d+)', name)
    ], name


def pictures_of_annotations(file: str | Path, root: str | Path) -> list[Picture]:
    """The pictures that a json in the style of COCO lists (MuCo's and MuPoTS's too), with their
    ids.

    Args:
        file: the json. root: the folder that its file names start from.

    Raises:
        BadDataError: no such file or folder, no list of pictures, a bad record or an id that stands
            twice.
    """
    file, root = Path(file), Path(root)
    if not root.is_dir():
        raise BadDataError(
            'missing folder', root, '', 'there is no such folder', 'Check --img-root'
        )
    content = load_json(file)
    records = content.get('images') if isinstance(content, dict) else None
    if not isinstance(records, list) or not records:
        raise BadDataError(
            'wrong layout', file, '', 'it has no list `images`', 'Give a json in the style of COCO'
        )
    out: dict[int, Picture] = {}
    for i, record in enumerate(records):
        try:
            image_id, name = int(record['id']), str(record['file_name'])
            known = record.get('width') is not None and record.get('height') is not None
            size = (int(record['width']), int(record['height'])) if known else None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadDataError(
                'bad record',
                file,
                f'picture {i}',
                f'{type(error).__name__}: {error}',
                'Mend the file',
            ) from None
        if image_id in out:
            raise BadDataError(
                'bad record',
                file,
                f'picture {i}',
                f'the id {image_id} stands twice',
                'Mend the file',
            )
        out[image_id] = Picture(image_id, name, root / name, size)
    return list(out.values())


def detect_persons(
    detector: Any,
    pictures: Sequence[Picture],
    out: str | Path,
    batch_size: int = 8,
    resume: bool = False,
    skip_bad: bool = False,
    progress: bool = True,
    readers: int = 2,
) -> DetectionRun:
    """Detect the persons in many pictures and write a file of boxes.

    Args:
        detector: :class:`wsp_mm.apis.detection.PersonDetector`, or what has its ``detect`` and
            ``identity``.
        pictures: what to look at.
        out: the json, see :mod:`wsp_mm.datasets.box_files`.
        batch_size: pictures read and given to the detector at once.
        resume: go on from what a stopped run left; a finished one is left as it is.
        skip_bad: skip, count and list pictures that cannot be read, instead of stopping at the
            first.
        progress: show a progress bar.
        readers: threads that read the next pictures meanwhile.

    Returns:
        What was done.

    Raises:
        BadDataError: a picture cannot be read (``skip_bad`` off), or ``resume`` finds work of
            another run.
    """
    out = Path(out)
    plan = _plan(detector.identity, pictures, batch_size)
    log = out.with_name(out.name + PARTIAL)
    if resume and not log.exists() and out.exists():
        return _finished(out, plan)
    batches = [pictures[i : i + batch_size] for i in range(0, len(pictures), batch_size)]
    done = _read_log(log, plan, batches) if resume and log.exists() else []
    findings = Findings(skip_bad=skip_bad)
    out.parent.mkdir(parents=True, exist_ok=True)
    _start_log(log, plan, done)
    resumed = sum(map(len, batches[: len(done)]))
    with open(log, 'a', encoding='utf-8') as file, _bar(len(pictures), resumed, progress) as bar:
        for batch, read in _read_ahead(batches[len(done) :], readers):
            done.append(_look(detector, batch, read, findings))
            file.write(json.dumps(done[-1], allow_nan=False, separators=(',', ':')) + '\n')
            file.flush()
            bar.update(len(batch))
    result = _write(out, plan, pictures, [entry for entries in done for entry in entries], skip_bad)
    result.resumed = resumed
    log.unlink()
    return result


def _plan(identity: dict, pictures: Sequence[Picture], batch_size: int) -> dict:
    """What a run does: two runs with equal plans give equal boxes."""
    listed = json.dumps([(p.id, p.file_name, p.size) for p in pictures]).encode()
    return dict(
        detector=dict(identity), batch_size=batch_size, pictures=len(pictures),
        pictures_sha256=hashlib.sha256(listed).hexdigest(),
    )  # fmt: skip


def _same_plan(file: Path, theirs: Any, ours: dict) -> None:
    theirs = theirs if isinstance(theirs, dict) else {}
    flat_ours = {**ours, **ours['detector']}
    flat_theirs = {**theirs, **(theirs.get('detector') or {})}
    differ = [
        key for key in flat_ours if key != 'detector' and flat_ours[key] != flat_theirs.get(key)
    ]
    if differ:
        shown = ', '.join(
            f'{key} {flat_theirs.get(key)} (now {flat_ours[key]})' for key in differ[:3]
        )
        raise BadDataError(
            'another run', file, '', f'it was made with {shown}',
            'Run with the settings of that run, or without --resume to start anew',
        )  # fmt: skip


def _read_log(log: Path, plan: dict, batches: list) -> list[list[dict]]:
    """The whole batches of a stopped run, in order; a torn last line is left out."""
    lines = log.read_bytes().split(b'\n')[:-1]  # what follows the last line's end was being written
    if not lines:
        return []
    done = []
    try:
        _same_plan(log, json.loads(lines[0]), plan)
        for line, batch in zip(lines[1:], batches, strict=False):
            entries = json.loads(line)
            if [entry['id'] for entry in entries] != [picture.id for picture in batch]:
                raise ValueError('a batch of other pictures')
            done.append(entries)
    except (ValueError, TypeError, KeyError) as error:
        if isinstance(error, BadDataError):
            raise
        raise BadDataError(
            'broken partial file',
            log,
            f'line {len(done) + 2}',
            str(error),
            'Start anew, without --resume',
        ) from None
    return done


def _start_log(log: Path, plan: dict, done: list) -> None:
    temporary = log.with_name(log.name + '.new')
    temporary.write_text(
        ''.join(json.dumps(e, separators=(',', ':')) + '\n' for e in (plan, *done)), 'utf-8'
    )
    temporary.replace(log)


def _read_ahead(batches: list, readers: int) -> Iterator[tuple[Sequence[Picture], list]]:
    """Every batch with its pictures (or why there is none), while the next one is being read."""
    with ThreadPoolExecutor(max(readers, 1)) as pool:
        coming: list = []
        try:
            for i in range(len(batches) + 1):
                if i < len(batches):
                    coming.append([pool.submit(_read, picture) for picture in batches[i]])
                if i > 0:
                    yield batches[i - 1], [job.result() for job in coming.pop(0)]
        finally:
            for job in (job for jobs in coming for job in jobs):
                job.cancel()


def _read(picture: Picture) -> np.ndarray | str:
    """(H, W, 3) uint8 BGR, or why there is none."""
    try:
        content = read_picture(picture.path)
    except PictureError as error:
        return str(error)
    size = content.shape[1::-1]
    if picture.size is not None and size != picture.size:
        return (
            f'it is {size[0]} x {size[1]} px, the list says {picture.size[0]} x {picture.size[1]}'
        )
    return content


def _look(detector: Any, batch: Sequence[Picture], read: list, findings: Findings) -> list[dict]:
    """A batch's entries in the partial file."""
    for picture, content in zip(batch, read, strict=True):
        if isinstance(content, str):
            findings.report(
                'bad picture', str(picture.path), '', content,
                'Mend it and go on with --resume, or add --skip-bad (with --resume, too)',
            )  # fmt: skip
    found = iter(detector.detect([content for content in read if not isinstance(content, str)]))
    entries = []
    for picture, content in zip(batch, read, strict=True):
        if isinstance(content, str):
            entries.append(dict(id=picture.id, bad=content))
            continue
        boxes, scores = (np.asarray(values, np.float64) for values in next(found))
        entries.append(
            dict(
                id=picture.id,
                boxes=boxes.round(BOX_DECIMALS).tolist(),
                scores=scores.round(SCORE_DECIMALS).tolist(),
            )
        )
    return entries


def _write(
    out: Path, plan: dict, pictures: Sequence[Picture], entries: list, skip_bad: bool
) -> DetectionRun:
    result = DetectionRun()
    good, boxes, scores, bad = [], {}, {}, []
    for picture, entry in zip(pictures, entries, strict=True):
        if 'bad' in entry:
            if not skip_bad:
                raise BadDataError(
                    'bad picture', str(picture.path), '', entry['bad'],
                    'The run before skipped it: add --skip-bad, or start anew without --resume',
                )  # fmt: skip
            result.bad.append(
                BadDataError('bad picture', str(picture.path), '', entry['bad'], 'Skipped')
            )
            bad.append(dict(id=picture.id, file_name=picture.file_name, why=entry['bad']))
            continue
        good.append((picture.id, picture.file_name))
        boxes[picture.id], scores[picture.id] = entry['boxes'], entry['scores']
    write_boxes(out, good, boxes, scores, info=dict(plan, skipped=bad))
    return _count(result, scores)


def _count(result: DetectionRun, scores: dict) -> DetectionRun:
    result.pictures, result.persons = len(scores), sum(map(len, scores.values()))
    result.without_persons = sum(len(found) == 0 for found in scores.values())
    return result


def _finished(out: Path, plan: dict) -> DetectionRun:
    """A run that is asked to go on and has nothing left to do."""
    found = read_boxes(out)
    _same_plan(out, found.info, plan)
    bad = [
        BadDataError('bad picture', entry['file_name'], '', entry['why'], 'Skipped')
        for entry in found.info.get('skipped', [])
    ]
    result = _count(DetectionRun(bad=bad), found.scores)
    result.resumed = result.pictures + len(bad)
    return result


def _bar(total: int, resumed: int, shown: bool):
    """A progress bar on the terminal; a line now and then where there is none."""
    from tqdm import tqdm

    if sys.stderr.isatty() or not shown:
        return tqdm(total=total, initial=resumed, unit=' pictures', disable=not shown)
    line = '{n_fmt} of {total_fmt}{unit}, {rate_fmt}, {elapsed} gone, {remaining} to go\n'
    return tqdm(total=total, initial=resumed, unit=' pictures', mininterval=15, bar_format=line)
