# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""MuPoTS-3D's ground truth, frame by frame.

G persons of a frame, in the columns' order of annot.mat (or the json's), 17 joints (``mupots17``:
the first 17 of ``muco21``, the pelvis at 14). annot3 is the pose that the camera sees; univ_annot3,
which 3DPCK is measured against, is the same scaled to a universal height.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wsp_mm.structures.mupots_json import NUM_JOINTS, MuPoTSJson, frame_key, read_mupots_json
from wsp_mm.structures.mupots_mat import SequenceTruth, read_annot_mat, read_occlusion_mat

__all__ = [
    'MuPoTSFrame',
    'MuPoTSTruth',
    'frame_key',
    'read_annot_mat',
    'read_mupots',
    'read_occlusion_mat',
]

# px: a record of the json and a column of annot.mat are the same person if no joint is further
# apart.
_SAME_PX = 2.0


@dataclass(frozen=True)
class MuPoTSFrame:
    """The ground truth of one frame; only persons who are ``valid`` are scored, the others may hold
    nan.

    Attributes:
        sequence: 1 to 20. frame: from 0. image_id: of the json, -1 where it does not list the
            frame.
        file_name: such as ``TS1/img_000000.jpg``. width, height: px, 0 where unknown.
        intrinsic: (4,) fx, fy, cx, cy px, nan where unknown.
        keypoints_img: (G, 17, 2) px, annot2. keypoints_cam: (G, 17, 3) camera mm, annot3.
        keypoints_univ: (G, 17, 3) camera mm, univ_annot3.
        valid: (G,) bool. occluded: (G, 17) bool.
        ann_ids: (G,) int, the json's, -1 where it has no such person.
    """

    sequence: int
    frame: int
    image_id: int
    file_name: str
    width: int
    height: int
    intrinsic: np.ndarray
    keypoints_img: np.ndarray
    keypoints_cam: np.ndarray
    keypoints_univ: np.ndarray
    valid: np.ndarray
    occluded: np.ndarray
    ann_ids: np.ndarray

    @property
    def key(self) -> str:
        """The official name, such as ``TS1_img_000000``."""
        return frame_key(self.sequence, self.frame)


@dataclass(frozen=True)
class MuPoTSTruth:
    """All frames, ordered by sequence and frame.

    Attributes:
        frames: one for each. source: 'annot.mat', or 'json', where keypoints_univ is keypoints_cam.
        notes: what a user should know of the files, in sentences.
    """

    frames: list[MuPoTSFrame]
    source: str
    notes: tuple[str, ...] = ()


def read_mupots(ann_file: str | Path, sequences_dir: str | Path | None = None) -> MuPoTSTruth:
    """Ground truth of all frames.

    Pictures and cameras are the json's. Persons are those of annot.mat and occlusion.mat where
    ``sequences_dir`` has them; with no annot.mat there at all they are the json's, and the result
    says so.

    Args:
        ann_file: 3DMPPE's MuPoTS-3D.json.
        sequences_dir: folder that TS1, TS2, ... are in; None: take the json's persons.

    Raises:
        ValueError: a file is missing or broken, files contradict each other, or some sequences have
            their annot.mat and others not; the message names the file.
    """
    content = read_mupots_json(ann_file)
    sequences = np.unique(content.sequence).tolist()
    paths = (
        []
        if sequences_dir is None
        else [Path(sequences_dir) / f'TS{n}' / 'annot.mat' for n in sequences]
    )
    there = [path.is_file() for path in paths]
    if not any(there):
        said = (
            'no annot.mat was asked for'
            if sequences_dir is None
            else f'{sequences_dir} holds no annot.mat'
        )
        note = f'{said}: ground truth is {ann_file}, whose poses are not scaled to the universal height'
        return MuPoTSTruth(_from_json(content), 'json', (note,))
    if not all(there):
        missing = [str(path) for path, found in zip(paths, there, strict=True) if not found]
        raise ValueError(
            f'{missing[0]}: there is no such file, nor {len(missing) - 1} others of {len(paths)} sequences. '
            "Unpack MultiPersonTestSet again, or give no sequences_dir to score against the json's poses"
        )
    frames, notes = [], []
    for sequence, path in zip(sequences, paths, strict=True):
        truth = read_annot_mat(path)
        occluded = read_occlusion_mat(path.with_name('occlusion.mat'), truth.valid)
        if occluded.shape[:2] != truth.valid.shape:
            raise ValueError(
                f'{path.with_name("occlusion.mat")}: it is of {occluded.shape[:2]} (frames, persons), '
                f'annot.mat beside it of {truth.valid.shape}. Take both from the same release'
            )
        rows = np.flatnonzero(content.sequence == sequence)
        by_frame = dict(zip(content.frame[rows].tolist(), rows.tolist(), strict=True))
        number = len(truth.valid)
        for frame in sorted({*range(number), *by_frame}):
            frames.append(_from_mat(content, by_frame.get(frame), sequence, frame, truth, occluded))
        if number != len(rows) or set(by_frame) != set(range(number)):
            notes.append(
                f'TS{sequence}: {path} has {number} frames and {content.path.name} {len(rows)} pictures; a '
                'frame without a picture is scored as empty, a picture without a frame has nobody in it'
            )
    return MuPoTSTruth(frames, 'annot.mat', tuple(notes))


