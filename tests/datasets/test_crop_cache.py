# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The crop cache as a whole: written, resumed, refused, read in workers, trained on."""

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import wsp_mm.register  # noqa: F401
from wsp_mm.datasets.crop_cache import CropCache, CropCacheError, read_manifest, sample_key
from wsp_mm.datasets.crop_cache_writer import Cutter, is_whole, write_cache
from wsp_mm.datasets.crop_check import annotation_files
from wsp_mm.datasets.crop_reach import Reach
from wsp_mm.datasets.h36m_image import H36MImageDataset
from wsp_mm.datasets.seeding import SeededCombinedDataset


def pipeline(cache=None, jitter=None, pad=1.25, side=64):
    codec = dict(type='Integral3DLabel', input_size=(side, side), heatmap_size=(16, 16, 16))
    return [
        dict(type='ReadPicture', crop_cache=None if cache is None else str(cache)),
        dict(type='PersonCenterScale', padding=pad),
        dict(type='RandomOcclusion'),
        dict(type='RandomFlip', prob=0.5, direction='horizontal'),
        dict(type='PersonRandomBBoxTransform', **(jitter or {})),
        dict(type='PersonTopdownAffine', input_size=(side, side)),
        dict(type='GenerateTarget', encoder=codec),
        dict(type='PackPose3DInputs'),
    ]


def data(root, cache=None, **more):
    steps = pipeline(
        cache, **{key: more.pop(key) for key in ('jitter', 'pad', 'side') if key in more}
    )
    return H36MImageDataset(str(root), **(dict(subjects=[1, 5], pipeline=steps) | more))


def write(folder, dataset, shard_size=24, workers=0, quality=95, **more):
    cutter = Cutter(dataset.pipeline.transforms, quality)
    arguments = dict(type='H36MImageDataset', subjects=[1, 5])
    return write_cache(
        folder, dataset, cutter, arguments, annotation_files(dataset), shard_size, workers, **more
    )


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope='module')
def cache(h36m_root, tmp_path_factory):
    from mmengine.registry import init_default_scope

    init_default_scope('mmpose')
    folder = tmp_path_factory.mktemp('crops')
    write(folder, data(h36m_root))
    return folder


def test_training_samples_are_those_of_the_frames(h36m_root, cache):
    frames, cached = data(h36m_root), data(h36m_root, cache)
    for dataset in (frames, cached):
        dataset.set_item_seed(1, 2)
    for i in range(0, len(frames), 5):
        one, two = frames[i], cached[i]
        assert (one['inputs'].float() - two['inputs'].float()).abs().mean() < 2
        for key, value in one['data_samples'].gt_instance_labels.items():
            assert torch.equal(value, two['data_samples'].gt_instance_labels[key])
        assert two['data_samples'].img_shape == (200, 200)


def test_what_a_cache_says_of_itself(h36m_root, cache):
    manifest = read_manifest(cache)
    assert manifest['complete'] and manifest['samples'] == 64 and manifest['quality'] == 95
    assert manifest['shards'] == [(cache / f'shard-0000{n}.bin').stat().st_size for n in range(3)]
    assert manifest['reach'] == dict(
        padding=1.25, aspect=1.0, input_size=[64, 64], scale=[0.75, 1.25], turn=60.0
    )
    assert len(manifest['annotations']) == 6 and all(
        len(f['sha256']) == 64 for f in manifest['annotations']
    )
    frames = {sample['img_path'] for sample in map(data(h36m_root).get_data_info, range(64))}
    assert manifest['frame_bytes'] == sum(os.path.getsize(path) for path in frames)


def test_processes_and_order_change_no_byte(h36m_root, cache, tmp_path):
    counts = []
    done = write(tmp_path / 'two', data(h36m_root), workers=2, progress=counts.append)
    assert contents(tmp_path / 'two') == contents(cache)
    assert done.samples == done.cut == counts[-1] == 64 and counts == sorted(counts)
    assert done.cache_bytes == sum(read_manifest(cache)['shards'])


