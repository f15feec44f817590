# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from wsp_mm.evaluation.functional.pcdr import AGES, match_persons, mpckh, pcdr


def image(layers, depths, ages=None, missed=None):
    """One image; ages are adults' unless given."""
    ages = [0] * len(layers) if ages is None else ages
    found = dict(layers=np.array(layers), depths=np.array(depths, float), ages=np.array(ages))
    return found if missed is None else found | dict(missed=np.array(missed))


def test_by_hand():
    # Layers 0, 1, 1 and a person of unknown layer; depths 3.0, 3.1, 3.5. Pairs: (0, 1) must differ
    # by more than 0.2 and differs by 0.1: wrong, but in the right order. (0, 2): 0.5, right.
    # (1, 2): equal and 0.4 apart, wrong.
    scores = pcdr([image([0, 1, 1, -1], [3.0, 3.1, 3.5, 9.0], [0, 2, 0, 3])])
    assert scores['PCDR'] == pytest.approx(100 / 3) and scores['n'] == 3
    assert (scores['PCDR_equal'], scores['PCDR_different']) == (0, 50)
    assert (scores['Acc'], scores['AUC'], scores['n_different']) == (100, 100, 2)
    # The kid is in two pairs, both wrong; the baby's layer is unknown.
    assert (scores['PCDR_kid'], scores['n_kid'], scores['Acc_kid']) == (0, 2, 100)
    assert scores['PCDR_adult'] == pytest.approx(100 / 3) and scores['n_adult'] == 3
    assert scores['n_baby'] == 0 and math.isnan(scores['PCDR_baby'])


@pytest.mark.parametrize(
    ('layers', 'd', 'right'),
    [
        ((2, 2), 0.19, True), ((2, 2), -0.19, True), ((2, 2), 0.25, False), ((2, 2), 0.125, True),
        ((1, 0), -0.25, True), ((1, 0), -0.1, False), ((1, 0), 0.25, False),
        ((0, 3), 0.25, True), ((0, 3), 0.1, False), ((0, 3), -0.25, False),
    ],
)  # fmt: skip
def test_the_three_relations(layers, d, right):
    assert pcdr([image(layers, [4.0, 4.0 + d])])['PCDR'] == 100 * right


def test_a_difference_of_exactly_the_threshold_is_neither():
    assert pcdr([image([0, 0], [1, 1.5])], 0.5)['PCDR'] == 0
    assert pcdr([image([0, 1], [1, 1.5])], 0.5)['PCDR'] == 0


def test_missed_persons_add_to_the_denominator():
    # One right pair; the third person is missed (a teenager), the fourth has no joints: not scored.
    nan = math.nan
    scores = pcdr([image([0, 1, 2, 3], [1, 2, nan, nan], [0, 0, 1, 0], [0, 0, 1, 0])])
    assert scores['PCDR'] == pytest.approx(100 / 1.3) and scores['n_missed'] == 1
    assert scores['PCDR_adult'] == 100 and math.isnan(scores['PCDR_teenager'])
    assert (scores['n'], scores['PCDR_different']) == (1, 100)


def test_an_order_is_never_right_for_one_layer():
    nearer = np.full((3, 3), 0.5)
    nearer[0, 1], nearer[0, 2], nearer[1, 2] = 0.9, 0.8, 0.6
    one = dict(layers=np.array([0, 0, 1]), ages=np.zeros(3), nearer=nearer)
    scores = pcdr([one])
    assert scores['PCDR'] == pytest.approx(200 / 3) and scores['PCDR_equal'] == 0
    assert (scores['Acc'], scores['AUC'], scores['n'], scores['n_different']) == (100, 100, 3, 2)
    nearer[1, 2] = 0.5  # not compared
    assert pcdr([one])['Acc'] == 75
    nearer[1, 2] = np.nan  # not known
    assert (pcdr([one])['n'], pcdr([one])['Acc']) == (2, 100)


def test_nothing_is_nan():
    for images in ([], [image([-1, 0], [1, 2])]):
        scores = pcdr(images)
        assert scores['n'] == 0 and math.isnan(scores['PCDR']) and math.isnan(scores['AUC'])


def test_what_is_refused():
    with pytest.raises(ValueError, match='threshold_m'):
        pcdr([], 0)
    with pytest.raises(ValueError, match='fit'):
        pcdr([image([0, 1], [1, 2, 3])])


