# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Human3.6M from the files of MMPose's converter: h36m_train.npz, h36m_test.npz and cameras.pkl.

Made for lifting, they lack what pictures need: boxes are computed as 3DMPPE's are, pixels are
projected without lens distortion as PoseNet's are, so that a frame is the same sample in either
layout. N frames, 17 joints.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from wsp_mm.datasets import h36m_convention as convention
from wsp_mm.datasets.converters.mcpc.records import BadDataError, Findings
from wsp_mm.datasets.h36m_3dmppe import SKIP_HINT
from wsp_mm.datasets.h36m_sequences import (
    ACTIONS,
    CAMERA_IDS,
    frame_id,
    parse_file_name,
    take_number,
)
from wsp_mm.datasets.h36m_table import (
    H36MRows,
    H36MTable,
    is_broken,
    join_rows,
    keep_frames,
    make_rows,
)
from wsp_mm.structures.bbox import crop_boxes, joints_boxes
from wsp_mm.structures.camera import PinholeCamera

#: Which file holds a subject. The names are the converter's; under protocol 1 subject 9 is trained
#: on all the same.
SPLITS = {'train': (1, 5, 6, 7, 8), 'test': (9, 11)}

#: cameras.pkl says 1000 or 1002 rows by camera alone, and is wrong for some videos (subject 7's
#: 55011271).
SIZE_SLACK_PX = 2

_AGAIN = "Make it again with MMPose's tools/dataset_converters/preprocess_h36m.py (docs/data.md)"
_MILLIMETRES = (
    100.0  # a depth below this is in metres: nobody stands 10 cm or 100 m from the camera
)


def npz_file(folder: Path, split: str, steps: tuple[int, ...]) -> Path:
    """The file of a split: of those at 10 and 50 frames a second the smaller one that holds all
    steps.

    Raises:
        BadDataError: there is neither.
    """
    wanted = ('fps10', 'fps50') if all(step % 5 == 0 for step in steps) else ('fps50', 'fps10')
    for rate in wanted:
        path = Path(folder) / rate / f'h36m_{split}.npz'
        if path.is_file():
            return path
    raise BadDataError(
        'missing file',
        Path(folder) / wanted[0] / f'h36m_{split}.npz',
        '',
        'there is no such file',
        _AGAIN,
    )


def read_mmpose(
    folder: str | Path,
    subjects: tuple[int, ...],
    steps: tuple[int, ...],
    findings: Findings,
    tolerance: float = convention.TOLERANCE_PX,
    progress=None,
) -> H36MTable:
    """As :func:`wsp_mm.datasets.h36m_3dmppe.read_3dmppe`; ``folder`` holds cameras.pkl, fps10 and
    fps50.
    """
    folder = Path(folder)
    cameras = _read_cameras(folder / 'cameras.pkl')
    table = H36MTable(
        'mmpose', None, {}, subjects, steps, SIZE_SLACK_PX, [str(folder / 'cameras.pkl')]
    )
    parts = []
    for split, of_split in SPLITS.items():
        wanted = [subject for subject in subjects if subject in of_split]
        if not wanted:
            continue
        if progress is not None:
            progress(split)
        path = npz_file(folder, split, steps)
        if path.parent.name == 'fps10' and any(step % 5 for step in steps):
            table.notes.append(
                f'{path} holds every fifth frame: of those that are multiples of {steps} only some are there'
            )
        table.files.append(str(path))
        parts.append(_Split(path, cameras, table, findings, tolerance).read(wanted))
    table.rows = join_rows(parts)
    return table


