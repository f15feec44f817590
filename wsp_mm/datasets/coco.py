# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""COCO's persons with their boxes as annotated."""

import os.path as osp
from typing import Any

import numpy as np
from mmpose.datasets import CocoDataset
from mmpose.registry import DATASETS

from wsp_mm.datasets.annotations import check_images, first_of_folders
from wsp_mm.datasets.pose3d import log_notes
from wsp_mm.structures.bbox import crop_box, to_corners, to_sides


@DATASETS.register_module()
class CocoPersonDataset(CocoDataset):
    """MMPose's ``CocoDataset`` for pipelines with ``PersonCenterScale``, which clips boxes itself.

    ``bbox`` (1, 4) xyxy px is as annotated: MMPose's is clipped already, and by another rule than
    PoseNet's, so that persons at the right and lower edges would get smaller crops. Persons whose
    box has no area within the image (PoseNet's rule: at most 1 px) are left out, counted and
    reported. ``image_size`` (w, h) px is what the transform compares with the image. File names may
    repeat the folder of ``data_prefix`` (``train2017/``).

    Args:
        check_images: at start-up, check that the first image of each folder is there and has the
            annotated size.
        **kwargs: MMPose's.

    Raises:
        AnnotationError: (``check_images``) it is absent, or of another size.
    """

    def __init__(self, *args: Any, check_images: bool = True, **kwargs: Any) -> None:
        self.check_images = check_images
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Return one item for each person."""
        self._without_area = 0
        items = super().load_data_list()
        if self._without_area:
            what = f'left out {self._without_area:,} persons whose box has no area within the image'
            log_notes(self, [f'{self.ann_file}: {what} (of at most 1 px after clipping)'])
        sizes = {item['img_path']: item['image_size'] for item in items}
        if self.check_images:
            check_images(first_of_folders(sizes), self.ann_file, sizes)
        return items

    def parse_data_info(self, raw_data_info: dict) -> dict | None:
        """Return an item; None for a person without keypoints or box."""
        info = super().parse_data_info(raw_data_info)
        if info is None:
            return None
        image, box = raw_data_info['raw_img_info'], raw_data_info['raw_ann_info']['bbox']
        info['image_size'] = image['width'], image['height']
        folder = self.data_prefix['img'].rstrip('/')
        name = image['file_name'].removeprefix(osp.basename(folder) + '/')
        info['img_path'] = osp.join(folder, name)
        info['bbox'] = to_corners(np.array(box, dtype=np.float64))[None].astype(np.float32)
        if not info['iscrowd'] and info['num_keypoints']:
            # As the transform sees the box, in single precision.
            seen = to_sides(info['bbox'][0].astype(np.float64))
            if crop_box(seen, info['image_size']) is None:
                self._without_area += 1
                return None
        return info
