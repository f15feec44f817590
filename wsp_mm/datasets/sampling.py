# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Which samples make a batch, and the randomness of each sample.

A sample's randomness is a function of (seed, epoch, sample index) alone. The number of workers,
their order, the rank and a resume change no sample: a resumed run sees the data of an uninterrupted
one. :class:`SeededItemsMixin` seeds the generators of numpy, Python and torch (CPU) around each
item and restores their states afterwards, so the model's own randomness does not depend on the
data. :class:`ItemSeedHook` passes seed and epoch to the data sets, also to those in persistent
workers.
"""

import pickle
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_dist_info, sync_random_seed
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop
from mmpose.datasets import CombinedDataset
from mmpose.registry import DATA_SAMPLERS, DATASETS, HOOKS
from torch.utils.data import Sampler

from wsp_mm.datasets.annotations import build_nonempty
from wsp_mm.structures.keypoints import pose_metainfo

_UNSET = -1

#: What MMPose's transforms read of a data set's metainfo.
META_KEYS = (
    'dataset_name', 'upper_body_ids', 'lower_body_ids', 'flip_pairs', 'dataset_keypoint_weights',
    'flip_indices', 'skeleton_links',
)  # fmt: skip

# Entropy of the item that is being made, for data sets that ask another one for an item. Global to
# the process: a worker makes one item at a time.
_outer: tuple[int, ...] = ()


@contextmanager
def item_randomness(*entropy: int) -> Iterator[None]:
    """Seed the three global generators from ``entropy`` (non-negative); restore them at the end.

    A nested use adds its entropy to that of the outer one.
    """
    global _outer
    states = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
    before, _outer = _outer, (*_outer, *entropy)
    try:
        words = np.random.SeedSequence(_outer).generate_state(4)
        np.random.seed(words[:2])
        random.seed(int(words[2]))
        # Not torch.manual_seed: CUDA must not start in a worker.
        torch.default_generator.manual_seed(int(words[3]))
        yield
    finally:
        _outer = before
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.random.set_rng_state(states[2])


class SampleMeta:
    """Copy the parts of a metainfo that belong to every sample.

    A transform may change what it finds (``KeypointConverter`` does), so each sample needs its own
    copy. Unpickling takes a tenth of the time of ``deepcopy``.

    Args:
        metainfo: parsed, with all of :data:`META_KEYS`.
    """

    def __init__(self, metainfo: Mapping[str, Any]) -> None:
        self._bytes = pickle.dumps({key: metainfo[key] for key in META_KEYS})

    def __call__(self) -> dict[str, Any]:
        """Return a new dict of new objects."""
        return pickle.loads(self._bytes)


class SeededItemsMixin:
    """For a data set (to the left of its base class): make each item's randomness a function of its
    key.

    Until :meth:`set_item_seed` is called, the data set behaves as its base class. The replacement
    of a sample that the pipeline refuses (None) is drawn from the same stream, so it is repeatable
    too.
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
    """MMPose's ``CombinedDataset`` with its own pipeline seeded per item, and no empty part.

    An index beyond the end means the same sample in other randomness: ``n * len(self) + i`` is
    sample i for the n-th time in one epoch. A sampler that repeats samples asks for these.

    Args:
        metainfo: MMPose's, a dict.
        datasets: configs of the data sets.
        joint_set: instead of ``metainfo``, the joint set that all of them convert their samples to.
        **kwargs: of ``CombinedDataset``.

    Raises:
        ValueError: a data set without a sample, or both or neither of ``joint_set`` and
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

    def __getitem__(self, idx: int) -> Any:
        again, first = divmod(int(idx), len(self))
        if again <= 0 or self.item_seed is None:
            return super().__getitem__(first if again > 0 else idx)
        with item_randomness(again):
            return super().__getitem__(first)


def _walk(dataset: Any, seeded: bool = False) -> Iterator[tuple[Any, bool]]:
    """Yield every data set within wrappers, the outer first, and whether a seeded one makes its
    items.

    Wrappers keep what they wrap in ``dataset`` (RepeatDataset, ClassBalancedDataset, torch's
    Subset) or in ``datasets`` (ConcatDataset, CombinedDataset).
    """
    seeded = seeded or isinstance(dataset, SeededItemsMixin)
    yield dataset, seeded
    for child in (getattr(dataset, 'dataset', None), *(getattr(dataset, 'datasets', None) or ())):
        if child is not None:
            yield from _walk(child, seeded)


def seeded_datasets(dataset: Any) -> list[SeededItemsMixin]:
    """Return every seeded data set in ``dataset``, through any depth of wrappers."""
    return [found for found, _ in _walk(dataset) if isinstance(found, SeededItemsMixin)]


@HOOKS.register_module()
class ItemSeedHook(Hook):
    """Set the runner's seed and the epoch in the training data before the epoch's first item is
    fetched.

    In an iteration-based loop an epoch is one pass of the sampler.

    Raises:
        ValueError: no training data set is seeded (the hook would have no effect), an odd batch
            size with :class:`HalfHalfSampler`, or an iteration-based loop with an endless sampler,
            whose passes overlap in the workers.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner) -> None:
        loader = runner.train_loop.dataloader
        if not seeded_datasets(loader.dataset):
            raise ValueError(
                f'ItemSeedHook: the training data ({type(loader.dataset).__name__}) holds no data '
                'set that is seeded per item (MCPCDataset and others with SeededItemsMixin); '
                'remove the hook from custom_hooks'
            )
        for dataset, seeded in _walk(loader.dataset):
            if not seeded and getattr(getattr(dataset, 'pipeline', None), 'transforms', ()):
                runner.logger.warning(
                    f'{type(dataset).__name__} runs transforms that are not seeded per item, so a '
                    'resumed run will differ from an uninterrupted one; use '
                    'SeededCombinedDataset, or move them into the inner data sets'
                )
        if isinstance(loader.sampler, HalfHalfSampler) and loader.batch_size % 2:
            raise ValueError(
                'HalfHalfSampler: train_dataloader.batch_size must be even to hold half 3D and '
                f'half 2D, got {loader.batch_size}'
            )
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            if type(loader.sampler).__name__ == 'InfiniteSampler':
                raise ValueError(
                    'ItemSeedHook: InfiniteSampler has no epochs that augmentation could be keyed '
                    "by; use sampler=dict(type='DefaultSampler', shuffle=True), which starts anew "
                    'after each pass'
                )
            self._set(runner, runner.iter // len(loader))

    def before_train_epoch(self, runner) -> None:
        if not isinstance(runner.train_loop, IterBasedTrainLoop):
            self._set(runner, runner.epoch)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            # runner.iter still counts this iteration. A pass ends with its last batch; the first
            # item of the next pass is fetched only when the loop asks for its next batch.
            done, length = runner.iter + 1, len(runner.train_loop.dataloader)
            if done % length == 0:
                self._set(runner, done // length)

    @staticmethod
    def _set(runner, epoch: int) -> None:
        for dataset in seeded_datasets(runner.train_loop.dataloader.dataset):
            dataset.set_item_seed(int(runner.seed), epoch)


@DATA_SAMPLERS.register_module()
class HalfHalfSampler(Sampler):
    """Draw half of every batch from the 3D data sets and half from the 2D ones, on every rank.

    Every rank's stream alternates 3D, 2D, 3D, 2D, so any even batch size gives exact halves, and
    two ranks with half the batch see in each step what one rank sees. :class:`ItemSeedHook` refuses
    an odd batch size.

    An epoch shows each sample of the longer side once (rounded up to the number of ranks) and as
    many of the shorter side, which starts over in another order when all were shown: 2 x
    max(length) samples, as PoseNet's epoch. PoseNet shuffles all of them together, so its batches
    are half and half on average only.

    The n-th repetition of sample i of a ``SeededCombinedDataset`` within an epoch has the index ``n
    * len(dataset) + i``: the same sample in other augmentation.

    The order is a function of ``seed + epoch``. MMEngine's hook sets the epoch, also after a
    resume.

    Args:
        dataset: a ``CombinedDataset`` or :class:`SeededCombinedDataset`.
        num_3d: the first ``num_3d`` of the combined data sets are 3D, the others 2D.
        shuffle: otherwise both sides keep their order.
        seed: the runner passes its own.
        round_up: give every rank the same number of samples by repeating some; otherwise by leaving
            some out.
        rank, world_size: of this process; None asks MMEngine.

    Raises:
        TypeError: not a combined data set.
        ValueError: a side without a data set or without a sample, no such rank, or
            (``round_up=False``) fewer samples than ranks.
    """

    def __init__(
        self,
        dataset: CombinedDataset,
        num_3d: int = 1,
        shuffle: bool = True,
        seed: int | None = None,
        round_up: bool = True,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        if not isinstance(dataset, CombinedDataset):
            raise TypeError(
                f'HalfHalfSampler needs a CombinedDataset, got {type(dataset).__name__}'
            )
        lengths = dataset.lens
        if not 1 <= num_3d < len(lengths):
            raise ValueError(
                f'HalfHalfSampler: num_3d must leave at least one of the {len(lengths)} data sets '
                f'to either side, got {num_3d}'
            )
        self.sizes = sum(lengths[:num_3d]), sum(lengths[num_3d:])
        if not all(self.sizes):
            raise ValueError(
                f'HalfHalfSampler: both sides need samples, got {self.sizes[0]} of 3D and '
                f'{self.sizes[1]} of 2D'
            )
        found_rank, found_world = get_dist_info()
        self.rank = found_rank if rank is None else rank
        self.world_size = found_world if world_size is None else world_size
        if not 0 <= self.rank < self.world_size:
            raise ValueError(f'HalfHalfSampler: no rank {self.rank} of {self.world_size}')
        self.shuffle = shuffle
        self.seed = sync_random_seed() if seed is None else int(seed)
        self.epoch = 0
        # Added to the index where a sample is repeated, see the class.
        self.stride = len(dataset) if isinstance(dataset, SeededCombinedDataset) else 0
        longer = max(self.sizes)
        self.pairs = (longer + (self.world_size - 1) * round_up) // self.world_size
        if not self.pairs:
            raise ValueError(
                f'HalfHalfSampler: {longer} samples are too few for {self.world_size} ranks with '
                'round_up=False'
            )

    def __len__(self) -> int:
        """Samples of this rank in an epoch."""
        return 2 * self.pairs

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass."""
        self.epoch = int(epoch)

    def __iter__(self) -> Iterator[int]:
        total = self.pairs * self.world_size
        sides = []
        for side, size in enumerate(self.sizes):
            # The seeds of the two sides never coincide, whatever the epoch.
            generator = torch.Generator().manual_seed((self.seed + self.epoch) * 2 + side)
            passes = [
                (torch.randperm(size, generator=generator) if self.shuffle else torch.arange(size))
                + again * self.stride
                for again in range(-(-total // size))
            ]
            sides.append(torch.cat(passes)[:total][self.rank :: self.world_size])
        both = torch.stack([sides[0], sides[1] + self.sizes[0]], dim=1)
        return iter(both.flatten().tolist())
