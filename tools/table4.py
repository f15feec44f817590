# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Table 4 with seeds: finetune from scratch, from 2D-only and from WSP pre-training, with and
without MCPC.

Makes the embedded worlds that are absent, and pre-trains unless the checkpoints are given.
Resumable: every training runs once.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from wsp_mm.utils.cli import add_cfg_options

ROOT = Path(__file__).resolve().parents[1]

PRETRAININGS = {
    'wsp': 'configs/quickstart/wsp_pretrain_r18.py',
    '2d': 'configs/quickstart/wsp_pretrain_r18_2d.py',
}


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        '--seeds', type=int, default=1, metavar='N', help='seeds 0 to N-1 (default: 1)'
    )
    parser.add_argument('--data-root', default='data/synthetic', help='default: %(default)s')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/table4'))
    parser.add_argument(
        '--wsp',
        type=Path,
        metavar='CHECKPOINT',
        help='WSP pre-training; default: it is trained here',
    )
    parser.add_argument(
        '--2d',
        type=Path,
        dest='flat',
        metavar='CHECKPOINT',
        help='2D-only pre-training; default: trained here',
    )
    parser.add_argument('--preset', default='small', help='size of the worlds that are made')
    parser.add_argument('--workers', type=int, default=os.cpu_count(), help='processes that render')
    parser.add_argument(
        '--no-worlds',
        action='store_true',
        help='the data root holds data with mcpc/ in it: make none there',
    )
    parser.add_argument('--only', nargs='+', metavar='ROW', help='rows by name, e.g. wsp-h36m-mcpc')
    add_cfg_options(parser, 'options of every finetuning and test', default=[])
    return parser


def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.seeds < 1:
        parser.error(f'--seeds must be at least 1, got {args.seeds}')
    from wsp_mm.apis.data import make_data, make_lab
    from wsp_mm.apis.steps import StepFailed, Steps
    from wsp_mm.apis.table4 import pretrain, quickstart_rows, reading, run_table4
    from wsp_mm.evaluation.tables import text_table

    rows = quickstart_rows()
    names = [row.name for row in rows]
    if unknown := sorted(set(args.only or ()) - set(names)):
        parser.error(f'unknown rows {unknown}; known: {names}')
    rows = [row for row in rows if row.name in (args.only or names)]
    given = {key: file for key, file in (('wsp', args.wsp), ('2d', args.flat)) if file is not None}
    needed = {row.pretraining for row in rows if row.pretraining}
    steps = Steps(ROOT / args.work_dir / 'steps', ROOT)
    try:
        if not args.no_worlds:
            make_data(steps, args.preset, args.data_root, 0, args.workers)
            make_lab(steps, args.preset, args.data_root, 0, args.workers)
        configs = {
            key: config for key, config in PRETRAININGS.items() if key in needed - set(given)
        }
        checkpoints = given | pretrain(
            steps, configs, args.data_root, args.work_dir, ['randomness.seed=0']
        )
        table = run_table4(
            steps,
            rows,
            checkpoints,
            args.data_root,
            args.work_dir,
            seeds=range(args.seeds),
            options=args.cfg_options,
            reference=rows[0].config,
        )
    except (StepFailed, FileNotFoundError) as error:
        print(f'table4 stopped: {error}\ncalling it again goes on from here', file=sys.stderr)
        return 1
    print(text_table(*table.lines(), title='Table 4 in our numbers'))
    print(f'{reading(table)}\n{ROOT / args.work_dir / "table4.md"} and .json')
    return 0


if __name__ == '__main__':
    sys.exit(main())
