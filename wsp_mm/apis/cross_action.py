# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The Cross Action Protocol (paper, section 4.2.2 and Table 8): fifteen models, each trained on one
action.

A model is trained on one action of the config's training subjects and tested on the config's whole
test set: all fifteen actions, its own among them, as the paper's "trained only on the corresponding
single action and tested on all actions". Its entry is the mean over the test actions (what the
paper's Table 5 averages by); the pooled mean is in the json beside it. The table's title says PA
MPJPE and the text MPJPE, so both are given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from wsp_mm.apis.pose3d_study import PoseStudy
from wsp_mm.apis.steps import Steps
from wsp_mm.evaluation.functional.pose3d import H36M_ACTIONS
from wsp_mm.evaluation.tables import markdown_table, table_8, without_prefix
from wsp_mm.utils.cli import load_config
from wsp_mm.utils.files import dump_json, write_text_atomic


def run_cross_action(
    steps: Steps,
    config: str,
    data_root: str,
    work_dir: Path,
    actions: Sequence[str] = H36M_ACTIONS,
    options: Sequence[str] = (),
) -> dict[str, dict[str, float]]:
    """Train and test one model an action; a repeated call goes on where the last one stopped.

    ``work_dir/cross_action.md`` and ``.json`` are written after each model.

    Args:
        steps: the chain that runs and remembers commands.
        config: trains on Human3.6M, alone or as the first data set of a mixture.
        actions: to train on, by name.
        options: ``--cfg-options`` of every training and test.

    Returns:
        action -> flat metrics of its model on the whole test set.

    Raises:
        ValueError: an unknown action.
        StepFailed: a command failed; what is done stays done.
    """
    unknown = [action for action in actions if action not in H36M_ACTIONS]
    if unknown:
        raise ValueError(f'unknown actions {unknown}; known: {list(H36M_ACTIONS)}')
    metrics: dict[str, dict[str, float]] = {}
    dataset = load_config(steps.root / config).train_dataloader.dataset
    place = f'train_dataloader.dataset{".datasets.0" if "datasets" in dataset else ""}.actions'
    for action in (name for name in H36M_ACTIONS if name in actions):
        study = PoseStudy(
            steps,
            action,
            config,
            data_root,
            work_dir / action,
            train_options=[f'{place}=[{action}]'],
            options=options,
        )
        study.train()
        metrics[action] = study.test()
        folder = steps.root / work_dir
        dump_json(folder / 'cross_action.json', metrics)
        write_text_atomic(folder / 'cross_action.md', page(metrics, config, data_root, options))
    return metrics


def page(
    metrics: Mapping[str, Mapping[str, float]], config: str, data_root: str, options: Sequence[str]
) -> str:
    """The markdown page of the models that have been trained."""
    lines = [
        '# Cross action evaluation (the layout of Table 8)',
        '',
        f'Config `{config}`, data `{data_root}`'
        + (f', options `{" ".join(options)}`' if options else '')
        + f'; {len(metrics)} of {len(H36M_ACTIONS)} models.',
        '',
        'Each model is trained on one action and tested on all, its own among them; an entry is the mean over '
        "the test actions. The last row was measured on real data with the paper's network and schedule.",
        '',
        *markdown_table(*table_8({k: without_prefix(v, 'h36m/') for k, v in metrics.items()})),
    ]
    return '\n'.join(lines) + '\n'
