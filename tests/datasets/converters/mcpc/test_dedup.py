# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsp_mm.datasets.annotations import AnnotationError
from wsp_mm.datasets.converters.mcpc.dedup import (
    image_hashes,
    near_pairs,
    remove_duplicates,
)
from wsp_mm.datasets.converters.mcpc.options import BuildOptions
from wsp_mm.datasets.converters.mcpc.sources import SOURCES, Image


@given(st.integers(0, 10**6), st.integers(0, 12))
def test_near_pairs_equal_brute_force(seed, distance):
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 2**63, 6, dtype=np.uint64)
    hashes = []
    for value in base[rng.integers(0, 6, 24)]:
        for bit in rng.integers(0, 64, rng.integers(0, 8)):
            value ^= np.uint64(1) << np.uint64(bit)
        hashes.append(value)
    hashes, group = np.array(hashes, dtype=np.uint64), rng.integers(0, 3, 24)
    slow = [
        (i, j)
        for i, j in itertools.combinations(range(24), 2)
        if group[i] != group[j] and bin(int(hashes[i]) ^ int(hashes[j])).count('1') <= distance
    ]
    assert [tuple(p) for p in near_pairs(hashes, group, distance).tolist()] == slow


def test_near_pairs_of_many():
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**63, 30000, dtype=np.uint64)
    hashes[20000:20050] = hashes[:50] ^ np.uint64(0b101)
    group = (np.arange(30000) >= 15000).astype(int)
    pairs = near_pairs(hashes, group, 4)
    assert {(i, i + 20000) for i in range(50)} <= {tuple(p) for p in pairs.tolist()}


def test_hashes_survive_size_and_compression(tree):
    first = image_hashes(tree.image('a.jpg', seed=1))
    again = image_hashes(tree.image('b.jpg', seed=1, size=(400, 300), quality=40))
    other = image_hashes(tree.image('c.jpg', seed=2))
    for k in range(2):
        assert (first[k] ^ again[k]).bit_count() <= 4
        assert (first[k] ^ other[k]).bit_count() > 10


@pytest.fixture
def run(tree):
    """``run(names, findings)`` compares images called SOURCE/SPLIT/NAME; those marked as gone."""

    def run(names, findings, mode='drop'):
        images = [Image(*name.split('/', 2), name, 'a.json') for name in names]
        for image in images:
            image.file_name = image.source_id.partition('/')[2]
        roots = {source: tree.root / source for source in SOURCES}
        options = BuildOptions(roots, tree.root, dedup=mode, progress=False)
        report = remove_duplicates(images, options, findings)
        return [image.source_id for image in images if image.gone], report

    return run


def test_copies_go(tree, run, strict):
    names = dict(
        coco=dict(train=[(1, 1), (2, 2), (5, 5), (6, 5)]),  # of one group: not compared
        mpii=dict(train=[(2, 2)]),
        crowdpose=dict(test=[(1, 1), (3, 3)]),
    )
    written = []
    for source, splits in names.items():
        for split, images in splits.items():
            for name, seed in images:
                written.append(f'{source}/{split}/{name}.jpg')
                quality = 60 + 10 * len(written) % 40
                tree.image(written[-1], seed=seed, size=(480, 360), quality=quality)
    gone, report = run(written, strict)
    # The test image stays; of two training images the first in order.
    assert gone == ['coco/train/1.jpg', 'mpii/train/2.jpg']
    assert report['pairs_found'] == {'train-train': 1, 'train-test': 1, 'test-test': 0}
    dropped = [(image['source'], image['file_name']) for image in report['train_images_to_drop']]
    assert dropped == [('coco', 'train/1.jpg'), ('mpii', 'train/2.jpg')]
    assert {pair['kind'] for pair in report['pairs']} == {'train-test', 'train-train'}
    assert report['images_compared'] == 7 and not strict.unchecked
    gone, again = run(written, strict, 'report')
    assert gone == [] and again == report | dict(mode='report')


def test_a_copy_leaves_for_the_test_set_not_for_another_copy(tree, run, strict):
    names = ['coco/train/a.jpg', 'mpii/train/b.jpg', 'crowdpose/test/c.jpg', 'coco/test/d.jpg']
    for name in names:
        tree.image(name, seed=1)
    gone, report = run(names, strict)
    assert gone == names[:2] and report['pairs_found']['test-test'] == 1


def test_absent_and_unreadable_images(tree, run, strict, lenient):
    tree.image('mpii/test/b.jpg', seed=1)
    names = ['coco/train/gone.jpg', 'mpii/test/b.jpg']
    gone, report = run(names, strict)
    assert gone == [] and report['images_not_compared'] == 1
    assert list(strict.unchecked.values()) == [1]
    tree.write('coco/test/bad.jpg', 'no image')
    with pytest.raises(AnnotationError, match=r'bad\.jpg'):
        run([*names, 'coco/test/bad.jpg'], strict)
    assert run([*names, 'coco/test/bad.jpg'], lenient, 'report')[0] == ['coco/test/bad.jpg']
    assert lenient.counts() == {'unreadable image': 1}
    assert run([], strict)[1]['pairs'] == []
