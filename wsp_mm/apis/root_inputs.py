# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""What root depths are predicted for: persons' boxes, and pictures whose cameras are known.

Boxes are (x, y, w, h) px of the picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wsp_mm.datasets.box_files import BoxFile
from wsp_mm.datasets.converters.mcpc.files import load_json, picture_size
from wsp_mm.datasets.converters.mcpc.records import BadDataError
from wsp_mm.structures.bbox import PADDING, crop_boxes

_MEND_CAMERA = 'Give its focal lengths and principal point (--focal, --principal-point); a camera is never guessed'
_MEND_FILE = 'Give the json that lists the pictures (MuPoTS-3D.json, MuCo-3DHP.json)'


@dataclass(frozen=True)
class RootPicture:
    """A picture and its camera.

    Attributes:
        image_id: of the annotation file. file_name: relative to the folder of the pictures.
        size: width and height px, None where no file says. f, c: (2,) px, None where no file says.
    """

    image_id: int
    file_name: str
    size: tuple[int, int] | None = None
    f: np.ndarray | None = None
    c: np.ndarray | None = None


@dataclass(frozen=True)
class RootPersons:
    """The persons of one picture.

    Attributes:
        picture: with a camera. boxes: (M, 4) extended. scores: (M,).
    """

    picture: RootPicture
    boxes: np.ndarray
    scores: np.ndarray


def read_pictures(path: str | Path) -> tuple[dict[int, RootPicture], BoxFile]:
    """Pictures with their cameras, and the labelled persons' raw boxes, from 3DMPPE's json of
    MuPoTS or MuCo.

    A camera is ``intrinsic`` [fx, fy, cx, cy] or ``f`` and ``c`` of a record of ``images``. Persons
    with ``is_valid`` 0 have no box here.

    Raises:
        BadDataError: no such file, no json, or a bad record.
    """
    content = load_json(Path(path), slim=False)
    if (
        not isinstance(content, dict)
        or not isinstance(content.get('images'), list)
        or not content['images']
    ):
        raise BadDataError(
            'wrong layout', path, '', "'images' is missing, empty or no list", _MEND_FILE
        )
    pictures: dict[int, RootPicture] = {}
    for i, image in enumerate(content['images']):
        try:
            picture = _picture(image)
        except (KeyError, TypeError, ValueError) as error:
            what = f'no {error}' if isinstance(error, KeyError) else str(error)
            raise BadDataError('bad image', path, f'images, record {i}', what, _MEND_FILE) from None
        if picture.image_id in pictures:
            raise BadDataError(
                'bad image', path, f'image {picture.image_id}', 'it stands twice', _MEND_FILE
            )
        pictures[picture.image_id] = picture
    boxes: dict[int, list] = {image_id: [] for image_id in pictures}
    for i, annotation in enumerate(content.get('annotations') or []):
        try:
            if not int(annotation.get('is_valid', 1)):
                continue
            box = np.array(annotation['bbox'], dtype=np.float64).reshape(-1)
            if box.shape != (4,) or not np.isfinite(box).all():
                raise ValueError(f'bbox {annotation["bbox"]} is no box x, y, w, h px')
            boxes[int(annotation['image_id'])].append(box)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            what = f'no {error}' if isinstance(error, KeyError) else str(error)
            raise BadDataError(
                'bad annotation', path, f'annotations, record {i}', what, _MEND_FILE
            ) from None
    truth = BoxFile(
        images={image_id: picture.file_name for image_id, picture in pictures.items()},
        boxes={image_id: np.array(found).reshape(-1, 4) for image_id, found in boxes.items()},
        scores={image_id: np.ones(len(found)) for image_id, found in boxes.items()},
        extended=False,
    )
    return pictures, truth


