# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Table 4 in our numbers: one network, one schedule, three starts, with and without MCPC mixed in.

The paper compares training from scratch with relative-depth pre-training. Whether relative depth
helped, or just more people seen in 2D, shows in a row that the paper lacks: the same pre-training
without the depth loss.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from wsp_mm.apis.pose3d_study import PoseStudy
from wsp_mm.apis.rd_study import RelativeDepthStudy
from wsp_mm.apis.steps import Steps
from wsp_mm.evaluation.tables import TABLE_4_SCORES, markdown_table
from wsp_mm.utils.cli import load_config
from wsp_mm.utils.compat import machine
from wsp_mm.utils.files import write_text_atomic

COLUMNS = {**TABLE_4_SCORES, 'PA-MPJPE': 'PA-MPJPE_action_mean'}
PREFIX = 'h36m/'
REFERENCE = 'predicts the mean training pose'


@dataclass(frozen=True)
class Row:
    """One training of the table.

    Attributes:
        label: what stands in the table. data: what it is finetuned on.
        config: of the finetuning, without a start (from scratch) or with the required option
            ``pretrained``.
        pretraining: key of the checkpoint that it starts from, or None.
    """

    label: str
    data: str
    config: str
    pretraining: str | None = None

    @property
    def name(self) -> str:
        """For steps and folders: scratch-h36m, 2d-h36m-mcpc."""
        return f'{self.pretraining or "scratch"}-{self.data}'.lower().replace('+', '-')


def quickstart_rows(folder: str = 'configs/quickstart', backbone: str = 'r18') -> list[Row]:
    """The six rows at quickstart's size; ``folder='configs', backbone='r50'`` are the paper's."""
    rows = []
    for data, part in (('H36M', 'h36m'), ('H36M+MCPC', 'h36m_mcpc')):
        posenet, wsp = (f'{folder}/{method}_{part}_{backbone}.py' for method in ('posenet', 'wsp'))
        rows.append(Row('from scratch (PoseNet)', data, posenet))
        rows.append(Row('2D-only pre-training', data, wsp, '2d'))
        rows.append(Row('WSP pre-training', data, wsp, 'wsp'))
    return rows


def pretrain(
    steps: Steps,
    configs: Mapping[str, str],
    data_root: str,
    work_dir: Path,
    options: Sequence[str] = (),
) -> dict[str, Path]:
    """Make the checkpoints that rows start from; a repeated call does only what has changed.

    Args:
        configs: key of the checkpoint -> config of its pre-training on MCPC.

    Returns:
        key -> checkpoint.
    """

    def job(key: str, config: str) -> Path:
        study = RelativeDepthStudy(
            steps,
            f'pretrain-{key}',
            config,
            data_root,
            work_dir / f'pretrain-{key}',
            options=options,
        )
        study.train(depends=load_config(steps.root / config).pretty_text)
        return study.last_checkpoint()

    jobs = [partial(job, key, config) for key, config in configs.items()]
    return dict(zip(configs, steps.together(jobs), strict=True))


def run_table4(
    steps: Steps,
    rows: Sequence[Row],
    checkpoints: Mapping[str, Path],
    data_root: str,
    work_dir: Path,
    seeds: Sequence[int] = (0,),
    options: Sequence[str] = (),
    reference: str | None = None,
    beside: Sequence[Callable[[], object]] = (),
) -> Table4:
    """Finetune and test every row under every seed; a repeated call goes on where the last one
    stopped.

    Seed by seed, so that the table is whole after the first, and as many rows at a time as there
    are cores; ``work_dir/table4.md`` and ``.json`` are written after each training.

    Args:
        steps: the chain that runs and remembers commands.
        checkpoints: key of :class:`Row` -> checkpoint. One pre-training serves all seeds: the
            spread is that of finetuning alone, and the page says so.
        options: ``--cfg-options`` of every training and test.
        reference: a config; predicting its mean training pose becomes the first line. None: no such
            line.
        beside: other jobs of the chain, which run along with the first seed's.

    Raises:
        KeyError: a row starts from a checkpoint that is not among ``checkpoints``.
        StepFailed: a command failed; what is done stays done.
    """
    missing = sorted({row.pretraining for row in rows if row.pretraining} - set(checkpoints))
    if missing:
        raise KeyError(
            f'no checkpoint for the pre-trainings {missing}; there are {sorted(checkpoints)}'
        )
    table = Table4(list(rows), {}, {}, {}, None)
    lock = threading.Lock()

    def write() -> None:
        folder = steps.root / work_dir
        write_text_atomic(folder / 'table4.json', json.dumps(table.plain(), indent=2))
        write_text_atomic(folder / 'table4.md', page(table, data_root, options))

    def train(row: Row, seed: int) -> None:
        study = row_study(steps, row, checkpoints, data_root, work_dir, seed, options)
        study.train()
        scores = study.test()
        with lock:
            table.scores.setdefault(row.name, {})[seed] = scores
            table.seconds.setdefault(row.name, {})[seed] = study.seconds
            table.dumps.setdefault(row.name, {})[seed] = study.dump
            write()

    def refer() -> None:
        table.reference = mean_pose_scores(steps, reference, data_root, work_dir, options)

    more = list(beside) + ([refer] if reference is not None else [])
    for seed in seeds:
        steps.together([*(partial(train, row, seed) for row in rows), *more])
        more = []
    write()
    return table


