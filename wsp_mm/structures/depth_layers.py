# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Depth layers of the persons of an image, as people annotate them (Relative Human).

0 is the front layer, 1 the next; persons of one layer are equally far; -1 is unknown. N persons.
"""

import numpy as np

UNKNOWN = -1


def layer_pairs(layers: np.ndarray) -> np.ndarray:
    """Return the pairs (P, 2) of indices i < j of persons whose layers (N,) are known."""
    known = np.asarray(layers) != UNKNOWN
    return np.argwhere(np.triu(known[:, None] & known, 1))


def layer_probabilities(layers: np.ndarray) -> np.ndarray:
    """Return who is nearer as probabilities.

    Args:
        layers: (N,).

    Returns:
        (N (N - 1) / 2,), the upper triangle row by row: 1 where the first person of the pair is
        nearer, 0 where the second one is, 0.5 where their layers are equal or one is unknown.
    """
    layers = np.asarray(layers)
    first, second = layers[np.array(np.triu_indices(len(layers), 1))]
    known = (first != UNKNOWN) & (second != UNKNOWN)
    return np.where(known, (1 + np.sign(second - first)) / 2, 0.5)
