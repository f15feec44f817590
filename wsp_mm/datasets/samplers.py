# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Half 3D, half 2D in every batch."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from mmengine.dist import get_dist_info, sync_random_seed
from mmpose.datasets import CombinedDataset
from mmpose.registry import DATA_SAMPLERS
from torch.utils.data import Sampler

from wsp_mm.datasets.seeding import SeededCombinedDataset


@DATA_SAMPLERS.register_module()
class HalfHalfSampler(Sampler):
    """Exactly half of every batch from the 3D data sets and half from the 2D ones, on every rank.

    An epoch shows each sample of the longer side once (rounded up to whole batches of all ranks)
    and as many of the shorter side, which begins anew with another order whenever it is through: 2
    x max(length) samples, as PoseNet's epoch. PoseNet shuffles all of them together, so its halves
    hold on average alone.

    3D and 2D take turns, so that the halves are exact in whatever even batches the data loader
    cuts.

    Of a ``SeededCombinedDataset`` it asks for sample i the n-th time in an epoch as ``n *
    len(dataset) + i``, which is the same sample in other augmentation.

    The order is a function of ``seed + epoch``: MMEngine's hook sets the epoch, also after a
    resume.

    Args:
        dataset: a ``CombinedDataset`` (or ours, ``SeededCombinedDataset``).
        batch_size: the data loader's, of one rank. Even.
        num_3d: the first ``num_3d`` of the combined data sets are 3D, the others 2D.
        shuffle: otherwise both sides go through in order.
        seed: the runner gives its own.
        round_up: fill the last batch of every rank, repeating samples; otherwise leave the rest
            out.
        rank, world_size: of this process; None asks MMEngine.

    Raises:
        TypeError: not a combined data set.
        ValueError: an odd or non-positive batch size, a side without a data set or without a
            sample, or (``round_up=False``) too few samples for one batch.
    """

    def __init__(
        self,
        dataset: CombinedDataset,
        batch_size: int,
        num_3d: int = 1,
        shuffle: bool = True,
        seed: int | None = None,
        round_up: bool = True,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        if not isinstance(dataset, CombinedDataset):
            raise TypeError(
                f'HalfHalfSampler draws from a CombinedDataset, got {type(dataset).__name__}'
            )
        if not isinstance(batch_size, int) or batch_size < 2 or batch_size % 2:
            raise ValueError(
                f'HalfHalfSampler: batch_size must be even to hold half 3D and half 2D, got {batch_size!r}'
            )
        lengths = dataset.lens
        if not 1 <= num_3d < len(lengths):
            raise ValueError(
                f'HalfHalfSampler: num_3d must leave at least one of the {len(lengths)} data sets to either '
                f'side, got {num_3d}'
            )
        self.sizes = sum(lengths[:num_3d]), sum(lengths[num_3d:])
        parts = range(num_3d), range(num_3d, len(lengths))
        for side, size, of_side in zip(('3D', '2D'), self.sizes, parts, strict=True):
            if not size:
                names = ', '.join(_name(dataset.datasets[i]) for i in of_side)
                raise ValueError(f'HalfHalfSampler: the {side} side is empty ({names})')
        found_rank, found_world = get_dist_info()
        self.rank = found_rank if rank is None else rank
        self.world_size = found_world if world_size is None else world_size
        if not 0 <= self.rank < self.world_size:
            raise ValueError(f'HalfHalfSampler: no rank {self.rank} of {self.world_size}')
        self.batch_size, self.shuffle = batch_size, shuffle
        self.seed = sync_random_seed() if seed is None else int(seed)
        self.epoch = 0
        step = (
            batch_size // 2 * self.world_size
        )  # samples of a side that one step of all ranks takes
        longer = max(self.sizes)
        # Where a sample comes again within an epoch, its augmentation must not: ours tells them
        # apart.
        self.again = len(dataset) if isinstance(dataset, SeededCombinedDataset) else 0
        self.num_batches = -(-longer // step) if round_up else longer // step
        if not self.num_batches:
            raise ValueError(
                f'HalfHalfSampler: {longer} samples make no batch of {batch_size} on {self.world_size} ranks, '
                'and round_up=False'
            )

    def __len__(self) -> int:
        """Samples of this rank in an epoch."""
        return self.num_batches * self.batch_size

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass."""
        self.epoch = int(epoch)

    def __iter__(self) -> Iterator[int]:
        total = self.num_batches * self.batch_size // 2 * self.world_size
        sides = []
        for side, size in enumerate(self.sizes):
            generator = torch.Generator()
            # Two streams that never meet: seed + epoch of one side is no seed + epoch of the other.
            generator.manual_seed((self.seed + self.epoch) * 2 + side)
            passes = [
                (torch.randperm(size, generator=generator) if self.shuffle else torch.arange(size))
                + again * self.again
                for again in range(-(-total // size))
            ]
            sides.append(torch.cat(passes)[:total][self.rank :: self.world_size])
        both = torch.stack([sides[0], sides[1] + self.sizes[0]], dim=1)
        return iter(both.flatten().tolist())


def _name(dataset: object) -> str:
    return f'{type(dataset).__name__} of {getattr(dataset, "ann_file", "") or "no file"}'
