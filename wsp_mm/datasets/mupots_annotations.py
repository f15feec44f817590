# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""MuPoTS-3D's annotations: 3DMPPE's json, and the official annot.mat and occlusion.mat.

annot3 is the pose that the camera sees; univ_annot3, which 3DPCK is measured against, is the same
pose scaled to a universal height. M images, N persons; in the .mat files F frames and P persons
(columns) of a sequence; G persons of a frame; 17 joints (``mupots17``: the first 17 of ``muco21``,
the pelvis at 14). Only persons that are valid are read: nobody else is scored.
"""

import re
from dataclasses import dataclass
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
from wsp_mm.datasets.array_files import NUMBERS, read_mat
from wsp_mm.datasets.columns import Column, Rule, read_columns
from wsp_mm.datasets.plausibility import body_size, camera_poses, camera_view, either

NUM_SEQUENCES, NUM_JOINTS, JOINT_SET = 20, 17, 'mupots17'
_VALID = Rule('must be true or false, 1 or 0', lambda v: np.isin(v, (0, 1)))
_JSON_REMEDY = "Download 3DMPPE's MuPoTS-3D.json again (docs/data_3d.md)"
_MAT_REMEDY = "Take the file from MuPoTS-3D's official release again (docs/data_3d.md)"
_NAME = re.compile(r'(?:^|.*/)TS(\d{1,9})/img_(\d{1,9})\.\w+$')

#: Field of a struct in annot.mat -> shape in the file.
_MAT_FIELDS = dict(annot2=(2, NUM_JOINTS), annot3=(3, NUM_JOINTS), univ_annot3=(3, NUM_JOINTS))


def frame_key(sequence: int, frame: int) -> str:
    """Return the official name of a frame: ``TS1_img_000000``."""
    return f'TS{sequence}_img_{frame:06d}'


def parse_name(file_name: str) -> tuple[int, int] | None:
    """Return sequence (from 1) and frame (from 0) of an image's name; None for any other image."""
    found = _NAME.match(str(file_name).replace('\\', '/'))
    if found is None or not 1 <= int(found[1]) <= NUM_SEQUENCES:
        return None
    return int(found[1]), int(found[2])


@dataclass(frozen=True)
class MuPoTSJson:
    """Images and valid persons of MuPoTS-3D.json, images ordered by sequence and frame.

    Attributes:
        image_id: (M,). file_name: M names such as ``TS1/img_000000.jpg``. sequence: (M,) from 1.
            frame: (M,) from 0. size: (M, 2) width and height px. intrinsic: (M, 4) fx, fy, cx, cy
            px.
        id: (N,). image: (N,) index of the person's image. bbox: (N, 4) x, y, w, h px.
        keypoints_cam: (N, 17, 3) camera mm. keypoints_img: (N, 17, 2) px. shown: (N, 17) bool.
        notes: what was left out, in sentences.
    """

    image_id: np.ndarray
    file_name: list[str]
    sequence: np.ndarray
    frame: np.ndarray
    size: np.ndarray
    intrinsic: np.ndarray
    id: np.ndarray
    image: np.ndarray
    bbox: np.ndarray
    keypoints_cam: np.ndarray
    keypoints_img: np.ndarray
    shown: np.ndarray
    notes: tuple[str, ...] = ()


