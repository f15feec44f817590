# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Randomness that is a function of (seed, epoch, sample index), and of nothing else.

The number of workers, the order in which they run, the rank and a resume leave every sample as it
is: a resumed run sees the data of an uninterrupted one. :class:`SeededItemsMixin` seeds numpy's,
Python's and torch's CPU generators around each item and puts their states back afterwards, so that
the model's own randomness never depends on the data. :class:`ItemSeedHook` tells the data sets seed
and epoch, also those in persistent workers.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop
from mmpose.datasets import CombinedDataset
from mmpose.registry import DATASETS, HOOKS

from wsp_mm.datasets.crop_check import check_crop_caches
from wsp_mm.datasets.nonempty import build_nonempty
from wsp_mm.structures.keypoints import pose_metainfo

_UNSET = -1

# Entropy of the item that is being made, while one data set asks another for an item. Per process:
# workers are processes and each makes one item at a time.
_outer: tuple[int, ...] = ()


@contextmanager
def item_randomness(*entropy: int) -> Iterator[None]:
    """Seed the three global generators from ``entropy`` (non-negative), and restore them at the
    end.

    A nested use adds its entropy to that of the outer one.
    """
    global _outer
    states = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
    before, _outer = _outer, (*_outer, *entropy)
    try:
        words = np.random.SeedSequence(_outer).generate_state(4)
        np.random.seed(words[:2])
        random.seed(int(words[2]))
        torch.default_generator.manual_seed(
            int(words[3])
        )  # the CPU's: CUDA must not start in a worker
        yield
    finally:
        _outer = before
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.random.set_rng_state(states[2])


