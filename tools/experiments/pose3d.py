# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Table 4 in our numbers: its finetunings as steps, their scores, and their part of a report."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from networks import evaluation, mean_pose, metrics, training
from report import Report
from runner import Runner, Step

from wsp_mm.evaluation.tables import (
    TABLE_4,
    TABLE_4_COLUMNS,
    TABLE_4_SCORES,
    Scores,
    Table,
    table_5,
    without_prefix,
)
from wsp_mm.visualization.figures import encode_image, pose_cases, pose_grid

#: Pre-trainings by key: folder (and name), config.
PRETRAININGS = {
    'wsp': ('pretrain', 'configs/quickstart/wsp_pretrain_lite0.py'),
    '2d': ('pretrain-2d', 'configs/quickstart/wsp_pretrain_lite0_2d.py'),
}
COLUMNS = {**TABLE_4_SCORES, 'PA-MPJPE': 'PA-MPJPE_action_mean'}
REFERENCE = 'predicts the mean training pose'
# Of the paper's rows.
LABELS = {'PoseNet': 'from scratch (PoseNet)', 'WSP': 'WSP pre-training'}
#: Of ours: the start from ImageNet alone stands for the paper's "from scratch".
SCRATCH = 'ImageNet alone (PoseNet)'


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        label: its name in the table. data: what it is finetuned on.
        config: of the finetuning; with ``model.init_cfg`` where it starts from a checkpoint.
        pretraining: key of the checkpoint that it starts from, or None.
    """

    label: str
    data: str
    config: str
    pretraining: str | None = None

    @property
    def name(self) -> str:
        """Of steps and folders: scratch-h36m, 2d-h36m-mcpc."""
        return f'{self.pretraining or "scratch"}-{self.data}'.lower().replace('+', '-')


ROWS = [
    Row(label, data, f'configs/quickstart/{method}_{part}_lite0.py', key)
    for data, part in (('H36M', 'h36m'), ('H36M+MCPC', 'h36m_mcpc'))
    for label, method, key in (
        (SCRATCH, 'posenet', None),
        ('2D-only pre-training', 'wsp', '2d'),
        ('WSP pre-training', 'wsp', 'wsp'),
    )
]


def pretrain(
    keys: Iterable[str], work_dir: Path, options: Sequence[str]
) -> tuple[list[Step], dict[str, Path]]:
    """The pre-trainings of these keys as steps; and key -> checkpoint."""
    steps, checkpoints = [], {}
    for key in keys:
        name, config = PRETRAININGS[key]
        step, checkpoints[key] = training(name, config, work_dir / name, options, seconds=150)
        steps.append(step)
    return steps, checkpoints


def finetune(
    rows: Sequence[Row],
    checkpoints: Mapping[str, Path],
    work_dir: Path,
    seeds: Iterable[int] = (0,),
    options: Sequence[str] = (),
) -> list[Step]:
    """Training and test of all rows, seed by seed, so that the table is whole after the first, and
    the mean pose that they are compared with.

    Args:
        checkpoints: key of a pre-training -> checkpoint. One serves all seeds: the spread is that
            of finetuning alone.
        options: ``--cfg-options`` of every training and test.

    Raises:
        KeyError: a row starts from a checkpoint that is not among ``checkpoints``.
    """
    steps = []
    for seed in seeds:
        for row in rows:
            name = f'{row.name}-seed{seed}'
            start = checkpoints[row.pretraining] if row.pretraining else None
            both = [f'randomness.seed={seed}', *options]
            step, checkpoint = training(name, row.config, work_dir / name, both, start)
            out = work_dir / name / 'test'
            steps += [step, evaluation(f'{name}-test', row.config, checkpoint, out, both)]
    return [*steps, mean_pose(rows[0].config, work_dir / 'mean_pose.json', options)]


@dataclass
class Results:
    """The rows that have run.

    Attributes:
        rows: in order.
        scores: row name -> seed -> scores of the functional layer.
        seconds: row name -> seed -> training time. folders: row name -> seed -> folder of the test.
        reference: scores of predicting the mean training pose, if that has run.
    """

    rows: Sequence[Row]
    scores: dict[str, dict[int, Scores]] = field(default_factory=dict)
    seconds: dict[str, dict[int, float]] = field(default_factory=dict)
    folders: dict[str, dict[int, Path]] = field(default_factory=dict)
    reference: Scores | None = None

    @classmethod
    def gather(
        cls, rows: Sequence[Row], seeds: Iterable[int], work_dir: Path, runner: Runner
    ) -> 'Results':
        """What those steps of :func:`finetune` gave that are done."""
        results = cls(rows)
        for name, seed in ((row.name, seed) for row in rows for seed in seeds):
            if f'{name}-seed{seed}-test' in runner.seconds:
                folder = work_dir / f'{name}-seed{seed}' / 'test'
                seconds = runner.seconds[f'{name}-seed{seed}-train']
                scores = without_prefix(metrics(folder), 'h36m/')
                results.scores.setdefault(name, {})[seed] = scores
                results.seconds.setdefault(name, {})[seed] = seconds
                results.folders.setdefault(name, {})[seed] = folder
        results.rows = [row for row in rows if row.name in results.scores]
        if 'mean-pose' in runner.seconds:
            reference = json.loads((work_dir / 'mean_pose.json').read_text())
            results.reference = without_prefix(reference, 'h36m/')
        return results

    @property
    def seeds(self) -> list[int]:
        """Seeds under which anything was trained."""
        return sorted({seed for by_seed in self.scores.values() for seed in by_seed})

    def summary(self, row: Row) -> tuple[dict[str, float], dict[str, float]]:
        """Column -> mean over the seeds, and sample standard deviation, nan for a single seed."""
        every = self.scores[row.name].values()
        values = np.array([[scores[key] for key in COLUMNS.values()] for scores in every])
        spread = values.std(axis=0, ddof=1) if len(values) > 1 else np.full(len(COLUMNS), np.nan)
        return tuple(dict(zip(COLUMNS, v.tolist(), strict=True)) for v in (values.mean(0), spread))

    def table(self) -> Table:
        """The table; several seeds as ``mean ± spread``."""
        rows = []
        if self.reference is not None:
            values = [float(self.reference[key]) for key in COLUMNS.values()]
            rows.append([REFERENCE, '', *values, '-', '-'])
        for row in self.rows:
            mean, spread = self.summary(row)
            seconds = list(self.seconds[row.name].values())
            values = [
                f'{mean[c]:.1f} ± {spread[c]:.1f}' if len(seconds) > 1 else mean[c] for c in COLUMNS
            ]
            more = [len(seconds), f'{np.mean(seconds) / 60:.1f}']
            rows.append([row.label, row.data, *values, *more])
        return ['mm', 'trained on', *COLUMNS, 'seeds', 'min'], rows

    def plain(self) -> dict:
        """Everything for json: rows with their seeds' scores, mean and spread."""
        rows = []
        for row in self.rows:
            mean, spread = self.summary(row)
            more = dict(seconds=self.seconds[row.name], scores=self.scores[row.name])
            rows.append(dict(asdict(row), mean=mean, spread=spread, **more))
        return dict(reference=self.reference, rows=rows)

    def shares(self) -> dict[str, float]:
        """Row name -> its MPJPE (pooled, mean over seeds) as a share of the mean pose's."""
        if self.reference is None:
            return {}
        floor = float(self.reference['MPJPE'])
        return {row.name: self.summary(row)[0]['Joints Avg'] / floor for row in self.rows}

    def figures(self) -> dict[str, float]:
        """Flat figures: ``3d/ROW/COLUMN`` (mean over seeds), ``3d/mean_pose/...`` and
        ``3d/ROW/of_mean_pose``, see :meth:`shares`.
        """
        flat = {
            f'3d/{row.name}/{column}': mean
            for row in self.rows
            for column, mean in self.summary(row)[0].items()
        }
        if self.reference is not None:
            names = ('MPJPE', 'X', 'Y', 'Z')
            flat |= {f'3d/mean_pose/{name}': self.reference[name] for name in names}
        return flat | {f'3d/{name}/of_mean_pose': share for name, share in self.shares().items()}

    def reading(self) -> str:
        """What the columns are, and how far the figures can be trusted."""
        count = len(self.seeds)
        seeds = (
            'One seed: a difference of a few mm may be chance.'
            if count <= 1
            else f'{count} seeds: mean ± sample standard deviation over finetunings; all start '
            'from the same pre-trained weights, so what another pre-training would change is not '
            'in it.'
        )
        return (
            'MPJPE in mm, roots made to coincide. Action Avg: mean over the actions. Joints Avg: '
            'mean over all samples and joints. X, Y, Z: mean absolute error along a camera axis. '
            '|(X, Y, Z)|: the length of that vector, which is what the paper prints under "Joints '
            'Avg". PA-MPJPE: aligned by rotation and translation, mean over the actions. min: '
            f'training time, testing not counted. {seeds}'
        )


