# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Trainings and tests as steps: the commands that a user would type."""

import argparse
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from runner import Step, StepFailed

from wsp_mm.utils.checkpoint import pretrained_inits
from wsp_mm.utils.cli import ConfigOptionError, load_config, parse_cfg_options

#: ``ann_file`` of data sets, below their data root, where the config does not name it.
DEFAULT_FILES = {
    'H36MImageDataset': 'human36m/arrays',
    'MuCoDataset': 'muco/MuCo-3DHP.json',
    'MuPoTSDataset': 'mupots/MuPoTS-3D.json',
}


def read_config(config: str, options: Sequence[str] = ()) -> Any:
    """The config as a tool loads it with these ``--cfg-options``.

    Raises:
        StepFailed: there is no such config, or an option cannot be applied.
    """
    # MMEngine reports every variable of the environment that it reads.
    logging.disable(logging.INFO)
    try:
        return load_config(config, parse_cfg_options(argparse.ArgumentParser(), list(options)))
    except (FileNotFoundError, ConfigOptionError) as error:
        raise StepFailed(str(error)) from None
    finally:
        logging.disable(logging.NOTSET)


def config_text(cfg: Any) -> str:
    """Everything that a loaded config says, in a form that does not depend on its order."""
    return json.dumps(cfg.to_dict(), sort_keys=True, default=str)


def annotation_files(node: Any) -> Iterator[Path]:
    """Files of annotations that the data sets in a configuration node read."""
    if isinstance(node, Mapping):
        file = node.get('ann_file') or DEFAULT_FILES.get(node.get('type'))
        if file:
            yield Path(node.get('data_root') or '', file)
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for value in node:
            yield from annotation_files(value)


def training(
    name: str,
    config: str,
    work_dir: Path,
    options: Sequence[str] = (),
    start: Path | None = None,
    seconds: float = 100.0,
) -> tuple[Step, Path]:
    """A training that goes on from its own last checkpoint if it was stopped.

    Args:
        name: of the network; the step is called ``NAME-train``.
        options: ``--cfg-options``.
        start: checkpoint of pre-trained parts (``model.init_cfg.checkpoint``); None: the config's
            own start.
        seconds: expected duration.

    Returns:
        The step, and the checkpoint that it ends with.
    """
    options = [*options, *([f'model.init_cfg.checkpoint={start}'] if start else [])]
    cfg = read_config(config, options)
    unit = 'epoch' if 'max_epochs' in cfg.train_cfg else 'iter'
    checkpoint = work_dir / f'{unit}_{cfg.train_cfg[f"max_{unit}s"]}.pth'
    starts = [init.get('checkpoint') or '' for init in pretrained_inits(cfg.model)]
    inputs = [*annotation_files(cfg.train_dataloader)]
    inputs += [Path(file) for file in starts if file and '://' not in file]
    command = ['tools/train.py', config, '--work-dir', work_dir, '--resume']
    step = Step(
        f'{name}-train', [*command, *_cfg_options(options)], inputs, [checkpoint],
        config_text(cfg), resumes=True, seconds=seconds,
    )  # fmt: skip
    return step, checkpoint


def evaluation(
    name: str,
    config: str,
    checkpoint: Path,
    out: Path,
    options: Sequence[str] = (),
    inputs: Sequence[Path] = (),
) -> Step:
    """A test, which writes ``metrics.json`` and ``predictions.npz`` into the folder ``out``.

    Args:
        inputs: further files that it reads.
    """
    cfg = read_config(config, options)
    metrics, dump = out / 'metrics.json', out / 'predictions.npz'
    command = ['tools/test.py', config, checkpoint, '--work-dir', out, '--dump', dump]
    command += ['--out', metrics, *_cfg_options(options)]
    inputs = [checkpoint, *annotation_files(cfg.test_dataloader), *inputs]
    return Step(name, command, inputs, [metrics, dump], config_text(cfg), seconds=20)


def mean_pose(config: str, out: Path, options: Sequence[str] = ()) -> Step:
    """Scores of the mean training pose of a config, written to ``out``."""
    cfg = read_config(config, options)
    command = ['tools/analysis_tools/mean_pose.py', config, '--out', out, *_cfg_options(options)]
    inputs = [*annotation_files([cfg.train_dataloader, cfg.test_dataloader])]
    return Step('mean-pose', command, inputs, [out], config_text(cfg))


def metrics(out: Path) -> dict[str, float]:
    """The flat metrics of a test that has run."""
    return json.loads((out / 'metrics.json').read_text())


def _cfg_options(options: Sequence[str]) -> list[str]:
    return ['--cfg-options', *options] if options else []