def read_mupots_json(path: str | Path) -> MuPoTSJson:
    """Read and check MuPoTS-3D.json.

    Raises:
        AnnotationError: no such file, no json, a bad record, or most persons of another size or
            distance than people have (metres, root-relative poses).
    """
    content = check_lists(load_json(path), ('images',), path, _JSON_REMEDY)
    check_lists(content, ('annotations',), path, _JSON_REMEDY, empty=True)
    findings, records = Findings(), content['images']

    def refuse(bad: np.ndarray, kind: str, of: list, what: str) -> None:
        findings.drop(
            bad, f'bad {kind}', path, lambda i: record_name(kind, of[i], i), what, _JSON_REMEDY
        )

    integer = Column(dtype=np.int64)
    wanted = dict(id=integer, width=integer, height=integer, intrinsic=Column((4,)))
    images, _ = read_columns(records, wanted, path, 'image', remedy=_JSON_REMEDY)
    size = np.column_stack([images['width'], images['height']])
    positive = np.column_stack([size, images['intrinsic'][:, :2]])
    refuse((positive <= 0).any(axis=1), 'image', records, 'width, height and f must be positive')
    findings.judge(
        camera_view(images['intrinsic'][:, :2], images['intrinsic'][:, 2:], size), path,
        lambda i: record_name('image', content['images'][i], i), _JSON_REMEDY,
    )  # fmt: skip
    names = [image_name(image.get('file_name')) for image in records]
    places = [parse_name(name) for name in names]
    refuse(
        np.array([place is None for place in places]), 'image', records,
        f"'file_name' must be a name of TS1/img_000000.jpg to TS{NUM_SEQUENCES}/...",
    )  # fmt: skip
    twice = repeated(images['id'].tolist()) | repeated(places)
    refuse(twice, 'image', records, 'the id or the frame is listed twice')

    order = sorted(range(len(places)), key=places.__getitem__)
    index = {int(images['id'][i]): row for row, i in enumerate(order)}
    valid, _ = read_columns(
        content['annotations'], dict(is_valid=Column(rule=_VALID)), path, 'annotation',
        remedy=_JSON_REMEDY,
    )  # fmt: skip
    records = [content['annotations'][i] for i in np.flatnonzero(valid['is_valid'])]
    wanted = dict(
        id=integer, image_id=integer, bbox=Column((4,)), keypoints_cam=Column((NUM_JOINTS, 3)),
        keypoints_img=Column((NUM_JOINTS, 2)), keypoints_vis=Column((NUM_JOINTS,), default=1),
    )  # fmt: skip
    persons, _ = read_columns(records, wanted, path, 'annotation', remedy=_JSON_REMEDY)
    image = np.array([index.get(i, -1) for i in persons['image_id'].tolist()], dtype=np.int64)
    refuse(image < 0, 'annotation', records, "'image_id' is of an image that is not there")
    good = findings.judge(
        camera_poses(persons['keypoints_cam'], JOINT_SET), path,
        lambda i: record_name('annotation', records[i], i), _JSON_REMEDY,
    )  # fmt: skip
    behind = good & (persons['keypoints_cam'][..., 2] <= 0).any(axis=1)
    what = "'keypoints_cam': a joint lies behind the camera (root-relative?)"
    refuse(behind, 'annotation', records, what)
    persons = {key: values[good] for key, values in persons.items()}
    sequence, frame = np.array([places[i] for i in order]).T
    return MuPoTSJson(
        image_id=images['id'][order],
        file_name=[names[i] for i in order],
        sequence=sequence,
        frame=frame,
        size=size[order],
        intrinsic=images['intrinsic'][order],
        id=persons['id'],
        image=image[good],
        bbox=persons['bbox'],
        keypoints_cam=persons['keypoints_cam'],
        keypoints_img=persons['keypoints_img'],
        shown=persons['keypoints_vis'] > 0,
        notes=tuple(findings.implausible_notes()),
    )


def _read_cells(path: Path, name: str) -> np.ndarray:
    """The cell array {frame, person} of that name, (F, P)."""
    cells = read_mat(path, _MAT_REMEDY).get(name)
    is_array = isinstance(cells, np.ndarray) and cells.ndim == 2 and len(cells)
    if not is_array or (cells.dtype != object and not cells.dtype.names):
        what = f'{name!r} must be a cell array {{frame, person}}'
        raise AnnotationError('wrong layout', path, '', what, _MAT_REMEDY)
    return cells