def _picture(image: Mapping) -> RootPicture:
    size = None
    if image.get('width') is not None:
        size = (int(image['width']), int(image['height']))
        if min(size) < 1:
            raise ValueError(f'its size is {size} px')
    f = c = None
    if image.get('intrinsic') is not None or image.get('f') is not None:
        values = (
            image['intrinsic'] if image.get('intrinsic') is not None else [*image['f'], *image['c']]
        )
        values = np.array(values, dtype=np.float64).reshape(-1)
        if values.shape != (4,) or not np.isfinite(values).all() or not (values[:2] > 0).all():
            raise ValueError(f'its camera is {values.tolist()}, not fx, fy > 0, cx, cy px')
        f, c = values[:2], values[2:]
    return RootPicture(int(image['id']), str(image['file_name']), size, f, c)


def gather_persons(
    boxes: BoxFile,
    pictures: Mapping[int, RootPicture] | None,
    pictures_dir: str | Path | None = None,
    focal: Sequence[float] | None = None,
    principal_point: Sequence[float] | str | None = None,
    padding: float = PADDING,
    aspect: float = 1.0,
) -> tuple[list[RootPersons], int]:
    """Persons by picture, with extended boxes and cameras.

    Args:
        boxes: raw or extended.
        pictures: of :func:`read_pictures`; None: those that ``boxes`` names.
        pictures_dir: where they lie; needed for sizes that no file tells.
        focal: fx, fy px of every picture without a camera of its own.
        principal_point: cx, cy px of the same, or ``'centre'`` of the picture.
        padding, aspect: how a raw box is extended, see ``crop_boxes``.

    Returns:
        One entry a picture that has a person, and the number of boxes that were left out because
        nothing of them lies within the picture.

    Raises:
        BadDataError: a picture without a camera, or one that no file lists.
        ValueError: a camera was given that no picture needs, or half a camera.
        OSError: a picture whose size must be asked for is missing or none.
    """
    if (focal is None) != (principal_point is None):
        raise ValueError('focal and principal_point belong together: give both, or neither')
    listed = pictures
    if listed is None:
        listed = {image_id: RootPicture(image_id, name) for image_id, name in boxes.images.items()}
    unknown = [image_id for image_id in boxes.boxes if image_id not in listed]
    if unknown:
        raise BadDataError(
            'unknown picture', 'boxes', f'image {unknown[0]}',
            f'no picture of that id is listed ({len(unknown)} such pictures)', _MEND_FILE,
        )  # fmt: skip
    persons, skipped, used = [], 0, focal is None
    for image_id, found in boxes.boxes.items():
        if not len(found):
            continue
        picture = listed[image_id]
        if picture.f is None:
            if focal is None:
                raise BadDataError(
                    'no camera',
                    picture.file_name,
                    f'image {image_id}',
                    'it has no camera',
                    _MEND_CAMERA,
                )
            used = True
        size = picture.size
        if size is None and (
            not boxes.extended or (picture.f is None and principal_point == 'centre')
        ):
            size = picture_size(Path(pictures_dir or '.') / picture.file_name)
        if picture.f is None:
            picture = _with_camera(picture, size, focal, principal_point)
        extended = np.asarray(found, dtype=np.float64)
        if not boxes.extended:
            extended = crop_boxes(extended, np.array(size), aspect, padding)
        good = np.isfinite(extended).all(axis=1) & (extended[:, 2:] > 0).all(axis=1)
        skipped += int((~good).sum())
        if good.any():
            persons.append(
                RootPersons(picture, extended[good], np.asarray(boxes.scores[image_id])[good])
            )
    if not used and persons:
        raise ValueError(
            'every picture brings its own camera: focal and principal_point would change nothing'
        )
    return persons, skipped


def _with_camera(picture: RootPicture, size, focal, principal_point) -> RootPicture:
    c = (
        np.array(size) / 2
        if isinstance(principal_point, str)
        else np.asarray(principal_point, dtype=np.float64)
    )
    f = np.asarray(focal, dtype=np.float64)
    if f.shape != (2,) or c.shape != (2,) or not (f > 0).all():
        raise ValueError(
            f'a camera is two positive focal lengths and a principal point, px; got {focal}, {c.tolist()}'
        )
    return RootPicture(picture.image_id, picture.file_name, size, f, c)
