# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Boxes around one person: from joints, from annotations to the square crop, and the depth that a
size implies.

N persons, K joints. Boxes are (x, y, w, h) px of the image, depths mm along the camera's axis.
Arithmetic and clipping follow PoseNet and RootNet (Moon et al., ICCV 2019): their results need the
same crops.
"""

import numpy as np

#: Sides of a crop / sides of the box that it is made of.
PADDING = 1.25

#: Sides of Human3.6M's annotated boxes / extent of the joints.
JOINTS_MARGIN = 1.2

#: Area of the upright square that a crop is assumed to show, mm^2: RootNet's 2 m x 2 m.
AREA_MM2 = 2000.0 * 2000.0


def crop_boxes(
    boxes: np.ndarray, sizes: np.ndarray, aspect: float = 1.0, padding: float = PADDING
) -> np.ndarray:
    """Turn annotated boxes into the boxes that are cropped.

    Clip the box to the image, grow its shorter side about the centre to the input's aspect ratio,
    then scale both sides by ``padding``. The result is not clipped again: the crop is black outside
    the image.

    As in PoseNet, a box that begins left of or above the image is shifted inside before its right
    and lower edges are clipped, so it keeps its width and height.

    Args:
        boxes: (N, 4) x, y, w, h px.
        sizes: (N, 2) or (2,) width and height of the image, px.
        aspect: width / height of the network's input.
        padding: factor for both sides.

    Returns:
        (N, 4) x, y, w, h px; nan where the box has no area, or none inside the image.
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
    # A box of a single pixel has sides of 0 px and cannot be cropped.
    out[bad | ~(width > 0)] = np.nan
    return out


def crop_box(
    box: np.ndarray, size: tuple[int, int], aspect: float = 1.0, padding: float = PADDING
) -> np.ndarray | None:
    """Apply :func:`crop_boxes` to one box (4,); return None where it gives nan."""
    out = crop_boxes(np.asarray(box)[None], np.asarray(size), aspect, padding)[0]
    return out if np.isfinite(out).all() else None


def joints_boxes(pixels: np.ndarray, margin: float = JOINTS_MARGIN) -> np.ndarray:
    """Make Human3.6M's annotated boxes: centred on the joints' extent, sides ``margin`` x (extent -
    1 px).

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


def k_value(boxes: np.ndarray, f: np.ndarray, area_mm2: float = AREA_MM2) -> np.ndarray:
    """Return the depth at which an upright area fills a box: sqrt(fx fy area_mm2 / box area).

    RootNet's prior (Moon et al., ICCV 2019, section 5), which its network corrects by a factor.
    Pass the box that is cropped (:func:`crop_boxes`); a tight box gives a depth that is much too
    large.

    Args:
        boxes: (N, 4) x, y, w, h px, or (4,).
        f: focal lengths px, (N, 2), or (2,) for all.
        area_mm2: area that the box is assumed to cover, mm^2.

    Returns:
        (N,) mm, nan where a box is nan; without the first axis for a single box.

    Raises:
        ValueError: a box without area, a focal length that is not positive, or shapes that do not
            fit.
    """
    boxes, f = np.asarray(boxes, dtype=np.float64), np.asarray(f, dtype=np.float64)
    if (
        boxes.shape[-1:] != (4,)
        or f.shape[-1:] != (2,)
        or f.shape[:-1] not in ((), boxes.shape[:-1])
    ):
        raise ValueError(
            f'k_value takes boxes (N, 4) and focal lengths (N, 2) or (2,), got {boxes.shape}, '
            f'{f.shape}'
        )
    if not (np.isfinite(f).all() and (f > 0).all()):
        raise ValueError(f'focal lengths must be positive (px), got {f.tolist()}')
    if not area_mm2 > 0:
        raise ValueError(f'area_mm2 must be positive, got {area_mm2}')
    if (boxes[..., 2:] <= 0).any():
        raise ValueError(
            f'a box has no area: {boxes[(boxes[..., 2:] <= 0).any(axis=-1)][:1].tolist()} (x, y, '
            'w, h px)'
        )
    return np.sqrt(f.prod(axis=-1) * area_mm2 / boxes[..., 2:].prod(axis=-1))
