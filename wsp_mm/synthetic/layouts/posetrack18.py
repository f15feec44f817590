# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""PoseTrack18: the official json of each video and the merged files that MMPose reads.

Videos with tracks; labels have v = 1, hidden joints seldom any, ears never; boxes follow the
labels.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from wsp_mm.structures.keypoints import get_joint_set

from ..ground_truth import SceneGT
from .labelling import (
    WORLD,
    AnnotationWriter,
    LabelSettings,
    coco_annotation,
    coco_category,
    label_scenes,
)

SETTINGS = LabelSettings('posetrack18', guesses=0.3, min_area=16 * 16, step=0.5)
_JOINTS = get_joint_set('posetrack18')
_EARS = [_JOINTS.index('left_ear'), _JOINTS.index('right_ear')]
_HEAD = [WORLD.index('upper_neck'), WORLD.index('head_top')]
# Copied by PoseTrack from COCO although the first five joints differ; nobody draws by it.
_SKELETON = [
    [16, 14], [14, 12], [17, 15], [15, 13], [12, 13], [6, 12], [7, 13], [6, 7], [6, 8], [7, 9],
    [8, 10], [9, 11], [2, 3], [1, 2], [1, 3], [2, 4], [3, 5], [4, 6], [5, 7],
]  # fmt: skip
# The first image of a video carries no labels, as most images of the real videos do not.
_UNLABELLED_FRAMES = (0,)


def write(writer: AnnotationWriter, scenes: Iterable[SceneGT]) -> None:
    """Write the annotation files in ``posetrack18``."""
    videos: dict[tuple[str, str], dict[str, list]] = {}
    tracks: dict[str, dict[int, int]] = {}
    for scene, xy, v, seen in label_scenes(scenes, SETTINGS):
        v = np.minimum(v, 1)
        v[:, _EARS] = 0
        xy = np.where((v > 0)[..., None], xy, 0.0)
        request, path = scene.request, Path(scene.request.path)
        video, frame = path.parent.name, request.frame
        content = videos.setdefault((request.split, video), dict(images=[], annotations=[]))
        labelled = frame not in _UNLABELLED_FRAMES
        rows = [i for i in seen if labelled and (v[i] > 0).sum() >= 2]
        ignored = [i for i in seen if labelled and i not in rows]
        image = _image(scene, video, [p for i in ignored for p in scene.persons[i].polygons])
        content['images'].append(image | dict(is_labeled=labelled))
        ids = [image['id'] * 100 + n for n in range(len(rows))]
        for row, annotation_id in zip(rows, ids, strict=True):
            # Tracks are counted from 0 in every video.
            track = tracks.setdefault(video, {})
            track_id = track.setdefault(scene.persons[row].person_id, len(track))
            box = labelled_box(xy[row], v[row])
            content['annotations'].append(
                coco_annotation(
                    xy[row], v[row], annotation_id, image['id'], box, iscrowd=False, scores=[],
                    track_id=track_id, bbox_head=_head_box(scene.persons[row].joints_px),
                )
            )  # fmt: skip
        writer.add_ground_truth(scene, rows, ids, image['id'], xy, v, SETTINGS.joint_set)
    categories = [coco_category('posetrack18', skeleton=_SKELETON)]
    merged = {
        split: dict(categories=categories, images=[], annotations=[]) for split in ('train', 'val')
    }
    folder = 'posetrack18/annotations'
    for (split, video), content in videos.items():
        for image in content['images']:
            image['nframes'] = len(content['images'])
        writer.json(f'{folder}/{split}/{video}.json', dict(categories=categories, **content))
        for part in ('images', 'annotations'):
            merged[split][part] += content[part]
    for split, content in merged.items():
        writer.json(f'{folder}/posetrack18_{split}.json', content)


def _image(scene: SceneGT, video: str, ignored: list[list[float]]) -> dict:
    """An image's entry; ``ignored``: outlines of persons without labels, flat x, y, ... px."""
    request, vid_id = scene.request, video.partition('_')[0]
    image_id = 10_000_000_000 + int(vid_id) * 10_000 + request.frame
    name = request.path.removeprefix('posetrack18/')
    return dict(
        has_no_densepose=True, file_name=name, nframes=0, frame_id=image_id, id=image_id,
        vid_id=vid_id, ignore_regions_y=[[round(y) for y in polygon[1::2]] for polygon in ignored],
        ignore_regions_x=[[round(x) for x in polygon[::2]] for polygon in ignored],
        width=request.width, height=request.height,
        mask_file=f'mask/{request.split}/{video}/{Path(name).name}',
    )  # fmt: skip


def labelled_box(xy: np.ndarray, v: np.ndarray) -> list[float]:
    """PoseTrack18's person box: the labels' extent, 15 % wider on every side, not clipped to the
    image.
    """
    points = xy[v > 0]
    low, high = points.min(axis=0), points.max(axis=0)
    extent = np.maximum(high - low, 1.0)
    return np.round([*(low - 0.15 * extent), *(1.3 * extent)], 3).tolist()


def _head_box(joints_px: np.ndarray) -> list[int]:
    """A box around the head: as high as from the neck to the top, and 4/5 as wide, whole px."""
    neck, top = joints_px[_HEAD]
    center, size = (neck + top) / 2, max(2.0, float(np.hypot(*(top - neck))))
    x, y = center - (0.4 * size, 0.5 * size)
    return [round(x), round(y), max(1, round(0.8 * size)), max(1, round(size))]
