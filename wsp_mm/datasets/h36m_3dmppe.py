# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Human3.6M from the json files of 3DMPPE: data, cameras and world joints, three files a subject.

N frames of one subject, M different world poses (four cameras see each), 17 joints.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from wsp_mm.datasets import h36m_convention as convention
from wsp_mm.datasets.converters.mcpc.files import load_json
from wsp_mm.datasets.converters.mcpc.records import BadDataError, Findings
from wsp_mm.datasets.h36m_sequences import ACTIONS, CAMERA_IDS, FIRST_ACTION_IDX
from wsp_mm.datasets.h36m_table import (
    H36MRows,
    H36MTable,
    is_broken,
    join_rows,
    keep_frames,
    make_rows,
)
from wsp_mm.structures.bbox import crop_boxes
from wsp_mm.structures.camera import PinholeCamera

SKIP_HINT = 'Mend the file, or set skip_bad=True to go on without the record'
_AGAIN = 'Download the annotations of 3DMPPE again (docs/data.md)'
_IMAGE_KEYS = ('subject', 'action_idx', 'subaction_idx', 'cam_idx', 'frame_idx', 'width', 'height')


def files_of(folder: Path, subject: int) -> dict[str, Path]:
    """The three files of a subject: ``data``, ``camera``, ``joint_3d``."""
    return {
        kind: Path(folder) / f'Human36M_subject{subject}_{kind}.json'
        for kind in ('data', 'camera', 'joint_3d')
    }


def read_3dmppe(
    folder: str | Path,
    subjects: tuple[int, ...],
    steps: tuple[int, ...],
    findings: Findings,
    tolerance: float = convention.TOLERANCE_PX,
    progress=None,
) -> H36MTable:
    """Read the frames of some subjects.

    Args:
        folder: of the annotations.
        subjects: whose.
        steps: frames whose number is a multiple of one of these are kept.
        findings: told of bad records; raises at the first one, unless it skips them.
        tolerance: of the check of the camera convention, px.
        progress: called with each subject before it is read.

    Raises:
        BadDataError: a file is missing, cut off or not in this layout, or a record is bad.
    """
    parts, cameras, skipped, notes, files = [], {}, Counter(), [], []
    for subject in subjects:
        if progress is not None:
            progress(subject)
        names = files_of(Path(folder), subject)
        reader = _Subject(subject, names, findings, tolerance)
        parts.append(reader.read(steps))
        cameras |= reader.cameras
        skipped += reader.skipped
        notes += reader.notes
        files += [str(path) for path in names.values()]
    return H36MTable('3dmppe', join_rows(parts), cameras, subjects, steps, 0, files, skipped, notes)


