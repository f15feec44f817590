# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""MCPC: pictures with two or more persons whose ankles are labelled, from four data sets.

N persons of one picture, K = 16 joints (``mcpc16``: MPII's joints and order), coordinates in px of
the picture.
"""

from __future__ import annotations

import gc
import json
import os.path as osp
from collections.abc import Mapping
from typing import Any

import numpy as np
from mmpose.datasets.datasets.base import BaseCocoStyleDataset
from mmpose.registry import DATASETS

from wsp_mm.datasets.converters.mcpc.files import pack_numbers
from wsp_mm.datasets.sampling import SampleMeta, SeededItemsMixin
from wsp_mm.structures.keypoints import get_joint_set, pose_metainfo

_BUILDER = 'build it with tools/dataset_converters/build_mcpc.py'
_KEPT = ('id', 'image_id', 'bbox', 'keypoints', 'ground_y', 'scale', 'area')
_SOURCES = ('coco', 'mpii', 'posetrack18', 'crowdpose')


@DATASETS.register_module()
class MCPCDataset(SeededItemsMixin, BaseCocoStyleDataset):
    """MCPC, as the builder writes it.

    ``item='pair'``: in training one item is a picture with all its eligible persons, of whom
    ``SamplePersonPair`` draws two; with ``test_mode`` one item is one of the json's fixed pairs.
    Keys: img_path, img_id, source, bbox (N, 4) xyxy px, keypoints (N, K, 2) px, keypoints_visible
    (N, K) 0 or 1, ground_y (N,) px, scale (N,) px (Eq. 13), ann_ids (N,), other_ankles (M, 3) x px,
    y px, knee-ankle length px (nan where unknown); for a fixed pair also pair (2,) indices of A and
    B among the persons, id = pair_id, pair_label (1: A is nearer), pair_gap (Eq. 14).

    ``item='person'``: one eligible person an item, in MMPose's top-down keys.

    Args:
        ann_file: the MCPC json of one split, relative to ``data_root`` or absolute.
        item: ``'pair'`` or ``'person'``.
        data_prefix: source -> folder of its pictures, relative to ``data_root`` or absolute; what
            is not given is the source's own name.
        check_pictures: at start-up, look whether the first picture of each source is there, so that
            a wrong folder is found before the training starts.
        **kwargs: MMPose's, save ``bbox_file``, ``data_mode`` and ``sample_interval``.

    Raises:
        FileNotFoundError: no such json, or (``check_pictures``) no such picture.
        KeyError: the json lacks a part; the message names it.
        ValueError: the json holds nothing to load, or a broken record; the message names it.
        TypeError: an argument that MCPC has no use for.
    """

    METAINFO: dict = dict(pose_metainfo('mcpc16'), dataset_name='mcpc')

    def __init__(
        self,
        ann_file: str,
        item: str = 'pair',
        data_prefix: Mapping[str, str] | None = None,
        check_pictures: bool = True,
        **kwargs: Any,
    ) -> None:
        if item not in ('pair', 'person'):
            raise ValueError(f"MCPCDataset: item must be 'pair' or 'person', got {item!r}")
        for name in ('bbox_file', 'data_mode', 'sample_interval'):
            if name in kwargs:
                raise TypeError(f'MCPCDataset takes no {name}')
        self.item = item
        self.check_pictures = check_pictures
        prefix = {source: source for source in _SOURCES} | dict(data_prefix or {})
        super().__init__(ann_file=ann_file, data_prefix=prefix, **kwargs)
        self._sample_meta = SampleMeta(self._metainfo)

    def get_data_info(self, idx: int) -> dict:
        """One item, see the class, with what transforms read of the metainfo."""
        info = super(BaseCocoStyleDataset, self).get_data_info(
            idx
        )  # MMPose's own copies the metainfo slowly
        info.update(self._sample_meta())
        return info

    def load_data_list(self) -> list[dict]:
        """All items of the json, see the class."""
        content = _read(self.ann_file, ('images', 'annotations'))
        persons = _Persons(content.pop('annotations'), self.ann_file)
        images = {image['id']: image for image in content['images']}
        if not images:
            raise ValueError(f"{self.ann_file}: 'images' is empty")
        if self.check_pictures:
            self._check_pictures(content['images'])
        rows: dict[int, list[int]] = {image_id: [] for image_id in images}
        for row, image_id in enumerate(persons.image_ids):
            if image_id not in rows:
                raise ValueError(
                    f'{self.ann_file}: annotation {persons.ids[row]} is of image {image_id}, which is not there'
                )
            rows[image_id].append(row)

        if self.item == 'person':
            items = [self._person(images[i], persons, row) for i in images for row in rows[i]]
        elif self.test_mode:
            items = self._pairs(content, images, persons, rows)
        else:
            # A picture with one person has no pair, and could only be refused again and again.
            items = [
                self._picture(images[i], persons, rows[i]) for i in images if len(rows[i]) >= 2
            ]
            if not items:
                raise ValueError(
                    f"{self.ann_file}: no image has two persons in 'annotations'; {_BUILDER}"
                )
        return items

    def _image_keys(self, image: dict) -> dict:
        return dict(
            img_id=image['id'],
            img_path=self._path(image),
            source=image['source'],
        )

    def _path(self, image: dict) -> str:
        try:
            folder = self.data_prefix[image['source']]
            return osp.join(folder, image['file_name'])
        except KeyError as error:
            raise KeyError(
                f'{self.ann_file}: image {image.get("id")} lacks {error}, or data_prefix has no such source '
                f'(it has {sorted(self.data_prefix)})'
            ) from None

    def _check_pictures(self, images: list[dict]) -> None:
        """The first picture of each source must be there."""
        first: dict[str, dict] = {}
        for image in images:
            first.setdefault(image.get('source'), image)
        for source, image in first.items():
            path = self._path(image)
            if not osp.isfile(path):
                raise FileNotFoundError(
                    f'{path} (image {image["id"]} of {self.ann_file}) is not there: set data_root or '
                    f"data_prefix=dict({source}='folder of its pictures'); "
                    'tools/misc/check_data.py lists all that is missing'
                )

    def _picture(self, image: dict, persons: _Persons, rows: list[int]) -> dict:
        """One picture with all its persons."""
        other = np.array(
            image.get('other_ankles') or np.zeros((0, 3)), dtype=np.float32
        )  # null becomes nan
        return dict(
            **self._image_keys(image),
            bbox=persons.bbox[rows],
            keypoints=persons.keypoints[rows],
            keypoints_visible=persons.visible[rows],
            ground_y=persons.ground_y[rows],
            scale=persons.scale[rows],
            ann_ids=persons.ids[rows],
            other_ankles=other.reshape(-1, 3),
        )

    def _pairs(
        self, content: dict, images: dict, persons: _Persons, rows: dict[int, list[int]]
    ) -> list[dict]:
        """The fixed pairs."""
        pairs = content.get('pairs')
        if not pairs:
            raise KeyError(
                f"{self.ann_file}: 'pairs' is missing or empty, and test_mode scores fixed pairs: {_BUILDER}, "
                'and take the test split'
            )
        items = []
        for pair in pairs:
            where = f'{self.ann_file}: pair {pair.get("id")}'
            if pair['image_id'] not in images:
                raise ValueError(f'{where} is of image {pair["image_id"]}, which is not there')
            ids = [int(persons.ids[row]) for row in rows[pair['image_id']]]
            for ann in (pair['ann_a'], pair['ann_b']):
                if ann not in ids:
                    raise ValueError(
                        f'{where} names annotation {ann}, which image {pair["image_id"]} has not'
                    )
            if pair['label'] not in (0, 1):
                raise ValueError(f'{where}: label must be 0 or 1, is {pair["label"]!r}')
            items.append(
                dict(
                    **self._picture(images[pair['image_id']], persons, rows[pair['image_id']]),
                    pair=np.array([ids.index(pair['ann_a']), ids.index(pair['ann_b'])]),
                    id=pair['id'],
                    pair_id=pair['id'],
                    pair_label=int(pair['label']),
                    pair_gap=float(pair['scale_gap']),
                )
            )
        return items

    def _person(self, image: dict, persons: _Persons, row: int) -> dict:
        """One person in MMPose's top-down keys."""
        visible = persons.visible[row : row + 1]
        return dict(
            **self._image_keys(image),
            id=int(persons.ids[row]),
            bbox=persons.bbox[row : row + 1],
            bbox_score=np.ones(1, dtype=np.float32),
            keypoints=persons.keypoints[row : row + 1],
            keypoints_visible=visible,
            num_keypoints=int(visible.sum()),
            area=persons.area[row],
            iscrowd=0,
            category_id=np.array(1),
        )


class _Persons:
    """All annotations of a json as arrays (P persons), checked.

    Attributes:
        ids, image_ids: (P,). bbox: (P, 4) xyxy px. keypoints: (P, K, 2) px, 0 where not labelled.
        visible: (P, K) 0 or 1. ground_y, scale: (P,) px. area: (P,) px^2.
    """

    def __init__(self, annotations: list[dict], path: str) -> None:
        if not annotations:
            raise ValueError(f"{path}: 'annotations' is empty")
        self._annotations, self._path = annotations, path
        self.ids = self._column('id', (), np.int64)
        self.image_ids = self._column('image_id', (), np.int64).tolist()
        if len(np.unique(self.ids)) != len(self.ids):
            seen, counts = np.unique(self.ids, return_counts=True)
            raise ValueError(f'{path}: annotation id {seen[counts > 1][0]} occurs more than once')
        boxes = self._column('bbox', (4,), np.float32)
        self._refuse((boxes[:, 2:] <= 0).any(axis=1), 'bbox', 'has no width or no height')
        self.bbox = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
        num_joints = len(get_joint_set('mcpc16'))
        points = self._column('keypoints', (num_joints * 3,), np.float32).reshape(-1, num_joints, 3)
        self.visible = (points[..., 2] > 0).astype(np.float32)
        self.keypoints = points[..., :2] * self.visible[..., None]
        self.ground_y = self._column('ground_y', (), np.float64)
        self.scale = self._column('scale', (), np.float64)
        self._refuse(self.scale <= 0, 'scale', 'is not positive')
        self.area = self._column('area', (), np.float32)
        del self._annotations  # needed to name a culprit, and there is none

    def _column(self, key: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        """The values of one key, (P, *shape)."""
        try:
            values = np.array(
                [annotation[key] for annotation in self._annotations], dtype=np.float64
            )
            if values.shape[1:] != shape:
                raise ValueError
        except (KeyError, TypeError, ValueError):
            for annotation in self._annotations:  # slow, and only to name the culprit
                if key not in annotation:
                    raise KeyError(
                        f'{self._path}: annotation {annotation.get("id")} has no {key!r}'
                    ) from None
                try:
                    if np.array(annotation[key], dtype=np.float64).shape == shape:
                        continue
                except (TypeError, ValueError):
                    pass
                wanted = f'{shape[0]} numbers' if shape else 'a number'
                raise ValueError(
                    f'{self._path}: annotation {annotation.get("id")}: {key!r} must be {wanted}, is '
                    f'{str(annotation[key])[:80]}'
                ) from None
            raise
        self._refuse(
            ~np.isfinite(values.reshape(len(values), -1)).all(axis=1),
            key,
            'holds nan, null or infinity',
        )
        return values.astype(dtype)

    def _refuse(self, bad: np.ndarray, key: str, what: str) -> None:
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise ValueError(
                f'{self._path}: annotation {self._annotations[row].get("id")}: {key!r} {what}'
            )


_pack = pack_numbers(('bbox', 'keypoints'))


def _compact(record: dict) -> dict:
    """An annotation with what is read of it alone, as arrays; anything else as it is."""
    if 'keypoints' in record and 'image_id' in record:
        record = {key: record[key] for key in _KEPT if key in record}
    return _pack(record)


def _read(path: str, keys: tuple[str, ...]) -> dict:
    """The json, which must have ``keys``."""
    if not osp.isfile(path):
        raise FileNotFoundError(
            f'no MCPC annotations at {path}: set data_root and ann_file, or {_BUILDER}'
        )
    # The collector would look through millions of new lists again and again, and half the time is
    # its.
    collecting = gc.isenabled()
    gc.disable()
    try:
        with open(path, encoding='utf-8') as file:
            content = json.load(file, object_hook=_compact)
    except json.JSONDecodeError as error:
        raise ValueError(f'{path} is not valid json: {error}') from None
    finally:
        if collecting:
            gc.enable()
    for key in keys:
        if not isinstance(content, dict) or key not in content:
            raise KeyError(f'{path} has no {key!r}, so it is no MCPC json; {_BUILDER}')
    return content
