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
#: Field of view across the longer side of an image, degrees.
FOV_DEG = (5.0, 150.0)
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


def image_camera(f: np.ndarray, c: np.ndarray, size: np.ndarray) -> Verdict:
    """Judge cameras against the images that they took.

    Args:
        f: (N, 2) focal lengths px. c: (N, 2) principal points px. size: (N, 2) width and height px.

    Returns:
        The cameras whose field of view across the longer side is outside :data:`FOV_DEG`, or whose
        principal point lies outside the image.
    """
    f, c, size = (np.asarray(values, dtype=np.float64).reshape(-1, 2) for values in (f, c, size))
    longer = size.max(axis=1, keepdims=True)
    fov = np.rad2deg(2 * np.arctan(longer / 2 / f))
    narrow, wide = (fov < FOV_DEG[0]).any(axis=1), (fov > FOV_DEG[1]).any(axis=1)
    outside = ((c < -0.5) | (c > size - 0.5)).any(axis=1)
    normalised = wide & (f < 10).all(axis=1) & (np.abs(c) <= 1).all(axis=1)

    def what(i: int) -> str:
        found = f'f {f[i].tolist()} and c {c[i].tolist()} px'
        image = 'an image of {:g} x {:g} px'.format(*size[i])
        if normalised[i]:
            return f'{found} for {image}: normalised by the image size?'
        if wide[i] or narrow[i]:
            angle = fov[i].max() if wide[i] else fov[i].min()
            hint = 'a focal length in mm?' if wide[i] else 'a calibration of another image size?'
            right = f'{FOV_DEG[0]:g} to {FOV_DEG[1]:g} are possible'
            return (
                f'{found} give a field of view of {angle:.3g} degrees in {image}, {right}: {hint}'
            )
        where = 'the principal point lies outside the image'
        return f'{found}, {image}: {where}. A calibration of another image size?'

    return Verdict('implausible camera', narrow | wide | outside, what, fov.max(axis=1))
