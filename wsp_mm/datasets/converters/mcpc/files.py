# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Json in and out, pictures on disk."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from wsp_mm.datasets.converters.mcpc.records import BadDataError, Findings, SourceData

# Outlines make up most of an annotation file and the builder needs none of them. Dropping them
# while the parser runs, not afterwards, is what keeps a large file within memory.
_BULKY = ('segmentation', 'ignore_regions_x', 'ignore_regions_y', 'scores', 'licenses', 'dp_masks')


def _slim(record: dict) -> dict:
    for key in _BULKY:
        record.pop(key, None)
    return record


def pack_numbers(keys: tuple[str, ...], dtype: type = np.float64) -> Callable[[dict], dict]:
    """An object hook for the parser of json: lists of numbers under these keys become arrays at
    once.

    A number in a list takes 32 bytes and an inner list 80 more; so a large file is parsed in less
    than half of the memory. What cannot be an array stays as it is, for the reader to complain
    about.
    """

    def pack(record: dict) -> dict:
        for key in keys:
            value = record.get(key)
            if isinstance(value, list):
                with contextlib.suppress(TypeError, ValueError, OverflowError):
                    record[key] = np.array(value, dtype=dtype)
        return record

    return pack


@contextlib.contextmanager
def _no_gc() -> Iterator[None]:
    """Millions of small lists make the cycle collector take longer than the parser."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def load_json(path: Path, slim: bool = True, hook: Callable[[dict], dict] | None = None) -> object:
    """Contents of a json file, less the outlines in it (``slim``; without it twice as fast).

    Args:
        hook: changes each object as it is parsed, instead of ``slim``.

    Raises:
        BadDataError: the file is missing or no json.
    """
    try:
        with open(path, encoding='utf-8') as file, _no_gc():
            return json.load(file, object_hook=hook or (_slim if slim else None))
    except FileNotFoundError:
        raise BadDataError(
            'missing file', path, '', 'there is no such file', 'docs/data.md says where to get it'
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadDataError(
            'broken json',
            path,
            '',
            f'this is no json ({error})',
            'Download it again: it may be cut off',
        ) from error


class AtomicFiles:
    """Writes several files that appear all at once, at the very end, or not at all.

    Used as a context manager; :meth:`open` gives a file to write into. The files take their names
    when the context is left without an error; after an error nothing has changed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._pending: list[tuple[str, Path]] = []

    def __enter__(self) -> AtomicFiles:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator:
        handle, temporary = tempfile.mkstemp(prefix=f'.{name}.', suffix='.part', dir=self.folder)
        self._pending.append((temporary, self.folder / name))
        with os.fdopen(handle, 'w', encoding='utf-8') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())

    def __exit__(self, exc_type, exc, traceback) -> None:
        umask = os.umask(0)
        os.umask(umask)
        for temporary, final in self._pending:
            if exc_type is None:
                os.chmod(temporary, 0o666 & ~umask)  # mkstemp lets nobody else read
                os.replace(temporary, final)
            else:
                Path(temporary).unlink(missing_ok=True)


def dump_records(file, head: dict, lists: dict[str, Iterable[dict]]) -> None:
    """Write ``{**head, **lists}`` as json, record by record, so that the lists need not exist as a
    whole.
    """
    encode = json.JSONEncoder(separators=(',', ':'), allow_nan=False).encode
    file.write('{')
    file.write(','.join(f'{json.dumps(k)}:{encode(v)}' for k, v in head.items()))
    for name, records in lists.items():
        file.write(f',\n{json.dumps(name)}:[')
        for i, record in enumerate(records):
            file.write(',\n' if i else '\n')
            file.write(encode(record))
        file.write(']')
    file.write('}\n')


def _listing(root: Path, file_names: Iterable[str]) -> set[str]:
    """Which of the files exist, asking the disk once a folder."""
    present = set()
    for folder in {os.path.dirname(name) for name in file_names}:
        try:
            with os.scandir(root / folder) as entries:
                present.update(
                    os.path.join(folder, e.name) for e in entries if not e.name.startswith('.')
                )
        except (FileNotFoundError, NotADirectoryError):
            continue
    return present


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height px, from the header alone.

    Raises:
        OSError: not a picture.
    """
    from PIL import Image

    with Image.open(path) as picture:
        return picture.size


def check_pictures(data: SourceData, root: Path, findings: Findings) -> SourceData:
    """See that the pictures are there, and learn the sizes that the annotation file does not give.

    A folder without any picture is allowed (annotations alone can be built from) and counted as
    unchecked. Once there are some, a listed one that is absent is a bad record.

    Args:
        data: pictures without width and height get them, where the picture can be asked.
        root: the source's folder.
        findings: told what is absent or could not be checked.

    Returns:
        The data without the pictures that were bad.

    Raises:
        BadDataError: a picture is absent or unreadable, and bad records are not skipped.
    """
    label = f'{data.source} {data.split}'
    present = _listing(root, [picture.file_name for picture in data.pictures])
    if not present:
        findings.unchecked[f'{label}: pictures not looked for, none at hand'] += len(data.pictures)
        folders = sorted(
            {os.path.dirname(picture.file_name).split('/')[0] for picture in data.pictures}
        )
        findings.notes.append(
            f'{label}: no picture at all under {root} ({", ".join(folders)}); built from annotations alone'
        )
        return data
    good = np.ones(len(data.pictures), dtype=bool)
    for i, picture in enumerate(data.pictures):
        path = root / picture.file_name
        record = f'picture {picture.source_id}'
        if picture.file_name not in present:
            good[i] = False
            findings.report(
                'picture absent', picture.file, record, f'it lists {path}, which is not there',
                'Unpack the pictures again, or pass --skip-bad to go on without it',
            )  # fmt: skip
        elif picture.width is None:
            try:
                picture.width, picture.height = picture_size(path)
            except OSError as error:
                good[i] = False
                findings.report(
                    'picture unreadable', path, record, f'no picture can be read here ({error})'
                )
    return without_pictures(data, ~good)


def without_pictures(data: SourceData, gone: np.ndarray) -> SourceData:
    """The data less the pictures marked in ``gone`` (a boolean mask over ``pictures``) and their
    persons.
    """
    if not gone.any():
        return data
    new_index = np.cumsum(~gone) - 1
    data = data.keep(~gone[data.picture])
    data.picture = new_index[data.picture]
    data.pictures = [picture for picture, lost in zip(data.pictures, gone, strict=True) if not lost]
    return data
