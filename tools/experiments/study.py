# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Does relative depth help 3D? Three stages, each decided by the one before.

A measures labels against true depth, without training. B pre-trains variants with one seed each:
agreement with true depth, gray control, a short finetuning. C finetunes from a few of them with
several seeds and tests on unseen persons, on other people outdoors, and on root depth, with
differences sample by sample. Makes the embedded worlds that are absent. A command that was stopped
goes on where it was; the stages share their pre-trainings.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import relative_depth
import study_results
from networks import evaluation, mean_pose, training
from runner import Runner, Step, run_experiment
from worlds import Worlds, add_world_arguments, worlds_of

from wsp_mm.utils.cli import add_cfg_options
from wsp_mm.utils.compat import machine

BASE = 'configs/quickstart/wsp_pretrain_lite0.py'
SCRATCH = 'scratch'


@dataclass(frozen=True)
class Row:
    """A pre-training.

    Attributes:
        label: what it is, for the tables.
        options: ``--cfg-options`` of its training and its tests.
        config: of the training. Tests are those of :data:`BASE` with the same options, so a config
            of its own may change the training data alone.
        labels: that it is trained with, ``rule`` or ``plane``; tests always have those of the rule.
    """

    label: str
    options: Sequence[str] = ()
    config: str = BASE
    labels: str = 'rule'


CONCAT = ('model.head.pairwise=concat',)
DIFFERENCE = ('model.head.alpha=1.0', 'model.head.pairwise=difference')
ALPHA_1 = ('model.head.alpha=1.0', *CONCAT)
RATIO = ('model.head.ratio_loss.type=DepthRatioLoss',)
WITHIN = ('model.head.within_loss.type=WithinPersonDepthLoss',)
# Pooled around the peak instead of over the box, and no border of zeros.
BLIND = ('model.head.pooling=peak', 'model.padding_mode=replicate')
NO_SHORTCUT = 'configs/study/wsp_pretrain_lite0_no_shortcut.py'
#: Every variant; a head or a data set of it is changed here and nowhere else. Below alpha 1, each
#: idea alone, and then together, with that alpha.
ROWS = {
    '2d': Row('2D only (alpha 0)', ['model.head.alpha=0.0', *CONCAT]),
    'printed': Row('WSP as printed (alpha 50, mean pooling)', ['model.head.alpha=50.0', *CONCAT]),
    'wsp': Row('WSP, alpha 8', ['model.head.alpha=8.0', *CONCAT]),
    'alpha1': Row('WSP, alpha 1', ALPHA_1),
    'difference': Row('depth score (difference)', DIFFERENCE),
    'plane': Row('labels of the ground plane', ALPHA_1, labels='plane'),
    'plane-difference': Row('plane, difference', DIFFERENCE, labels='plane'),
    'plane-ratio': Row('plane, difference, ratio loss', [*DIFFERENCE, *RATIO], labels='plane'),
    'within': Row('difference, depth within a person', [*DIFFERENCE, *WITHIN]),
    'no-shortcut': Row('no shortcut', [*ALPHA_1, *BLIND], NO_SHORTCUT),
    'plus': Row('together', [*DIFFERENCE, *RATIO, *WITHIN, *BLIND], NO_SHORTCUT, 'plane'),
}
#: Finetunings: whether they start from a checkpoint -> config.
POSE = {
    False: 'configs/quickstart/posenet_h36m_lite0.py',
    True: 'configs/quickstart/wsp_h36m_lite0.py',
}
ROOT = {False: 'configs/study/root_muco_lite0.py', True: 'configs/study/wsp_root_muco_lite0.py'}
OUTDOORS = 'configs/study/pose_mupots_lite0.py'
#: Iterations of a finetuning by stage, and of a root network. In C they are what training from
#: scratch needs to come to 0.55 of the mean pose's error.
ITERATIONS = dict(B=300, C=1000)
ROOT_ITERATIONS = 300
#: Of a pre-training, however long quickstart's own is.
PRETRAIN_ITERATIONS = 700
#: What is finetuned on in C: name -> options. Cross action: one action alone.
SHARES = {'all': (), 'tenth': ('train_dataloader.dataset.share=0.1',)}
ACTIONS = {
    name: (f'train_dataloader.dataset.actions=[{name}]',)
    for name in ('Directions', 'Sitting', 'Walking')
}
CURVE_INTERVAL = 250  # iterations from one validation of training from scratch to the next


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add('--stage', choices='ABC', required=True)
    add('--only', nargs='+', choices=[SCRATCH, *ROWS], metavar='ROW', default=[SCRATCH, *ROWS],
        help=f'rows of stage B, of {SCRATCH}, {", ".join(ROWS)}; default: all')  # fmt: skip
    add('--starts', nargs='+', choices=[SCRATCH, *ROWS], metavar='ROW',
        default=[SCRATCH, '2d', 'printed', 'plane-ratio'],
        help='rows of stage C; cross action takes the first, the second and the last, with one '
        'seed; default: %(default)s')  # fmt: skip
    add('--seeds', type=int, default=3, metavar='N', help='of stage C: 0 to N-1 (default: 3)')
    add('--pretrainings', type=int, default=1, metavar='N',
        help='pre-trainings of a start: seed s of stage C goes on from number s modulo N '
        '(default: 1)')  # fmt: skip
    add('--iterations', type=int, help=f'of every finetuning; default: {ITERATIONS}')
    add('--root-iterations', type=int, default=ROOT_ITERATIONS, help='default: %(default)s')
    add('--no-cross-action', action='store_true', help='leave cross action out of stage C')
    add('--work-dir', type=Path, default=Path('work_dirs/study'))
    add_world_arguments(parser)
    add_cfg_options(parser, 'further options of every training and test', default=[])
    args = parser.parse_args(argv)
    for name in ('seeds', 'pretrainings'):
        if getattr(args, name) < 1:
            parser.error(f'--{name} must be at least 1')
    args.iterations = args.iterations or ITERATIONS.get(args.stage)
    return args