def add_sections(report: Report, results: Results, images: int = 8) -> None:
    """Add the 3D sections to a report.

    Args:
        images: persons of the test set that are shown, with the predictions of the last row under
            the first seed.
    """
    report.heading('3D pose: Table 4 in our numbers')
    report.text(
        'Finetuned and tested on the Human3.6M-layout world (Subject Protocol 1): the same data, '
        'steps and seed for every row, only the start differs. All starts begin with ImageNet '
        "weights and frozen first stages, and none has seen labels of 3D poses: the rows' names "
        'say what came between. The 2D-only pre-training is the control that the paper lacks: the '
        'same images, schedule and heatmaps, without the relative-depth loss.'
    )
    report.table(*results.table())
    report.text(results.reading())
    labels = {row.name: f'{row.label}, {row.data}' for row in results.rows}
    parts = [f'{labels[name]}: {share:.2f}' for name, share in results.shares().items()]
    report.text(
        f'"{REFERENCE}" gives everybody the mean root-relative pose of the training samples, in '
        'the camera frame, without looking. Joints Avg as a share of its error: '
        f'{"; ".join(parts)}.'
    )
    rows = [[LABELS[method], data, *printed] for (method, data), printed in TABLE_4.items()]
    report.table(['mm, printed in the paper', 'trained on', *TABLE_4_COLUMNS], rows)
    report.text(
        'Printed in the paper (real data, ResNet-50, 25 epochs): no target here. Its text says '
        '48.7 where the table has 47.5.'
    )
    seed, rows = results.seeds[0], []
    for row in results.rows:
        header, lines = table_5(results.scores[row.name][seed])
        rows += [[f'{labels[row.name]}: {line[0]}', *line[1:]] for line in lines[:2]]
    report.heading("Actions (the layout of Table 5; '-': does not occur in this world's test set)")
    report.table(header, rows)
    row = results.rows[-1]
    cases = pose_cases(results.folders[row.name][seed] / 'predictions.npz', images)
    report.heading('Predictions')
    report.figure(
        'pose3d',
        encode_image(pose_grid(cases)),
        f'{labels[row.name]}, seed {seed}: {len(cases)} persons spread evenly over the test set, '
        'with their MPJPE. Gray: ground truth; colours: prediction (left green, right orange), '
        'roots made to coincide.',
    )
