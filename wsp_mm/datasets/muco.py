# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""MuCo-3DHP: composited pictures of one to four persons, with everybody's joints in 3D.

P persons of one picture, N rows (one a person), 21 joints (``muco21``).
"""

from __future__ import annotations

import os.path as osp
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from mmpose.registry import DATASETS

from wsp_mm.datasets.converters.mcpc.files import load_json, pack_numbers
from wsp_mm.datasets.converters.mcpc.records import BadDataError, Findings
from wsp_mm.datasets.h36m_convention import TOLERANCE_PX, pixel_error
from wsp_mm.datasets.pose3d import Pose3DDataset
from wsp_mm.structures.bbox import crop_boxes, to_corners
from wsp_mm.structures.keypoints import get_joint_set, pose_metainfo

JOINT_SET = 'muco21'
_ROOT = get_joint_set(JOINT_SET).index('pelvis')
_MEND = 'Download MuCo-3DHP.json of 3DMPPE again (docs/data.md), or set skip_bad=True to go on without the record'

_SHAPES = dict(keypoints_cam=(21, 3), keypoints_img=(21, 2), keypoints_vis=(21,), bbox=(4,))

#: Persons nearer to another than this, in the picture's plane or in space, are not drawn from (mm).
APART_MM = 500.0


def choose_persons(roots: np.ndarray) -> list[int]:
    """Which persons of a picture become samples: PoseNet's rule.

    The one nearest to the camera always (the first of several); of the rest those whose root is at
    least 500 mm from everybody else's, measured across the camera's axis and, which follows from
    it, in space.

    Args:
        roots: (P, 3) camera mm.

    Returns:
        Indices, the nearest person's first.
    """
    nearest = int(np.argmin(roots[:, 2]))
    apart = np.linalg.norm(roots[:, None] - roots[None], axis=-1)
    across = np.linalg.norm(roots[:, None, :2] - roots[None, :, :2], axis=-1)
    close = (apart < APART_MM) | (across < APART_MM)
    np.fill_diagonal(close, False)
    return [nearest] + [i for i in range(len(roots)) if i != nearest and not close[i].any()]


@DATASETS.register_module()
class MuCoDataset(Pose3DDataset):
    """MuCo-3DHP, one person a sample (see :class:`Pose3DDataset` for its keys).

    Args:
        ann_file: 3DMPPE's MuCo-3DHP.json, relative to ``data_root`` or absolute. It lists both sets
            of pictures.
        data_prefix: ``dict(img=...)``, the folder that ``augmented_set`` and ``unaugmented_set``
            are in.
        joint_set: joints of the samples.
        use_visibility: hidden joints (``keypoints_vis`` 0) are not supervised. Off as in PoseNet,
            which supervises all 21 joints of everybody; RootNet has it on.
        root_range_mm: persons whose root is nearer or farther than these two depths are left out
            (RootNet: 1500, 7500); none where None. They still count when persons near to each other
            are looked for.
        skip_bad: leave out, count and report bad records instead of raising at the first.
        check_pictures: at start-up, look whether the first picture of each folder is there.
        **kwargs: MMEngine's ``data_root``, ``pipeline``, ``test_mode``, ``indices``, ``lazy_init``,
            ``max_refetch``.

    Raises:
        ValueError: a bad record (``BadDataError``: file, record and mend), joints that do not land
            where the file has them under its own cameras, or nothing to load.
        FileNotFoundError: ``check_pictures`` finds no picture.
    """

    METAINFO: dict = dict(pose_metainfo(JOINT_SET), dataset_name='muco')

    def __init__(
        self,
        ann_file: str = 'muco/MuCo-3DHP.json',
        data_prefix: dict | None = None,
        joint_set: str = JOINT_SET,
        use_visibility: bool = False,
        root_range_mm: tuple[float, float] | None = None,
        skip_bad: bool = False,
        check_pictures: bool = True,
        **kwargs: Any,
    ) -> None:
        self.use_visibility, self.skip_bad, self.check_pictures = (
            use_visibility,
            skip_bad,
            check_pictures,
        )
        if root_range_mm is not None and not 0 <= root_range_mm[0] < root_range_mm[1]:
            raise ValueError(
                f'MuCoDataset: root_range_mm must be (near, far) in mm, got {root_range_mm}'
            )
        self.root_range_mm = root_range_mm
        super().__init__(
            JOINT_SET,
            joint_set,
            'muco',
            ann_file=ann_file,
            data_prefix=dict(img='muco') if data_prefix is None else dict(data_prefix),
            **kwargs,
        )

    def load_data_list(self) -> np.ndarray:
        """Numbers of the persons that the rule chooses, (N,)."""
        findings, skipped = Findings(skip_bad=self.skip_bad), Counter()
        content = load_json(Path(self.ann_file), hook=pack_numbers(tuple(_SHAPES), np.float32))
        for key in ('images', 'annotations'):
            if not isinstance(content, dict) or not content.get(key):
                raise BadDataError(
                    'wrong layout', self.ann_file, '', f'{key!r} is missing or empty', _MEND
                )
        # What is made of the records is arrays, which workers share and never copy; the records
        # themselves go.
        images = _Images(content.pop('images'), self.ann_file)
        self._images = images
        self._persons = persons = _Persons(
            content.pop('annotations'), images, self.ann_file, findings
        )
        images.row.clear()
        chosen = persons.choose()
        skipped['near to another person'] += len(persons.id) - len(chosen)
        boxed = np.isfinite(
            crop_boxes(persons.bbox[chosen], images.size[persons.image[chosen]])
        ).all(axis=-1)
        skipped['whose box has no area within the picture (PoseNet leaves them out too)'] += int(
            (~boxed).sum()
        )
        chosen = chosen[boxed]
        if self.root_range_mm is not None:
            near, far = self.root_range_mm
            depth = persons.joints[chosen, _ROOT, 2]
            within = (depth >= near) & (depth <= far)
            skipped[f'whose root is not within {near:g} to {far:g} mm'] += int((~within).sum())
            chosen = chosen[within]
        if not len(chosen):
            raise ValueError(
                f'{self.ann_file}: no person of {len(persons.id)} is left to be a sample'
            )
        self._check_cameras(chosen)
        if self.check_pictures:
            self._check_pictures(chosen)
        self.report(findings, (), {what: n for what, n in skipped.items() if n}, 'persons')
        return chosen

    def _check_cameras(self, chosen: np.ndarray) -> None:
        """Joints must land where the file has them."""
        some = chosen[np.linspace(0, len(chosen) - 1, min(200, len(chosen))).astype(int)]
        persons, images = self._persons, self._images
        joints = persons.joints[some].astype(np.float64)
        f, c = images.f[persons.image[some], None], images.c[persons.image[some], None]
        with np.errstate(divide='ignore', invalid='ignore'):
            error = pixel_error(joints[..., :2] / joints[..., 2:] * f + c, persons.pixels[some])
        if not error <= TOLERANCE_PX:
            raise BadDataError(
                'camera convention', self.ann_file, '',
                f'under their own cameras f and c, keypoints_cam land {error:,.1f} px from keypoints_img '
                f'(median of {len(some)} persons; at most {TOLERANCE_PX:g} px)', _MEND,
            )  # fmt: skip

    def _check_pictures(self, chosen: np.ndarray) -> None:
        names = self._images.file_name
        first: dict[str, str] = {}
        for image in dict.fromkeys(self._persons.image[chosen].tolist()):
            name = names[image].decode()
            first.setdefault(osp.dirname(name), name)
        for name in first.values():
            path = osp.join(self.data_prefix['img'], name)
            if not osp.isfile(path):
                raise FileNotFoundError(
                    f'{path} (of {self.ann_file}) is not there: set data_root or data_prefix=dict(img=...); '
                    'tools/misc/check_data.py lists all that is missing'
                )

    def load_row(self, row: int) -> dict:
        persons, images = self._persons, self._images
        image = int(persons.image[row])
        return dict(
            joints=persons.joints[row],
            pixels=persons.pixels[row].astype(np.float64),
            visible=persons.visible[row] if self.use_visibility else None,
            f=images.f[image],
            c=images.c[image],
            box=to_corners(persons.bbox[row].astype(np.float64)),
            img_path=osp.join(self.data_prefix['img'], images.file_name[image].decode()),
            img_id=int(images.id[image]),
            id=int(persons.id[row]),
            picture_size=tuple(images.size[image].tolist()),
            picture_size_slack=0,
        )


class _Images:
    """All pictures as arrays.

    Attributes:
        id: (M,). size: (M, 2) px. f, c: (M, 2) px. file_name: (M,) bytes. row: id -> number (while
            loading).
    """

    def __init__(self, images: list[dict], path: str) -> None:
        numbers = []
        for i, image in enumerate(images):
            try:
                numbers.append(
                    [image['id'], image['width'], image['height'], *image['f'], *image['c']]
                )
                bad = (
                    len(numbers[-1]) != 7
                    or not np.isfinite(np.array(numbers[-1], dtype=np.float64)).all()
                )
                if bad or min(numbers[-1][1:5]) <= 0:
                    raise ValueError(
                        'width, height, f (2) and c (2) must be numbers, all but c positive'
                    )
                image['file_name'].encode()
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                name = image.get('id', f'number {i}') if isinstance(image, dict) else f'number {i}'
                what = f'no {error}' if isinstance(error, KeyError) else str(error)
                raise BadDataError('bad image', path, f'image {name}', what, _MEND) from None
        values = np.array(numbers, dtype=np.float64)
        self.id = values[:, 0].astype(np.int64)
        self.size = values[:, 1:3].astype(np.int32)
        self.f, self.c = values[:, 3:5], values[:, 5:7]
        self.file_name = np.array([image['file_name'].encode() for image in images])
        self.row = {int(image_id): row for row, image_id in enumerate(self.id)}


class _Persons:
    """All persons as arrays, checked.

    Attributes:
        id: (N,). image: (N,) number of the picture. bbox: (N, 4) x, y, w, h px. joints: (N, 21, 3)
            camera mm.
        pixels: (N, 21, 2) px. visible: (N, 21) 0 or 1.
    """

    def __init__(
        self, annotations: list[dict], images: _Images, path: str, findings: Findings
    ) -> None:
        kept = []
        for i, annotation in enumerate(annotations):
            try:
                values = [int(annotation['id']), images.row[annotation['image_id']]]
                for key, shape in _SHAPES.items():
                    value = np.asarray(annotation[key], dtype=np.float32)
                    if value.shape not in (shape, (*shape, 1)):
                        raise ValueError(f'{key} must be of shape {shape}, is {value.shape}')
                    if not np.isfinite(value).all():
                        raise ValueError(f'{key} holds nan, null or infinity')
                    values.append(value.reshape(shape))
                if not (values[2][:, 2] > 0).all():
                    raise ValueError('keypoints_cam: a joint lies behind the camera')
                kept.append(values)
            except (KeyError, TypeError, ValueError) as error:
                name = (
                    annotation.get('id', f'number {i}')
                    if isinstance(annotation, dict)
                    else f'number {i}'
                )
                what = f'no {error}' if isinstance(error, KeyError) else str(error)
                if (
                    isinstance(error, KeyError)
                    and 'image_id' in annotation
                    and error.args == (annotation['image_id'],)
                ):
                    what = f'it is of image {annotation["image_id"]}, which is not there'
                findings.report('bad annotation', path, f'annotation {name}', what, _MEND)
        if not kept:
            raise BadDataError(
                'nothing there', path, '', "no usable record in 'annotations'", _MEND
            )
        ids, rows, joints, pixels, visible, boxes = zip(*kept, strict=True)
        self.id = np.array(ids, dtype=np.int64)
        self.image = np.array(rows, dtype=np.int64)
        self.joints, self.pixels, self.bbox = np.stack(joints), np.stack(pixels), np.stack(boxes)
        self.visible = (np.stack(visible) > 0).astype(np.float32)

    def choose(self) -> np.ndarray:
        """Numbers of the persons that become samples, picture by picture."""
        order = np.argsort(self.image, kind='stable')
        starts = np.flatnonzero(np.diff(self.image[order], prepend=-1))
        roots = self.joints[:, _ROOT].astype(np.float64)
        return np.concatenate(
            [group[choose_persons(roots[group])] for group in np.split(order, starts[1:])]
        )
