# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Which joints and pixels of a person an image shows.

The rule for joints. A joint lies inside the body, so some surface is always before it. It is
*visible* when the first surface at the pixel that it projects to is

* of its own body, of a part that the joint lies in (``joints.ALLOWED_PARTS``), and no further
  before the joint than that part is thick there (``joints.DEPTHS``, for 1.7 m, scaled with
  stature), or
* not of a person, and behind the joint or at most 2 cm before it: the joint stands out over the
  outline by less than a pixel, or rests on the ground or a seat.

Everything else hides it: another person, a seat, or another part of the own body, such as an arm
before the hip. J joints of the set ``world``.
"""

import cv2
import numpy as np

from .body import body_model
from .joints import ALLOWED_PARTS, DEPTHS
from .render import Buffers, Renderer

# m: how far a joint may lie behind the surface of a thing that it touches.
TOUCH = 0.02
# A pixel and its neighbours, (9, 2) x, y; the pixel itself is in the middle.
_AROUND = np.array([(x, y) for y in (-1, 0, 1) for x in (-1, 0, 1)])
_SELF = 4


def joint_pixels(projected: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Nearest pixels (J, 2) int, clipped, and (J,) whether a projection (J, 2+) falls into the
    image.
    """
    px = projected[:, :2]
    good = np.isfinite(px).all(axis=1)
    inside = good & (px >= -0.5).all(axis=1) & (px < (width - 0.5, height - 0.5)).all(axis=1)
    pixel = np.rint(np.where(good[:, None], px, 0)).astype(int)
    return np.clip(pixel, 0, [width - 1, height - 1]), inside


def visible_joints(
    index: int, projected: np.ndarray, stature: float, seen: Buffers
) -> tuple[np.ndarray, np.ndarray]:
    """Which joints of body ``index`` are in the image (J,), and which are visible (J,).

    Args:
        projected: (J, 3) px, px, m. stature: m. seen: the renderer's buffers.
    """
    height, width = seen.depth.shape
    pixel, inside = joint_pixels(projected, width, height)
    # Each (9, J), at a joint's pixel and its neighbours: owner, how far before the joint the
    # surface is, whether it is of a part that may lie there, and thin enough.
    x, y = np.clip(pixel + _AROUND[:, None], 0, [width - 1, height - 1]).transpose(2, 0, 1)
    owner, gap = seen.owner[y, x], projected[:, 2] - seen.depth[y, x]
    part = body_model().face_part[np.where(owner == index, seen.face[y, x], 0)]
    allowed = (owner == index) & ALLOWED_PARTS[np.arange(len(pixel)), part]
    thin = allowed & (gap <= DEPTHS * stature / 1.7)
    beside = np.arange(len(_AROUND)) != _SELF
    stands_out = thin[beside].any(axis=0) | ~allowed[beside].any(axis=0)
    by_nothing = (owner[_SELF] < 0) & (gap[_SELF] <= TOUCH) & stands_out
    return inside, inside & (thin[_SELF] | by_nothing)


def silhouette(i: int, renderer: Renderer, seen: Buffers) -> dict[str, object]:
    """``bbox``, ``area``, ``visible_share`` and ``polygons`` of body i, as in ``PersonGT``."""
    x0, y0, alone = renderer.cover(i, seen)
    mask = seen.owner[y0 : y0 + alone.shape[0], x0 : x0 + alone.shape[1]] == i
    area = int(mask.sum())
    found = dict(area=area, visible_share=round(area / max(1, int(alone.sum())), 4))
    if area:
        ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box = x0 + xs[0], y0 + ys[0], np.ptp(xs) + 1, np.ptp(ys) + 1
        found |= dict(bbox=np.array(box, dtype=np.float64), polygons=_polygons(mask, (x0, y0)))
    return found


def _polygons(mask: np.ndarray, offset: tuple[int, int]) -> list[list[float]]:
    contours, _ = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_TC89_L1
    )
    return [
        (contour[:, 0] + offset).astype(float).ravel().tolist()
        for contour in contours
        if len(contour) >= 3 and (cv2.contourArea(contour) >= 4 or len(contours) == 1)
    ]
