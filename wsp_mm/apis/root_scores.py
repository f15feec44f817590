# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""How good the roots of a bbox_root json are on MuPoTS-3D; no network and no picture is needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from wsp_mm.datasets.bbox_root import read_bbox_roots
from wsp_mm.evaluation.functional.root_depth import ap_root, match_boxes, mrpe
from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.structures.mupots import read_mupots


def score_roots(
    roots_file: str | Path,
    ann_file: str | Path,
    sequences_dir: str | Path | None = None,
    threshold_mm: float = 250.0,
) -> dict[str, float | int]:
    """AP_root of a file of roots, and MRPE over the persons who have a box.

    Which box is whose is decided in the picture alone (``match_boxes``), so files with the same
    boxes and other depths are compared on the same persons.

    Args:
        roots_file: of tools/predict_roots.py, or RootNet's.
        ann_file, sequences_dir: of ``read_mupots``.
        threshold_mm: of AP_root.

    Returns:
        The keys of ``ap_root`` and ``mrpe``, and ``n_matched``.

    Raises:
        ValueError: a missing or bad file, or roots of pictures that ``ann_file`` does not list.
    """
    found = read_bbox_roots(roots_file)
    root = get_joint_set('mupots17').index('pelvis')
    frames, pairs = [], []
    nobody = np.zeros((0, 4)), np.zeros((0, 3)), np.zeros(0)
    for frame in read_mupots(ann_file, sequences_dir).frames:
        boxes, roots, scores = found.pop(frame.image_id, nobody)
        gt = frame.keypoints_cam[frame.valid, root]
        frames.append(dict(gt=gt, pred=roots, scores=scores))
        box, person = match_boxes(boxes, frame.keypoints_img[frame.valid, root])
        pairs.append(np.stack([roots[box], gt[person]]))
    if found:
        raise ValueError(
            f'{roots_file}: image {next(iter(found))} is not in {ann_file} ({len(found)} such images)'
        )
    pred, gt = np.concatenate([np.zeros((2, 0, 3)), *pairs], axis=1)
    return {**ap_root(frames, threshold_mm), **mrpe(pred, gt), 'n_matched': len(pred)}
