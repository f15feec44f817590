# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The perspective rule: which person is nearer (paper, Eq. 1-4, 7), and their scales (Eq. 13, 14).

Image y points down, so the lower foot has the larger y. N persons, K joints.

The scale S of a person is the distance from the top to the bottom of the head in px (Eq. 13). COCO
labels neither, and no source labels every head, so S falls back to other lengths of the same body,
each times a factor that converts it into a head length. The factors are medians over the persons
who have both lengths (:func:`calibrate`).
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from wsp_mm.structures.keypoints import convert_joints, get_joint_set

#: Sources of a person's scale, best first. ``head`` is Eq. 13 itself.
SCALE_SOURCES = ('head', 'face', 'torso', 'bbox')

#: Head length / substitute for an upright adult of 1.75 m: head 0.24 m (vertex to upper neck), nose
#: to the middle of the shoulders 0.22 m, middle of the shoulders to middle of the hips 0.50 m. Used
#: where there are too few persons to calibrate on.
DEFAULT_FACTORS = {'face': 0.24 / 0.22, 'torso': 0.24 / 0.50, 'bbox': 0.24 / 1.75}

#: Shorter lengths are not used: most data sets label whole pixels.
MIN_LENGTH_PX = 1.0


def ground_y(
    keypoints: np.ndarray, visible: np.ndarray, ankles: Sequence[int], reduce: str = 'lowest'
) -> float:
    """Return the height in the image at which a person touches the ground.

    Args:
        keypoints: (K, 2) px.
        visible: (K,), positive where the joint is labelled.
        ankles: indices of the ankle joints.
        reduce: ``'lowest'`` takes the labelled ankle that is lowest in the image (the foot on the
            ground), ``'mean'`` the mean of the labelled ankles.

    Returns:
        y in px, or nan where no ankle is labelled.

    Raises:
        ValueError: unknown ``reduce``, or a labelled ankle without a finite coordinate.
    """
    if reduce not in ('lowest', 'mean'):
        raise ValueError(f"reduce must be 'lowest' or 'mean', got {reduce!r}")
    ankles = np.asarray(ankles, dtype=int)
    labelled = ankles[np.asarray(visible)[ankles] > 0]
    if labelled.size == 0:
        return math.nan
    y = np.asarray(keypoints, dtype=np.float64)[labelled, 1]
    if not np.isfinite(y).all():
        raise ValueError('a labelled ankle has a coordinate that is not finite')
    return float(y.max() if reduce == 'lowest' else y.mean())


def relative_depth_label(ground_y_a: float, ground_y_b: float) -> int:
    """Return 1 where A is nearer, else 0 (Eq. 7; equal heights give 1 by the paper's <=).

    Raises:
        ValueError: a height is not finite.
    """
    if not (math.isfinite(ground_y_a) and math.isfinite(ground_y_b)):
        raise ValueError(f'ground heights must be finite, got {ground_y_a} and {ground_y_b}')
    return int(ground_y_a >= ground_y_b)


def valid_pairs(
    ground_y: np.ndarray, min_gap_px: float = 0.0, visible: np.ndarray | None = None
) -> np.ndarray:
    """Tell which pairs of persons have a label, and a joint to compare.

    Args:
        ground_y: (N,) px. The heights of a pair must differ, and by at least ``min_gap_px``.
        min_gap_px: smallest difference, px.
        visible: (N, K), positive where labelled. A pair needs a joint that is labelled in both
            persons. None: all joints are labelled.

    Returns:
        (N, N) bool, symmetric, False on the diagonal.
    """
    y = np.asarray(ground_y, dtype=np.float64)
    gap = np.abs(y[:, None] - y)
    valid = (gap > 0) & (gap >= min_gap_px)
    if visible is not None:
        labelled = (np.asarray(visible) > 0).astype(np.int64)
        valid &= labelled @ labelled.T > 0
    return valid


def scale_gap(scale_a: float, scale_b: float) -> float:
    """Return the normalised scale gap of two persons, in [0, 1) (Eq. 14).

    Raises:
        ValueError: a scale is not positive and finite.
    """
    for scale in (scale_a, scale_b):
        if not (math.isfinite(scale) and scale > 0):
            raise ValueError(f'scales must be positive and finite, got {scale_a} and {scale_b}')
    return abs(scale_a - scale_b) / max(scale_a, scale_b)


