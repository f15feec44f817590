# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import logging
import random
import zlib
from collections import Counter
from types import SimpleNamespace

import mmengine.runner.loops
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.dataset import BaseDataset, ConcatDataset, RepeatDataset
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmpose.datasets import CombinedDataset
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.registry import DATA_SAMPLERS, DATASETS
from torch.utils.data import DataLoader, Subset

from wsp_mm.datasets.mcpc import MCPCDataset
from wsp_mm.datasets.sampling import (
    META_KEYS,
    HalfHalfSampler,
    ItemSeedHook,
    SampleMeta,
    SeededCombinedDataset,
    SeededItemsMixin,
    item_randomness,
    seeded_datasets,
)
from wsp_mm.structures.keypoints import pose_metainfo


def three_draws():
    return np.random.rand(), random.random(), torch.rand(1).item()


@DATASETS.register_module()
class Noise(SeededItemsMixin, BaseDataset):
    """Every item is its name, index and three draws, one from each generator; half of the odd items
    are refused.
    """

    def __init__(self, size=8, name='', refuse=True):
        self.size, self.name, self.refuse = size, name, refuse
        super().__init__(serialize_data=False)

    def load_data_list(self):
        return [dict(number=i) for i in range(self.size)]

    def prepare_data(self, idx):
        draws = three_draws()
        refused = self.refuse and idx % 2 and draws[0] < 0.5
        return None if refused else dict(item=(self.name, idx, *draws))


def load(data, num_workers=0, **kwargs):
    fork = 'fork' if num_workers else None
    kwargs |= dict(num_workers=num_workers, multiprocessing_context=fork)
    return DataLoader(data, batch_size=2, collate_fn=list, **kwargs)


def items(*args, **kwargs):
    return [item['item'] for batch in load(*args, **kwargs) for item in batch]


# ------------------------------------------------------------------ randomness of an item
def draw(*key):
    with item_randomness(*key):
        return three_draws()


def test_draws_depend_on_the_key_and_the_outer_state_comes_back():
    def seed():
        np.random.seed(5), random.seed(5), torch.manual_seed(5)

    seed()
    expected = three_draws()
    seed()
    first = draw(0, 1, 2)
    with pytest.raises(RuntimeError), item_randomness(1):
        raise RuntimeError
    assert three_draws() == expected and draw(0, 1, 2) == first
    others = [draw(0, 1, 3), draw(0, 2, 2), draw(1, 1, 2)]
    assert all(a != b for other in others for a, b in zip(other, first, strict=True))
    with item_randomness(0), item_randomness(1):
        assert draw(2) == first  # nested keys add up


def test_items_depend_on_nothing_but_seed_epoch_and_index():
    data = Noise()
    assert data.item_seed is None and items(data) != items(data)
    data.set_item_seed(0, 3)
    alone = items(data)
    np.random.seed(99)
    assert items(data) == alone == items(data, num_workers=2) == items(data, num_workers=3)
    assert items(data, sampler=list(range(7, -1, -1)))[::-1] == alone
    assert data[-2]['item'][2:] == data[6]['item'][2:]
    # Some odd items were refused, and replaced in the same way each time.
    assert any(item[1] != i for i, item in enumerate(alone))
    for key in ((0, 2), (1, 3)):
        data.set_item_seed(*key)
        assert data.item_seed == key and not set(items(data)) & set(alone)
    with pytest.raises(ValueError, match='negative'):
        data.set_item_seed(-1, 0)


def test_workers_that_stay_alive_see_the_epoch():
    data = Noise()
    data.set_item_seed(0, 0)
    loader = load(data, 2, persistent_workers=True)
    epochs = []
    for epoch in (0, 1, 0):
        data.set_item_seed(0, epoch)
        epochs.append([item for batch in loader for item in batch])
    assert epochs[0] == epochs[2] != epochs[1]
    subset = data.get_subset([2, 4])
    assert subset.item_seed == (0, 0)
    subset.set_item_seed(1, 1)
    assert data.item_seed == (0, 0) and items(subset, num_workers=1)[0][1] == 0


