# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Detected persons in json files: boxes, and boxes with root positions.

M boxes of an image, each (x, y, w, h) px of the image, x and y at the left upper corner.

A box is *raw* when it is tight around the person, as detectors give it, and *extended* when it is
already the square, enlarged region that is cropped (:func:`wsp_mm.structures.bbox.crop_boxes`).
Extending twice is an error that no later step could detect. A file of boxes says which it holds;
RootNet's json of boxes and roots, a list of {image_id, bbox, root_cam, score}, has extended ones.
"""

import os.path as osp
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from wsp_mm.datasets.annotations import (
    AnnotationError,
    Findings,
    check_lists,
    image_name,
    load_json,
    record_name,
    repeated,
)
from wsp_mm.datasets.columns import BOX, Column, Rule, read_columns
from wsp_mm.datasets.plausibility import LARGEST_MM, box_depth, corner_boxes, normalized_boxes
from wsp_mm.utils.files import dump_json

FORMAT, VERSION = 'wsp_mm.boxes', 1
CONVENTIONS = ('raw', 'extended')
PERSON = 1  # COCO's number of the category
#: Decimals of coordinates (px) and of scores.
BOX_DECIMALS, SCORE_DECIMALS = 3, 5
_BOXES = 'Write it with tools/detect_persons.py, or give a list of results in the format of COCO'
_NAMES = 'Name images by id, or by file name with the folder, as the images at hand are named'
_PIXELS = 'Write boxes as x, y, w, h px: the left upper corner, width and height'
_ROOTS = (
    'Write it with tools/predict_roots.py, or take the output of RootNet for the same images, or '
    'leave bbox_root_file out'
)  # fmt: skip
_PERSON = dict(image_id=Column(dtype=np.int64), bbox=Column((4,), rule=BOX))
_DETECTION = _PERSON | dict(score=Column())
_IN_FRONT = Rule(
    f'must be in front of the camera, and within {LARGEST_MM:g} mm',
    lambda v: (v[:, 2] > 0) & (np.abs(v) <= LARGEST_MM).all(axis=1),
)
_ROOT = _PERSON | dict(root_cam=Column((3,), rule=_IN_FRONT), score=Column(default=1.0))


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
    """Return the columns of :data:`_ROOT`. Predictions that are odd stay, unless most are."""
    records = load_json(path, remedy=_ROOTS)
    if not isinstance(records, list):
        raise AnnotationError('wrong layout', path, '', 'it is no list of predictions', _ROOTS)
    found, _ = read_columns(records, _ROOT, path, 'prediction', remedy=_ROOTS)
    verdicts = normalized_boxes(found['bbox']), box_depth(found['bbox'], found['root_cam'][:, 2])
    for verdict, remedy in zip(verdicts, (_PIXELS, _ROOTS), strict=True):
        Findings().judge(verdict, path, lambda i: record_name('prediction', records[i], i), remedy)
    return found


def _refuse_repeated(ids: Sequence[int], path: str | Path, what: str, remedy: str) -> None:
    Findings().drop(repeated(ids), 'duplicate id', path, lambda i: f'image {ids[i]}', what, remedy)


def read_bbox_root(path: str | Path, image_ids: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Read one predicted box and root depth for each image of one person.

    Args:
        path: the json.
        image_ids: (N,) images, all of which it must cover.

    Returns:
        Boxes (N, 4) x, y, w, h px and root depths (N,) mm.

    Raises:
        AnnotationError: no such file, a bad record, most depths in another unit, two predictions
            of an image, or images that it does not cover (how many, and which).
    """
    found = _read_roots(path)
    ids = found['image_id'].tolist()
    _refuse_repeated(ids, path, 'it has two predictions', _ROOTS)
    rows = {image_id: row for row, image_id in enumerate(ids)}
    missing = [int(i) for i in image_ids if int(i) not in rows]
    if missing:
        what = f'{len(missing):,} of {len(image_ids):,} images have no prediction: {missing[:10]}'
        raise AnnotationError('images not covered', path, '', what, _ROOTS)
    chosen = [rows[int(i)] for i in image_ids]
    return found['bbox'][chosen], found['root_cam'][chosen, 2]


