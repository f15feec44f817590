# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""One file with all that a Human3.6M training needs of the annotations, mapped into memory.

Nothing is parsed or copied when it is opened: pages are read when a row is asked for, and all
processes share them. The file is a sequence of ``.npy`` blocks: a json header as bytes, then one
block for each column of :class:`~wsp_mm.datasets.h36m_table.H36MRows`. It appears at its path all
at once, or not at all.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import fields
from pathlib import Path

import numpy as np

from wsp_mm.datasets.converters.mcpc.records import BadDataError
from wsp_mm.datasets.h36m_table import H36MRows, H36MTable
from wsp_mm.utils.files import atomic_file, file_sha256

FORMAT = 'wsp_mm h36m index'
VERSION = 2
_MEND = 'Write it again with tools/dataset_converters/index_h36m.py'


def write_index(path: str | Path, table: H36MTable, root: str | Path) -> None:
    """Write a table.

    Args:
        path: the file; its folder is made.
        table: from the files, with all steps and subjects that it shall serve.
        root: data root; the sources' paths are kept relative to it, so that the tree can be moved.
    """
    header = dict(
        format=FORMAT, version=VERSION, layout=table.layout, subjects=list(table.subjects),
        steps=list(table.steps), size_slack=table.size_slack, notes=table.notes, skipped=dict(table.skipped),
        cameras=[[*key, *np.asarray(value).tolist()] for key, value in sorted(table.cameras.items())],
        sources=[_fingerprint(Path(file), Path(root)) for file in table.files],
        columns=[f.name for f in fields(H36MRows)],
    )  # fmt: skip
    _write(Path(path), header, table.rows)


def touch_index(path: str | Path, root: str | Path) -> None:
    """Take over the dates of sources that have not changed (after a tree was copied).

    Raises:
        BadDataError: no index, or a source has changed.
    """
    check_fresh(path, root)
    header = read_header(path)
    for old in header['sources']:
        source = Path(root, old['file'])
        if source.is_file():
            old['mtime_ns'] = source.stat().st_mtime_ns
    _write(Path(path), header, read_index(path).rows)


def _write(path: Path, header: dict, rows: H36MRows) -> None:
    with atomic_file(path) as file:
        np.save(file, np.frombuffer(json.dumps(header).encode(), dtype=np.uint8))
        for name in header['columns']:
            np.save(file, getattr(rows, name))


def read_header(path: str | Path) -> dict:
    """The header alone.

    Raises:
        BadDataError: no such file, or no index of this version.
    """
    with _open(path) as file:
        return _header(file, path)


def read_index(path: str | Path) -> H36MTable:
    """The table, its rows mapped (read only) into memory.

    Raises:
        BadDataError: no such file, or one that is broken or of another version.
    """
    with _open(path) as file:
        header = _header(file, path)
        try:
            columns = {name: _map_block(file, path) for name in header['columns']}
            rows = H36MRows(**columns)
        except (ValueError, EOFError, OSError, TypeError) as error:
            raise BadDataError(
                'broken index', path, '', f'it may be cut off ({error})', _MEND
            ) from None
    return H36MTable(
        layout=header['layout'],
        rows=rows,
        cameras={(int(s), int(n)): np.array(values) for s, n, *values in header['cameras']},
        subjects=tuple(header['subjects']),
        steps=tuple(header['steps']),
        size_slack=header['size_slack'],
        files=[source['file'] for source in header['sources']],
        skipped=Counter(header['skipped']),
        notes=header['notes'],
        path=str(path),
    )


def check_fresh(path: str | Path, root: str | Path) -> list[str]:
    """See that the sources are what they were when the index was written.

    A source that is no longer there is no reason to complain: the index does without. One of the
    same size and time is taken to be the same; one of the same size and another time (a copied
    tree) is read and compared.

    Returns:
        Sentences for the user.

    Raises:
        BadDataError: a source has changed.
    """
    said = []
    for old in read_header(path)['sources']:
        source = Path(root, old['file'])
        try:
            stat = source.stat()
        except OSError:
            continue
        same = stat.st_size == old['size']
        if same and stat.st_mtime_ns != old['mtime_ns']:
            same = file_sha256(source) == old['sha256']
            said.append(
                f'{source} has another date than when {path} was written, and was read to compare; '
                'tools/dataset_converters/index_h36m.py --touch writes the new dates into the index'
            )
        if not same:
            raise BadDataError(
                'stale index', path, '', f'{source} has changed since the index was written', _MEND
            )
    return said


def _open(path: str | Path):
    try:
        return open(path, 'rb')
    except OSError as error:
        raise BadDataError(
            'missing file', path, '', f'no index can be read here ({error})', _MEND
        ) from None


def _header(file, path: str | Path) -> dict:
    try:
        header = json.loads(np.load(file, allow_pickle=False).tobytes())
        kind, version = header['format'], header['version']
    except (ValueError, KeyError, TypeError, AttributeError, EOFError, OSError):
        raise BadDataError('broken index', path, '', 'it is no index of Human3.6M', _MEND) from None
    # Version 1 differs in the takes of MMPose's layout alone, which it took from a simpler rule.
    if kind != FORMAT or version not in (
        (VERSION, 1) if header.get('layout') == '3dmppe' else (VERSION,)
    ):
        raise BadDataError(
            'other version', path, '', f'it is of version {version}, not {VERSION}', _MEND
        )
    return header


def _map_block(file, path: str | Path) -> np.ndarray:
    """Map the ``.npy`` block at the file's position, and go behind it."""
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[version]
    shape, _, dtype = read(file)
    start, size = file.tell(), int(np.prod(shape)) * dtype.itemsize
    if start + size > os.fstat(file.fileno()).st_size:
        raise EOFError('the file ends too early')
    file.seek(start + size)
    if size == 0:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype, 'r', start, shape)


def _fingerprint(path: Path, root: Path) -> dict:
    stat = path.stat()
    return dict(
        file=os.path.relpath(path, root),
        size=stat.st_size,
        mtime_ns=stat.st_mtime_ns,
        sha256=file_sha256(path),
    )