def test_every_sample_has_its_own_metainfo():
    metainfo = parse_pose_metainfo(dict(pose_metainfo('h36m18'), dataset_name='x'))
    make = SampleMeta(metainfo)
    one, two = make(), make()
    assert set(one) == set(META_KEYS) and one['dataset_name'] == 'x'
    one['flip_indices'][0] = one['dataset_keypoint_weights'][0] = -1
    np.testing.assert_equal(two, {key: metainfo[key] for key in META_KEYS})


# ------------------------------------------------------------------ wrappers and the hook
def test_wrappers_are_walked():
    one, two, three = Noise(), Noise(), Noise()
    parts = [RepeatDataset(one, 2), Subset(two, [1, 2]), ConcatDataset([three])]
    assert seeded_datasets(SimpleNamespace(datasets=parts)) == [one, two, three]
    assert seeded_datasets(SimpleNamespace()) == [] and issubclass(MCPCDataset, SeededItemsMixin)


def training_set(root, pipeline):
    where = dict(ann_file='mcpc/mcpc_train.json', data_root=str(root))
    # MMEngine collects all garbage after serialising.
    return dict(type='MCPCDataset', pipeline=pipeline, serialize_data=False, **where)


def test_combined_pipelines_are_seeded_too(mcpc_root, pipelines):
    source = training_set(mcpc_root, pipelines[0][:2])
    info = pose_metainfo('mcpc16')
    data = SeededCombinedDataset(info, [source, source], pipeline=pipelines[0][2:])
    assert len(data) == 6 and len(seeded_datasets(data)) == 3
    for part in seeded_datasets(data):
        part.set_item_seed(0, 0)
    first = [data[i]['inputs'] for i in range(6)]
    assert all(torch.equal(first[i], data[i]['inputs']) for i in range(6))
    # The same image through the two sources: keyed by the outer index, so drawn anew.
    assert not torch.equal(first[0], first[3])


class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def forward(self, inputs, data_samples=None, mode='loss'):
        mean = torch.stack([image.float().mean() for image in inputs]).mean()
        return dict(loss=(self.weight - mean / 255) ** 2)


class Record(Hook):
    """Checksums of all images, in the order in which the model sees them."""

    def __init__(self):
        self.seen = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.seen.append([zlib.crc32(image.numpy().tobytes()) for image in data_batch['inputs']])

    def passes(self):
        """The set of checksums of each pass over the data: 3 images, in 2 batches."""
        return [{*self.seen[i], *self.seen[i + 1]} for i in range(0, len(self.seen), 2)]


@pytest.fixture
def train(mcpc_root, pipelines, tmp_path):
    def run(name, num_workers, train_cfg, sampler='DefaultSampler', load_from=None):
        record = Record()
        by_epoch = train_cfg.get('by_epoch', False)
        checkpoint = dict(type='CheckpointHook', interval=1, by_epoch=by_epoch)
        runner = Runner(
            model=Model(),
            work_dir=str(tmp_path / name),
            train_dataloader=dict(
                batch_size=2,
                num_workers=num_workers,
                persistent_workers=num_workers > 0,
                sampler=dict(type=sampler, shuffle=True),
                dataset=training_set(mcpc_root, pipelines[0]),
            ),
            train_cfg=dict(train_cfg),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
            default_hooks=dict(checkpoint=checkpoint, logger=None),
            custom_hooks=[dict(type='ItemSeedHook'), record],
            randomness=dict(seed=11),
            env_cfg=dict(mp_cfg=dict(mp_start_method='fork')),
            default_scope='mmpose',
            experiment_name=f'{name}_{id(record)}',
            load_from=load_from and str(tmp_path / load_from),
            resume=load_from is not None,
        )
        runner.train()
        return runner, record

    return run


