# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Worlds whose requests give a parcel: any number of pictures and one record, all or nothing.

A :class:`Kind` says what there is to plan, make, write and check; this module does it: in
processes, whole files only, taken up again where it stopped. The wild world
(:mod:`wsp_mm.synthetic.world`) has one picture a request and needs none of this.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from wsp_mm.synthetic.layouts.files import WorldError, encode_json, link_or_copy, write_bytes
from wsp_mm.synthetic.plan import fingerprint
from wsp_mm.synthetic.processes import in_processes
from wsp_mm.synthetic.world import Report, claim, encode_picture

# A picture's path under the world's folder, and its second name if it has one.
Names = tuple[str, str | None]


@dataclass(frozen=True)
class Kind:
    """What one kind of world is made of. Requests and records have a ``scene_id``; functions are
    picklable.

    Attributes:
        name: as on the command line. format: to be raised whenever a request's pictures or record
            change.
        folders: under the world's folder, all its own.
        get_preset: name -> preset. plan: (preset, seed) -> requests by number.
        names: request -> its pictures' names. generate: request -> pictures (H, W, 3) uint8 RGB,
            and record.
        read: dict -> record. agree: attributes that record and request share.
        write: (folder, requests, records, report) -> annotation files; fills the report.
        check: (record, request) -> problems. check_files: (folder, requests, records) -> problems
            in the annotation files.
    """

    name: str
    format: int
    folders: tuple[str, ...]
    get_preset: Callable[[str], Any]
    plan: Callable[[Any, int], list]
    names: Callable[[Any], list[Names]]
    generate: Callable[[Any], tuple[list[np.ndarray], Any]]
    read: Callable[[dict], Any]
    agree: tuple[str, ...]
    write: Callable[[Path, list, list, Report], None]
    check: Callable[[Any, Any], list[str]]
    check_files: Callable[[Path, list, list], list[str]]

    @property
    def identity(self) -> str:
        """The file that says whose folders these are."""
        return f'world_{self.name}.json'

    def record_path(self, out: Path, request: Any) -> Path:
        return out / 'records' / self.name / f'{request.scene_id:06d}.json'


def make_parcels(out: Path, kind: Kind, preset: Any, seed: int = 0, workers: int = 1) -> Report:
    """Make a world of that kind in the folder ``out``, or go on with it.

    Args:
        preset: one of the kind's. workers: processes; 0 makes the pictures in this process.

    Raises:
        WorldError: ``out`` holds something else or cannot be written, or a picture cannot be made.
    """
    out = Path(out)
    requests = kind.plan(preset, seed)
    claim(
        out, kind.identity, (*kind.folders, f'records/{kind.name}'), format=kind.format, kind=kind.name,
        preset=preset, seed=seed, plan=fingerprint(requests),
    )  # fmt: skip
    todo = [request for request in requests if not parcel_is_done(out, kind, request)]
    pictures = {request.scene_id: len(kind.names(request)) for request in requests}
    rendered = sum(pictures[request.scene_id] for request in todo)
    report = Report(rendered=rendered, kept=sum(pictures.values()) - rendered, workers=workers)
    start = time.perf_counter()
    in_processes(partial(make_parcel, out, kind), todo, workers, 'scenes')
    report.seconds = time.perf_counter() - start
    kind.write(out, requests, list(read_records(out, kind, requests)), report)
    return report


def make_parcel(out: Path, kind: Kind, request: Any) -> None:
    """Make the pictures and the record of one request; the record last, as a sign that all is
    there.

    Raises:
        WorldError: they cannot be made (the message names the scene) or not be written.
    """
    try:
        pictures, record = _encoded(kind, request)
    except Exception as error:
        raise WorldError(
            f'{kind.name} scene {request.scene_id} cannot be made: {type(error).__name__}: {error} ({request})'
        ) from error
    for (name, second), data in zip(kind.names(request), pictures, strict=True):
        write_bytes(out / name, data)
        if second is not None:
            link_or_copy(out / name, out / second)
    write_bytes(kind.record_path(out, request), record)


def _encoded(kind: Kind, request: Any) -> tuple[list[bytes], bytes]:
    images, record = kind.generate(request)
    return [encode_picture(image) for image in images], encode_json(record.to_dict())


def parcel_is_done(out: Path, kind: Kind, request: Any) -> bool:
    """Whether all pictures, under all their names, and the record are there; the identity file
    vouches for the rest.
    """
    paths = [kind.record_path(out, request)]
    paths += [out / name for names in kind.names(request) for name in names if name is not None]
    return all(path.is_file() and path.stat().st_size > 0 for path in paths)


def read_records(out: Path, kind: Kind, requests: list) -> Iterator[Any]:
    """The records of all requests, in the plan's order.

    Raises:
        WorldError: one is broken or belongs to another plan; the message names it.
    """
    for request in requests:
        path = kind.record_path(out, request)
        try:
            record = kind.read(json.loads(path.read_text()))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WorldError(
                f'{path}: not a scene record ({error!r}); delete it and run again'
            ) from error
        for name in kind.agree:
            if getattr(record, name) != getattr(request, name):
                raise WorldError(
                    f'{path}: {name} is {getattr(record, name)!r}, the plan says {getattr(request, name)!r}; '
                    'delete it and run again'
                )
        yield record


def verify_parcels(
    out: Path, kind: Kind, preset: Any, seed: int = 0, workers: int = 1, count: int = -1
) -> tuple[list[str], int]:
    """Check a finished world: geometry of the scenes, that files are what the seed makes, and the
    annotations.

    Args:
        count: how many scenes, evenly spread; negative takes all. Annotation files are checked as a
            whole.

    Returns:
        the problems, each naming its scene or file, and the number of pictures that were checked.

    Raises:
        WorldError: the world is not finished.
    """
    out, requests = Path(out), kind.plan(preset, seed)
    missing = [request for request in requests if not parcel_is_done(out, kind, request)]
    if missing:
        raise WorldError(
            f'{len(missing)} scenes of the world {kind.name} in {out} are not there, the first is '
            f'{kind.names(missing[0])[0][0]}; make it first'
        )
    problems = kind.check_files(out, requests, list(read_records(out, kind, requests)))
    if 0 <= count < len(requests):
        requests = [
            requests[i] for i in np.linspace(0, len(requests) - 1, count).round().astype(int)
        ]
    for found in in_processes(partial(_verify, out, kind), requests, workers, 'checks'):
        problems += found
    return problems, sum(len(kind.names(request)) for request in requests)


def _verify(out: Path, kind: Kind, request: Any) -> list[str]:
    (record,) = read_records(out, kind, [request])
    problems = list(kind.check(record, request))
    pictures, expected = _encoded(kind, request)
    files = [(kind.record_path(out, request), expected)]
    for names, data in zip(kind.names(request), pictures, strict=True):
        files += [(out / name, data) for name in names if name is not None]
    changed = [path for path, data in files if path.read_bytes() != data]
    problems += [f'{path} is not what this version makes of the seed' for path in changed]
    return [f'{kind.name} scene {request.scene_id}: {problem}' for problem in problems]
