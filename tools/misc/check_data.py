#!/usr/bin/env python
# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Name every missing file, folder or sequence that a config's data sets will read, before a
training starts.

Exit status: 0 when all is there, 1 when something is missing, 2 when the config cannot be read.

Example:
    python tools/misc/check_data.py configs/wsp_pretrain_r50.py --all
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import PurePath

from wsp_mm.datasets.check import Problem, check_config
from wsp_mm.utils.cli import add_cfg_options, config_from_args


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument('config', help='configuration file')
    parser.add_argument(
        '--all', action='store_true', help='look for every picture, not for some of each data set'
    )
    parser.add_argument(
        '--samples',
        type=int,
        default=200,
        metavar='N',
        help='pictures of each data set without --all (default: 200)',
    )
    parser.add_argument(
        '--shown',
        type=int,
        default=20,
        metavar='N',
        help='missing pictures named a folder, 0 for all (default: 20)',
    )
    add_cfg_options(parser)
    return parser


def lines(problems: list[Problem], shown: int) -> list[str]:
    """The list for the user: files and folders one by one, pictures by folder."""
    out = [f'  {problem}' for problem in problems if problem.kind != 'picture']
    by_folder = defaultdict(list)
    for problem in problems:
        if problem.kind == 'picture':
            by_folder[problem.where, str(PurePath(problem.path).parent)].append(
                PurePath(problem.path).name
            )
    for (where, folder), names in by_folder.items():
        out.append(
            f'  folder {folder}: {len(names):,} pictures are listed, but not there [{where}]'
        )
        out += [f'    {name}' for name in names[: shown or None]]
        if shown and len(names) > shown:
            out.append(f'    and {len(names) - shown:,} more (--shown 0 names them all)')
    return out


def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.samples < 1 or args.shown < 0:
        parser.error('--samples must be positive, --shown not negative')
    report = check_config(config_from_args(parser, args), 0 if args.all else args.samples)
    for line in report.unchecked:
        print(f'not checked: {line}')
    if report.problems:
        print(
            f'{len(report.problems):,} missing or broken:',
            *lines(report.problems, args.shown),
            sep='\n',
        )
        print('docs/data.md says where to get what is missing.')
        return 1
    print(f'all there ({report.looked_at:,} files and pictures looked for)')
    return 0


if __name__ == '__main__':
    sys.exit(main())
