# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""MCPC: images with two or more persons whose ankles are labelled, from four data sets.

N persons of one image, K = 16 joints (``mcpc16``: MPII's joints and order), coordinates in px of
the image.
"""

import os.path as osp
from collections.abc import Mapping
from typing import Any

import numpy as np
from mmpose.datasets.datasets.base import BaseCocoStyleDataset
from mmpose.registry import DATASETS

from wsp_mm.datasets.annotations import (
    DATA_REMEDY,
    AnnotationError,
    Findings,
    check_images,
    check_lists,
    first_of_folders,
    image_name,
    load_json,
    record_name,
    repeated,
)
from wsp_mm.datasets.columns import BOX, POSITIVE, Column, Rule, read_columns
from wsp_mm.datasets.pose3d import log_notes
from wsp_mm.datasets.sampling import SampleMeta, SeededItemsMixin
from wsp_mm.structures.bbox import crop_boxes, to_sides
from wsp_mm.structures.keypoints import get_joint_set, pose_metainfo

JOINT_SET = 'mcpc16'
NUM_JOINTS, _ANKLES = len(get_joint_set(JOINT_SET)), get_joint_set(JOINT_SET).ankles
_SOURCES = ('coco', 'mpii', 'posetrack18', 'crowdpose', 'relative_human')
_BUILD = 'Build it with tools/dataset_converters/build_mcpc.py'
_UNUSED = ('category_id', 'iscrowd', 'num_keypoints', 'source_id')
_ANNOTATION = dict(
    id=Column(dtype=np.int64),
    image_id=Column(dtype=np.int64),
    bbox=Column((4,), np.float32, rule=BOX),
    keypoints=Column((NUM_JOINTS * 3,), np.float32),
    ground_y=Column(default=np.nan),
    scale=Column(rule=POSITIVE),
    area=Column(dtype=np.float32),
)
_PAIR = dict(
    id=Column(dtype=np.int64),
    image_id=Column(dtype=np.int64),
    ann_a=Column(dtype=np.int64),
    ann_b=Column(dtype=np.int64),
    label=Column(dtype=np.int64, rule=Rule('must be 0 or 1', lambda v: np.isin(v, (0, 1)))),
    scale_gap=Column(),
)


@DATASETS.register_module()
class MCPCDataset(SeededItemsMixin, BaseCocoStyleDataset):
    """MCPC, as the builder writes it.

    ``item='pair'``: in training one item is an image with all its eligible persons, of whom
    ``SamplePersonPair`` draws two; with ``test_mode`` one item is one of the json's fixed pairs.
    Keys: img_path, img_id, source, bbox (N, 4) xyxy px, keypoints (N, K, 2) px, keypoints_visible
    (N, K) 0 or 1, ground_y (N,) px, scale (N,) px (Eq. 13), ann_ids (N,), other_ankles (M, 3) x px,
    y px, knee-ankle length px (nan where unknown); where the file is labelled by the ground plane,
    nearer_probs (N, N) P(row is nearer than column), log_depth (N,) up to a constant of the image;
    for a fixed pair also pair (2,) indices of A and
    B among the persons, id = pair_id, pair_label (1: A is nearer), pair_gap (Eq. 14),
    pair_stand_in (1,), 1.0 where the gap does not come from two labelled heads.

    ``item='person'``: one eligible person an item, in MMPose's top-down keys.

    Args:
        ann_file: the MCPC json of one split, relative to ``data_root`` or absolute.
        item: ``'pair'`` or ``'person'``.
        data_prefix: source -> folder of its images, relative to ``data_root`` or absolute; default:
            the source's own name.
        check_images: at start-up, check that the first image of each folder exists and has the
            annotated size, so that a wrong folder is found before the training starts.
        **kwargs: MMPose's, except ``bbox_file``, ``data_mode`` and ``sample_interval``.

    Raises:
        AnnotationError: the json is missing, lacks a part, or holds a bad record or nothing to
            load; or (``check_images``) images are missing. A ValueError that names the record.
        ValueError: an unknown ``item``.
        TypeError: an argument that MCPC has no use for.
    """

    METAINFO: dict = dict(pose_metainfo(JOINT_SET), dataset_name='mcpc')

    def __init__(
        self,
        ann_file: str,
        item: str = 'pair',
        data_prefix: Mapping[str, str] | None = None,
        check_images: bool = True,
        **kwargs: Any,
    ) -> None:
        if item not in ('pair', 'person'):
            raise ValueError(f"MCPCDataset: item must be 'pair' or 'person', got {item!r}")
        for name in {'bbox_file', 'data_mode', 'sample_interval'} & set(kwargs):
            raise TypeError(f'MCPCDataset takes no {name}')
        self.item = item
        self.check_images = check_images
        prefix = {source: source for source in _SOURCES} | dict(data_prefix or {})
        super().__init__(ann_file=ann_file, data_prefix=prefix, **kwargs)
        self._sample_meta = SampleMeta(self._metainfo)

    def get_data_info(self, idx: int) -> dict:
        """Return one item, see the class, with what transforms read of the metainfo."""
        info = super(BaseCocoStyleDataset, self).get_data_info(idx)  # MMPose's copies slowly
        return info | self._sample_meta()

    def load_data_list(self) -> list[dict]:
        """Return all items of the json, see the class."""
        remedy, fixed = f'{_BUILD}. {DATA_REMEDY}', self.item == 'pair' and self.test_mode
        drop = _UNUSED if fixed else (*_UNUSED, 'scale_source')
        content = load_json(
            self.ann_file, ('bbox', 'keypoints'), drop, dtype=np.float32, remedy=remedy
        )
        wanted = ('images', 'annotations', 'pairs') if fixed else ('images', 'annotations')
        check_lists(content, wanted, self.ann_file, f'{_BUILD}, and take the right split')
        images, sizes = self._images(content['images'])
        if self.check_images:
            known = {
                image['img_path']: sizes[i] for i, image in images.items() if np.inf not in sizes[i]
            }
            paths = first_of_folders(image['img_path'] for image in images.values())
            check_images(paths, self.ann_file, known)
        records = content.pop('annotations')
        persons = self._persons(records, images)
        # Only fixed pairs ask where a scale comes from, and only for them it was read.
        heads = {r['id'] for r in records if r.get('scale_source') == 'head'} if fixed else set()
        del records
        order = np.argsort(persons['image_id'], kind='stable')
        image_ids, starts = np.unique(persons['image_id'][order], return_index=True)
        rows = dict(zip(image_ids.tolist(), np.split(order, starts[1:]), strict=True))
        if self.item == 'person':
            boxes = to_sides(persons['bbox'].astype(np.float64))
            size = np.array([sizes[i] for i in persons['image_id'].tolist()])
            good = np.isfinite(crop_boxes(boxes, size)).all(axis=-1)
            if not good.all():
                what = f'left out {(~good).sum():,} persons whose box has no area within the image'
                log_notes(self, [f'{self.ann_file}: {what} (of at most 1 px after clipping)'])
            chosen = ((images[i], row) for i in images for row in rows.get(i, ()) if good[row])
            return [_person(image, persons, row) for image, row in chosen]
        items = {
            i: self._image(images[i], persons, rows[i]) for i in images if len(rows.get(i, ())) >= 2
        }
        if not items:
            what = "no image has two persons in 'annotations'"
            raise AnnotationError('empty data set', self.ann_file, '', what, _BUILD)
        if self.test_mode:
            return self._pairs(content['pairs'], items, heads)
        return list(items.values())

    def _images(self, records: list[dict]) -> tuple[dict[int, dict], dict[int, tuple]]:
        """Return id -> what items keep of an image, and id -> width and height, inf: unknown."""
        side = Column(default=np.inf, rule=POSITIVE)
        columns = dict(id=_ANNOTATION['id'], width=side, height=side)
        found, _ = read_columns(records, columns, self.ann_file, 'image', remedy=_BUILD)
        ids, *sides = (found[name].tolist() for name in columns)
        images, sizes = {}, dict(zip(ids, zip(*sides, strict=True), strict=True))
        for n, (image_id, record) in enumerate(zip(ids, records, strict=True)):
            try:
                folder, name = self.data_prefix[record['source']], image_name(record['file_name'])
                if not name or image_id in images:
                    raise ValueError('no name of a file, or the id of another image')
                images[image_id] = dict(
                    img_id=image_id,
                    img_path=osp.join(folder, name),
                    source=record['source'],
                    other_ankles=np.array(
                        record.get('other_ankles') or (),
                        dtype=np.float32,  # null becomes nan
                    ).reshape(-1, 3),
                )
                if 'nearer' in record:
                    images[image_id]['nearer_probs'] = np.array(record['nearer'], np.float32)
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                what = (
                    f'{error!r}; it needs id, file_name and a source of {sorted(self.data_prefix)}'
                )
                name = record_name('image', record, n)
                raise AnnotationError('bad image', self.ann_file, name, what, _BUILD) from None
        return images, sizes

    def _persons(self, records: list[dict], images: Mapping[int, dict]) -> dict[str, np.ndarray]:
        """Return the columns of all annotations (P,): bbox (P, 4) xyxy px, keypoints (P, K, 2) px,
        0 where not labelled, visible (P, K) 0 or 1, and those of :data:`_ANNOTATION`.
        """
        columns = dict(_ANNOTATION)
        if any('log_depth' in record for record in records):
            columns['log_depth'] = Column(dtype=np.float32, default=np.nan)
        persons, _ = read_columns(records, columns, self.ann_file, 'annotation', remedy=_BUILD)
        points = persons['keypoints'].reshape(-1, NUM_JOINTS, 3)
        persons['visible'] = (points[..., 2] > 0).astype(np.float32)
        persons['keypoints'] = points[..., :2] * persons['visible'][..., None]
        persons['bbox'][:, 2:] += persons['bbox'][:, :2]
        ids, image_ids = persons['id'], persons['image_id']

        def check(bad: np.ndarray, kind: str, what: str) -> None:
            name = 'annotation {}'.format
            Findings().drop(bad, kind, self.ann_file, lambda i: name(ids[i]), what, _BUILD)

        check(repeated(ids.tolist()), 'duplicate id', 'its id occurs more than once')
        check(~np.isin(image_ids, list(images)), 'unknown image', 'its image_id is not listed')
        by_rule = [i for i, image in images.items() if 'nearer_probs' not in image]
        unlabelled = ~persons['visible'][:, list(_ANKLES)].any(axis=1)
        unlabelled |= np.isnan(persons['ground_y'])
        unlabelled &= np.isin(image_ids, by_rule)
        check(unlabelled, 'no ankles', 'no ankle is labelled, so it has no ground_y')
        return persons

    def _image(self, image: dict, persons: dict[str, np.ndarray], rows: np.ndarray) -> dict:
        """Return an image with all its persons."""
        item = dict(
            image,
            bbox=persons['bbox'][rows],
            keypoints=persons['keypoints'][rows],
            keypoints_visible=persons['visible'][rows],
            ground_y=persons['ground_y'][rows],
            scale=persons['scale'][rows],
            ann_ids=persons['id'][rows],
        )
        if 'log_depth' in persons:
            item['log_depth'] = persons['log_depth'][rows]
        if 'nearer_probs' in image:
            upper, above = image['nearer_probs'], np.triu_indices(len(rows), 1)
            if upper.shape != above[0].shape or not ((upper >= 0) & (upper <= 1)).all():
                what = f"its 'nearer' must be {len(above[0])} probabilities, one a pair of persons"
                name = f'image {image["img_id"]}'
                raise AnnotationError('bad nearer', self.ann_file, name, what, _BUILD)
            item['nearer_probs'] = nearer = np.full((len(rows), len(rows)), 0.5, np.float32)
            nearer[above], nearer.T[above] = upper, 1 - upper
        return item

    def _pairs(self, records: list[dict], items: Mapping[int, dict], heads: set) -> list[dict]:
        """Return the items of the fixed pairs; ``items`` are those of their images, ``heads`` the
        ids of persons whose head gives their scale.
        """
        pairs, _ = read_columns(records, _PAIR, self.ann_file, 'pair', remedy=_BUILD)
        found = []
        for row in zip(*(pairs[name].tolist() for name in _PAIR), strict=True):
            pair_id, image_id, *pair, label, gap = row
            ids = items[image_id]['ann_ids'].tolist() if image_id in items else []
            if pair[0] == pair[1] or not set(pair) <= set(ids):
                what = f'image {image_id} has no annotations {pair}'
                if pair[0] == pair[1]:
                    what = f'ann_a and ann_b are the same person, {pair[0]}'
                name = f'pair {pair_id}'
                raise AnnotationError('unknown annotation', self.ann_file, name, what, _BUILD)
            found.append(
                dict(
                    items[image_id],
                    pair=np.array([ids.index(ann_id) for ann_id in pair]),
                    id=pair_id,
                    pair_id=pair_id,
                    pair_label=label,
                    pair_gap=gap,
                    pair_stand_in=np.array([float(not set(pair) <= heads)]),
                )
            )
        return found


def _person(image: dict, persons: dict[str, np.ndarray], row: int) -> dict:
    """Return one person in MMPose's top-down keys."""
    visible = persons['visible'][row][None]
    return dict(
        img_id=image['img_id'],
        img_path=image['img_path'],
        source=image['source'],
        id=int(persons['id'][row]),
        bbox=persons['bbox'][row][None],
        bbox_score=np.ones(1, dtype=np.float32),
        keypoints=persons['keypoints'][row][None],
        keypoints_visible=visible,
        num_keypoints=int(visible.sum()),
        area=persons['area'][row],
        iscrowd=0,
        category_id=np.array(1),
    )
