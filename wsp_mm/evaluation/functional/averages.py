# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Means that are not defined without values."""

import math
from collections.abc import Sequence

import numpy as np


def mean(values: np.ndarray | Sequence[float]) -> float:
    """Mean of all values; nan without any."""
    return float(np.mean(values)) if np.size(values) else math.nan


def percent(hits: np.ndarray) -> float:
    """Percent of hits; nan without any."""
    return 100.0 * mean(hits)
