# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Plausibility of annotations: values that are well-formed and wrong.

Each function looks at arrays of N records and returns a :class:`Verdict`, which
:meth:`wsp_mm.datasets.annotations.Findings.judge` acts on. Children, seats, truncated limbs and
cameras from above are good data: the bounds are wide, and a single record never ends a run.
"""

import numpy as np

from wsp_mm.datasets.annotations import Verdict
from wsp_mm.structures.camera import FOV_DEG
from wsp_mm.structures.keypoints import get_joint_set

#: What the long limbs of a person measure, from toddlers to the tallest, mm.
LIMB_MM = (80.0, 800.0)
#: Distance of a person from the camera, mm.
DEPTH_MM = (200.0, 1e5)
#: No pose, error or depth is larger, mm: 1 km.
LARGEST_MM = 1e6
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


def camera_view(f: np.ndarray, c: np.ndarray, size: np.ndarray) -> Verdict:
    """Judge whether cameras can have taken their images.

    Args:
        f, c: (N, 2) px. size: (N, 2) width and height px.

    Returns:
        The cameras whose angle of view across the longer side of the image is outside
        :data:`~wsp_mm.structures.camera.FOV_DEG`, or whose principal point is not in the image.
    """
    f, c, size = (np.asarray(values, dtype=np.float64) for values in (f, c, size))
    fov = np.degrees(2 * np.arctan(size.max(axis=1, keepdims=True) / 2 / f))
    low, high = FOV_DEG
    wide, narrow = (fov > high).any(axis=1), (fov < low).any(axis=1)
    outside = ((c < -0.5) | (c > size - 0.5)).any(axis=1)
    relative = (np.abs(c) <= 1).all(axis=1) & (size.min(axis=1) > 10)

    def what(i: int) -> str:
        image = 'the image of {:g} x {:g} px'.format(*size[i])
        if relative[i]:
            at = f'the principal point {c[i].tolist()} px is in the corner of {image}'
            return f'{at} (divided by the image size, or relative to its centre?)'
        if outside[i]:
            at = f'the principal point {c[i].tolist()} px is outside {image}'
            return f'{at} (a calibration of another image size, or before cropping?)'
        angle = fov[i].max() if wide[i] else fov[i].min()
        seen = f'f = {f[i].tolist()} px sees {angle:.3g} degrees in {image}'
        hint = 'mm, or divided by the image size?' if wide[i] else 'of a larger image?'
        return f'{seen}, cameras {low:g} to {high:g} ({hint})'

    bad = wide | narrow | outside | relative
    return Verdict('implausible camera', bad, what, np.abs(np.log(f[:, 0] / size.max(axis=1))))
