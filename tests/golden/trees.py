# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Small data sets on disk in the layouts that users have, images included.

Everything lies under one data root: the sources of MCPC (COCO, MPII, PoseTrack18, CrowdPose), MCPC,
Human3.6M as 3DMPPE writes it, MuCo, MuPoTS with predicted boxes. Random numbers are of numpy's
``RandomState``, whose streams never change.
"""

import itertools
import json
import shutil
import zlib
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from scipy.io import savemat

from tests.golden import adapter


def rng(*key: object) -> np.random.RandomState:
    """A stream of its own for every key."""
    return np.random.RandomState(zlib.crc32(repr(key).encode()))


def image(seed: object, size: tuple[int, int]) -> np.ndarray:
    """Soft blobs of colour, (h, w, 3) uint8."""
    blobs = rng('image', seed).randint(0, 256, (6, 8, 3)).astype(np.uint8)
    return cv2.resize(blobs, size, interpolation=cv2.INTER_LINEAR)


def write_image(path: Path, size: tuple[int, int], seed: object = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image(seed or path.name, size), [cv2.IMWRITE_JPEG_QUALITY, 95])


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding='utf-8')


def write_boxes(path: Path, images: list[dict], detections: list[dict]) -> None:
    """A file of detected boxes; ``detections``: image_id, bbox x y w h px, score."""
    info = dict(format='wsp_mm.boxes', version=1, box_convention='raw')
    images = [dict(id=one['id'], file_name=one['file_name']) for one in images]
    detections = [dict(one, category_id=1) for one in detections]
    write_json(path, dict(info=info, images=images, detections=detections))


@cache
def data_root(scratch: Path) -> Path:
    """The folder with all of it."""
    for make in (_sources, _mcpc, _h36m, _muco, _mupots):
        make(scratch / 'data')
    return scratch / 'data'


# ---------------------------------------------------------------------- 2D

_SOURCES = {
    'coco train': ('coco17', 'person_keypoints_train2017', 'train2017/'),
    'coco val': ('coco17', 'person_keypoints_val2017', 'val2017/'),
    'posetrack18 train': ('posetrack18', 'posetrack18_train', ''),
    'posetrack18 val': ('posetrack18', 'posetrack18_val', ''),
    'crowdpose train': ('crowdpose14', 'mmpose_crowdpose_trainval', 'images/'),
    'crowdpose val': ('crowdpose14', 'mmpose_crowdpose_test', 'images/'),
    'mpii train': ('mpii16', 'mpii_train', 'images/'),
    'mpii val': ('mpii16', 'mpii_val', 'images/'),
}


def _sources(root: Path) -> None:
    """COCO, MPII, PoseTrack18 and CrowdPose with seven images each of one to four persons."""
    for name, (joint_set, file, prefix) in _SOURCES.items():
        source, split = name.split()
        images, people = _scenes(split, joint_set)
        for one in images:
            write_image(root / source / prefix / one['file_name'], (160, 120), (name, one['id']))
        content: object = dict(images=images, annotations=people, categories=_person_of(joint_set))
        if source == 'mpii':
            points = [np.reshape(one['keypoints'], (16, 3)) for one in people]
            content = [
                dict(
                    image=f'{one["image_id"]:06d}.jpg', center=[80.0, 60.0], scale=0.5,
                    joints=k[:, :2].tolist(), joints_vis=(k[:, 2] > 0).astype(int).tolist(),
                )
                for one, k in zip(people, points, strict=True)
            ]  # fmt: skip
        write_json(root / source / f'annotations/{file}.json', content)
    # a test image of COCO is a training image of CrowdPose
    shutil.copy(root / 'coco/val2017/000011.jpg', root / 'crowdpose/images/000001.jpg')


def _person_of(joint_set: str) -> list[dict]:
    return [dict(id=1, name='person', keypoints=list(adapter.joint_names(joint_set)))]


def _scenes(split: str, joint_set: str) -> tuple[list[dict], list[dict]]:
    """Images and persons of COCO's layout: some lack ankles or all joints, a crowd, two who tie."""
    names = adapter.joint_names(joint_set)
    ankles = [names.index(f'{side}_ankle') for side in ('left', 'right')]
    draw, images, people = rng('scenes', split, joint_set), [], []
    for i in range(1, 8):
        image_id = i if split == 'train' else 10 + i
        images.append(dict(id=image_id, file_name=f'{image_id:06d}.jpg', width=160, height=120))
        for n in range(1 + i % 4):
            height, x, feet = draw.uniform((40, 38 * n + 20, 90), (90, 38 * n + 28, 118)).round(1)
            feet = 100.0 if i == 5 and n < 2 else feet
            points = np.column_stack(
                [
                    draw.normal(x, 0.12 * height, len(names)),
                    draw.uniform(feet - height, feet, len(names)),
                ]
            ).round(1)
            points[ankles, 1] = feet, feet - draw.randint(0, 5) * (i != 5)
            v = draw.choice([0, 1, 2], len(names), p=[0.15, 0.2, 0.65])
            v[ankles] *= (i, n) != (6, 0)
            v *= (i, n) != (6, 1)
            points[v == 0] = 0
            one = dict(
                id=100 * i + n, image_id=image_id, category_id=1, iscrowd=int((i, n) == (7, 0)),
                keypoints=np.column_stack([points, v]).ravel().tolist(),
                num_keypoints=int((v > 0).sum()), area=round(0.4 * height**2, 1),
                bbox=np.round([x - 0.3 * height, feet - height, 0.6 * height, height], 1).tolist(),
            )  # fmt: skip
            if n == 2 and joint_set != 'coco17':  # MMPose's own reader needs boxes
                del one['bbox'], one['area']
            people.append(one)
    return images, people


