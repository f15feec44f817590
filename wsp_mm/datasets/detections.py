# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Detected persons in json files: boxes, and boxes with root positions.

M boxes of an image, each (x, y, w, h) px of the image, x and y at the left upper corner.

A box is *raw* when it is tight around the person, as detectors give it, and *extended* when it is
already the square, enlarged region that is cropped (:func:`wsp_mm.structures.bbox.crop_boxes`).
Extending twice is an error that no later step could detect. A file of boxes says which it holds;
RootNet's json of boxes and roots, a list of {image_id, bbox, root_cam, score}, has extended ones.
"""

import os.path as osp
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from wsp_mm.datasets.annotations import (
    AnnotationError,
    check_lists,
    image_name,
    load_json,
    repeated,
)
from wsp_mm.datasets.columns import BOX, Column, Rule, read_columns
from wsp_mm.utils.files import dump_json

FORMAT, VERSION = 'wsp_mm.boxes', 1
CONVENTIONS = ('raw', 'extended')
PERSON = 1  # COCO's number of the category
#: Decimals of coordinates (px) and of scores.
BOX_DECIMALS, SCORE_DECIMALS = 3, 5
_BOXES = 'Write it with tools/detect_persons.py, or give a list of results in the format of COCO'
_ROOTS = (
    'Write it with tools/predict_roots.py, or take the output of RootNet for the same images, or '
    'leave bbox_root_file out'
)  # fmt: skip
_DETECTION = dict(
    image_id=Column(dtype=np.int64),
    bbox=Column((4,), rule=BOX),
    score=Column(),
    category_id=Column(dtype=np.int64, default=PERSON),
)
_ROOT = dict(
    image_id=Column(dtype=np.int64),
    bbox=Column((4,), rule=BOX),
    root_cam=Column((3,), rule=Rule('must be in front of the camera, mm', lambda v: v[:, 2] > 0)),
    score=Column(default=1.0),
)


def prediction_path(data_root: str, name: str) -> str:
    """Return where a file of predictions is: ``name`` if it exists (seen from the working folder,
    where the tools write), else ``name`` below ``data_root``.
    """
    return name if osp.isfile(name) else osp.join(data_root, name)


def _by_image(image_ids: np.ndarray, *arrays: np.ndarray) -> dict[int, tuple[np.ndarray, ...]]:
    """Return image id -> its rows of each array, in their order."""
    order = np.argsort(image_ids, kind='stable')
    ids, starts = np.unique(image_ids[order], return_index=True)
    groups = np.split(order, starts[1:]) if len(ids) else []
    return {i: tuple(a[rows] for a in arrays) for i, rows in zip(ids.tolist(), groups, strict=True)}


def _read_roots(path: str | Path) -> dict[str, np.ndarray]:
    """Return the columns of :data:`_ROOT`."""
    records = load_json(path, remedy=_ROOTS)
    if not isinstance(records, list):
        raise AnnotationError('wrong layout', path, '', 'it is no list of predictions', _ROOTS)
    return read_columns(records, _ROOT, path, 'prediction', remedy=_ROOTS)[0]


def read_bbox_root(path: str | Path, image_ids: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Read one predicted box and root depth for each image of one person.

    Args:
        path: the json.
        image_ids: (N,) images, all of which it must cover.

    Returns:
        Boxes (N, 4) x, y, w, h px and root depths (N,) mm.

    Raises:
        AnnotationError: no such file, a bad record, two predictions of an image, or images that it
            does not cover (how many, and which).
    """
    found = _read_roots(path)
    ids = found['image_id'].tolist()
    if (again := repeated(ids)).any():
        record = f'image {ids[int(np.argmax(again))]}'
        raise AnnotationError('duplicate id', path, record, 'it has two predictions', _ROOTS)
    rows = {image_id: row for row, image_id in enumerate(ids)}
    missing = [int(i) for i in image_ids if int(i) not in rows]
    if missing:
        what = f'{len(missing):,} of {len(image_ids):,} images have no prediction: {missing[:10]}'
        raise AnnotationError('images not covered', path, '', what, _ROOTS)
    chosen = [rows[int(i)] for i in image_ids]
    return found['bbox'][chosen], found['root_cam'][chosen, 2]