def length(iterations: int) -> list[str]:
    """Options that make a training of ``schedules/quickstart.py`` so long."""
    schedule = [f'param_scheduler.1.{key}={iterations}' for key in ('end', 'T_max')]
    cycle = [f'max_iters={iterations}', f'val_interval={iterations + 1}']
    return [*(f'train_cfg.{option}' for option in cycle), *schedule]


def curve_of(row: str, data: str, seed: int) -> bool:
    """Whether this finetuning is validated while it goes on."""
    return (row, data, seed) == (SCRATCH, 'all', 0)


class Study:
    """The steps of one call.

    Attributes:
        steps: all that were asked for so far, in an order in which they could run.
    """

    def __init__(self, args: argparse.Namespace, worlds: Worlds) -> None:
        self.args, self.worlds, self.work_dir = args, worlds, args.work_dir
        self.steps: list[Step] = []
        self._names: set[str] = set()

    def add(self, *steps: Step) -> None:
        """Add steps that are not there yet."""
        for step in steps:
            if step.name not in self._names:
                self._names.add(step.name)
                self.steps.append(step)

    def pretrain(self, row: str, seed: int) -> Path:
        """Add the pre-training of a row of :data:`ROWS`; return its checkpoint."""
        variant, data = ROWS[row], []
        if variant.labels != 'rule':
            folder = f'mcpc_{variant.labels}'
            self.add(self.worlds.mcpc(folder, ['--labels', variant.labels]))
            data = [f'train_dataloader.dataset.ann_file={folder}/mcpc_train.json']
        name = f'{row}-seed{seed}'
        options = [f'randomness.seed={seed}', *length(PRETRAIN_ITERATIONS), *variant.options]
        options += [*data, *self.args.cfg_options]
        folder = self.work_dir / 'pretrain' / name
        step, checkpoint = training(name, variant.config, folder, options, seconds=200)
        self.add(step)
        return checkpoint

    def order_tests(self, row: str, seed: int) -> Path:
        """Add the tests of a pre-training, on all pairs of the test images, and return their
        folder.
        """
        name, checkpoint = f'{row}-seed{seed}', self.pretrain(row, seed)
        self.add(self.worlds.mcpc(study_results.ALL_PAIRS, ['--max-pairs-per-image', 0]))
        pairs = f'test_dataloader.dataset.ann_file={study_results.ALL_PAIRS}/mcpc_test.json'
        options = [*ROWS[row].options, pairs, *self.args.cfg_options]
        folder = self.work_dir / 'pretrain' / name / 'test'
        self.add(*relative_depth.evaluations(name, BASE, checkpoint, folder, options))
        return folder

    def start(self, row: str, seed: int) -> Path | None:
        """Checkpoint that finetunings of a start begin with; None: ImageNet."""
        return None if row == SCRATCH else self.pretrain(row, seed % self.args.pretrainings)

    def pose(self, row: str, data: str, seed: int, outdoors: bool = True) -> dict[str, Path]:
        """Add a finetuning on the lab and its tests; return the folders of these: unseen persons
        of the lab, and ``outdoors`` other people in the MuPoTS world.

        Args:
            data: key of :data:`SHARES` or :data:`ACTIONS`.
        """
        start, iterations = self.start(row, seed), self.args.iterations
        config, name = POSE[start is not None], f'pose-{row}-{data}-{iterations}-seed{seed}'
        options = [f'randomness.seed={seed}', *length(iterations), *self.args.cfg_options]
        curve = curve_of(row, data, seed)
        curve = [f'train_cfg.val_interval={CURVE_INTERVAL}'] if curve else []
        folder = self.work_dir / 'pose' / name
        step, checkpoint = training(
            name, config, folder, [*options, *(SHARES | ACTIONS)[data], *curve], start,
            seconds=iterations / 3,
        )  # fmt: skip
        tests = {'lab': POSE[False]} | ({'outdoors': OUTDOORS} if outdoors else {})
        self.add(step)
        for test, config in tests.items():
            more = self.args.cfg_options
            self.add(evaluation(f'{name}-{test}', config, checkpoint, folder / test, more))
        return {test: folder / test for test in tests}

    def root(self, row: str, seed: int) -> Path:
        """Add the training of a root network and its test; return the folder of this."""
        start, iterations = self.start(row, seed), self.args.root_iterations
        name = f'root-{row}-{iterations}-seed{seed}'
        options = [f'randomness.seed={seed}', *length(iterations), *self.args.cfg_options]
        folder = self.work_dir / 'root' / name
        step, checkpoint = training(
            name, ROOT[start is not None], folder, options, start, seconds=iterations / 3
        )
        more = self.args.cfg_options
        self.add(step, evaluation(f'{name}-test', ROOT[False], checkpoint, folder / 'test', more))
        return folder / 'test'

    def mean_pose(self) -> Path:
        """Add the scores of the mean training pose on the lab's test; return their file."""
        out = self.work_dir / 'mean_pose.json'
        self.add(mean_pose(POSE[False], out, self.args.cfg_options))
        return out

    def head(self) -> str:
        """A line about what was run."""
        args, text = self.args, f'Data `{self.worlds.root}`'
        text += f', options `{" ".join(args.cfg_options)}`' if args.cfg_options else ''
        text += f'; finetunings of {args.iterations} iterations' if args.iterations else ''
        return f'{text}; {machine()}.'


