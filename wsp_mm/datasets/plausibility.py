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

#: What the longest thigh, shank or upper arm of a person measures, from infants on, mm. The upper
#: bound is for joints that lie astray and for other units.
LIMB_MM = (70.0, 2000.0)
#: Distance of a person from the camera, mm.
DEPTH_MM = (200.0, 1e5)
#: No pose, error or depth is larger, mm: 1 km.
LARGEST_MM = 1e6
#: Least focal length / width of the image: a field of view of 153 degrees.
LEAST_FOCAL = 0.12
#: Right or lower edge of a box that leaves the image, and of one that leaves it by far (image = 1).
_LEAVES, _FAR = 1.05, 1.2
_LIMBS = (('hip', 'knee'), ('knee', 'ankle'), ('shoulder', 'elbow'))


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
    limbs = [[f'{side}_{name}' for name in limb] for side in ('left', 'right') for limb in _LIMBS]
    start, end = np.array([[joints.index(name) for name in limb] for limb in limbs]).T
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

    badness = np.abs(np.log(np.maximum(depths, 1e-9) / 4000))
    return Verdict('implausible distance or body size', bad, what, badness)


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


def normalised_joints(keypoints: np.ndarray, visible: np.ndarray) -> Verdict:
    """Judge whether joints are shares of the image instead of px.

    Args:
        keypoints: (N, K, 2) px. visible: (N, K), positive where a joint is labelled.

    Returns:
        The persons of two labelled joints or more, all of them between 0 and 1.
    """
    labelled = np.asarray(visible) > 0
    within = ((keypoints >= 0) & (keypoints <= 1)).all(axis=-1) | ~labelled
    several = labelled.sum(axis=1) > 1
    at_origin = ((keypoints == 0).all(axis=-1) | ~labelled).all(axis=1)

    def what(i: int) -> str:
        first = np.round(keypoints[i][labelled[i]][0], 3).tolist()
        return f'all its joints lie between 0 and 1, such as {first}: normalised? They must be px'

    return Verdict('joints within one pixel', within.all(axis=1) & several & ~at_origin, what)


def misplaced_joints(
    points: np.ndarray, boxes: np.ndarray, extent: np.ndarray, size: np.ndarray
) -> Verdict:
    """Judge labelled joints by their person's box and their image.

    Truncated persons and narrow boxes are good data: a joint may lie outside by as much as its
    person measures.

    Args:
        points: (N, 2) px. boxes: (N, 4) x, y, w, h px of the person, nan where there is none.
        extent: (N,) px, the longer side of the person.
        size: (N, 2) width and height px of the image, inf where not known.

    Returns:
        The joints at (0, 0) or (-1, -1), where programs put joints that are not there, and those
        farther outside the box or the image than ``extent``.
    """
    at_origin = (points == 0).all(axis=1) | (points == -1).all(axis=1)
    edges = (boxes[:, :2], boxes[:, :2] + boxes[:, 2:]), (np.zeros(2), size)
    box, image = (np.maximum(low - points, points - high).max(axis=1) for low, high in edges)
    far_box, far_image = np.nan_to_num(box, nan=-np.inf) > extent, image > extent

    def what(i: int) -> str:
        found = f'a joint is labelled at {points[i].round(1).tolist()} px'
        if far_image[i]:
            return f'{found}, {image[i]:,.0f} px outside the image'
        return f'{found}, {box[i]:,.0f} px outside its box' if far_box[i] else found

    distance = np.maximum(np.nan_to_num(box), image)
    return Verdict('misplaced joint', at_origin | far_box | far_image, what, distance)


def upside_down(keypoints: np.ndarray, visible: np.ndarray, joint_set: str) -> tuple[int, int]:
    """Count persons whose head, hips and ankles do not follow each other downwards.

    Where most of a file's persons are like that, its joints are in another order.

    Args:
        keypoints: (N, K, 2) px. visible: (N, K). joint_set: name of the order that is assumed.

    Returns:
        Their number, and the number of persons with such joints.
    """
    joints = get_joint_set(joint_set)
    head = 'nose' if 'nose' in joints.concepts else 'upper_neck'
    columns = [joints.index(name) for name in (head, 'left_hip', 'left_ankle')]
    known = (np.asarray(visible)[:, columns] > 0).all(axis=1)
    heights = keypoints[known][:, columns, 1]
    return int((np.diff(heights, axis=1) <= 0).any(axis=1).sum()), len(heights)


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
