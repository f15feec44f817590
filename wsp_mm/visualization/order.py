# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The order of persons from front to back, drawn: boxes with ranks, and a table of pairwise
probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from wsp_mm.visualization.overlay import FONT, check_picture, draw_box, line_width, person_color
from wsp_mm.visualization.placement import read_persons

CELL = (46, 26)  # px, width and height of a cell of the table
MOST = 12  # persons in the table; the boxes have all ranks


def read_order(record: Mapping) -> tuple[list[int], np.ndarray] | None:
    """Ids from front to back and probabilities (P, P), rows and columns in that order, nan on the
    diagonal.

    ``probability[i][j]`` of the record says that person i of ``persons`` is nearer than person j.

    Returns:
        None where the record has no order.

    Raises:
        ValueError: ids or matrix that do not fit the persons.
    """
    order = record.get('order')
    if not order:
        return None
    where = f'frame {record.get("frame")} ({record.get("file_name")})'
    ids = [int(person.get('id', i)) for i, person in enumerate(record.get('persons') or ())]
    ranked = [int(identity) for identity in order['ids']]
    if not set(ranked) <= set(ids) or len(set(ranked)) != len(ranked):
        raise ValueError(f'{where}: order.ids are {ranked}, but the persons are {ids}')
    matrix = np.asarray(order['probability'], dtype=np.float64)
    if not ids and not matrix.size:
        matrix = matrix.reshape(0, 0)
    if matrix.shape != (len(ids), len(ids)):
        raise ValueError(
            f'{where}: order.probability must be {len(ids)} x {len(ids)}, is {matrix.shape}'
        )
    rows = [ids.index(identity) for identity in ranked]
    matrix = matrix[np.ix_(rows, rows)]
    np.fill_diagonal(matrix, np.nan)
    return ranked, matrix


def draw_order(image_bgr: np.ndarray, record: Mapping) -> np.ndarray:
    """The picture with ranked boxes, 1 in front, and below it the probabilities "row is nearer than
    column".

    Args:
        image_bgr: (H, W, 3) uint8.

    Returns:
        (H + the table's height, max(W, the table's width), 3) uint8. The picture's pixels stay
        where they are.

    Raises:
        ValueError: another kind of picture; an order that does not fit the persons.
    """
    check_picture(image_bgr)
    picture = image_bgr.copy()
    order = read_order(record)
    if order is None:
        table = _table([], np.zeros((0, 0)), picture.shape[1], 'no order of persons in this frame')
    else:
        ids, matrix = order
        persons = {person.id: person for person in _boxes(record)}
        # from the back, so that the label of who is in front is never covered
        for rank in reversed(range(len(ids))):
            person = persons[ids[rank]]
            draw_box(
                picture, person, f'{rank + 1} of {len(ids)}  #{person.id}', line_width(picture) + 1
            )
        title = 'P(row is nearer than column), front to back'
        if len(ids) > MOST:
            title += f'; the {MOST} in front of {len(ids)}'
        table = _table(ids[:MOST], matrix[:MOST, :MOST], picture.shape[1], title)
    width = max(picture.shape[1], table.shape[1])
    out = np.full((picture.shape[0] + table.shape[0], width, 3), 40, np.uint8)
    out[: picture.shape[0], : picture.shape[1]] = picture
    out[picture.shape[0] :, : table.shape[1]] = table
    return out


def _boxes(record: Mapping):
    plain = [{key: entry.get(key) for key in ('id', 'bbox')} for entry in record['persons']]
    for i, entry in enumerate(plain):
        entry['id'] = i if entry['id'] is None else entry['id']
    return read_persons({**record, 'persons': plain}, 0)


def _table(ids: list[int], matrix: np.ndarray, least_width: int, title: str) -> np.ndarray:
    """(height, width, 3): the title, and a cell a pair, the greener the surer that the row is
    nearer.
    """
    w, h = CELL
    (text_width, _), _ = cv2.getTextSize(title, FONT, 0.42, 1)
    rows = len(ids) + 1 if len(ids) > 1 else 0
    table = np.full((h * (rows + 1), max(least_width, text_width + 12, w * rows), 3), 40, np.uint8)

    def write(text: str, x: int, y: int, color) -> None:
        cv2.putText(table, text, (x + 6, y + h - 8), FONT, 0.42, color, 1, cv2.LINE_AA)

    write(title, 0, 0, (235, 235, 235))
    if not rows:
        return table
    for i, identity in enumerate(ids):
        x, y = w * (i + 1), h * (i + 2)
        cv2.rectangle(table, (x, h), (x + w - 2, 2 * h - 2), person_color(identity), -1)
        cv2.rectangle(table, (0, y), (w - 2, y + h - 2), person_color(identity), -1)
        write(f'#{identity}', x, h, (255, 255, 255))
        write(f'#{identity}', 0, y, (255, 255, 255))
        for j in range(len(ids)):
            value = matrix[i, j]
            text = '-' if np.isnan(value) else f'{value:.2f}'
            strength = 0.0 if np.isnan(value) else abs(value - 0.5) * 2
            tint = np.array((60, 150, 60) if value >= 0.5 else (60, 60, 170)) * strength + 70 * (
                1 - strength
            )
            cell = (w * (j + 1), y), (w * (j + 2) - 2, y + h - 2)
            cv2.rectangle(table, *cell, tint.astype(int).tolist(), -1)
            write(text, w * (j + 1), y, (255, 255, 255))
    return table
