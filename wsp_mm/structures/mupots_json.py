# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""3DMPPE's ``MuPoTS-3D.json`` as arrays: pictures with their cameras, and persons.

M pictures, N persons, 17 joints (``mupots17``).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

NUM_SEQUENCES, NUM_JOINTS = 20, 17
_MEND = "Download 3DMPPE's MuPoTS-3D.json again (docs/data.md)"
_NAME = re.compile(r'(?:^|.*/)TS(\d+)/img_(\d+)\.\w+$')
_SHAPES = dict(keypoints_cam=(NUM_JOINTS, 3), keypoints_img=(NUM_JOINTS, 2), bbox=(4,))


@dataclass(frozen=True)
class MuPoTSJson:
    """All that the file says, pictures ordered by sequence and frame.

    Attributes:
        path: the file.
        image_id: (M,) int. file_name: M names such as ``TS1/img_000000.jpg``. sequence: (M,) from
            1. frame: (M,) from 0. size: (M, 2) width and height px. intrinsic: (M, 4) fx, fy, cx,
            cy px.
        id: (N,) int. picture: (N,) number of the person's picture. valid: (N,) bool. bbox: (N, 4)
            x, y, w, h px.
        keypoints_cam: (N, 17, 3) camera mm. keypoints_img: (N, 17, 2) px. shown: (N, 17) bool.
            Joints and boxes of persons who are not valid may be nan.
    """

    path: Path
    image_id: np.ndarray
    file_name: list[str]
    sequence: np.ndarray
    frame: np.ndarray
    size: np.ndarray
    intrinsic: np.ndarray
    id: np.ndarray
    picture: np.ndarray
    valid: np.ndarray
    bbox: np.ndarray
    keypoints_cam: np.ndarray
    keypoints_img: np.ndarray
    shown: np.ndarray


def frame_key(sequence: int, frame: int) -> str:
    """The official name of a frame: ``TS1_img_000000``."""
    return f'TS{sequence}_img_{frame:06d}'


def parse_name(file_name: str) -> tuple[int, int] | None:
    """Sequence (from 1) and frame (from 0) of a picture's name; None where it is no picture of
    MuPoTS-3D.
    """
    found = _NAME.match(str(file_name).replace('\\', '/'))
    if found is None or not 1 <= int(found[1]) <= NUM_SEQUENCES:
        return None
    return int(found[1]), int(found[2])


def read_mupots_json(path: str | Path) -> MuPoTSJson:
    """Read and check the file.

    Raises:
        ValueError: no such file, no json, or a bad record; the message names file, record and mend.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except FileNotFoundError:
        raise ValueError(
            f'{path}: there is no such file. docs/data.md says where to get it'
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f'{path}: this is no json ({error}). {_MEND}') from error
    for key in ('images', 'annotations'):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise ValueError(f'{path}: {key!r} is missing or no list. {_MEND}')
    if not content['images']:
        raise ValueError(f"{path}: 'images' is empty. {_MEND}")
    images = [_image(image, i, path) for i, image in enumerate(content['images'])]
    images.sort(key=lambda row: row[1:3])
    rows: dict[int, int] = {}
    places: set[tuple[int, int]] = set()
    for row, image in enumerate(images):
        if image[0] in rows or image[1:3] in places:
            raise ValueError(
                f'{path}: image {image[0]}: its id or its frame is listed twice. {_MEND}'
            )
        rows[image[0]] = row
        places.add(image[1:3])
    persons = [_person(person, i, rows, path) for i, person in enumerate(content['annotations'])]
    ids, pictures, valid, cam, img, box, shown = (
        zip(*persons, strict=True) if persons else ([],) * 7
    )
    numbers, sequences, frames, names, sizes, intrinsics = zip(*images, strict=True)
    return MuPoTSJson(
        path,
        np.array(numbers, dtype=np.int64),
        list(names),
        np.array(sequences, dtype=np.int64),
        np.array(frames, dtype=np.int64),
        np.array(sizes, dtype=np.int64),
        np.array(intrinsics, dtype=np.float64),
        np.array(ids, dtype=np.int64),
        np.array(pictures, dtype=np.int64),
        np.array(valid, dtype=bool),
        np.reshape(np.array(box, dtype=np.float64), (-1, 4)),
        np.reshape(np.array(cam, dtype=np.float64), (-1, NUM_JOINTS, 3)),
        np.reshape(np.array(img, dtype=np.float64), (-1, NUM_JOINTS, 2)),
        np.reshape(np.array(shown, dtype=bool), (-1, NUM_JOINTS)),
    )


def _bad(path: Path, kind: str, record: object, number: int, error: Exception) -> ValueError:
    name = record.get('id', f'number {number}') if isinstance(record, dict) else f'number {number}'
    what = f'no {error}' if isinstance(error, KeyError) else str(error)
    return ValueError(f'{path}: {kind} {name}: {what}. {_MEND}')


def _image(image: dict, number: int, path: Path) -> tuple:
    try:
        place = parse_name(image['file_name'])
        if place is None:
            raise ValueError(
                f'file_name {image["file_name"]!r} is none of TS1/img_000000.jpg to TS{NUM_SEQUENCES}/...'
            )
        size = int(image['width']), int(image['height'])
        intrinsic = np.array(image['intrinsic'], dtype=np.float64).reshape(-1)
        if (
            intrinsic.shape != (4,)
            or not np.isfinite(intrinsic).all()
            or not min(*intrinsic[:2], *size) > 0
        ):
            raise ValueError(
                'width, height and intrinsic (fx, fy, cx, cy) must be numbers, all but c positive'
            )
        return int(image['id']), *place, str(image['file_name']), size, intrinsic
    except (KeyError, TypeError, ValueError) as error:
        raise _bad(path, 'image', image, number, error) from None


def _person(person: dict, number: int, rows: dict[int, int], path: Path) -> tuple:
    try:
        if person['image_id'] not in rows:
            raise ValueError(f'it is of image {person["image_id"]}, which is not there')
        valid, values = bool(person['is_valid']), []
        for key, shape in _SHAPES.items():
            value = np.full(shape, np.nan)
            try:
                given = np.array(person[key], dtype=np.float64)
            except (KeyError, TypeError, ValueError):
                if valid:
                    raise
                given = value
            if valid and (given.shape != shape or not np.isfinite(given).all()):
                raise ValueError(
                    f'{key} must be finite numbers of shape {shape}, is {_short(given)}'
                )
            values.append(given if given.shape == shape else value)
        if valid and not (values[0][:, 2] > 0).all():
            raise ValueError('keypoints_cam: a joint of a valid person lies behind the camera')
        shown = (
            np.array(person.get('keypoints_vis', np.ones(NUM_JOINTS)), dtype=np.float64).reshape(-1)
            > 0
        )
        if shown.shape != (NUM_JOINTS,):
            raise ValueError(f'keypoints_vis must be {NUM_JOINTS} labels, are {len(shown)}')
        cam, img, box = values
        return int(person['id']), rows[person['image_id']], valid, cam, img, box, shown
    except (KeyError, TypeError, ValueError) as error:
        raise _bad(path, 'annotation', person, number, error) from None


def _short(value: np.ndarray) -> str:
    return f'of shape {value.shape}' if np.isfinite(value).all() else 'with nan, null or infinity'