def read_bbox_roots(path: str | Path) -> dict[int, tuple[np.ndarray, ...]]:
    """Read all predicted boxes and roots of each image, of any number of persons.

    Args:
        path: the json.

    Returns:
        image id -> boxes (M, 4) x, y, w, h px, square and padded already; roots (M, 3) camera mm;
        scores (M,), 1 where the file has none; places (M,) in the file, from 0. Persons in the
        file's order. Images without any are absent; a file without any record is a result, too.

    Raises:
        AnnotationError: no such file, no list, a bad record, or most depths are in another unit.
    """
    found = _read_roots(path)
    places = np.arange(len(found['score']))
    return _by_image(found['image_id'], found['bbox'], found['root_cam'], found['score'], places)


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
        path: the file. notes: what was left out of it, in sentences.
    """

    images: dict[int, str]
    boxes: dict[int, np.ndarray]
    scores: dict[int, np.ndarray]
    extended: bool
    info: dict = field(default_factory=dict)
    path: str | Path = ''
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(map(len, self.scores.values()))

    def check_convention(self, sizes: Mapping[int, Sequence[int]]) -> None:
        """Check that raw boxes are x, y, w, h px.

        Args:
            sizes: image id -> width and height px; other images are not looked at.

        Raises:
            AnnotationError: they are normalised, or x1, y1, x2, y2.
        """
        if self.extended:
            return
        ids = [i for i in sizes if i in self.boxes for _ in self.boxes[i]]
        boxes = [box for i in dict.fromkeys(ids) for box in self.boxes[i]]
        names = [f'image {self.images.get(i) or i}' for i in ids]
        for verdict in (normalized_boxes(boxes), corner_boxes(boxes, [sizes[i] for i in ids])):
            Findings().judge(verdict, self.path, names.__getitem__, _PIXELS)


class NameIndex:
    """Names of images in a file, found by the name of an image at hand.

    The whole name goes first, then the bare name where only one image has it and one of the two
    paths is the end of the other (one may be named from a folder farther up), then the same without
    the suffix.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = {Path(name).as_posix(): name for name in names}
        times = Counter(map(osp.basename, self.names))
        self._bare = {osp.basename(n): n for n in self.names if times[osp.basename(n)] == 1}

    def find(self, name: str, stem: bool = True) -> str | None:
        """Return the name in the file, None where it is not there; ``stem``: try it, too."""
        for at_hand in (name, osp.splitext(name)[0])[: 1 + stem]:
            listed = self._bare.get(osp.basename(at_hand), '')
            short, long = sorted((listed, at_hand), key=len)
            if at_hand in self.names or (listed and f'/{long}'.endswith(f'/{short}')):
                return self.names[at_hand if at_hand in self.names else listed]
        return None


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
            person = dict(image_id=image_id, file_name=name, bbox=found[i].tolist())
            detections.append(dict(person, score=float(values[i]), category_id=PERSON))
    head = dict(format=FORMAT, version=VERSION, box_convention=CONVENTIONS[extended])
    listed = [dict(id=image_id, file_name=name) for image_id, name in images]
    content = dict(info={**(info or {}), **head}, images=listed, detections=detections)
    dump_json(path, content, indent=None)


def choose_persons(records: Sequence[Mapping]) -> tuple[list[int], list[str]]:
    """Return the indices of the records of category 1 or 'person' (``category_id``, else
    ``category``; without either, all are persons), and what to say of the others.
    """
    chosen, others = [], Counter()
    for i, record in enumerate(records):
        found = record if isinstance(record, Mapping) else {}  # the reader reports it
        value = found.get('category_id', found.get('category'))
        if value in (None, PERSON) or str(value).strip().lower() in ('person', str(PERSON)):
            chosen.append(i)
        else:
            others[repr(value)[:40]] += 1
    seen = ', '.join(f'{value} ({count:,})' for value, count in others.most_common(10))
    what = f'left out {sum(others.values()):,} of {len(records):,} records, their categories are no'
    return chosen, [f'{what} person (1 or "person"): {seen}'] if others else []