def _from_json(content: MuPoTSJson) -> list[MuPoTSFrame]:
    frames = []
    order = np.argsort(content.picture, kind='stable')
    bounds = np.searchsorted(content.picture[order], np.arange(len(content.image_id) + 1))
    for row in range(len(content.image_id)):
        who = order[bounds[row] : bounds[row + 1]]
        frames.append(
            MuPoTSFrame(
                **_picture(content, row), keypoints_img=content.keypoints_img[who],
                keypoints_cam=content.keypoints_cam[who], keypoints_univ=content.keypoints_cam[who],
                valid=content.valid[who], occluded=~content.shown[who], ann_ids=content.id[who],
            )
        )  # fmt: skip
    return frames


def _picture(content: MuPoTSJson, row: int) -> dict:
    width, height = content.size[row].tolist()
    return dict(
        sequence=int(content.sequence[row]), frame=int(content.frame[row]), image_id=int(content.image_id[row]),
        file_name=content.file_name[row], width=width, height=height, intrinsic=content.intrinsic[row],
    )  # fmt: skip


def _from_mat(
    content: MuPoTSJson,
    row: int | None,
    sequence: int,
    frame: int,
    truth: SequenceTruth,
    occluded: np.ndarray,
) -> MuPoTSFrame:
    """One frame; ``row`` is its picture in the json, None where there is none."""
    picture = dict(
        sequence=sequence, frame=frame, image_id=-1, file_name=f'TS{sequence}/img_{frame:06d}.jpg', width=0,
        height=0, intrinsic=np.full(4, np.nan),
    ) if row is None else _picture(content, row)  # fmt: skip
    who = (
        np.flatnonzero(truth.present[frame])
        if frame < len(truth.present)
        else np.zeros(0, dtype=int)
    )
    at = min(frame, len(truth.present) - 1), who
    ids = np.full(len(who), -1, dtype=np.int64)
    if row is not None and len(who):
        records = np.flatnonzero(content.picture == row)
        ids = _same_persons(
            truth.keypoints_img[at], content.keypoints_img[records], content.id[records]
        )
    return MuPoTSFrame(
        **picture, keypoints_img=truth.keypoints_img[at], keypoints_cam=truth.keypoints_cam[at],
        keypoints_univ=truth.keypoints_univ[at], valid=truth.valid[at],
        occluded=np.reshape(occluded[at], (-1, NUM_JOINTS)), ann_ids=ids,
    )  # fmt: skip


def _same_persons(pixels: np.ndarray, listed: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """For each person (G, 17, 2) px the id of the json's record (N, 17, 2) of the same joints, or
    -1.
    """
    out = np.full(len(pixels), -1, dtype=np.int64)
    if not len(listed):
        return out
    apart = np.abs(pixels[:, None] - listed[None]).max(axis=(2, 3))
    apart = np.where(np.isfinite(apart), apart, np.inf)
    nearest = apart.argmin(axis=1)
    found = apart[np.arange(len(pixels)), nearest] <= _SAME_PX
    out[found] = ids[nearest[found]]
    return out
