# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsp_mm.datasets.converters.mcpc.pairs import BALANCE, choose_pairs, make_pairs, order_pairs
from wsp_mm.datasets.converters.mcpc.select import KeptImage
from wsp_mm.datasets.converters.mcpc.sources import Image, PersonTable
from wsp_mm.structures.relative_depth import valid_pairs

HEIGHTS = st.lists(st.integers(0, 6).map(float), max_size=8)


@given(HEIGHTS, st.integers(0, 3))
def test_choosing_all_finds_the_valid_ones(heights, gap):
    pairs = choose_pairs('p', range(len(heights)), heights, 0, gap, seed=0)
    assert len(pairs) == np.triu(valid_pairs(np.array(heights), gap)).sum()
    assert all(i < j and abs(heights[i] - heights[j]) >= max(gap, 1e-9) for i, j in pairs)
    assert pairs == sorted(set(pairs))


def test_limit_chooses_by_seed_and_names_only():
    ids, heights = list(range(10)), [float(n) for n in range(10)]
    first = choose_pairs('p', ids, heights, 2, 0, seed=0)
    # Other heights (with no tie) choose the same: the choice looks at the ids alone.
    assert len(first) == 2 and first == choose_pairs('p', ids, heights[::-1], 2, 0, seed=0)
    others = {tuple(choose_pairs(p, ids, heights, 2, 0, seed=s)) for p in 'pqr' for s in range(3)}
    assert len(others) == 9


def test_choice_is_spread_evenly():
    counts = dict.fromkeys(itertools.combinations(range(4), 2), 0)
    for n in range(600):
        for pair in choose_pairs(f'image {n}', range(4), [1.0, 2.0, 3.0, 4.0], 1, 0, seed=0):
            counts[pair] += 1
    assert sum(counts.values()) == 600 and min(counts.values()) > 60


@given(st.lists(st.booleans(), max_size=300), st.integers(0, 5))
def test_labels_are_balanced(nearer, seed):
    keys = [('p', i, i + 1) for i in range(len(nearer))]
    label = np.array(nearer, dtype=bool) ^ order_pairs(keys, nearer, seed)
    if len(label):
        # An odd handful cannot be halved.
        assert abs(label.mean() - 0.5) <= max(BALANCE, 0.5 / len(label)) + 1e-12


def test_a_large_set_is_ordered_by_the_hash_alone():
    keys = [('p', i, i + 1) for i in range(20000)]
    labels = np.random.default_rng(0).random(len(keys)) < 0.5
    swap = order_pairs(keys, labels, 0)
    np.testing.assert_array_equal(swap[:100], order_pairs(keys, ~labels, 0)[:100])
    assert 0.48 < swap.mean() < 0.52


def test_records():
    ground, scale = (
        np.array([100.0, 200, 100, 50, 50, 50, 90]),
        np.array([10.0, 20, 30, 9, 9, 5, 6]),
    )
    persons = dict(
        id=np.arange(7) * 100, ground_y=ground, scale=scale, visible=np.ones((7, 2), dtype=int)
    )
    images, first = [], 0
    for number, count in enumerate((3, 2, 2)):
        image = Image('coco', 'test', f'{number}.jpg', number, 'a.json')
        rows = np.arange(first, first + count)
        images.append(KeptImage(image, rows, rows[:0], 0, number + 1, first + 1))
        first += count
    table = PersonTable([image.image for image in images], persons)
    pairs = make_pairs(table, images, 0, 0, seed=0)
    assert [(p['id'], p['image_id']) for p in pairs] == [(1, 1), (2, 1), (3, 3)]
    found = {frozenset((p['ann_a'], p['ann_b'])) for p in pairs}
    assert found == {frozenset((1, 2)), frozenset((2, 3)), frozenset((6, 7))}
    for pair in pairs:
        a, b = pair['ann_a'] - 1, pair['ann_b'] - 1
        assert pair['label'] == int(ground[a] > ground[b])
        small, big = sorted((scale[a], scale[b]))
        assert pair['scale_gap'] == pytest.approx((big - small) / big, abs=1e-6)
    assert sum(p['label'] for p in pairs) in (1, 2)
    # A pair needs a joint that both have: here a right leg and a left leg.
    persons['visible'] = np.array([[1, 0], [0, 1]] * 3 + [[1, 0]])
    assert [p['image_id'] for p in make_pairs(table, images, 0, 0, seed=0)] == []
