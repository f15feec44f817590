# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Distances between predicted and true 3D joints.

Letters: N samples, K joints, M training samples. Everything is mm in the camera frame: x right, y
down, z forward.
"""

import numpy as np

ALIGNMENTS = ('root', 'rigid', 'similarity', 'none')


def mpjpe(pred: np.ndarray, gt: np.ndarray, align: str = 'root', root: int = 0) -> np.ndarray:
    """Distance of each predicted joint from the true one after an alignment of the whole pose.

    ``root`` moves both poses until their root joints coincide (MPJPE). ``rigid`` moves and turns
    the prediction onto the truth in the least-squares sense over all K joints given, without
    scaling or mirroring: what PoseNet and its family print as PA MPJPE. ``similarity`` may scale
    it, too (MMPose's p-mpjpe): lower figures, not to be compared with the former. ``none`` compares
    absolute positions.

    Poses that fix no rotation (all joints on one line or in one point) have the same distances
    under all rotations that fit equally well; a prediction in one point comes to lie on the truth's
    centre.

    Args:
        pred: (N, K, 3) mm.
        gt: (N, K, 3) mm.
        align: one of :data:`ALIGNMENTS`.
        root: index of the root joint, used by ``align='root'`` alone.

    Returns:
        (N, K) mm. Means over a subset of the joints are the caller's: alignment uses all of them.

    Raises:
        ValueError: shapes that do not fit, a coordinate that is not finite, an unknown alignment,
            no such root.
    """
    pred, gt = _checked(pred, gt)
    if align == 'root':
        pred, gt = root_relative(pred, root), root_relative(gt, root)
    elif align in ('rigid', 'similarity'):
        pred = align_poses(pred, gt, scale=align == 'similarity')
    elif align != 'none':
        raise ValueError(f'align must be one of {ALIGNMENTS}, got {align!r}')
    return np.linalg.norm(pred - gt, axis=2)


def per_axis_error(pred: np.ndarray, gt: np.ndarray, root: int = 0) -> np.ndarray:
    """Absolute difference along each camera axis after the root joints are made to coincide.

    Args:
        pred: (N, K, 3) mm.
        gt: (N, K, 3) mm.
        root: index of the root joint.

    Returns:
        (N, K, 3) mm: x, y, z.

    Raises:
        ValueError: as :func:`mpjpe`.
    """
    pred, gt = _checked(pred, gt)
    return np.abs(root_relative(pred, root) - root_relative(gt, root))


def root_relative(poses: np.ndarray, root: int) -> np.ndarray:
    """Poses (N, K, 3) with the root joint at the origin.

    Raises:
        ValueError: no such root.
    """
    if not 0 <= root < poses.shape[1]:
        raise ValueError(f'root must be one of the {poses.shape[1]} joints, got {root}')
    return poses - poses[:, root : root + 1]


def align_poses(pred: np.ndarray, gt: np.ndarray, scale: bool = False) -> np.ndarray:
    """Predictions turned and moved (and scaled) onto the truth, pose by pose, by least squares over
    all joints.

    The orthogonal Procrustes problem over proper rotations, solved by the singular vectors of the
    covariance (Kabsch 1976, Umeyama 1991): where the best orthogonal matrix would mirror the pose,
    the weakest direction is turned round.

    Args:
        pred: (N, K, 3) mm.
        gt: (N, K, 3) mm.
        scale: whether one factor per pose is fitted, too.

    Returns:
        (N, K, 3) mm, in the truth's frame.

    Raises:
        ValueError: as :func:`mpjpe`.
    """
    pred, gt = _checked(pred, gt)
    center = gt.mean(axis=1, keepdims=True)
    pred, gt = pred - pred.mean(axis=1, keepdims=True), gt - center
    u, strength, vt = np.linalg.svd(np.swapaxes(pred, 1, 2) @ gt)
    proper = np.ones_like(strength)
    proper[:, 2] = np.where(np.linalg.det(u) * np.linalg.det(vt) < 0, -1.0, 1.0)
    aligned = pred @ ((u * proper[:, None]) @ vt)
    if scale:
        size = (pred**2).sum(axis=(1, 2))
        factor = np.divide(
            (strength * proper).sum(axis=1), size, out=np.ones_like(size), where=size > 0
        )
        aligned = aligned * factor[:, None, None]
    return aligned + center


def mean_pose(train: np.ndarray, root: int = 0) -> np.ndarray:
    """The reference that every network has to beat: the mean root-relative training pose.

    Args:
        train: (M, K, 3) mm, camera frame, one row a training sample.
        root: index of the root joint.

    Returns:
        (K, 3) mm relative to the root joint. Added to the roots of a test set it is a prediction.

    Raises:
        ValueError: no training sample, a wrong shape, a coordinate that is not finite, no such
            root.
    """
    train, _ = _checked(train, train)
    if not len(train):
        raise ValueError('there is no training pose to take the mean of')
    return root_relative(train, root).mean(axis=0)


def _checked(pred: np.ndarray, gt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pred, gt = np.asarray(pred, dtype=np.float64), np.asarray(gt, dtype=np.float64)
    if pred.ndim != 3 or pred.shape[2] != 3 or not pred.shape[1] or pred.shape != gt.shape:
        raise ValueError(f'poses must both have shape (N, K, 3), got {pred.shape} and {gt.shape}')
    for name, poses in (('pred', pred), ('gt', gt)):
        if not np.isfinite(poses).all():
            n, k, _ = np.argwhere(~np.isfinite(poses))[0]
            raise ValueError(f'{name} is not finite, first at joint {k} of sample {n}')
    return pred, gt
