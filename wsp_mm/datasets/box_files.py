# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Detected persons in a file: which pictures were looked at, and the boxes found in them.

M boxes in a picture, each (x, y, w, h) px of the picture, x and y at the left upper corner.

A box is *raw* when it is tight around the person, as detectors give it, and *extended* when it is
already the square, enlarged region that is cropped
(:func:`wsp_mm.structures.bbox.crop_boxes`). Extending twice is an error that no later step
could see, so the file says which it holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from wsp_mm.datasets.converters.mcpc.files import AtomicFiles, dump_records, load_json
from wsp_mm.datasets.converters.mcpc.records import BadDataError

FORMAT, VERSION = 'wsp_mm.boxes', 1
CONVENTIONS = ('raw', 'extended')
PERSON = 1  # COCO's number of the category
#: Digits after the point of coordinates (px) and of scores.
BOX_DECIMALS, SCORE_DECIMALS = 3, 5
_MEND = (
    'Write it anew with tools/detect_persons.py, or give a list of results in the format of COCO'
)


@dataclass(frozen=True)
class BoxFile:
    """What a file of boxes holds.

    Attributes:
        images: id -> file name of every picture that was looked at; '' where a plain list of
            results does not tell the name.
        boxes: id -> (M, 4) x, y, w, h px, best score first; (0, 4) for a picture without persons.
        scores: id -> (M,).
        extended: whether the boxes are square and enlarged already.
        info: what the file says about its origin; empty for a plain list of results.
    """

    images: dict[int, str]
    boxes: dict[int, np.ndarray]
    scores: dict[int, np.ndarray]
    extended: bool
    info: dict = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(map(len, self.scores.values()))


def write_boxes(
    path: str | Path,
    images: Iterable[tuple[int, str]],
    boxes: Mapping[int, np.ndarray],
    scores: Mapping[int, np.ndarray],
    extended: bool = False,
    info: Mapping | None = None,
) -> None:
    """Write a file of boxes, whole or not at all.

    Args:
        path: the json. images: (id, file name) of every picture that was looked at, in the order of
            the file.
        boxes: id -> (M, 4) x, y, w, h px. scores: id -> (M,). Pictures absent here have no persons.
        extended: whether the boxes are square and enlarged already.
        info: more to say about the origin: the detector, thresholds.

    Raises:
        ValueError: boxes of a picture that is not among ``images``, a picture twice, boxes without
            area or not finite, scores that do not belong to the boxes.
    """
    images = [(int(image_id), str(name)) for image_id, name in images]
    names = dict(images)
    if len(names) < len(images):
        raise ValueError('a picture stands twice in the list')
    if strange := (set(boxes) | set(scores)) - set(names):
        raise ValueError(f'boxes of pictures that are not in the list: {sorted(strange)[:5]}')
    detections = []
    for image_id, name in images:
        found = np.round(
            np.asarray(boxes.get(image_id, ()), np.float64).reshape(-1, 4), BOX_DECIMALS
        )
        marks = np.round(
            np.asarray(scores.get(image_id, ()), np.float64).reshape(-1), SCORE_DECIMALS
        )
        if len(found) != len(marks):
            raise ValueError(f'picture {image_id} has {len(found)} boxes and {len(marks)} scores')
        if not (np.isfinite(found).all() and np.isfinite(marks).all() and (found[:, 2:] > 0).all()):
            raise ValueError(f'picture {image_id} has a box without area, or not a number in it')
        order = np.argsort(-marks, kind='stable')
        for box, mark in zip(found[order].tolist(), marks[order].tolist(), strict=True):
            detections.append(
                dict(image_id=image_id, file_name=name, bbox=box, score=mark, category_id=PERSON)
            )
    head = dict(format=FORMAT, version=VERSION, box_convention=CONVENTIONS[extended])
    head.update({k: v for k, v in (info or {}).items() if k not in head})
    path = Path(path)
    with AtomicFiles(path.parent) as files, files.open(path.name) as file:
        lists = dict(
            images=(dict(id=i, file_name=name) for i, name in images), detections=detections
        )
        dump_records(file, dict(info=head), lists)