def _image_numbers(
    names: Sequence[str], path: str | Path, images: Mapping[int, str] | None
) -> dict[str, int]:
    """Return the ids of images that a file names by text, see :func:`read_boxes`."""
    index, ids = NameIndex(names), {}
    at_hand = images or {}
    for image_id in sorted(at_hand, key=lambda i: at_hand[i] not in index.names):  # exact first
        if (name := index.find(at_hand[image_id])) is not None:
            other = at_hand[ids.setdefault(name, image_id)]
            if ids[name] != image_id and other not in index.names:
                what = f'{other} and {at_hand[image_id]} are both meant'
                raise AnnotationError('ambiguous image', path, f'image {name!r}', what, _NAMES)
    left = [name for name in names if name not in ids]
    numbers = {name: int(name) for name in left if name.isdecimal() and len(name) < 16}
    if len(set(numbers.values())) == len(numbers):
        ids |= numbers
    if images is not None and (left := [name for name in left if name not in ids]):
        what = f'{len(left):,} images are none of the {len(images):,} at hand'
        raise AnnotationError('unknown image', path, f'image {left[0]!r}', what, _NAMES)
    return {name: -k for k, name in enumerate(names, start=1)} | ids


def read_boxes(path: str | Path, images: Mapping[int, str] | None = None) -> BoxFile:
    """Read what :func:`write_boxes` wrote, or a plain list of results in the format of COCO.

    A plain list has raw boxes, knows only images with detections, in its order, and may hold other
    categories than 1 (person), which are left out and counted. Without any score, all are 1.
    Its ``image_id`` may be a file name or a stem.

    Args:
        path: the json.
        images: id -> file name of the images at hand, for lists that name images by text. None:
            such images get negative ids, or the number that their name is.

    Raises:
        AnnotationError: no such file, another kind of file, a bad record, nobody but other
            categories, normalised boxes, or a text that fits none or several of ``images``.
    """
    content = load_json(path, remedy=_BOXES)
    names, extended, info, notes, columns = None, False, {}, [], _DETECTION
    if not isinstance(content, list):
        names, extended, info = _read_head(path, content)
        content = content['detections']
    elif content and isinstance(content[0], dict) and 'root_cam' in content[0]:
        what = 'these are boxes with root positions, extended already'
        remedy = 'Give it as bbox_root_file, not as a file of boxes'
        raise AnnotationError('wrong layout', path, '', what, remedy)
    else:
        records = [record for record in content if isinstance(record, Mapping)]
        if all(record.get('score') is None for record in records):
            columns = _DETECTION | dict(score=Column(default=1.0))
        texts = [r['image_id'] for r in records if isinstance(r.get('image_id'), str)]
        numbers = _image_numbers(list(dict.fromkeys(texts)), path, images) if texts else {}
        for record in records:
            if isinstance(name := record.get('image_id'), str):
                record['image_id'] = numbers[name]
                if numbers[name] < 0:
                    record.setdefault('file_name', name)
    found, _ = read_columns(content, columns, path, 'detection', remedy=_BOXES)
    ids = found['image_id']
    if names is None:
        chosen, notes = choose_persons(content)
        if notes and not chosen:
            raise AnnotationError('no persons', path, '', notes[0], _BOXES)
        names = {}
        for i in chosen:
            names.setdefault(int(ids[i]), image_name(content[i].get('file_name')))
        findings, verdict = Findings(), normalized_boxes(found['bbox'][chosen])
        good = findings.judge(verdict, path, lambda i: f'detection number {chosen[i]}', _PIXELS)
        chosen = np.array(chosen, dtype=np.int64)[good]
        notes += findings.implausible_notes()
    else:
        chosen = np.arange(len(ids))
        if unknown := set(ids.tolist()) - set(names):
            what = f'image {min(unknown)} is not in the list of images'
            raise AnnotationError('unknown image', path, 'detections', what, _BOXES)
    best = chosen[np.argsort(-found['score'][chosen], kind='stable')]
    tables = _by_image(ids[best], found['bbox'][best], found['score'][best])
    tables = {i: tables.get(i, (np.zeros((0, 4)), np.zeros(0))) for i in names}
    boxes, scores = ({i: table[k] for i, table in tables.items()} for k in range(2))
    return BoxFile(names, boxes, scores, extended, info, path, notes)


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
    _refuse_repeated(ids, path, 'it is listed twice', _BOXES)
    names = [record.get('file_name') for record in content['images']]
    if not all(name == '' or image_name(name) for name in names):
        raise AnnotationError('wrong layout', path, 'images', 'one has no file_name', _BOXES)
    names = dict(zip(ids, map(image_name, names), strict=True))
    return names, info['box_convention'] == 'extended', info
