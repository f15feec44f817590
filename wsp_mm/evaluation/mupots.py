# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""All figures of one MuPoTS-3D test: annotated frames beside what was predicted for them.

Frames are those of the annotation, so a frame without predictions counts like any other.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from wsp_mm.datasets.detections import read_bbox_roots
from wsp_mm.datasets.mupots_annotations import MuPoTSFrame, read_mupots
from wsp_mm.evaluation.functional.mupots import (
    MODES,
    ROOT,
    THRESHOLDS_MM,
    mupots_3dpck,
    mupots_errors,
    mupots_matches,
    mupots_occlusion_pck,
)
from wsp_mm.evaluation.functional.root_depth import ap_root, match_boxes, mrpe


def mupots_scores(
    frames: Sequence[MuPoTSFrame],
    predictions: Mapping[str, tuple[np.ndarray, np.ndarray]],
    thresholds_mm: Sequence[float] = THRESHOLDS_MM,
    absolute: bool = True,
) -> dict[str, float | int]:
    """Scores of a test set. Ground truth is ``keypoints_univ`` of the valid persons, as officially.

    Keys, percent: those of :func:`mupots_3dpck` with ``All`` or ``Matched`` after the first word
    (``PCK_All``, ``PCK_Matched_100``, ``AUC_All``, ``AUC_All_defined``, ``PCK_All_Head``,
    ``PCK_All_TS1``, ``PCK_All_TS1_Head``), and of :func:`mupots_occlusion_pck`
    (``PCK_All_visible``, ``PCK_All_occluded``, over ``n_sequences_All_occluded``). Poses are
    relative to the pelvis; of absolute positions the keys start with ``abs_``. Counts:
    ``n_sequences``, ``n_frames``, ``n_frames_without_predictions`` (of those with a valid person),
    ``n_persons``, ``n_matched``, ``n_predictions``, ``n_undefined_All``, ``n_undefined_Matched``
    (sequences without a person, without a match).

    Args:
        frames: every frame of the test set.
        predictions: frame key -> joints (M, 17, 2) px and (M, 17, 3) mm, camera frame; frames
            without predictions may be absent.
        thresholds_mm: 3DPCK is given at each.
        absolute: score absolute positions, too.

    Raises:
        ValueError: no frame, two of one key, predictions for a frame that there is not, wrong
            shapes, ground truth that is not finite.
    """
    keys = {frame.key for frame in frames}
    if not frames or len(keys) < len(frames):
        raise ValueError(f'{len(frames)} frames of ground truth have {len(keys)} different keys')
    unknown = sorted(set(predictions) - keys)
    if unknown:
        raise ValueError(f'{len(unknown)} predicted frames are not annotated, e.g. {unknown[0]!r}')
    nobody = np.zeros((0, 17, 2)), np.zeros((0, 17, 3))
    sequences, occluded = defaultdict(list), defaultdict(list)
    for frame in sorted(frames, key=lambda frame: (frame.sequence, frame.frame)):
        row = dict(key=frame.key, gt_2d=frame.keypoints_img, gt_3d=frame.keypoints_univ)
        row['pred_2d'], row['pred_3d'] = predictions.get(frame.key, nobody)
        sequences[frame.sequence].append(row)
        occluded[frame.sequence].append(frame.occluded)
    hidden = {s: np.concatenate(rows) for s, rows in occluded.items()}
    matched = {s: mupots_matches(rows) >= 0 for s, rows in sequences.items()}
    scores: dict[str, float | int] = {}
    for start, relative in (('', True), ('abs_', False))[: 1 + absolute]:
        errors = {s: mupots_errors(rows, relative) for s, rows in sequences.items()}
        for mode in MODES:
            rows = matched if mode == 'Matched' else {s: slice(None) for s in matched}
            chosen = {s: errors[s][rows[s]] for s in matched}
            found = mupots_3dpck(chosen, thresholds_mm)
            scores[f'n_undefined_{mode}'] = found['n_undefined']
            found |= mupots_occlusion_pck(chosen, {s: hidden[s][rows[s]] for s in matched})
            for key, value in found.items():
                if part := re.fullmatch('(PCK|AUC|n_sequences(?=_))(.*)', key):
                    scores[f'{start}{part[1]}_{mode}{part[2]}'] = value
    every = [row for rows in sequences.values() for row in rows]
    persons, found = np.array([(len(row['gt_2d']), len(row['pred_2d'])) for row in every]).T
    missed = int(((persons > 0) & (found == 0)).sum())
    scores |= dict(n_sequences=len(sequences), n_frames=len(every))
    scores |= dict(n_frames_without_predictions=missed, n_persons=int(persons.sum()))
    hits = int(sum(rows.sum() for rows in matched.values()))
    return scores | dict(n_matched=hits, n_predictions=int(found.sum()))


def without_details(scores: Mapping[str, float | int]) -> dict[str, float | int]:
    """The scores that belong in a log: without joint groups and AUC of single sequences."""
    detail = re.compile(r'.*_TS\d+_.*|(abs_)?AUC_.*_TS\d+')
    return {key: value for key, value in scores.items() if not detail.fullmatch(key)}


def root_scores(
    roots_file: str | Path,
    ann_file: str | Path,
    sequences_dir: str | Path | None = None,
    threshold_mm: float = 250.0,
    notes: list[str] | None = None,
) -> dict[str, float | int]:
    """AP_root of a file of roots, and MRPE over the persons who have a box.

    Which box is whose is decided in the image alone (``match_boxes``), so files with the same
    boxes and other depths are compared on the same persons. Roots of equal scores count in the
    order of the file, as RootNet's do.

    Args:
        roots_file: of tools/predict_roots.py, or RootNet's.
        ann_file, sequences_dir: of ``read_mupots``.
        threshold_mm: of AP_root.
        notes: gets those of the ground truth.

    Returns:
        The keys of ``ap_root`` and ``mrpe``, and ``n_matched``.

    Raises:
        ValueError: a missing or bad file, or roots of images that ``ann_file`` does not list.
    """
    found = read_bbox_roots(roots_file)
    truth = read_mupots(ann_file, sequences_dir)
    if notes is not None:
        notes += truth.notes
    frames, pairs = [], [np.zeros((2, 0, 3))]
    nobody = np.zeros((0, 4)), np.zeros((0, 3)), np.zeros(0), np.zeros(0)
    for frame in truth.frames:
        boxes, roots, scores, place = found.pop(frame.image_id, nobody)
        gt = frame.keypoints_cam[:, ROOT]
        frames.append(dict(gt=gt, pred=roots, scores=scores, place=place))
        box, person = match_boxes(boxes, frame.keypoints_img[:, ROOT])
        pairs.append(np.stack([roots[box], gt[person]]))
    if found:
        raise ValueError(f'{roots_file}: {ann_file} does not list image {next(iter(found))}')
    pred, gt = np.concatenate(pairs, axis=1)
    return {**ap_root(frames, threshold_mm), **mrpe(pred, gt), 'n_matched': len(pred)}
