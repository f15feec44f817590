# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Plausibility of annotations: values that are well-formed and wrong.

Each function looks at arrays of N records and returns a :class:`Verdict`, which
:meth:`wsp_mm.datasets.annotations.Findings.judge` acts on. Children, seats, truncated limbs and
cameras from above are good data: the bounds are wide, and a single record never ends a run.
"""

import numpy as np

from wsp_mm.datasets.annotations import Verdict
from wsp_mm.structures.keypoints import get_joint_set

#: What the longest thigh, shank or upper arm of a person measures, from infants on, mm. The upper
#: bound is for joints that lie astray and for other units.
LIMB_MM = (70.0, 2000.0)
#: Distance of a person from the camera, mm.
DEPTH_MM = (200.0, 1e5)
#: No pose, error or depth is larger, mm: 1 km.
LARGEST_MM = 1e6
#: Least focal length / width of the image: a field of view of 153 degrees.
LEAST_FOCAL = 0.12
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
        The persons whose longest limb is outside :data:`LIMB_MM`. Persons without a whole limb, or
        with all joints in one point, are good: nothing tells their unit.
    """
    joints = get_joint_set(joint_set)
    pairs = [
        (joints.index(f'{side}_{a}'), joints.index(f'{side}_{b}'))
        for side in ('left', 'right')
        for a, b in _LIMBS
    ]
    start, end = np.array(pairs).T
    keypoints = np.asarray(keypoints)
    lengths = np.linalg.norm(keypoints[:, start] - keypoints[:, end], axis=-1).astype(np.float64)
    longest = np.where(np.isnan(lengths), 0, lengths).max(axis=1, initial=0)
    low, high = LIMB_MM
    bad = (longest > 0) & ((longest < low) | (longest > high))

    def what(i: int) -> str:
        hint = 'metres?' if longest[i] < low / 50 else 'centimetres?' if longest[i] < low else ''
        found = f'its longest limb measures {longest[i]:.3g} mm, people have {low:g} to {high:g}'
        return f'{found} ({hint or "another unit?"})'

    badness = np.abs(np.log(np.maximum(longest, 1e-9) / np.sqrt(low * high)))
    return Verdict('implausible distance or body size', bad, what, badness)


def root_depth(depths: np.ndarray) -> Verdict:
    """Judge the depths of roots in the camera's frame.

    Args:
        depths: (N,) mm.

    Returns:
        The persons nearer or farther than :data:`DEPTH_MM`. Those behind the camera are left to
        the reader: they are impossible.
    """
    depths = np.asarray(depths, dtype=np.float64)
    low, high = DEPTH_MM
    bad = (depths > -0.1) & ((depths < low) | (depths > high))

    def what(i: int) -> str:
        hints = ((0.1, 'root-relative?'), (50, 'metres?'), (low, 'centimetres?'))
        hint = next((hint for limit, hint in hints if depths[i] < limit), 'another unit?')
        return f'its root has a depth of {depths[i]:.3g} mm, not {low:g} to {high:g} ({hint})'

    return Verdict(
        'implausible distance or body size',
        bad,
        what,
        np.abs(np.log(np.maximum(depths, 1e-9) / 4000)),
    )


def either(first: Verdict, second: Verdict) -> Verdict:
    """Join two verdicts over the same records; a record that is bad by both counts once."""
    return Verdict(
        first.kind, first.bad | second.bad,
        lambda i: (first if first.bad[i] else second).what(i),
        np.where(first.bad, first.badness, second.badness),
    )  # fmt: skip


def camera_poses(keypoints: np.ndarray, joint_set: str) -> Verdict:
    """Judge depth and body size of poses (N, K, 3), camera mm."""
    root = get_joint_set(joint_set).index('pelvis')
    return either(root_depth(keypoints[:, root, 2]), body_size(keypoints, joint_set))


def box_depth(boxes: np.ndarray, depths: np.ndarray) -> Verdict:
    """Judge predicted depths of roots against the boxes of their persons.

    A box that is square and padded shows some 2 m (``structures.bbox.AREA_MM2``), so its side and
    the depth imply a focal length. The median box is taken to be in the middle of its image.

    Args:
        boxes: (N, 4) x, y, w, h px. depths: (N,) mm.

    Returns:
        The persons whose depth :func:`root_depth` finds implausible, or implies a focal length
        below :data:`LEAST_FOCAL` widths.
    """
    focal = depths * np.sqrt(boxes[:, 2:].prod(axis=1)) / 2000
    width = 2 * np.median(boxes[:, 0] + boxes[:, 2] / 2) if len(boxes) else 0.0

    def what(i: int) -> str:
        box = f'its box of {boxes[i, 2]:.3g} x {boxes[i, 3]:.3g} px'
        found = f'its root has a depth of {depths[i]:.3g} mm, with which {box} implies'
        return f'{found} a focal length of {focal[i]:.3g} px (centimetres?)'

    return either(root_depth(depths), Verdict('', focal < LEAST_FOCAL * width, what))


def beyond(values: np.ndarray) -> Verdict:
    """Judge the size of numbers: values (N, ...) beyond :data:`LARGEST_MM` are impossible.

    They would overflow, and a singular value decomposition of infinity takes minutes.
    """
    largest = np.fmax.reduce(np.abs(values), axis=tuple(range(1, np.ndim(values))), initial=0)
    return Verdict(
        'impossible value', largest > LARGEST_MM,
        lambda i: f'it holds a value of {largest[i]:.3g}, poses stay within {LARGEST_MM:g} mm',
        largest, share=0,
    )  # fmt: skip
