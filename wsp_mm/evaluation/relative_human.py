# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Predictions against Relative Human: by person, by pair, or detected and matched by joints.

N true persons of M images, in the order of the annotation file; P predictions.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from wsp_mm.datasets.annotations import load_json
from wsp_mm.datasets.detections import NameIndex
from wsp_mm.datasets.relative_human_annotations import JOINT_SET, RelativeHuman
from wsp_mm.evaluation.functional.pcdr import (
    AGES,
    SCORES,
    THRESHOLD_M,
    match_persons,
    mpckh,
    pcdr,
)
from wsp_mm.evaluation.predictions import load_dump
from wsp_mm.evaluation.tables import text_table
from wsp_mm.structures.keypoints import convert_joints, get_joint_set

#: Order in which persons are matched, the official one.
MATCHED_SET = 'rh14'
_PREDICTIONS = 'Name an inference.json of demo/infer.py, or an npz of tools/test.py --dump'


def person_scores(
    truth: RelativeHuman,
    persons: np.ndarray,
    depths_m: np.ndarray,
    threshold_m: float = THRESHOLD_M,
) -> dict[str, float | int]:
    """Score the depths of persons whose boxes were given.

    Args:
        truth: the ground truth.
        persons: (P,) numbers of the persons in the file. depths_m: (P,) m.
        threshold_m: see :func:`wsp_mm.evaluation.functional.pcdr.pcdr`.

    Returns:
        The figures of :func:`wsp_mm.evaluation.functional.pcdr.pcdr`.
    """
    depths = np.full(len(truth.image), np.nan)
    depths[persons] = depths_m
    images = [dict(_layers(truth, rows), depths=depths[rows]) for rows in truth.rows()]
    return pcdr(images, threshold_m)


def pair_scores(
    truth: RelativeHuman, pairs: np.ndarray, probs: np.ndarray
) -> dict[str, float | int]:
    """Score who of two persons is nearer.

    Args:
        truth: the ground truth.
        pairs: (P, 2) numbers of persons A and B of one image. probs: (P,), that A is nearer.

    Returns:
        As :func:`person_scores`.
    """
    pairs, images = np.asarray(pairs, dtype=np.int64).reshape(-1, 2), []
    at = truth.image[pairs[:, 0]]
    order = np.argsort(at, kind='stable')
    edges = np.searchsorted(at[order], np.arange(len(truth.file_names) + 1))
    for n, rows in enumerate(truth.rows()):
        nearer = np.full((len(rows),) * 2, np.nan)
        here = order[edges[n] : edges[n + 1]]
        a, b = truth.number[pairs[here]].T
        nearer[a, b], nearer[b, a] = np.asarray(probs)[here], 1 - np.asarray(probs)[here]
        images.append(dict(_layers(truth, rows), nearer=nearer))
    return pcdr(images)


def detection_scores(
    truth: RelativeHuman,
    found: Mapping[int, Mapping[str, np.ndarray]],
    joint_set: str,
    threshold_m: float = THRESHOLD_M,
) -> dict[str, float | int]:
    """Score detected persons, who are matched by their joints.

    Persons without labelled joints are not looked for. All others count as missed where nobody
    matches them.

    Args:
        truth: the ground truth.
        found: image, from 0 -> ``keypoints (P, K, 2)`` px, and ``depths (P,)`` m or ``nearer
            (P, P)``, the probability that the row's person is nearer than the column's.
        joint_set: of the K joints.
        threshold_m: see :func:`wsp_mm.evaluation.functional.pcdr.pcdr`.

    Returns:
        As :func:`person_scores`, and ``mPCKh``, ``recall``, ``precision`` in percent and
        ``n_persons``, those with labelled joints.
    """
    gt, labelled = convert_joints(truth.keypoints, truth.visible, JOINT_SET, MATCHED_SET)
    num_joints, images, matched, count = len(get_joint_set(joint_set)), [], [], 0
    is_order = any('nearer' in persons for persons in found.values())
    for n, rows in enumerate(truth.rows()):
        persons = found.get(n, dict(keypoints=np.zeros((0, num_joints, 2)), depths=np.zeros(0)))
        keypoints = np.reshape(persons['keypoints'], (-1, num_joints, 2))
        pred, known = convert_joints(
            keypoints, np.ones(keypoints.shape[:2], bool), joint_set, MATCHED_SET
        )
        match = match_persons(gt[rows], labelled[rows], pred, known)
        hit, count = match >= 0, count + len(keypoints)
        values = persons.get('nearer', persons.get('depths'))
        answers = np.full((len(rows),) * (2 if is_order else 1), np.nan)
        if hit.any():
            chosen = np.flatnonzero(hit)
            answers[np.ix_(*[chosen] * answers.ndim)] = values[np.ix_(*[match[hit]] * answers.ndim)]
        images.append(
            dict(
                _layers(truth, rows),
                missed=labelled[rows].any(axis=1) & ~hit,
                **{'nearer' if is_order else 'depths': answers},
            )
        )
        matched.append((gt[rows][hit], labelled[rows][hit], pred[match[hit]], known[match[hit]]))
    scores, persons = pcdr(images, threshold_m), int(labelled.any(axis=1).sum())
    hits = persons - scores['n_missed']
    joints = [np.concatenate(part) for part in zip(*matched, strict=True)]
    return scores | dict(
        mPCKh=mpckh(*joints),
        recall=100 * hits / persons if persons else np.nan,
        precision=100 * hits / count if count else np.nan,
        n_persons=persons,
    )


