# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The paper's Figure 3 for any COCO-style set: pictures with everybody in them, and their 3D poses
beside.

P persons, K joints; boxes are x, y, w, h px.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from wsp_mm.datasets.box_files import BoxFile, read_boxes
from wsp_mm.datasets.converters.mcpc.files import load_json
from wsp_mm.datasets.converters.mcpc.records import BadDataError
from wsp_mm.visualization.overlay import draw_overlay
from wsp_mm.visualization.pair_sheet import fit_tile
from wsp_mm.visualization.placement import place_persons, read_skeleton
from wsp_mm.visualization.pose3d_sheet import SheetRow, rows_sheet

PERSON = 1  # COCO's number of the category
_MEND = 'Give annotations in the format of COCO'
# (elevation, azimuth) degrees: persons beside each other must not cover each other in the second
VIEWS = {'from the camera': (0, -90), 'from the left, raised': (28, -62)}
TILE = 480  # px, side of a picture in the sheet before matplotlib scales it


@dataclass(frozen=True)
class Choice:
    """A picture to draw: its id and name in the annotations, boxes (P, 4) px and scores (P,)."""

    image_id: int
    file_name: str
    boxes: np.ndarray
    scores: np.ndarray


def read_pictures(path: str | Path) -> tuple[dict[int, str], BoxFile]:
    """Pictures of a COCO-style json, id -> file name, and its labelled persons (crowds left out) as
    boxes.

    Raises:
        OSError: no such file. BadDataError: it is not of that kind.
    """
    data = load_json(Path(path))
    if not isinstance(data, Mapping) or not isinstance(data.get('images'), list):
        raise BadDataError('no images', path, '', 'there is no list "images"', _MEND)
    names, boxes = {}, {}
    for row, image in enumerate(data['images']):
        if (
            not isinstance(image, Mapping)
            or 'id' not in image
            or not isinstance(image.get('file_name'), str)
        ):
            raise BadDataError(
                'bad image', path, f'images[{row}]', 'it has no id or no file_name', _MEND
            )
        names[int(image['id'])] = image['file_name']
    for row, annotation in enumerate(data.get('annotations') or ()):
        if annotation.get('iscrowd') or annotation.get('category_id', PERSON) != PERSON:
            continue
        box = annotation.get('bbox')
        if box is None or len(box) != 4 or annotation.get('image_id') not in names:
            record = f'annotations[{row}] (id {annotation.get("id")})'
            what = 'it has no bbox of 4 numbers, or belongs to no picture of the file'
            raise BadDataError('bad annotation', path, record, what, _MEND)
        boxes.setdefault(int(annotation['image_id']), []).append(np.asarray(box, dtype=np.float64))
    stacked = {image_id: np.stack(found) for image_id, found in boxes.items()}
    return names, BoxFile(
        names, stacked, {i: np.ones(len(b)) for i, b in stacked.items()}, extended=False
    )


def choose_pictures(
    names: Mapping[int, str],
    found: BoxFile,
    count: int,
    seed: int,
    max_persons: int = 4,
    min_side: float = 48.0,
    min_score: float = 0.3,
) -> list[Choice]:
    """Draw pictures with persons by the seed: nothing is picked for looking well.

    Args:
        names: id -> file name of all pictures. found: persons in them.
        count: pictures; fewer where there are fewer.
        max_persons: the largest of a picture; more cannot be told apart in one panel.
        min_side: px that a box's longer side must have. min_score: of a box.

    Returns:
        In the order of ids.
    """
    usable = []
    for image_id in sorted(names):
        boxes, scores = found.boxes.get(image_id), found.scores.get(image_id)
        if boxes is None:
            continue
        keep = (
            (boxes[:, 2:].max(axis=1) >= min_side)
            & (boxes[:, 2:] > 0).all(axis=1)
            & (scores >= min_score)
        )
        boxes, scores = boxes[keep], scores[keep]
        largest = np.argsort(-boxes[:, 2:].prod(axis=1), kind='stable')[:max_persons]
        if len(largest):
            usable.append(Choice(image_id, names[image_id], boxes[largest], scores[largest]))
    drawn = np.random.default_rng(seed).permutation(len(usable))[:count]
    return [usable[i] for i in sorted(drawn)]


def boxes_for(ann: str | Path, boxes: str | Path | None) -> tuple[dict[int, str], BoxFile]:
    """Pictures of the annotations, and persons from the file of boxes, or the labelled ones without
    it.

    Raises:
        OSError, BadDataError: of the two files, or boxes that are of none of the pictures.
    """
    names, found = read_pictures(ann)
    if boxes is not None:
        found = read_boxes(boxes)
        if not set(found.boxes) & set(names):
            what = f'none of its boxes is of a picture of {ann}, the image ids are different'
            raise BadDataError(
                'foreign boxes', boxes, '', what, 'Detect persons on the pictures of that file'
            )
    return names, found


def sheet_row(picture: np.ndarray, record: Mapping, info: Mapping) -> SheetRow:
    """One row: the picture with its overlay, and all persons in one space, numbered as in the
    picture.
    """
    scene = place_persons(record, read_skeleton(info))
    styles = [dict(lw=1.6, label=f'#{identity}') for identity in scene.ids]
    name = Path(str(record.get('file_name'))).name
    where = 'camera space' if scene.in_camera else 'root-relative, side by side'
    return SheetRow(
        fit_tile(draw_overlay(picture, record, info), TILE, TILE),
        list(zip(scene.poses, styles, strict=True)),
        f'{name}: {where}',
        info['joint_set'],
        cube=False,
        views=VIEWS,
    )


def qualitative_sheet(pairs: Iterable[tuple[np.ndarray, Mapping]], info: Mapping) -> bytes:
    """PNG with a row a picture.

    Args:
        pairs: (H, W, 3) uint8 BGR pictures with their records. info: of the document.

    Raises:
        ValueError: no picture.
    """
    rows: Sequence[SheetRow] = [sheet_row(picture, record, info) for picture, record in pairs]
    return rows_sheet(rows, columns=1 if len(rows) < 4 else 2, panel=3.0)


def png_as(png: bytes, suffix: str) -> bytes:
    """A PNG as a file of that suffix (``.png``, ``.jpg``, ``.jpeg``).

    Raises:
        ValueError: another suffix.
    """
    if suffix.lower() == '.png':
        return png
    if suffix.lower() not in ('.jpg', '.jpeg'):
        raise ValueError(f'a sheet is written as .png or .jpg, not {suffix or "without suffix"}')
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    return cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()