def test_whole_shards_are_kept(h36m_root, cache, tmp_path):
    folder = tmp_path / 'crops'
    write(folder, data(h36m_root))
    (folder / 'shard-00001.bin').write_bytes((folder / 'shard-00001.bin').read_bytes()[:-7])
    assert [is_whole(folder, n, count) for n, count in enumerate((24, 24, 16))] == [
        True,
        False,
        True,
    ]
    with pytest.raises(CropCacheError, match='shard 1 has'):
        CropCache(folder)
    kept = (folder / 'shard-00000.bin').stat().st_mtime_ns
    assert write(folder, data(h36m_root)).cut == 24
    assert (
        contents(folder) == contents(cache)
        and (folder / 'shard-00000.bin').stat().st_mtime_ns == kept
    )
    # Bytes that moved within a file of the right length.
    moved = bytearray((folder / 'shard-00002.bin').read_bytes())
    (folder / 'shard-00002.bin').write_bytes(moved[1:] + moved[:1])
    assert (
        not is_whole(folder, 2, 16) and not is_whole(folder, 0, 23) and not is_whole(folder, 9, 1)
    )


_ENDLESS = """
import sys, time
import test_crop_cache as here
from mmengine.registry import init_default_scope
init_default_scope('mmpose')
dataset = here.data(sys.argv[1])
plain = dataset.get_data_info
def slow(i):
    if i >= 40:
        print('late', flush=True)
        time.sleep(600)
    return plain(i)
dataset.get_data_info = slow
here.write(here.Path(sys.argv[2]), dataset, workers=int(sys.argv[3]))
"""


@pytest.mark.slow
@pytest.mark.parametrize('workers', [0, 2])
def test_after_a_kill_it_goes_on(h36m_root, cache, tmp_path, workers):
    folder = tmp_path / 'crops'
    script = _ENDLESS.replace('here.Path', '__import__("pathlib").Path')
    path = os.pathsep.join([os.path.dirname(__file__), os.environ.get('PYTHONPATH', '')])
    process = subprocess.Popen(
        [sys.executable, '-c', script, str(h36m_root), str(folder), str(workers)],
        stdout=subprocess.PIPE, text=True, env=dict(os.environ, PYTHONPATH=path), start_new_session=True,
    )  # fmt: skip
    try:
        assert 'late\n' in process.stdout
        deadline = time.monotonic() + 60
        while not (folder / 'shard-00000.npy').exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.kill()
        process.wait()
        # Its workers see that it is gone, and close the pipe.
        process.stdout.read()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    with pytest.raises(
        CropCacheError, match='is not finished: give the command that began it once more'
    ):
        CropCache(folder)
    assert write(folder, data(h36m_root)).cut == 40, 'the first shard is kept'
    assert contents(folder) == contents(cache)


def test_for_something_else_a_folder_is_refused(h36m_root, cache):
    before = contents(cache)
    with pytest.raises(
        CropCacheError, match='made for something else: quality is 95 there, 90 here'
    ):
        write(cache, data(h36m_root), quality=90)
    with pytest.raises(CropCacheError, match='something else: reach is'):
        write(cache, data(h36m_root, jitter=dict(scale=0.1)))
    assert contents(cache) == before
    with pytest.raises(
        ValueError, match='with ReadPicture, PersonCenterScale and PersonTopdownAffine'
    ):
        Cutter(data(h36m_root).pipeline.transforms[:3], 95)