def _layers(truth: RelativeHuman, rows: np.ndarray) -> dict[str, np.ndarray]:
    return dict(layers=truth.layer[rows], ages=truth.age[rows])


# ---------------------------------------------------------------------- files of predictions
def file_scores(
    path: str | Path,
    truth: RelativeHuman,
    threshold_m: float = THRESHOLD_M,
    notes: list[str] | None = None,
) -> dict[str, float | int]:
    """Score what was saved: an ``inference.json`` (format 2), or the dump of a test on
    :class:`~wsp_mm.datasets.relative_human.RelativeHumanDataset`.

    Args:
        path: the file. truth: the ground truth.
        threshold_m: see :func:`wsp_mm.evaluation.functional.pcdr.pcdr`.
        notes: gets what a user should know of the file, in sentences.

    Raises:
        AnnotationError: no such json, or a broken one.
        FileNotFoundError: no such npz.
        ValueError: another kind of file, or predictions of other images or persons.
    """
    path, notes = Path(path), [] if notes is None else notes
    try:
        if path.suffix == '.json':
            found, joint_set = _read_inference(path, truth, notes)
            return detection_scores(truth, found, joint_set, threshold_m)
        dump = load_dump(path)
        prefix = 'pred_instances.'
        if f'{prefix}pair_probs' in dump:
            pairs = dump['gt_instances.pair_ann_ids']
            return pair_scores(truth, _check_ids(pairs, truth), dump[f'{prefix}pair_probs'])
        roots = dump[f'{prefix}root_cam']
        return person_scores(truth, _check_ids(dump['id'], truth), roots[:, 2] / 1000, threshold_m)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(
            f'{path} holds no predictions that can be scored ({error!r}). {_PREDICTIONS}'
        ) from error


def _check_ids(ids: np.ndarray, truth: RelativeHuman) -> np.ndarray:
    if not ((ids >= 0) & (ids < len(truth.image))).all():
        raise ValueError(f'it has persons up to {ids.max()}, {truth.file} has {len(truth.image)}')
    return ids


def _read_inference(
    path: Path, truth: RelativeHuman, notes: list[str]
) -> tuple[dict[int, dict], str]:
    """Return what :func:`detection_scores` takes, and the joint set."""
    content = load_json(path, remedy=_PREDICTIONS)
    info = content['info']
    is_order = info['task'] == 'order'
    index = NameIndex(truth.file_names)
    numbers = {name: n for n, name in enumerate(truth.file_names)}
    found, unknown, no_depth = {}, [], 0
    for frame in content['frames']:
        name = index.find(frame['file_name'], stem=False)
        if name is None:
            unknown.append(frame['file_name'])
            continue
        if numbers[name] in found:
            raise ValueError(f'{path}: two frames are of {name}')
        persons = [p for p in frame['persons'] if p['keypoints_img'] is not None]
        if not is_order:
            no_depth += sum(p['root_depth'] is None for p in persons)
            persons = [p for p in persons if p['root_depth'] is not None]
        there = dict(keypoints=np.array([p['keypoints_img'] for p in persons], dtype=np.float64))
        if is_order:
            ids = [p['id'] for p in persons]
            nearer = np.array(frame['order']['probability']) if ids else np.zeros((0, 0))
            there['nearer'] = nearer[np.ix_(ids, ids)]
        else:
            there['depths'] = np.array([p['root_depth'] for p in persons], dtype=np.float64) / 1000
        found[numbers[name]] = there
    if not found:
        what = f'{len(unknown)} others, such as {unknown[0]}' if unknown else 'no frame'
        raise ValueError(f'{path} has none of the images of {truth.file}, but {what}')
    if no_depth:
        note = f'{path}: {no_depth:,} persons without root_depth are left out'
        notes.append(f'{note} (without a camera there is none: --assume-fov 60)')
    if unknown:
        notes.append(f'{path}: left out {len(unknown):,} other images, such as {unknown[0]}')
    if absent := len(truth.file_names) - len(found):
        notes.append(f'{path}: {absent:,} images are absent, their persons count as missed')
    return found, info['joint_set']


def relative_human_summary(scores: Mapping[str, float], start: str = '') -> str:
    """Return the figures as a text table; ``start`` stands before their keys."""
    groups = {'all': '', **{name: f'_{name}' for name in AGES}}
    rows = [
        [group, *(scores[f'{start}{key}{suffix}'] for key in SCORES)]
        for group, suffix in groups.items()
    ]
    title = (
        'Depth layers, %. Acc and AUC: pairs of different layers; an order without metres is '
        'never right for one layer'
    )
    more = {
        key: f'{scores[f"{start}{key}"]:.4g}'
        for key in ('PCDR_equal', 'PCDR_different', 'mPCKh', 'recall', 'precision', 'n_missed')
        if f'{start}{key}' in scores
    }
    line = ', '.join(f'{key} {value}' for key, value in more.items())
    return f'{text_table(["persons", *SCORES], rows, title, digits=2)}\n{line}'
