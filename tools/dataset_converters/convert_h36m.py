#!/usr/bin/env python
# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Convert Human3.6M's annotations to the arrays that H36MImageDataset reads.

All checks of the annotations are made here. All processes of a training map the arrays into memory:
312,000 frames open in a fraction of a second. Run it again when the annotations change.

Example:
    python tools/dataset_converters/convert_h36m.py --data-root data --layout 3dmppe
"""

import argparse
import sys
from pathlib import Path

from wsp_mm.datasets.annotations import AnnotationError
from wsp_mm.datasets.converters.h36m import LAYOUTS, TOLERANCE_PX, convert_h36m
from wsp_mm.structures.h36m import SUBJECTS, TEST_STEP, TRAIN_STEP, check_subjects


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add('--data-root', type=Path, default='data', metavar='DIR', help='default: data')
    add('--layout', choices=sorted(LAYOUTS), default='3dmppe', help='of the annotations')
    add('--annotations', type=Path, metavar='DIR', help='their folder (default: docs/data_3d.md)')
    add(
        '--out', type=Path, metavar='DIR',
        help='folder of the arrays (default: human36m/arrays in the data root, where configs look)',
    )  # fmt: skip
    add('--subjects', type=int, nargs='+', default=SUBJECTS, metavar='N', help='default: all')
    add(
        '--steps', type=int, nargs='+', default=[TRAIN_STEP, TEST_STEP], metavar='N',
        help='frames whose number is a multiple of one of these (default: 5 for training, 64 for '
        'tests)',
    )  # fmt: skip
    add(
        '--convention-tolerance', type=float, default=TOLERANCE_PX, metavar='PX',
        help=f'of the check of the camera convention by reprojection (default: {TOLERANCE_PX:g})',
    )  # fmt: skip
    add('--skip-bad', action='store_true', help='leave out, count and list bad records')
    add('--quiet', action='store_true', help='print errors only')
    args = parser.parse_args(argv)
    try:
        args.subjects = check_subjects(args.subjects)
    except ValueError as error:
        parser.error(str(error))
    if min(args.steps) < 1 or not args.convention_tolerance > 0:
        parser.error('--steps and --convention-tolerance must be positive')
    return args


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    out = args.out or args.data_root / 'human36m' / 'arrays'
    say = (lambda text: None) if args.quiet else print
    try:
        notes = convert_h36m(
            args.data_root, out, args.layout, args.annotations, args.subjects, args.steps,
            args.skip_bad, args.convention_tolerance, lambda name: say(f'reading {name}'),
        )  # fmt: skip
    except AnnotationError as error:
        print(f'convert_h36m: {error.kind}: {error}', file=sys.stderr)
        return 1
    for note in notes:
        say(note)
    say(f'wrote {out}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
