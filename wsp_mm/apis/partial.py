# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""What a run has done so far, in a file beside its output, so that a stopped run can be resumed."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


class OutputError(ValueError):
    """Output that is in the way, is of another run, or cannot be written. Says what to do."""


def json_line(data: Any) -> bytes:
    """Return compact json with a line end.

    Raises:
        ValueError: a value that json does not have, such as nan.
    """
    return json.dumps(data, allow_nan=False, separators=(',', ':')).encode() + b'\n'


def check_same_run(path: Path, theirs: Any, ours: Mapping) -> None:
    """Compare what a run says of itself with the run that shall be resumed.

    Raises:
        OutputError: they differ; names the keys.
    """
    ours = json.loads(json_line(ours))  # as it reads back: tuples are lists
    theirs = theirs if isinstance(theirs, dict) else {}
    differ = sorted(key for key in ours if ours[key] != theirs.get(key))
    if differ:
        raise OutputError(
            f'{path} is of another run (it differs in {", ".join(differ)}): use the options of '
            'that run, or start anew'
        )


class PartialFile:
    """Lines of json: what the run is, then one line a batch.

    A line is written after its batch and holds all of it. Whatever ends the run, whole lines can be
    used again; a torn last line is dropped.

    Args:
        path: of the file; its folder is made.
        run: what the run is. Equal in a run and its continuation.
        resume: keep the batches of a stopped run that is there.

    Raises:
        OutputError: ``resume``, and the file is of another run.
        OSError: the folder is not writable.
    """

    def __init__(self, path: str | Path, run: Mapping, resume: bool = False) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        end = self._check(run) if resume and self.path.exists() else 0
        self._file = open(self.path, 'r+b' if end else 'wb')  # noqa: SIM115 (as long as the run)
        self._file.truncate(end)
        self._file.seek(end)
        if not end:
            self.append(run)

    def _check(self, run: Mapping) -> int:
        """Return where the last whole line ends."""
        end = 0
        with open(self.path, 'rb') as file:
            for line in file:
                try:
                    data = json.loads(line if line.endswith(b'\n') else b'')
                except ValueError:
                    break
                if not end:
                    check_same_run(self.path, data, run)
                end += len(line)
        return end

    def append(self, data: Any) -> None:
        """Write a line."""
        self._file.write(json_line(data))
        self._file.flush()

    def __iter__(self) -> Iterator[Any]:
        """Read the batches so far, one at a time."""
        self._file.flush()
        with open(self.path, 'rb') as file:
            next(file, None)
            yield from map(json.loads, file)

    def __enter__(self) -> 'PartialFile':
        return self

    def __exit__(self, *error: object) -> None:
        """Close the file and leave it where it is."""
        self._file.close()
