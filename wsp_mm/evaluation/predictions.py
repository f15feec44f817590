# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Predictions in files: the dump of a test, 3D poses, and MuPoTS-3D's two mat files.

N samples, K joints, P persons. Nothing here is a pickle unless the caller trusts it.
"""

import pickle
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wsp_mm.datasets.annotations import Findings, Verdict, load_json
from wsp_mm.datasets.array_files import NUMBERS, read_mat, read_npz
from wsp_mm.datasets.plausibility import beyond, body_size, camera_poses
from wsp_mm.evaluation.functional import pose3d_scores
from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.utils.files import atomic_file

Arrays = dict[str, np.ndarray]
_PREDICTIONS = 'Name a file of predictions'

# ---------------------------------------------------------------------- dump of a test


def flatten_sample(sample: Mapping[str, Any]) -> Arrays:
    """Numbers and text of a data sample (as a dict): ``id``, ``pred_instances.keypoints``, ..."""
    flat: Arrays = {}
    for name, value in sample.items():
        if not name.endswith('_instances'):
            flat[name] = _plain(value)
        else:
            flat |= {f'{name}.{field}': _plain(part) for field, part in value.items()}
    return {name: array for name, array in flat.items() if array is not None}


def _plain(value: Any) -> np.ndarray | None:
    """A value as an array of numbers or text, None if it is something else."""
    if hasattr(value, 'detach'):  # a tensor
        value = value.detach().cpu().numpy()
    if not isinstance(value, (np.ndarray, np.generic, bool, int, float, str, list, tuple)):
        return None
    try:
        array = np.asarray(value)
    except ValueError:  # ragged lists
        return None
    return array if array.dtype.kind in 'biufU' else None


def _pack(samples: Sequence[Arrays]) -> Arrays:
    """What :func:`save_dump` writes."""
    packed: Arrays = {}
    for name in samples[0] if samples else ():
        parts = [sample.get(name) for sample in samples]
        container, _, field = name.partition('.')
        shapes = {None if part is None else part.shape[bool(field) :] for part in parts}
        if len(shapes) > 1 or None in shapes or (field and not parts[0].ndim):
            continue
        packed[name] = np.concatenate(parts) if field else np.stack(parts)
        if field:
            packed[f'{container}.count'] = np.array([len(part) for part in parts])
    return packed or {'id': np.zeros(0, dtype=np.int64)}


def save_dump(samples: Sequence[Arrays], file: str | Path) -> None:
    """Write the samples of :func:`flatten_sample` as one npz of plain arrays.

    Fields of one shape in all samples become arrays (N, ...) under their own name, such as ``id``
    and ``img_path``. Fields of instances have those of all samples one after the other,
    ``pred_instances.keypoints`` (sum of the counts, ...), and ``pred_instances.count`` (N,) beside
    them. Fields that not all samples have are left out.
    """
    with atomic_file(file) as stream:
        np.savez_compressed(stream, **_pack(samples))


def load_dump(file: str | Path, trust: bool = False) -> Arrays:
    """What ``tools/test.py --dump`` wrote, as :func:`save_dump` arranges it.

    Args:
        file: npz; with ``trust`` also the pickle of MMEngine's ``DumpResults``.
        trust: reading a pickle can run any code that it holds.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read, or is a pickle and not trusted.
    """
    file = Path(file)
    if not file.is_file():
        raise FileNotFoundError(f'{file} does not exist')
    if file.suffix not in ('.pkl', '.pickle'):
        return read_npz(file, remedy=_PREDICTIONS)
    try:
        if not trust:
            raise ValueError('a pickle can run any code: dump to .npz, or give --trust')
        with file.open('rb') as stream:
            return _pack([flatten_sample(sample) for sample in pickle.load(stream)])
    except Exception as error:  # a damaged pickle raises almost anything
        raise ValueError(f'{file} cannot be read as predictions: {error}') from error


# ---------------------------------------------------------------------- 3D poses

# K -> joint set of poses that do not name theirs.
_SETS = {17: 'h36m17', 18: 'h36m18', 21: 'muco21'}
# Name in a plain file -> name in a dump.
_DUMPED = {
    'ids': 'id',
    'pred': 'pred_instances.keypoints_cam',
    'gt': 'gt_instances.keypoints_cam',
    'actions': 'action',
    'image_ids': 'img_id',
}


@dataclass(frozen=True)
class PoseTable:
    """3D predictions of a test set, each beside the ground truth where that is known.

    Attributes:
        ids: (N,) sample ids as text.
        pred: (N, K, 3) mm, camera frame.
        gt: (N, K, 3) mm, or None.
        actions: (N,) names, or None.
        image_ids: (N,) image ids as text, or None.
        joint_set: names the K joints.
        of_images: whether ``ids`` are those of the images, as PoseNet saves them.
        file: where it comes from, for messages.
    """

    ids: np.ndarray
    pred: np.ndarray
    gt: np.ndarray | None
    actions: np.ndarray | None
    image_ids: np.ndarray | None
    joint_set: str
    of_images: bool = False
    file: str = ''

    def scores(
        self, truth: 'PoseTable | None' = None, findings: Findings | None = None
    ) -> dict[str, float | int]:
        """All figures of the set, see :func:`wsp_mm.evaluation.functional.pose3d_scores`.

        PoseNet saves 17 joints without the added thorax: ground truth of 18 is cut to those, and PA
        then aligns 17. It names images, one person each: they are found by ``image_ids``.

        Args:
            truth: ground truth and actions of the same samples; None: this table's own.
            findings: counts samples that are left out, because their ground truth is implausible.

        Raises:
            AnnotationError: most of the ground truth has another size than people.
            ValueError: there is no ground truth, or it is of other joints or other samples, or has
                several persons in an image where the predictions name images.
        """
        truth = truth or self
        if truth.gt is None:
            raise ValueError('there is no ground truth to score against: name a file with --gt')
        cut = self.joint_set == 'h36m17' and truth.joint_set == 'h36m18'
        gt = truth.gt[:, :17] if cut else truth.gt
        if gt.shape[1] != self.pred.shape[1]:
            raise ValueError(f'{self.pred.shape[1]} joints, the ground truth {gt.shape[1]}')
        by_image = self.of_images and truth.image_ids is not None
        row = {name: i for i, name in enumerate(truth.image_ids if by_image else truth.ids)}
        if len(row) < len(gt):
            raise ValueError('the ground truth has several persons in an image')
        different = sorted(row.keys() ^ set(self.ids))
        if different:
            raise ValueError(f'predictions and ground truth are of other samples: {different[0]}')
        rows = np.array([row[name] for name in self.ids], dtype=np.int64)
        names = [f'sample {name}: gt' for name in truth.ids]
        judge, verdict = (findings or Findings()).judge, body_size(truth.gt, truth.joint_set)
        good = judge(verdict, truth.file, names.__getitem__)[rows]
        rows = rows[good]
        actions = None if truth.actions is None else truth.actions[rows].tolist()
        return pose3d_scores(self.pred[good], gt[rows], self.joint_set, actions)


def load_poses(file: str | Path, joint_set: str | None = None, trust: bool = False) -> PoseTable:
    """Read 3D predictions.

    - A dump of ``tools/test.py`` (:func:`load_dump`), with predictions, ground truth and actions.
    - ``.npz`` or ``.json`` of other code: ``ids (N,)``, ``pred (N, K, 3)`` mm, and optionally ``gt
      (N, K, 3)`` mm, ``actions (N,)``, ``image_ids (N,)`` and ``joint_set``.
    - PoseNet's ``bbox_root_pose_human36m_output.json``, a list of ``{image_id, joint_cam (17, 3),
      ...}`` relative to the root. Its protocol 1 saves poses that are already aligned with the
      ground truth: only their PA-MPJPE means anything.

    Args:
        joint_set: what the K joints are; None: what the file says, or else the Human3.6M or MuCo
            set of that size.
        trust: read MMEngine's own pickle, too.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: another kind of file, a record that lacks something, an id that occurs twice, a
            value beyond 1e6 mm, or most predictions of another size than people have; the message
            names the file.
    """
    file = Path(file)
    is_json = file.suffix == '.json'
    content = load_json(file, remedy=_PREDICTIONS) if is_json else load_dump(file, trust)
    try:
        if isinstance(content, list):
            ids, pred = zip(*((r['image_id'], r['joint_cam']) for r in content), strict=True)
            content = dict(ids=ids, pred=pred, of_images=True)
        found = {}
        for name, dumped in _DUMPED.items():
            value = content.get(name, content.get(dumped))
            kind = np.float64 if name in ('pred', 'gt') else str
            found[name] = None if value is None else np.asarray(value, dtype=kind)
        n, (_, k, _) = len(found['ids']), found['pred'].shape
        joint_set = joint_set or str(content.get('joint_set', '')) or _SETS.get(k)
        if joint_set is not None:
            get_joint_set(joint_set)
        of_images = bool(content.get('of_images', False))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, MemoryError) as error:
        raise ValueError(f'{file} holds no 3D predictions (ids, pred): {error!r}') from error
    for name, value in found.items():
        shape = (n, k, 3) if name in ('pred', 'gt') else (n,)
        if value is not None and value.shape != shape:
            raise ValueError(f'{file}: {name} must have shape {shape}, got {value.shape}')
    unique, counts = np.unique(found['ids'], return_counts=True)
    if len(unique) < n:
        raise ValueError(f'{file}: two samples carry the id {unique[counts.argmax()]}')
    if joint_set is None:
        raise ValueError(f'{file} has {k} joints and does not name its joint set: give --joint-set')
    if k != (expected := len(get_joint_set(joint_set))):
        raise ValueError(f'{file}: {joint_set} has {expected} joints, poses have {k}')
    for name in ('pred', 'gt'):
        if found[name] is not None:
            _judge(beyond(found[name]), file, lambda i: f'sample {found["ids"][i]}: {name}')  # noqa: B023
    _judge(body_size(found['pred'], joint_set), file, lambda i: f'sample {found["ids"][i]}')
    return PoseTable(**found, joint_set=joint_set, of_images=of_images, file=str(file))


def _judge(verdict: Verdict, file: Path, name: Callable[[int], str]) -> None:
    """Refuse a file of predictions. Odd ones stay, unless most are: a score without them would
    flatter.
    """
    Findings().judge(verdict, file, name, 'Write the predictions in mm')


# ---------------------------------------------------------------------- MuPoTS-3D's mat files

FILE_2D = 'preds_2d_kpt_mupots.mat'
FILE_3D = 'preds_3d_kpt_mupots.mat'
Predictions = Mapping[str, tuple[np.ndarray, np.ndarray]]
_FRAME_KEY = re.compile(r'TS[1-9]\d*_img_\d{6}')


def save_mupots(
    folder: str | Path, keys: Iterable[str], predictions: Predictions
) -> tuple[Path, Path]:
    """Write predictions as the two mat files that the official evaluation of MuPoTS-3D loads.

    Both hold one variable a frame, ``TS1_img_000000`` and so on (sequence from 1, frame from 0).
    The script stops at a frame that has no variable, so frames without predictions are written with
    P = 0.

    Args:
        folder: made where it is missing.
        keys: of every frame of the test set.
        predictions: key -> (P, 17, 2) image px and (P, 17, 3) mm, camera frame.

    Returns:
        Paths of the 2D and the 3D file; each appears whole or not at all.

    Raises:
        ValueError: predictions of a frame that is not among ``keys``, or of wrong shapes.
    """
    from scipy.io import savemat

    keys, files = list(keys), (Path(folder) / FILE_2D, Path(folder) / FILE_3D)
    if unknown := sorted(set(predictions) - set(keys)):
        raise ValueError(f'{len(unknown)} predicted frames are not known, such as {unknown[0]!r}')
    nobody, contents = (np.zeros((0, 17, 2)), np.zeros((0, 17, 3))), ({}, {})
    for side, content in enumerate(contents):
        for key in keys:
            pair = predictions.get(key, nobody)
            content[key] = np.asarray(pair[side], dtype=np.float64)
            if content[key].shape != (expected := (len(pair[0]), 17, side + 2)):
                raise ValueError(f'{key} must be {expected}, got {content[key].shape}')
    for file, content in zip(files, contents, strict=True):
        with atomic_file(file) as target:
            savemat(target, content)
    return files


def load_mupots(
    file_2d: str | Path, file_3d: str | Path, camera_space: bool = False
) -> Predictions:
    """Read both mat files, ours or somebody else's.

    An empty matrix of any shape (MATLAB's ``[]``) is a frame without predictions.

    Args:
        file_2d, file_3d: the files.
        camera_space: absolute positions will be scored; poses relative to the root are refused.

    Returns:
        key -> (P, 17, 2) px and (P, 17, 3) mm.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no mat file, or one of MATLAB's version 7.3; a variable that names no frame or
            has the wrong shape; frames or persons that are in one of the files alone; a value
            beyond 1e6, or most persons of another size (with ``camera_space`` also depth) than
            people have. The message names the file.
    """
    flat, deep = _load_mat(Path(file_2d), 2), _load_mat(Path(file_3d), 3)
    poses = np.concatenate(list(deep.values()))
    keys = np.repeat(list(deep), [len(persons) for persons in deep.values()])
    judge = camera_poses if camera_space else body_size
    _judge(judge(poses, 'mupots17'), Path(file_3d), keys.__getitem__)
    for key in sorted(flat.keys() | deep.keys()):
        persons = [len(side[key]) if key in side else None for side in (flat, deep)]
        if persons[0] != persons[1]:
            raise ValueError(f'{file_2d}, {file_3d}: {key} has {persons} persons, None: no frame')
    return {key: (flat[key], deep[key]) for key in flat}


def _load_mat(file: Path, dim: int) -> Arrays:
    if not file.is_file():
        raise FileNotFoundError(f'{file} does not exist')
    content = read_mat(file, 'Write it again as a MATLAB file of version 5 to 7')
    frames = {}
    for key, value in content.items():
        if key.startswith('__'):
            continue
        if not _FRAME_KEY.fullmatch(key):
            raise ValueError(f'{file}: {key!r} does not name a frame, as TS1_img_000000 does')
        joints = np.asarray(value) if np.size(value) else np.zeros((0, 17, dim))
        if joints.dtype.kind not in NUMBERS or joints.ndim != 3 or joints.shape[1:] != (17, dim):
            raise ValueError(f'{file}: {key} must be (persons, 17, {dim}), got {joints.shape}')
        frames[key] = joints.astype(np.float64)
        _judge(beyond(frames[key]), file, lambda i: f'{key}, person {i + 1}')  # noqa: B023
    if not frames:
        raise ValueError(f'{file} holds no frame: variables are named like TS1_img_000000')
    return frames