def scale_lengths(
    keypoints: np.ndarray, visible: np.ndarray, bbox_height: np.ndarray, joint_set: str
) -> dict[str, np.ndarray]:
    """Measure the lengths from which a scale is computed.

    - ``head``: top of the head to upper neck (Eq. 13);
    - ``face``: nose (where it is not labelled, mean of the labelled ears) to thorax;
    - ``torso``: thorax to pelvis;
    - ``bbox``: height of the box.

    Args:
        keypoints: (N, K, 2) px, in the order of ``joint_set``.
        visible: (N, K), positive where labelled.
        bbox_height: (N,) px.
        joint_set: name in :data:`wsp_mm.structures.keypoints.JOINT_SETS`. Thorax and pelvis are the
            midpoints of shoulders and hips in every set, labelled or not, so that one factor is
            valid for all sets.

    Returns:
        name in :data:`SCALE_SOURCES` -> (N,) px, nan where it cannot be measured.
    """
    visible = np.asarray(visible) > 0
    keypoints = np.where(visible[..., None], np.asarray(keypoints, dtype=np.float64), np.nan)
    concepts = get_joint_set(joint_set).concepts
    # 'coco17' has every joint but the ends of the head, and its thorax and pelvis are midpoints.
    limbs = convert_joints(np.nan_to_num(keypoints), visible, joint_set, 'coco17')
    middle, middle_visible = convert_joints(*limbs, 'coco17', 'mpii16')
    middle = np.where(middle_visible[..., None], middle, np.nan)

    def point(concept: str) -> np.ndarray:
        """(N, 2) px, nan where not labelled."""
        if concept in concepts:
            return keypoints[:, concepts.index(concept)]
        return np.full((len(keypoints), 2), np.nan)

    def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        length = np.linalg.norm(a - b, axis=-1)
        return np.where(length >= MIN_LENGTH_PX, length, np.nan)

    ears = np.ma.masked_invalid(np.stack([point('left_ear'), point('right_ear')]))
    nose = point('nose')
    face = np.where(np.isnan(nose), ears.mean(axis=0).filled(np.nan), nose)
    thorax, pelvis = (middle[:, get_joint_set('mpii16').index(c)] for c in ('thorax', 'pelvis'))
    height = np.asarray(bbox_height, dtype=np.float64)
    return {
        'head': distance(point('head_top'), point('upper_neck')),
        'face': distance(face, thorax),
        'torso': distance(thorax, pelvis),
        'bbox': np.where(np.isfinite(height) & (height >= MIN_LENGTH_PX), height, np.nan),
    }


def calibrate(lengths: Mapping[str, np.ndarray], min_persons: int = 20) -> dict:
    """Compute the median of head length / substitute over the persons who have both.

    Args:
        lengths: as :func:`scale_lengths` returns them.
        min_persons: with fewer persons, take the constant of :data:`DEFAULT_FACTORS`.

    Returns:
        The factors ``face``, ``torso`` and ``bbox``, and ``persons``: for each factor the number of
        persons that it was calibrated on, 0 where it is the constant.
    """
    factors, persons = {}, {}
    for name, default in DEFAULT_FACTORS.items():
        ratio = np.asarray(lengths['head']) / np.asarray(lengths[name])
        ratio = ratio[np.isfinite(ratio)]
        enough = ratio.size >= max(min_persons, 1)
        factors[name] = float(np.median(ratio)) if enough else default
        persons[name] = int(ratio.size) if enough else 0
    return dict(factors, persons=persons)


def person_scale(
    lengths: Mapping[str, np.ndarray], factors: Mapping[str, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the scale of every person from the best length that it has.

    Args:
        lengths: as :func:`scale_lengths` returns them.
        factors: as :func:`calibrate` returns them.

    Returns:
        scale (N,) px and its source (N,), a name in :data:`SCALE_SOURCES`; nan and ``''`` for a
        person of whom nothing can be measured, not even the box.
    """
    scale = np.full(len(lengths['head']), np.nan)
    source = np.full(len(scale), '', dtype='<U5')
    for name in SCALE_SOURCES:
        length = np.asarray(lengths[name]) * (1.0 if name == 'head' else factors[name])
        take = np.isnan(scale) & np.isfinite(length)
        scale[take], source[take] = length[take], name
    return scale, source
