# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The joints of a source against its boxes and images. N persons, K joints."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wsp_mm.datasets.annotations import Findings
from wsp_mm.datasets.plausibility import misplaced_joints, normalised_joints
from wsp_mm.structures.relative_depth import MIN_LENGTH_PX

#: A box made from joints is their extent times this (head and feet reach beyond the joints).
JOINTS_TO_BOX = 1.2


def joint_boxes(keypoints: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Return the extent of the labelled joints x 1.2 about its centre.

    Args:
        keypoints: (N, K, 2) px. visible: (N, K), at least one positive a person.

    Returns:
        (N, 4) x, y, w, h px, not clipped; w or h is 0 where the joints have no extent.
    """
    labelled = (np.asarray(visible) > 0)[..., None]
    low = np.where(labelled, keypoints, np.inf).min(axis=1)
    high = np.where(labelled, keypoints, -np.inf).max(axis=1)
    with np.errstate(invalid='ignore'):
        size = (high - low) * JOINTS_TO_BOX
        return np.concatenate([(low + high - size) / 2, size], axis=-1)


def unlabel_misplaced(
    persons: Mapping[str, np.ndarray], images: Sequence[Any], findings: Findings
) -> np.ndarray:
    """Make labelled joints that cannot be where they are unlabelled, and count them.

    Args:
        persons: columns of :class:`~wsp_mm.datasets.converters.mcpc.sources.PersonTable`: keypoints
            (N, K, 2) px, visible (N, K), which is changed, bbox, nan where the source has none.
        images: of the table. The persons are of one file.
        findings: gets the counts.

    Returns:
        (N,) bool, the persons with such a joint.

    Raises:
        AnnotationError: most joints are like that, and bad records are not skipped.
    """
    keypoints, visible, bbox = (persons[name] for name in ('keypoints', 'visible', 'bbox'))
    images = [images[i] for i in persons['image'].tolist()]
    file = images[0].file if images else ''

    def name(i: int) -> str:
        return f'person {persons["id"][i]} on {images[i].file_name}'

    shares = normalised_joints(keypoints, visible)
    visible[~findings.judge(shares, file, name)] = 0
    size = np.reshape([image.size for image in images], (-1, 2))
    # A box beside the image or without area says nothing of the joints; that is said elsewhere.
    within = np.minimum(bbox[:, :2] + bbox[:, 2:], size) - np.maximum(bbox[:, :2], 0)
    bbox = np.where((within < MIN_LENGTH_PX).any(axis=1)[:, None], np.nan, bbox)
    extent = bbox[:, 2:].max(axis=1)
    bare = np.flatnonzero(np.isnan(extent))
    inside = ((keypoints[bare] >= 0) & (keypoints[bare] <= size[bare, None])).all(axis=-1)
    boxes = joint_boxes(keypoints[bare], inside & (visible[bare] > 0))
    extent[bare] = boxes[:, 2:].max(axis=1) / JOINTS_TO_BOX
    person, joint = np.nonzero(visible)
    verdict = misplaced_joints(keypoints[person, joint], bbox[person], extent[person], size[person])
    bad = ~findings.judge(verdict, file, lambda i: name(person[i]))
    visible[person[bad], joint[bad]] = 0
    return shares.bad | np.isin(np.arange(len(visible)), person[bad])
