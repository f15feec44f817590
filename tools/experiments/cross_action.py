# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The Cross Action Protocol (paper, section 4.2.2 and Table 8): fifteen models, each trained on one
action.

A model is trained on one action of the config's training subjects and tested on the config's whole
test set: all fifteen actions, its own among them. Its entry is the mean over the test actions (what
the paper's Table 5 averages by); the pooled mean is in the json beside it. The table's title says
PA MPJPE and the text MPJPE, so both are given. A command that was stopped goes on where it was.
"""

import argparse
import os
import sys
from pathlib import Path

from networks import evaluation, metrics, read_config, training
from runner import Runner, Step, run_experiment

from wsp_mm.evaluation.functional.pose3d import H36M_ACTIONS
from wsp_mm.evaluation.tables import markdown_table, table_8, text_table, without_prefix
from wsp_mm.utils.cli import add_cfg_options
from wsp_mm.utils.files import dump_json, write_text_atomic

NOTE = (
    'Each model is trained on one action and tested on all, its own among them; an entry is the '
    "mean over the test actions. The last row was measured on real data with the paper's network "
    'and schedule.'
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add('--config', default='configs/wsp_h36m_r50.py', help='default: %(default)s')
    add('--work-dir', type=Path, default=Path('work_dirs/cross_action'))
    default = Path(os.environ.get('WSP_DATA', 'data/synthetic'))
    add('--data-root', type=Path, default=default, help='default: WSP_DATA, or data/synthetic')
    add(
        '--actions', nargs='+', choices=H36M_ACTIONS, default=H36M_ACTIONS, metavar='NAME',
        help=f'actions to train on, of {", ".join(H36M_ACTIONS)}; default: all',
    )  # fmt: skip
    text = 'options of every training and test, e.g. model.init_cfg.checkpoint=CHECKPOINT'
    add_cfg_options(parser, text, default=[])
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> None:
    os.environ['WSP_DATA'] = f'{args.data_root}/'
    dataset = read_config(args.config).train_dataloader.dataset
    place = f'train_dataloader.dataset{".datasets.0" if "datasets" in dataset else ""}.actions'
    actions = [action for action in H36M_ACTIONS if action in args.actions]
    runner, steps = Runner(args.work_dir / 'steps', jobs=1), []
    for action in actions:
        folder = args.work_dir / action
        options = [f'{place}=[{action}]', *args.cfg_options]
        step, checkpoint = training(action, args.config, folder, options)
        test = f'{action}-test', args.config, checkpoint, folder / 'test', args.cfg_options
        steps += [step, evaluation(*test)]

    def write(_: Step | None = None) -> None:
        done = [action for action in actions if f'{action}-test' in runner.seconds]
        scores = {action: metrics(args.work_dir / action / 'test') for action in done}
        table = table_8({a: without_prefix(flat, 'h36m/') for a, flat in scores.items()})
        used = f', options `{" ".join(args.cfg_options)}`' if args.cfg_options else ''
        head = f'# Cross action evaluation (the layout of Table 8)\n\nConfig `{args.config}`, data '
        head += f'`{args.data_root}`{used}; {len(done)} of {len(H36M_ACTIONS)} models.'
        page = '\n'.join([head, '', NOTE, '', *markdown_table(*table), ''])
        dump_json(args.work_dir / 'cross_action.json', scores)
        write_text_atomic(args.work_dir / 'cross_action.md', page)
        if len(done) == len(actions):
            print(text_table(*table, title='Table 8: trained on one action, tested on all'))
            print(f'{args.work_dir / "cross_action.md"} and .json')

    runner.run(steps, after=write)


if __name__ == '__main__':
    sys.exit(run_experiment(run, parse_args()))