class _Split:
    """One npz."""

    def __init__(
        self, path: Path, cameras: dict, table: H36MTable, findings: Findings, tolerance: float
    ) -> None:
        self.path, self.raw_cameras, self.table = path, cameras, table
        self.findings, self.tolerance = findings, tolerance
        self.skipped: Counter = table.skipped

    def _bad(self, kind: str, record: str, what: str, file: Path | None = None) -> None:
        self.findings.report(kind, str(file or self.path), record, what, SKIP_HINT)

    def read(self, subjects: list[int]) -> H36MRows:
        """The rows of some subjects."""
        names, pixels, joints = self._arrays()
        keys = self._keys(names)  # (N, 5) subject, action, take, camera, frame
        kept = np.isin(keys[:, 0], subjects) & keep_frames(keys[:, 4], self.table.steps)
        broken = kept & is_broken(*keys[:, :4].T)
        if broken.any():
            what = 'of the video that is broken in the release (S11 Directions, take 2, camera 1)'
            self.skipped[what] += int(broken.sum())
        rows = np.flatnonzero(kept & ~broken)
        absent = sorted(set(subjects) - set(keys[rows, 0].tolist()))
        if absent:
            raise BadDataError(
                'nothing there', self.path, '',
                f'no frame of subject {absent} whose number is a multiple of {self.table.steps}', _AGAIN,
            )  # fmt: skip
        finite = np.isfinite(joints[rows]).all(axis=(1, 2)) & np.isfinite(pixels[rows]).all(
            axis=(1, 2)
        )
        for i in rows[~finite]:
            self._bad('bad joints', f'row {i} ({names[i]})', 'a joint holds nan or infinity')
        rows = rows[finite]
        names, keys, pixels, joints = (array[rows] for array in (names, keys, pixels, joints))
        if len(joints) and np.median(np.abs(joints[..., 2])) < _MILLIMETRES:
            joints = joints * 1000.0
        joints, projected, sizes, good = self._to_cameras(keys, pixels, joints)
        boxes = joints_boxes(projected)
        with np.errstate(invalid='ignore'):
            boxed = np.isfinite(crop_boxes(boxes, sizes)).all(axis=-1)
        for i in np.flatnonzero(good & ~boxed):
            self._bad(
                'bad box', f'row {rows[i]} ({names[i]})',
                f'the box around the joints, {boxes[i].round(1).tolist()} (x, y, w, h), has no area within its '
                f'picture of {sizes[i, 0]} x {sizes[i, 1]} px',
            )  # fmt: skip
        good &= boxed
        ids = np.array([frame_id(*key) for key in keys.tolist()], dtype=np.int64)
        columns = dict(zip(('subject', 'action', 'take', 'camera', 'frame'), keys.T, strict=True))
        columns |= dict(
            id=ids, image_id=ids, size=sizes, bbox=boxes, joints=joints, file_name=names
        )
        return make_rows(**{key: value[good] for key, value in columns.items()})

    def _arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Names (N,), labelled pixels (N, 17, 2), joints (N, 17, 3) in the file's unit."""
        try:
            with np.load(self.path, allow_pickle=False) as content:
                names, pixels, joints = (content[key] for key in ('imgname', 'part', 'S'))
        except KeyError as error:
            raise BadDataError('wrong layout', self.path, '', str(error.args[0]), _AGAIN) from None
        except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
            raise BadDataError(
                'broken npz',
                self.path,
                '',
                f'it cannot be read ({error})',
                f'It may be cut off. {_AGAIN}',
            ) from None
        n = len(names)
        if (
            pixels.shape[:2] != (n, 17)
            or joints.shape[:2] != (n, 17)
            or joints.shape[2:] not in ((3,), (4,))
        ):
            raise BadDataError(
                'wrong layout', self.path, '',
                f'part {pixels.shape} and S {joints.shape} are not 17 joints of {n} names each', _AGAIN,
            )  # fmt: skip
        return names, pixels[..., :2].astype(np.float64), joints[..., :3].astype(np.float64)

    def _keys(self, names: np.ndarray) -> np.ndarray:
        """(N, 5) subject, action index, take, camera, frame."""
        parsed, takes = [], defaultdict(set)
        for row, name in enumerate(names.tolist()):
            try:
                parsed.append(parse_file_name(name))
            except ValueError as error:
                raise BadDataError(
                    'wrong layout', self.path, f'row {row}', str(error), _AGAIN
                ) from None
            subject, action, take = parsed[-1][:3]
            takes[subject, action].add(take)
        return np.array(
            [
                (s, a, take_number(s, ACTIONS[a], take, takes[s, a]), c, f)
                for s, a, take, c, f in parsed
            ],
            dtype=np.int64,
        ).reshape(-1, 5)

    def _to_cameras(
        self, keys: np.ndarray, pixels: np.ndarray, joints: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Camera joints (N, 17, 3) mm, their pixels (N, 17, 2), picture sizes (N, 2), which have a
        camera.
        """
        good, out = np.ones(len(joints), dtype=bool), np.zeros_like(joints)
        projected, sizes = np.zeros_like(joints[..., :2]), np.full((len(joints), 2), 1000)
        for subject, number in {(int(key[0]), int(key[3])) for key in keys}:
            of = np.flatnonzero((keys[:, 0] == subject) & (keys[:, 3] == number))
            found = self._camera(subject, number, len(of))
            if found is None:
                good[of] = False
                continue
            cameras, sizes[of] = found
            few = convention.some(of)
            name = convention.choose(
                joints[few],
                cameras,
                lambda pix, few=few: convention.pixel_error(pix, pixels[few]),
                file=str(self.path),
                record=f'subject {subject}, camera {CAMERA_IDS[number - 1]}',
                mend=f'{_AGAIN}, npz and cameras.pkl alike',
                tolerance=self.tolerance,
            )
            if name != "camera's frame":
                self.table.notes.append(
                    f'{self.path}: subject {subject}, camera {CAMERA_IDS[number - 1]}: joints are in the '
                    "world's frame, they were converted"
                )
            camera = cameras[name]
            self.table.cameras[subject, number] = np.concatenate([camera.f, camera.c])
            out[of] = camera.to_camera(joints[of])
            behind = (out[of][..., 2] <= 0).any(axis=-1)
            for i in of[behind]:
                self._bad(
                    'bad joints', f'frame {keys[i].tolist()}', 'a joint lies behind the camera'
                )
            good[of[behind]] = False
            projected[of] = camera.project(out[of])[..., :2]
        return out, projected, sizes, good

    def _camera(
        self, subject: int, number: int, frames: int
    ) -> tuple[dict[str, PinholeCamera], tuple[int, int]] | None:
        """The camera under each convention, and the size of its pictures."""
        key, path = (f'S{subject}', CAMERA_IDS[number - 1]), Path(self.table.files[0])
        try:
            raw = self.raw_cameras[key]
            f, c, centre = (
                np.array(raw[name], dtype=np.float64).ravel() for name in ('f', 'c', 'T')
            )
            if np.abs(centre).max() < _MILLIMETRES:
                centre = centre * 1000.0
            rotation = np.array(
                raw['R'], dtype=np.float64
            ).T  # theirs turns from the camera to the world
            here = PinholeCamera(f, c)
            world = PinholeCamera(f, c, rotation, -rotation @ centre)
            return {"camera's frame": here, "world's frame": world}, (int(raw['w']), int(raw['h']))
        except (KeyError, TypeError, ValueError) as error:
            what = f'no {error}' if isinstance(error, KeyError) else str(error)
            self._bad(
                'bad camera', f'camera {key}', f'{what}; {frames:,} frames were taken with it', path
            )
            return None


class _PlainUnpickler(pickle.Unpickler):
    """Arrays and plain values alone: a pickle can run any code, and this one comes from who knows
    where.
    """

    _ALLOWED = {('numpy', 'ndarray'), ('numpy', 'dtype'), ('_codecs', 'encode')} | {
        (f'{core}.multiarray', name)
        for core in ('numpy.core', 'numpy._core')
        for name in ('_reconstruct', 'scalar')
    }

    def find_class(self, module: str, name: str):
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(
                f'it holds {module}.{name}, not just arrays and plain values'
            )
        return super().find_class(module, name)


def _read_cameras(path: Path) -> dict:
    """cameras.pkl: (subject, camera id) -> R, T, f, c, w, h."""
    try:
        content = _PlainUnpickler(io.BytesIO(path.read_bytes())).load()
    except FileNotFoundError:
        raise BadDataError('missing file', path, '', 'there is no such file', _AGAIN) from None
    except Exception as error:  # a damaged pickle raises almost anything
        raise BadDataError(
            'broken pickle', path, '', f'it cannot be read ({error})', _AGAIN
        ) from None
    if not isinstance(content, dict):
        raise BadDataError('wrong layout', path, '', 'it is no table of cameras', _AGAIN)
    return content
