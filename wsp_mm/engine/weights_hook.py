# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Every training checkpoint gets a neighbour that holds weights alone."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from mmengine.hooks import CheckpointHook, Hook
from mmpose.registry import HOOKS

from wsp_mm.utils.checkpoint import load_file
from wsp_mm.utils.files import atomic_file
from wsp_mm.utils.publish import published_form

SUFFIX = '_weights.pth'

# Names that MMEngine's CheckpointHook gives and, beyond `max_keep_ckpts`, takes away again.
_BY_NUMBER = re.compile(r'(epoch|iter)_\d+$|best_.+_(epoch|iter)_\d+$')


def weights_file(checkpoint: str | Path) -> Path:
    """``epoch_9.pth`` -> ``epoch_9_weights.pth``."""
    checkpoint = Path(checkpoint)
    return checkpoint.with_name(f'{checkpoint.stem}{SUFFIX}')


@HOOKS.register_module()
class PublishedWeightsHook(Hook):
    """Writes ``NAME_weights.pth`` beside every ``NAME.pth`` that the run saves.

    A training checkpoint also holds the optimizer and MMEngine's log buffers, which only a list of
    allowed objects can load. The neighbour is what ``tools/misc/publish_model.py`` would make of
    it: weights (with an EMA hook the averaged ones) and plain metadata, which ``torch.load(...,
    weights_only=True)`` reads anywhere. When the training checkpoint is deleted
    (``max_keep_ckpts``, a new best), so is its neighbour.

    Runs after ``CheckpointHook`` and reads back what that wrote, so the two cannot differ. Only the
    process that saves checkpoints does anything.
    """

    priority = 'LOWEST'

    def __init__(self) -> None:
        self._pending = False

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """A checkpoint is about to be written; its name is not known yet."""
        self._pending = True

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self._write(runner)

    def after_train_epoch(self, runner) -> None:
        self._write(runner)

    def after_val_epoch(self, runner, metrics=None) -> None:
        """``save_best`` writes here."""
        self._write(runner)

    def after_train(self, runner) -> None:
        self._write(runner)

    def _write(self, runner) -> None:
        if self._pending:
            self._pending = False
            for folder in _folders(runner):
                update_folder(folder)


def _folders(runner) -> list[Path]:
    """Where the run's checkpoint hooks write, as far as those are local folders."""
    named = [hook.out_dir for hook in runner.hooks if isinstance(hook, CheckpointHook)]
    folders = {Path(out_dir or runner.work_dir) for out_dir in named} or {Path(runner.work_dir)}
    return sorted(folder for folder in folders if folder.is_dir())


def update_folder(folder: Path) -> list[Path]:
    """Write what is missing or older than its checkpoint, remove what has lost it.

    Returns:
        The files written.
    """
    written = []
    checkpoints = [path for path in folder.glob('*.pth') if not path.name.endswith(SUFFIX)]
    for path in checkpoints:
        target = weights_file(path)
        if target.is_file() and target.stat().st_mtime_ns >= path.stat().st_mtime_ns:
            continue
        with atomic_file(target) as file:
            torch.save(published_form(load_file(path, map_location='cpu'), str(path)), file)
        written.append(target)
    for path in folder.glob(f'*{SUFFIX}'):
        stem = path.name.removesuffix(SUFFIX)
        if _BY_NUMBER.match(stem) and not (folder / f'{stem}.pth').exists():
            path.unlink(missing_ok=True)
    return written