class SeededItemsMixin:
    """For a data set (to the left of its base class): each item's randomness depends on its key
    alone.

    Until :meth:`set_item_seed` is called the data set behaves as its base class does. A sample that
    the pipeline refuses (None) is replaced by another one drawn from the same stream, so that is
    repeatable too.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # In shared memory: workers that live through several epochs see the change.
        self._item_key = torch.full((2,), _UNSET, dtype=torch.int64).share_memory_()
        super().__init__(*args, **kwargs)

    def set_item_seed(self, seed: int, epoch: int) -> None:
        """Fix the randomness of all items until the next call.

        Raises:
            ValueError: negative seed or epoch.
        """
        if seed < 0 or epoch < 0:
            raise ValueError(f'seed and epoch must not be negative, got {seed} and {epoch}')
        if not self._item_key.is_shared():  # a deep copy (get_subset) is not
            self._item_key = self._item_key.share_memory_()
        self._item_key.copy_(torch.tensor([seed, epoch]))

    @property
    def item_seed(self) -> tuple[int, int] | None:
        """(seed, epoch), or None where they were never set."""
        seed, epoch = self._item_key.tolist()
        return None if seed == _UNSET else (seed, epoch)

    def __getitem__(self, idx: int) -> Any:
        key = self.item_seed
        if key is None:
            return super().__getitem__(idx)
        with item_randomness(*key, int(idx) % len(self)):
            return super().__getitem__(idx)


@DATASETS.register_module()
class SeededCombinedDataset(SeededItemsMixin, CombinedDataset):
    """MMPose's ``CombinedDataset``, whose own pipeline is seeded per item as well, and none of it
    empty.

    An index beyond the end means the same sample again, in other randomness: ``n * len(self) + i``
    is sample i for the n-th time in one epoch, which a sampler that repeats samples asks for.

    Args:
        metainfo: MMPose's, a dict.
        datasets: configs of the data sets.
        joint_set: instead of ``metainfo``, the joint set that all of them bring their samples to.
        **kwargs: of ``CombinedDataset``.

    Raises:
        ValueError: a data set that holds nothing, or both or neither of ``joint_set`` and
            ``metainfo``.
    """

    def __init__(
        self,
        metainfo: dict | None = None,
        datasets: Sequence[Mapping] = (),
        joint_set: str | None = None,
        **kwargs: Any,
    ) -> None:
        if (joint_set is None) == (metainfo is None):
            raise ValueError('SeededCombinedDataset takes either a metainfo or a joint_set')
        if not datasets:
            raise ValueError('SeededCombinedDataset: no datasets to combine')
        built = [build_nonempty(cfg) for cfg in datasets]
        super().__init__(
            metainfo=pose_metainfo(joint_set) if metainfo is None else metainfo,
            datasets=[dict(type=lambda dataset=dataset: dataset) for dataset in built],
            **kwargs,
        )
        check_crop_caches(self)

    def __getitem__(self, idx: int) -> Any:
        again, first = divmod(int(idx), len(self))
        if again <= 0:
            return super().__getitem__(idx)
        if self.item_seed is None:
            return super().__getitem__(first)
        with item_randomness(again):
            return super().__getitem__(first)


def seeded_datasets(dataset: Any) -> list[SeededItemsMixin]:
    """Every seeded data set in ``dataset``, through any depth of wrappers (outer ones first).

    Wrappers keep what they wrap in ``dataset`` (RepeatDataset, ClassBalancedDataset, torch's
    Subset) or in ``datasets`` (ConcatDataset, CombinedDataset).
    """
    found = [dataset] if isinstance(dataset, SeededItemsMixin) else []
    inner = [getattr(dataset, 'dataset', None), *(getattr(dataset, 'datasets', None) or ())]
    for child in inner:
        if child is not None:
            found += seeded_datasets(child)
    return found


def _unseeded_pipelines(dataset: Any) -> list[str]:
    """Wrappers that run transforms of their own outside of any seeded item."""
    if isinstance(dataset, SeededItemsMixin):
        return []
    steps = getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
    named = [type(dataset).__name__] if len(steps) else []
    inner = [getattr(dataset, 'dataset', None), *(getattr(dataset, 'datasets', None) or ())]
    return named + [
        name for child in inner if child is not None for name in _unseeded_pipelines(child)
    ]


@HOOKS.register_module()
class ItemSeedHook(Hook):
    """Give the training data the runner's seed and the epoch, before the epoch's first item is
    fetched.

    In an iteration-based loop an epoch is one pass of the sampler.

    Raises:
        ValueError: no training data set is seeded (the hook would do nothing), batches of an odd
            size are to be half 3D and half 2D, or an iteration-based loop draws from an endless
            sampler, whose passes overlap in the workers.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner) -> None:
        dataset = runner.train_loop.dataloader.dataset
        if not seeded_datasets(dataset):
            raise ValueError(
                f'ItemSeedHook: the training data ({type(dataset).__name__}) holds no data set that is seeded '
                'per item (MCPCDataset and others with SeededItemsMixin); remove the hook from custom_hooks'
            )
        for name in _unseeded_pipelines(dataset):
            runner.logger.warning(
                f'{name} runs transforms that are not seeded per item, so a resumed run will differ from an '
                f'uninterrupted one; use SeededCombinedDataset, or move them into the inner data sets'
            )
        loader = runner.train_loop.dataloader
        if type(loader.sampler).__name__ == 'HalfHalfSampler' and loader.batch_size % 2:
            raise ValueError(
                f'HalfHalfSampler: train_dataloader.batch_size must be even to hold half 3D and half 2D, got '
                f'{loader.batch_size}'
            )
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            sampler = loader.sampler
            if type(sampler).__name__ == 'InfiniteSampler':
                raise ValueError(
                    'ItemSeedHook: InfiniteSampler has no epochs that augmentation could be keyed by; use '
                    "sampler=dict(type='DefaultSampler', shuffle=True), which starts anew after each pass"
                )
            self._set(runner, runner.iter // len(runner.train_loop.dataloader))

    def before_train_epoch(self, runner) -> None:
        if not isinstance(runner.train_loop, IterBasedTrainLoop):
            self._set(runner, runner.epoch)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            # runner.iter still counts this iteration. A pass ends with its last batch, and the next
            # one's first item is fetched only when the loop asks for its next batch.
            done, length = runner.iter + 1, len(runner.train_loop.dataloader)
            if done % length == 0:
                self._set(runner, done // length)

    @staticmethod
    def _set(runner, epoch: int) -> None:
        for dataset in seeded_datasets(runner.train_loop.dataloader.dataset):
            dataset.set_item_seed(int(runner.seed), epoch)
