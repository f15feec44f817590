# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Predictions in files: the dump of a test, 3D poses, and MuPoTS-3D's two mat files.

N samples, K joints, P persons. Nothing here is a pickle unless the caller trusts it.
"""

import io
import pickle
import re
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from wsp_mm.datasets.annotations import load_json
from wsp_mm.evaluation.functional import pose3d_scores
from wsp_mm.utils.files import atomic_file

Arrays = dict[str, np.ndarray]

# ---------------------------------------------------------------------- dump of a test


def pack_samples(samples: Sequence[Mapping[str, Any]]) -> Arrays:
    """Data samples (as dicts) as plain arrays.

    Fields that are numbers or text of one shape in all samples become arrays (N, ...) under their
    own name, such as ``id`` and ``img_path``. Fields of ``pred_instances`` and ``gt_instances``
    have the instances of all samples one after the other, ``pred_instances.keypoints`` (sum of the
    counts, ...), and ``pred_instances.count`` (N,) beside them. Other fields are left out.
    """
    packed: Arrays = {}
    for name in samples[0] if samples else ():
        values = [sample.get(name) for sample in samples]
        if not name.endswith('_instances'):
            arrays = [_plain(value) for value in values]
            if all(a is not None and a.shape == arrays[0].shape for a in arrays):
                packed[name] = np.stack(arrays)
            continue
        values = [value or {} for value in values]
        fields = {field: [_plain(v.get(field)) for v in values] for field in values[0]}
        for field, parts in fields.items():
            if all(a is not None and a.ndim and a.shape[1:] == parts[0].shape[1:] for a in parts):
                packed[f'{name}.{field}'] = np.concatenate(parts)
                packed[f'{name}.count'] = np.array([len(part) for part in parts])
    return packed or {'id': np.zeros(0, dtype=int)}


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


def save_dump(samples: Sequence[Mapping[str, Any]], file: str | Path) -> None:
    """Write data samples (as dicts) as an npz of plain arrays, see :func:`pack_samples`."""
    with atomic_file(file) as stream:
        np.savez_compressed(stream, **pack_samples(samples))


def load_dump(file: str | Path, trust: bool = False) -> Arrays:
    """What ``tools/test.py --dump`` wrote, as :func:`pack_samples` arranges it.

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
    try:
        if file.suffix in ('.pkl', '.pickle'):
            if not trust:
                raise ValueError(
                    'a pickle can run any code as it is read: dump to .npz instead, or give --trust'
                )
            with file.open('rb') as stream:
                return pack_samples(pickle.load(stream))
        with np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (
        OSError, EOFError, ValueError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error,
        pickle.UnpicklingError,
    ) as error:  # fmt: skip
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
    """Predictions of a test set, each beside the ground truth where that is known.

    Attributes:
        ids: (N,) sample ids as text.
        pred: (N, K, 3) mm, camera frame.
        gt: (N, K, 3) mm, or None.
        actions: (N,) names, or None.
        image_ids: (N,) image ids as text, or None.
        joint_set: names the K joints.
        of_images: whether ``ids`` are those of the images, as PoseNet saves them.
    """

    ids: np.ndarray
    pred: np.ndarray
    gt: np.ndarray | None
    actions: np.ndarray | None
    image_ids: np.ndarray | None
    joint_set: str
    of_images: bool = False

    def with_gt(self, other: 'PoseTable') -> 'PoseTable':
        """This table's predictions beside another one's ground truth, sample by sample.

        PoseNet saves 17 joints without the added thorax: ground truth of 18 is cut to those, and PA
        then aligns 17. It names images, one person each: they are found by the other table's
        ``image_ids``.

        Raises:
            ValueError: the other table has no ground truth, other joints, several persons in an
                image where images are named, or not the same samples.
        """
        if other.gt is None:
            raise ValueError('the file given with --gt holds no ground truth')
        gt = other.gt
        if self.joint_set == 'h36m17' and other.joint_set == 'h36m18':
            gt = gt[:, :17]
        if gt.shape[1] != self.pred.shape[1]:
            raise ValueError(
                f'predictions have {self.pred.shape[1]} joints, the ground truth {gt.shape[1]}'
            )
        by_image = self.of_images and other.image_ids is not None
        names = (other.image_ids if by_image else other.ids).tolist()
        row = {name: i for i, name in enumerate(names)}
        if len(row) < len(names):
            raise ValueError(
                'the ground truth has several persons in an image, and the predictions name images'
            )
        different = sorted(set(row) ^ set(self.ids.tolist()))
        if different:
            raise ValueError(
                f'{len(different)} samples are either not predicted or have no ground truth, '
                f'the first has the id {different[0]}'
            )
        rows = np.array([row[name] for name in self.ids.tolist()], dtype=np.int64)
        actions = None if other.actions is None else other.actions[rows]
        return replace(self, gt=gt[rows], actions=actions)

    def scores(self) -> dict[str, float | int]:
        """All figures of the set, see :func:`wsp_mm.evaluation.functional.pose3d_scores`.

        Raises:
            ValueError: the ground truth is not known.
        """
        if self.gt is None:
            raise ValueError('there is no ground truth to score against: name a file with --gt')
        actions = None if self.actions is None else self.actions.tolist()
        return pose3d_scores(self.pred, self.gt, self.joint_set, actions)


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
        ValueError: another kind of file, a record that lacks something, or an id that occurs twice;
            the message names the file.
    """
    file = Path(file)
    if file.suffix == '.json':
        content = load_json(file)
        if isinstance(content, list):
            try:
                content = dict(
                    ids=[record['image_id'] for record in content],
                    pred=[record['joint_cam'] for record in content],
                    of_images=True,
                )
            except (KeyError, TypeError) as error:
                raise ValueError(f'{file} is no list of 3D predictions: {error!r}') from error
    else:
        content = load_dump(file, trust)
    found: dict[str, np.ndarray | None] = {}
    for name, dumped in _DUMPED.items():
        value = content.get(name, content.get(dumped))
        if value is None and name in ('ids', 'pred'):
            raise ValueError(f'{file} holds no 3D predictions: it has neither {name} nor {dumped}')
        kind = np.float64 if name in ('pred', 'gt') else str
        try:
            found[name] = None if value is None else np.asarray(value, dtype=kind)
        except (TypeError, ValueError) as error:
            raise ValueError(f'{file}: {name} is not one array: {error}') from error
    ids = found['ids']
    for name, value in found.items():
        shape = (len(ids), *found['pred'].shape[1:2], 3) if name in ('pred', 'gt') else (len(ids),)
        if value is not None and value.shape != shape:
            raise ValueError(f'{file}: {name} has shape {value.shape}, its ids ask for {shape}')
    unique, counts = np.unique(ids, return_counts=True)
    if len(unique) < len(ids):
        raise ValueError(f'{file}: two samples carry the id {unique[counts.argmax()]}')
    k = found['pred'].shape[1]
    joint_set = joint_set or str(content.get('joint_set', '')) or _SETS.get(k)
    if joint_set is None:
        raise ValueError(f'{file} has {k} joints and does not name its joint set: give --joint-set')
    return PoseTable(
        **found, joint_set=joint_set, of_images=bool(content.get('of_images', False))
    )


# ---------------------------------------------------------------------- MuPoTS-3D's mat files

FILE_2D = 'preds_2d_kpt_mupots.mat'
FILE_3D = 'preds_3d_kpt_mupots.mat'
Predictions = dict[str, tuple[np.ndarray, np.ndarray]]
_FRAME_KEY = re.compile(r'TS[1-9]\d*_img_\d{6}')


def save_mupots(
    folder: str | Path,
    keys: Iterable[str],
    predictions: Mapping[str, tuple[np.ndarray, np.ndarray]],
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
    unknown = sorted(set(predictions) - set(keys))
    if unknown:
        raise ValueError(f'{len(unknown)} predicted frames are not known, such as {unknown[0]!r}')
    streams = []
    for side, dim in enumerate((2, 3)):
        nobody = np.zeros((0, 17, 2)), np.zeros((0, 17, 3))
        content = {
            key: np.asarray(predictions.get(key, nobody)[side], dtype=np.float64) for key in keys
        }
        for key, joints in content.items():
            expected = (len(predictions.get(key, nobody)[0]), 17, dim)
            if joints.shape != expected:
                raise ValueError(f'predictions of {key} must be {expected}, got {joints.shape}')
        streams.append(io.BytesIO())
        savemat(streams[-1], content)
    for file, stream in zip(files, streams, strict=True):
        with atomic_file(file) as target:
            target.write(stream.getbuffer())
    return files


def load_mupots(file_2d: str | Path, file_3d: str | Path) -> Predictions:
    """Read both mat files, ours or somebody else's.

    An empty matrix of any shape (MATLAB's ``[]``) is a frame without predictions.

    Returns:
        key -> (P, 17, 2) px and (P, 17, 3) mm.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no mat file, or one of MATLAB's version 7.3; a variable that names no frame or
            has the wrong shape; frames or persons that are in one of the files alone. The message
            names the file.
    """
    flat, deep = _load_mat(Path(file_2d), 2), _load_mat(Path(file_3d), 3)
    for key in sorted(flat.keys() | deep.keys()):
        persons = [len(side[key]) if key in side else None for side in (flat, deep)]
        if persons[0] != persons[1]:
            raise ValueError(
                f'{file_2d} and {file_3d} are not of the same test: {key} has {persons[0]} and '
                f'{persons[1]} persons (None: the frame is not there)'
            )
    return {key: (flat[key], deep[key]) for key in flat}


def _load_mat(file: Path, dim: int) -> Arrays:
    from scipy.io import loadmat

    if not file.is_file():
        raise FileNotFoundError(f'{file} does not exist')
    try:
        content = loadmat(file)
    except NotImplementedError as error:
        raise ValueError(f"{file} is in MATLAB's format 7.3: save it with -v7") from error
    except Exception as error:  # SciPy raises almost anything for a damaged file
        raise ValueError(f'{file} cannot be read as a mat file: {error}') from error
    frames = {}
    for key, value in content.items():
        if key.startswith('__'):
            continue
        if not _FRAME_KEY.fullmatch(key):
            raise ValueError(f'{file}: {key!r} does not name a frame, as TS1_img_000000 does')
        joints = np.asarray(value) if np.size(value) else np.zeros((0, 17, dim))
        if joints.dtype.kind not in 'iuf' or joints.ndim != 3 or joints.shape[1:] != (17, dim):
            raise ValueError(f'{file}: {key} must be (persons, 17, {dim}), got {joints.shape}')
        frames[key] = joints.astype(np.float64)
    if not frames:
        raise ValueError(f'{file} holds no frame: variables are named like TS1_img_000000')
    return frames
