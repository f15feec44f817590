# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""PoseTrack18: the official json of each video and the merged files that MMPose reads."""

from __future__ import annotations

from pathlib import PurePosixPath

import numpy as np

from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.synthetic.layouts.base import SourceWriter
from wsp_mm.synthetic.layouts.labelling import Habits, flat_keypoints, is_seen, polygons_of
from wsp_mm.synthetic.record import Scene

_JOINTS = get_joint_set('posetrack18')
_EARS = [_JOINTS.index('left_ear'), _JOINTS.index('right_ear')]
_HEAD = [_JOINTS.index('upper_neck'), _JOINTS.index('head_top')]

CATEGORY = {
    'supercategory': 'person',
    'id': 1,
    'name': 'person',
    'keypoints': list(_JOINTS.joints),
    # Copied by PoseTrack from COCO although the first five joints differ; nobody draws by it.
    'skeleton': [
        [16, 14], [14, 12], [17, 15], [15, 13], [12, 13], [6, 12], [7, 13], [6, 7], [6, 8], [7, 9], [8, 10],
        [9, 11], [2, 3], [1, 2], [1, 3], [2, 4], [3, 5], [4, 6], [5, 7],
    ],
}  # fmt: skip

# The first picture of a video carries no labels, as most pictures of the real videos do not.
UNLABELLED_FRAMES = (0,)


class PoseTrack18Writer(SourceWriter):
    """Videos with tracks; labels have v = 1, hidden joints seldom any, ears never; boxes follow the
    labels.
    """

    source = 'posetrack18'
    joint_set = 'posetrack18'
    habits = Habits(guesses=0.3, step=0.5, min_area=16 * 16)

    def __init__(self, keep_truth: bool = True) -> None:
        super().__init__(keep_truth)
        self._videos: dict[str, dict[str, dict]] = {'train': {}, 'val': {}}
        self._tracks: dict[str, dict[int, int]] = {}

    def annotate(self, scene: Scene, xy: np.ndarray, v: np.ndarray) -> None:
        v = np.minimum(v, 1)
        v[:, _EARS] = 0
        xy = np.where((v > 0)[..., None], xy, 0.0)
        name = PurePosixPath(scene.file_name)
        video, frame = name.parent.name, int(name.stem)
        vid_id = video.partition('_')[0]
        image_id = 10_000_000_000 + int(vid_id) * 10_000 + frame
        content = self._videos[scene.split].setdefault(video, {'images': [], 'annotations': []})
        labelled = frame not in UNLABELLED_FRAMES
        rows = [
            i
            for i, p in enumerate(scene.persons)
            if labelled and is_seen(p) and (v[i] > 0).sum() >= 2
        ]
        ids = [image_id * 100 + track for track in range(len(rows))]
        ignored = [
            i for i, p in enumerate(scene.persons) if labelled and is_seen(p) and i not in rows
        ]
        outlines = [polygon for i in ignored for polygon in polygons_of(scene.persons[i])]
        content['images'].append(
            {
                'has_no_densepose': True,
                'is_labeled': labelled,
                'file_name': scene.file_name,
                'nframes': 0,
                'frame_id': image_id,
                'vid_id': vid_id,
                'ignore_regions_y': [[round(y) for y in polygon[1::2]] for polygon in outlines],
                'ignore_regions_x': [[round(x) for x in polygon[::2]] for polygon in outlines],
                'id': image_id,
                'width': scene.width,
                'height': scene.height,
                'mask_file': f'mask/{scene.split}/{video}/{name.name}',
            }
        )
        for row, annotation_id in zip(rows, ids, strict=True):
            content['annotations'].append(
                {
                    'bbox_head': _head_box(scene, row),
                    'keypoints': flat_keypoints(xy[row], v[row]),
                    'track_id': self._track(video, scene.persons[row].person_id),
                    'image_id': image_id,
                    'bbox': labelled_box(xy[row], v[row]),
                    'scores': [],
                    'category_id': 1,
                    'id': annotation_id,
                    'iscrowd': False,
                    'num_keypoints': int((v[row] > 0).sum()),
                }
            )
        if labelled:
            self.record(scene, rows, ids, image_id, xy, v)

    def files(self) -> dict[str, object]:
        files: dict[str, object] = {}
        for split, videos in self._videos.items():
            merged: dict[str, list] = {'categories': [CATEGORY], 'images': [], 'annotations': []}
            for video, content in videos.items():
                for image in content['images']:
                    image['nframes'] = len(content['images'])
                files[f'annotations/{split}/{video}.json'] = {'categories': [CATEGORY], **content}
                merged['images'] += content['images']
                merged['annotations'] += content['annotations']
            files[f'annotations/posetrack18_{split}.json'] = merged
        return files

    def _track(self, video: str, person_id: int) -> int:
        """Tracks are counted from 0 in every video."""
        tracks = self._tracks.setdefault(video, {})
        return tracks.setdefault(person_id, len(tracks))


def labelled_box(xy: np.ndarray, v: np.ndarray) -> list[float]:
    """PoseTrack18's person box: the labels' extent, 15 % wider on every side, not clipped to the
    picture.
    """
    points = xy[v > 0]
    low, high = points.min(axis=0), points.max(axis=0)
    extent = np.maximum(high - low, 1.0)
    return [round(c, 3) for c in (*(low - 0.15 * extent), *(1.3 * extent))]


def _head_box(scene: Scene, row: int) -> list[int]:
    """A box around the head: as high as from the neck to the top, and 4/5 as wide, whole px."""
    joints = scene.persons[row].joints_px
    world = get_joint_set('world')
    neck, top = (joints[world.index(_JOINTS.concepts[k])] for k in _HEAD)
    centre, size = (neck + top) / 2, max(2.0, float(np.hypot(*(top - neck))))
    x, y = centre - (0.4 * size, 0.5 * size)
    return [round(x), round(y), max(1, round(0.8 * size)), max(1, round(size))]