def read_boxes(path: str | Path) -> BoxFile:
    """Read what :func:`write_boxes` wrote, or a plain list of results in the format of COCO.

    A plain list has raw boxes, knows only pictures with detections, and may hold other categories
    than 1 (person), which are left out.

    Raises:
        BadDataError: no such file, another kind of file, or a bad record.
    """
    path = Path(path)
    content = load_json(path, slim=False)
    if isinstance(content, list):
        records, images, extended, info = content, None, False, {}
        if content and isinstance(content[0], dict) and 'root_cam' in content[0]:
            raise BadDataError(
                'wrong layout', path, '', 'these are boxes with root depths, extended already',
                'Give it as bbox_root_file, not as a file of boxes',
            )  # fmt: skip
    else:
        images, records, extended, info = _parts(path, content)
    names = {} if images is None else images
    found: dict[int, list] = {image_id: [] for image_id in names}
    for i, record in enumerate(records):
        image_id, box, score, category = _detection(path, i, record)
        if images is None:
            if category != PERSON:
                continue
            names.setdefault(image_id, str(record.get('file_name', '')))
        elif image_id not in names:
            raise BadDataError(
                'bad record',
                path,
                f'detection {i}',
                f'its picture {image_id} is not in the list',
                _MEND,
            )
        found.setdefault(image_id, []).append((*box, score))
    boxes, scores = {}, {}
    for image_id, rows in found.items():
        table = np.array(rows, dtype=np.float64).reshape(-1, 5)
        table = table[np.argsort(-table[:, 4], kind='stable')]
        boxes[image_id], scores[image_id] = table[:, :4], table[:, 4]
    return BoxFile(images=names, boxes=boxes, scores=scores, extended=extended, info=info)


def _parts(path: Path, content: object) -> tuple[dict[int, str], list, bool, dict]:
    """Pictures, detections, whether extended, and info of a file of our own format."""

    def wrong(what: str, mend: str = _MEND) -> BadDataError:
        return BadDataError('wrong layout', path, '', what, mend)

    info = content.get('info') if isinstance(content, dict) else None
    if not isinstance(info, dict) or info.get('format') != FORMAT:
        raise wrong(f'it is neither a list of results nor a file of the format {FORMAT!r}')
    if info.get('version') != VERSION:
        raise wrong(
            f'it has version {info.get("version")} of the format, this program knows {VERSION}',
            'Use the version of wsp_mm that wrote it, or write it anew',
        )
    if info.get('box_convention') not in CONVENTIONS:
        raise wrong(
            f'info.box_convention is {info.get("box_convention")!r}, not one of {CONVENTIONS}'
        )
    if not all(isinstance(content.get(key), list) for key in ('images', 'detections')):
        raise wrong('it has no lists `images` and `detections`')
    images: dict[int, str] = {}
    for i, record in enumerate(content['images']):
        try:
            image_id, name = int(record['id']), str(record['file_name'])
        except (KeyError, TypeError, ValueError) as error:
            raise BadDataError(
                'bad record', path, f'picture {i}', f'{type(error).__name__}: {error}', _MEND
            ) from None
        if image_id in images:
            raise BadDataError(
                'bad record', path, f'picture {i}', f'the id {image_id} stands twice', _MEND
            )
        images[image_id] = name
    return images, content['detections'], info['box_convention'] == 'extended', info


def _detection(path: Path, i: int, record: object) -> tuple[int, list[float], float, int]:
    try:
        image_id, category = int(record['image_id']), int(record.get('category_id', PERSON))
        box, score = np.array(record['bbox'], dtype=np.float64), float(record['score'])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadDataError(
            'bad record', path, f'detection {i}', f'{type(error).__name__}: {error}', _MEND
        ) from None
    if box.shape != (4,) or not np.isfinite(box).all() or not (box[2:] > 0).all():
        raise BadDataError(
            'bad record',
            path,
            f'detection {i}',
            f'bbox {record["bbox"]} is no box x, y, w, h px',
            _MEND,
        )
    if not np.isfinite(score):
        raise BadDataError(
            'bad record', path, f'detection {i}', f'score {record["score"]} is no number', _MEND
        )
    return image_id, box.tolist(), score, category
