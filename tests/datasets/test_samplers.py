# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.dataset import BaseDataset
from mmpose.datasets import CombinedDataset
from mmpose.registry import DATA_SAMPLERS, DATASETS
from torch.utils.data import DataLoader

from wsp_mm.datasets.samplers import HalfHalfSampler
from wsp_mm.datasets.seeding import SeededCombinedDataset, SeededItemsMixin
from wsp_mm.structures.keypoints import pose_metainfo


@DATASETS.register_module()
class Numbered(SeededItemsMixin, BaseDataset):
    """Items are (name, number, a random number)."""

    def __init__(self, name, size):
        self.name, self.size = name, size
        super().__init__(serialize_data=False)

    def load_data_list(self):
        return [dict(number=i) for i in range(self.size)]

    def prepare_data(self, idx):
        return dict(name=self.name, number=idx)


def draw(results):
    return results['name'], results['number'], float(torch.rand(()))


def combined(*sizes, kind=SeededCombinedDataset):
    parts = [dict(type='Numbered', name=chr(97 + i), size=size) for i, size in enumerate(sizes)]
    return kind(metainfo=pose_metainfo('h36m18'), datasets=parts, pipeline=[draw])


def batches(sampler, size):
    indices = list(sampler)
    return [indices[i : i + size] for i in range(0, len(indices), size)]


