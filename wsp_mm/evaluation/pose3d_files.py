# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""3D predictions in files: what ``tools/test.py --dump`` writes, our plain npz, PoseNet's result
json.

N samples, K joints, mm in the camera frame.
"""

from __future__ import annotations

import json
import pickle
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from wsp_mm.evaluation.functional import pose3d_scores
from wsp_mm.utils.files import atomic_file

# K -> joint set of poses that do not name theirs.
_SETS = {17: 'h36m17', 18: 'h36m18', 21: 'muco21'}


@dataclass(frozen=True)
class PoseTable:
    """Predictions of a test set, each beside the truth where that is known.

    Attributes:
        ids: (N,) sample ids as text.
        pred: (N, K, 3) mm.
        gt: (N, K, 3) mm, or None.
        actions: (N,) names, or None.
        joint_set: names the K joints.
        image_ids: (N,) ids of the pictures as text, or None.
        of_images: whether ``ids`` are those of the pictures, as PoseNet saves them.
    """

    ids: np.ndarray
    pred: np.ndarray
    gt: np.ndarray | None
    actions: np.ndarray | None
    joint_set: str
    image_ids: np.ndarray | None = None
    of_images: bool = False

    def with_truth(self, truth: PoseTable) -> PoseTable:
        """This table's predictions beside another one's truth, sample by sample.

        PoseNet saves 17 joints without the added thorax: a truth of 18 is cut to those, and PA then
        aligns 17. It names pictures, one person each: they are found by the truth's ``image_ids``.

        Raises:
            ValueError: the other table has no truth, other joints, or lacks a sample of this one or
                has one that was not predicted.
        """
        if truth.gt is None:
            raise ValueError('the file given as truth holds no ground truth')
        gt = truth.gt
        if self.joint_set == 'h36m17' and truth.joint_set == 'h36m18':
            gt = gt[:, :17]
        if gt.shape[1] != self.pred.shape[1]:
            raise ValueError(
                f'predictions have {self.pred.shape[1]} joints, the truth {gt.shape[1]}'
            )
        names = truth.image_ids if self.of_images and truth.image_ids is not None else truth.ids
        row = {name: i for i, name in enumerate(names.tolist())}
        if len(row) < len(names):
            raise ValueError(
                'the truth has several persons in a picture, and the predictions name pictures alone'
            )
        unknown = [name for name in self.ids.tolist() if name not in row]
        missing = sorted(set(row) - set(self.ids.tolist()))
        for what, names in (
            ('predictions have no truth', unknown),
            ('samples were not predicted', missing),
        ):
            if names:
                raise ValueError(f'{len(names)} {what}, the first has the id {names[0]}')
        rows = np.array([row[name] for name in self.ids.tolist()], dtype=np.int64)
        return replace(
            self, gt=gt[rows], actions=None if truth.actions is None else truth.actions[rows]
        )

    def scores(self) -> dict[str, float | int]:
        """All figures of the set, see :func:`wsp_mm.evaluation.functional.pose3d_scores`.

        Raises:
            ValueError: the truth is not known.
        """
        if self.gt is None:
            raise ValueError(
                'predictions without ground truth cannot be scored: name a file with --truth'
            )
        actions = None if self.actions is None else self.actions.tolist()
        return pose3d_scores(self.pred, self.gt, self.joint_set, actions)


def load_poses(file: str | Path, joint_set: str | None = None) -> PoseTable:
    """Read predictions.

    - ``.pkl``, ``.pickle``: a dump of ``tools/test.py``, with predictions, truth and actions. A
      pickle can run any code as it is read: open your own only, and hand on npz.
    - ``.npz`` (:func:`save_poses`): ``ids (N,)``, ``pred (N, K, 3)`` mm, and optionally ``gt (N, K,
      3)`` mm, ``actions (N,)``, ``image_ids (N,)`` and ``joint_set``.
    - ``.json``: the same names as lists; or PoseNet's ``bbox_root_pose_human36m_output.json``, a
      list of ``{image_id, joint_cam (17, 3), ...}`` relative to the root. Its protocol 1 saves
      poses that are already aligned with the truth: only their PA-MPJPE means anything.

    Args:
        joint_set: what the K joints are; None: what the file says, or else the Human3.6M or MuCo
            set of that size.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: another kind of file, a record that lacks something, or ids that occur twice
            with different contents; the message names the file and the record.
    """
    file = Path(file)
    if not file.is_file():
        raise FileNotFoundError(f'{file} does not exist')
    readers = {'.pkl': _from_dump, '.pickle': _from_dump, '.npz': _from_npz, '.json': _from_json}
    if file.suffix not in readers:
        raise ValueError(f'{file}: predictions are read from {", ".join(readers)}')
    try:
        content = readers[file.suffix](file)
        ids = np.array([str(name) for name in content['ids']], dtype=str)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(
            f'{file} is no file of 3D predictions: {type(error).__name__} {error}'
        ) from error
    poses = {side: _poses(file, side, content.get(side), ids) for side in ('pred', 'gt')}
    if poses['pred'] is None:
        raise ValueError(f'{file} holds no predictions (pred)')
    actions = content.get('actions')
    if actions is not None and len(actions) != len(ids):
        raise ValueError(f'{file} holds {len(ids)} ids but {len(actions)} actions')
    k = poses['pred'].shape[1]
    joint_set = joint_set or content.get('joint_set') or _SETS.get(k)
    if joint_set is None:
        raise ValueError(f'{file} has {k} joints and does not name its joint set: give --joint-set')
    image_ids = content.get('image_ids')
    if image_ids is not None and len(image_ids) != len(ids):
        raise ValueError(f'{file} holds {len(ids)} ids but {len(image_ids)} image_ids')
    table = PoseTable(
        ids,
        **poses,
        actions=None if actions is None else np.array(actions),
        joint_set=joint_set,
        image_ids=None
        if image_ids is None
        else np.array([str(name) for name in image_ids], dtype=str),
        of_images=bool(content.get('of_images', False)),
    )
    return _unique(file, table)


def save_poses(table: PoseTable, file: str | Path) -> None:
    """Write the npz that :func:`load_poses` reads: plain arrays, and the file appears whole or not
    at all.
    """
    arrays = dict(ids=table.ids, pred=table.pred, joint_set=np.array(table.joint_set))
    if table.of_images:
        arrays['of_images'] = np.array(True)
    arrays |= {
        name: value
        for name in ('gt', 'actions', 'image_ids')
        if (value := getattr(table, name)) is not None
    }
    with atomic_file(file) as stream:
        np.savez_compressed(stream, **arrays)


def _poses(file: Path, side: str, value: Sequence | None, ids: np.ndarray) -> np.ndarray | None:
    if value is None:
        return None
    try:
        poses = np.asarray(value, dtype=np.float64)
    except ValueError as error:
        raise ValueError(f'{file}: {side} is not one (N, K, 3) array: {error}') from error
    if poses.ndim != 3 or poses.shape[2] != 3 or len(poses) != len(ids):
        raise ValueError(
            f'{file}: {side} must be ({len(ids)}, K, 3) for its {len(ids)} ids, got {poses.shape}'
        )
    return poses


def _from_dump(file: Path) -> dict:
    with file.open('rb') as stream:
        try:
            samples = pickle.load(stream)
        except (pickle.UnpicklingError, EOFError) as error:
            raise ValueError(
                f'{file} cannot be read as a pickle, it may be truncated: {error}'
            ) from error
    poses = {'pred': [], 'gt': []}
    for sample in samples:
        for side, rows in poses.items():
            if 'keypoints_cam' not in sample[f'{side}_instances']:
                raise ValueError(
                    f'{file}: sample {sample["id"]} has no {side}_instances.keypoints_cam'
                )
            rows.append(
                np.asarray(sample[f'{side}_instances']['keypoints_cam'], dtype=np.float64)[0]
            )
    actions = [sample.get('action') for sample in samples]
    known = all(action is not None for action in actions)
    images = [sample.get('img_id') for sample in samples]
    return dict(
        ids=[sample['id'] for sample in samples],
        **poses,
        actions=actions if known else None,
        image_ids=None if None in images else images,
    )


def _from_npz(file: Path) -> dict:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            content = {name: arrays[name] for name in arrays.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f'{file} cannot be read as an npz, it may be truncated: {error}'
        ) from error
    if 'joint_set' in content:
        content['joint_set'] = str(content['joint_set'])
    return content


def _from_json(file: Path) -> dict:
    try:
        content = json.loads(file.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f'{file} is no json, it may be truncated: {error}') from error
    if isinstance(content, dict):
        return content
    ids = [r['image_id'] for r in content]
    return dict(ids=ids, pred=[r['joint_cam'] for r in content], of_images=True)


def _unique(file: Path, table: PoseTable) -> PoseTable:
    """One row an id: samples that filled a last batch occur twice."""
    _, first, back = np.unique(table.ids, return_index=True, return_inverse=True)
    keep = np.sort(first)
    if len(keep) == len(table.ids):
        return table
    reference = table.pred if table.gt is None else table.gt
    differs = ~np.isclose(reference, reference[first[back]]).all(axis=(1, 2))
    if differs.any():
        raise ValueError(
            f'{file}: two different samples carry the id {table.ids[int(differs.argmax())]}'
        )
    chosen = {
        name: None if (value := getattr(table, name)) is None else value[keep]
        for name in ('ids', 'pred', 'gt', 'actions', 'image_ids')
    }
    return replace(table, **chosen)
