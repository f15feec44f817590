# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""How joint-wise loss values become one number."""

from __future__ import annotations

from torch import Tensor


def mean_over_joints(values: Tensor, weights: Tensor) -> Tensor:
    """Mean over the joints of a sample (Eq. 9 and 10), then over the samples that have one.

    Without any weighted joint the result is 0 but still hangs on ``values``, so that every parameter gets a
    (zero) gradient: under DistributedDataParallel other ranks would wait for a missing one.

    Args:
        values: (B, J), finite.
        weights: (B, J), not negative; 0 takes a joint out.
    """
    total = weights.sum(1)
    has_joint = total > 0
    per_sample = (values * weights).sum(1) / total.masked_fill(~has_joint, 1.0)
    return per_sample.sum() / has_joint.sum().clamp(min=1)
