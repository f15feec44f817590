# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""3DPCK on MuPoTS-3D, step for step as the data set's official evaluation counts it.

Letters: F frames of a sequence, G annotated and M predicted persons of a frame, P persons counted
in a sequence. Image px; mm in the camera frame; joints in the order of the set ``mupots17``.

What is easily missed: matching is greedy in the order of the annotations, a box test of 40 px along
each axis, one joint suffices; a prediction takes over the true bone lengths before it is compared;
14 of the 17 joints are scored; the figure of the data set is the plain mean over sequences, however
long each is.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from wsp_mm.evaluation.functional.averages import mean
from wsp_mm.structures.keypoints import get_joint_set

JOINT_SET = 'mupots17'
ROOT = get_joint_set(JOINT_SET).index('pelvis')
# Joints of the official table, by its heads. Pelvis, spine and head are predicted, but not scored.
JOINT_GROUPS = {
    'Head': (0,),
    'Neck': (1,),
    'Shou': (2, 5),
    'Elbow': (3, 6),
    'Wrist': (4, 7),
    'Hip': (8, 11),
    'Knee': (9, 12),
    'Ankle': (10, 13),
}
N_SCORED = 14
MODES = ('All', 'Matched')
PCK_MM = 150.0
AUC_MM = np.arange(0, 151, 5)
THRESHOLDS_MM = (100, 110, 120, 130, 140, 150)

MATCHING_JOINTS = slice(1, 14)  # neck to left ankle: without the top of the head
MATCHING_PX = 40.0

_DIMENSIONS = dict(gt_2d=2, gt_3d=3, pred_2d=2, pred_3d=3)

# joint -> the joint that its bone starts at, from the pelvis outwards.
_BONES = {
    15: 14, 1: 15, 0: 1, 16: 1, 2: 1, 3: 2, 4: 3, 5: 1, 6: 5, 7: 6, 8: 14, 9: 8, 10: 9, 11: 14,
    12: 11, 13: 12,
}  # fmt: skip


def mupots_matches(frames: Sequence[Mapping[str, np.ndarray]]) -> np.ndarray:
    """Which prediction belongs to each annotated person.

    In the order of the annotations, each person takes among the predictions of the frame that are
    still free the one with the most joints within 40 px, along x and along y each (13 joints, neck
    to ankles); the first of several that are equal; none without any such joint. A predicted joint
    at exactly (0, 0) is not visible and counts for nobody. Neither confidence nor distance plays a
    part.

    Args:
        frames: one sequence, see :func:`mupots_errors`.

    Returns:
        (P,) index into the frame's predictions or -1; rows in frame order, then in that of the
        annotations.

    Raises:
        ValueError: as :func:`mupots_errors`.
    """
    return np.concatenate([np.zeros(0, dtype=int), *map(_match, _checked(frames))])


def _match(frame: Mapping[str, np.ndarray]) -> np.ndarray:
    """(G,) index of the prediction or -1, of one checked frame."""
    gt, pred = frame['gt_2d'][:, MATCHING_JOINTS], frame['pred_2d'][:, MATCHING_JOINTS]
    near = (np.abs(gt[:, None] - pred) < MATCHING_PX).all(axis=3) & (pred != 0).any(axis=2)
    score = near.sum(axis=2)  # (G, M)
    match = np.full(len(gt), -1)
    for person in range(len(gt) if len(pred) else 0):
        best = score[person].argmax()
        if score[person, best] > 0:
            match[person] = best
            score[:, best] = 0
    return match