def read_bbox_roots(path: str | Path) -> dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Read all predicted boxes and roots of each image, of any number of persons.

    Args:
        path: the json.

    Returns:
        image id -> boxes (M, 4) x, y, w, h px, square and padded already; roots (M, 3) camera mm;
        scores (M,), 1 where the file has none. Persons in the file's order. Images without any are
        absent; a file without any record is a result, too.

    Raises:
        AnnotationError: no such file, no list, or a bad record.
    """
    found = _read_roots(path)
    return _by_image(found['image_id'], found['bbox'], found['root_cam'], found['score'])


@dataclass(frozen=True)
class BoxFile:
    """What a file of boxes holds.

    Attributes:
        images: id -> file name of every image that was looked at; '' where a plain list of results
            does not say the name.
        boxes: id -> (M, 4) x, y, w, h px, best score first; (0, 4) for an image without persons.
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
        path: the json. images: (id, file name) of every image that was looked at, in the order of
            the file.
        boxes: id -> (M, 4) x, y, w, h px. scores: id -> (M,). Images absent here have no persons.
        extended: whether the boxes are square and enlarged already.
        info: more to say about the origin: the detector, thresholds.

    Raises:
        ValueError: boxes of an image that is not among ``images``, an image twice, boxes without
            area or not finite, scores that do not belong to the boxes.
    """
    images = [(int(image_id), str(name)) for image_id, name in images]
    if repeated(image_id for image_id, _ in images).any():
        raise ValueError('an image is listed twice')
    if unknown := (set(boxes) | set(scores)) - {image_id for image_id, _ in images}:
        raise ValueError(f'boxes of images that are not listed: {sorted(unknown)[:5]}')
    detections = []
    for image_id, name in images:
        found = np.asarray(boxes.get(image_id, ()), np.float64).reshape(-1, 4).round(BOX_DECIMALS)
        values = np.asarray(scores.get(image_id, ()), np.float64).ravel().round(SCORE_DECIMALS)
        if len(found) != len(values):
            raise ValueError(f'image {image_id} has {len(found)} boxes and {len(values)} scores')
        if not (np.isfinite(found).all() and np.isfinite(values).all() and BOX.holds(found).all()):
            raise ValueError(f'image {image_id} has a box without area, or a value is not finite')
        for i in np.argsort(-values, kind='stable').tolist():
            box, score = found[i].tolist(), float(values[i])
            detections.append(
                dict(image_id=image_id, file_name=name, bbox=box, score=score, category_id=PERSON)
            )
    head = dict(format=FORMAT, version=VERSION, box_convention=CONVENTIONS[extended])
    listed = [dict(id=image_id, file_name=name) for image_id, name in images]
    content = dict(info={**(info or {}), **head}, images=listed, detections=detections)
    dump_json(path, content, indent=None)


def read_boxes(path: str | Path) -> BoxFile:
    """Read what :func:`write_boxes` wrote, or a plain list of results in the format of COCO.

    A plain list has raw boxes, knows only images with detections, and may hold other categories
    than 1 (person), which are left out.

    Raises:
        AnnotationError: no such file, another kind of file, or a bad record.
    """
    content = load_json(path, remedy=_BOXES)
    names, extended, info = None, False, {}
    if not isinstance(content, list):
        names, extended, info = _read_head(path, content)
        content = content['detections']
    elif content and isinstance(content[0], dict) and 'root_cam' in content[0]:
        what = 'these are boxes with root positions, extended already'
        remedy = 'Give it as bbox_root_file, not as a file of boxes'
        raise AnnotationError('wrong layout', path, '', what, remedy)
    found, _ = read_columns(content, _DETECTION, path, 'detection', remedy=_BOXES)
    ids, category = found['image_id'], found['category_id']
    if names is None:
        chosen = np.flatnonzero(category == PERSON)
        names = {int(ids[i]): image_name(content[i].get('file_name')) for i in chosen[::-1]}
    else:
        chosen = np.arange(len(ids))
        if unknown := set(ids.tolist()) - set(names):
            what = f'image {min(unknown)} is not in the list of images'
            raise AnnotationError('unknown image', path, 'detections', what, _BOXES)
    best = chosen[np.argsort(-found['score'][chosen], kind='stable')]
    tables = _by_image(ids[best], found['bbox'][best], found['score'][best])
    tables = {i: tables.get(i, (np.zeros((0, 4)), np.zeros(0))) for i in names}
    boxes, scores = ({i: table[k] for i, table in tables.items()} for k in range(2))
    return BoxFile(images=names, boxes=boxes, scores=scores, extended=extended, info=info)


def _read_head(path: str | Path, content: object) -> tuple[dict[int, str], bool, dict]:
    """Return image names, whether the boxes are extended, and info of a file of our own format."""
    info = content.get('info') if isinstance(content, dict) else None
    info = info if isinstance(info, dict) else {}
    expected = (('format', (FORMAT,)), ('version', (VERSION,)), ('box_convention', CONVENTIONS))
    for key, known in expected:
        if info.get(key) not in known:
            what = f'info.{key} is {info.get(key)!r}, not {" or ".join(map(repr, known))}'
            raise AnnotationError('wrong layout', path, '', what, _BOXES)
    check_lists(content, ('images', 'detections'), path, _BOXES, empty=True)
    columns = dict(id=Column(dtype=np.int64))
    ids = read_columns(content['images'], columns, path, 'image', remedy=_BOXES)[0]['id'].tolist()
    if (again := repeated(ids)).any():
        record = f'image {ids[int(np.argmax(again))]}'
        raise AnnotationError('duplicate id', path, record, 'it is listed twice', _BOXES)
    names = [record.get('file_name') for record in content['images']]
    if not all(name == '' or image_name(name) for name in names):
        raise AnnotationError('wrong layout', path, 'images', 'one has no file_name', _BOXES)
    return (
        dict(zip(ids, map(image_name, names), strict=True)),
        info['box_convention'] == 'extended',
        info,
    )
