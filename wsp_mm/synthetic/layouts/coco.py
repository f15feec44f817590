# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""COCO: ``annotations/person_keypoints_{train,val}2017.json`` as cocodataset.org publishes them.

Polygons, visible area, v = 0/1/2, no joints on small persons, now and then a crowd region.
"""

import itertools
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from ..ground_truth import PersonGT, SceneGT
from .labelling import (
    AnnotationWriter,
    LabelSettings,
    coco_annotation,
    coco_category,
    label_scenes,
)

SETTINGS = LabelSettings('coco17', guesses=0.75, min_area=32 * 32)

# Groups that COCO's annotators gave up on: how crowded an image must be, how often it happens, and
# how many of the smallest persons then share one region without joints.
_CROWD_FROM, _CROWD_SHARE, _CROWD_SIZE = 6, 0.3, 3
_CROWD_ID = 900_100_000_000
_INFO = dict(
    description='wsp_mm embedded world in the layout of COCO 2017', url='', version='1.0',
    year=2024, contributor='wsp_mm', date_created='2024/01/01',
)  # fmt: skip
_LICENSE = dict(url='', id=1, name='Apache License, Version 2.0')


def write(writer: AnnotationWriter, scenes: Iterable[SceneGT]) -> None:
    """Write the annotation files in ``coco``."""
    images: dict[str, list[dict]] = {'train': [], 'val': []}
    annotations: dict[str, list[dict]] = {'train': [], 'val': []}
    numbers = itertools.count(100_001)
    for scene, xy, v, seen in label_scenes(scenes, SETTINGS):
        request = scene.request
        name = Path(request.path)
        image_id = int(name.stem)
        images[request.split].append(
            dict(
                license=1, file_name=name.name, coco_url='', height=request.height,
                width=request.width, date_captured='2024-01-01 00:00:00', flickr_url='',
                id=image_id,
            )
        )  # fmt: skip
        crowd = _crowd(scene, seen)
        rows = [row for row in seen if row not in crowd]
        ids = list(itertools.islice(numbers, len(rows)))
        for row, annotation_id in zip(rows, ids, strict=True):
            person = scene.persons[row]
            box = np.round(person.bbox, 2).tolist()
            polygons = [np.round(polygon, 2).tolist() for polygon in person.polygons]
            annotation = coco_annotation(xy[row], v[row], annotation_id, image_id, box)
            annotation |= dict(segmentation=polygons, area=float(person.area))
            annotations[request.split].append(annotation)
        if crowd:
            persons = [scene.persons[row] for row in crowd]
            mask = _mask(persons, request.width, request.height)
            annotations[request.split].append(_crowd_annotation(mask, image_id))
        writer.add_ground_truth(scene, rows, ids, image_id, xy, v, SETTINGS.joint_set)
    for split in images:
        content = dict(
            info=_INFO, licenses=[_LICENSE], categories=[coco_category('coco17')],
            images=images[split],
            # COCO's annotations do not stand in the order of its images; readers must not count on
            # it.
            annotations=sorted(annotations[split], key=lambda a: a['id'] * 2_654_435_761 % 2**32),
        )  # fmt: skip
        writer.json(f'coco/annotations/person_keypoints_{split}2017.json', content)


def _crowd(scene: SceneGT, seen: list[int]) -> list[int]:
    """Rows of the persons that go into a crowd region, mostly none."""
    chance = np.random.default_rng((_CROWD_ID, scene.request.scene_id)).random()
    if len(seen) < _CROWD_FROM or chance >= _CROWD_SHARE:
        return []
    return sorted(seen, key=lambda row: scene.persons[row].area)[:_CROWD_SIZE]


def _mask(persons: list[PersonGT], width: int, height: int) -> np.ndarray:
    """(H, W) uint8, 1 within the persons' outlines."""
    mask = np.zeros((height, width), dtype=np.uint8)
    for person in persons:
        for polygon in person.polygons:
            cv2.fillPoly(mask, [np.round(np.reshape(polygon, (-1, 1, 2))).astype(np.int32)], 1)
    return mask


def run_lengths(mask: np.ndarray) -> dict:
    """COCO's uncompressed run-length code: runs of 0 and 1 in turn, column by column, beginning
    with 0.
    """
    flat = np.asarray(mask, dtype=bool).ravel(order='F')
    changes = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    return {'counts': [0, *counts] if flat[0] else counts, 'size': list(mask.shape)}


def _crowd_annotation(mask: np.ndarray, image_id: int) -> dict:
    ids, box = (_CROWD_ID + image_id, image_id), list(cv2.boundingRect(mask))
    more = dict(segmentation=run_lengths(mask), area=float(mask.sum()), iscrowd=1)
    return coco_annotation(np.zeros((17, 2)), np.zeros(17), *ids, box, **more)
