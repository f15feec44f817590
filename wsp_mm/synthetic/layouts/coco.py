# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""COCO: ``annotations/person_keypoints_{train,val}2017.json`` as cocodataset.org publishes them."""

from __future__ import annotations

import cv2
import numpy as np

from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.synthetic.layouts.base import SourceWriter, numbered
from wsp_mm.synthetic.layouts.labelling import Habits, flat_keypoints, is_seen, polygons_of
from wsp_mm.synthetic.record import Person, Scene

_JOINTS = get_joint_set('coco17')

CATEGORY = {
    'supercategory': 'person',
    'id': 1,
    'name': 'person',
    'keypoints': list(_JOINTS.joints),
    'skeleton': [[i + 1, j + 1] for i, j in _JOINTS.link_indices],
}

# Groups that COCO's annotators gave up on: how crowded a picture must be, how often it happens, and
# how many of the smallest persons then share one region without joints.
_CROWD_FROM, _CROWD_SHARE, _CROWD_SIZE = 6, 0.3, 3
_CROWD_ID = 900_100_000_000


class CocoWriter(SourceWriter):
    """Polygons, visible area, v = 0/1/2, no joints on small persons, now and then a crowd
    region.
    """

    source = 'coco'
    joint_set = 'coco17'
    habits = Habits(guesses=0.75, step=1.0, min_area=32 * 32)

    def __init__(self, keep_truth: bool = True) -> None:
        super().__init__(keep_truth)
        self._images: dict[str, list[dict]] = {'train': [], 'val': []}
        self._annotations: dict[str, list[dict]] = {'train': [], 'val': []}
        self._next_id = 100_001

    def annotate(self, scene: Scene, xy: np.ndarray, v: np.ndarray) -> None:
        image_id = numbered(scene.file_name)
        self._images[scene.split].append(
            {
                'license': 1,
                'file_name': scene.file_name.rpartition('/')[2],
                'coco_url': '',
                'height': scene.height,
                'width': scene.width,
                'date_captured': '2024-01-01 00:00:00',
                'flickr_url': '',
                'id': image_id,
            }
        )
        seen = [row for row, person in enumerate(scene.persons) if is_seen(person)]
        crowd = _crowd(scene, seen)
        rows = [row for row in seen if row not in crowd]
        ids = list(range(self._next_id, self._next_id + len(rows)))
        self._next_id += len(rows)
        annotations = self._annotations[scene.split]
        for row, annotation_id in zip(rows, ids, strict=True):
            person = scene.persons[row]
            annotations.append(
                {
                    'segmentation': [
                        [round(c, 2) for c in polygon] for polygon in polygons_of(person)
                    ],
                    'num_keypoints': int((v[row] > 0).sum()),
                    'area': float(person.area),
                    'iscrowd': 0,
                    'keypoints': flat_keypoints(xy[row], v[row]),
                    'image_id': image_id,
                    'bbox': [round(c, 2) for c in person.bbox.tolist()],
                    'category_id': 1,
                    'id': annotation_id,
                }
            )
        if crowd:
            mask = _mask([scene.persons[row] for row in crowd], scene.width, scene.height)
            annotations.append(_crowd_annotation(mask, image_id))
        self.record(scene, rows, ids, image_id, xy, v)

    def files(self) -> dict[str, object]:
        return {
            f'annotations/person_keypoints_{split}2017.json': {
                'info': {
                    'description': 'wsp_mm embedded world in the layout of COCO 2017',
                    'url': '',
                    'version': '1.0',
                    'year': 2024,
                    'contributor': 'wsp_mm',
                    'date_created': '2024/01/01',
                },
                'licenses': [{'url': '', 'id': 1, 'name': 'Apache License, Version 2.0'}],
                'categories': [CATEGORY],
                'images': self._images[split],
                # COCO's annotations do not stand in the order of its pictures; readers must not
                # count on it.
                'annotations': sorted(
                    self._annotations[split], key=lambda a: a['id'] * 2_654_435_761 % 2**32
                ),
            }
            for split in ('train', 'val')
        }


def _crowd(scene: Scene, seen: list[int]) -> list[int]:
    """Rows of the persons that go into a crowd region, mostly none."""
    dice = np.random.default_rng((_CROWD_ID, scene.scene_id)).random()
    if len(seen) < _CROWD_FROM or dice >= _CROWD_SHARE:
        return []
    return sorted(seen, key=lambda row: scene.persons[row].area)[:_CROWD_SIZE]


def _mask(persons: list[Person], width: int, height: int) -> np.ndarray:
    """(H, W) uint8, 1 within the persons' outlines."""
    mask = np.zeros((height, width), dtype=np.uint8)
    for person in persons:
        for polygon in polygons_of(person):
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
    ys, xs = np.nonzero(mask)
    x, y = int(xs.min()), int(ys.min())
    return {
        'segmentation': run_lengths(mask),
        'num_keypoints': 0,
        'area': float(mask.sum()),
        'iscrowd': 1,
        'keypoints': [0] * (3 * len(_JOINTS)),
        'image_id': image_id,
        'bbox': [x, y, int(xs.max()) - x + 1, int(ys.max()) - y + 1],
        'category_id': 1,
        'id': _CROWD_ID + image_id,
    }