def _mcpc(root: Path) -> None:
    """MCPC of images of COCO and MPII; test pairs are all that have a label."""
    for split, own in dict(train='train', test='val').items():
        images, people = _scenes(own, 'mcpc16')
        for one in images:
            source = ('coco', 'mpii')[one['id'] % 2]
            name = f'{_SOURCES[f"{source} {own}"][2]}{one["file_name"]}'
            others = [[20.0, 110.0, 12.0], [150.0, 115.0, None]] if one['id'] % 10 == 3 else []
            one |= dict(source=source, source_id=one['id'], file_name=name, other_ankles=others)
        kept, pairs = [], []
        for one in people:
            k = np.reshape(one['keypoints'], (16, 3))[[0, 5]]
            if 'bbox' in one and k[:, 2].any() and not one['iscrowd']:
                source = images[one['image_id'] % 10 - 1]['source']
                more = dict(source=source, source_id=one['id'], scale_source='head')
                scale = 0.14 * one['bbox'][3]
                kept.append(one | more | dict(ground_y=float(k[:, 1].max()), scale=scale))
        for a, b in itertools.combinations(kept, 2):
            if a['image_id'] == b['image_id'] and a['ground_y'] != b['ground_y']:
                a, b = (a, b) if len(pairs) % 2 else (b, a)
                label, gap = int(a['ground_y'] > b['ground_y']), len(pairs) / 20
                pair = dict(ann_a=a['id'], ann_b=b['id'], label=label, scale_gap=gap)
                pairs.append(dict(pair, id=len(pairs) + 1, image_id=a['image_id']))
        info = dict(version='0.1.0', split=split, joint_set='mcpc16', ankles='any', ground='lowest')
        content = dict(info=info, categories=_person_of('mcpc16'), images=images, annotations=kept)
        more = dict(pairs=pairs) if split == 'test' else {}
        write_json(root / f'mcpc/mcpc_{split}.json', content | more)


# ---------------------------------------------------------------------- 3D


def _h36m(root: Path) -> None:
    """Three json files a subject: two actions, two subactions, two frames each, four cameras."""
    f, c = np.array([230.0, 228.0]), np.array([101.0, 99.0])
    names, predicted = {2: 'Directions', 14: 'Walking'}, []
    for subject in (1, 5, 6, 7, 8, 9, 11):
        cameras, images, annotations, joints = {}, [], [], {}
        frames = ((1, 0), (1, 320 if subject > 8 else 5), (2, 0), (2, 3))
        for number, action, (subaction, frame) in itertools.product(range(1, 5), names, frames):
            turn = np.deg2rad(90 * number + 17)  # 4 m away, 1.5 m high, level
            forward, down = -np.array([np.cos(turn), np.sin(turn), 0]), np.array([0, 0, -1.0])
            rotation = np.stack([np.cross(down, forward), down, forward])
            t = -rotation @ (-4000 * forward + (0, 0, 1500))
            camera = dict(R=rotation, t=t, f=f, c=c)
            cameras[str(number)] = {key: value.tolist() for key, value in camera.items()}
            draw = rng('pose', subject, action, subaction, frame)
            world = draw.normal((0, 0, 900), (180, 90, 400), (17, 3)).round(3)
            poses = joints.setdefault(str(action), {}).setdefault(str(subaction), {})
            poses[str(frame)] = world.tolist()
            cam = world @ rotation.T + t
            pixels = cam[:, :2] / cam[:, 2:] * f + c
            low, high = pixels.min(0), pixels.max(0)
            sides = (high - low - 1) * 1.2
            key = f's_{subject:02d}_act_{action:02d}_subact_{subaction:02d}_ca_{number:02d}'
            name, image_id = f'{key}/{key}_{frame + 1:06d}.jpg', subject * 10000 + len(images)
            images.append(
                dict(
                    id=image_id, file_name=name, width=200, height=200, subject=subject,
                    action_name=names[action], action_idx=action, subaction_idx=subaction,
                    cam_idx=number, frame_idx=frame,
                )
            )  # fmt: skip
            one = dict(image_id=image_id, keypoints_vis=[True] * 17)
            box = [*((low + high - sides) / 2).tolist(), *sides.tolist()]
            annotations.append(dict(one, id=image_id + 500000, bbox=box))
            predicted.append(dict(one, bbox=[20.0, 15, 150, 150], root_cam=[1.0, 2, 4000 + frame]))
            write_image(root / 'human36m/images' / name, (200, 200), (subject, number))
        data = dict(images=images, annotations=annotations)
        for kind, part in dict(data=data, camera=cameras, joint_3d=joints).items():
            write_json(root / f'human36m/annotations/Human36M_subject{subject}_{kind}.json', part)
    write_json(root / 'bbox_root_h36m.json', predicted)
    adapter.convert_h36m(root)


