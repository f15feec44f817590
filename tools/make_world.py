# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Make the embedded world: pictures and annotations in the layouts of COCO, MPII, PoseTrack18 and CrowdPose.

python tools/make_world.py --preset tiny|small|full --out data/synthetic --seed 0 --workers N [--verify]
python tools/make_world.py --annotations-only --out data/annotations_only [--pictures N --persons-per-picture M]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n\n')[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument('--preset', default='small', help='tiny, small or full')
    parser.add_argument('--out', type=Path, default=Path('data/synthetic'), help='folder of the world')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--workers', type=int, default=os.cpu_count(), help='processes that make pictures')
    parser.add_argument('--mpii-mat', action='store_true', help="also write MPII's official MATLAB file")
    parser.add_argument(
        '--verify', type=int, nargs='?', const=-1, metavar='N', help='check all pictures, or N of them'
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
    if args.annotations_only and args.verify is not None:
        parser.error('--verify checks pictures, and --annotations-only makes none')
    return args


def show(report, out: Path, seconds: float) -> None:
    """Print what was made."""
    table = Table(title=f'World in {out}')
    columns = ('pictures', 'persons', 'annotated', 'with_ankle')
    for column in ('source', 'split', *columns):
        table.add_column(column.replace('_', ' '), justify='left' if column in ('source', 'split') else 'right')
    for (source, split), count in report.counts.items():
        table.add_row(source, split, *(str(count[column]) for column in columns))
    table.add_section()
    totals = (sum(count[column] for count in report.counts.values()) for column in columns)
    table.add_row('all', '', *(str(total) for total in totals))
    Console().print(table)
    if report.rendered:
        print(
            f'{report.rendered} pictures made in {report.seconds:.1f} s with {report.workers} workers: '
            f'{report.images_per_second_per_core:.1f} pictures/s a worker; {report.kept} were there already'
        )
    elif report.kept:
        print(f'all {report.kept} pictures were there already')
    print(f'{len(report.paths)} annotation files written; {seconds:.1f} s in all')


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    # Here, so that --help and wrong options do not wait for the bodies and the renderer.
    from wsp_mm.synthetic.writers.files import WorldError

    start = time.perf_counter()
    try:
        if args.annotations_only:
            from wsp_mm.synthetic.annotations_only import make_annotations

            report = make_annotations(args.out, args.pictures, args.persons_per_picture, args.seed)
        else:
            from wsp_mm.synthetic.plan import get_preset
            from wsp_mm.synthetic.world import make_world

            report = make_world(args.out, get_preset(args.preset), args.seed, args.workers, args.mpii_mat)
        show(report, args.out, time.perf_counter() - start)
        if args.verify is not None:
            from wsp_mm.synthetic.world import verify_world

            problems, checked = verify_world(
                args.out, get_preset(args.preset), args.seed, args.workers, args.verify
            )
            print(f'verified {checked} pictures: {len(problems)} problems')
            for problem in problems:
                print(f'  {problem}')
            return 1 if problems else 0
    except WorldError as error:
        print(f'make_world: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('make_world: stopped; run the same command again to go on', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
