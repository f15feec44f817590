# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Predicted boxes and root depths, in RootNet's json: a list of {image_id, bbox, root_cam, score}.

The boxes are square and padded already: RootNet writes what it cropped. They must never be extended
again.
"""

from __future__ import annotations

import os.path as osp
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from wsp_mm.datasets.converters.mcpc.files import load_json
from wsp_mm.datasets.converters.mcpc.records import BadDataError

_MEND = 'Take the output of RootNet for the same subject protocol, or leave bbox_root_file out'
_MEND_MULTI = 'Write it anew with tools/predict_roots.py, or leave bbox_root_file out'


def prediction_path(data_root: str, name: str) -> str:
    """Where a file of predictions lies: as it stands if it is there (from the working folder, where
    the tools write), else below ``data_root``.
    """
    return name if osp.isfile(name) else osp.join(data_root, name)


def _records(
    path: str | Path, mend: str
) -> Iterator[tuple[str, int, np.ndarray, np.ndarray, dict]]:
    """Every record: how messages name it, picture, box (4,) px, root (3,) mm, and the record
    itself.
    """
    records = load_json(Path(path), slim=False)
    if not isinstance(records, list):
        raise BadDataError('wrong layout', path, '', 'it is no list of predictions', mend)
    for i, record in enumerate(records):
        try:
            image_id = int(record['image_id'])
            box = np.array(record['bbox'], dtype=np.float64)
            root = np.array(record['root_cam'], dtype=np.float64)
        except (KeyError, TypeError, ValueError) as error:
            raise BadDataError(
                'bad record', path, f'record {i}', f'{type(error).__name__}: {error}', mend
            ) from None
        where = f'record {i} (image {image_id})'
        if box.shape != (4,) or not np.isfinite(box).all() or not (box[2:] > 0).all():
            what = f'bbox {record["bbox"]} is no box x, y, w, h px'
            raise BadDataError('bad record', path, where, what, mend)
        if root.shape != (3,) or not np.isfinite(root).all() or not root[2] > 0:
            what = f'root_cam {record["root_cam"]} is no point before the camera, mm'
            raise BadDataError('bad record', path, where, what, mend)
        yield where, image_id, box, root, record


def read_bbox_root(path: str | Path, image_ids: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """One predicted box and root depth for each picture of one person.

    Args:
        path: the json.
        image_ids: (N,) pictures, all of which it must cover.

    Returns:
        Boxes (N, 4) x, y, w, h px and root depths (N,) mm.

    Raises:
        BadDataError: no such file, a bad record, or pictures that it does not cover (how many, and
            which).
    """
    found: dict[int, tuple] = {}
    for where, image_id, box, root, _ in _records(path, _MEND):
        if image_id in found:
            raise BadDataError('bad record', path, where, 'a picture with two predictions', _MEND)
        found[image_id] = (box, root[2])
    missing = [int(image_id) for image_id in image_ids if int(image_id) not in found]
    if missing:
        raise BadDataError(
            'pictures not covered', path, '',
            f'{len(missing):,} of {len(image_ids):,} pictures have no prediction here: image {_some(missing)}',
            _MEND,
        )  # fmt: skip
    boxes, depths = zip(*(found[int(image_id)] for image_id in image_ids), strict=True)
    return np.array(boxes), np.array(depths)


def read_bbox_roots(path: str | Path) -> dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """All predicted boxes and roots of each picture, of any number of persons.

    Args:
        path: the json.

    Returns:
        image id -> boxes (M, 4) x, y, w, h px, square and padded already; roots (M, 3) camera mm;
        scores (M,), 1 where the file has none. Persons in the file's order. Pictures without any
        are not there; that nobody was found at all is a result, if a poor one.

    Raises:
        BadDataError: no such file, no list, or a bad record.
    """
    found: dict[int, list[tuple]] = {}
    for where, image_id, box, root, record in _records(path, _MEND_MULTI):
        score = record.get('score', 1.0)
        if isinstance(score, bool) or not isinstance(score, (int, float)) or not np.isfinite(score):
            raise BadDataError(
                'bad record', path, where, f'score {score!r} is no number', _MEND_MULTI
            )
        found.setdefault(image_id, []).append((box, root, float(score)))
    return {
        image_id: tuple(np.array(part) for part in zip(*rows, strict=True))
        for image_id, rows in found.items()
    }


def _some(ids: Sequence[int]) -> str:
    return ', '.join(map(str, ids[:10])) + (', ...' if len(ids) > 10 else '')
