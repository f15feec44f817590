# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsp_mm.evaluation.functional import relative_depth_scores

SCORES = [
    'auc', 'accuracy', 'precision', 'recall', 'f1', 'precision_positive', 'recall_positive',
    'f1_positive',
]  # fmt: skip


def test_by_hand():
    """Three true positives, one false negative, two false positives, two true negatives."""
    prob = np.array([0.9, 0.8, 0.6, 0.4, 0.7, 0.5, 0.3, 0.1])
    label = np.array([1, 1, 1, 1, 0, 0, 0, 0])
    scores = relative_depth_scores(prob, label)
    # of the 16 (positive, negative) couples these are in the wrong order: 0.6 < 0.7, 0.4 < 0.7, 0.4
    # < 0.5
    assert scores['auc'] == pytest.approx(100 * 13 / 16)
    assert scores['accuracy'] == pytest.approx(100 * 5 / 8)
    for name, positive, negative in (
        ('precision', 3 / 5, 2 / 3), ('recall', 3 / 4, 2 / 4), ('f1', 6 / 9, 4 / 7)
    ):  # fmt: skip
        assert scores[f'{name}_positive'] == pytest.approx(100 * positive)
        assert scores[name] == pytest.approx(50 * (positive + negative))
    assert (scores['n'], scores['n_positive']) == (8, 4)
    assert set(scores) == {*SCORES, 'n', 'n_positive'}


def rank_auc(prob, label):
    """Area under the curve as the Mann-Whitney statistic, from average ranks."""
    ranks = np.array([(prob < p).sum() + ((prob == p).sum() + 1) / 2 for p in prob])
    positives, negatives = label.sum(), (1 - label).sum()
    return (
        100 * (ranks[label == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives)
    )


def own_scores(prob, label, threshold):
    """Precision, recall, F1 of both classes from counts."""
    decision = prob >= threshold
    rows = []
    for value in (1, 0):
        hit = ((decision == value) & (label == value)).sum()
        chosen, true = (decision == value).sum(), (label == value).sum()
        precision, recall = hit / chosen if chosen else 0.0, hit / true
        rows.append(
            (precision, recall, 2 * precision * recall / (precision + recall) if hit else 0.0)
        )
    return 100 * np.array(rows)


@given(
    st.lists(st.tuples(st.integers(0, 10), st.integers(0, 1)), min_size=2, max_size=40),
    st.sampled_from([0.0, 0.3, 0.5, 1.0]),
)
def test_against_independent_code(decisions, threshold):
    prob = np.array([score / 10 for score, _ in decisions])  # coarse: many ties
    label = np.array([label for _, label in decisions])
    scores = relative_depth_scores(prob, label, threshold)
    if label.min() == label.max():
        assert all(math.isnan(scores[name]) for name in SCORES)
        return
    assert scores['auc'] == pytest.approx(rank_auc(prob, label))
    rows = own_scores(prob, label, threshold)
    for column, name in enumerate(('precision', 'recall', 'f1')):
        assert scores[f'{name}_positive'] == pytest.approx(rows[0, column])
        assert scores[name] == pytest.approx(rows[:, column].mean())
    assert scores['accuracy'] == pytest.approx(100 * ((prob >= threshold) == label).mean())


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=2, max_size=30))
def test_swapping_the_persons_changes_no_macro_score(decisions):
    prob, label = np.array(decisions).T
    if 0.5 in prob or label.min() == label.max() or len(set(prob)) != len(set(1 - prob)):
        return
    plain, swapped = relative_depth_scores(prob, label), relative_depth_scores(1 - prob, 1 - label)
    for name in ('auc', 'accuracy', 'precision', 'recall', 'f1'):
        assert plain[name] == pytest.approx(swapped[name])


@pytest.mark.parametrize('label', [[1, 1, 1], [0, 0], []])
def test_one_class_or_none_gives_counts_and_nan(label):
    scores = relative_depth_scores(np.full(len(label), 0.7), np.array(label))
    assert (scores['n'], scores['n_positive']) == (len(label), sum(label))
    assert all(math.isnan(scores[name]) for name in SCORES)


@pytest.mark.parametrize(
    ('prob', 'label', 'message'),
    [
        *(([0.5, value], [0, 1], 'probabilities') for value in (math.nan, 1.2, -0.1)),
        *(([0.5, 0.2], [0, value], 'labels') for value in (2, math.nan)),
        ([0.5, 0.2], [0], r'\(n,\)'),
        ([[0.5, 0.2]], [[0, 1]], r'\(n,\)'),
    ],
)
def test_bad_input(prob, label, message):
    with pytest.raises(ValueError, match=message):
        relative_depth_scores(np.array(prob), np.array(label))
