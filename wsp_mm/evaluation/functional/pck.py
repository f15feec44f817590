# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Share of 2D joints found, for persons of very different sizes.

Letters: M persons, K joints.
"""

from __future__ import annotations

import math

import numpy as np


def normalized_distances(
    pred: np.ndarray, gt: np.ndarray, visible: np.ndarray, box_height: np.ndarray
) -> np.ndarray:
    """Distance of each predicted joint from the true one, in heights of the person's box.

    Args:
        pred: (M, K, 2) px.
        gt: (M, K, 2) px, same picture.
        visible: (M, K), positive where the joint is labelled.
        box_height: (M,) px.

    Returns:
        (M, K); nan where the joint is not labelled, inf where the prediction is not finite.

    Raises:
        ValueError: shapes that do not fit, a labelled joint that is not finite, a box height that
            is not positive.
    """
    pred, gt = np.asarray(pred, dtype=np.float64), np.asarray(gt, dtype=np.float64)
    visible, box_height = np.asarray(visible) > 0, np.asarray(box_height, dtype=np.float64)
    if pred.ndim != 3 or pred.shape[2] != 2 or pred.shape != gt.shape:
        raise ValueError(
            f'pred and gt must both have shape (M, K, 2), got {pred.shape} and {gt.shape}'
        )
    if visible.shape != pred.shape[:2] or box_height.shape != pred.shape[:1]:
        raise ValueError(
            f'for joints {pred.shape} visible must be {pred.shape[:2]} and box_height {pred.shape[:1]}, '
            f'got {visible.shape} and {box_height.shape}'
        )
    if not (np.isfinite(box_height) & (box_height > 0)).all():
        raise ValueError(
            f'box heights must be positive and finite, the smallest is {box_height.min()}'
        )
    if not np.isfinite(gt[visible]).all():
        raise ValueError('a labelled joint has a coordinate that is not finite')
    with np.errstate(invalid='ignore'):
        distance = np.linalg.norm(pred - gt, axis=2) / box_height[:, None]
    distance[~np.isfinite(pred).all(2)] = np.inf
    distance[~visible] = np.nan
    return distance


def pair_pck(
    pred: np.ndarray,
    gt: np.ndarray,
    visible: np.ndarray,
    box_height: np.ndarray,
    threshold: float = 0.1,
) -> dict[str, float | int]:
    """Share of the labelled joints found within ``threshold`` heights of the person's box, edges
    included.

    Args and Raises: as :func:`normalized_distances`.

    Returns:
        ``pck`` in percent, nan without a labelled joint, and their number ``n``.
    """
    distance = normalized_distances(pred, gt, visible, box_height)
    distance = distance[~np.isnan(distance)]
    share = 100.0 * float((distance <= threshold).mean()) if distance.size else math.nan
    return dict(pck=share, n=int(distance.size))
