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


def rank_auc(prob, label):
    """Area under the curve as the Mann-Whitney statistic, from average ranks."""
    ranks = np.array([(prob < p).sum() + ((prob == p).sum() + 1) / 2 for p in prob])
    positives, negatives = label.sum(), (1 - label).sum()
    wins = ranks[label == 1].sum() - positives * (positives + 1) / 2
    return 100 * wins / (positives * negatives)


def own_scores(prob, label, threshold):
    """Precision, recall, F1 of both classes from counts."""
    decision = prob >= threshold
    rows = []
    for value in (1, 0):
        hit = ((decision == value) & (label == value)).sum()
        chosen, true = (decision == value).sum(), (label == value).sum()
        precision, recall = hit / chosen if chosen else 0.0, hit / true
        f1 = 2 * precision * recall / (precision + recall) if hit else 0.0
        rows.append((precision, recall, f1))
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
    assert (scores['n'], scores['n_positive']) == (len(label), label.sum())
    assert scores['auc'] == pytest.approx(rank_auc(prob, label))
    rows = own_scores(prob, label, threshold)
    for column, name in enumerate(('precision', 'recall', 'f1')):
        assert scores[f'{name}_positive'] == pytest.approx(rows[0, column])
        assert scores[name] == pytest.approx(rows[:, column].mean())
    assert scores['accuracy'] == pytest.approx(100 * ((prob >= threshold) == label).mean())


@pytest.mark.parametrize('label', [[1, 1, 1], [0, 0], []])
def test_one_class_or_none_gives_counts_and_nan(label):
    scores = relative_depth_scores(np.full(len(label), 0.7), np.array(label))
    assert (scores['n'], scores['n_positive']) == (len(label), sum(label))
    assert all(math.isnan(scores[name]) for name in SCORES)
    assert set(scores) == {*SCORES, 'n', 'n_positive'}


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
