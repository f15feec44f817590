# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""What all benchmarks share: ways measured in turn, tables against a named reference, json.

Machines are shared and speed changes under way. So ways that are compared run in turn, round by
round, and what is reported of them is the median over the rounds of each round's ratio.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path


def make_parser(description: str, repeats: int = 7) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark has: --repeats and --json."""
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument('--repeats', type=int, default=repeats, help='rounds, after one to warm up')
    parser.add_argument('--json', help='write the figures to this file, too')
    return parser


def measure(
    ways: Mapping[str, Callable[[], object]],
    repeats: int,
    sync: Callable[[], object] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each way, ``repeats`` of each, taken in turn after one round that does not count.

    Args:
        ways: name -> what to run.
        sync: waits for the device; called before the clock is read.
        clock: ``time.process_time`` where waiting is not to count.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for round_number in range(repeats + 1):
        for name, way in ways.items():
            if sync:
                sync()
            start = clock()
            way()
            if sync:
                sync()
            if round_number:
                seconds[name].append(clock() - start)
    return seconds


@dataclass
class Table:
    """Figures of several ways of doing one thing.

    Attributes:
        title: what was measured, with the sizes.
        unit: of the values, for instance 'ms'.
        reference: the row that ratios are taken against; None for no ratios.
        rows: name -> values, one a round.
        notes: what a reader must know: bound, bytes, arithmetic.
    """

    title: str
    unit: str
    reference: str | None = None
    rows: dict[str, list[float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def ratios(self, name: str) -> list[float]:
        """A row's values over the reference's, round by round."""
        reference = self.rows[self.reference]
        values = self.rows[name]
        if len(values) != len(reference):
            values, reference = [statistics.median(values)], [statistics.median(reference)]
        # a short CPU time may read 0
        return [
            value / base if base else math.nan
            for value, base in zip(values, reference, strict=True)
        ]

    def lines(self) -> list[str]:
        """The table in Markdown."""
        head = ['', f'median, {self.unit}', 'lowest to highest']
        if self.reference:
            head.append(f'ratio to {self.reference}')
        out = [f'**{self.title}**', '', _row(head), _row(['---'] * len(head))]
        for name, values in self.rows.items():
            cells = [
                name,
                f'{statistics.median(values):.4g}',
                f'{min(values):.4g} to {max(values):.4g}',
            ]
            if self.reference:
                ratios = self.ratios(name)
                spread = f' ({min(ratios):.2f} to {max(ratios):.2f})' if len(ratios) > 1 else ''
                cells.append(
                    '1' if name == self.reference else f'{statistics.median(ratios):.3f}{spread}'
                )
            out.append(_row(cells))
        return [*out, *([''] if self.notes else []), *self.notes, '']

    def plain(self) -> dict:
        """Everything, for json."""
        medians = {name: statistics.median(values) for name, values in self.rows.items()}
        ratios = (
            {name: statistics.median(self.ratios(name)) for name in self.rows}
            if self.reference
            else {}
        )
        return asdict(self) | dict(median=medians, ratio=ratios)


def _row(cells: Sequence[str]) -> str:
    return f'| {" | ".join(cells)} |'


def finish(tables: Sequence[Table], args: argparse.Namespace) -> None:
    """Print the tables with the machine's line, and write them where ``--json`` says."""
    import torch

    from wsp_mm.utils.compat import machine

    where = f'{machine()}, {torch.get_num_threads()} thread(s)'
    print(f'\n{where}\n')
    for table in tables:
        print('\n'.join(table.lines()))
    if args.json:
        plain = dict(
            benchmark=Path(sys.argv[0]).stem,
            machine=where,
            arguments={key: value for key, value in vars(args).items() if key != 'json'},
            tables=[table.plain() for table in tables],
        )
        path = Path(args.json)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(plain, indent=2, default=str) + '\n')


def status_bytes(key: str) -> int:
    """A memory figure of this process: 'VmRSS' now, 'VmHWM' the peak since :func:`reset_peak`.

    Raises:
        RuntimeError: not on Linux.
    """
    with suppress(FileNotFoundError):
        for line in Path('/proc/self/status').read_text().splitlines():
            if line.startswith(f'{key}:'):
                return int(line.split()[1]) * 1024
    raise RuntimeError(f'/proc/self/status has no {key}: memory is measured on Linux only')


def reset_peak() -> int:
    """Start the peak anew; what the process holds now, bytes."""
    trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)
    if (
        trim is not None
    ):  # glibc keeps what was freed, and what is measured would take from there unseen
        trim(0)
    before = status_bytes('VmRSS')
    Path('/proc/self/clear_refs').write_text('5')
    return before
