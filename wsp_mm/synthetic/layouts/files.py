# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Files that are either whole or absent.

Everything the world writes goes through :func:`write_bytes`: into a temporary neighbour first, then
renamed, so that a full disk or a killed process never leaves half a file under a name that somebody
reads.
"""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

TEMPORARY = '.part'


class WorldError(Exception):
    """Something that the user can mend; the message says what and how."""


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file as a whole, making its folders.

    Raises:
        WorldError: no permission, or the disk is full; nothing is left behind under ``path``.
    """
    path = Path(path)
    temporary = path.with_name(f'{path.name}.{os.getpid()}{TEMPORARY}')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, 'wb') as file:
            file.write(data)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True) if temporary.parent.is_dir() else None
        raise WorldError(explain(path, error)) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, as a hard link; where the file system has none, as a copy.

    Raises:
        WorldError: as :func:`write_bytes`.
    """
    source, target = Path(source), Path(target)
    temporary = target.with_name(f'{target.name}.{os.getpid()}{TEMPORARY}')
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        os.link(source, temporary)
        # Renaming one of two names of the same file to the other does nothing, and would leave the
        # temporary.
        target.unlink(missing_ok=True)
        os.replace(temporary, target)
    except OSError:
        write_bytes(target, source.read_bytes())


def write_json(path: Path, data: object) -> None:
    """Write json as a whole.

    Raises:
        WorldError: as :func:`write_bytes`. ValueError, TypeError: as :func:`encode_json`.
    """
    write_bytes(path, encode_json(data))


def encode_json(data: object) -> bytes:
    """Compact json.

    Raises:
        ValueError: ``data`` holds nan or infinity, which is no json.
        TypeError: it holds something else that is none, such as numpy's numbers.
    """
    # dumps, not dump: only the former runs in C, ten times as fast on a full-size annotation file.
    return json.dumps(data, allow_nan=False, separators=(',', ':')).encode()


def explain(path: Path, error: OSError) -> str:
    """One line on why ``path`` could not be written and what to do."""
    if error.errno == errno.ENOSPC:
        return (
            f'{path}: the disk is full. What is finished is kept: free some space (or choose another --out) '
            'and run the same command again to go on'
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return (
            f'{path}: not writable ({error.strerror}). Choose another --out or mend its permissions'
        )
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return f'{path}: a file lies where a folder should be ({error.strerror}). Move it or choose another --out'
    return f'{path}: cannot be written: {error.strerror or error}'


def remove_temporaries(root: Path) -> int:
    """Remove what a killed run left half written under ``root``; returns how many files."""
    leftovers = [path for path in Path(root).rglob(f'*{TEMPORARY}') if path.is_file()]
    for path in leftovers:
        path.unlink(missing_ok=True)
    return len(leftovers)