def mupots_errors(
    frames: Sequence[Mapping[str, np.ndarray]], relative: bool = True, matched_only: bool = False
) -> np.ndarray:
    """Distance of the 14 scored joints from the true ones, for every annotated person of one
    sequence.

    Args:
        frames: in order; each with ``gt_2d (G, 17, 2)`` px and ``gt_3d (G, 17, 3)`` mm of its valid
            annotations in their order (officially ``annot2`` and ``univ_annot3``), ``pred_2d (M,
            17, 2)`` px and ``pred_3d (M, 17, 3)`` mm. G and M may be 0. A ``key`` names the frame
            in messages.
        relative: both poses relative to their pelvises; otherwise where they are in the camera
            frame.
        matched_only: leave out persons whom no prediction matches ("Matched"); otherwise all their
            joints are inf ("All").

    Returns:
        (P, 14) mm; rows in frame order, then in that of the annotations. nan where a predicted bone
        on the way from the pelvis has no length or a predicted joint is not finite: such a joint is
        missed, as an inf is.

    Raises:
        ValueError: a frame of wrong shapes or with ground truth that is not finite.
    """
    frames = _checked(frames)
    matches = [_match(frame) for frame in frames]
    none, nobody = np.zeros((0, 17, 3)), np.full((1, 17, 3), np.nan)  # the index -1 picks nobody
    pred = [np.concatenate([frame['pred_3d'], nobody]) for frame in frames]
    pred = [poses[match] for poses, match in zip(pred, matches, strict=True)]
    gt, pred = np.concatenate([none, *(f['gt_3d'] for f in frames)]), np.concatenate([none, *pred])
    with np.errstate(invalid='ignore', over='ignore'):
        if relative:
            gt, pred = (pose - pose[:, ROOT : ROOT + 1] for pose in (gt, pred))
        errors = np.linalg.norm((with_bone_lengths(pred, gt) - gt)[:, :N_SCORED], axis=2)
    matched = np.concatenate([np.zeros(0, dtype=int), *matches]) >= 0
    errors[~matched] = np.inf
    return errors[matched] if matched_only else errors


def with_bone_lengths(pose: np.ndarray, gt: np.ndarray) -> np.ndarray:
    """Poses whose bones point where they pointed, and are as long as those of other poses.

    The pelvis stays. Directions are those of the original pose, bone by bone, not of the
    half-changed one.

    Args:
        pose: (P, 17, 3) mm. gt: (P, 17, 3) mm, where the lengths come from.

    Returns:
        (P, 17, 3) mm; nan in joints behind a bone without length, which points nowhere.
    """
    mapped = np.array(pose, dtype=np.float64)
    with np.errstate(invalid='ignore', divide='ignore', over='ignore'):
        for joint, parent in _BONES.items():
            bone = pose[:, joint] - pose[:, parent]
            length = np.linalg.norm(gt[:, joint] - gt[:, parent], axis=1, keepdims=True)
            norm = np.linalg.norm(bone, axis=1, keepdims=True)
            mapped[:, joint] = mapped[:, parent] + bone * length / norm
    return mapped


def mupots_3dpck(
    errors_by_sequence: Mapping[int, np.ndarray] | Sequence[np.ndarray],
    thresholds_mm: Sequence[float] = THRESHOLDS_MM,
) -> dict[str, float | int]:
    """Shares of joints nearer than a threshold (strictly), per sequence and as their mean, in
    percent.

    A sequence in which nobody is counted (no annotation, or with ``matched_only`` no match) has no
    share. It is nan under its own name, and makes nan of every mean over sequences: what such a
    mean is worth, the caller must decide. ``*_defined`` are the means over the other sequences,
    ``n_undefined`` says how many these lack.

    Args:
        errors_by_sequence: sequence number -> (P, 14) mm of :func:`mupots_errors`; a list is
            numbered from 1.
        thresholds_mm: 3DPCK is given at each of them.

    Returns:
        - ``PCK`` at 150 mm, ``PCK_100`` and so on at the thresholds, ``AUC`` (mean of the shares at
          0, 5, ..., 150 mm: at most 96.77, as nothing is nearer than 0), each also with
          ``_defined``;
        - ``PCK_Head`` and so on: joint groups at 150 mm;
        - ``PCK_TS1``, ``AUC_TS1``, ``PCK_TS1_Head`` and so on: the same of each sequence;
        - ``n_sequences``, ``n_undefined``, ``n_persons``.

    Raises:
        ValueError: errors that are no (P, 14) array, negative ones, a threshold that is not
            positive.
    """
    if not isinstance(errors_by_sequence, Mapping):
        errors_by_sequence = dict(enumerate(errors_by_sequence, 1))
    if not all(0 < threshold < math.inf for threshold in thresholds_mm):
        raise ValueError(f'thresholds must be positive and finite (mm), got {list(thresholds_mm)}')
    keys = ['PCK', *(f'PCK_{mm:g}' for mm in thresholds_mm), 'AUC']
    groups = [f'PCK_{group}' for group in JOINT_GROUPS]
    rows = {}
    for sequence, errors in errors_by_sequence.items():
        errors = np.asarray(errors, dtype=np.float64)
        if errors.ndim != 2 or errors.shape[1] != N_SCORED or (errors < 0).any():
            raise ValueError(f'errors of sequence {sequence} are no (P, 14) distances')
        shares = [_share(errors < mm) for mm in (PCK_MM, *thresholds_mm)]
        shares.append(mean([_share(errors < mm) for mm in AUC_MM]))
        shares += [_share(errors[:, list(joints)] < PCK_MM) for joints in JOINT_GROUPS.values()]
        rows[f'TS{sequence}'] = dict(zip([*keys, *groups], shares, strict=True))
    defined = [row for row in rows.values() if not math.isnan(row['PCK'])]
    scores: dict[str, float | int] = {}
    for key in keys:
        scores[key] = mean([row[key] for row in rows.values()])
        scores[f'{key}_defined'] = mean([row[key] for row in defined])
    scores |= {group: mean([row[group] for row in rows.values()]) for group in groups}
    for name, row in rows.items():
        scores |= {f'PCK_{name}': row['PCK'], f'AUC_{name}': row['AUC']}
        scores |= {f'PCK_{name}_{group}': row[f'PCK_{group}'] for group in JOINT_GROUPS}
    scores |= dict(n_sequences=len(rows), n_undefined=len(rows) - len(defined))
    return scores | dict(n_persons=sum(len(errors) for errors in errors_by_sequence.values()))


