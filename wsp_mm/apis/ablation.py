# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The ablation behind ``make ablation``: one switch at a time around the quickstart's training."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

from wsp_mm.apis.data import make_data
from wsp_mm.apis.rd_study import PROTOCOLS, RelativeDepthStudy
from wsp_mm.apis.steps import Steps
from wsp_mm.evaluation.tables import control_rows
from wsp_mm.utils.cli import load_config
from wsp_mm.utils.compat import machine
from wsp_mm.utils.files import write_text_atomic
from wsp_mm.visualization.report import markdown_table

# name -> (what it is, --cfg-options, whether training pictures are turned by any angle)
VARIANTS: dict[str, tuple[str, list[str], bool]] = {
    'base': ('alpha 1, pooling mean, literal L2, upright', [], False),
    'alpha50': ('alpha 50', ['model.head.alpha=50.0'], False),
    'normalized': ('pooling normalized', ['model.head.pooling=normalized'], False),
    'squared': ('squared L2', ['model.head.heatmap_loss.squared=True'], False),
    'rotated': ('rotated by any angle in training', [], True),
    '2d': ('2D only (alpha 0)', ['model.head.alpha=0.0'], False),
}


def rotation_options(config) -> list[str]:
    """Options that turn every training picture by up to 180 degrees.

    Raises:
        ValueError: the training pipeline has no ``PairRandomBBoxTransform``.
    """
    pipeline = config.train_dataloader.dataset.pipeline
    places = [
        i for i, transform in enumerate(pipeline) if transform['type'] == 'PairRandomBBoxTransform'
    ]
    if not places:
        raise ValueError(
            f'{config.filename} has no PairRandomBBoxTransform in its training pipeline'
        )
    prefix = f'train_dataloader.dataset.pipeline.{places[0]}'
    return [f'{prefix}.rotate_factor=180.0', f'{prefix}.rotate_prob=1.0']


def run_ablation(
    root: Path,
    config: str,
    data_root: str,
    work_dir: Path,
    out: Path,
    names: list[str],
    seed: int,
    workers: int,
    options: list[str],
) -> dict[str, dict[str, dict[str, float]]]:
    """Train and test every variant, as many at a time as there are cores, and write the tables
    after each one.

    Returns:
        variant -> control table.

    Raises:
        StepFailed: a command failed; what is done stays done.
    """
    steps = Steps(root / work_dir / 'steps', root)
    make_data(steps, 'small', data_root, seed, workers)
    loaded = load_config(root / config)
    tables: dict[str, dict[str, dict[str, float]]] = {}
    metrics: dict[str, dict[str, float]] = {}
    lock = threading.Lock()

    def train_and_test(name: str) -> None:
        _, switches, rotated = VARIANTS[name]
        switches = switches + (rotation_options(loaded) if rotated else [])
        study = RelativeDepthStudy(
            steps,
            name,
            config,
            data_root,
            work_dir / name,
            options=[f'randomness.seed={seed}', *switches, *options],
        )
        study.train(depends=loaded.pretty_text)
        for protocol in PROTOCOLS:
            study.test(protocol)
        controls = study.controls(root / data_root / 'truth')
        with lock:
            tables[name], metrics[name] = controls, study.metrics()
            ordered = {name: tables[name] for name in names if name in tables}
            write_text_atomic(out, results_page(ordered, metrics, steps, config, options))

    steps.together([partial(train_and_test, name) for name in names])
    return tables


def results_page(
    tables: dict[str, dict[str, dict[str, float]]],
    metrics: dict[str, dict[str, float]],
    steps: Steps,
    config: str,
    options: list[str],
) -> str:
    """The markdown page of the variants that have run."""
    summary = [
        [
            VARIANTS[name][0],
            metrics[name]['pck/PCK'],
            table['network, protocol 1']['auc_gap1'],
            table['network, protocol 1']['auc_gap0.1'],
            table['network, grey picture']['auc_gap1'],
            table['network, grey picture']['auc_gap0.1'],
            table['network, protocol 1'].get('gt_pairs', float('nan')),
            f'{steps.seconds[f"{name}-train"]:.0f} s',
        ]
        for name, table in tables.items()
    ]
    header = [
        'variant',
        'PCK',
        'AUC',
        'AUC, gap <= 0.1',
        'grey AUC',
        'grey AUC, gap <= 0.1',
        'truth',
        'training',
    ]
    lines = [
        '# Results on the embedded world',
        '',
        'Written by `make ablation`. Nothing here was trained on real pictures: the tables tell which switch '
        'does what, not what the method reaches. One training per row and one seed: differences of a point or '
        'two are noise.',
        '',
        f'Config `{config}`'
        + (f' with `{" ".join(options)}`' if options else '')
        + f'; {machine()}.',
        '',
        '## All variants',
        '',
        'PCK: 2D keypoints within 0.1 of the box height. AUC: against the perspective label, joint by joint, '
        'upright test pictures. Grey: the same checkpoint on grey pictures. Truth: agreement with the true '
        'order of the pelvises.',
        '',
        *markdown_table(header, summary),
    ]
    for name, table in tables.items():
        lines += ['', f'## {VARIANTS[name][0]}', '', *markdown_table(*control_rows(table))]
    return '\n'.join(lines) + '\n'
