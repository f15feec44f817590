# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The chain behind ``make quickstart``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from wsp_mm.apis.data import SOURCES, make_data, make_lab
from wsp_mm.apis.pose3d_report import add_pose3d_sections
from wsp_mm.apis.rd_report import write_rd_report
from wsp_mm.apis.rd_study import PROTOCOLS, RelativeDepthStudy
from wsp_mm.apis.steps import Steps
from wsp_mm.apis.table4 import Table4, pretrain, quickstart_rows, run_table4
from wsp_mm.utils.config import load_config
from wsp_mm.utils.machine import machine


def run_quickstart(
    root: Path,
    config: str,
    preset: str,
    data_root: str,
    work_dir: Path,
    seed: int,
    workers: int,
    options: Sequence[str] = (),
    pose_options: Sequence[str] = (),
) -> dict[str, float]:
    """Everything from an empty folder to the report; a repeated call does only what has changed.

    Args:
        options: ``--cfg-options`` of the pre-trainings. pose_options: of the finetunings.

    Returns:
        The figures of ``report.json``.

    Raises:
        StepFailed: a command failed.
    """
    steps = Steps(root / work_dir / 'steps', root)
    make_data(steps, preset, data_root, seed, workers)
    study = RelativeDepthStudy(
        steps,
        'pretrain',
        config,
        data_root,
        work_dir / 'pretrain',
        options=[f'randomness.seed={seed}', *options],
    )
    study.train(depends=load_config(root / config).pretty_text)
    for protocol in PROTOCOLS:
        study.test(protocol)
    noise_dir = work_dir / 'label_noise'
    steps.run(
        'label-noise',
        ['tools/analysis_tools/label_noise.py', '--world', data_root, '--out', noise_dir],
        reads=[Path(data_root) / 'truth' / f'truth_{source}_train.npz' for source in SOURCES],
        writes=[noise_dir / 'label_noise.json', noise_dir / 'label_noise.png'],
    )
    first_half = sum(steps.seconds.values())
    table = finetune(steps, study, preset, work_dir, seed, workers, pose_options)
    noise = json.loads((root / noise_dir / 'label_noise.json').read_text())
    notes = {
        'config': f'{config} {" ".join(study.options)}',
        'world': f'preset {preset}, seed {seed}',
        'machine': machine(),
        **{f'time: {name}': f'{seconds:.0f} s' for name, seconds in steps.seconds.items()},
        'time: relative depth': f'{first_half:.0f} s',
        'time: 3D': f'{sum(steps.seconds.values()) - first_half:.0f} s',
    }
    plot = (root / noise_dir / 'label_noise.png').read_bytes()
    return write_rd_report(
        study,
        root / work_dir,
        notes,
        (noise, plot),
        more=lambda report: add_pose3d_sections(report, table, root, notes=[POSE_NOTE]),
    )


POSE_NOTE = (
    "Finetuned and tested on the lab world, whose layout is Human3.6M's (Subject Protocol 1): the same data, "
    'steps and seed for every row, only the start differs. The 2D-only pre-training is the control that the '
    'paper lacks: the same pictures, schedule and heatmaps, without the relative-depth loss.'
)


def finetune(
    steps: Steps,
    study: RelativeDepthStudy,
    preset: str,
    work_dir: Path,
    seed: int,
    workers: int,
    options: Sequence[str],
) -> Table4:
    """The 3D half: the 2D-only control of the pre-training, the lab world, and one finetuning a start."""
    flat = {'2d': study.config.removesuffix('.py') + '_2d.py'}
    checkpoints = pretrain(steps, flat, study.data_root, work_dir, study.options)
    checkpoints['wsp'] = study.last_checkpoint()
    make_lab(steps, preset, study.data_root, seed, workers)
    rows = [row for row in quickstart_rows() if row.data == 'H36M']
    return run_table4(
        steps,
        rows,
        checkpoints,
        study.data_root,
        work_dir / 'pose3d',
        seeds=(seed,),
        options=options,
        reference=rows[0].config,
    )
