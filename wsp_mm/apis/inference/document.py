# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The output's file: a versioned json, written so that whatever ends the run leaves it valid.

While the run goes on, ``NAME.partial.jsonl`` grows: a line of what the run is, then a line a chunk
of frames. A line is whole or, after a crash, the torn last one, which is dropped. Closing turns it
into ``NAME.json``, record by record, so that no video is too long for the memory. docs/inference.md
describes the schema.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from wsp_mm.utils.files import atomic_file

FORMAT = 'wsp_mm.inference'
VERSION = 1


class DocumentError(ValueError):
    """Output that is there already and does not fit; the message says what to do."""


def _line(data: Any) -> bytes:
    return json.dumps(data, allow_nan=False, separators=(',', ':')).encode() + b'\n'


class DocumentWriter:
    """Collects a run's records and leaves a valid document, whenever it is closed.

    Args:
        path: of the final json, ``NAME.json``.
        info: what the run is: models, camera, units. Equal in a run and its continuation.
        resume: go on after the last whole chunk of an unfinished run.
        overwrite: start anew where there is output.

    Attributes:
        next_frame: number of the first frame that is still to be done.
        complete: whether the run that is there was finished.

    Raises:
        DocumentError: there is output, and neither ``resume`` nor ``overwrite``; or it is of
            another run.
        OSError: the folder is not writable.
    """

    def __init__(
        self, path: str | Path, info: dict, resume: bool = False, overwrite: bool = False
    ) -> None:
        self.path = Path(path)
        self.partial = self.path.with_suffix('.partial.jsonl')
        self.info = json.loads(_line(info))  # as it reads back: tuples are lists
        self.next_frame, self.complete = 0, False
        self._file: BinaryIO | None = None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        there = [file for file in (self.partial, self.path) if file.exists()]
        if there and not resume and not overwrite:
            raise DocumentError(
                f'{there[0]} is there already: --resume goes on with that run, --overwrite starts anew, '
                'another --out keeps both'
            )
        if resume and self.partial.exists():
            self._continue()
        elif resume and self.path.exists():
            document = read_document(self.path)
            self._same_run(document['info'], self.path)
            if not document['progress']['complete']:
                raise DocumentError(
                    f'{self.path} is unfinished, and {self.partial} is gone: --overwrite it'
                )
            self.complete, self.next_frame = True, document['progress']['next_frame']
        else:
            self.path.unlink(missing_ok=True)
            self._begin()

    def _begin(self) -> None:
        self._file = open(self.partial, 'wb')  # noqa: SIM115  (it stays open as long as the run)
        self._append(dict(format=FORMAT, version=VERSION, info=self.info))

    def _continue(self) -> None:
        """Find the end of the last whole chunk, and cut off what is torn."""
        end = 0
        with open(self.partial, 'rb') as file:
            for number, line in enumerate(file):
                try:
                    data = json.loads(line) if line.endswith(b'\n') else None
                except ValueError:
                    data = None
                if data is None:
                    break
                if number == 0:
                    if data.get('format') != FORMAT or data.get('version') != VERSION:
                        raise DocumentError(
                            f'{self.partial} is not of format {FORMAT} {VERSION}: --overwrite it'
                        )
                    self._same_run(data['info'], self.partial)
                else:
                    self.next_frame = data['next_frame']
                end += len(line)
        if not end:  # killed while the very first line was written
            self._begin()
            return
        self._file = open(self.partial, 'r+b')  # noqa: SIM115
        self._file.truncate(end)
        self._file.seek(end)

    def _same_run(self, info: dict, path: Path) -> None:
        differ = sorted(
            key for key in info.keys() | self.info.keys() if info.get(key) != self.info.get(key)
        )
        if differ:
            raise DocumentError(
                f'{path} is of another run (it differs in {", ".join(differ)}): use the same options as '
                'before, or --overwrite'
            )

    def _append(self, data: Any) -> None:
        self._file.write(_line(data))
        self._file.flush()

    def add(self, records: list[dict], next_frame: int) -> None:
        """Write a chunk; what comes back from the file later equals it.

        Args:
            records: of the frames up to ``next_frame`` - 1.
        """
        self._append(dict(records=records, next_frame=next_frame))
        self.next_frame = next_frame

    def records(self) -> Iterator[dict]:
        """All records so far, one at a time."""
        if self.complete:
            yield from read_document(self.path)['frames']
            return
        if self._file is not None:
            self._file.flush()
        with open(self.partial, 'rb') as file:
            next(file, None)
            for line in file:
                yield from json.loads(line)['records']

    def close(self, complete: bool, notes: list[str] | None = None) -> Path:
        """Write the document.

        Args:
            complete: whether the source was read to its end. If not, the partial file stays for
                ``resume``.
            notes: what is worth saying of the source as a whole.

        Returns:
            Path of the json.
        """
        if self.complete:
            return self.path
        with atomic_file(self.path) as file:
            head = _line(dict(format=FORMAT, version=VERSION, info=self.info))
            file.write(head[: -len(b'}\n')] + b',\n"frames":[')
            skipped, separator = [], b'\n'
            for record in self.records():
                file.write(separator + _line(record).rstrip(b'\n'))
                separator = b',\n'
                if 'skipped' in record:
                    skipped.append(
                        dict(
                            frame=record['frame'],
                            file_name=record['file_name'],
                            reason=record['skipped'],
                        )
                    )
            progress = dict(complete=complete, next_frame=self.next_frame)
            rest = dict(skipped=skipped, notes=list(notes or ()), progress=progress)
            file.write(b'],\n' + _line(rest)[1:])
        self.abandon()
        if complete:
            self.partial.unlink(missing_ok=True)
            self.complete = True
        return self.path

    def abandon(self) -> None:
        """Close the partial file and leave everything as it is."""
        if self._file is not None:
            self._file.close()
            self._file = None


def read_document(path: str | Path) -> dict:
    """Read a finished or interrupted run's json.

    Raises:
        DocumentError: it is none, or of another version.
    """
    try:
        document = json.loads(Path(path).read_text())
    except ValueError as error:
        raise DocumentError(f'{path} is no json: {error}') from None
    if not isinstance(document, dict) or document.get('format') != FORMAT:
        raise DocumentError(f'{path} is not of format {FORMAT}')
    if document.get('version') != VERSION:
        raise DocumentError(
            f'{path} has version {document.get("version")}, this program knows {VERSION}: use the version of '
            'wsp_mm that wrote it'
        )
    return document
