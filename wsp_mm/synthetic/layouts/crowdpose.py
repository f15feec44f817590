# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""CrowdPose: ``annotations/mmpose_crowdpose_{train,val,trainval,test}.json`` as MMPose hands them
out.

Fourteen joints, no area and no outline, a crowd index for every image.
"""

import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from wsp_mm.structures.keypoints import get_joint_set

from ..ground_truth import SceneGT
from .labelling import (
    AnnotationWriter,
    LabelSettings,
    coco_annotation,
    coco_category,
    label_scenes,
)

SETTINGS = LabelSettings('crowdpose14', guesses=0.85, min_area=16 * 16, min_share=0.2)
# The file calls the top of the head 'head'.
_NAMES = ['head' if j == 'top_head' else j for j in get_joint_set('crowdpose14').joints]
_FILES = {'train': ['train'], 'val': ['val'], 'trainval': ['train', 'val'], 'test': ['test']}


def write(writer: AnnotationWriter, scenes: Iterable[SceneGT]) -> None:
    """Write the annotation files in ``crowdpose``."""
    images: dict[str, list[dict]] = {'train': [], 'val': [], 'test': []}
    annotations: dict[str, list[dict]] = {'train': [], 'val': [], 'test': []}
    numbers = itertools.count(120_001)
    for scene, xy, v, rows in label_scenes(scenes, SETTINGS):
        request = scene.request
        name = Path(request.path)
        image_id = int(name.stem)
        ids = list(itertools.islice(numbers, len(rows)))
        boxes = np.reshape([scene.persons[row].bbox for row in rows], (-1, 4))
        for row, annotation_id, box in zip(rows, ids, np.round(boxes, 2).tolist(), strict=True):
            annotation = coco_annotation(xy[row], v[row], annotation_id, image_id, box)
            annotations[request.split].append(annotation)
        images[request.split].append(
            dict(
                file_name=name.name, id=image_id, height=request.height, width=request.width,
                crowdIndex=round(crowd_index(boxes, xy[rows], v[rows]), 2),
            )
        )  # fmt: skip
        writer.add_ground_truth(scene, rows, ids, image_id, xy, v, SETTINGS.joint_set)
    categories = [coco_category('crowdpose14', keypoints=_NAMES)]
    for file, splits in _FILES.items():
        content = dict(
            categories=categories,
            images=[image for split in splits for image in images[split]],
            annotations=[a for split in splits for a in annotations[split]],
        )
        writer.json(f'crowdpose/annotations/mmpose_crowdpose_{file}.json', content)


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
