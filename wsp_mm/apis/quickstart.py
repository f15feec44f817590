# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The chain behind ``make quickstart``."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path

from wsp_mm.apis.rd_study import PROTOCOLS, RelativeDepthStudy
from wsp_mm.apis.steps import Steps

SOURCES = ('coco', 'mpii', 'posetrack18', 'crowdpose')


def make_data(
    steps: Steps, preset: str, data_root: str, seed: int, workers: int, slug: str = ''
) -> tuple[float, float]:
    """Render the world and gather MCPC from it; returns the seconds of both."""
    world = steps.run(
        f'{slug}world',
        ['tools/make_world.py', '--preset', preset, '--out', data_root, '--seed', seed, '--workers', workers],
        writes=[Path(data_root) / source for source in SOURCES] + [Path(data_root) / 'truth'],
    )
    folders = [text for source in SOURCES for text in (f'--{source}', Path(data_root) / source)]
    out = Path(data_root) / 'mcpc'
    mcpc = steps.run(
        f'{slug}mcpc',
        ['tools/dataset_converters/build_mcpc.py', *folders, '--out', out],
        reads=[Path(data_root) / 'coco/annotations/person_keypoints_train2017.json'],
        writes=[out / 'mcpc_train.json', out / 'mcpc_test.json'],
    )
    return world, mcpc


def fast_cpu_env() -> dict[str, str]:
    """Environment that lets oneDNN compute float32 convolutions in bfloat16 where the processor can.

    Without a GPU this is most of the speed; processors without bfloat16 ignore it.
    """
    return {'ONEDNN_DEFAULT_FPMATH_MODE': 'BF16'}


def run_quickstart(
    root: Path,
    config: str,
    preset: str,
    data_root: str,
    work_dir: Path,
    seed: int,
    workers: int,
    options: Sequence[str] = (),
) -> dict[str, float]:
    """Everything from an empty folder to the report; a repeated call does only what has changed.

    Returns:
        The figures of ``report.json``.

    Raises:
        StepFailed: a command failed.
    """
    from wsp_mm.utils.config import load_config

    steps = Steps(root / work_dir / 'steps', root)
    make_data(steps, preset, data_root, seed, workers)
    study = RelativeDepthStudy(
        steps,
        'pretrain',
        config,
        data_root,
        work_dir / 'pretrain',
        options=[f'randomness.seed={seed}', *options],
        env=fast_cpu_env(),
    )
    study.train(depends=load_config(root / config).pretty_text)
    for protocol in PROTOCOLS:
        study.test(protocol)
    noise_dir = work_dir / 'label_noise'
    steps.run(
        'label-noise',
        ['tools/analysis_tools/label_noise.py', '--world', data_root, '--out', noise_dir],
        writes=[noise_dir / 'label_noise.json', noise_dir / 'label_noise.png'],
    )
    from wsp_mm.apis.rd_report import write_rd_report

    noise = json.loads((root / noise_dir / 'label_noise.json').read_text())
    notes = {
        'config': f'{config} {" ".join(study.options)}',
        'world': f'preset {preset}, seed {seed}',
        'machine': machine(),
        **{f'time: {name}': f'{seconds:.0f} s' for name, seconds in steps.seconds.items()},
    }
    plot = (root / noise_dir / 'label_noise.png').read_bytes()
    return write_rd_report(study, root / work_dir, notes, (noise, plot))


def machine() -> str:
    """One line that says what the figures were measured on."""
    import torch

    name = platform.processor() or platform.machine()
    cpuinfo = Path('/proc/cpuinfo')
    if cpuinfo.is_file():
        models = [
            line.split(':', 1)[1].strip() for line in cpuinfo.read_text().splitlines() if 'model name' in line
        ]
        name = models[0] if models else name
    gpu = f', {torch.cuda.get_device_name()}' if torch.cuda.is_available() else ', no GPU'
    return f'{os.cpu_count()} cores of {name}{gpu}, torch {torch.__version__}'
