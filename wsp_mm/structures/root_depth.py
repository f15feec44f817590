# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""How far away a person is, from nothing but the size of its box.

N persons. Boxes are (x, y, w, h) px of the picture, focal lengths px, distances along the camera's axis mm.
"""

from __future__ import annotations

import numpy as np

#: Area of the upright square that a processed box is taken for, mm^2: RootNet's 2 m x 2 m.
AREA_MM2 = 2000.0 * 2000.0


def k_value(boxes: np.ndarray, f: np.ndarray, area_mm2: float = AREA_MM2) -> np.ndarray:
    """Distance at which an upright area of ``area_mm2`` fills a box: sqrt(fx fy area_mm2 / box area).

    RootNet's prior (Moon et al., ICCV 2019, section 5), which its network only corrects by a factor. The box
    must be the one that is cropped: clipped, square and padded (:func:`.person_box.crop_boxes`). A tight box
    gives a depth that is much too large.

    Args:
        boxes: (N, 4) x, y, w, h px, or (4,).
        f: focal lengths px, (N, 2), or (2,) for all.
        area_mm2: what the box is taken to cover, mm^2.

    Returns:
        (N,) mm; nan where a box is nan. Without the first axis for a single box.

    Raises:
        ValueError: a box without area, a focal length that is not positive, or shapes that do not fit.
    """
    boxes, f = np.asarray(boxes, dtype=np.float64), np.asarray(f, dtype=np.float64)
    if boxes.shape[-1:] != (4,) or f.shape[-1:] != (2,) or f.shape[:-1] not in ((), boxes.shape[:-1]):
        raise ValueError(
            f'k_value takes boxes (N, 4) and focal lengths (N, 2) or (2,), got {boxes.shape}, {f.shape}'
        )
    if not (np.isfinite(f).all() and (f > 0).all()):
        raise ValueError(f'focal lengths must be positive (px), got {f.tolist()}')
    if not area_mm2 > 0:
        raise ValueError(f'area_mm2 must be positive, got {area_mm2}')
    if (boxes[..., 2:] <= 0).any():
        raise ValueError(
            f'a box has no area: {boxes[(boxes[..., 2:] <= 0).any(axis=-1)][:1].tolist()} (x, y, w, h px)'
        )
    return np.sqrt(f.prod(axis=-1) * area_mm2 / boxes[..., 2:].prod(axis=-1))
