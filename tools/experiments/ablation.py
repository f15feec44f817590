# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Train the quickstart's network with one switch changed at a time and write tables of it. A
command that was stopped goes on where it was.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import relative_depth
from networks import metrics, read_config, training
from pose3d import PRETRAININGS
from runner import Runner, Step, run_experiment
from worlds import add_world_arguments, worlds_of

from wsp_mm.evaluation.tables import Scores, control_rows, markdown_table, stand_in_text
from wsp_mm.utils.cli import add_cfg_options
from wsp_mm.utils.compat import machine
from wsp_mm.utils.files import write_text_atomic

#: Name -> (what it is, --cfg-options; None: those of :func:`rotation_options`).
VARIANTS: dict[str, tuple[str, list[str] | None]] = {
    'base': ('alpha 1, pooling mean, literal L2, upright', []),
    'alpha50': ('alpha 50', ['model.head.alpha=50.0']),
    'normalized': ('pooling normalized', ['model.head.pooling=normalized']),
    'squared': ('squared L2', ['model.head.heatmap_loss.squared=True']),
    'rotated': ('rotated by any angle in training', None),
    '2d': ('2D only (alpha 0)', ['model.head.alpha=0.0']),
}
HEADER = (
    'variant', 'PCK', 'AUC', 'AUC, gap <= 0.1', 'gray AUC', 'gray AUC, gap <= 0.1', 'true depth',
    'training',
)  # fmt: skip
NOTES = (
    'Written by `make ablation`. Nothing here was trained on real images: the tables show which '
    'switch does what, not what the method reaches. One training per row and one seed: differences '
    'of a point or two are noise.',
    'PCK: 2D keypoints within 0.1 of the box height. AUC: against the perspective label, joint by '
    'joint, upright test images. Gray: the same checkpoint on gray images. True depth: agreement '
    'with the true order of the pelvises.',
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('--only', nargs='+', choices=VARIANTS, default=list(VARIANTS), help='default: all')
    add('--config', default=PRETRAININGS['wsp'][1], help='default: %(default)s')
    add('--work-dir', type=Path, default=Path('work_dirs/ablation'))
    add('--out', type=Path, help='default: WORK_DIR/results.md')
    add_world_arguments(parser)
    add_cfg_options(parser, 'further options of every training and test', default=[])
    args = parser.parse_args(argv)
    args.out = args.out or args.work_dir / 'results.md'
    return args


def rotation_options(cfg: Any) -> list[str]:
    """Options that rotate every training image by up to 180 degrees.

    Raises:
        ValueError: the training pipeline has no ``PairRandomBBoxTransform``.
    """
    types = [transform['type'] for transform in cfg.train_dataloader.dataset.pipeline]
    place = f'train_dataloader.dataset.pipeline.{types.index("PairRandomBBoxTransform")}'
    return [f'{place}.rotate_factor=180.0', f'{place}.rotate_prob=1.0']


def results_page(rows: Mapping[str, tuple[Scores, Mapping[str, Scores], float]], head: str) -> str:
    """The markdown page.

    Args:
        rows: variant -> metrics of protocol 1, control table, seconds of the training.
        head: a line about config and machine.
    """
    summary, tables = [], []
    for name, (scores, controls, seconds) in rows.items():
        network, gray = (controls[f'network, {test}'] for test in ('protocol 1', 'gray image'))
        aucs = [row[key] for row in (network, gray) for key in ('auc_gap1', 'auc_gap0.1')]
        truth = [network.get('gt_pairs'), f'{seconds:.0f} s']
        summary.append([VARIANTS[name][0], scores['pck/PCK'], *aucs, *truth])
        tables += ['', f'## {VARIANTS[name][0]}', '', *markdown_table(*control_rows(controls))]
        tables += ['', stand_in_text(scores, 'rd/')]
    lines = ['# Results on the embedded world', '', NOTES[0], '', head, '', '## All variants', '']
    return '\n'.join([*lines, NOTES[1], '', *markdown_table(HEADER, summary), *tables, ''])


def run(args: argparse.Namespace) -> None:
    worlds, runner = worlds_of(args), Runner(args.work_dir / 'steps')
    steps = worlds.wild()
    used = f' with `{" ".join(args.cfg_options)}`' if args.cfg_options else ''
    head, tests = f'Config `{args.config}`{used}; {machine()}.', {}
    for name in args.only:
        switches = VARIANTS[name][1]
        if switches is None:
            switches = rotation_options(read_config(args.config))
        options = [f'randomness.seed={args.seed}', *switches, *args.cfg_options]
        folder = args.work_dir / name
        step, checkpoint = training(name, args.config, folder, options, seconds=150)
        test = name, args.config, checkpoint, folder / 'test', options
        tests[name] = relative_depth.evaluations(*test)
        steps += [step, *tests[name]]

    def write(_: Step) -> None:
        rows = {}
        for name in args.only:
            if {step.name for step in tests[name]} <= runner.seconds.keys():
                test = args.work_dir / name / 'test'
                controls = relative_depth.controls(test, worlds.root)[0]
                rows[name] = metrics(test / 'p1'), controls, runner.seconds[f'{name}-train']
        if rows:
            write_text_atomic(args.out, results_page(rows, head))

    runner.run(steps, after=write)
    print(f'tables: {args.out}')


if __name__ == '__main__':
    sys.exit(run_experiment(run, parse_args()))
