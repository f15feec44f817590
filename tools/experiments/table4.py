# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Table 4 with seeds: finetune from scratch, from 2D-only and from WSP pre-training, with and
without MCPC.

Makes the embedded worlds that are absent, and pre-trains unless the checkpoints are given. A
command that was stopped goes on where it was.
"""

import argparse
import sys
from pathlib import Path

from pose3d import ROWS, Results, finetune, pretrain
from runner import Runner, run_experiment
from worlds import add_world_arguments, worlds_of

from wsp_mm.evaluation.tables import markdown_table, text_table
from wsp_mm.utils.cli import add_cfg_options
from wsp_mm.utils.compat import machine
from wsp_mm.utils.files import dump_json, write_text_atomic


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add, names = parser.add_argument, [row.name for row in ROWS]
    add('--seeds', type=int, default=1, metavar='N', help='seeds 0 to N-1 (default: 1)')
    add('--work-dir', type=Path, default=Path('work_dirs/table4'))
    given = 'a pre-training; default: trained here'
    for key in ('wsp', '2d'):
        add(f'--{key}', type=Path, metavar='CHECKPOINT', help=given)
    add('--no-worlds', action='store_true', help='use the data root as it is, with mcpc/ in it')
    add('--only', nargs='+', choices=names, metavar='ROW', help=f'of {", ".join(names)}')
    add_world_arguments(parser)
    add_cfg_options(parser, 'options of every finetuning and test', default=[])
    args = parser.parse_args(argv)
    if args.seeds < 1:
        parser.error(f'--seeds must be at least 1, got {args.seeds}')
    return args


def page(results: Results, data_root: Path, options: list[str]) -> str:
    """The markdown page of the rows that have run."""
    used = f', options `{" ".join(options)}`' if options else ''
    head = f'# Table 4 in our numbers\n\nData `{data_root}`{used}; {machine()}.'
    return '\n'.join([head, '', results.reading(), '', *markdown_table(*results.table()), ''])


def run(args: argparse.Namespace) -> None:
    worlds, runner = worlds_of(args), Runner(args.work_dir / 'steps')
    rows = [row for row in ROWS if row.name in (args.only or [row.name])]
    given = {key: getattr(args, key) for key in ('wsp', '2d') if getattr(args, key)}
    absent = dict.fromkeys(row.pretraining for row in rows if row.pretraining not in (None, *given))
    steps, checkpoints = pretrain(absent, args.work_dir, ['randomness.seed=0'])
    seeds = range(args.seeds)
    steps += finetune(rows, checkpoints | given, args.work_dir, seeds, args.cfg_options)
    if not args.no_worlds:
        steps = [*worlds.wild(), *worlds.h36m(), *steps]

    def write(_=None) -> Results:
        results = Results.gather(rows, seeds, args.work_dir, runner)
        dump_json(args.work_dir / 'table4.json', results.plain())
        text = page(results, worlds.root, args.cfg_options)
        write_text_atomic(args.work_dir / 'table4.md', text)
        return results

    runner.run(steps, after=write)
    results = write()
    print(text_table(*results.table(), title='Table 4 in our numbers'))
    print(f'{results.reading()}\n{args.work_dir / "table4.md"} and .json')


if __name__ == '__main__':
    sys.exit(run_experiment(run, parse_args()))
