# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Contact sheets: pairs with what the network said of them, and pictures as they are.

Pictures are (H, W, 3) uint8 BGR, coordinates px.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from wsp_mm.structures.keypoints import get_joint_set

PERSON_COLORS = ((255, 160, 40), (40, 120, 255))  # A blue, B orange
RIGHT, WRONG = (70, 180, 60), (50, 50, 220)


def draw_person(
    picture: np.ndarray,
    box: np.ndarray,
    keypoints: np.ndarray,
    visible: np.ndarray,
    color: tuple[int, int, int],
    joint_set: str = 'mcpc16',
    radius: int = 2,
) -> None:
    """Draw a box (x1, y1, x2, y2) and the joints with their links into the picture."""
    x1, y1, x2, y2 = np.round(box).astype(int).tolist()
    cv2.rectangle(picture, (x1, y1), (x2, y2), color, 1, cv2.LINE_AA)
    points = np.round(keypoints).astype(int)
    for a, b in get_joint_set(joint_set).link_indices:
        if visible[a] and visible[b]:
            cv2.line(picture, points[a].tolist(), points[b].tolist(), color, 1, cv2.LINE_AA)
    for k in np.flatnonzero(visible):
        cv2.circle(picture, points[k].tolist(), radius, color, -1, cv2.LINE_AA)


def draw_pair(
    picture: np.ndarray,
    boxes: np.ndarray,
    keypoints: np.ndarray,
    visible: np.ndarray,
    prob: float,
    label: int | None,
    size: int = 240,
    margin: float = 0.15,
) -> np.ndarray:
    """One tile of the sheet.

    Args:
        boxes: (2, 4) x1, y1, x2, y2. keypoints: (2, K, 2) predicted. visible: (2, K) joints to
            draw.
        prob: predicted P(A nearer). label: 1, 0, or None where it is not known (then no verdict is
            drawn).

    Returns:
        (size, size, 3): the square around both, framed green where prob and label agree, red where
        not.
    """
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    center, side = (low + high) / 2, float((high - low).max()) * (1 + 2 * margin)
    scale = size / max(side, 1.0)
    offset = size / 2 - center * scale
    tile = cv2.warpAffine(
        picture,
        np.array([[scale, 0, offset[0]], [0, scale, offset[1]]]),
        (size, size),
        flags=cv2.INTER_LINEAR,
    )
    boxes = (boxes.reshape(2, 2, 2) * scale + offset).reshape(2, 4)
    mark_pair(tile, boxes, keypoints * scale + offset, visible, prob, label)
    return tile


def mark_pair(
    picture: np.ndarray,
    boxes: np.ndarray,
    keypoints: np.ndarray,
    visible: np.ndarray,
    prob: float,
    label: int | None,
) -> None:
    """Draw both persons and the answer into the picture; arguments as :func:`draw_pair`, px of this
    picture.
    """
    for i, color in enumerate(PERSON_COLORS):
        draw_person(picture, boxes[i], keypoints[i], visible[i], color)
        corner = (int(boxes[i][0]) + 3, int(boxes[i][1]) + 14)
        cv2.putText(picture, 'AB'[i], corner, cv2.FONT_HERSHEY_SIMPLEX, 0.5, color, 1, cv2.LINE_AA)
    height, width = picture.shape[:2]
    verdict = (120, 120, 120) if label is None else RIGHT if (prob >= 0.5) == bool(label) else WRONG
    cv2.rectangle(picture, (0, 0), (width - 1, height - 1), verdict, 5)
    cv2.rectangle(picture, (0, height - 22), (width, height), verdict, -1)
    text = f'{"A" if prob >= 0.5 else "B"} nearer  {max(prob, 1 - prob):.2f}'
    cv2.putText(
        picture,
        text,
        (8, height - 7),
        cv2.FONT_HERSHEY_SIMPLEX,
        0.48,
        (255, 255, 255),
        1,
        cv2.LINE_AA,
    )


def fit_tile(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """Scale a picture into (height, width, 3) without cutting it, on grey."""
    scale = min(width / picture.shape[1], height / picture.shape[0])
    resized = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[
        :height, :width
    ]
    tile = np.full((height, width, 3), 40, np.uint8)
    y, x = (height - resized.shape[0]) // 2, (width - resized.shape[1]) // 2
    tile[y : y + resized.shape[0], x : x + resized.shape[1]] = resized
    return tile


def contact_sheet(tiles: Iterable[np.ndarray], columns: int, gap: int = 4) -> np.ndarray:
    """Tiles of one size, row by row.

    Raises:
        ValueError: no tile.
    """
    tiles = list(tiles)
    if not tiles:
        raise ValueError('a contact sheet needs at least one tile')
    h, w = tiles[0].shape[:2]
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * (h + gap) + gap, columns * (w + gap) + gap, 3), 255, np.uint8)
    for i, tile in enumerate(tiles):
        y, x = gap + (i // columns) * (h + gap), gap + (i % columns) * (w + gap)
        sheet[y : y + h, x : x + w] = tile
    return sheet


def spread(items: Sequence, count: int) -> list:
    """``count`` items (fewer if there are fewer), evenly spread over the sequence."""
    if not len(items):
        return []
    return [items[i] for i in np.unique(np.linspace(0, len(items) - 1, count).round().astype(int))]
