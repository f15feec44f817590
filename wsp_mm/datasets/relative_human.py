# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Relative Human: photographs whose persons' depth order people annotated, for tests.

N persons of one image, K = 16 joints (``mcpc16``), coordinates in px of the image.
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
    check_images,
    first_of_folders,
    image_size,
)
from wsp_mm.datasets.pose3d import log_notes
from wsp_mm.datasets.relative_human_annotations import (
    JOINT_SET,
    RelativeHuman,
    read_relative_human,
)
from wsp_mm.datasets.sampling import SampleMeta, SeededItemsMixin
from wsp_mm.structures.bbox import crop_boxes, to_sides
from wsp_mm.structures.camera import FOV_DEG, image_center
from wsp_mm.structures.depth_layers import layer_pairs
from wsp_mm.structures.keypoints import convert_joints, pose_metainfo
from wsp_mm.structures.relative_depth import calibrate, person_scale, scale_gap, scale_lengths

PAIR_JOINT_SET = 'mcpc16'


@DATASETS.register_module()
class RelativeHumanDataset(SeededItemsMixin, BaseCocoStyleDataset):
    """Relative Human, for tests; ``build_mcpc.py --relative-human`` makes training pairs of it.

    ``item='pair'``: one item is a pair of persons of an image whose layers are known, all pairs of
    the file. Keys are those of :class:`~wsp_mm.datasets.mcpc.MCPCDataset`'s test pairs, so that the
    same pipelines and networks run, with these differences: bbox, keypoints and so on are of all
    persons of the image (also those of unknown layer, and without joints), ``ann_ids`` and
    ``img_id`` count persons and images of the file from 0, ``ground_y`` is minus the layer in place
    of a height (nan: unknown): the nearer one has the larger value, and pairs of one layer get
    weight 0. ``pair_layers`` (2,) are the layers of A and B. Every second pair has its persons
    exchanged, since files may list the nearer one first.

    ``item='person'``: one person an item, in the keys of the image-based 3D data sets: img_path,
    img_id, id (number in the file), bbox (1, 4) xyxy px, bbox_score (1,), bbox_extended, layer,
    age, gender, image_size (w, h) px, and the camera camera_f, camera_c (2,) px, which is assumed.

    Args:
        ann_file: the npz of one split, relative to ``data_root`` or absolute.
        item: ``'pair'`` or ``'person'``.
        data_prefix: ``dict(img=...)``, the folder of the images.
        fov_deg: assumed angle of view across the longer side of all images, degrees, for persons:
            the set has no cameras.
        joint_set: of the network that persons are for.
        check_images: at start-up, check that the first image is there.
        **kwargs: MMPose's, except ``bbox_file``, ``data_mode`` and ``sample_interval``.

    Raises:
        AnnotationError: the file is missing or broken, a bad person, absent images, or nothing to
            load. A ValueError that names file, image and person.
        ValueError: an unknown ``item``, an angle of view that no camera has, ``test_mode=False``.
        TypeError: an argument that it has no use for.
    """

    METAINFO: dict = dict(pose_metainfo(PAIR_JOINT_SET), dataset_name='relative_human')

    def __init__(
        self,
        ann_file: str,
        item: str = 'pair',
        data_prefix: Mapping[str, str] | None = None,
        fov_deg: float = 60.0,
        joint_set: str = 'muco21',
        check_images: bool = True,
        test_mode: bool = True,
        **kwargs: Any,
    ) -> None:
        if item not in ('pair', 'person'):
            raise ValueError(f"RelativeHumanDataset: item must be 'pair' or 'person', got {item!r}")
        if not FOV_DEG[0] <= fov_deg <= FOV_DEG[1]:
            raise ValueError(f'RelativeHumanDataset: fov_deg must lie in {FOV_DEG}, got {fov_deg}')
        if not test_mode:
            raise ValueError(
                'RelativeHumanDataset: test_mode must be True; build_mcpc.py makes training data'
            )
        for name in {'bbox_file', 'data_mode', 'sample_interval'} & set(kwargs):
            raise TypeError(f'RelativeHumanDataset takes no {name}')
        self.item, self.fov_deg, self.check_images = item, float(fov_deg), check_images
        if item == 'person':
            metainfo = dict(pose_metainfo(joint_set), dataset_name='relative_human')
            kwargs.setdefault('metainfo', metainfo)
        prefix = dict(data_prefix or dict(img='relative_human/images'))
        super().__init__(ann_file=ann_file, data_prefix=prefix, test_mode=True, **kwargs)
        self._sample_meta = SampleMeta(self._metainfo)

    def get_data_info(self, idx: int) -> dict:
        """Return one item, see the class, with what transforms read of the metainfo."""
        info = super(BaseCocoStyleDataset, self).get_data_info(idx)  # MMPose's copies slowly
        return info | self._sample_meta()

    def load_data_list(self) -> list[dict]:
        """Return all items, see the class."""
        truth = read_relative_human(self.ann_file)
        paths = [osp.join(self.data_prefix['img'], name) for name in truth.file_names]
        if self.check_images:
            check_images(first_of_folders(paths), self.ann_file)
        items = (self._pairs if self.item == 'pair' else self._persons)(truth, paths)
        if not items:
            what = f'no {self.item} that could be a sample, in {len(paths):,} images'
            raise AnnotationError('empty data set', self.ann_file, '', what, 'Check the file')
        return items

    def _pairs(self, truth: RelativeHuman, paths: list[str]) -> list[dict]:
        """Return an item a pair of persons with known layers and boxes."""
        good = (truth.bbox[:, 2:] > truth.bbox[:, :2]).all(axis=1)
        self._note(truth, good)
        lengths = scale_lengths(
            truth.keypoints, truth.visible, truth.bbox[:, 3] - truth.bbox[:, 1], JOINT_SET
        )
        scale, source = person_scale(lengths, calibrate(lengths))
        keypoints, visible = convert_joints(
            truth.keypoints, truth.visible, JOINT_SET, PAIR_JOINT_SET
        )
        ground_y = np.where(truth.layer < 0, np.nan, -truth.layer)
        items: list[dict] = []
        for n, rows in enumerate(truth.rows()):
            rows = rows[good[rows]]
            image = dict(
                img_path=paths[n],
                img_id=n,
                source='relative_human',
                bbox=truth.bbox[rows].astype(np.float32),
                keypoints=keypoints[rows].astype(np.float32),
                keypoints_visible=visible[rows].astype(np.float32),
                ground_y=ground_y[rows],
                scale=scale[rows],
                ann_ids=rows,
                other_ankles=np.zeros((0, 3), dtype=np.float32),
            )
            for pair in layer_pairs(truth.layer[rows]):
                number = len(items)
                pair = pair[::-1] if number % 2 else pair
                a, b = chosen = rows[pair]
                items.append(
                    dict(
                        image,
                        pair=pair,
                        id=number,
                        pair_id=number,
                        pair_label=int(truth.layer[a] <= truth.layer[b]),
                        pair_layers=truth.layer[chosen],
                        pair_gap=scale_gap(scale[a], scale[b]),
                        pair_stand_in=np.array([float((source[chosen] != 'head').any())]),
                    )
                )
        return items

    def _persons(self, truth: RelativeHuman, paths: list[str]) -> list[dict]:
        """Return an item a person whose box has area within the image."""
        try:
            sizes = np.array([image_size(path) for path in paths])
        except OSError as error:
            what = f'the camera needs the size of every image ({error})'
            remedy = f'Set data_root or data_prefix to the folder of the images. {DATA_REMEDY}'
            raise AnnotationError('missing images', self.ann_file, '', what, remedy) from None
        size = sizes[truth.image]
        good = np.isfinite(crop_boxes(to_sides(truth.bbox), size)).all(axis=1)
        self._note(truth, good)
        items = []
        for row in np.flatnonzero(good).tolist():
            width, height = size[row].tolist()
            f = max(width, height) / 2 / np.tan(np.radians(self.fov_deg) / 2)
            items.append(
                dict(
                    img_path=paths[truth.image[row]],
                    img_id=int(truth.image[row]),
                    id=row,
                    bbox=truth.bbox[row][None].astype(np.float32),
                    bbox_score=np.ones(1, dtype=np.float32),
                    bbox_extended=False,
                    layer=int(truth.layer[row]),
                    age=int(truth.age[row]),
                    gender=int(truth.gender[row]),
                    image_size=(width, height),
                    camera_f=np.full(2, f),
                    camera_c=np.array(image_center(width, height)),
                )
            )
        return items

    def _note(self, truth: RelativeHuman, good: np.ndarray) -> None:
        if not good.all():
            first = truth.name(int(np.argmin(good)))
            what = f'left out {(~good).sum():,} persons whose box has no area, such as {first}'
            log_notes(self, [f'{self.ann_file}: {what}; their pairs are not scored'])
