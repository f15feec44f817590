# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Share of 2D joints found, for persons of very different sizes.

Letters: M persons, K joints.
"""

import numpy as np

from wsp_mm.evaluation.functional.averages import percent


def pair_pck(
    pred: np.ndarray,
    gt: np.ndarray,
    visible: np.ndarray,
    box_height: np.ndarray,
    threshold: float = 0.1,
) -> dict[str, float | int]:
    """Share of the labelled joints found within ``threshold`` heights of the person's box, edges
    included. A prediction that is not finite is a miss.

    Args:
        pred: (M, K, 2) px.
        gt: (M, K, 2) px, same image.
        visible: (M, K), positive where the joint is labelled.
        box_height: (M,) px.

    Returns:
        ``pck`` in percent, nan without a labelled joint, and their number ``n``.

    Raises:
        ValueError: shapes that do not fit, a labelled joint that is not finite, a box height that
            is not positive.
    """
    pred, gt = np.asarray(pred, dtype=np.float64), np.asarray(gt, dtype=np.float64)
    visible, box_height = np.asarray(visible) > 0, np.asarray(box_height, dtype=np.float64)
    shapes = pred.shape, gt.shape, (*visible.shape, 2), (*box_height.shape, *pred.shape[1:])
    if pred.ndim != 3 or len(set(shapes)) > 1:
        raise ValueError(f'pred, gt, visible and box_height do not fit: {shapes}')
    if not (np.isfinite(gt[visible]).all() and (box_height > 0).all()):
        raise ValueError('a labelled joint is not finite, or a box height is not positive')
    with np.errstate(invalid='ignore'):  # nan compares false
        hit = np.linalg.norm(pred - gt, axis=2) <= threshold * box_height[:, None]
    return dict(pck=percent(hit[visible]), n=int(visible.sum()))
