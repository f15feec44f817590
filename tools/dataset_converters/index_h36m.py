#!/usr/bin/env python
# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Write Human3.6M's annotations into one compact file, which all processes of a training map into
memory.

Of 312,000 training frames the annotation files take minutes and gigabytes to read, in every process
anew; the index opens in a second. H36MImageDataset reads it with layout='index'. It notices when
its sources change.

Example:
    python tools/dataset_converters/index_h36m.py --data-root data --layout 3dmppe
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from wsp_mm.datasets.converters.mcpc.records import BadDataError, Findings
from wsp_mm.datasets.h36m_convention import TOLERANCE_PX
from wsp_mm.datasets.h36m_files import PLACES
from wsp_mm.datasets.h36m_index import read_header, touch_index, write_index
from wsp_mm.datasets.h36m_sequences import SUBJECTS, check_subjects
from wsp_mm.datasets.h36m_table import absent_sequences

FOLDERS = {layout: PLACES[layout][0] for layout in ('3dmppe', 'mmpose')}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        '--data-root', default='data', metavar='DIR', help='the data root (default: data)'
    )
    parser.add_argument(
        '--layout', choices=sorted(FOLDERS), default='3dmppe', help='of the annotations'
    )
    parser.add_argument(
        '--annotations',
        metavar='DIR',
        help='their folder, in the data root or absolute (default: as docs/data.md)',
    )
    parser.add_argument(
        '--out',
        default='human36m/h36m.index',
        metavar='FILE',
        help='in the data root or absolute (default: human36m/h36m.index, where the data set looks)',
    )
    parser.add_argument(
        '--subjects', type=int, nargs='+', default=list(SUBJECTS), metavar='N',
        help=f'whose frames (default: all, {" ".join(map(str, SUBJECTS))})',
    )  # fmt: skip
    parser.add_argument(
        '--steps', type=int, nargs='+', default=[5, 64], metavar='N',
        help='frames whose number is a multiple of one of these (default: 5 for training, 64 for tests)',
    )  # fmt: skip
    parser.add_argument(
        '--convention-tolerance', type=float, default=TOLERANCE_PX, metavar='PX',
        help=f'of the check of the camera convention by reprojection (default: {TOLERANCE_PX:g})',
    )  # fmt: skip
    parser.add_argument(
        '--skip-bad', action='store_true', help='leave out, count and list bad records'
    )
    parser.add_argument(
        '--touch',
        action='store_true',
        help='write nothing but the new dates of unchanged sources into an index that is there',
    )
    parser.add_argument('--quiet', action='store_true', help='no progress bar and no summary')
    args = parser.parse_args(argv)
    try:
        args.subjects = check_subjects(args.subjects)
    except ValueError as error:
        parser.error(str(error))
    if min(args.steps) < 1 or not args.convention_tolerance > 0:
        parser.error('--steps and --convention-tolerance must be positive')
    return args


def build(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from wsp_mm.datasets.h36m_3dmppe import read_3dmppe
    from wsp_mm.datasets.h36m_mmpose import read_mmpose

    root, out = Path(args.data_root), Path(args.data_root, args.out)
    findings = Findings(skip_bad=args.skip_bad)
    reader = read_3dmppe if args.layout == '3dmppe' else read_mmpose
    parts = len(args.subjects) if args.layout == '3dmppe' else 2
    with tqdm(total=parts, disable=args.quiet, unit=' file') as bar:
        started = []

        def progress(part: object) -> None:
            bar.update(bool(started))
            started.append(part)
            bar.set_description(f'reading {part if isinstance(part, str) else f"S{part}"}')

        folder = root / (args.annotations or FOLDERS[args.layout])
        table = reader(
            folder, args.subjects, tuple(args.steps), findings, args.convention_tolerance, progress
        )
        bar.update(parts - bar.n)
    for kind, count in findings.counts().items():
        table.skipped[f'with a bad record ({kind})'] += count
    write_index(out, table, root)
    if args.quiet:
        return
    for error in findings.bad[:20]:
        print(f'skipped: {error}')
    for what, count in table.skipped.items():
        print(f'left out {count:,} frames {what}')
    for note in table.notes:
        print(note)
    absent = absent_sequences(table, args.subjects)
    if absent:
        print(
            f'{len(absent)} videos are not there: {", ".join(absent[:5])}'
            + (', ...' if absent[5:] else '')
        )
    print(f'wrote {out}: {len(table.rows):,} frames, {out.stat().st_size / 1e6:,.1f} MB')


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        if args.touch:
            touch_index(Path(args.data_root, args.out), args.data_root)
            if not args.quiet:
                sources = read_header(Path(args.data_root, args.out))['sources']
                print(f'{len(sources)} sources are as they were; the index has their dates')
        else:
            build(args)
    except BadDataError as error:
        print(f'index_h36m: {error.kind}: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
