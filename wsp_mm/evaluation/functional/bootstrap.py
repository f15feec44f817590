# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""How far a figure depends on which images the test set happens to have."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike


def bootstrap_interval(
    statistic: Callable[[np.ndarray], ArrayLike],
    groups: np.ndarray,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval of a statistic, with whole groups drawn again.

    What is measured in one image is not independent (persons stand in several pairs), so images are
    drawn, with replacement, and not pairs or joints. The same groups, seed and number give the same
    draws, whatever the statistic.

    Args:
        statistic: of the chosen rows (indices into ``groups``, a row of a group that is drawn twice
            comes twice), a number or an array of them. nan: not defined for these rows.
        groups: (n,) group of each row, such as the id of its image.
        resamples: how often all groups are drawn.
        seed: of the draws.
        level: share of the resamples that the interval covers.

    Returns:
        ``low`` and ``high``, each of the statistic's shape; resamples in which it is nan do not
        count, and nan if it is nan in all.

    Raises:
        ValueError: no row, groups that are not (n,), no resample, a level outside (0, 1).
    """
    groups = np.asarray(groups)
    if groups.ndim != 1 or not len(groups):
        raise ValueError(f'groups must be (n,) with a row at least, got shape {groups.shape}')
    if resamples < 1 or not 0 < level < 1:
        raise ValueError(f'resamples {resamples} must be positive, level {level} in (0, 1)')
    index, sizes = np.unique(groups, return_inverse=True, return_counts=True)[1:]
    rows = np.split(np.argsort(index, kind='stable'), np.cumsum(sizes)[:-1])
    draws = np.random.default_rng(seed).integers(len(rows), size=(resamples, len(rows)))
    values = [statistic(np.concatenate([rows[i] for i in draw])) for draw in draws]
    values = np.asarray(values, dtype=np.float64)
    undefined = np.isnan(values).all(axis=0)  # numpy warns of these
    values = np.where(undefined, 0.0, values)
    ends = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0)
    low, high = np.where(undefined, np.nan, ends)
    return low, high


def paired_difference(
    values: ArrayLike,
    reference: ArrayLike,
    groups: np.ndarray,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, np.ndarray]:
    """How far one way to train is from another, sample by sample, with a bootstrap interval.

    Both ways were run under the same S seeds and tested on the same n samples. A resample draws
    whole groups of samples, as :func:`bootstrap_interval`, and seeds, each with replacement; a
    seed's two runs stay together, since they saw the same batches. Few seeds say little about
    further ones: with three the interval is too narrow rather than too wide.

    Args:
        values, reference: (S, n, ...) a figure of every seed and sample, such as its error in mm;
            further axes are further figures.
        groups: (n,) group of each sample, such as the sequence that it is of.
        resamples, seed, level: as in :func:`bootstrap_interval`.

    Returns:
        ``difference``, mean of values - reference, and ``percent``, the same in percent of the
        reference's mean (not finite where that is 0), each (3, ...): the figure itself, low, high.

    Raises:
        ValueError: shapes that do not fit; see also :func:`bootstrap_interval`.
    """
    values, reference = (np.asarray(v, dtype=np.float64) for v in (values, reference))
    if values.shape != reference.shape or values.ndim < 2 or values.shape[1] != len(groups):
        raise ValueError(
            f'values {values.shape} and reference {reference.shape} must be (S, n, ...) of the '
            f'{len(groups)} samples that have a group'
        )
    count, rng = len(values), np.random.default_rng(seed)

    def statistic(rows: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        ours, other = (v[seeds][:, rows].mean(axis=(0, 1)) for v in (values, reference))
        with np.errstate(divide='ignore', invalid='ignore'):
            return np.stack([ours - other, 100 * (ours - other) / other])

    whole = statistic(np.arange(len(groups)), np.arange(count))
    ends = bootstrap_interval(
        lambda rows: statistic(rows, rng.integers(count, size=count)),
        groups, resamples, seed + 1, level,
    )  # fmt: skip
    difference, percent = np.stack([whole, *ends], axis=1)
    return dict(difference=difference, percent=percent)
