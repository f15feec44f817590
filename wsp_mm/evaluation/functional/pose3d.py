# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""All figures of one 3D test set: averages of every kind that papers print, per action and per
joint.

Letters: N samples, K joints of the set, E joints that count. mm, camera frame.
"""

import math
from collections.abc import Sequence

import numpy as np

from wsp_mm.evaluation.functional.averages import mean
from wsp_mm.evaluation.functional.mpjpe import mpjpe, per_axis_error
from wsp_mm.structures.keypoints import convert_joints, get_joint_set

# Human3.6M's actions in the order of the paper's tables 5 and 8 (the data set numbers them
# otherwise), with the tables' column heads.
ACTION_HEADS = {
    'Directions': 'Dir.',
    'Discussion': 'Dis.',
    'Eating': 'Eat.',
    'Greeting': 'Gre.',
    'Phoning': 'Phoe.',
    'Photo': 'Pho.',
    'Posing': 'Pos.',
    'Purchases': 'Pur.',
    'Sitting': 'Sit.',
    'SittingDown': 'SiD.',
    'Smoking': 'Smo.',
    'Waiting': 'Wai.',
    'WalkDog': 'WaD.',
    'Walking': 'Wal.',
    'WalkTogether': 'WaT.',
}
H36M_ACTIONS = tuple(ACTION_HEADS)

# Sets whose last joints help training but are not scored: PoseNet's added thorax; hands and toes of
# MuCo, which MuPoTS does not have.
EVALUATED = {'h36m18': 17, 'muco21': 17}

POSITION_ERRORS = {'MPJPE': 'root', 'PA-MPJPE': 'rigid', 'PA-MPJPE-sim': 'similarity'}
AXES = ('X', 'Y', 'Z')
PER_JOINT = ('MPJPE', 'PA-MPJPE')


def evaluated_joints(joint_set: str, gt_set: str | None = None) -> tuple[list[int], int]:
    """Indices of the joints that count, and of the root joint (the pelvis).

    Args:
        gt_set: joint set that the ground truth was converted from; joints that it lacks do not
            count. None: ``joint_set``.

    Raises:
        KeyError: unknown joint set, or one without a pelvis.
    """
    joints = get_joint_set(joint_set)
    chosen, root = range(EVALUATED.get(joint_set, len(joints))), joints.index('pelvis')
    if gt_set is None:
        return list(chosen), root
    k = len(get_joint_set(gt_set))
    known = convert_joints(np.zeros((k, 1)), np.ones(k), gt_set, joint_set)[1] > 0
    return [i for i in chosen if known[i]], root


def pose3d_scores(
    pred: np.ndarray,
    gt: np.ndarray,
    joint_set: str = 'h36m18',
    actions: Sequence[str] | None = None,
    action_names: Sequence[str] = H36M_ACTIONS,
    gt_set: str | None = None,
) -> dict[str, float | int]:
    """Scores of a test set.

    Errors, each in mm: ``MPJPE`` (roots made to coincide), ``PA-MPJPE`` (rigidly aligned over all K
    joints, no scale, as PoseNet does), ``PA-MPJPE-sim`` (aligned with scale), ``X``, ``Y``, ``Z``
    (mean absolute difference along one camera axis, roots made to coincide) and ``AxisNorm``, the
    length of the vector (X, Y, Z): this, and no mean of distances, is what the column "Joints Avg"
    of the paper's Table 4 holds, within rounding. It never exceeds MPJPE.

    Averages: ``NAME`` is pooled over samples and joints, the root joint among them (as in PoseNet's
    code: it adds a zero to MPJPE, and a small error to PA-MPJPE); ``NAME_no_root`` leaves it out;
    ``NAME_action_mean`` and ``NAME_action_mean_no_root`` are means over the actions that occur of
    each action's pooled value. The three position errors also come as ``NAME_action_Walking``
    (pooled within the action, with the root joint; nan where it does not occur), and the first two
    as ``NAME_joint_R_Hip``; ``n`` counts samples, ``n_actions`` the actions that occur. Without
    samples every figure is nan.

    Args:
        pred: (N, K, 3) mm.
        gt: (N, K, 3) mm.
        joint_set: names the K joints; see :func:`evaluated_joints` for those that count.
        actions: (N,) the action of every sample; None: no figure per action.
        action_names: all actions that may occur, in the order of the keys.
        gt_set: see :func:`evaluated_joints`. PA then aligns the joints that count.

    Raises:
        KeyError: unknown joint set.
        ValueError: shapes that do not fit, a coordinate that is not finite, an action that has no
            name here.
    """
    names = get_joint_set(joint_set).joints
    joints, root = evaluated_joints(joint_set, gt_set)
    if np.ndim(pred) != 3 or np.shape(pred)[1] != len(names):
        raise ValueError(f'{joint_set} has {len(names)} joints, poses have shape {np.shape(pred)}')
    if gt_set is not None:
        pred, gt = (np.asarray(poses)[:, joints] for poses in (pred, gt))
        names, root = [names[i] for i in joints], joints.index(root)
        joints = list(range(len(joints)))
    groups = {} if actions is None else _groups(actions, action_names, len(pred))

    errors = {
        name: mpjpe(pred, gt, align=align, root=root)[:, joints]
        for name, align in POSITION_ERRORS.items()
    }
    per_axis = per_axis_error(pred, gt, root=root)[:, joints]
    errors |= {axis: per_axis[:, :, i] for i, axis in enumerate(AXES)}
    scores: dict[str, float | int] = dict(n=len(pred))
    if actions is not None:
        scores['n_actions'] = sum(len(rows) > 0 for rows in groups.values())
    limbs = [i for i, joint in enumerate(joints) if joint != root]
    for where, columns in (('', slice(None)), ('_no_root', limbs)):
        found = {where: {name: mean(error[:, columns]) for name, error in errors.items()}}
        if actions is not None:
            found[f'_action_mean{where}'] = {
                name: mean([mean(error[r][:, columns]) for r in groups.values() if len(r)])
                for name, error in errors.items()
            }
        for suffix, values in found.items():
            values['AxisNorm'] = math.hypot(*(values[axis] for axis in AXES))
            scores |= {f'{name}{suffix}': value for name, value in values.items()}
    for name in POSITION_ERRORS:
        for action, rows in groups.items():
            scores[f'{name}_action_{action}'] = mean(errors[name][rows])
    for name in PER_JOINT:
        for i, joint in enumerate(joints):
            scores[f'{name}_joint_{names[joint]}'] = mean(errors[name][:, i])
    return scores


def _groups(
    actions: Sequence[str], action_names: Sequence[str], count: int
) -> dict[str, np.ndarray]:
    """Action -> rows of its samples."""
    if len(actions) != count:
        raise ValueError(f'{count} samples but {len(actions)} actions')
    unknown = sorted({str(action) for action in actions} - set(action_names))
    if unknown:
        raise ValueError(f'unknown actions {unknown}; known: {list(action_names)}')
    actions = np.asarray(actions, dtype=object)
    return {name: np.flatnonzero(actions == name) for name in action_names}
