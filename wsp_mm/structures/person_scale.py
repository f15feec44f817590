# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""How large a person appears: the scale S of the paper's Eq. 13, and stand-ins where the head is not labelled.

S is the distance from the top to the bottom of the head, in px. COCO labels neither, and nobody labels
everybody's head, so S falls back to other lengths of the same body, each multiplied by a factor that turns it
into a head length. The factors are medians over the persons who have both (:func:`calibrate`).

N persons, K joints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from wsp_mm.structures.skeletons import convert_joints, get_joint_set

#: Where a scale may come from, best first. ``head`` is Eq. 13 itself.
SCALE_SOURCES = ('head', 'face', 'torso', 'bbox')

#: Head length / stand-in for an upright adult of 1.75 m: head 0.24 m (vertex to upper neck), nose to the middle
#: of the shoulders 0.22 m, middle of the shoulders to middle of the hips 0.50 m. For want of persons to
#: calibrate on.
DEFAULT_FACTORS = {'face': 0.24 / 0.22, 'torso': 0.24 / 0.50, 'bbox': 0.24 / 1.75}

#: Lengths below this say nothing: labels are whole pixels in most of the data sets.
MIN_LENGTH_PX = 1.0


@dataclass(frozen=True)
class ScaleFactors:
    """What turns the stand-ins into head lengths.

    Attributes:
        face, torso, bbox: head length / stand-in, no unit.
        persons: for each of them, how many persons it was calibrated on; 0 where it is the stated constant.
    """

    face: float
    torso: float
    bbox: float
    persons: Mapping[str, int]

    def to_dict(self) -> dict:
        """Plain numbers, for json."""
        return {k: dict(v) if isinstance(v, Mapping) else v for k, v in asdict(self).items()}


def _distance(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Distance (N,) px of two (points (N, 2), labelled (N,)); nan where one is unlabelled or they coincide."""
    length = np.linalg.norm(a[0] - b[0], axis=-1)
    return np.where(a[1] & b[1] & (length >= MIN_LENGTH_PX), length, np.nan)


def scale_lengths(
    keypoints: np.ndarray, visible: np.ndarray, bbox_height: np.ndarray, joint_set: str
) -> dict[str, np.ndarray]:
    """The lengths that a scale can be read from.

    - ``head``: top of the head to upper neck (Eq. 13);
    - ``face``: nose, or the middle of the labelled ears where the nose is hidden, to the thorax;
    - ``torso``: thorax to pelvis;
    - ``bbox``: height of the box.

    Args:
        keypoints: (N, K, 2) px, in the order of ``joint_set``.
        visible: (N, K), positive where labelled.
        bbox_height: (N,) px.
        joint_set: name in :data:`wsp_mm.structures.skeletons.JOINT_SETS`. Thorax and pelvis are the midpoints
            of shoulders and hips in all of them, labelled or not, so that one factor serves them all.

    Returns:
        name in :data:`SCALE_SOURCES` -> (N,) px, nan where it cannot be read.
    """
    visible = np.asarray(visible)
    keypoints = np.where((visible > 0)[..., None], np.asarray(keypoints, dtype=np.float64), 0.0)
    names = get_joint_set(joint_set).concepts
    # 'coco17' has every joint but the head's ends, and its thorax and pelvis are always midpoints.
    limbs, limbs_seen = convert_joints(keypoints, visible, joint_set, 'coco17')
    middle, middle_seen = convert_joints(limbs, limbs_seen, 'coco17', 'mpii16')

    def of(concept: str) -> tuple[np.ndarray, np.ndarray]:
        if concept not in names:
            return np.zeros((len(keypoints), 2)), np.zeros(len(keypoints), dtype=bool)
        k = names.index(concept)
        return keypoints[:, k], visible[:, k] > 0

    def midpoint(concept: str) -> tuple[np.ndarray, np.ndarray]:
        k = get_joint_set('mpii16').index(concept)
        return middle[:, k], middle_seen[:, k] > 0

    nose, nose_seen = of('nose')
    ears = [of('left_ear'), of('right_ear')]
    weight = np.stack([seen for _, seen in ears], axis=-1).astype(np.float64)
    total = weight.sum(axis=-1)
    ear = np.einsum('nks,ns->nk', np.stack([p for p, _ in ears], axis=-1), weight)
    ear = ear / np.maximum(total, 1)[:, None]
    face = (np.where(nose_seen[:, None], nose, ear), nose_seen | (total > 0))

    height = np.asarray(bbox_height, dtype=np.float64)
    return {
        'head': _distance(of('head_top'), of('upper_neck')),
        'face': _distance(face, midpoint('thorax')),
        'torso': _distance(midpoint('thorax'), midpoint('pelvis')),
        'bbox': np.where(np.isfinite(height) & (height >= MIN_LENGTH_PX), height, np.nan),
    }


def calibrate(lengths: Mapping[str, np.ndarray], min_persons: int = 20) -> ScaleFactors:
    """Factors as medians of head length / stand-in, over the persons who have both.

    Args:
        lengths: as :func:`scale_lengths` returns them.
        min_persons: with fewer the stated constant of :data:`DEFAULT_FACTORS` is taken.
    """
    factors, persons = {}, {}
    for name, default in DEFAULT_FACTORS.items():
        ratio = np.asarray(lengths['head']) / np.asarray(lengths[name])
        ratio = ratio[np.isfinite(ratio)]
        enough = ratio.size >= max(min_persons, 1)
        factors[name] = float(np.median(ratio)) if enough else default
        persons[name] = int(ratio.size) if enough else 0
    return ScaleFactors(**factors, persons=persons)


def person_scale(lengths: Mapping[str, np.ndarray], factors: ScaleFactors) -> tuple[np.ndarray, np.ndarray]:
    """Scale of every person, from the best length that it has.

    Args:
        lengths: as :func:`scale_lengths` returns them.
        factors: from :func:`calibrate`.

    Returns:
        scale (N,) px and where each comes from (N,), a name in :data:`SCALE_SOURCES`; nan and ``''`` for a
        person of whom nothing can be measured, not even the box.
    """
    scale = np.full(len(lengths['head']), np.nan)
    source = np.full(len(scale), '', dtype='<U5')
    for name in SCALE_SOURCES:
        length = np.asarray(lengths[name]) * (1.0 if name == 'head' else getattr(factors, name))
        take = np.isnan(scale) & np.isfinite(length)
        scale[take], source[take] = length[take], name
    return scale, source