def read_annot_mat(
    path: str | Path, findings: Findings | None = None
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Read the annot.mat of a sequence. An empty cell is a person who is not there.

    Args:
        path: the file.
        findings: counts implausible persons, who are made invalid.

    Returns:
        (F, P) bool, the persons who are valid, and annot2 (F, P, 17, 2) px, annot3 and univ_annot3
        (F, P, 17, 3) camera mm, nan for all others.

    Raises:
        AnnotationError: a broken file, or a bad field of a valid person; the message names frame
            (from 0), person (from 1) and field; or most persons of another size or distance than
            people have (metres, root-relative poses).
    """
    cells = _read_cells(Path(path), 'annotations')
    valid = np.zeros(cells.shape, dtype=bool)
    joints = {
        name: np.full((*cells.shape, *shape[::-1]), np.nan) for name, shape in _MAT_FIELDS.items()
    }
    for where, cell in np.ndenumerate(cells):
        if not np.size(cell):
            continue
        try:
            struct = np.reshape(cell, -1)[0]
            valid[where] = flag = np.asarray(struct['isValidFrame'], np.float64).reshape(())
            if flag not in (0, 1):
                raise ValueError(f'isValidFrame {_VALID.text}, is {flag}')
            for name, shape in _MAT_FIELDS.items() if valid[where] else ():
                value = np.asarray(struct[name], dtype=np.float64)
                if value.shape != shape or not np.isfinite(value).all():
                    raise ValueError(f'{name} is {value.shape} or not finite, not {shape}')
                joints[name][where] = value.T
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise AnnotationError(
                'bad record', path, f'frame {where[0]}, person {where[1] + 1}',
                f'expected a struct of isValidFrame, {", ".join(_MAT_FIELDS)} ({error})',
                _MAT_REMEDY,
            ) from None  # fmt: skip
    findings, places = Findings() if findings is None else findings, np.argwhere(valid)
    valid[valid] = findings.judge(
        either(
            camera_poses(joints['annot3'][valid], JOINT_SET),
            body_size(joints['univ_annot3'][valid], JOINT_SET),
        ),
        path, lambda i: f'frame {places[i][0]}, person {places[i][1] + 1}', _MAT_REMEDY,
    )  # fmt: skip
    for array in joints.values():
        array[~valid] = np.nan
    return valid, joints


def read_occlusion_mat(path: str | Path, valid: np.ndarray) -> np.ndarray:
    """Return (F, P, 17) bool, whether a joint is occluded. An empty cell means that none is.

    Args:
        valid: (F, P) bool, of the annot.mat beside it. Labels of other persons are not looked at.

    Raises:
        AnnotationError: a broken file, one of other frames or persons, or a cell that does not hold
            17 labels 0 and 1.
    """
    cells = _read_cells(Path(path), 'occlusion_labels')
    if cells.shape != valid.shape:
        what = f'it is of {cells.shape} (frames, persons), annot.mat of {valid.shape}'
        raise AnnotationError('wrong layout', path, '', what, _MAT_REMEDY)
    occluded = np.zeros((*cells.shape, NUM_JOINTS), dtype=bool)
    for where in np.argwhere(valid).tolist():
        labels = np.asarray(cells[tuple(where)]).reshape(-1)
        good = labels.dtype.kind in NUMBERS and labels.size in (0, NUM_JOINTS)
        if not good or not np.isin(labels, (0, 1)).all():
            raise AnnotationError(
                'bad record', path, f'frame {where[0]}, person {where[1] + 1}',
                f'occlusion_labels must be {NUM_JOINTS} of 0 or 1', _MAT_REMEDY,
            )  # fmt: skip
        occluded[tuple(where)] = labels > 0 if labels.size else False
    return occluded


@dataclass(frozen=True)
class MuPoTSFrame:
    """The ground truth of one frame: G valid persons, in the order of the file.

    Attributes:
        sequence: 1 to 20. frame: from 0. image_id: of the json, -1 where it does not list the
            frame. intrinsic: (4,) fx, fy, cx, cy px, nan where unknown.
        keypoints_img: (G, 17, 2) px, annot2. keypoints_cam: (G, 17, 3) camera mm, annot3.
        keypoints_univ: (G, 17, 3) camera mm, univ_annot3. occluded: (G, 17) bool.
    """

    sequence: int
    frame: int
    image_id: int
    intrinsic: np.ndarray
    keypoints_img: np.ndarray
    keypoints_cam: np.ndarray
    keypoints_univ: np.ndarray
    occluded: np.ndarray

    @property
    def key(self) -> str:
        """The official name, such as ``TS1_img_000000``."""
        return frame_key(self.sequence, self.frame)


@dataclass(frozen=True)
class MuPoTSGroundTruth:
    """All frames, ordered by sequence and frame.

    Attributes:
        frames: one for each. source: 'annot.mat', or 'json', where keypoints_univ is keypoints_cam.
        notes: what a user should know of the files, in sentences.
    """

    frames: list[MuPoTSFrame]
    source: str
    notes: tuple[str, ...] = ()


def read_mupots(ann_file: str | Path, sequences_dir: str | Path | None = None) -> MuPoTSGroundTruth:
    """Read the ground truth of all frames.

    Images and cameras are the json's. Persons are those of annot.mat and occlusion.mat in
    ``sequences_dir``. Where no annot.mat is there at all they are the json's, and a note says so.

    Args:
        ann_file: 3DMPPE's MuPoTS-3D.json.
        sequences_dir: folder of TS1, TS2, ...; None: take the json's persons.

    Raises:
        AnnotationError: a file is missing or broken, files contradict each other, or some sequences
            have their annot.mat and others not.
    """
    content, findings = read_mupots_json(ann_file), Findings()
    sequences = np.unique(content.sequence).tolist()
    folders = [Path(sequences_dir or '', f'TS{n}') for n in sequences]
    present = [(folder / 'annot.mat').is_file() for folder in folders]
    if sequences_dir is None or not any(present):
        note = (
            f'no annot.mat in {sequences_dir}: the ground truth is {ann_file}, whose poses are not '
            'scaled to the universal height'
        )
        frames = [
            _frame(
                content, row, content.keypoints_img[who], content.keypoints_cam[who],
                content.keypoints_cam[who], ~content.shown[who],
            )
            for row in range(len(content.image_id))
            for who in [np.flatnonzero(content.image == row)]
        ]  # fmt: skip
        return MuPoTSGroundTruth(frames, 'json', (note, *content.notes))
    frames, notes = [], []
    for sequence, folder in zip(sequences, folders, strict=True):
        valid, joints = read_annot_mat(folder / 'annot.mat', findings)
        occluded = read_occlusion_mat(folder / 'occlusion.mat', valid)
        rows = np.flatnonzero(content.sequence == sequence)
        row_of = dict(zip(content.frame[rows].tolist(), rows.tolist(), strict=True))
        for frame in sorted({*range(len(valid)), *row_of}):
            who = valid[frame] if frame < len(valid) else slice(0)
            arrays = [
                array[min(frame, len(valid) - 1)][who] for array in (*joints.values(), occluded)
            ]
            frames.append(_frame(content, row_of.get(frame), *arrays, place=(sequence, frame)))
        if set(row_of) != set(range(len(valid))):
            notes.append(
                f'TS{sequence}: annot.mat has {len(valid)} frames and the json {len(rows)} images; '
                'a frame without an image counts as one without predictions, an image without a '
                'frame has no persons'
            )
    notes += findings.implausible_notes()
    return MuPoTSGroundTruth(frames, 'annot.mat', tuple(notes))


def _frame(
    content: MuPoTSJson,
    row: int | None,
    *arrays: np.ndarray,
    place: tuple[int, int] | None = None,
) -> MuPoTSFrame:
    """One frame; ``row`` is its image in the json, None where there is none."""
    if row is None:
        return MuPoTSFrame(*place, -1, np.full(4, np.nan), *arrays)
    place = int(content.sequence[row]), int(content.frame[row])
    return MuPoTSFrame(*place, int(content.image_id[row]), content.intrinsic[row], *arrays)
