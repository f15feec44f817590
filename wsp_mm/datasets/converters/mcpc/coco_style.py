# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Reader of COCO-style keypoint files: COCO, PoseTrack18 (merged and by video) and CrowdPose.

N persons, K joints.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from wsp_mm.datasets.converters.mcpc.files import load_json
from wsp_mm.datasets.converters.mcpc.records import BadDataError, Findings, Picture, SourceData
from wsp_mm.structures.keypoints import get_joint_set

_ID = (int, str)
# Spellings in the wild that mean the joint of our table.
_SPELLINGS = {'crowdpose14': {'head': 'top_head'}}


def _lists(path: Path, data: object) -> dict[str, list]:
    """The three lists that such a file must have."""
    if not isinstance(data, dict):
        raise BadDataError(
            'wrong layout', path, '', f'expected a COCO-style object, got a {type(data).__name__}',
            'docs/data.md names the file that belongs here',
        )  # fmt: skip
    for key in ('images', 'annotations', 'categories'):
        if not isinstance(data.get(key), list):
            raise BadDataError(
                'wrong layout', path, '', f'it has no list {key!r}; it has {sorted(data)}',
                'docs/data.md names the file that belongs here (files without labels have no annotations)',
            )  # fmt: skip
    return data


def _categories(path: Path, categories: list, joint_set: str) -> tuple[set, set]:
    """Ids of all categories, and of those that are persons.

    Raises:
        BadDataError: no person category, or its joints are not those of ``joint_set``.
    """
    if not all(isinstance(category, dict) for category in categories):
        raise BadDataError(
            'unknown category', path, 'categories', f'they are {str(categories)[:60]}, not objects',
            'docs/data.md names the file that belongs here',
        )  # fmt: skip
    known = {c.get('id') for c in categories}
    persons = [c for c in categories if c.get('name') == 'person']
    if not persons:
        names = sorted(str(c.get('name')) for c in categories)
        raise BadDataError(
            'unknown category', path, 'categories', f"there is no 'person' among {names}",
            'docs/data.md names the file that belongs here',
        )  # fmt: skip
    expected = get_joint_set(joint_set).joints
    for category in persons:
        names = category.get('keypoints')
        if names is None:
            continue
        spelled = _SPELLINGS.get(joint_set, {})
        if tuple(spelled.get(name, name) for name in names) != expected:
            raise BadDataError(
                'wrong joints', path, f'category {category.get("id")}',
                f'its joints are {list(names)}, expected {list(expected)}',
                'The file belongs to another data set',
            )  # fmt: skip
    return known, {c.get('id') for c in persons}


def _size(value: object) -> int | None:
    """A side of a picture in px; None when it is not told, 0 when it makes no sense."""
    if value is None:
        return None
    return int(value) if isinstance(value, (int, float)) and 1 <= value < 2**31 else 0


def _pictures(
    path: Path, images: list, prefix: str, findings: Findings
) -> tuple[list[Picture], dict]:
    """Pictures, and id -> index; None as index marks a picture whose own record was bad."""
    pictures, index, names = [], {}, set()
    for n, image in enumerate(images):
        image = image if isinstance(image, dict) else {}
        key, name = image.get('id'), image.get('file_name')
        record = f'image id {key}' if key is not None else f'image number {n}'
        if not isinstance(key, _ID) or not isinstance(name, str) or not name:
            findings.report(
                'incomplete record', path, record, f'an image needs id and file_name, got {image}'
            )
            continue
        width, height = _size(image.get('width')), _size(image.get('height'))
        if key in index:
            findings.report('duplicate id', path, record, 'two images have this id')
            index[key] = None  # whose the annotations are, nobody can tell
        elif name in names:
            findings.report('duplicate id', path, record, f'two images have the file name {name!r}')
            index[key] = None
        elif width == 0 or height == 0:
            size = f'{image.get("width")} x {image.get("height")}'
            findings.report('bad picture size', path, record, f'its size is {size}')
            index[key] = None
        else:
            names.add(name)
            index[key] = len(pictures)
            both = width is not None and height is not None
            pictures.append(
                Picture(
                    prefix + name, key, str(path), width if both else None, height if both else None
                )
            )
    return pictures, index


def to_rows(
    path: Path, values: list, records: list[str], what: str, findings: Findings
) -> tuple[np.ndarray, np.ndarray]:
    """Lists of numbers, all of one length, as rows of an array.

    Returns:
        (N, length) float64, and (N,) whether the row is sound: numbers, all of them finite.
    """
    try:
        rows = np.array(values, dtype=np.float64)
        if rows.ndim != 2 and len(rows):
            raise ValueError('nested')
    except (TypeError, ValueError, OverflowError):
        rows = np.full((len(values), len(values[0])), np.nan)
        for i, value in enumerate(values):
            try:
                rows[i] = value
            except (TypeError, ValueError, OverflowError):
                continue
    sound = np.isfinite(rows).all(axis=1)
    for i in np.flatnonzero(~sound):
        findings.report(
            'nan', path, records[i], f'its {what} hold something that is not a finite number'
        )
    return rows, sound