@settings(max_examples=25)
@given(
    st.integers(1, 30), st.integers(1, 30), st.sampled_from([2, 4, 6]), st.integers(1, 3), st.booleans(),
    st.integers(0, 5),
)  # fmt: skip
def test_exact_halves_on_every_rank(a, b, batch_size, world, round_up, epoch):
    data = combined(a, b)
    longer, step = max(a, b), batch_size // 2 * world
    if not round_up and longer < step:
        return
    seen, lengths = Counter(), set()
    for rank in range(world):
        sampler = HalfHalfSampler(
            data, batch_size, seed=7, round_up=round_up, rank=rank, world_size=world
        )
        sampler.set_epoch(epoch)
        found = batches(sampler, batch_size)
        lengths.add(len(found))
        assert len(sampler) == sum(map(len, found))
        for batch in found:
            sides = [index % (a + b) < a for index in batch]
            assert len(batch) == batch_size and sum(sides) == batch_size // 2
            seen.update(index % (a + b) for index in batch)
    count = -(-longer // step) if round_up else longer // step
    assert lengths == {count}
    total = count * step
    for size, offset in ((a, 0), (b, a)):
        counts = [seen[offset + i] for i in range(size)]
        # Everybody once before anybody twice; nothing is left out when rounded up.
        assert sum(counts) == total and max(counts) - min(counts) <= 1
        if round_up:
            assert min(counts) >= 1


@settings(max_examples=25)
@given(
    st.integers(1, 30),
    st.integers(1, 30),
    st.sampled_from([2, 4]),
    st.integers(2, 3),
    st.booleans(),
)
def test_ranks_together_take_the_batches_of_one_process(a, b, batch_size, world, round_up):
    data = combined(a, b)
    if not round_up and max(a, b) < batch_size // 2 * world:
        return

    def taken(size, rank, of):
        sampler = HalfHalfSampler(data, size, seed=7, round_up=round_up, rank=rank, world_size=of)
        return batches(sampler, size)

    parts = [taken(batch_size, rank, world) for rank in range(world)]
    for batch, *of_ranks in zip(taken(batch_size * world, 0, 1), *parts, strict=True):
        assert sorted(batch) == sorted(index for part in of_ranks for index in part)


def test_order_is_a_function_of_seed_and_epoch():
    data = combined(9, 5)

    def order(seed, epoch, **kwargs):
        sampler = HalfHalfSampler(data, 4, seed=seed, rank=0, world_size=1, **kwargs)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(3, 4) == order(3, 4) != order(3, 5)
    assert order(3, 4) == order(4, 3)  # seed + epoch, as MMEngine's own sampler
    straight = [index % 14 for index in order(0, 0, shuffle=False)]
    assert straight == [0, 9, 1, 10, 2, 11, 3, 12, 4, 13, 5, 9, 6, 10, 7, 11, 8, 12, 0, 13]


def test_a_resumed_run_sees_the_same_epoch():
    data = combined(9, 5)
    whole = HalfHalfSampler(data, 4, seed=1)
    orders = []
    for epoch in range(3):
        whole.set_epoch(epoch)
        orders.append(list(whole))
    resumed = HalfHalfSampler(data, 4, seed=1)
    resumed.set_epoch(2)
    assert list(resumed) == orders[2] and orders[0] != orders[1]


def test_several_data_sets_a_side():
    data = combined(3, 2, 4, 8)
    sampler = HalfHalfSampler(data, 6, num_3d=2, seed=0)
    for batch in batches(sampler, 6):
        names = Counter(data[index][0] for index in batch)
        assert names['a'] + names['b'] == 3 and names['c'] + names['d'] == 3
    assert len(sampler) == 2 * 12


def test_any_even_batch_of_the_loader_has_halves():
    data = combined(7, 20)
    data.set_item_seed(0, 0)
    for loader in DataLoader(data, batch_size=2, sampler=HalfHalfSampler(data, 8, seed=0)):
        assert loader[0] == ['a', 'b'] or tuple(loader[0]) == ('a', 'b')


def test_repeated_samples_are_augmented_anew():
    data = combined(2, 12)
    for part in (data, *data.datasets):
        part.set_item_seed(5, 1)
    items = [data[index] for index in HalfHalfSampler(data, 4, seed=0)]
    assert items == [data[index] for index in HalfHalfSampler(data, 4, seed=0)]
    threes = [item for item in items if item[0] == 'a']
    assert len(threes) == 12 and {number for _, number, _ in threes} == {0, 1}
    assert len({value for *_, value in threes}) == 12  # the same two, in twelve ways
    assert data[1] == data[1 - 14] and data[1][:2] == data[15][:2] and data[1] != data[15]
    with pytest.raises(ValueError):  # MMPose's own knows nothing of that, and is not asked for it
        combined(2, 12, kind=CombinedDataset)[14]
    assert max(HalfHalfSampler(combined(2, 12, kind=CombinedDataset), 4, seed=0)) < 14


def test_ranks_from_mmengine(monkeypatch):
    monkeypatch.setattr('wsp_mm.datasets.samplers.get_dist_info', lambda: (1, 2))
    data = combined(8, 8)
    sampler = DATA_SAMPLERS.build(
        dict(type='HalfHalfSampler', batch_size=4), default_args=dict(dataset=data, seed=3)
    )
    assert (sampler.rank, sampler.world_size, len(sampler)) == (1, 2, 8)
    monkeypatch.undo()
    other = HalfHalfSampler(data, 4, seed=3, rank=0, world_size=2)
    assert not set(sampler) & set(other) and len({*sampler, *other}) == 16


@pytest.mark.parametrize(
    'kwargs, said',
    [
        (dict(batch_size=5), 'must be even'),
        (dict(batch_size=0), 'must be even'),
        (dict(batch_size=4, num_3d=0), 'num_3d'),
        (dict(batch_size=4, num_3d=2), 'num_3d'),
        (dict(batch_size=64, round_up=False), 'make no batch of 64'),
        (dict(batch_size=4, rank=2, world_size=2), 'no rank 2 of 2'),
    ],
)
def test_bad_arguments(kwargs, said):
    with pytest.raises(ValueError, match=said):
        HalfHalfSampler(combined(3, 3), seed=0, **kwargs)
    with pytest.raises(TypeError, match='CombinedDataset'):
        HalfHalfSampler(combined(3, 3).datasets[0], 4)


def test_an_empty_side():
    data = combined(3, 3)
    data._lens = [3, 0]
    with pytest.raises(ValueError, match=r'the 2D side is empty \(Numbered'):
        HalfHalfSampler(data, 4, seed=0)
