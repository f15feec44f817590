# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wsp_mm.datasets.converters.mcpc.pairs import BALANCE, choose_pairs, order_pairs
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
