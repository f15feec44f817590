# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Runs the benchmarks' CPU set one after the other and gathers their tables: `make bench`.

Each is a process with the arguments of the table below, sized so that all of them together take
less than 15 minutes on two cores. Nothing in data/ is needed. OUT/NAME.json holds the figures of
each, OUT/NAME.log what it said, OUT/summary.md all tables. One that fails does not stop the others;
then the exit status is 1.

    python tools/benchmarks/run_all.py --only bench_heads bench_startup
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent

#: Script -> its arguments, in the order in which they run: the quick ones first.
CPU_SET: dict[str, tuple[str, ...]] = {
    'bench_heads': (),
    'bench_pipeline': ('--repeats', '4'),
    'bench_train_step': (),
    'bench_startup': ('--repeats', '2'),
    'bench_world': ('--scenes', '64', '--repeats', '2'),
    'bench_mcpc': ('--pictures', '12000', '--repeats', '2'),
}

#: Not of the CPU set: whole trainings, which need a world on the disk and mean something on a GPU.
LEFT_OUT = ('bench_end_to_end',)


@dataclass
class Outcome:
    """Of one benchmark: exit status (None: there is no such script), seconds, and its files."""

    name: str
    status: int | None
    seconds: float
    json: Path
    log: Path

    @property
    def failed(self) -> bool:
        return self.status != 0


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument('--only', nargs='+', metavar='NAME', help=f'of {", ".join(CPU_SET)}')
    parser.add_argument(
        '--out', type=Path, default=Path('work_dirs/bench'), help='default: work_dirs/bench'
    )
    parser.add_argument('--limit', type=float, default=600.0, help='seconds that one may take')
    return parser


def run_one(
    name: str, arguments: Sequence[str], out: Path, limit: float, folder: Path = HERE
) -> Outcome:
    """Run one script; its json of an earlier run is gone in any case."""
    outcome = Outcome(name, None, 0.0, out / f'{name}.json', out / f'{name}.log')
    outcome.json.unlink(missing_ok=True)
    script = folder / f'{name}.py'
    if not script.is_file():
        outcome.log.write_text(f'no {script}\n')
        return outcome
    command = [sys.executable, '-u', script, *arguments, '--json', outcome.json]
    start = time.perf_counter()
    with outcome.log.open('w') as log:
        log.write(f'$ {" ".join(map(str, command))}\n')
        log.flush()
        # A group of its own: what it has started ends with it.
        process = subprocess.Popen(
            list(map(str, command)),
            stdout=log,
            stderr=subprocess.STDOUT,
            env=_environment(),
            start_new_session=True,
        )
        try:
            outcome.status = process.wait(limit)
        except subprocess.TimeoutExpired:
            log.write(f'\nstopped after {limit:g} s\n')
            outcome.status = 124
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    outcome.seconds = time.perf_counter() - start
    if outcome.status == 0 and not outcome.json.is_file():
        outcome.status = 1
        with outcome.log.open('a') as log:
            log.write(f'\nended well, but wrote no {outcome.json}\n')
    return outcome


def _environment() -> dict[str, str]:
    """No GPU, whatever the machine has: this is the CPU set."""
    return {**os.environ, 'CUDA_VISIBLE_DEVICES': '-1', 'MPLBACKEND': 'Agg'}


def summary(outcomes: Sequence[Outcome]) -> str:
    """All tables in Markdown, each machine line once where they agree."""
    from harness import Table

    results = {o.name: json.loads(o.json.read_text()) for o in outcomes if o.json.is_file()}
    machines = list(dict.fromkeys(result['machine'] for result in results.values()))
    text = ['# Benchmarks, CPU set', '', *(f'Measured on {machine}.' for machine in machines), '']
    for outcome in outcomes:
        text += [f'## {outcome.name}', '']
        if outcome.failed:
            text += [f'FAILED with {_status(outcome)}, see {outcome.log}', '']
        if outcome.name not in results:
            continue
        result = results[outcome.name]
        text += [
            f'{outcome.seconds:.0f} s' + (f'; {result["machine"]}' if len(machines) > 1 else ''),
            '',
        ]
        for table in result['tables']:
            kept = {key: table[key] for key in ('title', 'unit', 'reference', 'rows', 'notes')}
            text += Table(**kept).lines()
    return '\n'.join(text)


def _status(outcome: Outcome) -> str:
    return 'no such script' if outcome.status is None else f'exit status {outcome.status}'


def run_set(
    chosen: Mapping[str, Sequence[str]], out: Path, limit: float, folder: Path = HERE
) -> int:
    """Run them all; returns how many failed."""
    out.mkdir(parents=True, exist_ok=True)
    start, outcomes = time.perf_counter(), []
    for number, (name, arguments) in enumerate(chosen.items(), start=1):
        print(
            f'[{time.perf_counter() - start:4.0f} s] {number}/{len(chosen)} {name} ...', flush=True
        )
        outcome = run_one(name, arguments, out, limit, folder)
        outcomes.append(outcome)
        if outcome.failed:
            print(
                f'         FAILED with {_status(outcome)} after {outcome.seconds:.0f} s: {outcome.log}'
            )
        else:
            print(f'         {outcome.seconds:.0f} s: {outcome.json}', flush=True)
    path = out / 'summary.md'
    path.write_text(summary(outcomes) + '\n')
    failed = [outcome.name for outcome in outcomes if outcome.failed]
    seconds = time.perf_counter() - start
    print(
        f'[{seconds:4.0f} s] {len(outcomes) - len(failed)} of {len(outcomes)} measured; tables: {path}'
    )
    if failed:
        print(f'failed: {", ".join(failed)}')
    return len(failed)


def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    unknown = sorted(set(args.only or ()) - set(CPU_SET))
    if unknown:
        parser.error(f'--only: no benchmark {", ".join(unknown)}; there are {", ".join(CPU_SET)}')
    chosen = {
        name: arguments for name, arguments in CPU_SET.items() if not args.only or name in args.only
    }
    return 1 if run_set(chosen, args.out, args.limit) else 0


if __name__ == '__main__':
    sys.exit(main())