BY_EPOCH = dict(by_epoch=True, max_epochs=4, val_interval=100)
BY_ITER = dict(type='IterBasedTrainLoop', max_iters=8, val_interval=100)  # a pass has two


@pytest.mark.parametrize(
    'loop, resumes',
    [(BY_EPOCH, {'epoch_2': (4, 0)}), (BY_ITER, {'iter_3': (3, 0), 'iter_4': (4, 2)})],
    ids=['epochs', 'iterations'],
)
def test_a_resumed_run_equals_an_uninterrupted_one(train, monkeypatch, loop, resumes):
    """Resumed at the end of a pass and within one, with another number of workers."""
    monkeypatch.setattr(mmengine.runner.loops.time, 'sleep', lambda seconds: None)
    whole, seen = train('whole', 2, loop)
    # 4 passes of 3 images each, and no image twice.
    passes = seen.passes()
    assert [len(one) for one in passes] == [3, 3, 3, 3] and len(set().union(*passes)) == 12
    for name, (iterations, workers) in resumes.items():
        resumed, again = train(name, workers, loop, load_from=f'whole/{name}.pth')
        assert again.seen == seen.seen[iterations:]
        assert torch.equal(resumed.model.weight, whole.model.weight)


def hook(dataset, batch_size=2, sampler=None):
    """Run the hook on a loader of a data set."""
    loader = DataLoader(dataset, batch_size=batch_size, sampler=sampler)
    loop, logger = SimpleNamespace(dataloader=loader), logging.getLogger('test_sampling')
    ItemSeedHook().before_train(SimpleNamespace(train_loop=loop, logger=logger))


def test_what_the_hook_refuses(train, caplog):
    with pytest.raises(ValueError, match=r'InfiniteSampler.*DefaultSampler'):
        train('a', 0, BY_ITER, sampler='InfiniteSampler')
    with pytest.raises(ValueError, match='seeded'):
        hook([1, 2])
    data = combined(3, 3)
    hook(data, 4, HalfHalfSampler(data, seed=0))
    with pytest.raises(ValueError, match=r'HalfHalfSampler.*even.*5'):
        hook(data, 5, HalfHalfSampler(data, seed=0))

    class Wrapper(BaseDataset):
        def load_data_list(self):
            return [dict()]

    wrapper = Wrapper(pipeline=[lambda results: results], serialize_data=False)
    wrapper.datasets = [Noise()]
    with caplog.at_level(logging.WARNING, 'test_sampling'):
        hook(wrapper)
    assert 'Wrapper' in caplog.text


# ------------------------------------------------------------------ HalfHalfSampler
def combined(*sizes, kind=SeededCombinedDataset):
    named = zip('abcd', sizes, strict=False)
    parts = [dict(type='Noise', name=name, size=size, refuse=False) for name, size in named]
    draws = [lambda results: dict(item=results['item'], drawn=float(torch.rand(())))]
    return kind(metainfo=pose_metainfo('h36m18'), datasets=parts, pipeline=draws)


def batches(data, size, **kwargs):
    epoch = kwargs.pop('epoch', 0)
    sampler = HalfHalfSampler(data, **dict(seed=7) | kwargs)
    sampler.set_epoch(epoch)
    indices = list(sampler)
    assert len(indices) == len(sampler)
    return [indices[i : i + size] for i in range(0, len(indices), size)]


SIZES = st.integers(1, 30)


