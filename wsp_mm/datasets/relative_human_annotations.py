# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Relative Human's annotation files: ``{train,val,test}_annots.npz`` (Sun et al., CVPR 2022).

The array ``annots`` is a pickled dict: name of an image -> list of its persons. It is read without
running code in it. N persons of M images, J joints of the set ``world``, which has every joint of
the three sets in the files.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wsp_mm.datasets.annotations import DATA_REMEDY, AnnotationError, image_name, record_name
from wsp_mm.datasets.array_files import read_pickled_npz
from wsp_mm.datasets.columns import Column, Rule, read_columns
from wsp_mm.structures.depth_layers import UNKNOWN
from wsp_mm.structures.keypoints import convert_joints, get_joint_set

JOINT_SET = 'world'
_REMEDY = 'Get the file again (docs/data_3d.md), or correct the person'
#: Length of the name, without its suffix, of the images that the authors collected.
_OWN_STEM = 7
_PERSON = dict(
    bbox=Column((4,)),
    depth_id=Column(
        dtype=np.int64, default=UNKNOWN, rule=Rule('must be -1 or more', lambda v: v >= UNKNOWN)
    ),
    age=Column(
        dtype=np.int64, default=-1, rule=Rule('must be -1 to 3', lambda v: (v >= -1) & (v <= 3))
    ),
    gender=Column(
        dtype=np.int64, default=-1, rule=Rule('must be -1, 0 or 1', lambda v: abs(v) <= 1)
    ),
)


@dataclass(frozen=True)
class RelativeHuman:
    """All persons of one file, in its order.

    Attributes:
        file: the file. file_names: (M,) names of the images, relative to their folder.
        image: (N,) index of the person's image. number: (N,) in the image, from 0.
        bbox: (N, 4) x1, y1, x2, y2 px, of the visible part; rough, and may reach beyond the image.
        layer: (N,) ``depth_id``: 0 the front layer, -1 unknown. age: (N,) 0 adult, 1 teenager, 2
            kid, 3 baby, -1 unknown. gender: (N,) 0 male, 1 female, -1 unknown.
        keypoints: (N, J, 2) px, 0 where not labelled. visible: (N, J) bool, labelled. Pelvis and
            thorax are midpoints.
    """

    file: str
    file_names: list[str]
    image: np.ndarray
    number: np.ndarray
    bbox: np.ndarray
    layer: np.ndarray
    age: np.ndarray
    gender: np.ndarray
    keypoints: np.ndarray
    visible: np.ndarray

    def rows(self) -> list[np.ndarray]:
        """Return the indices of each image's persons."""
        edges = np.searchsorted(self.image, np.arange(len(self.file_names) + 1))
        return [np.arange(*ends) for ends in itertools.pairwise(edges)]

    def name(self, person: int) -> str:
        """Return what a person is called in messages."""
        return f'person {self.number[person]} of {self.file_names[self.image[person]]}'


def read_relative_human(path: str | Path) -> RelativeHuman:
    """Read one file.

    Raises:
        AnnotationError: no such file, another layout, a pickle that asks for more than arrays and
            plain values, or a bad person; the message names file, image and person (from 0).
    """
    content = read_pickled_npz(path, 'annots', DATA_REMEDY)
    if not isinstance(content, dict) or not content:
        what = f'annots holds a {type(content).__name__}, not image names and their persons'
        raise AnnotationError('wrong layout', path, '', what, _REMEDY)
    names, images, numbers, records = [], [], [], []
    for name, persons in content.items():
        if not image_name(name) or not isinstance(persons, (list, tuple, np.ndarray)):
            what = f'expected a file name and a list of persons, got {str(persons)[:60]}'
            raise AnnotationError('wrong layout', path, f'image {str(name)[:60]!r}', what, _REMEDY)
        for k, person in enumerate(persons):
            known = isinstance(person, Mapping)
            records.append({**person, 'id': f'{k} of {name}'} if known else person)
            images.append(len(names))
            numbers.append(k)
        names.append(image_name(name))
    columns, _ = read_columns(records, _PERSON, path, 'person', remedy=_REMEDY)
    keypoints, visible = _joints(records, [names[i] for i in images], path)
    return RelativeHuman(
        str(path), names, np.array(images, dtype=np.int64), np.array(numbers, dtype=np.int64),
        columns['bbox'], columns['depth_id'], columns['age'], columns['gender'],
        keypoints, visible,
    )  # fmt: skip


def _joints(
    records: list[dict], names: list[str], path: str | Path
) -> tuple[np.ndarray, np.ndarray]:
    """Return the joints of all persons, (N, J, 2) and (N, J); ``names`` are of their images."""
    found: dict[str, list[tuple[int, np.ndarray]]] = {}
    for i, (record, name) in enumerate(zip(records, names, strict=True)):
        value = record.get('kp2d')
        if value is None:
            continue
        try:
            joints = np.array(value, dtype=np.float64).reshape(-1, 3)
            if len(joints) not in (14, 19) or not np.isfinite(joints).all():
                raise ValueError(f'{len(joints)} joints, or a value that is not finite')
        except (TypeError, ValueError) as error:
            what = f"'kp2d' must be x px, y px, v of 14 or 19 joints ({error})"
            where = record_name('person', record, i)
            raise AnnotationError('bad kp2d', path, where, what, _REMEDY) from None
        own = len(Path(name).stem) == _OWN_STEM
        joint_set = 'rh14' if len(joints) == 14 else 'rh19' if own else 'rh_ochuman19'
        found.setdefault(joint_set, []).append((i, joints))
    count = len(get_joint_set(JOINT_SET))
    keypoints = np.zeros((len(records), count, 2))
    visible = np.zeros((len(records), count), dtype=bool)
    for joint_set, persons in found.items():
        rows, joints = zip(*persons, strict=True)
        joints, rows = np.array(joints), list(rows)
        labelled = joints[..., 2] > 0
        keypoints[rows], visible[rows] = convert_joints(
            joints[..., :2] * labelled[..., None], labelled, joint_set, JOINT_SET
        )
    return keypoints, visible
