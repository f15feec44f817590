# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsp_mm.datasets.converters.mcpc.dedup import (
    Entry,
    find_duplicates,
    hamming,
    near_pairs,
    picture_hashes,
)
from wsp_mm.datasets.converters.mcpc.records import BadDataError


def no_bar(loop, label):
    return loop


def test_hamming_by_hand():
    a = np.array([0, 0b1011, 2**64 - 1], dtype=np.uint64)
    assert hamming(a, np.uint64(0)).tolist() == [0, 3, 64]


@settings(max_examples=60, deadline=None)
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


def entry(tree, group, name, **picture):
    return Entry(group, name, tree.picture(name, **picture))


TRAIN, TEST, OTHER = ('coco', 'train'), ('crowdpose', 'test'), ('mpii', 'train')


def test_hashes_survive_size_and_compression(tree):
    first = picture_hashes(tree.picture('a.jpg', seed=1))
    again = picture_hashes(tree.picture('b.jpg', seed=1, size=(400, 300), quality=40))
    other = picture_hashes(tree.picture('c.jpg', seed=2))
    for k in range(2):
        assert (first[k] ^ again[k]).bit_count() <= 4
        assert (first[k] ^ other[k]).bit_count() > 10


def test_train_copies_of_test_pictures_go(tree, strict):
    entries = [
        entry(tree, TRAIN, 'coco/1.jpg', seed=1),
        entry(tree, TRAIN, 'coco/2.jpg', seed=2),
        entry(tree, TRAIN, 'coco/5.jpg', seed=5),
        entry(tree, TRAIN, 'coco/5b.jpg', seed=5),  # within one group: not looked for
        entry(tree, OTHER, 'mpii/2.jpg', seed=2, size=(500, 375)),
        entry(tree, TEST, 'crowd/1.jpg', seed=1, size=(480, 360), quality=60),
        entry(tree, TEST, 'crowd/3.jpg', seed=3),
    ]
    report, gone, _ = find_duplicates(entries, 4, 2, strict, no_bar)
    assert gone == {0, 4}  # COCO's copy of a test picture, and MPII's copy of COCO's
    assert report['pairs_found'] == {'train-test': 1, 'train-train': 1, 'test-test': 0}
    assert report['train_pictures_to_drop'] == [
        {'source': 'coco', 'split': 'train', 'file_name': 'coco/1.jpg'},
        {'source': 'mpii', 'split': 'train', 'file_name': 'mpii/2.jpg'},
    ]
    assert {p['kind'] for p in report['pairs']} == {'train-test', 'train-train'}
    assert report['pictures_compared'] == 7 and not strict.unchecked


def test_a_copy_of_what_goes_anyway_stays_if_it_is_the_last(tree, strict):
    """COCO's picture leaves for the test set's sake; MPII's copy leaves for the same reason, not
    for COCO's.
    """
    entries = [
        entry(tree, TRAIN, 'a.jpg', seed=1),
        entry(tree, OTHER, 'b.jpg', seed=1),
        entry(tree, TEST, 'c.jpg', seed=1),
    ]
    _, gone, _ = find_duplicates(entries, 4, 1, strict, no_bar)
    assert gone == {0, 1}


def test_test_copies_of_test_pictures_stay(tree, strict):
    entries = [entry(tree, ('coco', 'test'), 'a.jpg', seed=1), entry(tree, TEST, 'b.jpg', seed=1)]
    report, gone, _ = find_duplicates(entries, 4, 1, strict, no_bar)
    assert gone == set() and report['pairs_found']['test-test'] == 1


def test_pictures_not_at_hand_are_counted(tree, strict):
    entries = [Entry(TRAIN, 'gone.jpg', tree.root / 'gone.jpg'), entry(tree, TEST, 'b.jpg', seed=1)]
    report, gone, _ = find_duplicates(entries, 4, 1, strict, no_bar)
    assert gone == set() and report['pictures_not_compared'] == 1
    assert strict.unchecked == {'coco train: pictures not compared, not at hand': 1}


def test_unreadable_pictures(tree, strict, lenient):
    entries = [
        Entry(TRAIN, 'bad.jpg', tree.write('bad.jpg', 'no picture')),
        entry(tree, TEST, 'b.jpg', seed=1),
    ]
    with pytest.raises(BadDataError, match=r'bad\.jpg'):
        find_duplicates(entries, 4, 1, strict, no_bar)
    assert find_duplicates(entries, 4, 1, lenient, no_bar)[1:] == (set(), {0})
    assert lenient.counts() == {'picture unreadable': 1}


def test_nothing_to_compare(strict):
    report, gone, _ = find_duplicates([], 4, 1, strict, no_bar)
    assert gone == set() and report['pairs'] == []
