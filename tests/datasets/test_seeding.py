# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import random
import zlib
from contextlib import nullcontext

import mmengine.runner.loops
import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset, ConcatDataset, RepeatDataset
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import DataLoader, SequentialSampler, Subset

from wsp_mm.datasets.mcpc import MCPCDataset
from wsp_mm.datasets.seeding import (
    ItemSeedHook,
    SeededCombinedDataset,
    SeededItemsMixin,
    item_randomness,
    seeded_datasets,
)
from wsp_mm.structures.keypoints import pose_metainfo


class Noise(SeededItemsMixin, BaseDataset):
    """Every item is its index and three draws, one from each generator; odd items are refused
    sometimes.
    """

    def __init__(self, length=8, **kwargs):
        self.length = length
        super().__init__(serialize_data=False, **kwargs)

    def load_data_list(self):
        return [dict(number=i) for i in range(self.length)]

    def prepare_data(self, idx):
        draws = np.random.rand(), random.random(), torch.rand(1).item()
        if idx % 2 and draws[0] < 0.5:
            return None
        return (idx, *draws)


def items(data, num_workers=0, order=None, **kwargs):
    loader = DataLoader(
        data,
        batch_size=2,
        sampler=order,
        num_workers=num_workers,
        collate_fn=list,
        multiprocessing_context='fork' if num_workers else None,
        **kwargs,
    )
    return [item for batch in loader for item in batch]


def test_draws_depend_on_the_key_and_the_outer_state_comes_back():
    def draw(*key):
        with item_randomness(*key):
            return np.random.rand(), random.random(), torch.rand(1).item()

    np.random.seed(5), random.seed(5), torch.manual_seed(5)
    expected = np.random.rand(), random.random(), torch.rand(1).item()
    np.random.seed(5), random.seed(5), torch.manual_seed(5)
    first = draw(0, 1, 2)
    assert (np.random.rand(), random.random(), torch.rand(1).item()) == expected
    assert draw(0, 1, 2) == first
    others = [draw(0, 1, 3), draw(0, 2, 2), draw(1, 1, 2)]
    assert all(a != b for other in others for a, b in zip(other, first, strict=True))


def test_state_comes_back_after_an_error():
    np.random.seed(3)
    expected = np.random.rand()
    np.random.seed(3)
    with pytest.raises(RuntimeError), item_randomness(1):
        raise RuntimeError
    assert np.random.rand() == expected


def test_nested_keys_add_up():
    def inner(outer):
        with item_randomness(outer), item_randomness(7):
            return np.random.rand()

    assert inner(1) == inner(1) != inner(2)


def test_items_do_not_depend_on_workers_or_order():
    data = Noise()
    data.set_item_seed(0, 3)
    alone = items(data)
    np.random.seed(99)
    assert items(data) == alone == items(data, num_workers=2) == items(data, num_workers=3)
    backwards = items(data, order=list(range(7, -1, -1)))
    assert backwards[::-1] == alone
    assert data[-2][1:] == data[6][1:]
    # Some odd items were refused, and replaced in the same way each time.
    assert any(item[0] != i for i, item in enumerate(alone))


def test_epochs_and_seeds_differ():
    data = Noise()
    runs = {}
    for key in ((0, 0), (0, 1), (1, 0), (0, 0)):
        data.set_item_seed(*key)
        assert data.item_seed == key
        runs.setdefault(key, []).append(items(data))
    assert runs[0, 0][0] == runs[0, 0][1]
    assert not set(runs[0, 0][0]) & set(runs[0, 1][0]) and not set(runs[0, 0][0]) & set(
        runs[1, 0][0]
    )


def test_without_a_seed_nothing_is_seeded():
    data = Noise()
    assert data.item_seed is None
    assert items(data) != items(data)
    with pytest.raises(ValueError, match='must not be negative'):
        data.set_item_seed(-1, 0)


def test_workers_that_stay_alive_see_the_epoch():
    data = Noise()
    data.set_item_seed(0, 0)
    loader = DataLoader(
        data,
        2,
        num_workers=2,
        persistent_workers=True,
        collate_fn=list,
        multiprocessing_context='fork',
    )
    epochs = []
    for epoch in (0, 1, 0):
        data.set_item_seed(0, epoch)
        epochs.append([item for batch in loader for item in batch])
    assert epochs[0] == epochs[2] != epochs[1]
    assert data.get_subset([0, 1]).item_seed == (0, 0)


def test_subsets_have_a_key_of_their_own():
    data = Noise()
    subset = data.get_subset([2, 4])
    subset.set_item_seed(1, 1)
    assert data.item_seed is None
    assert items(subset, num_workers=1)[0][0] == 0


def test_wrappers_are_walked():
    one, two, three = Noise(), Noise(), Noise()

    class Box:
        def __init__(self, **kwargs):
            vars(self).update(kwargs)

    nested = Box(datasets=[RepeatDataset(one, 2), Subset(two, [1, 2]), ConcatDataset([three])])
    assert seeded_datasets(nested) == [one, two, three]
    assert seeded_datasets(Box()) == []


def test_combined_pipelines_are_seeded_too(mcpc_root, pipelines):
    source = dict(
        type='MCPCDataset',
        ann_file='mcpc/mcpc_train.json',
        data_root=str(mcpc_root),
        pipeline=pipelines[0][:2],
    )
    data = SeededCombinedDataset(
        pose_metainfo('mcpc16'), [source, source], pipeline=pipelines[0][2:]
    )
    assert len(data) == 6 and len(seeded_datasets(data)) == 3
    for part in seeded_datasets(data):
        part.set_item_seed(0, 0)
    first = items(data)
    for a, b in zip(first, items(data, num_workers=2), strict=True):
        assert torch.equal(a['inputs'], b['inputs'])
    # The same picture through the two sources: keyed by the outer index, so drawn anew.
    assert not torch.equal(first[0]['inputs'], first[3]['inputs'])


