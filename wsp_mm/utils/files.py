# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Files and folders that appear whole or not at all, json without NaN, hashes, the progress bar."""

import glob
import hashlib
import json
import math
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


def cut_name(name: str, size: int) -> str:
    """Return the start of a name that takes at most ``size`` bytes in UTF-8, in whole
    characters.
    """
    return name.encode('utf-8', 'ignore')[:size].decode('utf-8', 'ignore')


def is_utf8(path: str | Path) -> bool:
    """Return whether a path is text: other bytes in a file name are surrogates in Python."""
    return not any('\ud800' <= c <= '\udfff' for c in str(path))


def _partial(path: Path) -> Path:
    """The hidden neighbour that ``path`` is written as. Its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f'.{cut_name(path.name, 200)}.{os.getpid()}-{secrets.token_hex(4)}.part')


@contextmanager
def atomic_file(path: str | Path, sync: bool = True) -> Iterator[IO[bytes]]:
    """Yield a binary file to write, which gets its name when the context ends without an error.

    Its folder is made. Until then it is a hidden neighbour that ends in ``.part``. An error removes
    it and leaves what was there under ``path`` as it was. With ``sync`` the content is on the disk
    before the name is, so that the name stands for whole content after a power cut, too.

    Raises:
        OSError: the file cannot be written.
    """
    path = Path(path)
    part = _partial(path)
    try:
        with open(part, 'xb') as file:
            yield file
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a new folder to fill, which gets its name when the context ends without an error.

    An error removes it. A folder that has the name already is replaced by the new one at the end.

    Raises:
        OSError: the folder cannot be written.
    """
    path = Path(path)
    part, old = _partial(path), _partial(path)
    part.mkdir()
    try:
        yield part
        if path.exists():
            os.replace(path, old)
        os.replace(part, path)
        # Not after an error: they may be all that is left.
        shutil.rmtree(old, ignore_errors=True)
        remove_leftovers(path.parent, glob.escape(path.name))
    finally:
        shutil.rmtree(part, ignore_errors=True)


def remove_leftovers(folder: str | Path, name: str = '*') -> None:
    """Remove what killed processes of this machine left of :func:`atomic_file` and
    :func:`atomic_folder` in a folder: the parts whose process is gone.

    Args:
        folder: may be absent.
        name: pattern of the names that the parts were to get.
    """
    for part in Path(folder).glob(f'.{name}.*-*.part'):
        writer = re.search(r'\.(\d{1,9})-[0-9a-f]{8}\.part$', part.name)
        if writer is None or _is_running(int(writer.group(1))):
            continue
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError as error:
        return not isinstance(error, ProcessLookupError)  # of another user
    return True


def write_text_atomic(path: str | Path, text: str) -> None:
    """Write a text file (UTF-8) by :func:`atomic_file`."""
    with atomic_file(path) as file:
        file.write(text.encode())


def without_nan(value: Any) -> Any:
    """Return ``value`` as json can hold it.

    NaN and infinities become None, arrays and tensors lists, numpy's numbers Python's, tuples
    lists.
    """
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    if hasattr(value, 'tolist'):
        return without_nan(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def dump_json(path: str | Path, value: Any, indent: int | None = 2) -> None:
    """Write :func:`without_nan` of a value by :func:`atomic_file`; indent None: without spaces."""
    separators = (',', ':') if indent is None else None
    text = json.dumps(without_nan(value), indent=indent, separators=separators, allow_nan=False)
    write_text_atomic(path, text)


def file_sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def progress_bar(
    iterable: Iterable | None = None,
    *,
    total: int | None = None,
    unit: str = '',
    label: str | None = None,
    initial: int = 0,
    show: bool = True,
):
    """Return tqdm's progress bar on stderr; a line every 15 s where stderr is no terminal.

    Args:
        iterable: what to loop over. Without it call ``update(n)`` of the bar, and ``close()`` or
            use it as a context.
        total: how many there are; default: the iterable's length.
        unit: what is counted, e.g. 'images'.
        label: stands before the bar.
        initial: how many were done before.
        show: False: no output.
    """
    from tqdm import tqdm

    if total is None and hasattr(iterable, '__len__'):
        total = len(iterable)
    lines = {}
    if not sys.stderr.isatty():
        rest = '{n_fmt} of {total_fmt}{unit}, {rate_fmt}, {elapsed} gone, {remaining} left\n'
        if total is None:
            rest = '{n_fmt}{unit}, {rate_fmt}, {elapsed} gone\n'
        lines = dict(mininterval=15, bar_format=f'{label}: {rest}' if label else rest)
    count = dict(total=total, unit=f' {unit}', initial=initial)
    return tqdm(iterable, desc=label, disable=not show, **count, **lines)
