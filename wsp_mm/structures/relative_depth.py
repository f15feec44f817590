# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The perspective rule: who stands nearer, read from the ankles (paper, Eq. 1-4, 7, 13, 14).

Pictures have y pointing down, so the lower foot has the larger y.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def ground_y(
    keypoints: np.ndarray, visible: np.ndarray, ankles: Sequence[int], reduce: str = 'lowest'
) -> float:
    """Height in the picture at which a person touches the ground, in px.

    Args:
        keypoints: (K, 2) px.
        visible: (K,), positive where the joint is labelled.
        ankles: indices of the ankle joints.
        reduce: ``'lowest'`` takes the labelled ankle lowest in the picture (the foot that carries the
            person), ``'mean'`` the mean of the labelled ankles.

    Returns:
        y in px, or nan where no ankle is labelled.

    Raises:
        ValueError: unknown ``reduce``, or a labelled ankle without a finite coordinate.
    """
    if reduce not in ('lowest', 'mean'):
        raise ValueError(f"reduce must be 'lowest' or 'mean', got {reduce!r}")
    ankles = np.asarray(ankles, dtype=int)
    labelled = ankles[np.asarray(visible)[ankles] > 0]
    if labelled.size == 0:
        return math.nan
    y = np.asarray(keypoints, dtype=np.float64)[labelled, 1]
    if not np.isfinite(y).all():
        raise ValueError('a labelled ankle has a coordinate that is not finite')
    return float(y.max() if reduce == 'lowest' else y.mean())


def relative_depth_label(ground_y_a: float, ground_y_b: float) -> int:
    """1 where A is the nearer one, else 0 (Eq. 7; equal heights give 1 by the paper's <=).

    Raises:
        ValueError: a height is not finite.
    """
    if not (math.isfinite(ground_y_a) and math.isfinite(ground_y_b)):
        raise ValueError(f'ground heights must be finite, got {ground_y_a} and {ground_y_b}')
    return int(ground_y_a >= ground_y_b)


def scale_gap(scale_a: float, scale_b: float) -> float:
    """Normalised scale gap of two persons, in [0, 1) (Eq. 14).

    Raises:
        ValueError: a scale is not positive and finite.
    """
    for scale in (scale_a, scale_b):
        if not (math.isfinite(scale) and scale > 0):
            raise ValueError(f'scales must be positive and finite, got {scale_a} and {scale_b}')
    return abs(scale_a - scale_b) / max(scale_a, scale_b)