@pytest.mark.parametrize(
    'more, said',
    [
        (dict(jitter=dict(scale=0.3)), 'grow up to x 1.25 in the cache, x 1.3 in the pipeline; crops shrink'),
        (dict(jitter=dict(rotation=40.0)), 'turn up to 60 degrees in the cache, 80 in the pipeline'),
        (dict(pad=1.5), 'padding is 1.25 in the cache, 1.5 in the pipeline'),
        (dict(side=96), r'the input is of 64 x 64 px in the cache, 96 x 96 in the pipeline: pixels would'),
        (dict(subjects=[1, 5, 6]), r'lacks annotation .* 64 samples of H36MImageDataset\(subjects=\[1, 5'),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(h36m_root, cache, more, said):
    with pytest.raises(CropCacheError, match=said) as error:
        data(h36m_root, cache, **more)
    assert f'python tools/dataset_converters/cache_crops.py CONFIG {cache}' in str(error.value)


def test_less_augmentation_and_part_of_the_data_will_do(h36m_root, cache):
    gentle = dict(scale=0.1, rotation=20.0, rotate_prob=0.0)
    assert len(data(h36m_root, cache, jitter=gentle, actions='Walking', subjects=[5])) == 16
    assert len(data(h36m_root, cache, side=48)) == 64


def test_tests_take_frames(h36m_root, cache):
    with pytest.raises(ValueError, match=r'test_mode=True.* tests take frames'):
        data(h36m_root, cache, subjects=[1], test_mode=True)


@pytest.fixture
def copy(lab, tmp_path):
    """A small tree of its own and its cache."""
    lab.write_3dmppe(tmp_path, (1, 5))
    write(tmp_path / 'crops', data(tmp_path))
    return tmp_path


def test_changed_annotations_and_frames(copy):
    path = copy / 'human36m' / 'annotations' / 'Human36M_subject5_data.json'
    text = path.read_text()
    path.write_text(text)  # another date, the same content
    assert len(data(copy, copy / 'crops')) == 64
    path.write_text(text + ' ')
    with pytest.raises(
        CropCacheError, match=r'subject5_data.json .* bytes\) is not the one that the crop cache'
    ):
        data(copy, copy / 'crops')
    path.write_text(text.replace('"id": 550000', '"id": 550009'))
    with pytest.raises(CropCacheError, match='is not the one'):
        data(copy, copy / 'crops')
    path.write_text(text)
    frame = data(copy).get_data_info(0)['img_path']
    with open(frame, 'ab') as file:
        file.write(b'more')
    with pytest.raises(CropCacheError, match=r'\.jpg has .* bytes, it had .* when the crop cache'):
        data(copy, copy / 'crops')
    os.remove(frame)  # frames may be elsewhere
    assert data(copy, copy / 'crops')[0]['inputs'].shape == (3, 64, 64)


def test_the_index_stands_for_its_files(copy, lab):
    from wsp_mm.datasets.converters.mcpc.records import Findings
    from wsp_mm.datasets.h36m_3dmppe import read_3dmppe
    from wsp_mm.datasets.h36m_index import write_index

    table = read_3dmppe(copy / 'human36m' / 'annotations', (1, 5), (5,), Findings())
    write_index(copy / 'human36m' / 'h36m.index', table, copy)
    assert len(data(copy, copy / 'crops', layout='index')) == 64


def test_not_a_cache(h36m_root, cache, tmp_path):
    with pytest.raises(
        CropCacheError, match=r'holds no crop cache\. Make one for this training: python'
    ):
        data(h36m_root, tmp_path)
    manifest = read_manifest(cache)
    for change, said in ((dict(version=9), 'of version 9'), (dict(complete=False), 'not finished')):
        (tmp_path / 'manifest.json').write_text(json.dumps(manifest | change))
        with pytest.raises(CropCacheError, match=said):
            CropCache(tmp_path)
    (tmp_path / 'manifest.json').write_text('[]')
    with pytest.raises(CropCacheError, match='no manifest of a crop cache'):
        CropCache(tmp_path)


def test_in_a_mixture_each_data_set_has_its_own(h36m_root, cache):
    def mixture(inner, outer, **more):
        part = dict(
            type='H36MImageDataset', data_root=str(h36m_root), subjects=[1, 5], pipeline=inner
        )
        frames = dict(part, subjects=[6, 7], pipeline=[])
        return SeededCombinedDataset(
            joint_set='h36m18', datasets=[part, frames], pipeline=pipeline(outer, **more)
        )

    read = [dict(type='ReadPicture', crop_cache=str(cache))]
    dataset = mixture(read, None)
    dataset.set_item_seed(0, 0)
    assert dataset[3]['inputs'].shape == dataset[70]['inputs'].shape == (3, 64, 64)
    with pytest.raises(CropCacheError, match='grow up to'):
        mixture(read, None, jitter=dict(scale=0.4))
    with pytest.raises(
        CropCacheError, match=r'was made of H36MImageDataset, not of SeededCombinedDataset\. In a'
    ):
        mixture([], cache)


def test_workers_share_what_is_mapped(h36m_root, cache):
    dataset = data(h36m_root, cache)
    dataset.set_item_seed(0, 0)
    here = [dataset[i]['inputs'] for i in range(len(dataset))]
    reader = dataset.pipeline.transforms[0].cache
    assert all(
        isinstance(array, np.memmap)
        for array in (reader._keys, reader._records, *reader._shards.values())
    )
    loader = DataLoader(
        dataset,
        8,
        num_workers=2,
        multiprocessing_context='fork',
        collate_fn=lambda b: [s['inputs'] for s in b],
    )
    there = [picture for batch in loader for picture in batch]
    assert all(torch.equal(a, b) for a, b in zip(here, there, strict=True)) and len(there) == 64
    again = pickle.loads(pickle.dumps(reader))
    assert len(again) == 64 and not again._shards and len(pickle.dumps(reader)) < 400


def test_a_key_is_of_name_id_and_box():
    sample = dict(img_path='/a/b/c.jpg', id=3, bbox=np.array([[1, 2, 3, 4]], dtype=np.float32))
    key = sample_key(sample)
    assert key == sample_key(dict(sample, img_path='elsewhere/c.jpg', bbox=[[1, 2, 3, 4.0]]))
    for change in (
        dict(img_path='/a/b/d.jpg'),
        dict(id=4),
        dict(bbox=[[1, 2, 3, 5]]),
        dict(bbox_extended=True),
    ):
        assert sample_key(sample | change) != key


def test_unknown_jitter_is_no_guess():
    from mmpose.registry import TRANSFORMS

    steps = [TRANSFORMS.build(step) for step in pipeline()]
    steps[4] = TRANSFORMS.build(dict(type='RandomBBoxTransform'))
    with pytest.raises(
        ValueError, match='knows how far PersonRandomBBoxTransform goes, not RandomBBoxTransform'
    ):
        Reach.of(steps)


def test_persons_without_a_usable_box(h36m_root, tmp_path):
    """skip_bad: they have a record and no picture, and training leaves them out as it does with
    frames.
    """

    def build(cache=None):
        steps = pipeline(cache)
        steps[1]['skip_bad'] = True
        return data(h36m_root, pipeline=steps)

    class OneBad:
        def __init__(self, dataset):
            self.dataset = dataset

        def __len__(self):
            return 4

        def get_data_info(self, i):
            info = self.dataset.get_data_info(i)
            return (
                dict(info, bbox=np.array([[10.0, 10, 10, 10]], dtype=np.float32))
                if i == 2
                else info
            )

    bad = OneBad(build())
    cutter = Cutter(bad.dataset.pipeline.transforms, 90)
    write_cache(
        tmp_path,
        bad,
        cutter,
        dict(type='H36MImageDataset'),
        annotation_files(bad.dataset),
        workers=0,
    )
    reader = CropCache(tmp_path)
    assert [int(reader.record(bad.get_data_info(i))['length']) > 0 for i in range(4)] == [
        True,
        True,
        False,
        True,
    ]
    sample = bad.dataset.pipeline.transforms[0]
    sample.cache = reader
    assert bad.dataset.pipeline(bad.get_data_info(2)) is None
    assert bad.dataset.pipeline(bad.get_data_info(1)) is not None
