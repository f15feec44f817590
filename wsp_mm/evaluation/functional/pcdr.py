# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Depth order of persons against the layers of Relative Human (Sun et al., BEV, CVPR 2022).

G true persons of an image, M predicted ones, K joints. Depths are metres along the camera's axis.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from wsp_mm.evaluation.functional.averages import mean, percent
from wsp_mm.evaluation.functional.relative_depth import relative_depth_scores
from wsp_mm.structures.depth_layers import layer_pairs

#: Group -> its number in the annotations.
AGES = dict(adult=0, teenager=1, kid=2, baby=3)
#: Differences of depth below it count as equal, above it as an order, m.
THRESHOLD_M = 0.2
#: What a missed person adds to the number of pairs.
MISSED = 0.3
#: Persons who overlap less are not matched: IoU of the boxes around their joints.
MIN_IOU = 0.05
#: Errors of joints below this share of the person's diagonal count as right.
PCKH_SHARE = 0.143
SCORES = ('PCDR', 'Acc', 'AUC', 'n', 'n_different')


def pcdr(
    images: Sequence[Mapping[str, np.ndarray]], threshold_m: float = THRESHOLD_M
) -> dict[str, float | int]:
    """Score who is nearer, and who is equally far.

    All unordered pairs of an image's persons with known layers count. With d = depth of the second
    minus depth of the first, abs(d) < threshold is right for one layer, d < -threshold where the
    second is nearer, d > threshold where it is farther. Pairs without a prediction of both persons
    do not count; instead each missed person adds 0.3 to the number of pairs.

    Probabilities of an order know no metres: pairs of one layer are never right then, so that PCDR
    is at most the share of the others. Accuracy and AUC are over pairs of different layers, by the
    order alone; AUC takes each pair both ways, so that the order of the file has no influence.

    Args:
        images: one an image: ``layers (G,)``, -1 where unknown; ``ages (G,)``, see :data:`AGES`;
            ``depths (G,)`` m, nan without a prediction, or ``nearer (G, G)``, the probability that
            the row's person is nearer than the column's, nan where not known; ``missed (G,)`` bool,
            persons who count as missed (without it: nobody).
        threshold_m: in m.

    Returns:
        ``PCDR``, ``Acc``, ``AUC`` in percent, ``n`` and ``n_different``, the numbers of pairs; all
        of them by age group (``PCDR_kid``), to which a pair belongs with either person;
        ``PCDR_equal`` and ``PCDR_different``, of pairs of one layer and of others, without missed
        persons; ``n_missed``. Figures of nothing are nan, as are accuracy and AUC without pairs of
        different layers.

    Raises:
        ValueError: a threshold that is not positive, or arrays that do not fit together.
    """
    if not threshold_m > 0:
        raise ValueError(f'threshold_m must be positive, got {threshold_m}')
    parts = [_judge_image(image, threshold_m) for image in images]
    names = 'true', 'right', 'prob', 'ages', 'missed'
    empty = np.zeros(0), np.zeros(0, bool), np.zeros(0), np.zeros((0, 2)), np.zeros(0)
    columns = zip(*parts, strict=True) if parts else ([part] for part in empty)
    table = {name: np.concatenate(column) for name, column in zip(names, columns, strict=True)}
    missed = table.pop('missed')
    scores = _scores(table, len(missed))
    equal = table['true'] == 0
    for name, chosen in (('equal', equal), ('different', ~equal)):
        scores[f'PCDR_{name}'] = percent(table['right'][chosen])
    scores['n_missed'] = len(missed)
    for name, age in AGES.items():
        rows = (table['ages'] == age).any(axis=1)
        part = {key: values[rows] for key, values in table.items()}
        found = _scores(part, int((missed == age).sum()))
        scores |= {f'{key}_{name}': value for key, value in found.items()}
    return scores


def _judge_image(image: Mapping[str, np.ndarray], threshold_m: float) -> tuple[np.ndarray, ...]:
    """Return of an image's pairs: true (P,) 1, 0, -1 where the first is nearer, equally far,
    farther; right (P,); prob (P,) that the first is nearer; ages (P, 2); and the ages of the missed
    persons.
    """
    layers, ages = np.asarray(image['layers']), np.asarray(image['ages'])
    shape = (len(layers),) * (2 if 'nearer' in image else 1)
    values = np.asarray(image['nearer' if len(shape) == 2 else 'depths'], dtype=np.float64)
    missed = np.asarray(image.get('missed', np.zeros(len(layers))), dtype=bool)
    if values.shape != shape or not layers.shape == ages.shape == missed.shape == shape[:1]:
        raise ValueError(
            f'layers {layers.shape}, ages {ages.shape}, missed {missed.shape} and predictions '
            f'{values.shape} do not fit together'
        )
    first, second = layer_pairs(layers).T
    if len(shape) == 2:
        prob = values[first, second]
        said = np.where(prob == 0.5, np.nan, np.sign(prob - 0.5))
    else:
        d = values[second] - values[first]
        said = np.where(np.abs(d) == threshold_m, np.nan, np.sign(d))
        said[np.abs(d) < threshold_m] = 0
        prob = 0.5 + np.arctan(d) / math.pi  # strictly increasing
    true = np.sign(layers[second] - layers[first])
    known = ~np.isnan(prob)
    pair_ages = np.stack([ages[first], ages[second]], axis=1)
    return true[known], (said == true)[known], prob[known], pair_ages[known], ages[missed]


