# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""What all benchmarks share: ways measured in turn, tables against a named reference, json.

Machines are shared and speed changes under way. So ways that are compared run in turn, round by
round, and what is reported of them is the median over the rounds of each round's ratio.
"""

import argparse
import ctypes
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median


def make_parser(description: str, repeats: int = 7) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has: --repeats and --json."""
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument('--repeats', type=int, default=repeats, help='rounds, after one to warm up')
    parser.add_argument('--json', type=Path, help='write the figures to this file, too')
    return parser


def set_by_device(args: argparse.Namespace, **values: tuple) -> None:
    """Set options that were not given: name -> value on a GPU, value on a processor."""
    for name, (gpu, processor) in values.items():
        if getattr(args, name) is None:
            setattr(args, name, gpu if args.device.startswith('cuda') else processor)


def wait_for(device: str) -> None:
    """Return when a GPU has done what it was given; at once on a processor."""
    if device.startswith('cuda'):
        import torch

        torch.cuda.synchronize()


def measure(
    ways: Mapping[str, Callable[[], object]], repeats: int, device: str = 'cpu'
) -> dict[str, list[float]]:
    """Return seconds of each way, ``repeats`` of each, taken in turn after one round that does not
    count.

    Args:
        ways: name -> what to run.
        device: is waited for before the clock is read.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats + 1):
        for name, way in ways.items():
            wait_for(device)
            start = time.perf_counter()
            way()
            wait_for(device)
            seconds[name].append(time.perf_counter() - start)
    return {name: values[1:] for name, values in seconds.items()}


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
        """Return a row's values over the reference's, round by round."""
        values, reference = self.rows[name], self.rows[self.reference]
        if len(values) != len(reference):
            values, reference = [median(values)], [median(reference)]
        # a short CPU time may read 0
        return [
            value / base if base else math.nan
            for value, base in zip(values, reference, strict=True)
        ]

    def lines(self) -> list[str]:
        """Return the table in Markdown."""
        head = ['', f'median, {self.unit}', 'lowest to highest']
        head += [f'ratio to {self.reference}'] * (self.reference is not None)
        rows = [head, ['---'] * len(head)]
        for name, values in self.rows.items():
            row = [name, f'{median(values):.4g}', f'{min(values):.4g} to {max(values):.4g}']
            if self.reference is not None:
                ratios = self.ratios(name)
                row.append(f'{median(ratios):.3f} ({min(ratios):.2f} to {max(ratios):.2f})')
            rows.append(row)
        table = [f'| {" | ".join(row)} |' for row in rows]
        return [f'**{self.title}**', '', *table, '', *self.notes, '']

    def plain(self) -> dict:
        """Return everything, for json."""
        medians = {name: median(values) for name, values in self.rows.items()}
        names = self.rows if self.reference is not None else ()
        ratios = {name: median(self.ratios(name)) for name in names}
        return asdict(self) | dict(median=medians, ratio=ratios)


def finish(tables: Sequence[Table], args: argparse.Namespace) -> None:
    """Print the tables with the machine's line, and write them where ``--json`` says."""
    import torch

    from wsp_mm.utils.compat import machine

    if getattr(args, 'device', None) == 'cpu':
        command = f'{Path(sys.argv[0]).name} --device cuda'
        tables[0].notes.append(f'GPU: not measured. Command: {command}')
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
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(plain, indent=2, default=str) + '\n')


def ask(script: str | Path, *arguments: object, **environment: str) -> dict:
    """Run a script in a process of its own; the last line that it prints is json.

    Raises:
        RuntimeError: it failed; the message is the end of its stderr.
    """
    command = [sys.executable, *map(str, (script, *arguments))]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
    if done.returncode:
        raise RuntimeError(f'{" ".join(command)} failed:\n{done.stderr[-2000:]}')
    return json.loads(done.stdout.splitlines()[-1])


def status_bytes(key: str) -> int:
    """Return a memory figure of this process (Linux): 'VmRSS' now, 'VmHWM' the peak since
    :func:`reset_peak`.
    """
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(f'{key}:'):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f'/proc/self/status has no {key}')


def reset_peak() -> int:
    """Start the peak anew; return what the process holds now, bytes."""
    trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)
    if trim is not None:  # glibc keeps what was freed, and allocations would take from there unseen
        trim(0)
    before = status_bytes('VmRSS')
    Path('/proc/self/clear_refs').write_text('5')
    return before


def peak_bytes(function: Callable[[], object], device: str = 'cpu') -> int:
    """Return the most that a call holds beyond what was there, on a GPU in the GPU's memory."""
    if not device.startswith('cuda'):
        before = reset_peak()
        function()
        return status_bytes('VmHWM') - before
    import torch

    wait_for(device)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    function()
    wait_for(device)
    return torch.cuda.max_memory_allocated() - before
