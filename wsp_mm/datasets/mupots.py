# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""MuPoTS-3D: real pictures of a few persons, for tests.

M pictures, N rows (one a person), 17 joints (``mupots17``).
"""

from __future__ import annotations

import os.path as osp
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmpose.registry import DATASETS

from wsp_mm.datasets.bbox_root import prediction_path, read_bbox_roots
from wsp_mm.datasets.box_files import read_boxes
from wsp_mm.datasets.converters.mcpc.records import BadDataError, Findings
from wsp_mm.datasets.h36m_convention import TOLERANCE_PX, pixel_error
from wsp_mm.datasets.pose3d import Pose3DDataset
from wsp_mm.structures.bbox import crop_boxes, k_value, to_corners
from wsp_mm.structures.keypoints import get_joint_set, pose_metainfo
from wsp_mm.structures.mupots_json import frame_key, parse_name, read_mupots_json

SOURCE_SET, JOINT_SET = 'mupots17', 'muco21'
_ROOT = get_joint_set(SOURCE_SET).index('pelvis')
_MEND = 'Make the file from the same MuPoTS-3D.json that ann_file names'


@dataclass
class _Rows:
    """The persons that are samples.

    Attributes:
        picture: (N,) number of the picture. id: (N,). box: (N, 4) x, y, w, h px. score: (N,).
            depth: (N,) mm, of the root. extended: whether the boxes are square and padded already.
        person: (N,) number of the true person, None where boxes are predicted.
        det_idx: (N,) number of the row among those of its picture.
    """

    picture: np.ndarray
    id: np.ndarray
    box: np.ndarray
    score: np.ndarray
    depth: np.ndarray
    extended: bool
    person: np.ndarray | None = None

    def __post_init__(self) -> None:
        counts: dict[int, int] = {}
        self.det_idx = np.zeros(len(self.picture), dtype=np.int64)
        for row, picture in enumerate(self.picture.tolist()):
            self.det_idx[row] = counts.get(picture, 0)
            counts[picture] = self.det_idx[row] + 1

    def keep(self, rows: np.ndarray) -> _Rows:
        """The same with some of the rows, ``rows`` being a boolean mask (N,)."""
        arrays = (self.picture, self.id, self.box, self.score, self.depth)
        person = None if self.person is None else self.person[rows]
        return _Rows(*(array[rows] for array in arrays), self.extended, person)


@DATASETS.register_module()
class MuPoTSDataset(Pose3DDataset):
    """MuPoTS-3D for tests, one person a sample (see :class:`Pose3DDataset` for its keys).

    Further keys: frame_key (``TS1_img_000000``), sequence (1 to 20), frame (from 0) and det_idx
    (int, number of the sample among those of its frame), by which ``MuPoTS3DPCK`` puts frames
    together again.

    Boxes and root depths are those of the ground truth (persons who are valid), or predicted. A
    predicted box belongs to nobody: such samples have no keypoints, keypoints_cam and has_depth. A
    picture without boxes makes no sample; the metric knows of it from its own ground truth.

    MuPoTS-3D has 17 joints and networks are trained with MuCo's 21: hands and toes are there with
    visibility 0.

    Args:
        ann_file: 3DMPPE's MuPoTS-3D.json, relative to ``data_root`` or absolute.
        data_prefix: ``dict(img=...)``, the folder that TS1 to TS20 are in.
        bbox_root_file: json with predicted boxes, square and padded already, and roots (RootNet's,
            or of tools/predict_roots.py).
        boxes_file: instead, json with detected boxes (tools/detect_persons.py, or COCO results);
            raw ones are made square and padded once, those that are marked as extended are taken as
            they are. The root depth is then the box's k-value
            (:func:`wsp_mm.structures.bbox.k_value`). Both files are looked for in the working
            folder, then below ``data_root``.
        joint_set: joints of the samples.
        check_pictures: at start-up, look whether the first picture of each sequence is there.
        **kwargs: MMEngine's ``data_root``, ``pipeline``, ``test_mode``, ``indices``, ``lazy_init``,
            ``max_refetch``.

    Raises:
        ValueError: both files of boxes, a bad record, a file of boxes for other pictures, or
            nothing to load.
        FileNotFoundError: ``check_pictures`` finds no picture.
    """

    METAINFO: dict = dict(pose_metainfo(JOINT_SET), dataset_name='mupots')

    def __init__(
        self,
        ann_file: str = 'mupots/MuPoTS-3D.json',
        data_prefix: dict | None = None,
        data_root: str = '',
        bbox_root_file: str | None = None,
        boxes_file: str | None = None,
        joint_set: str = JOINT_SET,
        check_pictures: bool = True,
        **kwargs: Any,
    ) -> None:
        if bbox_root_file and boxes_file:
            raise ValueError(
                'MuPoTSDataset: give bbox_root_file or boxes_file, not both: each says which boxes'
            )
        self.bbox_root_file = prediction_path(data_root, bbox_root_file) if bbox_root_file else None
        self.boxes_file = prediction_path(data_root, boxes_file) if boxes_file else None
        self.check_pictures = check_pictures
        super().__init__(
            SOURCE_SET,
            joint_set,
            'mupots',
            ann_file=ann_file,
            data_prefix=dict(img='mupots/MultiPersonTestSet')
            if data_prefix is None
            else dict(data_prefix),
            data_root=data_root,
            **kwargs,
        )

    def load_data_list(self) -> np.ndarray:
        """Numbers of the persons that are samples, (N,)."""
        findings, skipped = Findings(), {}
        self._content = content = read_mupots_json(self.ann_file)
        if self.bbox_root_file:
            rows = self._with_roots(findings)
        elif self.boxes_file:
            rows = self._with_boxes(findings, skipped)
        else:
            rows = self._labelled(findings, skipped)
        if not len(rows.id):
            source = self.bbox_root_file or self.boxes_file or self.ann_file
            nobody = f'{source} has no person that could be a sample, in {len(content.image_id):,} pictures'
            if source == self.ann_file:
                raise ValueError(f'MuPoTSDataset: {nobody}')
            findings.notes.append(f'{nobody}: MuPoTS3DPCK counts everybody as missed')
        self._rows = rows
        empty = len(content.image_id) - len(np.unique(rows.picture))
        if empty:
            predicted = 'a detected person; MuPoTS3DPCK counts theirs as missed'
            skipped[f'without {"a valid person" if rows.person is not None else predicted}'] = empty
        if self.check_pictures:
            self._check_pictures()
        self.report(findings, (), {what: n for what, n in skipped.items() if n}, 'pictures')
        return np.arange(len(rows.id))

    def _labelled(self, findings: Findings, skipped: dict[str, int]) -> _Rows:
        """Boxes and roots of the ground truth."""
        content = self._content
        persons = np.flatnonzero(content.valid)
        persons = persons[np.argsort(content.picture[persons], kind='stable')]
        extended = crop_boxes(content.bbox[persons], content.size[content.picture[persons]])
        there = np.isfinite(extended).all(axis=-1)
        if not there.all():
            findings.notes.append(
                f'left out {int((~there).sum()):,} persons of {len(there):,} whose box has no area within the '
                'picture; MuPoTS3DPCK counts them as missed'
            )
        persons = persons[there]
        self._check_cameras(persons, findings)
        return _Rows(
            content.picture[persons], content.id[persons], content.bbox[persons], np.ones(len(persons)),
            content.keypoints_cam[persons, _ROOT, 2], False, persons,
        )  # fmt: skip

    def _check_cameras(self, persons: np.ndarray, findings: Findings) -> None:
        """Say so where joints do not land where the file has them: its cameras were fitted, not
        measured.
        """
        content = self._content
        if not len(persons):
            return
        some = persons[np.linspace(0, len(persons) - 1, min(200, len(persons))).astype(int)]
        joints, camera = content.keypoints_cam[some], content.intrinsic[content.picture[some], None]
        pixels = joints[..., :2] / joints[..., 2:] * camera[..., :2] + camera[..., 2:]
        error = pixel_error(pixels, content.keypoints_img[some])
        if not error <= TOLERANCE_PX:
            findings.notes.append(
                f'{self.ann_file}: under its cameras keypoints_cam land {error:,.1f} px from keypoints_img '
                f'(median of {len(some)} persons); absolute figures depend on these cameras'
            )

    def _with_roots(self, findings: Findings) -> _Rows:
        """Predicted boxes and roots."""
        found = read_bbox_roots(self.bbox_root_file)
        picture, persons = self._in_pictures(self.bbox_root_file, dict.fromkeys(found, ''), found)
        boxes, roots, scores = (
            np.array([p[k] for p in persons], dtype=np.float64) for k in range(3)
        )
        depth = roots.reshape(-1, 3)[:, 2]
        return _Rows(picture, np.arange(len(picture)), boxes.reshape(-1, 4), scores, depth, True)

    def _with_boxes(self, findings: Findings, skipped: dict[str, int]) -> _Rows:
        """Detected boxes, roots at their k-value."""
        file, content = read_boxes(self.boxes_file), self._content
        tables = {i: (boxes, file.scores[i]) for i, boxes in file.boxes.items()}
        if file.info:  # our own format lists every picture that was looked at
            unseen = sorted(set(content.image_id.tolist()) - set(file.images))
            if unseen:
                raise BadDataError(
                    'pictures not covered', self.boxes_file, '',
                    f'{len(unseen):,} of {len(content.image_id):,} pictures of {self.ann_file} were not '
                    f'looked at: image {", ".join(map(str, unseen[:10]))}', _MEND,
                )  # fmt: skip
        picture, persons = self._in_pictures(self.boxes_file, file.images, tables)
        boxes, scores = (np.array([p[k] for p in persons]) for k in range(2))
        boxes, scores = boxes.reshape(-1, 4), scores.reshape(-1)
        extended = boxes if file.extended else crop_boxes(boxes, content.size[picture])
        there = np.isfinite(extended).all(axis=-1)
        if not there.all():
            findings.notes.append(
                f'{self.boxes_file}: left out {int((~there).sum()):,} boxes of {len(there):,} without area '
                'within the picture'
            )
        depth = np.full(len(boxes), np.nan)
        if there.any():
            depth[there] = k_value(extended[there], content.intrinsic[picture[there], :2])
        return _Rows(picture, np.arange(len(picture)), boxes, scores, depth, file.extended).keep(
            there
        )

    def _in_pictures(
        self, path: str, names: dict[int, str], tables: dict[int, tuple]
    ) -> tuple[np.ndarray, list[tuple]]:
        """Pictures (N,) of all predicted persons, and their rows of the tables, in the order of the
        pictures.

        Raises:
            BadDataError: the file is of other pictures.
        """
        content = self._content
        rows = {int(image_id): row for row, image_id in enumerate(content.image_id)}
        unknown = sorted(set(names) - set(rows))
        if unknown:
            raise BadDataError(
                'other pictures', path, f'image {unknown[0]}',
                f'{self.ann_file} has no such picture, nor {len(unknown) - 1:,} others of {len(names):,}',
                _MEND,
            )  # fmt: skip
        for image_id, name in names.items():
            row = rows[image_id]
            place = parse_name(name)
            if place is not None and place != (content.sequence[row], content.frame[row]):
                raise BadDataError(
                    'other pictures', path, f'image {image_id}',
                    f'it is {name} here, {content.file_name[row]} in {self.ann_file}', _MEND,
                )  # fmt: skip
        picture, persons = [], []
        for image_id in sorted(tables, key=rows.__getitem__):
            for person in zip(*tables[image_id], strict=True):
                picture.append(rows[image_id])
                persons.append(person)
        return np.array(picture, dtype=np.int64), persons

    def _check_pictures(self) -> None:
        content, seen = self._content, set()
        for picture in np.unique(self._rows.picture).tolist():
            if content.sequence[picture] in seen:
                continue
            seen.add(content.sequence[picture])
            path = osp.join(self.data_prefix['img'], content.file_name[picture])
            if not osp.isfile(path):
                raise FileNotFoundError(
                    f'{path} (of {self.ann_file}) is not there: set data_root or data_prefix=dict(img=...); '
                    'tools/misc/check_data.py lists all that is missing'
                )

    def load_row(self, row: int) -> dict:
        rows, content = self._rows, self._content
        picture = int(rows.picture[row])
        sequence, frame = int(content.sequence[picture]), int(content.frame[picture])
        out = dict(
            f=content.intrinsic[picture, :2],
            c=content.intrinsic[picture, 2:],
            box=to_corners(rows.box[row]),
            box_extended=rows.extended,
            root_depth=float(rows.depth[row]),
            bbox_score=np.array([rows.score[row]], dtype=np.float32),
            img_path=osp.join(self.data_prefix['img'], content.file_name[picture]),
            img_id=int(content.image_id[picture]),
            id=int(rows.id[row]),
            picture_size=tuple(content.size[picture].tolist()),
            picture_size_slack=0,
            sequence=sequence,
            frame=frame,
            frame_key=frame_key(sequence, frame),
            det_idx=int(rows.det_idx[row]),
        )
        if rows.person is not None:
            out.update(
                joints=content.keypoints_cam[rows.person[row]],
                pixels=content.keypoints_img[rows.person[row]],
            )
        return out

    def sample(self, *, joints: np.ndarray | None = None, **more: Any) -> dict:
        """As :meth:`Pose3DDataset.sample`; without ``joints`` nothing but box, camera and root
        depth.
        """
        score = more.pop('bbox_score')
        if joints is not None:
            return super().sample(joints=joints, **more) | dict(bbox_score=score)
        box, extended, depth = (more.pop(key) for key in ('box', 'box_extended', 'root_depth'))
        return dict(
            bbox=np.asarray(box, dtype=np.float32)[None],
            bbox_score=score,
            bbox_extended=extended,
            root_depth=np.array([depth], dtype=np.float32),
            camera_f=np.asarray(more.pop('f'), dtype=np.float64),
            camera_c=np.asarray(more.pop('c'), dtype=np.float64),
            **more,
        )