def brute_force(images, threshold):
    """PCDR and the rest, pair by pair in plain Python."""
    groups = {'': None, **{f'_{name}': age for name, age in AGES.items()}}
    hits, pairs, missed = (dict.fromkeys(groups, 0) for _ in range(3))
    scores, labels, right = [], [], []
    for one in images:
        for k, flag in enumerate(one['missed']):
            for key, age in groups.items():
                missed[key] += bool(flag) and age in (None, one['ages'][k])
        for i, j in itertools.combinations(range(len(one['layers'])), 2):
            a, b = one['layers'][i], one['layers'][j]
            d = one['depths'][j] - one['depths'][i]
            if a == -1 or b == -1 or math.isnan(d):
                continue
            hit = abs(d) < threshold if a == b else d < -threshold if b < a else d > threshold
            for key, age in groups.items():
                if age is None or age in (one['ages'][i], one['ages'][j]):
                    hits[key] += hit
                    pairs[key] += 1
            if a != b:
                right.append((d > 0) == (b > a) if d else 0.5)
                scores += [d, -d]
                labels += [b > a, b < a]
    found = {}
    for key in groups:
        if pairs[key]:
            found[f'PCDR{key}'] = 100 * hits[key] / (pairs[key] + 0.3 * missed[key])
    if labels:
        found |= dict(Acc=100 * np.mean(right), AUC=100 * roc_auc_score(labels, scores))
    return found


@st.composite
def sets_of_images(draw):
    found = []
    for _ in range(draw(st.integers(1, 4))):
        n = draw(st.integers(0, 5))

        def numbers(values, n=n):
            return draw(st.lists(values, min_size=n, max_size=n))

        depths = numbers(st.sampled_from([math.nan, 1.0, 1.1, 1.25, 2.0, 3.0]))
        missed = [math.isnan(d) and draw(st.booleans()) for d in depths]
        layers, ages = numbers(st.integers(-1, 3)), numbers(st.integers(-1, 3))
        found.append(image(np.array(layers, int), depths, np.array(ages, int), missed))
    return found


@settings(max_examples=60, deadline=None)
@given(sets_of_images())
def test_equals_brute_force(images):
    scores = pcdr(images)
    for key, value in brute_force(images, 0.2).items():
        assert scores[key] == pytest.approx(value), key


def joints(x, y, size=100.0):
    """14 joints of a person at (x, y), on the edge of a square."""
    angle = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    return np.stack([x + size / 2 * np.cos(angle), y + size / 2 * np.sin(angle)], axis=-1)


def test_persons_are_matched_from_the_smallest_distance_on():
    gt = np.stack([joints(0, 0), joints(60, 0), joints(1000, 0)])
    pred = np.stack([joints(40, 0), joints(45, 0), joints(300, 0)])
    ones = np.ones((3, 14))
    # The second prediction is nearest to the second person (15 px), the first is left to the first
    # (40 px); the third persons do not overlap.
    assert match_persons(gt, ones, pred, ones).tolist() == [0, 1, -1]
    # Only the first prediction: 20 px from the second person, who takes it.
    assert match_persons(gt, ones, pred[:1], ones[:1]).tolist() == [-1, 0, -1]
    assert match_persons(gt, ones, pred[:0], ones[:0]).tolist() == [-1, -1, -1]
    assert match_persons(gt[:0], ones[:0], pred, ones).tolist() == []


def test_only_joints_of_both_count_for_a_match():
    gt, pred = joints(0, 0)[None], joints(0, 0)[None].copy()
    pred[0, 5] = 1e6
    visible = np.ones((1, 14))
    assert match_persons(gt, visible, pred, visible).tolist() == [-1]  # the box is huge
    hidden = visible.copy()
    hidden[0, 5] = 0
    assert match_persons(gt, hidden, pred, visible).tolist() == [0]
    assert match_persons(gt, visible, pred, hidden).tolist() == [0]
    assert match_persons(gt, 0 * visible, pred, visible).tolist() == [-1]
    with pytest.raises(ValueError, match='fit'):
        match_persons(gt, visible[:, :13], pred, visible)


def test_a_match_needs_an_overlap():
    """Boxes of 100 x 100 px, shifted: IoU of s x 100 px shared is s / (200 - s)."""
    square = np.array([[0, 0], [100, 100.0]])
    flags = np.ones((1, 2))
    for shift, found in ((90.4, 0), (90.6, -1)):  # IoU 0.0504, 0.0493
        moved = square + np.array([shift, 0])
        assert match_persons(square[None], flags, moved[None], flags).tolist() == [found]


def test_mpckh_by_hand():
    # The diagonal is 500 px: a joint is right below 71.5 px.
    gt = np.array([[[0, 0], [300, 400], [100, 100.0]], [[0, 0], [30, 40], [0, 0]], [[5, 5]] * 3])
    visible = np.array([[1, 1, 1], [1, 1, 0], [1, 0, 0]])
    pred = gt.copy()
    pred[0, :, 0] += [71, 72, 0]
    ones = np.ones((3, 3))
    # 2 of 3; 2 of 2; the last has one joint alone.
    assert mpckh(gt, visible, pred, ones) == pytest.approx((200 / 3 + 100) / 2)
    ones[0, 1] = 0
    assert mpckh(gt, visible, pred, ones) == 100
    assert math.isnan(mpckh(gt[:0], visible[:0], pred[:0], ones[:0]))
