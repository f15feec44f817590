# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Memory of a data loader's workers: over the size of the data set, and over the samples that they
have made.

For MCPC, Human3.6M (index layout) and MuCo. Annotations are generated at 1x, 4x and 16x records,
all of one picture, and samples go through the training pipelines of the configs. Each size is
measured in a process of its own. Linux only.

    python tools/benchmarks/bench_loader_memory.py --records 160000 --samples 20000
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from growth import growth_table, sizes_up_to
from harness import Table, finish, make_parser, reset_peak, status_bytes
from loader_data import WRITERS
from processes import ask, memory

CONFIGS = dict(mcpc='wsp_pretrain_r50.py', h36m='posenet_h36m_r50.py', muco='posenet_muco_r50.py')
RECORDS = dict(mcpc='pictures', h36m='frames', muco='persons')
REPO = Path(__file__).resolve().parents[2]
BATCH = 25
LEAST_FRAMES = 16 * 481  # of 600 videos, the last subject's begin with the 481st
MIB = 2**20


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__, repeats=1)
    parser.add_argument('--sets', nargs='+', choices=list(WRITERS), default=list(WRITERS))
    parser.add_argument('--records', type=int, default=32_000, help='at 16x')
    parser.add_argument(
        '--samples',
        type=int,
        default=2000,
        help='of each worker at 16x; a quarter of them at 1x and 4x',
    )
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument('--measure', metavar='JSON', help=argparse.SUPPRESS)
    return parser


class Watch:
    """Collates to nothing but the worker's memory after each of ``marks`` samples."""

    def __init__(self, marks: list[int]) -> None:
        self.marks, self.drawn = marks, 0

    def start(self, _: int) -> None:
        """At a worker's start: what it inherits."""
        Watch.first = memory()

    def __call__(self, items: list) -> dict | None:
        before, self.drawn = self.drawn, self.drawn + len(items)
        found = (
            {self.drawn: memory()}
            if any(before < mark <= self.drawn for mark in self.marks)
            else {}
        )
        if before == 0:
            found[0] = Watch.first
        return dict(pid=os.getpid(), found=found)


def load_and_draw(dataset: dict, samples: int, workers: int) -> dict:
    """Load a data set in this process and draw ``samples`` a worker."""
    from mmengine.registry import init_default_scope
    from mmpose.registry import DATASETS
    from torch.utils.data import DataLoader

    import wsp_mm.register  # noqa: F401
    from wsp_mm.utils.cli import load_config

    init_default_scope('mmpose')
    name = next(name for name in CONFIGS if dataset['type'].lower().startswith(name))
    pipeline = load_config(REPO / 'configs' / CONFIGS[name]).train_dataloader.dataset.pipeline
    before = reset_peak()
    start = time.perf_counter()
    built = DATASETS.build(dict(dataset, pipeline=pipeline))
    figures = dict(seconds=time.perf_counter() - start, peak=status_bytes('VmHWM') - before)
    figures |= dict(own=status_bytes('VmRSS') - before, items=len(built))
    watch = Watch([samples * k // 4 for k in (1, 2, 4)])
    order = [i * 7919 % len(built) for i in range(samples * workers)]
    loader = DataLoader(
        built,
        BATCH,
        sampler=order,
        num_workers=workers,
        collate_fn=watch,
        worker_init_fn=watch.start,
    )
    found: dict[int, dict] = {}
    for batch in loader:
        found.setdefault(batch['pid'], {}).update(batch['found'])
    return figures | dict(workers=list(found.values()))


def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.measure:
        print(json.dumps(load_and_draw(**json.loads(args.measure))))
        return 0
    if args.samples < 4 * BATCH or args.samples % (4 * BATCH) or args.workers < 1:
        parser.error(f'--samples must be a multiple of {4 * BATCH}, and --workers at least 1')
    if 'h36m' in args.sets and args.records < LEAST_FRAMES:
        parser.error(
            f'--records must be at least {LEAST_FRAMES:,}, so that every subject has frames at 1x'
        )
    tables = []
    for name in args.sets:
        runs: dict[int, dict] = {}
        sizes = sizes_up_to(args.records)
        for records in sizes:
            with tempfile.TemporaryDirectory(prefix='bench_loader_') as folder:
                dataset = WRITERS[name](Path(folder), records)
                samples = args.samples if records == sizes[-1] else args.samples // 4
                plan = dict(dataset=dataset, samples=samples, workers=args.workers)
                runs[records] = ask(__file__, '--measure', json.dumps(plan))
            print(f'{name}, {records:,} {RECORDS[name]}: measured', flush=True)
        tables += make_tables(name, runs)
    finish(tables, args)
    return 0


def make_tables(name: str, runs: dict[int, dict]) -> list[Table]:
    """Of one data set: records -> what its process measured."""
    record, smallest, largest = RECORDS[name], min(runs), max(runs)
    reading = growth_table(
        f'{name}: loading', {n: [run['seconds']] for n, run in runs.items()}, record
    )
    reading.notes += [
        f'{n:,} {record}: peak {run["peak"] / MIB:,.0f} MiB while loading, {run["own"] / MIB:,.0f} MiB kept.'
        for n, run in runs.items()
    ]
    tables = [reading]
    for kind, what in (('private', 'private dirty memory'), ('pss', 'PSS')):
        rows = {}
        for n, run in runs.items():
            marks = sorted(map(int, run['workers'][0]))
            mark = marks[-1] if n != largest else marks[1]
            rows[f'{n // smallest}x: {n:,} {record}'] = [
                w[str(mark)][kind] / MIB for w in run['workers']
            ]
        shown = sorted(map(int, runs[largest]['workers'][0]))
        over = {
            f'{mark:,} samples': [w[str(mark)][kind] / MIB for w in runs[largest]['workers']]
            for mark in shown
        }
        tables += [
            Table(
                f"{name}: a worker's {what}, {largest:,} {record}",
                'MiB',
                f'{shown[1]:,} samples',
                over,
            ),
            Table(f"{name}: a worker's {what} by size of the data", 'MiB', next(iter(rows)), rows),
        ]
    tables[-2].notes = [
        'At 0 a worker has just been forked; the first samples bring buffers and tables that are made once.'
    ]
    return tables


if __name__ == '__main__':
    raise SystemExit(main())
