# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Hooks: what a checkpoint records of its run, its weights alone, subjects it must not be tested
on.
"""

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import CheckpointHook, Hook
from mmengine.model import is_model_wrapper
from mmpose.registry import HOOKS

import wsp_mm
from wsp_mm.utils.checkpoint import (
    CheckpointError,
    load,
    meta_of,
    pretrained_inits,
    published_form,
    warn,
    weights_of,
)
from wsp_mm.utils.files import atomic_file
from wsp_mm.utils.pretrained import check_fit


# ------------------------------------------------------------------------------------- the run
def git_revision(folder: str | Path | None = None) -> str | None:
    """Return the revision of the repository that ``folder`` is tracked in.

    Args:
        folder: defaults to the package's own folder.

    Returns:
        The full hash, with ``+changes`` when tracked files differ from it; None outside a
        repository, without git, or when the folder only happens to lie in somebody else's
        repository (an environment inside a project).
    """
    folder = Path(__file__).resolve().parents[1] if folder is None else folder

    def git(*arguments: str) -> str:
        command = ['git', '-C', str(folder), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    try:
        if not git('ls-files', '--', '.'):
            return None
        return git('describe', '--always', '--abbrev=40', '--exclude=*', '--dirty=+changes')
    except (OSError, subprocess.SubprocessError):
        return None


@HOOKS.register_module()
class RunInfoHook(Hook):
    """Log version, git revision and seed, and write them as ``meta['wsp_mm']`` into checkpoints;
    check what a run starts from.
    """

    priority = 'VERY_LOW'

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Refuse a checkpoint of another backbone, of which MMEngine would load what fits.

        Raises:
            PretrainedPartsError: it is one.
        """
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if hasattr(model, 'backbone'):
            check_fit(model, checkpoint, str(runner._load_from or 'the checkpoint'))

    def before_run(self, runner) -> None:
        """Log one line as the run starts."""
        git = git_revision() or 'unknown'
        self._info = dict(version=wsp_mm.__version__, git=git, seed=int(runner.seed))
        runner.logger.info('wsp_mm {version}, git revision {git}, seed {seed}'.format(**self._info))

    def before_train(self, runner) -> None:
        """Warn of a learning rate that belongs to another batch size."""
        base = (runner.auto_scale_lr or {}).get('base_batch_size')
        batch = runner.train_dataloader.batch_size
        if None in (base, batch) or runner.auto_scale_lr.get('enable'):
            return
        batch *= runner.world_size * getattr(runner.optim_wrapper, '_accumulative_counts', 1)
        if batch != base:
            what = f'a batch of {batch} in all processes is trained at the learning rate for {base}'
            warn(f'{what}: --auto-scale-lr scales it')

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Add ``meta['wsp_mm'] = dict(version, git, seed)``."""
        checkpoint['meta']['wsp_mm'] = dict(self._info)


# ------------------------------------------------------------------------------- weights alone
def weights_file(checkpoint: str | Path) -> Path:
    """``epoch_9.pth`` -> ``epoch_9_weights.pth``."""
    checkpoint = Path(checkpoint)
    return checkpoint.with_name(f'{checkpoint.stem}_weights.pth')


@HOOKS.register_module()
class PublishedWeightsHook(Hook):
    """Write ``NAME_weights.pth`` beside every ``NAME.pth`` that this run's CheckpointHook saves.

    A training checkpoint also holds the optimizer and MMEngine's log buffers, which only a list of
    allowed objects can load. The neighbour is what ``tools/model_converters/publish_model.py``
    would make of it: weights (with an EMA hook the averaged ones) and plain metadata, which
    ``torch.load(..., weights_only=True)`` reads anywhere. It is made of what is saved, not of what
    lies in the folder. When MMEngine deletes the training checkpoint (``max_keep_ckpts``, a new
    best), this hook deletes its neighbour. Only the process that saves checkpoints does anything.
    """

    priority = 'LOWEST'  # after CheckpointHook, and after all that change what is saved
    _KEY = 'published_weights'  # in the message hub, so that a resumed run goes on with it

    def __init__(self) -> None:
        self._content: dict | None = None

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Look for the last and the best checkpoint beside the one resumed: in a copied work dir
        their paths are those of the original, whose files are not to be deleted.
        """
        hub = checkpoint.get('message_hub') if isinstance(checkpoint, dict) else None
        info = (hub or {}).get('runtime_info', {})
        home = Path(runner._load_from).parent if runner._load_from else Path(runner.work_dir)
        for key, value in info.items():
            if value and key == self._KEY:
                info[key] = [str(home / Path(path).name) for path in value]
            elif value and key.startswith(('best_ckpt', 'last_ckpt')):
                info[key] = str(home / Path(value).name)

    def before_train(self, runner) -> None:
        """Take over, after a resume, what the earlier process has saved."""
        info = runner.message_hub.runtime_info
        earlier = {*info.get(self._KEY, ()), info.get('last_ckpt')} - {None}
        self._saved = earlier | self._latest(runner)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Keep the weights; the name of the file is not known yet."""
        try:
            self._content = published_form(checkpoint, 'the checkpoint')
        except (TypeError, ValueError) as error:
            warn(f'no file of weights alone is written: {error}')

    def _latest(self, runner) -> set[str]:
        """Paths of the last and the best checkpoints of this run."""
        paths = []
        for hook in runner.hooks:
            if isinstance(hook, CheckpointHook):
                paths += [hook.last_ckpt, getattr(hook, 'best_ckpt_path', None)]
                paths += getattr(hook, 'best_ckpt_path_dict', {}).values()
        return {str(path) for path in paths if path is not None}

    def _write(self, runner, *_, **__) -> None:
        if self._content is None:
            return
        last = {hook.last_ckpt for hook in runner.hooks if isinstance(hook, CheckpointHook)}
        for path in (self._latest(runner) - self._saved) | (last - {None}):
            if Path(path).is_file():
                with atomic_file(weights_file(path)) as file:
                    torch.save(self._content, file)
                self._saved.add(path)
        self._content = None
        for path in [path for path in self._saved if not Path(path).exists()]:
            weights_file(path).unlink(missing_ok=True)
            self._saved.remove(path)
        runner.message_hub.update_info(self._KEY, sorted(self._saved))

    # Wherever CheckpointHook saves; ``save_best`` does after a validation.
    after_train_iter = after_train_epoch = after_val_epoch = _write


# ------------------------------------------------------------------------------ train subjects
META_KEY = 'train_subjects'
#: Beside it: some weights that the training began with did not name the subjects they had seen.
UNKNOWN_KEY = 'train_subjects_incomplete'


class SubjectOverlapError(CheckpointError):
    """The checkpoint was trained on subjects that it would be scored on."""


def subjects_of(dataset: Any) -> tuple[int, ...] | None:
    """Return the subjects that a data set, or any data set wrapped in it, takes its samples from.

    Args:
        dataset: has ``subjects`` (several numbers), or wraps others as ``dataset`` or ``datasets``.

    Returns:
        Sorted, without repetition; None when no data set in it knows subjects.
    """
    own = getattr(dataset, 'subjects', None)
    found = [] if own is None else [own]
    for inner in getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]:
        if inner is not None and (subjects := subjects_of(inner)) is not None:
            found.append(subjects)
    return tuple(sorted({int(s) for subjects in found for s in subjects})) if found else None


@HOOKS.register_module()
class TrainSubjectsHook(Hook):
    """Write the training's subjects into every checkpoint and refuse tests on them.

    Human3.6M's Subject Protocol 1 trains on S1, S5, S6, S7, S8 and tests S9 and S11; Subject
    Protocol 2 trains on S9, too. A model of the second scored by the first has seen half of the
    test subjects, and looks far better than it is. The rule here is the general one: no subject of
    the test set may be among those that the weights have seen.

    Checkpoints carry ``meta['train_subjects']``, a list of int: the subjects of all training data
    sets (which have the attribute ``subjects``), and those of every checkpoint that the training
    went on or started from (``--resume``, ``load_from``, ``init_cfg`` of type ``Pretrained`` or
    ``PretrainedParts``), as far as those name theirs. An empty list says that no data set with
    subjects was trained on. Where some of those weights are a pose network's and name nobody,
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
        self._loaded = 'the model just trained'  # where the weights come from
        self._seen: set[int] = set()
        self._unnamed: str | None = None  # the first weights among those seen that name nobody

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Take over the subjects that the loaded weights have seen."""
        self._loaded = str(getattr(runner, '_load_from', None) or 'the checkpoint resumed from')
        self._take(checkpoint, self._loaded)

    def _take(self, checkpoint: Any, name: str) -> None:
        meta = meta_of(checkpoint)
        if self._unnamed is None and (META_KEY not in meta or meta.get(UNKNOWN_KEY)):
            self._unnamed = name
        self._seen |= {int(subject) for subject in meta.get(META_KEY) or ()}

    def before_train(self, runner) -> None:
        """Add the subjects of this training, and of the weights that its model started from."""
        for init in pretrained_inits(runner.cfg.get('model') or {}):
            # Weights of a model zoo (ImageNet) have seen nobody; a file may be a 3D network's. A
            # file that is not there was not needed, else the model would not have come this far.
            name = str(init.get('checkpoint'))
            if not Path(name).is_file():
                continue
            try:
                checkpoint = load(name, 'meta')
            except CheckpointError:  # MMPose's own tools have executed it
                self._take(None, name)
            else:
                # One with heatmaps, not a backbone alone.
                is_pose = any(key.startswith('head.final_layer') for key in weights_of(checkpoint))
                if META_KEY in meta_of(checkpoint) or is_pose:
                    self._take(checkpoint, name)
        self._seen |= set(subjects_of(runner.train_dataloader.dataset) or ())
        if self._unnamed is not None:
            warn(
                f'{self._unknown()}: checkpoints of this training will name those known, '
                f'{_names(self._seen)}, and say that there may be more'
            )
        if runner.val_loop is not None:
            both = self._seen & set(subjects_of(runner.val_dataloader.dataset) or ())
            if both:
                warn(f'{_names(both)} are trained on and validated on: this is a training error')

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
        both = self._seen & set(tested)
        if both:
            message = (
                f'{self._loaded} was trained on {_names(self._seen)}, and {_names(both)} of these '
                f'are among the subjects of the test, {_names(tested)}. Test it on subjects that '
                'it has not seen (`subjects` of the test data set; *_p2.py for weights of Subject '
                "Protocol 2). For the training error itself set on_overlap='warn' of "
                'TrainSubjectsHook'
            )
            if self.on_overlap == 'refuse':
                raise SubjectOverlapError(message)
            warn(message)
        elif self._unnamed is not None:
            warn(f'{self._unknown()}: that {_names(tested)} are new to it cannot be checked')

    def _unknown(self) -> str:
        return f'{self._unnamed} does not name all subjects that it was trained on'


def _names(subjects: Iterable[int]) -> str:
    return ', '.join(f'S{subject}' for subject in sorted(subjects)) or 'nobody'