class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def forward(self, inputs, data_samples=None, mode='loss'):
        mean = torch.stack([image.float().mean() for image in inputs]).mean()
        return dict(loss=(self.weight - mean / 255) ** 2)


class Record(Hook):
    """Checksums of all pictures, in the order in which the model sees them."""

    def __init__(self):
        self.seen = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.seen.append([zlib.crc32(image.numpy().tobytes()) for image in data_batch['inputs']])

    def passes(self):
        """The set of checksums of each pass over the data: 3 pictures, in 2 batches."""
        return [{*self.seen[i], *self.seen[i + 1]} for i in range(0, len(self.seen), 2)]


def assert_all_differ(passes):
    """4 passes of 3 pictures each, and no picture twice."""
    assert [len(one) for one in passes] == [3, 3, 3, 3] and len(set().union(*passes)) == 12


def make_runner(
    root, pipeline, work_dir, num_workers=2, train_cfg=None, sampler='DefaultSampler', **kwargs
):
    by_epoch = train_cfg is None
    record = Record()
    runner = Runner(
        model=Model(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=2,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            sampler=dict(type=sampler, shuffle=True),
            dataset=dict(
                type='MCPCDataset',
                ann_file='mcpc/mcpc_train.json',
                data_root=str(root),
                pipeline=pipeline,
                serialize_data=False,  # three pictures; MMEngine collects all garbage after serialising
            ),
        ),
        train_cfg=train_cfg or dict(type='EpochBasedTrainLoop', max_epochs=4),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', interval=1, by_epoch=by_epoch), logger=None
        ),
        custom_hooks=[dict(type='ItemSeedHook'), record],
        randomness=dict(seed=11),
        env_cfg=dict(mp_cfg=dict(mp_start_method='fork')),
        default_scope='mmpose',
        experiment_name=f'{work_dir.name}_{id(record)}',
        **kwargs,
    )
    return runner, record


def test_a_resumed_run_equals_an_uninterrupted_one(mcpc_root, pipelines, tmp_path):
    whole, seen = make_runner(mcpc_root, pipelines[0], tmp_path / 'whole')
    whole.train()
    assert_all_differ(seen.passes())
    resumed, again = make_runner(
        mcpc_root,
        pipelines[0],
        tmp_path / 'resumed',
        num_workers=0,
        load_from=str(tmp_path / 'whole/epoch_2.pth'),
        resume=True,
    )
    resumed.train()
    assert again.seen == seen.seen[4:]
    assert torch.equal(resumed.model.weight, whole.model.weight)


@pytest.mark.parametrize('num_workers', [0, 2])
def test_iteration_loops_count_passes(mcpc_root, pipelines, tmp_path, monkeypatch, num_workers):
    monkeypatch.setattr(mmengine.runner.loops.time, 'sleep', lambda seconds: None)
    loop = dict(
        type='IterBasedTrainLoop', max_iters=8, val_interval=100
    )  # a pass has two iterations
    whole, seen = make_runner(mcpc_root, pipelines[0], tmp_path / 'whole', num_workers, dict(loop))
    whole.train()
    assert_all_differ(seen.passes())
    for iteration in (3, 4):  # within a pass, and at its end
        resumed, again = make_runner(
            mcpc_root,
            pipelines[0],
            tmp_path / f'resumed_{iteration}',
            num_workers,
            dict(loop),
            load_from=str(tmp_path / f'whole/iter_{iteration}.pth'),
            resume=True,
        )
        resumed.train()
        assert again.seen == seen.seen[iteration:]
        assert torch.equal(resumed.model.weight, whole.model.weight)


def test_the_hook_refuses_what_it_cannot_key(mcpc_root, pipelines, tmp_path):
    loop = dict(type='IterBasedTrainLoop', max_iters=2, val_interval=100)
    runner, _ = make_runner(
        mcpc_root, pipelines[0], tmp_path / 'a', 0, loop, sampler='InfiniteSampler'
    )
    with pytest.raises(ValueError, match=r'InfiniteSampler has no epochs.*DefaultSampler'):
        runner.train()

    class Loop:
        dataloader = DataLoader([1, 2])

    class FakeRunner:
        train_loop = Loop()

    with pytest.raises(ValueError, match='no data set that is seeded'):
        ItemSeedHook().before_train(FakeRunner())

    # 3D and 2D take turns, so that batches of any even size are half and half, and no others.
    HalfHalfSampler = type('HalfHalfSampler', (SequentialSampler,), {})
    for size in (4, 5):
        noise = Noise()
        Loop.dataloader = DataLoader(noise, batch_size=size, sampler=HalfHalfSampler(noise))
        with (
            pytest.raises(ValueError, match=r'must be even .* got 5') if size % 2 else nullcontext()
        ):
            ItemSeedHook().before_train(FakeRunner())


def test_the_hook_names_wrappers_that_draw_outside_of_items(caplog):
    import logging

    class Wrapper(BaseDataset):
        def load_data_list(self):
            return [dict()]

    wrapper = Wrapper(pipeline=[lambda results: results], serialize_data=False)
    wrapper.datasets = [Noise()]

    class Loop:
        dataloader = DataLoader(wrapper)

    class FakeRunner:
        train_loop = Loop()
        logger = logging.getLogger('test_seeding')

    with caplog.at_level(logging.WARNING, 'test_seeding'):
        ItemSeedHook().before_train(FakeRunner())
    assert 'Wrapper runs transforms that are not seeded' in caplog.text


def test_mcpc_is_seeded():
    assert issubclass(MCPCDataset, SeededItemsMixin)
