# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Make the embedded worlds: images and annotations in the layouts of COCO, MPII, PoseTrack18 and
CrowdPose (wild), Human3.6M (h36m), MuCo-3DHP (muco) and MuPoTS-3D (mupots); harder images, for
networks that shall work on photographs (photo); and Relative Human (relative_human).

python tools/dataset_converters/make_world.py --preset tiny|small|full --out data/synthetic
python tools/dataset_converters/make_world.py --worlds muco mupots --preset small --workers 8
"""

import argparse
import os
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

# wsp_mm.synthetic.worlds has them, too, but --help is not to wait for the renderer. The last two
# are made where they are asked for.
WORLDS = ('wild', 'h36m', 'muco', 'mupots', 'photo', 'relative_human')


def _world(name: str) -> str:
    if name == 'lab':
        raise argparse.ArgumentTypeError("the world 'lab' is called 'h36m' now")
    return name


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n\n')[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        '--worlds', nargs='+', type=_world, choices=WORLDS, default=list(WORLDS[:4]),
        help='which to make; others that are in the folder already stay as they are',
    )  # fmt: skip
    parser.add_argument('--preset', default='small', help='tiny, small or full')
    parser.add_argument('--out', type=Path, default='data/synthetic', help='folder of the world')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--workers', type=int, default=os.cpu_count(), help='processes')
    args = parser.parse_args(argv)
    if args.workers < 1:
        parser.error(f'--workers must be at least 1, got {args.workers}')
    args.worlds = [world for world in WORLDS if world in args.worlds]
    return args


def show(reports: dict, out: Path, seconds: float) -> None:
    """Print what was made of each world."""
    table = Table('source', 'split', title=f'World in {out}')
    for column in ('images', 'annotated persons'):
        table.add_column(column, justify='right')
    counts = [item for report in reports.values() for item in report.counts.items()]
    for names, numbers in counts:
        table.add_row(*names, *map(str, numbers))
    table.add_section()
    totals = map(sum, zip(*(numbers for _, numbers in counts), strict=True))
    table.add_row('all', '', *map(str, totals))
    Console().print(table)
    for world, report in reports.items():
        speed = ''
        if report.rendered:
            each = report.rendered / report.seconds / report.workers
            speed = f' in {report.seconds:.1f} s ({each:.1f} images/s a worker)'
        print(f'{world}: {report.rendered} images made{speed}, {report.kept} were there already')
    files = sum(len(report.paths) for report in reports.values())
    print(f'{files} annotation files written; {seconds:.1f} s in all')


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    # Here, so that --help and wrong options do not wait for the bodies and the renderer.
    from wsp_mm.synthetic.builder import make_world, plan_world
    from wsp_mm.synthetic.plan import WorldError

    start, reports = time.perf_counter(), {}
    try:
        for world in args.worlds:  # before any of them is begun
            plan_world(world, args.preset, args.seed)
        for world in args.worlds:
            reports[world] = make_world(args.out, world, args.preset, args.seed, args.workers)
    except WorldError as error:
        print(f'make_world: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('make_world: stopped; run the same command again to go on', file=sys.stderr)
        return 130
    show(reports, args.out, time.perf_counter() - start)
    return 0


if __name__ == '__main__':
    sys.exit(main())
