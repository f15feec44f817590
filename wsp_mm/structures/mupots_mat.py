# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The official files of a MuPoTS-3D sequence, ``annot.mat`` and ``occlusion.mat``, as arrays.

F frames, P persons of a sequence (columns), 17 joints (``mupots17``). Both files hold cell arrays
{frame, person}: of structs with annot2, annot3, univ_annot3 and isValidFrame, and of rows of
labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

NUM_JOINTS = 17
MEND = "Take the file from MuPoTS-3D's official release again (docs/data.md)"

#: Field of a cell with joints -> its shape.
FIELDS = {
    'annot2': (2, NUM_JOINTS),
    'annot3': (3, NUM_JOINTS),
    'univ_annot3': (3, NUM_JOINTS),
}


@dataclass(frozen=True)
class SequenceTruth:
    """What annot.mat says of a sequence. Persons who are not valid may have nan instead of joints.

    Attributes:
        keypoints_img: (F, P, 17, 2) px. keypoints_cam: (F, P, 17, 3) camera mm.
        keypoints_univ: (F, P, 17, 3) camera mm, scaled to a universal height.
        valid: (F, P) bool, whether the person is to be scored. present: (F, P) bool, whether there
            is a record.
    """

    keypoints_img: np.ndarray
    keypoints_cam: np.ndarray
    keypoints_univ: np.ndarray
    valid: np.ndarray
    present: np.ndarray


def load_cells(path: str | Path, name: str) -> np.ndarray:
    """The cell array of that name, (F, P).

    Raises:
        ValueError: no such file, none that can be read, or no such array in it; the message names
            the file.
    """
    from scipy.io import loadmat

    path = Path(path)
    if not path.is_file():
        raise ValueError(f'{path}: there is no such file. {MEND}')
    try:
        content = loadmat(path)
    except NotImplementedError as error:
        raise ValueError(
            f'{path}: a file of MATLAB 7.3, which is HDF5. Save it with save(..., "-v7")'
        ) from error
    except Exception as error:  # SciPy stumbles over a damaged file in many ways
        raise ValueError(
            f'{path}: no MATLAB file can be read from it, it may be cut off ({type(error).__name__}: {error}). '
            f'{MEND}'
        ) from error
    if name not in content:
        found = sorted(key for key in content if not key.startswith('__'))
        raise ValueError(f'{path}: it holds no {name!r}, but {found}. {MEND}')
    cells = content[name]
    is_array = isinstance(cells, np.ndarray) and cells.ndim == 2
    if not is_array or (cells.dtype != object and not cells.dtype.names):
        raise ValueError(
            f'{path}: {name!r} is no cell array {{frame, person}} but {type(cells).__name__} of '
            f'{getattr(cells, "dtype", "?")} and shape {getattr(cells, "shape", "?")}. {MEND}'
        )
    if not cells.shape[0]:
        raise ValueError(f'{path}: {name!r} has no frames. {MEND}')
    return cells


def read_annot_mat(path: str | Path) -> SequenceTruth:
    """Ground truth of a sequence. An empty cell is a person who is not there.

    Raises:
        ValueError: a broken file, a field that is missing or of another shape, or joints of a valid
            person that are not finite; the message names file, frame (from 0), person (from 1) and
            field.
    """
    cells = load_cells(path, 'annotations')
    values = {
        name: np.full((*cells.shape, *shape), np.nan)
        for name, shape in FIELDS.items()
        if name != 'isValidFrame'
    }
    valid, present = np.zeros(cells.shape, dtype=bool), np.zeros(cells.shape, dtype=bool)
    for where, cell in np.ndenumerate(cells):
        record = _struct(cell, f'{path}: frame {where[0]}, person {where[1] + 1}')
        if record is None:
            continue
        present[where] = True
        valid[where] = bool(record.number('isValidFrame'))
        for name, array in values.items():
            array[where] = record.joints(name, FIELDS[name], valid[where])
    joints = {name: np.swapaxes(array, -1, -2) for name, array in values.items()}
    return SequenceTruth(joints['annot2'], joints['annot3'], joints['univ_annot3'], valid, present)


def read_occlusion_mat(path: str | Path, valid: np.ndarray | None = None) -> np.ndarray:
    """(F, P, 17) bool, whether a joint is occluded. An empty cell says that none is.

    Args:
        valid: (F, P) bool, persons that count. Of the others, as with their joints, what is
            unusable is passed over. None: all count.

    Raises:
        ValueError: a broken file, or a cell that does not hold 17 labels 0 and 1.
    """
    cells = load_cells(path, 'occlusion_labels')
    occluded = np.zeros((*cells.shape, NUM_JOINTS), dtype=bool)
    # Files that do not fit each other are the caller's to report.
    counts = (
        np.ones(cells.shape, dtype=bool) if valid is None or valid.shape != cells.shape else valid
    )
    for where, cell in np.ndenumerate(cells):
        labels = np.asarray(cell)
        if not labels.size:
            continue
        problem = ''
        if labels.size != NUM_JOINTS or labels.dtype.kind not in 'fiub':
            problem = f'must be 1 x {NUM_JOINTS}, are {_shape(labels)}'
        elif not np.isin(labels, (0, 1)).all():
            problem = f'must be 0 or 1, hold {np.unique(labels)[:5].tolist()}'
        if not problem:
            occluded[where] = labels.reshape(-1) > 0
        elif counts[where]:
            record = f'{path}: frame {where[0]}, person {where[1] + 1}: occlusion_labels'
            raise ValueError(f'{record} {problem}. {MEND}')
    return occluded


def _shape(array: np.ndarray) -> str:
    return ' x '.join(map(str, array.shape)) + (
        '' if array.dtype.kind in 'fiub' else f' of {array.dtype}'
    )


@dataclass(frozen=True)
class _Record:
    """One struct; ``where`` is what messages begin with."""

    fields: np.void
    where: str

    def get(self, name: str) -> np.ndarray:
        if name not in self.fields.dtype.names:
            raise ValueError(
                f'{self.where}: the field {name} is missing; there are {list(self.fields.dtype.names)}. {MEND}'
            )
        return np.asarray(self.fields[name])

    def number(self, name: str) -> float:
        value = self.get(name)
        if value.size != 1 or value.dtype.kind not in 'fiub' or not np.isfinite(value).all():
            raise ValueError(f'{self.where}: {name} must be one number, is {_shape(value)}. {MEND}')
        return float(value.reshape(())[()])

    def joints(self, name: str, shape: tuple[int, int], valid: bool) -> np.ndarray:
        """The joints; nan where the person is not valid and they are unusable."""
        value = self.get(name)
        good = value.shape == shape and value.dtype.kind in 'fiu'
        if valid and not good:
            expected = ' x '.join(map(str, shape))
            raise ValueError(f'{self.where}: {name} must be {expected}, is {_shape(value)}. {MEND}')
        if valid and not np.isfinite(value).all():
            raise ValueError(
                f'{self.where}: {name} of a valid person holds nan or infinity. {MEND}'
            )
        return value.astype(np.float64) if good else np.full(shape, np.nan)


def _struct(cell: object, where: str) -> _Record | None:
    """A cell's struct, None for an empty cell."""
    if isinstance(cell, np.ndarray):
        if not cell.size:
            return None
        if cell.size == 1:
            cell = cell.reshape(-1)[0]
    if not isinstance(cell, np.void) or not cell.dtype.names:
        raise ValueError(f'{where}: the cell holds no struct but {type(cell).__name__}. {MEND}')
    return _Record(cell, where)