def stage_a(study: Study) -> study_results.Writer:
    """Labels against true depth."""
    study.add(*study.worlds.wild())
    out = study.work_dir / 'labels'
    command = ['tools/analysis_tools/label_quality.py', '--world', study.worlds.root]
    files = [out / f'label_quality.{kind}' for kind in ('json', 'md', 'png')]
    gt = study.worlds.root / 'ground_truth'
    study.add(Step('labels', [*command, '--split', 'test', '--out', out], [gt], files, seconds=60))
    return partial(study_results.write_labels, out)


def stage_b(study: Study) -> study_results.Writer:
    """Pre-trainings, one seed each."""
    args, rows = study.args, []
    study.add(*study.worlds.wild(), *study.worlds.h36m())
    reference = study.mean_pose()
    for name in args.only:
        test = None if name == SCRATCH else study.order_tests(name, args.seed)
        pose = study.pose(name, 'all', args.seed, outdoors=False)['lab']
        label = 'scratch (ImageNet alone)' if name == SCRATCH else ROWS[name].label
        rows.append(study_results.Variant(name, label, test, pose))
    return partial(study_results.write_variants, rows, study.worlds.root, reference)


def stage_c(study: Study) -> study_results.Writer:
    """A few starts with several seeds."""
    args, cells, curve = study.args, {}, None
    study.add(*study.worlds.wild(), *study.worlds.h36m(), *study.worlds.multi_person())
    reference = study.mean_pose()
    starts = list(dict.fromkeys(args.starts))
    crossing = [] if args.no_cross_action else list(dict.fromkeys([*starts[:2], starts[-1]]))
    for seed in range(args.seeds):
        # Cross action is many trainings: one seed.
        for data in (*SHARES, 'root', *([] if seed else ACTIONS)):
            for start in crossing if data in ACTIONS else starts:
                if data == 'root':
                    tests = {'root': study.root(start, seed)}
                else:
                    tests = study.pose(start, data, seed, outdoors=data in SHARES)
                    if curve_of(start, data, seed):
                        curve = tests['lab'].parent
                for test, folder in tests.items():
                    cells.setdefault((data, test), {}).setdefault(start, {})[seed] = folder
    return partial(study_results.write_starts, cells, reference, curve)


STAGES = dict(A=stage_a, B=stage_b, C=stage_c)


def run(args: argparse.Namespace) -> None:
    study = Study(args, worlds_of(args))
    runner = Runner(args.work_dir / 'steps')
    write_result, stem = STAGES[args.stage](study), args.work_dir / f'stage_{args.stage.lower()}'

    def write(_: Step | None = None) -> None:
        done = {out for step in study.steps if step.name in runner.seconds for out in step.outputs}
        write_result(stem, study.head(), done)

    runner.run(study.steps, after=write)
    write()
    print(f'{stem}.md and .json')


if __name__ == '__main__':
    sys.exit(run_experiment(run, parse_args()))
