# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Boxes around one person: from the joints, and from a labelled box to the square that is cropped.

N persons, K joints. Boxes are (x, y, w, h) px of the picture. The arithmetic, its pixels less and its clipping
are those of PoseNet (Moon et al., ICCV 2019), whose numbers can only be met with the same crops.
"""

from __future__ import annotations

import numpy as np

#: Both sides of a crop are this many times those of the box that it is made of.
PADDING = 1.25

#: Human3.6M's labelled box is the extent of the joints, this many times as large.
JOINTS_MARGIN = 1.2


def crop_boxes(
    boxes: np.ndarray, sizes: np.ndarray, aspect: float = 1.0, padding: float = PADDING
) -> np.ndarray:
    """Labelled boxes to the boxes that are cropped.

    A box is clipped to the picture, its shorter side grows about the centre until the box has the input's
    aspect, and then both sides grow by ``padding``. The result is not clipped again: what lies outside of the
    picture is black in the crop.

    A box that begins left of or above the picture is moved in before its right and lower edges are clipped, so
    it keeps its width and height: PoseNet does that.

    Args:
        boxes: (N, 4) x, y, w, h px.
        sizes: (N, 2) or (2,) width and height of the picture, px.
        aspect: width over height of the network's input.
        padding: share by which both sides grow.

    Returns:
        (N, 4) x, y, w, h px; nan where the box has no area, or none within the picture.
    """
    boxes, sizes = np.asarray(boxes, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    low = np.maximum(boxes[..., :2], 0)
    high = np.minimum(sizes - 1, low + np.maximum(boxes[..., 2:] - 1, 0))
    with np.errstate(invalid='ignore'):
        bad = ~(np.prod(boxes[..., 2:], axis=-1) > 0) | ~(high >= low).all(axis=-1)
    side = high - low
    centre = low + side / 2
    width = np.maximum(side[..., 0], side[..., 1] * aspect)
    side = np.stack([width, width / aspect], axis=-1) * padding
    out = np.concatenate([centre - side / 2, side], axis=-1)
    # A box of a single pixel has no side left: nothing can be cropped there.
    out[bad | ~(width > 0)] = np.nan
    return out


def crop_box(
    box: np.ndarray, size: tuple[int, int], aspect: float = 1.0, padding: float = PADDING
) -> np.ndarray | None:
    """As :func:`crop_boxes` for one box (4,); None where there is nothing to crop."""
    out = crop_boxes(np.asarray(box)[None], np.asarray(size), aspect, padding)[0]
    return out if np.isfinite(out).all() else None


def joints_boxes(pixels: np.ndarray, margin: float = JOINTS_MARGIN) -> np.ndarray:
    """Human3.6M's labelled boxes: about the middle of the joints' extent, sides ``margin`` x (the extent - 1
    px).

    Args:
        pixels: (N, K, 2) px.

    Returns:
        (N, 4) x, y, w, h px.
    """
    low, high = pixels.min(axis=-2), pixels.max(axis=-2)
    side = (high - low - 1) * margin
    return np.concatenate([(low + high) / 2 - side / 2, side], axis=-1)


def to_corners(boxes: np.ndarray) -> np.ndarray:
    """(..., 4) x, y, w, h to x1, y1, x2, y2."""
    return np.concatenate([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], axis=-1)


def to_sides(boxes: np.ndarray) -> np.ndarray:
    """(..., 4) x1, y1, x2, y2 to x, y, w, h."""
    return np.concatenate([boxes[..., :2], boxes[..., 2:] - boxes[..., :2]], axis=-1)
