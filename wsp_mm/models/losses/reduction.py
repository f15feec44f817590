# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""How joint-wise loss values become one number, on one process and on several."""

from __future__ import annotations

from mmengine.dist import all_reduce, get_world_size
from torch import Tensor


def rank_share(count: Tensor) -> Tensor:
    """What a rank divides its sum by, so that all ranks together take the mean over the global
    batch.

    DistributedDataParallel averages gradients over the ranks. With sums S_r over n_r labelled
    elements, a rank that divided by its own n_r would make that the mean of means, which is another
    number wherever the counts differ. Divided by N / W, with N the sum of all n_r and W the number
    of ranks, the average is (sum of S_r) / N, which is what one process gets from the whole batch.

    Costs one collective of a single number a call, which the device runs by itself: the host does
    not wait. With one process there is none. Every rank must call it equally often.

    Args:
        count: (), labelled elements of this rank's batch; any dtype.

    Returns:
        (), max(N, 1) / W; with one process max(count, 1). Without a gradient.
    """
    world_size = get_world_size()
    if world_size == 1:
        return count.detach().clamp(min=1)
    total = count.detach().float().clone()
    all_reduce(total)
    return total.clamp(min=1) / world_size


def mean_over_joints(values: Tensor, weights: Tensor) -> Tensor:
    """Mean over the joints of a sample (Eq. 9 and 10), then over the samples that have one.

    The samples are those of all ranks (:func:`rank_share`): the average of the ranks' results, and
    of their gradients, is what one process gets from the whole batch.

    Without any weighted joint the result is 0 but still hangs on ``values``, so that every
    parameter gets a (zero) gradient: under DistributedDataParallel other ranks would wait for a
    missing one.

    Args:
        values: (B, J), finite.
        weights: (B, J), not negative; 0 takes a joint out.
    """
    total = weights.sum(1)
    has_joint = total > 0
    per_sample = (values * weights).sum(1) / total.masked_fill(~has_joint, 1.0)
    return per_sample.sum() / rank_share(has_joint.sum())
