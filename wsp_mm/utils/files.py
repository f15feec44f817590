# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Files that appear whole or not at all, and the hash that tells whether two are the same."""

from __future__ import annotations

import hashlib
import json
import math
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def atomic_file(path: str | Path) -> Iterator[IO[bytes]]:
    """A binary file to write into, which takes its name when the context is left without an error.

    Its folder is made. Until then it is a hidden neighbour that ends in ``.part``; an error removes
    that and leaves what was there under ``path`` as it was. After a power cut too, the name stands
    for whole content.

    Raises:
        OSError: it cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'.{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part')
    try:
        with open(part, 'xb') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_text_atomic(path: str | Path, text: str) -> None:
    """Write a text file (UTF-8) by :func:`atomic_file`."""
    with atomic_file(path) as file:
        file.write(text.encode())


def without_nan(value: Any) -> Any:
    """The same mappings, lists and plain values with None for nan and infinity, which json lacks."""
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def dump_json(path: str | Path, value: Any, indent: int | None = 2) -> None:
    """Write json by :func:`atomic_file`; nan and infinity become null."""
    write_text_atomic(path, json.dumps(without_nan(value), indent=indent, allow_nan=False))


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's content, in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
