# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Scores of the question "is A nearer than B?" (paper, section 4.4.1, tables 2 and 3)."""

import math

import numpy as np

_BY_CLASS = ('precision', 'recall', 'f1')
SCORES = ('auc', 'accuracy', *_BY_CLASS, *(f'{name}_positive' for name in _BY_CLASS))


def relative_depth_scores(
    prob: np.ndarray, label: np.ndarray, threshold: float = 0.5
) -> dict[str, float | int]:
    """Scores of binary decisions.

    The paper's tables print nearly the same number for accuracy, precision, recall and F1, which is
    what macro averages over the two classes of a balanced set look like; so ``precision``,
    ``recall`` and ``f1`` are macro averages, and the positive class ("A is nearer") alone has keys
    of its own.

    Args:
        prob: (n,) probability that A is nearer, in [0, 1].
        label: (n,) 1 where A is nearer, else 0.
        threshold: decide for "A is nearer" where ``prob >= threshold``.

    Returns:
        In percent: ``auc`` (area under the ROC curve), ``accuracy``, ``precision``, ``recall``,
        ``f1``, ``precision_positive``, ``recall_positive``, ``f1_positive``; and the counts ``n``
        and ``n_positive``. A class that is never decided for has precision 0. Without both classes
        among the labels (so also without any decision) all scores are nan, and the counts tell why.

    Raises:
        ValueError: shapes differ or are not (n,), a probability outside [0, 1] or nan, a label that
            is not 0 or 1.
    """
    prob = np.asarray(prob, dtype=np.float64)
    label = np.asarray(label)
    if prob.ndim != 1 or prob.shape != label.shape:
        raise ValueError(f'prob and label must both be (n,), got {prob.shape} and {label.shape}')
    if not ((prob >= 0) & (prob <= 1)).all():
        raise ValueError('probabilities must lie in [0, 1]')
    if not np.isin(label, (0, 1)).all():
        raise ValueError('labels must be 0 or 1')
    label = label.astype(np.int64)

    counts = dict(n=int(label.size), n_positive=int(label.sum()))
    if counts['n_positive'] in (0, counts['n']):
        return {**dict.fromkeys(SCORES, math.nan), **counts}

    from sklearn.metrics import accuracy_score, precision_recall_fscore_support, roc_auc_score

    decision = (prob >= threshold).astype(np.int64)
    by_class = precision_recall_fscore_support(label, decision, labels=[0, 1], zero_division=0)[:3]
    scores = dict(auc=roc_auc_score(label, prob), accuracy=accuracy_score(label, decision))
    for name, (negative, positive) in zip(_BY_CLASS, by_class, strict=True):
        scores[name] = (negative + positive) / 2
        scores[f'{name}_positive'] = positive
    return {**{name: 100.0 * float(scores[name]) for name in SCORES}, **counts}