def read_coco_style(
    path: Path, source: str, split: str, joint_set: str, prefix: str, findings: Findings
) -> SourceData:
    """One COCO-style file.

    Args:
        path: the json file.
        source, split: what to call the result.
        joint_set: name of the joints' order.
        prefix: put before every file name, so that it becomes relative to the source's folder.
        findings: told of every bad record.

    Returns:
        Every person with a labelled joint. Crowds with labelled joints are kept and marked, since
        their ankles may have to be hidden; ``dropped`` counts what was left out on purpose.

    Raises:
        BadDataError: the file as a whole cannot be used, or a record is bad and bad records are not
            skipped.
    """
    data = _lists(path, load_json(path))
    known, person_ids = _categories(path, data['categories'], joint_set)
    pictures, picture_index = _pictures(path, data['images'], prefix, findings)
    num_joints = len(get_joint_set(joint_set))

    dropped: Counter = Counter()
    seen: set = set()
    source_ids, records, picture, keypoints, bbox, area, crowd = [], [], [], [], [], [], []
    no_box = [np.nan] * 4
    for n, ann in enumerate(data['annotations']):
        ann = ann if isinstance(ann, dict) else {}
        key, image_id, category = ann.get('id'), ann.get('image_id'), ann.get('category_id')
        record = f'annotation id {key}' if key is not None else f'annotation number {n}'
        joints, box = ann.get('keypoints'), ann.get('bbox')
        if not isinstance(key, _ID) or not isinstance(image_id, _ID):
            findings.report(
                'incomplete record', path, record, 'an annotation needs id and image_id'
            )
        elif key in seen:
            findings.report('duplicate id', path, record, 'two annotations have this id')
        elif image_id not in picture_index:
            findings.report(
                'unknown picture',
                path,
                record,
                f'it belongs to image {image_id}, which is not listed',
            )
        elif picture_index[image_id] is None:
            dropped['on a picture that was skipped'] += 1
        elif not isinstance(category, _ID) or category not in known:
            findings.report('unknown category', path, record, f'category {category} is not listed')
        elif category not in person_ids:
            dropped['not a person'] += 1
        elif joints is None:
            dropped['no keypoints'] += 1
        elif not isinstance(joints, list) or len(joints) != 3 * num_joints:
            size = len(joints) if isinstance(joints, list) else joints
            findings.report(
                'wrong keypoint count', path, record,
                f'{joint_set} needs {3 * num_joints} numbers ({num_joints} times x, y, v), got {size}',
            )  # fmt: skip
        elif box is not None and (not isinstance(box, list) or len(box) != 4):
            findings.report('bad box', path, record, f'a box is x, y, width, height, got {box}')
        else:
            seen.add(key)
            source_ids.append(key)
            records.append(record)
            picture.append(picture_index[image_id])
            keypoints.append(joints)
            bbox.append(no_box if box is None else box)
            area.append(ann.get('area'))
            crowd.append(bool(ann.get('iscrowd')))
    del data

    has_box = np.array([box is not no_box for box in bbox], dtype=bool)
    joints, sound = (
        to_rows(path, keypoints, records, 'keypoints', findings)
        if records
        else (np.zeros((0, 3 * num_joints)), np.zeros(0, dtype=bool))
    )
    del keypoints
    boxes = np.full((len(records), 4), np.nan)
    boxed = np.flatnonzero(has_box)
    if len(boxed):
        boxes[boxed], fine = to_rows(
            path, [bbox[i] for i in boxed], [records[i] for i in boxed], 'box values', findings
        )
        sound[boxed] &= fine
    joints = joints.reshape(-1, num_joints, 3)
    flags = joints[..., 2]
    odd = sound & ~np.isin(flags, (0, 1, 2)).all(axis=1)
    for i in np.flatnonzero(odd):
        findings.report(
            'bad visibility', path, records[i], f'v must be 0, 1 or 2, got {flags[i].tolist()}'
        )
    sound &= ~odd
    labelled = (flags > 0).any(axis=1)
    dropped['no labelled joint'] += int((sound & ~labelled).sum())
    result = SourceData(
        source=source,
        split=split,
        joint_set=joint_set,
        files=[str(path)],
        pictures=pictures,
        picture=np.array(picture, dtype=np.int64),
        source_ids=source_ids,
        keypoints=joints[..., :2],
        visible=np.nan_to_num(flags).astype(np.int8),
        bbox=boxes,
        area=np.array(
            [
                a if isinstance(a, (int, float)) and np.isfinite(a) and a > 0 else np.nan
                for a in area
            ],
            dtype=np.float64,
        ),
        head_length=np.full(len(records), np.nan),
        crowd=np.array(crowd, dtype=bool),
        dropped=+dropped,
    )
    return result.keep(sound & labelled)