def _person_3d(count: int, ann_id: int, image_id: int, place: tuple, f: tuple, **more) -> dict:
    """A person whose joints hang about the 15th of them, the root at ``place`` (camera mm)."""
    joints = rng('person', ann_id, count).normal(0, (150, 300, 80), (count, 3)) + place
    joints[14] = place
    pixels = joints[:, :2] / joints[:, 2:] * f + (100, 80)
    low, high = pixels.min(0), pixels.max(0)
    return dict(
        id=ann_id, image_id=image_id, bbox=[*low.tolist(), *(high - low).tolist()],
        keypoints_cam=joints.tolist(), keypoints_img=pixels.tolist(), **more,
    )  # fmt: skip


def _muco(root: Path) -> None:
    """Three images: some persons too near to another, one too far; some joints hidden."""
    places = [
        [(0, 0, 3000)], [(-700, 0, 3600), (500, 60, 4200), (650, 80, 4400)],
        [(300, 0, 8000), (-700, 0, 4000)],
    ]  # fmt: skip
    images, people, shown = [], [], [[int(k % 2 or k > 13)] for k in range(21)]
    for i, roots in enumerate(places):
        name = f'{("augmented_set", "unaugmented_set")[i % 2]}/1/{i}.jpg'
        write_image(root / 'muco' / name, (200, 160))
        camera = dict(width=200, height=160, f=[300.0, 300.0], c=[100.0, 80.0])
        images.append(dict(id=i, file_name=name, **camera))
        for place in roots:
            people.append(_person_3d(21, len(people), i, place, (300, 300), keypoints_vis=shown))
    write_json(root / 'muco/MuCo-3DHP.json', dict(images=images, annotations=people))


def _mupots(root: Path) -> None:
    """TS1: two persons, then one; TS2: one of two is valid, then nobody. Predictions."""
    f, size, folder = (300.0, 310.0), (200, 160), root / 'mupots/MultiPersonTestSet'
    places = {30: (2, 0), 10: (1, 0), 11: (1, 1), 31: (2, 1)}  # image id -> sequence, frame
    persons = [
        (10, (-400, 0, 3000), 1), (10, (500, 50, 4000), 1), (11, (450, 50, 3900), 1),
        (30, (-500, 0, 3500), 0), (30, (400, 20, 3300), 1),
    ]  # fmt: skip
    annotations = [
        _person_3d(17, i + 1, image_id, place, f, is_valid=valid, keypoints_vis=[1] * 17)
        for i, (image_id, place, valid) in enumerate(persons)
    ]
    images, poses, hidden = [], *(np.empty((2, 2, 2), dtype=object) for _ in range(2))
    for image_id, (sequence, frame) in places.items():
        name = f'TS{sequence}/img_{frame:06d}.jpg'
        write_image(folder / name, size, image_id)
        camera = dict(width=size[0], height=size[1], intrinsic=[*f, 100.0, 80.0])
        images.append(dict(id=image_id, file_name=name, **camera))
        there = [a for a in annotations if a['image_id'] == image_id]
        for n in range(2):
            where = sequence - 1, frame, n
            hidden[where] = (rng('hidden', image_id, n).rand(1, 17) < 0.3).astype(float)
            poses[where] = np.zeros((0, 0))
            if n < len(there):
                cam, img = (np.array(there[n][key]).T for key in ('keypoints_cam', 'keypoints_img'))
                valid = float(there[n]['is_valid'])
                fields = dict(annot2=img, annot3=cam, univ_annot3=cam * 1.05)
                poses[where] = dict(fields, isValidFrame=valid)
    for i in range(2):
        savemat(folder / f'TS{i + 1}/annot.mat', dict(annotations=poses[i]))
        savemat(folder / f'TS{i + 1}/occlusion.mat', dict(occlusion_labels=hidden[i]))
    write_json(root / 'mupots/MuPoTS-3D.json', dict(images=images, annotations=annotations))
    found = (10, 0.8, [20, 20, 70, 110]), (10, 0.9, [110, 30, 50, 80]), (11, 0.4, [-5, 20, 60, 90])
    found = [dict(image_id=i, score=score, bbox=box) for i, score, box in found]
    roots = [dict(one, root_cam=[0.0, 0.0, 3000.0 + one['image_id']]) for one in found]
    write_json(root / 'bbox_root_mupots.json', roots)
    write_json(root / 'coco_results.json', [dict(one, category_id=1) for one in found])
    write_boxes(root / 'boxes.json', images, found)
