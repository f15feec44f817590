# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Readers of Human3.6M's annotations in 3DMPPE's and MMPose's layout.

3DMPPE: three json files a subject, with images and boxes, cameras, and world joints. MMPose: the
npz files of its converter (made for lifting) and cameras.pkl.

N frames, 17 joints (``h36m17``).
"""

import io
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from wsp_mm.datasets.annotations import (
    AnnotationError,
    Findings,
    check_lists,
    image_name,
    load_json,
    record_name,
    repeated,
)
from wsp_mm.datasets.array_files import NUMBERS, TEXT, plain_unpickle, read_npz
from wsp_mm.datasets.columns import Column, read_columns
from wsp_mm.structures.camera import PinholeCamera
from wsp_mm.structures.h36m import (
    ACTIONS,
    BROKEN,
    CAMERA_IDS,
    FIRST_ACTION_IDX,
    frame_id,
    parse_file_name,
    subaction_number,
)

# Nobody stands 10 cm or 100 m from the camera: smaller numbers are in metres.
_MILLIMETRES = 100.0
_INTEGER = Column(dtype=np.int64)


@dataclass
class Frames:
    """Frames as the files of a subject or a split have them.

    Attributes:
        file, camera_file: where they and their cameras come from, for messages.
        cameras: (subject, camera 1 to 4) -> the camera under each convention, the usual one first.
            It raises KeyError, TypeError or ValueError for a camera that is missing or broken.
        name: (N,) names of the records, for messages.
        key: (N, 5) subject, action, subaction, camera, frame, as in ``h36m_arrays.COLUMNS``.
        id, image_id: (N,). size: (N, 2) px. file_name: (N,) bytes.
        joints: (N, 17, 3) mm, in the camera's or the world's frame.
        boxes: (N, 4) x, y, w, h px as labelled, or None. pixels: (N, 17, 2) px as labelled, or
            None.
    """

    file: Path
    camera_file: Path
    cameras: Callable[[int, int], dict[str, PinholeCamera]]
    name: np.ndarray
    key: np.ndarray
    id: np.ndarray
    image_id: np.ndarray
    size: np.ndarray
    file_name: np.ndarray
    joints: np.ndarray
    boxes: np.ndarray | None = None
    pixels: np.ndarray | None = None

    def keep(self, good: np.ndarray) -> None:
        """Keep the frames of a mask (N,)."""
        for field in fields(self)[3:]:
            value = getattr(self, field.name)
            setattr(self, field.name, None if value is None else value[good])


class Reader:
    """Read the frames of some subjects, all checked but for what needs a camera.

    Args:
        folder: of the annotations.
        subjects: whose frames.
        steps: frames whose number is a multiple of one of these.
        findings: drops and counts bad records, or raises at the first.
        progress: called with the name of each file before it is read.

    Attributes:
        notes: what a user should know, in sentences. left_out: why -> number of frames.
    """

    folder: str  #: of the annotations, below the data root
    images: str  #: their folder, below the data root
    size_slack = 0  #: by how many px an image may differ from its annotation
    remedy: str

    def __init__(
        self,
        folder: Path,
        subjects: Sequence[int],
        steps: Sequence[int],
        findings: Findings,
        progress: Callable[[str], None],
    ) -> None:
        self.place, self.subjects, self.steps = folder, tuple(subjects), tuple(steps)
        self.findings, self.progress = findings, progress
        self.notes: list[str] = []
        self.left_out: Counter = Counter()

    def __iter__(self) -> Iterator[Frames]:
        """Yield the frames of each file.

        Raises:
            AnnotationError: a file is missing, cut off or not in this layout, or a record is bad.
        """
        raise NotImplementedError

    def error(self, kind: str, file: Path, what: str, record: str = '') -> AnnotationError:
        return AnnotationError(kind, file, record, what, self.remedy)

    def select(self, key: np.ndarray) -> np.ndarray:
        """(N,) bool, the frames that are multiples of a step and not of the broken sequence."""
        kept = np.any([key[:, 4] % step == 0 for step in self.steps], axis=0)
        broken = kept & (key[:, :4] == BROKEN).all(axis=1)
        if broken.any():
            why = 'of the broken sequence of the release (S11 Directions, subaction 2, camera 1)'
            self.left_out[why] += int(broken.sum())
        return kept & ~broken


class Reader3DMPPE(Reader):
    """3DMPPE's json files.

    The camera files that are hosted hold t of ``Xc = R Xw + t``, those that the published converter
    writes hold the camera's centre T of ``Xc = R (Xw - T)`` under the same name.
    """

    folder, images = 'human36m/annotations', 'human36m/images'
    remedy = 'Download the annotations of 3DMPPE again (docs/data_3d.md)'
    _LIMITS = dict(
        subject=(1, 11), action_idx=(FIRST_ACTION_IDX, FIRST_ACTION_IDX + len(ACTIONS) - 1),
        subaction_idx=(1, 2), cam_idx=(1, len(CAMERA_IDS)), frame_idx=(0, 10**6 - 1),
        width=(1, 32767), height=(1, 32767),
    )  # fmt: skip

    def __iter__(self) -> Iterator[Frames]:
        for subject in self.subjects:
            data, camera, joints = (
                self.place / f'Human36M_subject{subject}_{kind}.json'
                for kind in ('data', 'camera', 'joint_3d')
            )
            self.progress(data.name)
            frames = self._annotated(data, camera, subject)
            self._add_joints(frames, joints)
            yield frames

    def _cameras(self, file: Path) -> Callable[[int, int], dict[str, PinholeCamera]]:
        content = load_json(file, remedy=self.remedy)

        def of(subject: int, number: int) -> dict[str, PinholeCamera]:
            raw = content[str(number)]
            f, c, rotation, t = (np.squeeze(np.array(raw[k], np.float64)) for k in 'fcRt')
            return {
                'translation t': PinholeCamera(f, c, rotation, t),
                'raw camera centre': PinholeCamera(f, c, rotation, -rotation @ t),
            }

        return of

    def _annotated(self, file: Path, camera_file: Path, subject: int) -> Frames:
        """The annotated frames; joints are still to come."""
        lists = ('images', 'annotations')
        content = check_lists(load_json(file, remedy=self.remedy), lists, file, self.remedy)
        images, annotations = (content[key] for key in lists)
        columns = dict.fromkeys(('id', *self._LIMITS), _INTEGER)
        values, _ = read_columns(images, columns, file, 'image', remedy=self.remedy)
        names = [image_name(image.get('file_name')) for image in images]
        bad = {"'file_name' must be the name of a file": [not name for name in names]}
        for key, (low, high) in (self._LIMITS | dict(subject=(subject, subject))).items():
            bad[f'{key!r} must be {low} to {high}'] = (values[key] < low) | (values[key] > high)
        for what, rows in bad.items():  # not skipped: the whole file is another one
            for i in np.flatnonzero(rows)[:1].tolist():
                raise self.error('bad image', file, what, record_name('image', images[i], i))
        key = np.column_stack([values[name] for name in list(self._LIMITS)[:5]])
        key[:, 1] -= FIRST_ACTION_IDX
        rows = np.flatnonzero(self.select(key))
        row_of = dict(zip(values['id'][rows].tolist(), rows.tolist(), strict=True))

        read = dict(file=file, kind='annotation', findings=self.findings, remedy=self.remedy)
        column, kept = read_columns(annotations, dict(image_id=_INTEGER), **read)
        images_of = zip(kept, column['image_id'].tolist(), strict=True)
        wanted = [annotations[i] for i, image_id in images_of if image_id in row_of]
        columns = dict(id=_INTEGER, image_id=_INTEGER, bbox=Column((4,)))
        persons, _ = read_columns(wanted, columns, **read)
        good = self.findings.drop(
            repeated(persons['image_id'].tolist()), 'bad annotation', file,
            lambda i: f'annotation {persons["id"][i]}', 'its image has an annotation already',
            self.remedy,
        )  # fmt: skip
        persons = {name: value[good] for name, value in persons.items()}
        row = np.array([row_of[i] for i in persons['image_id'].tolist()], dtype=np.int64)
        if not len(row):
            what = f'no annotated frame of subject {subject} with a multiple of {self.steps}'
            raise self.error('nothing there', file, what)
        if len(row_of) > len(row):
            self.left_out['of images without an annotation'] += len(row_of) - len(row)
        return Frames(
            file, camera_file, self._cameras(camera_file),
            np.array([f'annotation {i}' for i in persons['id']]), key[row],
            persons['id'], persons['image_id'],
            np.column_stack([values['width'], values['height']])[row],
            np.array([os.fsencode(names[i]) for i in row]), np.zeros((len(row), 17, 3)),
            boxes=persons['bbox'],
        )  # fmt: skip

    def _add_joints(self, frames: Frames, file: Path) -> None:
        """Add world joints, and drop the frames that have none in the file."""
        content = load_json(file, remedy=self.remedy)
        # Four cameras see a pose.
        keys, of = np.unique(frames.key[:, [1, 2, 4]], axis=0, return_inverse=True)
        poses = np.full((len(keys), 17, 3), np.nan)
        for i, (action, subaction, frame) in enumerate(keys.tolist()):
            place = str(action + FIRST_ACTION_IDX), str(subaction), str(frame)
            try:
                pose = np.array(content[place[0]][place[1]][place[2]], dtype=np.float64)
                if pose.shape != (17, 3) or not np.isfinite(pose).all():
                    raise ValueError('not 17 joints of 3 finite numbers (mm)')
                poses[i] = pose
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                record = 'action {}, sub-action {}, frame {}'.format(*place)
                what = f'the frame is annotated, but has no joints here ({error})'
                self.findings.add(self.error('bad joints', file, what, record))
        frames.joints = poses[of.reshape(-1)]
        frames.keep(np.isfinite(frames.joints).all(axis=(1, 2)))


class ReaderMMPose(Reader):
    """MMPose's npz files, where joints may be in the camera's or the world's frame.

    They lack what images need: :mod:`wsp_mm.datasets.converters.h36m` computes the boxes.
    """

    folder, images = 'h36m/annotation_body3d', 'h36m/images'
    #: cameras.pkl gives 1000 or 1002 rows by camera alone, which is wrong for some of subject 7.
    size_slack = 2
    remedy = (
        "Write it again with MMPose's tools/dataset_converters/preprocess_h36m.py (docs/data_3d.md)"
    )
    #: File -> its subjects. Under protocol 2 subject 9 of 'test' is trained on.
    SPLITS = {'train': (1, 5, 6, 7, 8), 'test': (9, 11)}

    def __iter__(self) -> Iterator[Frames]:
        self._raw = self._unpickle(self.place / 'cameras.pkl')
        for split, of_split in self.SPLITS.items():
            wanted = [subject for subject in self.subjects if subject in of_split]
            if wanted:
                file = self._file(split)
                self.progress(file.name)
                yield self._frames(file, wanted)

    def _cameras(self, subject: int, number: int) -> dict[str, PinholeCamera]:
        raw = self._raw[f'S{subject}', CAMERA_IDS[number - 1]]
        f, c, centre = (np.ravel(np.array(raw[key], dtype=np.float64)) for key in ('f', 'c', 'T'))
        if np.abs(centre).max() < _MILLIMETRES:
            centre = centre * 1000.0
        rotation = np.transpose(raw['R'])  # theirs turns from the camera to the world
        world = PinholeCamera(f, c, rotation, -rotation @ centre)
        return {"camera's frame": PinholeCamera(f, c), "world's frame": world}

    def _file(self, split: str) -> Path:
        """Of the files at 10 and 50 frames a second the smaller one that holds all steps."""
        whole = any(step % 5 for step in self.steps)
        rates = ('fps50', 'fps10') if whole else ('fps10', 'fps50')
        paths = [self.place / rate / f'h36m_{split}.npz' for rate in rates]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            raise self.error('missing file', paths[0], 'there is no such file')
        if whole and path.parent.name == 'fps10':
            what = f'of those that are multiples of {self.steps} only some are there'
            self.notes.append(f'{path} holds every fifth frame: {what}')
        return path

    def _frames(self, file: Path, subjects: list[int]) -> Frames:
        kinds = dict(imgname=TEXT, part=NUMBERS, S=NUMBERS)
        names, pixels, joints = read_npz(file, kinds, self.remedy).values()
        n = names.size
        shapes = [[(n,)], [(n, 17, 2), (n, 17, 3)], [(n, 17, 3), (n, 17, 4)]]
        found = names.shape, pixels.shape, joints.shape
        if not all(shape in known for shape, known in zip(found, shapes, strict=True)):
            what = f'part {pixels.shape} and S {joints.shape} are not 17 joints of {n} names'
            raise self.error('wrong layout', file, what)
        parsed, siblings = [], defaultdict(set)
        for row, name in enumerate(names.tolist()):
            try:
                parsed.append(parse_file_name(name))
            except ValueError as error:
                raise self.error('wrong layout', file, str(error), f'row {row}') from None
            subject, action, number = parsed[-1][:3]
            siblings[subject, action].add(number)
        key = [
            (s, a, subaction_number(s, ACTIONS[a], number, siblings[s, a]), *rest)
            for s, a, number, *rest in parsed
        ]
        key = np.array(key, dtype=np.int64).reshape(-1, 5)
        kept = np.flatnonzero(self.select(key) & np.isin(key[:, 0], subjects))
        absent = sorted(set(subjects) - set(key[kept, 0].tolist()))
        if absent:
            what = f'no frame of subjects {absent} whose number is a multiple of {self.steps}'
            raise self.error('nothing there', file, what)
        key, joints = key[kept], joints[kept, :, :3].astype(np.float64)
        if np.nanmedian(np.abs(joints[..., 2])) < _MILLIMETRES:
            joints *= 1000.0
        ids = np.array([frame_id(*row) for row in key.tolist()], dtype=np.int64)
        sizes = np.full((len(ids), 2), 1000)
        for (subject, camera_id), raw in self._raw.items():
            number = CAMERA_IDS.index(camera_id) + 1
            of = (key[:, 0] == int(subject[1:])) & (key[:, 3] == number)
            try:
                sizes[of] = np.reshape([raw['w'], raw['h']], 2)
            except (TypeError, ValueError, OverflowError) as error:
                what = f'w and h are not the size of an image ({error})'
                where = f'{subject}, camera {camera_id}'
                raise self.error('bad camera', self.place / 'cameras.pkl', what, where) from None
        return Frames(
            file, self.place / 'cameras.pkl', self._cameras,
            np.array([f'row {i} ({names[i]})' for i in kept]), key, ids, ids, sizes,
            np.array([image_name(name).encode() for name in names[kept].tolist()]), joints,
            pixels=pixels[kept, :, :2].astype(np.float64),
        )  # fmt: skip

    def _unpickle(self, path: Path) -> dict:
        """cameras.pkl: (subject, camera id) -> R, T, f, c, w, h."""
        try:
            content = plain_unpickle(io.BytesIO(path.read_bytes()))
            return {
                (f'S{int(subject[1:])}', str(camera)): {'w': 1000, 'h': 1000, **raw}
                for (subject, camera), raw in content.items()
                if camera in CAMERA_IDS
            }
        except FileNotFoundError:
            raise self.error('missing file', path, 'there is no such file') from None
        except Exception as error:  # a damaged pickle raises almost anything
            raise self.error('broken pickle', path, f'it cannot be read ({error})') from None
