# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""3DPCK on MuPoTS-3D, step for step as the data set's official evaluation counts it.

Letters: F frames of a sequence, G annotated and M predicted persons of a frame, P persons counted
in a sequence. Pixels of the picture; mm in the camera frame; joints in the order of the set
``mupots17``.

What is easily missed: matching is greedy in the order of the annotations, a box test of 40 px along
each axis, one joint suffices; a prediction takes over the true bone lengths before it is compared;
14 of the 17 joints are scored; the figure of the data set is the plain mean over sequences, however
long each is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

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
PCK_MM = 150.0
AUC_MM = np.arange(0, 151, 5)
THRESHOLDS_MM = (100, 110, 120, 130, 140, 150)

MATCHING_JOINTS = slice(1, 14)  # neck to left ankle: without the top of the head
MATCHING_PX = 40.0

_DIMENSIONS = dict(gt_2d=2, gt_3d=3, pred_2d=2, pred_3d=3)

# joint -> the joint that its bone starts at, from the pelvis outwards.
_BONES = {
    15: 14, 1: 15, 0: 1, 16: 1, 2: 1, 3: 2, 4: 3, 5: 1, 6: 5, 7: 6, 8: 14, 9: 8, 10: 9, 11: 14, 12: 11, 13: 12,
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
    return _matches(_checked(frames))


def _matches(frames: list[dict[str, np.ndarray]]) -> np.ndarray:
    if not frames:
        return np.zeros(0, dtype=np.int64)
    gt, annotated = _padded([frame['gt_2d'][:, MATCHING_JOINTS] for frame in frames])
    pred, predicted = _padded([frame['pred_2d'][:, MATCHING_JOINTS] for frame in frames])
    pred[(pred == 0).all(axis=3)] = np.nan  # compares false with everything, as the padding does
    score = np.zeros((len(frames), gt.shape[1], pred.shape[1]), dtype=np.int64)
    for joint in range(
        gt.shape[2]
    ):  # joint by joint: no array of frames x persons x persons x joints
        near = np.abs(gt[:, :, None, joint] - pred[:, None, :, joint]) < MATCHING_PX
        score += near.all(axis=3)
    match = np.full(annotated.shape, -1, dtype=np.int64)
    if score.size:
        row, free = np.arange(len(frames)), predicted
        for person in range(gt.shape[1]):
            candidates = np.where(free, score[:, person], 0)
            best = candidates.argmax(axis=1)
            found = candidates[row, best] > 0
            match[found, person] = best[found]
            free[row[found], best[found]] = False
    return match[annotated]


def mupots_errors(
    frames: Sequence[Mapping[str, np.ndarray]],
    relative: bool = True,
    matched_only: bool = False,
    *,
    matches: np.ndarray | None = None,
) -> np.ndarray:
    """Distance of the 14 scored joints from the true ones, for every annotated person of one
    sequence.

    Args:
        frames: in order; each with ``gt_2d (G, 17, 2)`` px and ``gt_3d (G, 17, 3)`` mm of its valid
            annotations in their order (officially ``annot2`` and ``univ_annot3``), ``pred_2d (M,
            17, 2)`` px and ``pred_3d (M, 17, 3)`` mm. G and M may be 0.
        relative: both poses relative to their pelvises; otherwise where they are in the camera
            frame.
        matched_only: leave out persons whom no prediction matches ("Matched"); otherwise all their
            joints are inf ("All").
        matches: what :func:`mupots_matches` says about these frames, where it is known already.

    Returns:
        (P, 14) mm; rows in frame order, then in that of the annotations. nan where a predicted bone
        on the way from the pelvis has no length or a predicted joint is not finite: such a joint is
        missed, as an inf is.

    Raises:
        ValueError: a frame of wrong shapes or with ground truth that is not finite, or ``matches``
            of other frames.
    """
    frames = _checked(frames)
    matches = _matches(frames) if matches is None else np.asarray(matches)
    gt = np.concatenate([np.zeros((0, 17, 3)), *(frame['gt_3d'] for frame in frames)])
    pred = np.concatenate([np.zeros((0, 17, 3)), *(frame['pred_3d'] for frame in frames)])
    annotated = np.array([len(frame['gt_3d']) for frame in frames], dtype=np.int64)
    predicted = np.array([len(frame['pred_3d']) for frame in frames], dtype=np.int64)
    within = np.repeat(predicted, annotated)  # predictions in each row's frame
    if matches.shape != (len(gt),) or (matches >= within).any():
        raise ValueError(
            f'matches of shape {matches.shape} do not belong to these {len(gt)} annotated persons'
        )
    matched = matches >= 0
    first = np.repeat(np.cumsum(predicted) - predicted, annotated)
    gt_matched, pred = gt[matched], pred[first[matched] + matches[matched]]
    with np.errstate(invalid='ignore', over='ignore'):
        if relative:
            gt_matched, pred = (pose - pose[:, ROOT : ROOT + 1] for pose in (gt_matched, pred))
        errors = np.linalg.norm(
            (with_bone_lengths(pred, gt_matched) - gt_matched)[:, :N_SCORED], axis=2
        )
    if matched_only:
        return errors
    every = np.full((len(gt), N_SCORED), np.inf)
    every[matched] = errors
    return every


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
            mapped[:, joint] = mapped[:, parent] + bone * length / np.linalg.norm(
                bone, axis=1, keepdims=True
            )
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
    for threshold in thresholds_mm:
        if not 0 < threshold < math.inf:
            raise ValueError(
                f'thresholds must be positive and finite (mm), got {list(thresholds_mm)}'
            )
    names, rows, details = [], [], {}
    for sequence, errors in errors_by_sequence.items():
        errors = np.asarray(errors, dtype=np.float64)
        if errors.ndim != 2 or errors.shape[1] != N_SCORED or (errors < 0).any():
            raise ValueError(
                f'errors of sequence {sequence} must be (persons, {N_SCORED}) distances, got {errors.shape}'
            )
        row = {'PCK': _share(errors < PCK_MM)}
        row |= {f'PCK_{threshold:g}': _share(errors < threshold) for threshold in thresholds_mm}
        row['AUC'] = _mean([_share(errors < threshold) for threshold in AUC_MM])
        row |= {
            f'PCK_{group}': _share(errors[:, list(members)] < PCK_MM)
            for group, members in JOINT_GROUPS.items()
        }
        names.append(f'TS{sequence}' if isinstance(sequence, (int, np.integer)) else str(sequence))
        rows.append(row)
        details[f'PCK_{names[-1]}'], details[f'AUC_{names[-1]}'] = row['PCK'], row['AUC']
        details |= {f'PCK_{names[-1]}_{group}': row[f'PCK_{group}'] for group in JOINT_GROUPS}
    undefined = [math.isnan(row['PCK']) for row in rows]
    keys = ('PCK', *(f'PCK_{threshold:g}' for threshold in thresholds_mm), 'AUC')
    scores = {}
    for key in keys:
        scores[key] = _mean([row[key] for row in rows])
        defined = [row[key] for row, lost in zip(rows, undefined, strict=True) if not lost]
        scores[f'{key}_defined'] = _mean(defined)
    scores |= {
        f'PCK_{group}': _mean([row[f'PCK_{group}'] for row in rows]) for group in JOINT_GROUPS
    }
    scores |= details
    count = sum(len(errors) for errors in errors_by_sequence.values())
    return scores | dict(n_sequences=len(rows), n_undefined=sum(undefined), n_persons=count)


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
    scores = {}
    for name, wanted in (('visible', False), ('occluded', True)):
        shares = []
        for sequence, errors in errors_by_sequence.items():
            occluded = np.asarray(occluded_by_sequence[sequence], dtype=bool)[:, :N_SCORED]
            if occluded.shape != np.shape(errors):
                raise ValueError(
                    f'sequence {sequence} has errors {np.shape(errors)} and occlusion labels {occluded.shape}'
                )
            chosen = np.asarray(errors)[occluded == wanted]
            if chosen.size:
                shares.append(_share(chosen <= PCK_MM))
        scores |= {f'PCK_{name}': _mean(shares), f'n_sequences_{name}': len(shares)}
    return scores


def _share(hit: np.ndarray) -> float:
    """Percent of hits; nan where there is nothing to hit."""
    return 100.0 * np.count_nonzero(hit) / hit.size if hit.size else math.nan


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else math.nan


def _padded(arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Ragged (n_i, K, 2) as one (F, max n, K, 2) filled up with nan, and where it is real, (F, max
    n).
    """
    count = np.array([len(array) for array in arrays])
    real = np.arange(count.max()) < count[:, None]
    out = np.full((*real.shape, *arrays[0].shape[1:]), np.nan)
    out[real] = np.concatenate(arrays)
    return out, real


def _checked(frames: Sequence[Mapping[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
    out = []
    for number, frame in enumerate(frames):
        arrays = {name: np.asarray(frame[name], dtype=np.float64) for name in _DIMENSIONS}
        for name, array in arrays.items():
            if array.ndim != 3 or array.shape[1:] != (17, _DIMENSIONS[name]):
                raise ValueError(
                    f'{name} of frame {number} must be (persons, 17, {_DIMENSIONS[name]}), got {array.shape}'
                )
        for side in ('gt', 'pred'):
            flat, deep = (len(arrays[f'{side}_{dim}d']) for dim in (2, 3))
            if flat != deep:
                raise ValueError(
                    f'frame {number} has {flat} persons in {side}_2d, {deep} in {side}_3d'
                )
        out.append(arrays)
    for name in ('gt_2d', 'gt_3d'):  # all frames at once: one by one takes longer than all the rest
        if out and not np.isfinite(np.concatenate([arrays[name] for arrays in out])).all():
            first = next(i for i, arrays in enumerate(out) if not np.isfinite(arrays[name]).all())
            raise ValueError(f'the ground truth of frame {first} is not finite')
    return out
