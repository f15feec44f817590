# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""All figures of one MuPoTS-3D test: annotated frames beside what was predicted for them, out come
flat scores.

Frames are rebuilt by their keys from the annotation, so a frame without predictions counts like any
other.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from wsp_mm.evaluation.functional.mupots import (
    THRESHOLDS_MM,
    mupots_3dpck,
    mupots_errors,
    mupots_matches,
    mupots_occlusion_pck,
)

if TYPE_CHECKING:
    from wsp_mm.structures.mupots import MuPoTSFrame

MODES = ('All', 'Matched')
ABSOLUTE = 'abs_'
N_OFFICIAL = 20
_KEY = re.compile(r'TS([1-9]\d*)_img_(\d{6})')
_NOBODY = np.zeros((0, 17, 2)), np.zeros((0, 17, 3))


def parse_key(key: object) -> tuple[int, int]:
    """``'TS3_img_000012'`` as (3, 12): sequence from 1, frame from 0.

    Raises:
        ValueError: not of that form.
    """
    found = _KEY.fullmatch(key) if isinstance(key, str) else None
    if found is None:
        raise ValueError(
            f'{key!r} does not name a frame of MuPoTS-3D; names are like TS1_img_000000'
        )
    return int(found[1]), int(found[2])


def mupots_scores(
    truth: Sequence[MuPoTSFrame],
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
        truth: every frame of the test set.
        predictions: frame key -> joints (M, 17, 2) px and (M, 17, 3) mm, camera frame; frames
            without predictions may be absent.
        thresholds_mm: 3DPCK is given at each.
        absolute: score absolute positions, too.

    Raises:
        ValueError: no frame, two of one key, predictions for a frame that there is not, wrong
            shapes.
    """
    if not truth:
        raise ValueError('there is no frame to score')
    by_key = {frame.key: frame for frame in truth}
    if len(by_key) < len(truth):
        raise ValueError(
            f'{len(truth) - len(by_key)} frames of the ground truth have the key of another one'
        )
    unknown = sorted(set(predictions) - set(by_key))
    if unknown:
        raise ValueError(
            f'{len(unknown)} frames have predictions, but are none of the {len(by_key)} annotated ones; '
            f'the first is {unknown[0]!r}'
        )
    frames, occluded = defaultdict(list), defaultdict(list)
    for frame in sorted(truth, key=lambda frame: (frame.sequence, frame.frame)):
        frames[frame.sequence].append(_frame(frame, predictions))
        occluded[frame.sequence].append(frame.occluded[frame.valid])
    occluded = {sequence: np.concatenate(rows) for sequence, rows in occluded.items()}
    matches = {sequence: mupots_matches(rows) for sequence, rows in frames.items()}
    matched = {sequence: match >= 0 for sequence, match in matches.items()}
    scores: dict[str, float | int] = {}
    for start, relative in (('', True), (ABSOLUTE, False))[: 1 + absolute]:
        errors = {
            s: mupots_errors(rows, relative, matches=matches[s]) for s, rows in frames.items()
        }
        for mode in MODES:
            if mode == 'Matched':
                errors = {s: rows[matched[s]] for s, rows in errors.items()}
            hidden = (
                occluded if mode == 'All' else {s: rows[matched[s]] for s, rows in occluded.items()}
            )
            found = mupots_3dpck(errors, thresholds_mm)
            undefined = found.pop('n_undefined')
            found = {key: value for key, value in found.items() if not key.startswith('n_')}
            found |= mupots_occlusion_pck(errors, hidden)
            scores |= {start + _with_mode(key, mode): value for key, value in found.items()}
            scores[f'n_undefined_{mode}'] = undefined
    every = [row for rows in frames.values() for row in rows]
    return scores | dict(
        n_sequences=len(frames),
        n_frames=len(every),
        n_frames_without_predictions=sum(
            len(f['gt_2d']) > 0 and not len(f['pred_2d']) for f in every
        ),
        n_persons=sum(len(f['gt_2d']) for f in every),
        n_matched=int(sum(rows.sum() for rows in matched.values())),
        n_predictions=sum(len(f['pred_2d']) for f in every),
    )


def undefined_sequences(scores: Mapping[str, float], mode: str, prefix: str = '') -> list[str]:
    """Names of the sequences in which nobody is counted: no valid person, or with ``Matched`` no
    match.
    """
    start = f'{prefix}PCK_{mode}_'
    return [
        key.removeprefix(start)
        for key, value in scores.items()
        if re.fullmatch(rf'{re.escape(start)}TS\d+', key) and np.isnan(value)
    ]


def without_details(scores: Mapping[str, float | int]) -> dict[str, float | int]:
    """The scores that belong in a log: without joint groups and AUC of single sequences."""
    detail = re.compile(r'.*_TS\d+_.*|(abs_)?AUC_.*_TS\d+')
    return {key: value for key, value in scores.items() if not detail.fullmatch(key)}


def _with_mode(key: str, mode: str) -> str:
    """``PCK_100`` -> ``PCK_All_100``; ``n_sequences_visible`` -> ``n_sequences_All_visible``."""
    head = 'n_sequences' if key.startswith('n_sequences') else key.partition('_')[0]
    return f'{head}_{mode}{key.removeprefix(head)}'


def _frame(frame: MuPoTSFrame, predictions: Mapping) -> dict[str, np.ndarray]:
    """One frame as the functional layer takes it."""
    pred_2d, pred_3d = (np.asarray(joints) for joints in predictions.get(frame.key, _NOBODY))
    if (
        pred_2d.shape[1:] != (17, 2)
        or pred_3d.shape[1:] != (17, 3)
        or len(pred_2d) != len(pred_3d)
        or pred_2d.ndim != 3
    ):
        raise ValueError(
            f'predictions of {frame.key} must be (persons, 17, 2) and (persons, 17, 3), got {pred_2d.shape} '
            f'and {pred_3d.shape}'
        )
    valid = np.asarray(frame.valid, dtype=bool)
    gt_2d, gt_3d = frame.keypoints_img[valid], frame.keypoints_univ[valid]
    if not (np.isfinite(gt_2d).all() and np.isfinite(gt_3d).all()):
        raise ValueError(
            f'a valid person of {frame.key} has joints that are not finite: mend its annotation'
        )
    return dict(gt_2d=gt_2d, gt_3d=gt_3d, pred_2d=pred_2d, pred_3d=pred_3d)
