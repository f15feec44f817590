# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Lengths of limbs as shares of body height. K joints, L limbs."""

import numpy as np

from wsp_mm.structures.keypoints import get_joint_set

#: Limb, on either side, as two concepts of :mod:`wsp_mm.structures.keypoints` without the side ->
#: share of body height. Differences of the joints' heights in Drillis and Contini, "Body segment
#: parameters", 1966 (Winter, "Biomechanics and motor control of human movement", figure 4.1):
#: shoulder 0.818, elbow 0.630, wrist 0.485, hip 0.530, knee 0.285, ankle 0.039.
LIMB_SHARES = {
    ('shoulder', 'elbow'): 0.188,
    ('elbow', 'wrist'): 0.145,
    ('shoulder', 'hip'): 0.288,
    ('hip', 'knee'): 0.245,
    ('knee', 'ankle'): 0.246,
}


def limbs_of(joint_set: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the limbs of a joint set that has all of their ends.

    Args:
        joint_set: name in :data:`wsp_mm.structures.keypoints.JOINT_SETS`.

    Returns:
        Indices of both ends (L, 2), and shares of body height (L,).
    """
    joints, ends, shares = get_joint_set(joint_set), [], []
    for names, share in LIMB_SHARES.items():
        for side in ('left', 'right'):
            concepts = [f'{side}_{name}' for name in names]
            if set(concepts) <= set(joints.concepts):
                ends.append([joints.index(concept) for concept in concepts])
                shares.append(share)
    return np.array(ends, dtype=int).reshape(-1, 2), np.array(shares)
