# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Predictions for MuPoTS-3D in the two mat files that the official evaluation loads.

Both hold one variable a frame, ``TS1_img_000000`` and so on (sequence from 1, frame from 0): (P,
17, 2) px in ``preds_2d_kpt_mupots.mat``, (P, 17, 3) mm in the camera frame in
``preds_3d_kpt_mupots.mat``. The script stops at a frame that has no variable, so frames without
predictions are there with P = 0.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from wsp_mm.evaluation.mupots_scores import parse_key

FILE_2D = 'preds_2d_kpt_mupots.mat'
FILE_3D = 'preds_3d_kpt_mupots.mat'
Predictions = dict[str, tuple[np.ndarray, np.ndarray]]


def save_predictions(
    folder: str | Path,
    keys: Iterable[str],
    predictions: Mapping[str, tuple[np.ndarray, np.ndarray]],
) -> tuple[Path, Path]:
    """Write both files; each appears whole or not at all.

    Args:
        folder: made where it is missing.
        keys: of every frame of the test set.
        predictions: key -> (P, 17, 2) px and (P, 17, 3) mm; frames that are not in it are written
            empty.

    Returns:
        Paths of the 2D and the 3D file.

    Raises:
        ValueError: a key that names no frame, predictions of a frame that is not among ``keys``, or
            of wrong shapes.
    """
    from scipy.io import savemat

    keys = sorted(dict.fromkeys(keys), key=parse_key)
    unknown = sorted(set(predictions) - set(keys))
    if unknown:
        raise ValueError(
            f'{len(unknown)} frames have predictions, but are not known: {unknown[0]!r} is the first'
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    partials = []
    for side, (name, dim) in enumerate(((FILE_2D, 2), (FILE_3D, 3))):
        nobody = np.zeros((0, 17, dim))
        content = {
            key: np.asarray(predictions[key][side], dtype=np.float64)
            if key in predictions
            else nobody
            for key in keys
        }
        for key, joints in content.items():
            if joints.ndim != 3 or joints.shape[1:] != (17, dim):
                raise ValueError(f'predictions of {key} must be (P, 17, {dim}), got {joints.shape}')
            if key in predictions and len(joints) != len(predictions[key][0]):
                raise ValueError(
                    f'predictions of {key}: {len(predictions[key][0])} persons in 2D, {len(joints)} in 3D'
                )
        stream = io.BytesIO()
        savemat(stream, content)
        partials.append(folder / f'{name}.part')
        partials[-1].write_bytes(stream.getbuffer())
    files = folder / FILE_2D, folder / FILE_3D
    for partial, file in zip(partials, files, strict=True):
        os.replace(partial, file)
    return files


def load_predictions(file_2d: str | Path, file_3d: str | Path) -> Predictions:
    """Read both files, ours or somebody else's.

    An empty matrix of any shape (MATLAB's ``[]``) is a frame without predictions.

    Returns:
        key -> (P, 17, 2) px and (P, 17, 3) mm.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no mat file, or one of MATLAB's version 7.3; a variable that names no frame or
            has the wrong shape; frames or persons that are in one of the files alone. The message
            names the file.
    """
    flat, deep = _load(Path(file_2d), 2), _load(Path(file_3d), 3)
    alone = sorted(flat.keys() ^ deep.keys())
    if alone:
        raise ValueError(
            f'{len(alone)} frames are in only one of {file_2d} and {file_3d}, the first is {alone[0]}: are '
            'they of the same test?'
        )
    for key, joints in flat.items():
        if len(joints) != len(deep[key]):
            raise ValueError(
                f'{key} has {len(joints)} persons in {file_2d}, {len(deep[key])} in {file_3d}'
            )
    return {key: (flat[key], deep[key]) for key in sorted(flat, key=parse_key)}


def _load(file: Path, dim: int) -> dict[str, np.ndarray]:
    from scipy.io import loadmat

    if not file.is_file():
        raise FileNotFoundError(f'{file} does not exist')
    try:
        content = loadmat(file)
    except NotImplementedError as error:
        raise ValueError(f"{file} is in MATLAB's format 7.3: save it with -v7") from error
    except Exception as error:  # SciPy stumbles over a damaged file in many ways
        raise ValueError(
            f'{file} cannot be read as a mat file, it may be damaged: {error}'
        ) from error
    out = {}
    for key, value in content.items():
        if key.startswith('__'):
            continue
        try:
            parse_key(key)
            joints = np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f'{file}: {key}: {error}') from error
        if not joints.size:
            joints = np.zeros((0, 17, dim))
        if joints.ndim != 3 or joints.shape[1:] != (17, dim):
            raise ValueError(f'{file}: {key} must be (persons, 17, {dim}), got {joints.shape}')
        out[key] = joints
    if not out:
        raise ValueError(f'{file} holds no frame: variables must be named like TS1_img_000000')
    return out
