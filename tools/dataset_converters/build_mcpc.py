#!/usr/bin/env python
# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Build MCPC, the multi-person pictures that relative depth is learned from, out of 2D pose data
sets.

Example:
    python tools/dataset_converters/build_mcpc.py --coco data/coco --mpii data/mpii \
        --posetrack18 data/posetrack18 --crowdpose data/crowdpose --out data/mcpc

docs/data.md says where to get the sources and how their folders must look. Any subset of them will
do; pictures are never copied, and not even needed (then what they would have told is counted as not
checked).
"""

from __future__ import annotations

import argparse
import sys

from wsp_mm.datasets.converters.mcpc.build import build_mcpc
from wsp_mm.datasets.converters.mcpc.options import (
    ANKLES,
    DEDUP,
    GROUND,
    MPII_ANNOTATIONS,
    BuildOptions,
)
from wsp_mm.datasets.converters.mcpc.records import SOURCES, SPLITS, BadDataError
from wsp_mm.datasets.converters.mcpc.table import print_table


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for source in SOURCES:
        parser.add_argument(f'--{source}', metavar='DIR', help=f'folder of {source}')
    parser.add_argument(
        '--out', required=True, metavar='DIR', help='folder for the json files and the table'
    )
    parser.add_argument(
        '--splits', nargs='+', choices=SPLITS, default=list(SPLITS), help='which to build'
    )
    parser.add_argument(
        '--ankles',
        choices=ANKLES,
        default='any',
        help='a person needs one labelled ankle, or both (default: any)',
    )
    parser.add_argument(
        '--ground',
        choices=GROUND,
        default='lowest',
        help='height of two labelled ankles (default: lowest)',
    )
    parser.add_argument(
        '--max-pairs-per-image',
        type=int,
        default=2,
        metavar='N',
        help='test pairs an image, 0 for all (default: 2)',
    )
    parser.add_argument(
        '--min-gap-px', type=float, default=0.0, metavar='PX',
        help='leave out test pairs whose ground heights differ by less (default: 0, exact ties only)',
    )  # fmt: skip
    parser.add_argument(
        '--seed', type=int, default=0, help='of the choice and order of test pairs (default: 0)'
    )
    parser.add_argument(
        '--dedup', choices=DEDUP, default='off',
        help='look for near-identical pictures across sources and splits, drop them from train (default: off)',
    )  # fmt: skip
    parser.add_argument(
        '--dedup-distance', type=int, default=4, metavar='BITS',
        help='bits of 64 in which hashes of one picture may differ (default: 4)',
    )  # fmt: skip
    parser.add_argument('--skip-bad', action='store_true', help='skip, count and list bad records')
    parser.add_argument(
        '--mpii-annotations', choices=MPII_ANNOTATIONS, default='auto',
        help="MMPose's json or the official .mat (default: json where there is one)",
    )  # fmt: skip
    parser.add_argument(
        '--mpii-val-list',
        metavar='FILE',
        help="MPII's validation pictures for the .mat: a name a line, or MMPose's json",
    )
    parser.add_argument(
        '--mpii-json-base', type=int, choices=(0, 1), default=0,
        help="number of the first pixel in the joints of MPII's json (default: 0, as MMPose reads them)",
    )  # fmt: skip
    parser.add_argument(
        '--workers', type=int, default=2, help='threads that hash pictures (default: 2)'
    )
    parser.add_argument('--quiet', action='store_true', help='no progress bars and no table')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = vars(parse_args(argv))
    quiet = args.pop('quiet')
    roots = {source: root for source in SOURCES if (root := args.pop(source)) is not None}
    try:
        options = BuildOptions(roots=roots, progress=not quiet, **args)
        result = build_mcpc(options)
    except BadDataError as error:
        print(f'build_mcpc: {error.kind}: {error}', file=sys.stderr)
        return 1
    except ValueError as error:
        print(f'build_mcpc: {error}', file=sys.stderr)
        return 2
    if not quiet:
        print_table(result.rows, options.ankles, result.findings)
        for path in result.files.values():
            print(f'wrote {path}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