def mupots_occlusion_pck(
    errors_by_sequence: Mapping[int, np.ndarray], occluded_by_sequence: Mapping[int, np.ndarray]
) -> dict[str, float | int]:
    """3DPCK at 150 mm of joints that are seen and of joints that something hides.

    As in the official masked evaluation, and unlike in 3DPCK, exactly 150 mm is a hit, and the
    joints of a sequence are pooled.

    Args:
        errors_by_sequence: as in :func:`mupots_3dpck`.
        occluded_by_sequence: the same keys -> (P, 14) or (P, 17) bool, the occlusion labels of the
            same rows.

    Returns:
        ``PCK_visible``, ``PCK_occluded``: means over the sequences that have such joints, percent;
        ``n_sequences_visible``, ``n_sequences_occluded``: over how many.

    Raises:
        ValueError: rows or sequences that do not fit.
    """
    if errors_by_sequence.keys() != occluded_by_sequence.keys():
        raise ValueError('errors and occlusion labels are of different sequences')
    shares: dict[bool, list[float]] = {False: [], True: []}
    for sequence, errors in errors_by_sequence.items():
        occluded = np.asarray(occluded_by_sequence[sequence], dtype=bool)[:, :N_SCORED]
        if occluded.shape != errors.shape:
            raise ValueError(f'sequence {sequence} has other errors than occlusion labels')
        for wanted, found in shares.items():
            if (occluded == wanted).any():
                found.append(_share(errors[occluded == wanted] <= PCK_MM))
    return dict(
        PCK_visible=mean(shares[False]), n_sequences_visible=len(shares[False]),
        PCK_occluded=mean(shares[True]), n_sequences_occluded=len(shares[True]),
    )  # fmt: skip


def _share(hit: np.ndarray) -> float:
    """Percent of hits; nan where there is nothing to hit."""
    return 100.0 * np.count_nonzero(hit) / hit.size if hit.size else math.nan


def _checked(frames: Sequence[Mapping[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
    checked = []
    for number, frame in enumerate(frames):
        name = frame.get('key', number)
        arrays = {key: np.asarray(frame[key], dtype=np.float64) for key in _DIMENSIONS}
        for key, dim in _DIMENSIONS.items():
            expected = (len(arrays[key.replace('3d', '2d')]), 17, dim)
            if arrays[key].shape != expected:
                raise ValueError(f'{key} of frame {name} is {arrays[key].shape}, not {expected}')
        if not (np.isfinite(arrays['gt_2d']).all() and np.isfinite(arrays['gt_3d']).all()):
            raise ValueError(f'the ground truth of frame {name} is not finite')
        checked.append(arrays)
    return checked
