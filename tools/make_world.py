# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Make the embedded worlds: pictures and annotations in the layouts of COCO, MPII, PoseTrack18 and
CrowdPose (wild), Human3.6M (h36m), MuCo-3DHP (muco) and MuPoTS-3D (mupots).

python tools/make_world.py --preset tiny|small|full --out data/synthetic --seed 0 --workers N
[--verify] python tools/make_world.py --worlds muco mupots --preset small --out data/synthetic
python tools/make_world.py --annotations-only --out data/annotations_only [--pictures N
--persons-per-picture M]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

# wsp_mm.synthetic.worlds has them, too, but --help is not to wait for the renderer.
WORLDS = ('wild', 'h36m', 'muco', 'mupots')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n\n')[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        '--worlds',
        nargs='+',
        choices=WORLDS,
        default=list(WORLDS),
        help='which to make; others that are in the folder already stay as they are',
    )
    parser.add_argument('--preset', default='small', help='tiny, small or full')
    parser.add_argument(
        '--out', type=Path, default=Path('data/synthetic'), help='folder of the world'
    )
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--workers', type=int, default=os.cpu_count(), help='processes that make pictures'
    )
    parser.add_argument(
        '--mpii-mat', action='store_true', help="also write MPII's official MATLAB file"
    )
    parser.add_argument(
        '--verify',
        type=int,
        nargs='?',
        const=-1,
        metavar='N',
        help='check all pictures, or N of them',
    )
    parser.add_argument(
        '--annotations-only',
        action='store_true',
        help='no pictures: a large annotation set to measure the MCPC builder with (occlusion is approximate)',
    )
    parser.add_argument('--pictures', type=int, default=100_000, help='with --annotations-only')
    parser.add_argument(
        '--persons-per-picture',
        type=float,
        default=6.0,
        help='the mean, with --annotations-only; the default gives about 500k annotated persons',
    )
    args = parser.parse_args(argv)
    if args.workers < 1:
        parser.error(f'--workers must be at least 1, got {args.workers}')
    args.worlds = [world for world in WORLDS if world in args.worlds]
    if args.annotations_only and 'wild' not in args.worlds:
        parser.error('--annotations-only makes the wild world; leave --worlds out')
    if args.mpii_mat and 'wild' not in args.worlds:
        parser.error('--mpii-mat belongs to the wild world, which --worlds leaves out')
    if args.annotations_only and args.verify is not None:
        parser.error('--verify checks pictures, and --annotations-only makes none')
    return args


def show(reports: dict, out: Path, seconds: float) -> None:
    """Print what was made of each world."""
    table = Table(title=f'World in {out}')
    columns = ('pictures', 'persons', 'annotated', 'with_ankle')
    for column in ('source', 'split', *columns):
        table.add_column(
            column.replace('_', ' '), justify='left' if column in ('source', 'split') else 'right'
        )
    counts = [item for report in reports.values() for item in report.counts.items()]
    for (source, split), count in counts:
        table.add_row(source, split, *(str(count[column]) for column in columns))
    table.add_section()
    totals = (sum(count[column] for _, count in counts) for column in columns)
    table.add_row('all', '', *(str(total) for total in totals))
    Console().print(table)
    for world, report in reports.items():
        if report.rendered:
            speed = report.images_per_second_per_core
            print(
                f'{world}: {report.rendered} pictures made in {report.seconds:.1f} s with {report.workers} '
                f'workers: {speed:.1f} pictures/s a worker; {report.kept} were there already'
            )
        elif report.kept:
            print(f'{world}: all {report.kept} pictures were there already')
    files = sum(len(report.paths) for report in reports.values())
    print(f'{files} annotation files written; {seconds:.1f} s in all')


def make(args: argparse.Namespace) -> int:
    """Make the worlds, check them if asked to; returns the exit code."""
    # Here, so that --help and wrong options do not wait for the bodies and the renderer.
    from wsp_mm.synthetic.worlds import check_names, make_named, verify_named

    start = time.perf_counter()
    check_names(args.worlds, args.preset)
    reports = {
        world: make_named(
            world, args.out, args.preset, args.seed, args.workers, args.mpii_mat and world == 'wild'
        )
        for world in args.worlds
    }
    show(reports, args.out, time.perf_counter() - start)
    found = []
    for world in args.worlds if args.verify is not None else ():
        problems, checked = verify_named(
            world, args.out, args.preset, args.seed, args.workers, args.verify
        )
        print(f'{world}: verified {checked} pictures: {len(problems)} problems')
        for problem in problems:
            print(f'  {problem}')
        found += problems
    return 1 if found else 0


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    from wsp_mm.synthetic.layouts.files import WorldError

    try:
        if not args.annotations_only:
            return make(args)
        from wsp_mm.synthetic.annotations_only import make_annotations

        start = time.perf_counter()
        report = make_annotations(args.out, args.pictures, args.persons_per_picture, args.seed)
        show({'annotations': report}, args.out, time.perf_counter() - start)
    except WorldError as error:
        print(f'make_world: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('make_world: stopped; run the same command again to go on', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
