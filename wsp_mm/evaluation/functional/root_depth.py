# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""How well the root joint is placed in the camera's frame: MRPE and AP_root of RootNet (ICCV 2019),
and the order of persons in depth.

N persons or detections, G true persons of an image, M detections of it. Positions are mm in the
camera's frame: x right, y down, z forward.
"""

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from wsp_mm.evaluation.functional.averages import mean


def mrpe(pred: np.ndarray, gt: np.ndarray) -> dict[str, float]:
    """Mean distance of predicted and true roots, and mean absolute differences along the axes.

    Args:
        pred, gt: (N, 3) mm.

    Returns:
        ``MRPE, MRPE_x, MRPE_y, MRPE_z`` mm; nan without persons.

    Raises:
        ValueError: other shapes.
    """
    pred, gt = np.asarray(pred, dtype=np.float64), np.asarray(gt, dtype=np.float64)
    if pred.shape != gt.shape or pred.ndim != 2 or pred.shape[1] != 3:
        raise ValueError(f'roots must be (N, 3) twice, got {pred.shape} and {gt.shape}')
    errors = np.linalg.norm(pred - gt, axis=1), *np.abs(pred - gt).T
    return dict(zip(('MRPE', 'MRPE_x', 'MRPE_y', 'MRPE_z'), map(mean, errors), strict=True))


def depth_order(
    pred: np.ndarray, gt: np.ndarray, images: Sequence
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs of persons of an image, and whether their order in depth is right.

    Pairs of equal true depth are left out; equal predictions are half right.

    Args:
        pred, gt: (N,) depth of every person, mm.
        images: (N,) the image of each.

    Returns:
        ``a`` and ``b`` (P,), the persons of each pair, and ``right`` (P,): 1, 0 or 0.5.
    """
    there: dict[object, list[int]] = {}
    for i, image in enumerate(np.asarray(images).tolist()):
        there.setdefault(image, []).append(i)
    pairs = [pair for rows in there.values() for pair in itertools.combinations(rows, 2)]
    a, b = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    order, true_order = (np.sign(depth[a] - depth[b]) for depth in map(np.asarray, (pred, gt)))
    kept = true_order != 0
    return a[kept], b[kept], (1 + order * true_order)[kept] / 2


def ap_root(
    frames: Sequence[Mapping[str, np.ndarray]], threshold_mm: float = 250.0
) -> dict[str, float | int]:
    """Average precision of detected roots, RootNet's arithmetic.

    Detections are taken in the order of their scores (by ``place`` where scores are equal).
    Each goes to the nearest true root of its image: it is a hit if that is nearer than the
    threshold and was not hit before; a second-best root is not looked for. The precision at each
    detection is weighted by the step of the recall that it makes, but for the very first detection,
    whose step is left out; so that even a perfect result stays 1 / (number of roots) below 100 %.

    Detections in images without a true person are not looked at.

    Args:
        frames: one an image: ``gt (G, 3)`` mm of the valid persons, ``pred (M, 3)`` mm, ``scores
            (M,)``, and where it is not that of the list, their order: ``place (M,)``.
        threshold_mm: a hit is nearer than this.

    Returns:
        ``AP_root`` and ``recall`` (the share of the true roots that is hit) in percent, nan without
        any true root; ``n_roots``, ``n_detections`` (in images with a true person), ``n_frames``
        (the same).

    Raises:
        ValueError: arrays that do not fit together.
    """
    detections, n_roots, n_frames, n_seen = [np.zeros((4, 0))], 0, 0, 0
    for i, frame in enumerate(frames):
        gt, pred = (np.reshape(frame[side], (-1, 3)).astype(np.float64) for side in ('gt', 'pred'))
        if len(frame['scores']) != len(pred):
            raise ValueError(f'frame {i}: {len(pred)} roots, but {len(frame["scores"])} scores')
        if len(gt):
            distance = np.linalg.norm(pred[:, None] - gt, axis=-1)
            # roots are counted through over the images
            nearest = n_roots + distance.argmin(axis=1)
            place = frame.get('place', n_seen + np.arange(len(pred)))
            detections.append(np.stack([frame['scores'], distance.min(axis=1), nearest, place]))
            n_roots, n_frames, n_seen = n_roots + len(gt), n_frames + 1, n_seen + len(pred)
    scores, distance, nearest, place = np.concatenate(detections, axis=1)
    counts = dict(n_roots=n_roots, n_detections=len(scores), n_frames=n_frames)
    if not n_roots:
        return dict(AP_root=math.nan, recall=math.nan, **counts)
    order = np.lexsort((place, -scores))
    near = np.flatnonzero(distance[order] < threshold_mm)
    # The first near detection of a root is the hit, the others are false.
    hit = np.zeros(len(order), dtype=bool)
    hit[near[np.unique(nearest[order][near], return_index=True)[1]]] = True
    hits = np.cumsum(hit)
    precision = hits / np.arange(1, len(hit) + 1)
    area = float((precision[1:] * np.diff(hits)).sum()) / n_roots
    return dict(AP_root=100 * area, recall=100 * int(hit.sum()) / n_roots, **counts)


def match_boxes(boxes: np.ndarray, roots_px: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which box is whose, by the images alone, so that two ways to guess depth are compared on
    equal pairs.

    A box can belong to a person whose true root lies in it; the pair with the root nearest to the
    box's centre, in units of the box's sides, is taken first, and then the next of what is left.

    Args:
        boxes: (M, 4) x, y, w, h px.
        roots_px: (G, 2) px of the image.

    Returns:
        Indices of boxes and of persons, (P,) each.
    """
    boxes, roots_px = np.reshape(boxes, (-1, 1, 4)), np.reshape(roots_px, (-1, 2))
    center, size = boxes[..., :2] + boxes[..., 2:] / 2, boxes[..., 2:]
    offset = np.abs(roots_px - center) / size
    distance = np.where((offset <= 0.5).all(axis=-1), np.linalg.norm(offset, axis=-1), np.inf)
    pairs = []
    while distance.size and np.isfinite(distance.min()):
        box, person = np.unravel_index(distance.argmin(), distance.shape)
        pairs.append((box, person))
        distance[box], distance[:, person] = np.inf, np.inf
    pairs = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]
