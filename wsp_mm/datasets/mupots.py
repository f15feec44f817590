# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""MuPoTS-3D: real images of a few persons, for tests.

M images, N rows (one a person), 17 joints (``mupots17``).
"""

import os.path as osp
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmpose.registry import DATASETS

from wsp_mm.datasets.annotations import AnnotationError, check_images, first_of_folders
from wsp_mm.datasets.detections import prediction_path, read_bbox_roots, read_boxes
from wsp_mm.datasets.mupots_annotations import frame_key, parse_name, read_mupots_json
from wsp_mm.datasets.pose3d import TOLERANCE_PX, Pose3DDataset, log_notes, projection_error
from wsp_mm.structures.bbox import crop_boxes, k_value, to_corners
from wsp_mm.structures.keypoints import get_joint_set, pose_metainfo

SOURCE_SET, JOINT_SET = 'mupots17', 'muco21'
_ROOT = get_joint_set(SOURCE_SET).index('pelvis')
_REMEDY = 'Write the file for the same MuPoTS-3D.json that ann_file names'


@dataclass
class _Rows:
    """The persons that are samples.

    Attributes:
        image: (N,) index of the image. box: (N, 4) x, y, w, h px. score: (N,). depth: (N,) mm, of
            the root. extended: whether the boxes are square and padded already.
        person: (N,) index of the true person, None where boxes are predicted.
    """

    image: np.ndarray
    box: np.ndarray
    score: np.ndarray
    depth: np.ndarray
    extended: bool
    person: np.ndarray | None = None


@DATASETS.register_module()
class MuPoTSDataset(Pose3DDataset):
    """MuPoTS-3D for tests, one person a sample (see :class:`Pose3DDataset` for its keys).

    Further keys: frame_key (``TS1_img_000000``), sequence (1 to 20), frame (from 0) and det_idx
    (int, number of the sample among those of its frame), by which ``MuPoTS3DPCK`` collects the
    persons of a frame.

    Boxes and root depths are those of the ground truth (persons who are valid), or predicted. An
    image without boxes makes no sample; the metric knows of it from its own ground truth.

    MuPoTS-3D has 17 joints and networks are trained with MuCo's 21: hands and toes are there with
    visibility 0.

    Args:
        ann_file: 3DMPPE's MuPoTS-3D.json, relative to ``data_root`` or absolute.
        data_prefix: ``dict(img=...)``, the folder of TS1 to TS20.
        bbox_root_file: json with predicted boxes, square and padded already, and roots (RootNet's,
            or of tools/predict_roots.py).
        boxes_file: instead, json with detected boxes (tools/detect_persons.py, or COCO results).
            Raw ones are made square and padded once, those marked as extended are used as they are.
            The root depth is then the box's k-value (:func:`wsp_mm.structures.bbox.k_value`). Both
            files are looked for in the working folder, then below ``data_root``.
        joint_set: joints of the samples.
        check_images: at start-up, check that the first image of each sequence is there.
        **kwargs: MMEngine's ``pipeline``, ``test_mode``, ``indices``, ``lazy_init``,
            ``max_refetch``.

    Raises:
        ValueError: both files of boxes.
        AnnotationError: a bad record, a file of boxes for other images, absent images, or nothing
            to load.
    """

    SOURCE_SET = SOURCE_SET
    METAINFO: dict = dict(pose_metainfo(JOINT_SET), dataset_name='mupots')

    def __init__(
        self,
        ann_file: str = 'mupots/MuPoTS-3D.json',
        data_prefix: dict | None = None,
        data_root: str = '',
        bbox_root_file: str | None = None,
        boxes_file: str | None = None,
        joint_set: str = JOINT_SET,
        check_images: bool = True,
        **kwargs: Any,
    ) -> None:
        if bbox_root_file and boxes_file:
            raise ValueError('MuPoTSDataset: give bbox_root_file or boxes_file, not both')
        self.bbox_root_file = prediction_path(data_root, bbox_root_file) if bbox_root_file else None
        self.boxes_file = prediction_path(data_root, boxes_file) if boxes_file else None
        self.check_images = check_images
        super().__init__(
            joint_set,
            ann_file=ann_file,
            data_prefix=dict(data_prefix or dict(img='mupots/MultiPersonTestSet')),
            data_root=data_root,
            **kwargs,
        )

    def load_data_list(self) -> np.ndarray:
        """Return the indices of the persons that are samples, (N,)."""
        self._content = content = read_mupots_json(self.ann_file)
        notes = [*content.notes]
        source = self.bbox_root_file or self.boxes_file
        if self.bbox_root_file:
            rows = self._with_roots()
        elif self.boxes_file:
            rows = self._with_boxes(notes)
        else:
            rows = self._labelled(notes)
        if not len(rows.image):
            what = f'no person that could be a sample, in {len(content.image_id):,} images'
            if source is None:
                raise AnnotationError('nothing there', self.ann_file, '', what, 'Check the file')
            notes.append(f'{source}: {what}: MuPoTS3DPCK counts everybody as missed')
        self._rows = rows
        images, first = np.unique(rows.image, return_index=True)
        # Rows are ordered by image.
        self._det_idx = np.arange(len(rows.image)) - first[np.searchsorted(images, rows.image)]
        empty = len(content.image_id) - len(images)
        if empty:
            who = 'a detected person; MuPoTS3DPCK counts theirs as missed'
            notes.append(f'left out {empty:,} images without {who if source else "a valid person"}')
        if self.check_images:
            names = first_of_folders(content.file_name[i] for i in images)
            folder = self.data_prefix['img']
            check_images((osp.join(folder, name) for name in names), self.ann_file)
        log_notes(self, notes)
        return np.arange(len(rows.image))

    def _labelled(self, notes: list[str]) -> _Rows:
        """Boxes and roots of the ground truth."""
        content = self._content
        persons = np.argsort(content.image, kind='stable')
        boxes = crop_boxes(content.bbox[persons], content.size[content.image[persons]])
        good = np.isfinite(boxes).all(axis=-1)
        if not good.all():
            notes.append(
                f'left out {(~good).sum():,} persons of {len(good):,} whose box has no area within '
                'the image; MuPoTS3DPCK counts them as missed'
            )
        persons = persons[good]
        image, cameras = content.image[persons], content.intrinsic[content.image[persons]]
        joints, pixels = content.keypoints_cam[persons], content.keypoints_img[persons]
        if len(persons):
            error = projection_error(joints, cameras[:, :2], cameras[:, 2:], pixels)
            # Not an error: the json's cameras were fitted, not measured.
            if not error <= TOLERANCE_PX:
                notes.append(
                    f'{self.ann_file}: under its cameras keypoints_cam land {error:,.1f} px from '
                    'keypoints_img (median); absolute figures depend on these cameras'
                )
        ones, depth = np.ones(len(persons)), joints[:, _ROOT, 2]
        return _Rows(image, content.bbox[persons], ones, depth, False, persons)

    def _with_roots(self) -> _Rows:
        """Predicted boxes and roots."""
        found = read_bbox_roots(self.bbox_root_file)
        image, boxes, roots, scores = self._in_images(
            self.bbox_root_file, dict.fromkeys(found, ''), found, (4, 3, 1)
        )
        return _Rows(image, boxes, scores[:, 0], roots[:, 2], True)

    def _with_boxes(self, notes: list[str]) -> _Rows:
        """Detected boxes, roots at their k-value."""
        content, ids = self._content, self._content.image_id.tolist()
        file = read_boxes(self.boxes_file, dict(zip(ids, content.file_name, strict=True)))
        file.check_convention(dict(zip(ids, content.size.tolist(), strict=True)))
        notes += [f'{self.boxes_file}: {note}' for note in file.notes]
        unseen = sorted(set(ids) - set(file.images))
        if file.info and unseen:  # our own format lists every image that was looked at
            raise AnnotationError(
                'images not covered', self.boxes_file, '',
                f'{len(unseen):,} of {len(content.image_id):,} images of {self.ann_file} were not '
                f'looked at: image {", ".join(map(str, unseen[:10]))}', _REMEDY,
            )  # fmt: skip
        tables = {i: (boxes, file.scores[i]) for i, boxes in file.boxes.items()}
        image, boxes, scores = self._in_images(self.boxes_file, file.images, tables, (4, 1))
        extended = boxes if file.extended else crop_boxes(boxes, content.size[image])
        good = np.isfinite(extended).all(axis=-1)
        if not good.all():
            notes.append(
                f'{self.boxes_file}: left out {(~good).sum():,} boxes of {len(good):,} without '
                'area within the image'
            )
        image = image[good]
        depth = np.zeros(0)
        if len(image):
            depth = k_value(extended[good], content.intrinsic[image, :2])
        return _Rows(image, boxes[good], scores[good, 0], depth, file.extended)

    def _in_images(
        self,
        path: str,
        names: Mapping[int, str],
        tables: Mapping[int, tuple],
        widths: tuple[int, ...],
    ) -> list[np.ndarray]:
        """Put predictions in the order of the images.

        Args:
            path: their file.
            names: image id -> file name, '' where unknown.
            tables: image id -> arrays with a row for each of its persons.
            widths: columns of the arrays.

        Returns:
            Index of the image (N,) of all predicted persons, and their arrays (N, width).

        Raises:
            AnnotationError: the file is of other images.
        """
        content = self._content
        index = {int(image_id): row for row, image_id in enumerate(content.image_id)}
        for image_id, name in names.items():
            row, place = index.get(image_id), parse_name(name)
            if row is None:
                what = f'{self.ann_file} has no such image'
            elif place in (None, (content.sequence[row], content.frame[row])):
                continue
            else:
                what = f'it is {name} here, {content.file_name[row]} in {self.ann_file}'
            raise AnnotationError('other images', path, f'image {image_id}', what, _REMEDY)
        order = sorted(tables, key=index.__getitem__)
        counts = [len(tables[i][0]) for i in order]
        columns = [
            np.concatenate([np.zeros((0, n))] + [np.reshape(tables[i][k], (-1, n)) for i in order])
            for k, n in enumerate(widths)
        ]
        return [np.repeat(np.array([index[i] for i in order], dtype=np.int64), counts), *columns]

    def load_row(self, row: int) -> dict:
        rows, content = self._rows, self._content
        image = int(rows.image[row])
        sequence, frame = int(content.sequence[image]), int(content.frame[image])
        labels = {}
        if rows.person is not None:
            person = rows.person[row]
            labels = dict(
                joints=content.keypoints_cam[person], pixels=content.keypoints_img[person]
            )
        return dict(
            **labels,
            f=content.intrinsic[image, :2],
            c=content.intrinsic[image, 2:],
            box=to_corners(rows.box[row]),
            score=float(rows.score[row]),
            box_extended=rows.extended,
            root_depth=float(rows.depth[row]),
            img_path=osp.join(self.data_prefix['img'], content.file_name[image]),
            img_id=int(content.image_id[image]),
            id=int(row if rows.person is None else content.id[rows.person[row]]),
            image_size=tuple(content.size[image].tolist()),
            sequence=sequence,
            frame=frame,
            frame_key=frame_key(sequence, frame),
            det_idx=int(self._det_idx[row]),
        )