def row_study(
    steps: Steps,
    row: Row,
    checkpoints: Mapping[str, Path],
    data_root: str,
    work_dir: Path,
    seed: int,
    options: Sequence[str] = (),
) -> PoseStudy:
    """The training and test behind one row and seed."""
    return PoseStudy(
        steps,
        f'{row.name}-seed{seed}',
        row.config,
        data_root,
        work_dir / f'{row.name}-seed{seed}',
        options=[f'randomness.seed={seed}', *options],
        pretrained=checkpoints[row.pretraining] if row.pretraining else None,
    )


def mean_pose_scores(
    steps: Steps, config: str, data_root: str, work_dir: Path, options: Sequence[str] = ()
) -> dict[str, float]:
    """Scores of the mean training pose of a config (tools/analysis_tools/mean_pose.py), as one
    step.
    """
    from wsp_mm.apis.pose3d_study import data_files

    loaded = load_config(steps.root / config)
    out = work_dir / 'mean_pose.json'
    command = ['tools/analysis_tools/mean_pose.py', config, '--out', out]
    steps.run(
        'mean-pose',
        [*command, *(['--cfg-options', *options] if options else [])],
        reads=data_files(loaded, steps.root, data_root),
        writes=[out],
        depends=f'data: {data_root}\n{loaded.pretty_text}',
        env={'WSP_DATA': data_root},
    )
    return json.loads((steps.root / out).read_text())


@dataclass
class Table4:
    """What the trainings of the table gave.

    Attributes:
        rows: in order. scores: row name -> seed -> flat metrics. seconds: row name -> seed ->
            training time.
        dumps: row name -> seed -> predictions, relative to the chain's root.
        reference: flat metrics of predicting the mean training pose, or None.
    """

    rows: list[Row]
    scores: dict[str, dict[int, dict[str, float]]]
    seconds: dict[str, dict[int, float]]
    dumps: dict[str, dict[int, Path]]
    reference: dict[str, float] | None

    @property
    def seeds(self) -> list[int]:
        """Seeds under which anything was trained."""
        return sorted({seed for by_seed in self.scores.values() for seed in by_seed})

    def summary(self, name: str, score: str) -> tuple[float, float]:
        """Mean and sample standard deviation over the seeds of a row; the latter is nan for a
        single seed.
        """
        values = [float(scores[f'{PREFIX}{score}']) for scores in self.scores[name].values()]
        spread = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
        return float(np.mean(values)), spread

    def lines(self) -> tuple[list[str], list[list]]:
        """Header and rows of the table; several seeds as ``mean ± spread``."""
        lines = []
        if self.reference is not None:
            values = [float(self.reference[f'{PREFIX}{score}']) for score in COLUMNS.values()]
            lines.append([REFERENCE, '', *values, '-', '-'])
        for row in self.rows:
            if row.name not in self.scores:
                continue
            cells = [_cell(*self.summary(row.name, score)) for score in COLUMNS.values()]
            seconds = float(np.mean(list(self.seconds[row.name].values())))
            lines.append(
                [row.label, row.data, *cells, len(self.scores[row.name]), f'{seconds / 60:.1f}']
            )
        return ['mm', 'trained on', *COLUMNS, 'seeds', 'min'], lines

    def plain(self) -> dict:
        """Everything as json: rows with their seeds' scores, mean and spread; nan is None."""
        rows = []
        for row in self.rows:
            if row.name in self.scores:
                summary = {
                    column: self.summary(row.name, score) for column, score in COLUMNS.items()
                }
                rows.append(
                    {
                        **asdict(row),
                        'mean': {column: _known(mean) for column, (mean, _) in summary.items()},
                        'spread': {
                            column: _known(spread) for column, (_, spread) in summary.items()
                        },
                        'seconds': self.seconds[row.name],
                        'scores': {
                            seed: _plain(scores) for seed, scores in self.scores[row.name].items()
                        },
                    }
                )
        return dict(reference=None if self.reference is None else _plain(self.reference), rows=rows)


def page(table: Table4, data_root: str, options: Sequence[str]) -> str:
    """The markdown page of the rows that have run."""
    lines = [
        '# Table 4 in our numbers',
        '',
        f'Data `{data_root}`'
        + (f', options `{" ".join(options)}`' if options else '')
        + f'; {machine()}.',
        '',
        reading(table),
        '',
        *markdown_table(*table.lines()),
    ]
    return '\n'.join(lines) + '\n'


def reading(table: Table4) -> str:
    """What the columns are, and how far the figures can be trusted."""
    count = len(table.seeds)
    seeds = (
        'One seed: a difference of a few mm may be chance.'
        if count <= 1
        else f'{count} seeds: mean ± sample standard deviation over finetunings; all start from the same '
        'pre-trained weights, so what another pre-training would change is not in it.'
    )
    return (
        'MPJPE in mm, root joints made to coincide. Action Avg: mean over the actions. Joints Avg: mean over '
        'all samples and joints. X, Y, Z: mean absolute error along a camera axis. |(X, Y, Z)|: the length of '
        'that vector, which is what the paper prints under "Joints Avg". PA-MPJPE: aligned by rotation and '
        f'translation, mean over the actions. min: training time, testing not counted. {seeds}'
    )


def _cell(mean: float, spread: float) -> float | str:
    return mean if math.isnan(spread) else f'{mean:.1f} ± {spread:.1f}'


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _plain(scores: Mapping[str, float]) -> dict[str, float | None]:
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in scores.items()}