def _scores(table: Mapping[str, np.ndarray], missed: int) -> dict[str, float | int]:
    """Return :data:`SCORES` of pairs and a number of missed persons."""
    different = table['true'] != 0
    prob, label = table['prob'][different], table['true'][different] > 0
    # Rounded, so that a pair and its like in the other order tie.
    both = relative_depth_scores(np.r_[prob, 1 - prob].round(12), np.r_[label, ~label].astype(int))
    # In both orders an even probability is right once.
    right = np.where(prob == 0.5, 0.5, (prob > 0.5) == label)
    n = len(different)
    share = 100.0 * float(table['right'].sum()) / (n + MISSED * missed) if n else math.nan
    figures = share, percent(right), both['auc'], n, int(different.sum())
    return dict(zip(SCORES, figures, strict=True))


def match_persons(
    gt: np.ndarray,
    gt_visible: np.ndarray,
    pred: np.ndarray,
    pred_visible: np.ndarray,
    min_iou: float = MIN_IOU,
) -> np.ndarray:
    """Tell which prediction is whose, by the joints in the image.

    The pair of the smallest distance is taken first, and then the next of what is left. The
    distance is the mean over the joints that are labelled in the one and predicted in the other;
    the boxes around these joints must overlap.

    Args:
        gt: (G, K, 2) px. gt_visible: (G, K), positive where labelled.
        pred: (M, K, 2) px. pred_visible: (M, K), positive where predicted.
        min_iou: smallest intersection over union of the two boxes.

    Returns:
        (G,) index of each person's prediction, -1 where it has none.

    Raises:
        ValueError: arrays that do not fit together.
    """
    gt, pred = np.asarray(gt, dtype=np.float64), np.asarray(pred, dtype=np.float64)
    gt_visible, pred_visible = np.asarray(gt_visible) > 0, np.asarray(pred_visible) > 0
    shapes = gt.shape[:2], pred.shape[:2]
    if (gt_visible.shape, pred_visible.shape) != shapes or shapes[0][1] != shapes[1][1]:
        raise ValueError(
            f'joints {gt.shape}, {pred.shape} and flags {gt_visible.shape}, {pred_visible.shape} '
            'do not fit together'
        )
    match = np.full(len(gt), -1)
    both = gt_visible[:, None] & pred_visible  # (G, M, K)
    if not both.size:
        return match
    length = np.linalg.norm(gt[:, None] - pred, axis=-1)
    count = both.sum(axis=-1)
    distance = (length * both).sum(axis=-1) / np.maximum(count, 1)
    first, second = (_boxes(joints, both) for joints in (gt[:, None], pred[None]))
    distance[(count == 0) | (_iou(first, second) < min_iou)] = np.inf
    while np.isfinite(distance).any():
        person, found = np.unravel_index(distance.argmin(), distance.shape)
        match[person] = found
        distance[person], distance[:, found] = np.inf, np.inf
    return match


def _boxes(joints: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return boxes (..., 4) x1 y1 x2 y2 around the chosen joints; inf, -inf without any."""
    chosen = chosen[..., None]
    low = np.where(chosen, joints, np.inf).min(axis=-2)
    high = np.where(chosen, joints, -np.inf).max(axis=-2)
    return np.concatenate([low, high], axis=-1)


def _iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the intersection over union of boxes (..., 4); 0 where there is no area."""
    with np.errstate(invalid='ignore'):
        low, high = np.maximum(first, second)[..., :2], np.minimum(first, second)[..., 2:]
        shared = np.clip(high - low, 0, None).prod(axis=-1)
        areas = [
            np.clip(box[..., 2:] - box[..., :2], 0, None).prod(axis=-1) for box in (first, second)
        ]
        union = areas[0] + areas[1] - shared
        return np.where(union > 0, shared / np.where(union > 0, union, 1), 0.0)


def mpckh(gt: np.ndarray, visible: np.ndarray, pred: np.ndarray, pred_visible: np.ndarray) -> float:
    """Return the share of right joints, in percent: the mean over persons of each one's share.

    A joint is right where its error is below 0.143 of the diagonal of the box around the person's
    labelled joints (a head is a seventh of a body). Persons with fewer than two joints that are
    labelled and predicted do not count.

    Args:
        gt: (N, K, 2) px, of persons who are matched. visible: (N, K), positive where labelled.
        pred: (N, K, 2) px. pred_visible: (N, K), positive where predicted.

    Returns:
        Percent; nan without anybody.
    """
    visible = np.asarray(visible) > 0
    scored = visible & (np.asarray(pred_visible) > 0)
    shares = []
    for joints, labelled, found, flags in zip(gt, visible, pred, scored, strict=True):
        if flags.sum() >= 2:
            diagonal = np.linalg.norm(np.ptp(joints[labelled], axis=0))
            error = np.linalg.norm(joints[flags] - found[flags], axis=-1)
            shares.append(float((error < PCKH_SHARE * diagonal).mean()))
    return 100.0 * mean(shares)