@settings(max_examples=25)
@given(
    SIZES, SIZES, st.sampled_from([2, 4, 6]), st.integers(1, 3), st.booleans(), st.integers(0, 5)
)
def test_exact_halves_on_every_rank(a, b, size, world, round_up, epoch):
    data, longer = combined(a, b), max(a, b)
    if not round_up and longer < world:
        return
    seen = Counter()
    for rank in range(world):
        found = batches(data, size, round_up=round_up, rank=rank, world_size=world, epoch=epoch)
        for batch in found:  # the last one may be shorter
            assert 2 * sum(index % (a + b) < a for index in batch) == len(batch)
            seen.update(index % (a + b) for index in batch)
    total = (-(-longer // world) if round_up else longer // world) * world
    for size_of_side, offset in ((a, 0), (b, a)):
        counts = [seen[offset + i] for i in range(size_of_side)]
        # Everybody once before anybody twice; nothing is left out when rounded up.
        assert sum(counts) == total and max(counts) - min(counts) <= 1
        assert min(counts) >= 1 or not round_up


@settings(max_examples=25)
@given(SIZES, SIZES, st.sampled_from([2, 4]), st.integers(2, 3))
def test_ranks_together_take_the_batches_of_one_process(a, b, size, world):
    data = combined(a * world, b)  # the longer side is a multiple of the ranks, or both repeat
    if a * world < b:
        return
    parts = [batches(data, size, rank=rank, world_size=world) for rank in range(world)]
    for batch, *of_ranks in zip(batches(data, size * world), *parts, strict=True):
        assert sorted(batch) == sorted(index for part in of_ranks for index in part)


def test_order_is_a_function_of_seed_and_epoch():
    def order(seed, epoch, **kwargs):
        return batches(combined(9, 5), 20, seed=seed, epoch=epoch, **kwargs)[0]

    assert order(3, 4) == order(3, 4) != order(3, 5)
    assert order(3, 4) == order(4, 3)  # seed + epoch, as MMEngine's own sampler
    straight = [index % 14 for index in order(0, 0, shuffle=False)]
    assert straight == [0, 9, 1, 10, 2, 11, 3, 12, 4, 13, 5, 9, 6, 10, 7, 11, 8, 12]


def test_several_data_sets_a_side():
    data = combined(3, 2, 4, 8)
    found = batches(data, 6, num_3d=2)
    for batch in found:
        names = [data[index]['item'][0] for index in batch]
        assert [name in 'ab' for name in names] == [True, False] * 3
    assert len(found) == 2 * 12 / 6


def test_repeated_samples_are_augmented_anew():
    data = combined(2, 12)
    for part in (data, *data.datasets):
        part.set_item_seed(5, 1)
    indices = [index for batch in batches(data, 4) for index in batch]
    made = [data[index] for index in indices]
    assert made == [data[index] for index in indices]
    threes = [item for item in made if item['item'][0] == 'a']
    assert len(threes) == 12 and {item['item'][1] for item in threes} == {0, 1}
    assert len({item['drawn'] for item in threes}) == 12  # the same two, in twelve ways
    assert data[1] == data[1 - 14] and data[1] != data[15]
    plain = combined(2, 12, kind=CombinedDataset)  # MMPose's has no index beyond its end
    assert max(map(max, batches(plain, 4))) < 14


def test_ranks_from_mmengine(monkeypatch):
    monkeypatch.setattr('wsp_mm.datasets.sampling.get_dist_info', lambda: (1, 2))
    data = combined(8, 8)
    built = DATA_SAMPLERS.build(dict(type='HalfHalfSampler', dataset=data, seed=3))
    assert (built.rank, built.world_size, len(built)) == (1, 2, 8)
    other = HalfHalfSampler(data, seed=3, rank=0, world_size=2)
    assert not set(built) & set(other) and len({*built, *other}) == 16


@pytest.mark.parametrize(
    'kwargs, said',
    [
        (dict(num_3d=0), 'num_3d'),
        (dict(num_3d=2), 'num_3d'),
        (dict(round_up=False, rank=0, world_size=4), '4 ranks'),
        (dict(rank=2, world_size=2), 'rank 2 of 2'),
    ],
)
def test_bad_arguments(kwargs, said):
    data = combined(3, 3)
    with pytest.raises(ValueError, match=said):
        HalfHalfSampler(data, seed=0, **kwargs)
    with pytest.raises(TypeError, match='CombinedDataset'):
        HalfHalfSampler(data.datasets[0])
    data._lens = [3, 0]
    with pytest.raises(ValueError, match='2D'):
        HalfHalfSampler(data, seed=0)
