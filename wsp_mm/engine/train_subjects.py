# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Checkpoints remember whom they were trained on, and are not scored on them."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmpose.registry import HOOKS

from wsp_mm.utils.checkpoint import CheckpointError, load, resolve_url
from wsp_mm.utils.pretrained import pretrained_inits

META_KEY = 'train_subjects'
#: Beside it: some weights that the training began with did not say whom they had seen.
UNKNOWN_KEY = 'train_subjects_incomplete'


class SubjectOverlapError(CheckpointError):
    """The checkpoint was trained on subjects that it would be scored on."""


def subjects_of(dataset: Any) -> tuple[int, ...] | None:
    """Subjects that a data set, or any data set wrapped in it at any depth, takes its samples from.

    Args:
        dataset: has ``subjects`` (several numbers), or wraps others as ``dataset`` or ``datasets``.

    Returns:
        Sorted, without repetition; None when no data set in it knows subjects.
    """
    own = getattr(dataset, 'subjects', None)
    found = [tuple(int(subject) for subject in own)] if own is not None else []
    inner = getattr(dataset, 'datasets', None)
    inner = list(inner) if inner is not None else [getattr(dataset, 'dataset', None)]
    found += [
        subjects for one in inner if one is not None and (subjects := subjects_of(one)) is not None
    ]
    return tuple(sorted({subject for subjects in found for subject in subjects})) if found else None


@HOOKS.register_module()
class TrainSubjectsHook(Hook):
    """Writes the training's subjects into every checkpoint and refuses tests on them.

    Human3.6M's Subject Protocol 1 trains on S1, S5, S6, S7, S8 and tests S9 and S11; Subject
    Protocol 2 trains on S9, too. A model of the second scored by the first has seen half of the
    test subjects, and looks far better than it is. The rule here is the general one: no subject of
    the test set may be among those that the weights have seen.

    Checkpoints carry ``meta['train_subjects']``, a list of int: the subjects of all training data
    sets (which have the attribute ``subjects``), and those of every checkpoint that the training
    went on or started from (``--resume``, ``load_from``, ``init_cfg=dict(type='Pretrained',
    ...)``), as far as those name theirs. An empty list says that no data set with subjects was
    trained on. Where some of those weights are a pose network's and name nobody,
    ``meta['train_subjects_incomplete']`` is True, and stays so in what is trained from them.

    A checkpoint without the list, or with an incomplete one, is tested with a warning that it
    cannot be checked. Validation during a training only warns: what it measures is up to who
    trains.

    Args:
        on_overlap: ``'refuse'``, or ``'warn'`` for those who want the training error itself.

    Raises:
        ValueError: another ``on_overlap``.
    """

    priority = 'VERY_LOW'

    def __init__(self, on_overlap: str = 'refuse') -> None:
        if on_overlap not in ('refuse', 'warn'):
            raise ValueError(f"on_overlap must be 'refuse' or 'warn', got {on_overlap!r}")
        self.on_overlap = on_overlap
        self._loaded: str | None = None  # where the weights come from, None: from no checkpoint
        self._seen: set[int] = set()
        self._unnamed: str | None = None  # the first weights among those seen that do not say it

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Take over the subjects that the loaded weights have seen."""
        self._loaded = str(getattr(runner, '_load_from', None) or 'the checkpoint resumed from')
        self._take(checkpoint, self._loaded)

    def _take(self, checkpoint: Any, name: str) -> None:
        meta = _meta(checkpoint)
        subjects = meta.get(META_KEY)
        if self._unnamed is None and (subjects is None or meta.get(UNKNOWN_KEY)):
            self._unnamed = name
        self._seen |= {int(subject) for subject in subjects or ()}

    def before_train(self, runner) -> None:
        """Add the subjects of this training, and of the weights that its model started from."""
        for _, _, name in pretrained_inits(runner.cfg.get('model') or {}):
            # Weights of a model zoo (ImageNet) have seen nobody; a file may be somebody's 3D
            # network. One that the model needed is there, or the model would not have come this
            # far.
            if name and resolve_url(name) is None and Path(name).is_file():
                checkpoint = load(name, 'meta')
                if META_KEY in _meta(checkpoint) or _is_pose_network(checkpoint):
                    self._take(checkpoint, name)
        self._seen |= set(subjects_of(runner.train_dataloader.dataset) or ())
        if self._unnamed is not None:
            _warn(
                f'{self._unnamed} does not say which subjects it was trained on (no meta[{META_KEY!r}], or an '
                f'incomplete one): checkpoints of this training will name those known, {_names(self._seen)}, '
                'and say that there may be more'
            )
        if runner.val_loop is not None:
            tested = subjects_of(runner.val_dataloader.dataset)
            both = self._seen & set(tested or ())
            if both:
                _warn(
                    f'{_names(both)} are trained on and validated on: this validation measures the training '
                    'error'
                )

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Write ``meta['train_subjects']``, and whether it is incomplete."""
        checkpoint['meta'][META_KEY] = sorted(self._seen)
        if self._unnamed is not None:
            checkpoint['meta'][UNKNOWN_KEY] = True

    def before_test(self, runner) -> None:
        """Compare with the subjects of the test set.

        Raises:
            SubjectOverlapError: some of them were trained on.
        """
        tested = subjects_of(runner.test_dataloader.dataset)
        if tested is None:
            return
        source = self._loaded or 'the model just trained'
        both = self._seen & set(tested)
        if both:
            left = [subject for subject in tested if subject not in both]
            alone = (
                f'on {_names(left)} alone (`subjects` of the test data set)'
                if left
                else 'on others'
            )
            message = (
                f'{source} was trained on {_names(self._seen)} and would be scored on {_names(tested)}: it has '
                f'seen {_names(both)}. Score it {alone}, or a checkpoint that did not see {_names(both)}. '
                'Weights of Subject Protocol 2 (trained on S9) are tested by its own configs, *_p2.py; for the '
                "training error itself set on_overlap='warn' of TrainSubjectsHook"
            )
            if self.on_overlap == 'refuse':
                raise SubjectOverlapError(message)
            _warn(message)
        elif self._unnamed is not None:
            _warn(
                f'{self._unnamed} does not say which subjects it was trained on (no meta[{META_KEY!r}], or an '
                f'incomplete one): that {_names(tested)} are new to it cannot be checked'
            )


def _is_pose_network(checkpoint: Any) -> bool:
    """Whether these are the weights of a network with heatmaps, not of a backbone alone."""
    state = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, dict) else {}
    return any(str(key).removeprefix('module.').startswith('head.final_layer') for key in state)


def _meta(checkpoint: Any) -> dict:
    meta = checkpoint.get('meta') if isinstance(checkpoint, dict) else None
    return meta if isinstance(meta, dict) else {}


def _names(subjects: Iterable[int]) -> str:
    return ', '.join(f'S{subject}' for subject in sorted(subjects)) or 'nobody'


def _warn(message: str) -> None:
    print_log(message, logger='current', level=logging.WARNING)
