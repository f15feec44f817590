# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""MuCo-3DHP: composited images of one to four persons, with everybody's joints in 3D.

P persons of one image, N rows (one a person), 21 joints (``muco21``).
"""

import os
import os.path as osp
from typing import Any

import numpy as np
from mmpose.registry import DATASETS

from wsp_mm.datasets.annotations import (
    AnnotationError,
    Findings,
    check_images,
    check_lists,
    first_of_folders,
    image_name,
    load_json,
    record_name,
)
from wsp_mm.datasets.columns import Column, read_columns
from wsp_mm.datasets.plausibility import camera_poses, camera_view
from wsp_mm.datasets.pose3d import TOLERANCE_PX, Pose3DDataset, log_notes, projection_error
from wsp_mm.structures.bbox import crop_boxes, to_corners
from wsp_mm.structures.keypoints import get_joint_set, pose_metainfo

JOINT_SET = 'muco21'
_ROOT = get_joint_set(JOINT_SET).index('pelvis')
_REMEDY = (
    'Download MuCo-3DHP.json of 3DMPPE again (docs/data_3d.md), or set skip_bad=True to leave the '
    'record out'
)
_PERSON = dict(
    id=Column(dtype=np.int64),
    image_id=Column(dtype=np.int64),
    bbox=Column((4,), np.float32),
    keypoints_cam=Column((21, 3), np.float32),
    keypoints_img=Column((21, 2), np.float32),
    keypoints_vis=Column((21,), np.float32),
)

#: Persons nearer to another than this, across the camera's axis or in space, are left out (mm).
APART_MM = 500.0


def choose_persons(roots: np.ndarray) -> list[int]:
    """Choose the persons of an image that become samples, by PoseNet's rule.

    The one nearest to the camera always (the first of several); of the others those whose root is
    at least 500 mm from everybody else's, measured across the camera's axis and, which follows from
    it, in space.

    Args:
        roots: (P, 3) camera mm.

    Returns:
        Indices, the nearest person's first.
    """
    nearest = int(np.argmin(roots[:, 2]))
    apart = np.linalg.norm(roots[:, None, :2] - roots[None, :, :2], axis=-1)
    np.fill_diagonal(apart, np.inf)
    alone = (apart >= APART_MM).all(axis=1)
    return [nearest] + [i for i in np.flatnonzero(alone).tolist() if i != nearest]


@DATASETS.register_module()
class MuCoDataset(Pose3DDataset):
    """MuCo-3DHP, one person a sample (see :class:`Pose3DDataset` for its keys).

    Args:
        ann_file: 3DMPPE's MuCo-3DHP.json, relative to ``data_root`` or absolute. It lists both sets
            of images.
        data_prefix: ``dict(img=...)``, the folder of ``augmented_set`` and ``unaugmented_set``.
        joint_set: joints of the samples.
        use_visibility: hidden joints (``keypoints_vis`` 0) are not supervised. Off as in PoseNet,
            which supervises all 21 joints of everybody; RootNet has it on.
        root_range_mm: persons whose root is nearer or farther than these two depths are left out
            (RootNet: 1500, 7500); nobody where None. They still count when persons near to each
            other are looked for.
        skip_bad: leave out, count and report bad records instead of raising at the first.
        check_images: at start-up, check that the first image of each folder is there.
        **kwargs: MMEngine's ``data_root``, ``pipeline``, ``test_mode``, ``indices``, ``lazy_init``,
            ``max_refetch``.

    Raises:
        ValueError: a depth range that is not in order.
        AnnotationError: a bad record, most persons of another size or distance than people have
            (metres, root-relative poses), joints that do not land where the file has them under its
            own cameras, absent images, or nothing to load.
    """

    SOURCE_SET = JOINT_SET
    METAINFO: dict = dict(pose_metainfo(JOINT_SET), dataset_name='muco')

    def __init__(
        self,
        ann_file: str = 'muco/MuCo-3DHP.json',
        data_prefix: dict | None = None,
        joint_set: str = JOINT_SET,
        use_visibility: bool = False,
        root_range_mm: tuple[float, float] | None = None,
        skip_bad: bool = False,
        check_images: bool = True,
        **kwargs: Any,
    ) -> None:
        if root_range_mm is not None and not 0 <= root_range_mm[0] < root_range_mm[1]:
            raise ValueError(
                f'MuCoDataset: root_range_mm must be (near, far) in mm, got {root_range_mm}'
            )
        self.use_visibility, self.root_range_mm = use_visibility, root_range_mm
        self.skip_bad, self.check_images = skip_bad, check_images
        super().__init__(
            joint_set,
            ann_file=ann_file,
            data_prefix=dict(img='muco') if data_prefix is None else dict(data_prefix),
            **kwargs,
        )

    def load_data_list(self) -> np.ndarray:
        """Return the indices of the persons that the rule chooses, (N,)."""
        findings = Findings(skip_bad=self.skip_bad)
        self._read(findings)
        persons, images, image = self._persons, self._images, self._image
        order = np.argsort(image, kind='stable')
        groups = np.split(order, np.flatnonzero(np.diff(image[order])) + 1)
        roots = persons['keypoints_cam'][:, _ROOT].astype(np.float64)
        chosen = np.concatenate([group[choose_persons(roots[group])] for group in groups])
        near, far = self.root_range_mm or (-np.inf, np.inf)
        rules = {
            'whose box has no area within the image (PoseNet leaves them out too)': lambda rows: (
                np.isfinite(crop_boxes(persons['bbox'][rows], images['size'][image[rows]])).all(-1)
            ),
            f'whose root is not within {near:g} to {far:g} mm': lambda rows: (
                (near <= roots[rows, 2]) & (roots[rows, 2] <= far)
            ),
        }
        left_out = {'near to another person': len(image) - len(chosen)}
        for why, rule in rules.items():
            kept = rule(chosen)
            left_out[why] = int((~kept).sum())
            chosen = chosen[kept]
        if not len(chosen):
            raise AnnotationError(
                'nothing there', self.ann_file, '',
                f'no person of {len(image)} is left to be a sample ({left_out})', _REMEDY,
            )  # fmt: skip
        error = projection_error(
            persons['keypoints_cam'][chosen], images['f'][image[chosen]],
            images['c'][image[chosen]], persons['keypoints_img'][chosen],
        )  # fmt: skip
        if not error <= TOLERANCE_PX:
            raise AnnotationError(
                'camera convention', self.ann_file, '',
                f'under the cameras f and c, keypoints_cam land {error:,.1f} px from keypoints_img '
                f'(median; at most {TOLERANCE_PX:g} px)', _REMEDY,
            )  # fmt: skip
        if self.check_images:
            names = [os.fsdecode(images['file_name'][i]) for i in np.unique(image[chosen])]
            folder = self.data_prefix['img']
            check_images((osp.join(folder, n) for n in first_of_folders(names)), self.ann_file)
        log_notes(
            self,
            [f'left out {count:,} persons {why}' for why, count in left_out.items() if count]
            + findings.implausible_notes()
            + [f'skipped {count:,} x {kind}' for kind, count in findings.counts().items()]
            + [f'the first: {error}' for error in findings.bad[:1]],
        )
        return chosen

    def _read(self, findings: Findings) -> None:
        """Read images and persons as arrays, which workers share; the records are not kept."""
        path = self.ann_file
        arrays = [key for key, column in _PERSON.items() if column.shape]
        content = load_json(path, arrays, dtype=np.float32)
        check_lists(content, ('images', 'annotations'), path, _REMEDY)
        integer, pair = Column(dtype=np.int64), Column((2,))
        wanted = dict(id=integer, width=integer, height=integer, f=pair, c=pair)
        records = content['images']
        images, _ = read_columns(records, wanted, path, 'image', remedy=_REMEDY)
        bad = (images['f'] <= 0).any(axis=1) | (images['width'] <= 0) | (images['height'] <= 0)
        names = [image_name(image.get('file_name')) for image in records]
        bad |= [not name for name in names]
        Findings().drop(
            bad, 'bad image', path, lambda i: record_name('image', records[i], i),
            'width, height and f must be positive, and file_name the name of a file', _REMEDY,
        )  # fmt: skip
        images['size'] = np.column_stack([images.pop('width'), images.pop('height')])
        images['file_name'] = np.array([os.fsencode(name) for name in names])
        verdict = camera_view(images['f'], images['c'], images['size'])
        plausible = findings.judge(
            verdict, path, lambda i, of=records: record_name('image', of[i], i), _REMEDY
        )

        records = content['annotations']
        persons, kept = read_columns(records, _PERSON, path, 'annotation', findings, _REMEDY)
        index = {image_id: row for row, image_id in enumerate(images['id'].tolist())}
        image = np.array([index.get(i, -1) for i in persons['image_id'].tolist()], dtype=np.int64)

        def name(i: int) -> str:
            return record_name('annotation', records[kept[i]], kept[i])

        verdict = camera_poses(persons['keypoints_cam'], JOINT_SET)
        good = findings.judge(verdict, path, name, _REMEDY)
        good &= (image < 0) | plausible[image]
        for bad, what in (
            (image < 0, "'image_id' is of an image that is not there"),
            (
                (persons['keypoints_cam'][..., 2] <= 0).any(axis=1),
                'a joint is behind the camera (root-relative?)',
            ),
        ):
            good &= findings.drop(bad & good, 'bad annotation', path, name, what, _REMEDY)
        if not good.any():
            what = "no usable record in 'annotations'"
            raise AnnotationError('nothing there', path, '', what, _REMEDY)
        self._images, self._image = images, image[good]
        self._persons = {key: values[good] for key, values in persons.items()}

    def load_row(self, row: int) -> dict:
        persons, images, image = self._persons, self._images, self._image[row]
        visible = (persons['keypoints_vis'][row] > 0).astype(np.float32)
        return dict(
            joints=persons['keypoints_cam'][row],
            pixels=persons['keypoints_img'][row].astype(np.float64),
            visible=visible if self.use_visibility else None,
            f=images['f'][image],
            c=images['c'][image],
            box=to_corners(persons['bbox'][row].astype(np.float64)),
            img_path=osp.join(self.data_prefix['img'], os.fsdecode(images['file_name'][image])),
            img_id=int(images['id'][image]),
            id=int(persons['id'][row]),
            image_size=tuple(images['size'][image].tolist()),
        )
