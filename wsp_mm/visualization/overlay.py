# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Everybody of a frame drawn into its picture: boxes, 2D skeletons, distances.

Pictures are (H, W, 3) uint8 BGR, coordinates px; P persons, K joints.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from wsp_mm.visualization.placement import Person, read_persons, read_skeleton
from wsp_mm.visualization.pose3d_sheet import SIDE_COLORS

#: By person, BGR; bright enough for dark pictures and dark enough for a white page.
PERSON_COLORS = (
    (220, 120, 30), (30, 100, 240), (60, 160, 40), (190, 60, 190), (20, 170, 220),
    (170, 160, 20), (80, 60, 220), (140, 90, 60), (130, 20, 110), (20, 110, 110),
)  # fmt: skip
FONT = cv2.FONT_HERSHEY_SIMPLEX
SHIFT = 4  # OpenCV draws at sixteenths of a pixel
FAR = 1e5  # px; OpenCV's coordinates are 32 bit


def person_color(identity: int) -> tuple[int, int, int]:
    """BGR; the same person has one colour in all pictures and in the viewer."""
    return PERSON_COLORS[identity % len(PERSON_COLORS)]


def side_color(side: str) -> tuple[int, int, int]:
    """BGR of 'left', 'right' or 'middle'."""
    red, green, blue = (round(255 * value) for value in SIDE_COLORS[side])
    return blue, green, red


def check_picture(picture: np.ndarray) -> None:
    """Refuse what OpenCV would draw nonsense into.

    Raises:
        ValueError: not (H, W, 3) uint8.
    """
    if (
        picture.ndim != 3
        or picture.shape[2] != 3
        or picture.dtype != np.uint8
        or 0 in picture.shape
    ):
        raise ValueError(
            f'a picture must be (H, W, 3) uint8 BGR, got {picture.shape} {picture.dtype}; convert grey, 16-bit '
            'and CMYK pictures first'
        )


def line_width(picture: np.ndarray) -> int:
    """Lines grow with the picture, so that a large one scaled down still shows them; px."""
    return max(1, round(max(picture.shape[:2]) / 480))


def fixed(points: np.ndarray) -> np.ndarray:
    """(..., 2) px to the integers that OpenCV takes with ``shift=SHIFT``; nan must be left out
    before.
    """
    return np.round(np.clip(points, -FAR, FAR) * (1 << SHIFT)).astype(int)


def draw_text(
    picture: np.ndarray,
    text: str,
    corner: tuple[float, float],
    color: tuple[int, int, int],
    scale: float = 0.45,
) -> None:
    """White text on a bar of the colour, its lower left corner at ``corner`` px, moved into the
    picture.

    OpenCV's letters are ASCII; others become '?'.
    """
    text = text.encode('ascii', 'replace').decode()
    (width, height), base = cv2.getTextSize(text, FONT, scale, 1)
    rows, columns = picture.shape[:2]
    x = round(min(max(corner[0], 0), max(columns - width - 4, 0)))
    y = round(min(max(corner[1], height + 4), max(rows - base, height + 4)))
    cv2.rectangle(picture, (x, y - height - 4), (x + width + 4, y + base - 1), color, -1)
    cv2.putText(picture, text, (x + 2, y - 2), FONT, scale, (255, 255, 255), 1, cv2.LINE_AA)


def draw_box(picture: np.ndarray, person: Person, text: str, width: int) -> None:
    """A person's box in his colour, with a label; nothing where the box is not known."""
    if not np.isfinite(person.box).all():
        return
    color = person_color(person.id)
    low, high = fixed(np.stack([person.box[:2], person.box[:2] + person.box[2:]])).tolist()
    cv2.rectangle(picture, low, high, color, width, cv2.LINE_8, shift=SHIFT)
    draw_text(picture, text, np.clip(person.box[:2], -FAR, FAR).tolist(), color, 0.35 + 0.1 * width)


def draw_overlay(image_bgr: np.ndarray, record: Mapping, info: Mapping) -> np.ndarray:
    """A copy of the picture with its persons: box, number and distance; links in the person's
    colour, joints in that of the body's side (green left, orange right, blue middle).

    Joints that are not known (None, nan) and links to them are left out.

    Args:
        image_bgr: (H, W, 3) uint8. record: one frame. info: of the document, names the joints.

    Raises:
        ValueError: another kind of picture; a record that does not fit ``info``.
    """
    check_picture(image_bgr)
    skeleton = read_skeleton(info)
    picture = image_bgr.copy()
    width = line_width(picture)
    persons = read_persons(record, len(skeleton))
    for person in persons:
        draw_box(picture, person, person.label, width)
    # nearer persons are drawn over farther ones; who has no depth comes first
    for person in sorted(persons, key=lambda p: -np.nan_to_num(p.root_depth, nan=np.inf)):
        known = np.isfinite(person.pixels).all(axis=1)
        points = fixed(np.nan_to_num(person.pixels))
        for a, b in skeleton.links:
            if known[a] and known[b]:
                ends = points[a].tolist(), points[b].tolist()
                cv2.line(
                    picture, *ends, person_color(person.id), width + 1, cv2.LINE_AA, shift=SHIFT
                )
        for k in np.flatnonzero(known):
            radius = (width + 1) << SHIFT
            color = side_color(skeleton.sides[k])
            cv2.circle(picture, points[k].tolist(), radius, color, -1, cv2.LINE_AA, shift=SHIFT)
    return picture
