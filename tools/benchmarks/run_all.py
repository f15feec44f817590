# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Run the benchmarks' CPU set one after the other and gather their tables: `make bench`.

Nothing in data/ is needed. OUT/NAME.json holds the figures of each, OUT/NAME.log its output,
OUT/summary.md all tables. One that fails does not stop the others; then the exit status is 1.

    python tools/benchmarks/run_all.py --only bench_heads bench_mcpc
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness import Table

HERE = Path(__file__).resolve().parent

#: Script -> its arguments, in the order in which they run.
CPU_SET: dict[str, tuple[str, ...]] = {
    'bench_heads': (),
    'bench_pipeline': ('--repeats', '4'),
    'bench_train_step': (),
    'bench_mcpc': ('--images', '12000', '--repeats', '2'),
}

#: Not of the CPU set: needs a world on the disk, and means something on a GPU.
LEFT_OUT = ('bench_end_to_end',)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add('--only', nargs='+', choices=CPU_SET, default=list(CPU_SET), help='default: all')
    add('--out', type=Path, default=Path('work_dirs/bench'), help='default: %(default)s')
    add('--limit', type=float, default=600.0, help='seconds that one may take')
    return parser.parse_args(argv)


def run_one(
    name: str, arguments: Sequence[str], out: Path, limit: float, folder: Path = HERE
) -> str:
    """Run one script without a GPU, whose json of an earlier run is gone in any case.

    Returns:
        Why it failed; empty if it wrote its figures.
    """
    figures, start = out / f'{name}.json', time.perf_counter()
    figures.unlink(missing_ok=True)
    command = [sys.executable, '-u', str(folder / f'{name}.py'), *arguments, '--json', str(figures)]
    with (out / f'{name}.log').open('w') as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, 'CUDA_VISIBLE_DEVICES': '-1', 'MPLBACKEND': 'Agg'},
            start_new_session=True,  # so that what it has started ends with it
        )
        try:
            status = process.wait(limit)
        except subprocess.TimeoutExpired:
            return f'stopped after {limit:g} s'
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if status:
        return f'exit status {status} after {time.perf_counter() - start:.0f} s'
    return '' if figures.is_file() else 'wrote no figures'


def summary(failures: Mapping[str, str], out: Path) -> str:
    """All tables in Markdown.

    Args:
        failures: name of each benchmark -> why it failed, or empty.
    """
    lines = ['# Benchmarks, CPU set', '']
    for name, failure in failures.items():
        lines += [f'## {name}', '']
        if failure:
            lines += [f'FAILED: {failure}, see {out / name}.log', '']
            continue
        result = json.loads((out / f'{name}.json').read_text())
        lines += [f'Measured on {result["machine"]}.', '']
        for table in result['tables']:
            kept = {key: table[key] for key in ('title', 'unit', 'reference', 'rows', 'notes')}
            lines += Table(**kept).lines()
    return '\n'.join(lines)


def run_set(
    chosen: Mapping[str, Sequence[str]], out: Path, limit: float, folder: Path = HERE
) -> int:
    """Run them all; return how many failed."""
    out.mkdir(parents=True, exist_ok=True)
    failures = {}
    for number, (name, arguments) in enumerate(chosen.items(), start=1):
        print(f'{number}/{len(chosen)} {name} ...', flush=True)
        failures[name] = run_one(name, arguments, out, limit, folder)
        if failures[name]:
            print(f'FAILED: {failures[name]}, see {out / name}.log', flush=True)
    (out / 'summary.md').write_text(summary(failures, out) + '\n')
    count = sum(map(bool, failures.values()))
    print(f'{len(failures) - count} of {len(failures)} measured; tables: {out / "summary.md"}')
    return count


if __name__ == '__main__':
    args = parse_args()
    chosen = {name: CPU_SET[name] for name in CPU_SET if name in args.only}
    sys.exit(run_set(chosen, args.out, args.limit) > 0)
