# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Time and memory of building MCPC, at 1x, 4x and 16x annotations.

The annotation files are generated (COCO, MPII, PoseTrack18 and CrowdPose, without pictures), and
what that takes is a table of its own. Each build runs in a process of its own, imports not counted.
At the sizes of the real data sets:

    python tools/benchmarks/bench_mcpc.py --pictures 100000 --repeats 1
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from growth import growth_table, sizes_up_to
from harness import Table, finish, make_parser, reset_peak, status_bytes
from processes import ask

SOURCES = ('coco', 'mpii', 'posetrack18', 'crowdpose')
SMALLEST = 320  # pictures at 1x * 16: below it a source has no test split


def build_parser() -> argparse.ArgumentParser:
    parser = make_parser(__doc__, repeats=3)
    parser.add_argument('--pictures', type=int, default=24_000, help='at 16x')
    parser.add_argument('--persons-per-picture', type=float, default=6.0, help='the mean')
    parser.add_argument('--bodies', type=int, default=200, help='different bodies that are placed')
    parser.add_argument('--measure', metavar='DIR', help=argparse.SUPPRESS)
    return parser


def build(root: Path) -> dict:
    """Build MCPC from ``root`` in this process: seconds of the clock and the CPU, bytes, sizes."""
    from wsp_mm.datasets.converters.mcpc.build import build_mcpc
    from wsp_mm.datasets.converters.mcpc.options import BuildOptions

    with tempfile.TemporaryDirectory(prefix='mcpc_', dir=root) as out:
        options = BuildOptions({name: root / name for name in SOURCES}, Path(out), progress=False)
        before = reset_peak()
        start, cpu = time.perf_counter(), time.process_time()
        result = build_mcpc(options)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        peak = status_bytes('VmHWM')
        written = sum(path.stat().st_size for path in result.files.values())
    return dict(
        seconds=seconds,
        cpu_seconds=cpu,
        before_bytes=before,
        peak_bytes=peak,
        written_bytes=written,
        persons=sum(
            row['persons']
            for row in result.rows
            if (row['source'], row['who']) == ('all', 'listed')
        ),
    )


def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.measure:
        print(json.dumps(build(Path(args.measure))))
        return 0
    if args.pictures < SMALLEST:
        parser.error(f'--pictures must be at least {SMALLEST}')
    from wsp_mm.synthetic.annotations_only import make_annotations, posed_bank

    bank = posed_bank(0, args.bodies)
    made, built, cpu, peaks, read = {}, {}, {}, {}, {}
    with tempfile.TemporaryDirectory(prefix='bench_mcpc_') as folder:
        for pictures in sizes_up_to(args.pictures):
            root = Path(folder, str(pictures))
            report = make_annotations(root, pictures, args.persons_per_picture, 0, bank)
            runs = [ask(__file__, '--measure', root) for _ in range(args.repeats)]
            persons = runs[0]['persons']
            made[pictures] = [report.seconds]
            built[persons] = [run['seconds'] for run in runs]
            cpu[persons] = [run['cpu_seconds'] for run in runs]
            peaks[f'{persons:,} persons'] = [
                (r['peak_bytes'] - r['before_bytes']) / 2**20 for r in runs
            ]
            size = sum(
                path.stat().st_size for name in SOURCES for path in (root / name).rglob('*.*')
            )
            read[persons] = (
                f'{size / 1e6:.1f} MB read and {runs[0]["written_bytes"] / 1e6:.1f} MB written'
            )
            print(
                f'{pictures:,} pictures, {persons:,} persons: {min(built[persons]):.2f} s',
                flush=True,
            )
    volumes = (
        'Bytes: '
        + '; '.join(f'{persons:,} persons: {text}' for persons, text in read.items())
        + '.'
    )
    memory = Table(
        'build_mcpc: peak memory over what the process held before', 'MiB', next(iter(peaks)), peaks
    )
    memory.notes = [
        'The file that is being read is in memory as Python objects, what was read before as arrays.'
    ]
    bound = 'Bound by the processor: json is parsed and written record by record by the interpreter, one thread.'
    finish(
        [
            growth_table('build_mcpc, clock', built, 'persons', [volumes, bound]),
            growth_table('build_mcpc, CPU', cpu, 'persons'),
            memory,
            growth_table(
                'making the annotation files',
                made,
                'pictures',
                ['Bodies placed, labelled, written.'],
            ),
        ],
        args,
    )
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
