# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The chain behind ``make quickstart``."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from wsp_mm.apis.data import SOURCES, make_data, make_lab
from wsp_mm.apis.pose3d_report import add_pose3d_sections
from wsp_mm.apis.rd_report import write_rd_report
from wsp_mm.apis.rd_study import PROTOCOLS, RelativeDepthStudy
from wsp_mm.apis.steps import Steps
from wsp_mm.apis.table4 import pretrain, quickstart_rows, run_table4
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
    start = time.monotonic()
    make_data(steps, preset, data_root, seed, workers)
    make_lab(steps, preset, data_root, seed, workers)
    study = RelativeDepthStudy(
        steps,
        'pretrain',
        config,
        data_root,
        work_dir / 'pretrain',
        options=[f'randomness.seed={seed}', *options],
    )
    # The 2D-only control: the same pictures, schedule and heatmaps, without the relative-depth loss.
    flat = {'2d': config.removesuffix('.py') + '_2d.py'}
    _, checkpoints = steps.together(
        [
            lambda: study.train(depends=load_config(root / config).pretty_text),
            lambda: pretrain(steps, flat, data_root, work_dir, study.options),
        ]
    )
    checkpoints['wsp'] = study.last_checkpoint()
    rows = [row for row in quickstart_rows() if row.data == 'H36M']
    noise_dir = work_dir / 'label_noise'
    table = run_table4(
        steps,
        rows,
        checkpoints,
        data_root,
        work_dir / 'pose3d',
        seeds=(seed,),
        options=pose_options,
        reference=rows[0].config,
        beside=[
            *(partial(study.test, protocol) for protocol in PROTOCOLS),
            partial(measure_noise, steps, data_root, noise_dir),
        ],
    )
    notes = {
        'config': f'{config} {" ".join(study.options)}',
        'world': f'preset {preset}, seed {seed}',
        'machine': machine(),
        **{f'time: {name}': f'{seconds:.0f} s' for name, seconds in steps.seconds.items()},
        'time: this run by the clock': f'{time.monotonic() - start:.0f} s (steps run side by side)',
    }
    noise = json.loads((root / noise_dir / 'label_noise.json').read_text())
    plot = (root / noise_dir / 'label_noise.png').read_bytes()
    return write_rd_report(
        study,
        root / work_dir,
        notes,
        (noise, plot),
        more=lambda report: add_pose3d_sections(report, table, root, notes=[POSE_NOTE]),
    )


def measure_noise(steps: Steps, data_root: str, out: Path) -> None:
    """How often the perspective rule contradicts the world's truth, as a step."""
    steps.run(
        'label-noise',
        ['tools/analysis_tools/label_noise.py', '--world', data_root, '--out', out],
        reads=[Path(data_root) / 'truth' / f'truth_{source}_train.npz' for source in SOURCES],
        writes=[out / 'label_noise.json', out / 'label_noise.png'],
    )


POSE_NOTE = (
    "Finetuned and tested on the lab world, whose layout is Human3.6M's (Subject Protocol 1): the same data, "
    'steps and seed for every row, only the start differs. The 2D-only pre-training is the control that the '
    'paper lacks: the same pictures, schedule and heatmaps, without the relative-depth loss.'
)
