# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsp_mm.datasets.converters.mcpc.pairs import (
    BALANCE,
    choose_pairs,
    make_pairs,
    order_pairs,
)
from wsp_mm.structures.relative_depth import valid_pairs

HEIGHTS = st.lists(st.integers(0, 6).map(float), max_size=8)


@given(HEIGHTS, st.integers(0, 3))
def test_choosing_all_finds_the_valid_ones(heights, gap):
    ids = list(range(len(heights)))
    pairs = choose_pairs('p', ids, heights, 0, gap, seed=0)
    assert len(pairs) == np.triu(valid_pairs(np.array(heights), gap)).sum()
    assert all(i < j and abs(heights[i] - heights[j]) >= max(gap, 1e-9) for i, j in pairs)
    assert pairs == sorted(set(pairs))


def test_limit_chooses_by_seed_and_names_only():
    ids, heights = list(range(10)), [float(n) for n in range(10)]
    first = choose_pairs('p', ids, heights, 2, 0, seed=0)
    assert len(first) == 2 and first == choose_pairs('p', ids, heights, 2, 0, seed=0)
    # Other heights (with no tie) choose the same: the choice looks at the ids alone.
    assert first == choose_pairs('p', ids, heights[::-1], 2, 0, seed=0)
    others = {tuple(choose_pairs(p, ids, heights, 2, 0, seed=s)) for p in 'pqr' for s in range(3)}
    assert len(others) == 9


def test_choice_is_spread_evenly():
    ids, heights = list(range(4)), [1.0, 2.0, 3.0, 4.0]
    counts = dict.fromkeys(itertools.combinations(range(4), 2), 0)
    for n in range(600):
        for pair in choose_pairs(f'picture {n}', ids, heights, 1, 0, seed=0):
            counts[pair] += 1
    assert sum(counts.values()) == 600 and min(counts.values()) > 60


@settings(max_examples=50)
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


def annotation(key, y, scale=10.0):
    return dict(id=key, source_id=key * 100, ground_y=float(y), scale=scale, visible=np.ones(2))


def test_a_pair_needs_a_joint_that_both_have():
    """A right leg and a left leg: there would be nothing to ask the network."""
    right, left, both = [1, 0], [0, 1], [2, 1]
    assert valid_pairs(np.array([1.0, 2, 3]), 0, np.array([right, left, both])).sum() == 4
    assert choose_pairs('p', [1, 2, 3], [1.0, 2, 3], 0, 0, 0, [right, left, both]) == [
        (0, 2),
        (1, 2),
    ]
    people = [
        dict(annotation(1, 100), visible=np.array(right)),
        dict(annotation(2, 200), visible=np.array(left)),
    ]
    assert make_pairs([(1, 'coco/a.jpg', people)], 0, 0, seed=0) == []


def test_records():
    pictures = [
        (1, 'coco/a.jpg', [annotation(1, 100, 10), annotation(2, 200, 20), annotation(3, 100, 30)]),
        (2, 'coco/b.jpg', [annotation(4, 50), annotation(5, 50)]),
        (3, 'coco/c.jpg', [annotation(6, 50), annotation(7, 90)]),
    ]
    persons = {p['id']: p for _, _, people in pictures for p in people}
    pairs = make_pairs(pictures, 0, 0, seed=0)
    assert [p['id'] for p in pairs] == [1, 2, 3]
    assert [p['image_id'] for p in pairs] == [1, 1, 3]
    assert {frozenset((p['ann_a'], p['ann_b'])) for p in pairs} == {
        frozenset((1, 2)), frozenset((2, 3)), frozenset((6, 7))
    }  # fmt: skip
    for pair in pairs:
        a, b = persons[pair['ann_a']], persons[pair['ann_b']]
        assert pair['label'] == int(a['ground_y'] > b['ground_y'])
        big, small = max(a['scale'], b['scale']), min(a['scale'], b['scale'])
        assert pair['scale_gap'] == pytest.approx((big - small) / big, abs=1e-6)
    assert sum(p['label'] for p in pairs) in (1, 2)
    assert make_pairs(pictures, 0, 0, seed=0) == pairs