class _Subject:
    """One subject's files."""

    def __init__(
        self, subject: int, files: dict[str, Path], findings: Findings, tolerance: float
    ) -> None:
        self.subject, self.files, self.findings, self.tolerance = (
            subject,
            files,
            findings,
            tolerance,
        )
        self.cameras: dict[tuple[int, int], np.ndarray] = {}
        self.skipped: Counter = Counter()
        self.notes: list[str] = []

    def _bad(self, kind: str, which: str, record: str, what: str) -> None:
        self.findings.report(kind, str(self.files[which]), record, what, SKIP_HINT)

    def read(self, steps: tuple[int, ...]) -> H36MRows:
        """The rows of this subject."""
        data = load_json(self.files['data'], slim=False)
        try:
            images, annotations = data['images'], data['annotations']
        except (KeyError, TypeError):
            raise BadDataError(
                'wrong layout',
                self.files['data'],
                '',
                "it has no 'images' and 'annotations'",
                _AGAIN,
            ) from None
        for key, value in (('images', images), ('annotations', annotations)):
            if not isinstance(value, list):
                raise BadDataError(
                    'wrong layout', self.files['data'], '', f'{key!r} is no list', _AGAIN
                )
        images = self._images(images, steps)
        rows = self._annotations(annotations, images)
        del data, images, annotations
        if not len(rows['id']):
            raise BadDataError(
                'nothing there', self.files['data'], '',
                f'no annotated frame of subject {self.subject} whose frame_idx is a multiple of {steps}',
                _AGAIN,
            )  # fmt: skip
        rows, joints = self._joints(rows)
        good = np.isfinite(crop_boxes(rows['bbox'], rows['size'])).all(axis=-1)
        for i in np.flatnonzero(~good):
            self._bad(
                'bad box', 'data', f'annotation {rows["id"][i]}',
                f'bbox {rows["bbox"][i].tolist()} (x, y, w, h) has no area within its picture of '
                f'{rows["size"][i][0]} x {rows["size"][i][1]} px',
            )  # fmt: skip
        rows, joints = {key: value[good] for key, value in rows.items()}, joints[good]
        joints, good = self._to_cameras(rows, joints)
        return make_rows(**{key: value[good] for key, value in rows.items()}, joints=joints[good])

    def _images(self, images: list[dict], steps: tuple[int, ...]) -> dict[int, tuple]:
        """id -> (key columns, file name) of the frames that are kept."""
        path = self.files['data']
        try:
            given = [[image[key] for key in _IMAGE_KEYS] for image in images]
            values = np.array(given, dtype=np.int64)
            if images and not (values == np.array(given, dtype=np.float64)).all():
                raise ValueError('not whole')
            names = [image['file_name'] for image in images]
            if not all(isinstance(name, str) for name in names):
                raise TypeError('no name')
            ids = [image['id'] for image in images]
        except (KeyError, TypeError, ValueError, OverflowError):
            self._name_bad_image(images)
            raise
        values = values.reshape(-1, len(_IMAGE_KEYS))
        limits = [
            (self.subject, self.subject), (FIRST_ACTION_IDX, FIRST_ACTION_IDX + len(ACTIONS) - 1),
            (1, 2), (1, len(CAMERA_IDS)), (0, 10**6 - 1), (1, 32767), (1, 32767),
        ]  # fmt: skip
        low, high = np.array(limits).T
        for i in np.flatnonzero(((values < low) | (values > high)).any(axis=1)):
            key = int(np.flatnonzero((values[i] < low) | (values[i] > high))[0])
            raise BadDataError(
                'wrong record', path, f'image {ids[i]}',
                f'{_IMAGE_KEYS[key]} is {values[i, key]}, and must be '
                + (f'{low[key]}' if low[key] == high[key] else f'{low[key]} to {high[key]}'),
                'This is the file of another subject, or no 3DMPPE file' if key == 0 else _AGAIN,
            )  # fmt: skip
        values[:, 1] -= FIRST_ACTION_IDX
        kept = keep_frames(values[:, 4], steps)
        broken = kept & is_broken(*values[:, :4].T)
        if broken.any():
            self.skipped[
                'of the video that is broken in the release (S11 Directions, take 2, camera 1)'
            ] += int(broken.sum())
        return {ids[i]: (values[i], names[i]) for i in np.flatnonzero(kept & ~broken)}

    def _name_bad_image(self, images: list) -> None:
        for i, image in enumerate(images):
            for key in ('id', 'file_name', *_IMAGE_KEYS):
                if not isinstance(image, dict) or key not in image:
                    raise BadDataError(
                        'wrong record', self.files['data'], f'image {i}', f'no {key!r}', _AGAIN
                    )
                if key in _IMAGE_KEYS and not (
                    isinstance(image[key], int) and abs(image[key]) < 2**63
                ):
                    raise BadDataError(
                        'wrong record', self.files['data'], f'image {image["id"]}',
                        f'{key!r} must be a whole number, is {str(image[key])[:40]!r}', _AGAIN,
                    )  # fmt: skip
            if not isinstance(image['file_name'], str):
                raise BadDataError(
                    'wrong record',
                    self.files['data'],
                    f'image {image["id"]}',
                    "'file_name' must be text",
                    _AGAIN,
                )

    def _annotations(
        self, annotations: list[dict], images: dict[int, tuple]
    ) -> dict[str, np.ndarray]:
        """Columns of the annotations of the images that are kept."""
        kept, seen = [], set()
        for i, annotation in enumerate(annotations):
            try:
                image_id = annotation['image_id']
                if image_id not in images:
                    continue
                box = np.array(annotation['bbox'], dtype=np.float64)
                if box.shape != (4,) or not np.isfinite(box).all():
                    raise ValueError(
                        f'bbox must be four numbers, is {str(annotation["bbox"])[:60]}'
                    )
                if image_id in seen:
                    raise ValueError(
                        f'image {image_id} has an annotation already, and shows one person'
                    )
                ann_id = int(annotation['id'])
                if not -(2**63) <= ann_id < 2**63:
                    raise ValueError('its id is no number of 64 bits')
                kept.append((ann_id, image_id, box))
                seen.add(image_id)
            except (KeyError, TypeError, ValueError) as error:
                what = f'no {error}' if isinstance(error, KeyError) else str(error)
                name = (
                    annotation.get('id', f'number {i}')
                    if isinstance(annotation, dict)
                    else f'number {i}'
                )
                self._bad('bad annotation', 'data', f'annotation {name}', what)
        if len(images) > len(seen):
            self.skipped['of pictures without an annotation'] += len(images) - len(seen)
        values = np.array([images[image_id][0] for _, image_id, _ in kept], dtype=np.int64)
        values = values.reshape(-1, len(_IMAGE_KEYS))
        columns = dict(
            zip(('subject', 'action', 'take', 'camera', 'frame'), values.T, strict=False)
        )
        return columns | dict(
            size=values[:, 5:7],
            id=np.array([ann_id for ann_id, _, _ in kept], dtype=np.int64),
            image_id=np.array([image_id for _, image_id, _ in kept], dtype=np.int64),
            bbox=np.array([box for _, _, box in kept], dtype=np.float64).reshape(-1, 4),
            file_name=np.array([images[image_id][1] for _, image_id, _ in kept], dtype=object),
        )

    def _joints(self, rows: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """The rows that have joints, and their world joints (N, 17, 3) mm."""
        content = load_json(self.files['joint_3d'], slim=False)
        where: dict[tuple, int] = {}  # (action idx, take, frame) -> number of its pose
        poses, good = [], np.ones(len(rows['id']), dtype=bool)
        index = np.zeros(len(good), dtype=np.int64)
        keys = np.stack(
            [rows['action'] + FIRST_ACTION_IDX, rows['take'], rows['frame']], axis=-1
        ).tolist()
        for i, key in enumerate(map(tuple, keys)):
            if key not in where:
                where[key] = len(poses) - 1 if self._pose(content, key, poses) else -1
            index[i] = where[key]
            good[i] = index[i] >= 0
        rows = {name: value[good] for name, value in rows.items()}
        stacked = np.array(poses, dtype=np.float64).reshape(-1, 17, 3)
        return rows, stacked[index[good]]

    def _pose(self, content: object, key: tuple[int, int, int], poses: list) -> bool:
        """Append the pose of that frame; False where it is bad and bad records are skipped."""
        record = 'action {}, sub-action {}, frame {}'.format(*key)
        try:
            pose = content[str(key[0])][str(key[1])][str(key[2])]
        except (KeyError, TypeError, IndexError):
            self._bad(
                'no joints', 'joint_3d', record, 'the frame is annotated, but has no joints here'
            )
            return False
        try:
            pose = np.array(pose, dtype=np.float64)
        except (TypeError, ValueError):
            pose = np.zeros(0)
        if pose.shape != (17, 3):
            self._bad('bad joints', 'joint_3d', record, 'it must be 17 joints of 3 numbers (mm)')
            return False
        if not np.isfinite(pose).all():
            joint = int(np.flatnonzero(~np.isfinite(pose).all(axis=1))[0])
            self._bad(
                'bad joints', 'joint_3d', record, f'joint {joint} holds nan, null or infinity'
            )
            return False
        poses.append(pose)
        return True

    def _to_cameras(
        self, rows: dict[str, np.ndarray], joints: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Joints in the camera's frame (N, 17, 3) mm, and which rows have a camera (N,)."""
        path = self.files['camera']
        content = load_json(path, slim=False)
        good, out = np.ones(len(joints), dtype=bool), np.zeros_like(joints)
        for number in np.unique(rows['camera']).tolist():
            of = np.flatnonzero(rows['camera'] == number)
            cameras = self._camera(content, number, len(of))
            if cameras is None:
                good[of] = False
                continue
            few = convention.some(of)
            name = convention.choose(
                joints[few],
                cameras,
                lambda pixels, few=few: convention.box_error(
                    pixels, rows['bbox'][few], rows['size'][few]
                ),
                file=str(path),
                record=f'camera {number}',
                mend=f'{_AGAIN}, data, camera and joint_3d of subject {self.subject} alike; a file of your own '
                'whose boxes follow another rule needs a larger convention_tolerance',
                tolerance=self.tolerance,
            )
            if name != 't':
                self.notes.append(f'{path}: camera {number} holds the {name}, it was converted')
            camera = cameras[name]
            self.cameras[self.subject, number] = np.concatenate([camera.f, camera.c])
            out[of] = camera.to_camera(joints[of])
            self._behind(rows, of, out, good)
        return out, good

    def _behind(self, rows: dict, of: np.ndarray, joints: np.ndarray, good: np.ndarray) -> None:
        for i in of[(joints[of, :, 2] <= 0).any(axis=-1)]:
            self._bad(
                'bad joints',
                'joint_3d',
                f'annotation {rows["id"][i]}',
                'a joint lies behind the camera',
            )
            good[i] = False

    def _camera(self, content: object, number: int, frames: int) -> dict[str, PinholeCamera] | None:
        """The camera under each convention; None where it is bad and bad records are skipped."""
        try:
            raw = content[str(number)]
            rotation, shift, f, c = (
                np.array(raw[key], dtype=np.float64) for key in ('R', 't', 'f', 'c')
            )
            camera = PinholeCamera(f.reshape(2), c.reshape(2), rotation, shift.reshape(3))
        except (KeyError, TypeError, ValueError) as error:
            what = f'no {error}' if isinstance(error, KeyError) else str(error)
            self._bad(
                'bad camera',
                'camera',
                f'camera {number}',
                f'{what}; {frames:,} frames were taken with it',
            )
            return None
        centre = PinholeCamera(camera.f, camera.c, camera.R, -camera.R @ camera.t)
        return {'t': camera, 'raw camera centre': centre}
