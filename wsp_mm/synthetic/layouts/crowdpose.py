# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""CrowdPose: ``annotations/mmpose_crowdpose_{train,val,trainval,test}.json`` as MMPose hands them
out.
"""

from __future__ import annotations

import numpy as np

from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.synthetic.layouts.base import SourceWriter, numbered
from wsp_mm.synthetic.layouts.labelling import Habits, flat_keypoints, is_seen
from wsp_mm.synthetic.record import Scene

_JOINTS = get_joint_set('crowdpose14')

CATEGORY = {
    'supercategory': 'person',
    'id': 1,
    'name': 'person',
    # The file calls the top of the head 'head'.
    'keypoints': ['head' if joint == 'top_head' else joint for joint in _JOINTS.joints],
    'skeleton': [[i + 1, j + 1] for i, j in _JOINTS.link_indices],
}


class CrowdPoseWriter(SourceWriter):
    """Fourteen joints, no area and no outline, a crowd index for every picture."""

    source = 'crowdpose'
    joint_set = 'crowdpose14'
    habits = Habits(guesses=0.85, step=1.0, min_area=16 * 16, min_share=0.2)

    def __init__(self, keep_truth: bool = True) -> None:
        super().__init__(keep_truth)
        self._images: dict[str, list[dict]] = {'train': [], 'val': [], 'test': []}
        self._annotations: dict[str, list[dict]] = {'train': [], 'val': [], 'test': []}
        self._next_id = 120_001

    def annotate(self, scene: Scene, xy: np.ndarray, v: np.ndarray) -> None:
        image_id = numbered(scene.file_name)
        rows = [row for row, person in enumerate(scene.persons) if is_seen(person)]
        ids = list(range(self._next_id, self._next_id + len(rows)))
        self._next_id += len(rows)
        boxes = np.array([scene.persons[row].bbox for row in rows]).reshape(-1, 4)
        for row, annotation_id in zip(rows, ids, strict=True):
            self._annotations[scene.split].append(
                {
                    'num_keypoints': int((v[row] > 0).sum()),
                    'iscrowd': 0,
                    'keypoints': flat_keypoints(xy[row], v[row]),
                    'image_id': image_id,
                    'bbox': [round(c, 2) for c in scene.persons[row].bbox.tolist()],
                    'category_id': 1,
                    'id': annotation_id,
                }
            )
        self._images[scene.split].append(
            {
                'file_name': scene.file_name.rpartition('/')[2],
                'id': image_id,
                'height': scene.height,
                'width': scene.width,
                'crowdIndex': round(crowd_index(boxes, xy[rows], v[rows]), 2),
            }
        )
        self.record(scene, rows, ids, image_id, xy, v)

    def files(self) -> dict[str, object]:
        parts = {'train': ['train'], 'val': ['val'], 'trainval': ['train', 'val'], 'test': ['test']}
        return {
            f'annotations/mmpose_crowdpose_{name}.json': {
                'categories': [CATEGORY],
                'images': [image for split in splits for image in self._images[split]],
                'annotations': [a for split in splits for a in self._annotations[split]],
            }
            for name, splits in parts.items()
        }


def crowd_index(boxes: np.ndarray, xy: np.ndarray, v: np.ndarray) -> float:
    """How much persons stand in one another's boxes (Li et al. 2019, Eq. 1): 0 for nobody, at most
    1.

    The mean over persons of (labelled joints of others within the person's box) / (own labelled
    joints within it).

    Args:
        boxes: (N, 4) x, y, w, h px. xy: (N, K, 2) px. v: (N, K).
    """
    shares = []
    for row, (x, y, w, h) in enumerate(boxes):
        inside = (v > 0) & (np.abs(xy - (x + w / 2, y + h / 2)) <= (w / 2, h / 2)).all(axis=-1)
        own = inside[row].sum()
        if own:
            shares.append((inside.sum() - own) / own)
    return float(min(1.0, np.mean(shares))) if shares else 0.0
