# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Plausibility of annotations: values that are well-formed and wrong.

Each function looks at arrays of N records and returns a :class:`Verdict`, which
:meth:`wsp_mm.datasets.annotations.Findings.judge` acts on. Children, seats, truncated limbs and
cameras from above are good data: the bounds are wide, and a single record never ends a run.
"""

import numpy as np

from wsp_mm.datasets.annotations import Verdict
from wsp_mm.structures.keypoints import get_joint_set

#: What the long limbs of a person measure, from toddlers to the tallest, mm.
LIMB_MM = (80.0, 800.0)
#: Distance of a person from the camera, mm.
DEPTH_MM = (200.0, 1e5)
#: No pose, error or depth is larger, mm: 1 km.
LARGEST_MM = 1e6
#: Right or lower edge of a box that leaves the image, and of one that leaves it by far (image = 1).
_LEAVES, _FAR = 1.05, 1.2
_LIMBS = (
    ('hip', 'knee'),
    ('knee', 'ankle'),
    ('shoulder', 'elbow'),
)


def body_size(keypoints: np.ndarray, joint_set: str) -> Verdict:
    """Judge the longest of thighs, shanks and upper arms of each person.

    Args:
        keypoints: (N, K, 3) mm, of any origin; nan for unknown joints.
        joint_set: name of their order.

    Returns:
        The persons whose longest limb is outside :data:`LIMB_MM`. Persons without a whole limb are
        good.
    """
    joints = get_joint_set(joint_set)
    pairs = [
        (joints.index(f'{side}_{a}'), joints.index(f'{side}_{b}'))
        for side in ('left', 'right')
        for a, b in _LIMBS
    ]
    start, end = np.array(pairs).T
    keypoints = np.asarray(keypoints, dtype=np.float64)
    lengths = np.linalg.norm(keypoints[:, start] - keypoints[:, end], axis=-1)
    longest = np.where(np.isnan(lengths), -np.inf, lengths).max(axis=1, initial=-np.inf)
    low, high = LIMB_MM
    bad = np.isfinite(longest) & ((longest < low) | (longest > high))

    def what(i: int) -> str:
        hint = 'metres?' if longest[i] < low / 50 else 'centimetres?' if longest[i] < low else ''
        found = f'its longest limb measures {longest[i]:.3g} mm, people have {low:g} to {high:g}'
        return f'{found} ({hint or "another unit?"})'

    with np.errstate(divide='ignore'):
        badness = np.abs(np.log(np.maximum(longest, 1e-9) / np.sqrt(low * high)))
    return Verdict('implausible body size', bad, what, badness)


def normalized_boxes(boxes: np.ndarray) -> Verdict:
    """Judge boxes in shares of the image where px are meant.

    Args:
        boxes: (N, 4) x, y, w, h.

    Returns:
        The boxes without a value above 1.
    """
    boxes = np.reshape(boxes, (-1, 4))
    bad = (np.abs(boxes) <= 1).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1)
    what = 'the box {} has no value above 1: boxes are px, this is normalised'.format
    return Verdict('normalised box', bad, lambda i: what(boxes[i].tolist()))


def corner_boxes(boxes: np.ndarray, sizes: np.ndarray) -> Verdict:
    """Judge boxes x1, y1, x2, y2 where x, y, w, h are meant.

    Truncated persons and close-ups are good. So the file as a whole is judged: as x1, y1, x2, y2
    95 % of its boxes lie in the image, and as x, y, w, h a third leaves it, one of them by far.

    Args:
        boxes: (N, 4) raw px. sizes: (N, 2) width and height px of their images.

    Returns:
        The boxes that leave the image, or none. One is enough to refuse the file.
    """
    boxes, sizes = np.reshape(boxes, (-1, 4)), np.reshape(sizes, (-1, 2))
    start, end = boxes[:, :2] / sizes, boxes[:, 2:] / sizes
    fits = ((start > -0.05) & (end > start) & (end < 1.05)).all(axis=1)
    reach = (start + end).max(axis=1, initial=0)
    bad = reach > _LEAVES
    bad &= bad.sum() > len(bad) / 3 and reach.max() > _FAR and fits.mean() >= 0.95
    what = 'as x, y, w, h the box {} leaves its image of {} px, as x1, y1, x2, y2 it fits'.format
    words = [what(*pair) for pair in zip(boxes.tolist(), sizes.tolist(), strict=True)]
    return Verdict('box of another convention', bad, words.__getitem__, reach, share=0)
