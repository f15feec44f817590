# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The chain behind ``make quickstart``."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from wsp_mm.apis.data import SOURCES, make_data, make_lab
from wsp_mm.apis.mupots_report import add_mupots_sections
from wsp_mm.apis.mupots_study import MuPoTSResults, identity
from wsp_mm.apis.pose3d_report import add_pose3d_sections
from wsp_mm.apis.rd_report import write_rd_report
from wsp_mm.apis.rd_study import PROTOCOLS, RelativeDepthStudy
from wsp_mm.apis.steps import Steps
from wsp_mm.apis.table4 import Table4, pretrain, quickstart_rows, run_table4
from wsp_mm.utils.cli import load_config
from wsp_mm.utils.compat import machine
from wsp_mm.visualization.report import Report

NOISE = 'label_noise'  # folder of that step


@dataclass
class Quickstart:
    """What the chain has made, ready to be reported.

    Attributes:
        study: the relative-depth network, tested. table: of the 3D finetunings.
        work_dir: of the whole chain, relative to its root. notes: lines of the report's first
            table.
    """

    study: RelativeDepthStudy
    table: Table4
    work_dir: Path
    notes: dict[str, str]

    def write_report(self) -> dict[str, float]:
        """Write ``report.html``, ``.md`` and ``.json``; returns the figures of the latter.

        What ``make quickstart-mupots`` found is in it as long as it comes from the same
        pre-training.
        """
        root = self.study.steps.root
        folder = root / self.work_dir
        noise = json.loads((folder / NOISE / 'label_noise.json').read_text())
        mupots = MuPoTSResults.load(folder / 'mupots' / 'results.json')
        if mupots is not None and mupots.start != identity(root / self.study.last_checkpoint()):
            mupots = None

        def more(report: Report) -> dict[str, float | None]:
            figures = add_pose3d_sections(report, self.table, root, notes=[POSE_NOTE])
            return figures if mupots is None else figures | add_mupots_sections(report, mupots)

        plot = (folder / NOISE / 'label_noise.png').read_bytes()
        return write_rd_report(self.study, folder, self.notes, (noise, plot), more=more)


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
) -> Quickstart:
    """Everything from an empty folder to what the report needs; a repeated call does only what has
    changed.

    Args:
        options: ``--cfg-options`` of the pre-trainings. pose_options: of the finetunings.

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
    # The 2D-only control: the same pictures, schedule and heatmaps, without the relative-depth
    # loss.
    flat = {'2d': config.removesuffix('.py') + '_2d.py'}
    _, checkpoints = steps.together(
        [
            lambda: study.train(depends=load_config(root / config).pretty_text),
            lambda: pretrain(steps, flat, data_root, work_dir, study.options),
        ]
    )
    checkpoints['wsp'] = study.last_checkpoint()
    rows = [row for row in quickstart_rows() if row.data == 'H36M']
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
            partial(measure_noise, steps, data_root, work_dir / NOISE),
        ],
    )
    notes = {
        'config': f'{config} {" ".join(study.options)}',
        'world': f'preset {preset}, seed {seed}',
        'machine': machine(),
        **{f'time: {name}': f'{seconds:.0f} s' for name, seconds in steps.seconds.items()},
        'time: this run by the clock': f'{time.monotonic() - start:.0f} s (steps run side by side)',
    }
    return Quickstart(study, table, work_dir, notes)


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
