# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Predicted boxes and root depths, in RootNet's json: a list of {image_id, bbox, root_cam}."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wsp_mm.datasets.mcpc_builder.files import load_json
from wsp_mm.datasets.mcpc_builder.records import BadDataError

_MEND = 'Take the output of RootNet for the same subject protocol, or leave bbox_root_file out'


def read_bbox_root(path: str | Path, image_ids: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """One predicted box and root depth for each picture.

    The boxes are square and padded already: RootNet writes what it cropped. They must never be extended again.

    Args:
        path: the json.
        image_ids: (N,) pictures, all of which it must cover.

    Returns:
        Boxes (N, 4) x, y, w, h px and root depths (N,) mm.

    Raises:
        BadDataError: no such file, a bad record, or pictures that it does not cover (how many, and which).
    """
    records = load_json(Path(path), slim=False)
    if not isinstance(records, list) or not records:
        raise BadDataError('wrong layout', path, '', 'it is no list of predictions, or an empty one', _MEND)
    found: dict[int, tuple] = {}
    for i, record in enumerate(records):
        try:
            image_id = int(record['image_id'])
            box = np.array(record['bbox'], dtype=np.float64)
            root = np.array(record['root_cam'], dtype=np.float64)
        except (KeyError, TypeError, ValueError) as error:
            raise BadDataError(
                'bad record', path, f'record {i}', f'{type(error).__name__}: {error}', _MEND
            ) from None
        where = f'record {i} (image {image_id})'
        if box.shape != (4,) or not np.isfinite(box).all() or not (box[2:] > 0).all():
            raise BadDataError(
                'bad record', path, where, f'bbox {record["bbox"]} is no box x, y, w, h px', _MEND
            )
        if root.shape != (3,) or not np.isfinite(root).all() or not root[2] > 0:
            raise BadDataError(
                'bad record',
                path,
                where,
                f'root_cam {record["root_cam"]} is no point before the camera, mm',
                _MEND,
            )
        if image_id in found:
            raise BadDataError('bad record', path, where, 'a picture with two predictions', _MEND)
        found[image_id] = (box, root[2])
    missing = [int(image_id) for image_id in image_ids if int(image_id) not in found]
    if missing:
        shown = ', '.join(map(str, missing[:10])) + (', ...' if len(missing) > 10 else '')
        raise BadDataError(
            'pictures not covered', path, '',
            f'{len(missing):,} of {len(image_ids):,} pictures have no prediction here: image {shown}', _MEND,
        )  # fmt: skip
    boxes, depths = zip(*(found[int(image_id)] for image_id in image_ids), strict=True)
    return np.array(boxes), np.array(depths)
