# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The persons of a run in other formats: COCO's keypoint results, and a table (csv).

``records`` are called for the records of all frames, once for each pass over them, so that no run
is too long for the memory: ``JsonWriter.records``, or ``lambda: frames`` of an ``inference.json``.
Persons without keypoints are left out.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from wsp_mm.apis.partial import json_line
from wsp_mm.structures.keypoints import convert_joints
from wsp_mm.utils.files import atomic_file

COCO, COCO_IMAGES, CSV = 'coco_results.json', 'coco_images.json', 'persons.csv'
#: All that this module writes into a folder.
FILES = (COCO, COCO_IMAGES, CSV)
_COLUMNS = (
    'file_name', 'person', 'joint', 'x_px', 'y_px', 'score', 'z_rel_mm', 'x_cam_mm', 'y_cam_mm',
    'z_cam_mm',
)  # fmt: skip

Records = Callable[[], Iterable[Mapping]]


def write_coco(out: str | Path, records: Records, info: Mapping) -> list[Path]:
    """Write COCO's keypoint results, and the images that they are of as a COCO annotation file.

    A result has image_id, category_id 1, bbox (x, y, w, h px), keypoints (17 times x px, y px,
    score; 0, 0, 0 where the network has no such joint) and score: that of the box times the mean
    of the keypoints'. Image ids are the numbers that the file names are (``000000000785.jpg``),
    where all are different numbers, else the numbers of the frames, from 0.

    Args:
        out: folder.
        records: see this module.
        info: of the run; its joint_set is read.

    Returns:
        The two files: ``coco_results.json``, ``coco_images.json``.

    Raises:
        OSError: the folder is not writable.
    """
    out, numbered = Path(out), _are_numbers(record['file_name'] for record in records())

    def image_id(record: Mapping) -> int:
        return int(Path(record['file_name']).stem) if numbered else record['frame']

    results = (
        dict(image_id=image_id(record), category_id=1, **_coco_person(person, info['joint_set']))
        for record, person in _persons(records)
    )
    images = (
        dict(id=image_id(record), **{key: record[key] for key in ('file_name', 'width', 'height')})
        for record in records()
    )
    with atomic_file(out / COCO) as file:
        _write_list(file, b'[', results, b']\n')
    rest = b'],"annotations":[],"categories":[{"id":1,"name":"person"}]}\n'
    with atomic_file(out / COCO_IMAGES) as file:
        _write_list(file, b'{"images":[', images, rest)
    return [out / COCO, out / COCO_IMAGES]


def write_csv(out: str | Path, records: Records, info: Mapping) -> list[Path]:
    """Write a table with a row a person and joint.

    Columns: file_name, person (its id in the frame), joint (name), x_px, y_px (of the image),
    score, z_rel_mm (depth minus the root's), x_cam_mm, y_cam_mm, z_cam_mm (the camera's frame).
    What is not known is empty.

    Args:
        out: folder.
        records: see this module.
        info: of the run; its joint_names are read.

    Returns:
        The file: ``persons.csv``, UTF-8; other bytes in file names are written as ``\\udcff``.

    Raises:
        OSError: the folder is not writable.
    """
    path, joints = Path(out) / CSV, info['joint_names']
    with atomic_file(path) as file:
        text = io.TextIOWrapper(file, 'utf-8', errors='backslashreplace', newline='')
        table = csv.writer(text, lineterminator='\n')
        table.writerow(_COLUMNS)
        for record, person in _persons(records):
            relative = person['keypoints_rel'] or [None] * len(joints)
            in_space = person['keypoints_cam'] or [[None] * 3] * len(joints)
            columns = person['keypoints_img'], person['keypoint_scores'], relative, in_space
            for joint, pixel, score, z, point in zip(joints, *columns, strict=True):
                table.writerow([record['file_name'], person['id'], joint, *pixel, score, z, *point])
        text.detach()
    return [path]


#: Format -> its writer.
WRITERS = dict(coco=write_coco, csv=write_csv)


def _are_numbers(names: Iterable[str]) -> bool:
    """Return whether the stems of all names are different numbers."""
    seen: set[int] = set()
    for name in names:
        stem = Path(name).stem
        if not stem.isdecimal() or int(stem) in seen:
            return False
        seen.add(int(stem))
    return True


def _persons(records: Records) -> Iterator[tuple[Mapping, Mapping]]:
    for record in records():
        yield from ((record, p) for p in record['persons'] if p['keypoints_img'] is not None)


def _coco_person(person: Mapping, joint_set: str) -> dict:
    pixels, scores = np.array(person['keypoints_img']), np.array(person['keypoint_scores'])
    score = round(float(person['bbox_score'] * scores.mean()), 4)
    keypoints = np.column_stack(convert_joints(pixels, scores, joint_set, 'coco17'))
    return dict(bbox=person['bbox'], keypoints=keypoints.round(4).ravel().tolist(), score=score)


def _write_list(file: IO[bytes], head: bytes, items: Iterable[Any], rest: bytes) -> None:
    """Write the items of a list in json, one at a time, between ``head`` and ``rest``."""
    file.write(head)
    separator = b'\n'
    for item in items:
        file.write(separator + json_line(item).rstrip())
        separator = b',\n'
    file.write(b'\n' + rest)
