# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Human3.6M's annotations as arrays in a folder: the one format that is read at run time.

``header.json`` and a ``.npy`` file for each column; N rows, one for each frame of each camera. The
files are mapped into memory: nothing is parsed or copied at opening, pages are read when a row is
asked for, and all processes share them. A dict for each of 312,000 training frames would take
minutes and gigabytes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wsp_mm.datasets.annotations import AnnotationError, load_json
from wsp_mm.datasets.array_files import map_npy
from wsp_mm.structures.h36m import ACTIONS
from wsp_mm.utils.files import atomic_folder

FORMAT, VERSION = 'wsp_mm.h36m', 1
CONVERTER = 'python tools/dataset_converters/convert_h36m.py'

#: Columns -> type of a row's values. subaction is 1 or 2, camera 1 to 4, action an index in
#: ``ACTIONS``; frame counts from 0, at 50 frames a second. size is width and height of the image as
#: annotated, px; bbox x, y, w, h px as annotated: around the joints, neither square nor padded;
#: joints (17, 3) camera mm (``h36m17``). file_name (bytes) is relative to the folder of the images.
COLUMNS = dict(
    subject='u1', action='u1', subaction='u1', camera='u1', frame='i4', id='i8', image_id='i8',
    size='i2',
    bbox='f4', joints='f4', file_name='S',
)  # fmt: skip

_SHAPES = dict(size=(2,), bbox=(4,), joints=(17, 3))


@dataclass(frozen=True)
class H36MArrays:
    """The rows and the header, see :data:`COLUMNS`.

    Attributes:
        path: the folder.
        header: layout (``'3dmppe'`` or ``'mmpose'``), images (their folder below the data root),
            subjects, steps (the rows are the frames whose number is a multiple of one of them),
            size_slack (by how many px an image may differ from ``size``), cameras (lists of
            subject, camera, fx, fy, cx, cy px), notes (sentences for the user).
        columns: name -> array of N rows.
        cameras: (subject, camera) -> (4,) fx, fy, cx, cy px.
    """

    path: str
    header: dict
    columns: dict[str, np.ndarray]
    cameras: dict[tuple[int, int], np.ndarray]

    def __reduce__(self):
        # Copies, and workers that do not inherit the memory, map the files again.
        return open_arrays, (self.path,)

    def select(
        self, subjects: Sequence[int], step: int, actions: Sequence[str] = ACTIONS
    ) -> np.ndarray:
        """Return the rows of some subjects and actions whose frame is a multiple of ``step``.

        Raises:
            AnnotationError: subjects or frames that were not converted, or no such row.
        """
        header = self.header
        if not set(subjects) <= set(header['subjects']) or all(step % s for s in header['steps']):
            raise AnnotationError(
                'not converted', self.path, '',
                f'it holds subjects {header["subjects"]} and frames that are multiples of '
                f'{header["steps"]}, but subjects {list(subjects)} and multiples of {step} are '
                'needed',
                f'Convert again: {CONVERTER} --subjects ... --steps ...',
            )  # fmt: skip
        kept = np.isin(self.columns['subject'], subjects) & (self.columns['frame'] % step == 0)
        kept &= np.isin(self.columns['action'], [ACTIONS.index(action) for action in actions])
        if not kept.any():
            raise AnnotationError(
                'empty selection', self.path, '',
                f'it has no frame of subjects {list(subjects)}, actions {", ".join(actions)} and a '
                f'number that is a multiple of {step}', 'Select others',
            )  # fmt: skip
        return np.flatnonzero(kept)


def open_arrays(path: str | Path) -> H36MArrays:
    """Map the arrays into memory, read only.

    Raises:
        AnnotationError: there are none, or they are broken or of another version.
    """
    path = Path(path)
    remedy = f'Convert the annotations: {CONVERTER} --data-root ... (docs/data_3d.md)'
    header = load_json(path / 'header.json', remedy=remedy)
    try:
        if (header['format'], header['version']) != (FORMAT, VERSION):
            raise ValueError(f'format {header["format"]!r}, version {header["version"]}')
        columns = {name: map_npy(path / f'{name}.npy', remedy) for name in COLUMNS}
        cameras = {
            (s, camera): np.array(intrinsics, dtype=np.float64).reshape(4)
            for s, camera, *intrinsics in header['cameras']
        }
        _check(header, columns, cameras)
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        if isinstance(error, AnnotationError):
            raise
        what = f'these are not the arrays that this version reads ({error})'
        raise AnnotationError('broken arrays', path, '', what, remedy) from None
    return H36MArrays(str(path), header, columns, cameras)


def _check(header: Mapping, columns: Mapping[str, np.ndarray], cameras: Mapping) -> None:
    """Check what is read by index; ValueError, KeyError or TypeError says what is wrong."""
    n = len(columns['id'])
    for name, dtype in COLUMNS.items():
        column, shape = columns[name], (n, *_SHAPES.get(name, ()))
        kind = column.dtype.kind == 'S' if dtype == 'S' else column.dtype == np.dtype(dtype)
        if not kind or column.shape != shape:
            raise ValueError(f'{name} is {column.dtype} {column.shape}, not {dtype} {shape}')
    for key, kind in dict(layout=str, images=str, size_slack=int, notes=list).items():
        if not isinstance(header[key], kind):
            raise ValueError(f'{key} is {header[key]!r}')
    for key in ('subjects', 'steps'):
        if not all(isinstance(value, int) and value > 0 for value in header[key]):
            raise ValueError(f'{key} is {header[key]!r}')
    used = np.unique(columns['subject'].astype(np.int64) * 256 + columns['camera'])
    if absent := {divmod(key, 256) for key in used.tolist()} - set(cameras):
        raise ValueError(f'it lacks the camera of subject and camera {min(absent)}')
    if n and columns['action'].max() >= len(ACTIONS):
        raise ValueError(f'action {columns["action"].max()}')


def write_arrays(path: str | Path, header: Mapping, columns: Mapping[str, np.ndarray]) -> None:
    """Write the folder: in whole, or not at all. One that is there is replaced.

    Args:
        header: see :class:`H36MArrays`.
        columns: see :data:`COLUMNS`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(path) as folder:
        for name, dtype in COLUMNS.items():
            np.save(folder / f'{name}.npy', np.asarray(columns[name], dtype=dtype))
        content = dict(format=FORMAT, version=VERSION, **header)
        (folder / 'header.json').write_text(json.dumps(content), encoding='utf-8')
