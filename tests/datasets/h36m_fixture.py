# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""A small Human3.6M in both layouts, written by hand from the layouts' descriptions, and a small
MuCo, COCO and MPII.
"""

from __future__ import annotations

import itertools
import json
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = 200  # px, both sides
F, C = np.array([230.0, 228.0]), np.array([101.0, 99.0])
ACTION_NAMES = {2: 'Directions', 14: 'Walking'}
CAMERAS = ('54138969', '55011271', '58860488', '60457274')

# A standing person, mm, z up, feet at 0: the 17 joints in Human3.6M's order.
BODY = np.array(
    [
        (0, 0, 900), (-130, 0, 890), (-140, 20, 480), (-150, 40, 60), (130, 0, 890), (140, 10, 480),
        (150, -30, 60), (0, 20, 1120), (0, 30, 1380), (0, -60, 1450), (0, 10, 1580),
        (180, 20, 1360),
        (240, 40, 1100), (230, -80, 900), (-180, 20, 1360), (-240, 30, 1100), (-250, -60, 900),
    ],
    dtype=float,
)  # fmt: skip


def camera(number: int) -> tuple[np.ndarray, np.ndarray]:
    """World-to-camera rotation and the camera's centre (mm): 4 m away, 1.5 m high, looking
    level.
    """
    turn = np.deg2rad(90 * number + 17)
    centre = np.array([4000 * np.cos(turn), 4000 * np.sin(turn), 1500.0])
    forward = -np.array([np.cos(turn), np.sin(turn), 0.0])
    down = np.array([0.0, 0.0, -1.0])
    return np.stack([np.cross(down, forward), down, forward]), centre


def pose(subject: int, action: int, subaction: int, frame: int) -> np.ndarray:
    """World joints (17, 3) mm."""
    moved = BODY * (0.9 + 0.02 * subject) + (40 * subaction, 3 * frame, 0)
    moved[13] += (0, 0, 10 * action)
    return moved.round(3)


def project(world: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Camera joints (17, 3) mm, and pixels (17, 2)."""
    rotation, centre = camera(number)
    cam = (world - centre) @ rotation.T
    return cam, cam[:, :2] / cam[:, 2:] * F + C


def box(pixels: np.ndarray) -> np.ndarray:
    """x, y, w, h px: the joints' extent less a pixel, 1.2 times as large, about its middle."""
    (x1, y1), (x2, y2) = pixels.min(axis=0), pixels.max(axis=0)
    w, h = (x2 - x1 - 1) * 1.2, (y2 - y1 - 1) * 1.2
    return np.array([(x1 + x2) / 2 - w / 2, (y1 + y2) / 2 - h / 2, w, h])


def views(subject: int) -> Iterator[tuple[int, int, int, int]]:
    """Action, subaction, frame and the camera's number of every image of a subject."""
    frames = (0, 64, 320) if subject in (9, 11) else (0, 3, 5)
    return itertools.product(ACTION_NAMES, (1, 2), frames, range(1, 5))


def write_3dmppe(
    root: Path, subjects=(1, 5, 6, 7, 8, 9, 11), centre: bool = False, images_too: bool = True
) -> None:
    """3DMPPE's layout; ``centre``: the camera files hold the camera's centre under the name of
    t.
    """
    folder = root / 'human36m' / 'annotations'
    folder.mkdir(parents=True, exist_ok=True)
    for subject in subjects:
        cameras, images, annotations, joints = {}, [], [], {}
        for number in range(1, 5):
            rotation, at = camera(number)
            kit = dict(R=rotation, t=at if centre else -rotation @ at, f=F, c=C)
            cameras[str(number)] = {key: value.tolist() for key, value in kit.items()}
        for action, subaction, frame, number in views(subject):
            world = pose(subject, action, subaction, frame)
            poses = joints.setdefault(str(action), {}).setdefault(str(subaction), {})
            poses[str(frame)] = world.tolist()
            key = f's_{subject:02d}_act_{action:02d}_subact_{subaction:02d}_ca_{number:02d}'
            name = f'{key}/{key}_{frame + 1:06d}.jpg'
            image_id = subject * 10000 + len(images)
            images.append(
                dict(
                    id=image_id, file_name=name, width=SIZE, height=SIZE, subject=subject,
                    action_name=ACTION_NAMES[action], action_idx=action, subaction_idx=subaction,
                    cam_idx=number, frame_idx=frame,
                )
            )  # fmt: skip
            annotations.append(
                dict(
                    id=image_id + 500000, image_id=image_id, keypoints_vis=[True] * 17,
                    bbox=box(project(world, number)[1]).tolist(),
                )
            )  # fmt: skip
            if images_too:
                write_image(root / 'human36m' / 'images' / name)
        for kind, content in dict(
            data=dict(images=images, annotations=annotations), camera=cameras, joint_3d=joints
        ).items():
            (folder / f'Human36M_subject{subject}_{kind}.json').write_text(json.dumps(content))


def write_image(path: Path, size: tuple[int, int] = (SIZE, SIZE)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.linear_gradient('L').resize(size).convert('RGB').save(path, quality=95)


def write_mmpose(
    root: Path, world: bool = False, rate: str = 'fps50', images_too: bool = False
) -> None:
    """MMPose's layout; ``world``: S holds joints in the world's frame."""
    folder = root / 'h36m' / 'annotation_body3d'
    (folder / rate).mkdir(parents=True, exist_ok=True)
    cameras = {}
    for subject in (1, 5, 6, 7, 8, 9, 11):
        for number, name in enumerate(CAMERAS, 1):
            rotation, centre = camera(number)
            cameras[f'S{subject}', name] = dict(
                R=rotation.T, T=centre[:, None] / 1000, f=F[:, None], c=C[:, None],
                k=np.zeros((3, 1)),
                p=np.zeros((2, 1)), w=SIZE, h=SIZE, name=f'camera{number}', id=name,
            )  # fmt: skip
    (folder / 'cameras.pkl').write_bytes(pickle.dumps(cameras))
    for split, subjects in dict(train=(1, 5, 6, 7, 8), test=(9, 11)).items():
        names, part, joints = [], [], []
        for subject in subjects:
            for action, subaction, frame, number in views(subject):
                stem = f'S{subject}_{ACTION_NAMES[action]}{"_1" if subaction == 1 else ""}'
                stem += f'.{CAMERAS[number - 1]}'
                position = pose(subject, action, subaction, frame)
                cam, pixels = project(position, number)
                names.append(f'S{subject}/{stem}/{stem}_{frame + 1:06d}.jpg')
                part.append(np.column_stack([pixels, np.ones(17)]))
                metres = (position if world else cam) / 1000
                joints.append(np.column_stack([metres, np.ones(17)]))
                if images_too:
                    write_image(root / 'h36m' / 'images' / names[-1])
        np.savez(
            folder / rate / f'h36m_{split}.npz',
            imgname=np.array(names), part=np.array(part), S=np.array(joints),
            center=np.zeros((len(names), 2)), scale=np.ones(len(names)),
        )  # fmt: skip


def muco_person(ann_id: int, image_id: int, root: tuple[float, float, float], **changes) -> dict:
    """A person whose 21 joints hang about the root (camera mm); f = 300 px, c = (100, 80)."""
    joints = np.random.default_rng(ann_id).normal(0, (150, 300, 80), (21, 3)) + root
    joints[14] = root
    pixels = joints[:, :2] / joints[:, 2:] * 300 + (100, 80)
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    return dict(
        id=ann_id, image_id=image_id, bbox=[*low.tolist(), *(high - low).tolist()],
        keypoints_cam=joints.tolist(), keypoints_img=pixels.tolist(),
        keypoints_vis=[[int(k % 2)] for k in range(21)],
    ) | changes  # fmt: skip


def write_muco(root: Path, annotations: list[dict]) -> Path:
    """MuCo-3DHP.json with two images of 200 x 160 px, and the images."""
    records = []
    for i, name in enumerate(('augmented_set/1/0.jpg', 'unaugmented_set/1/1.jpg')):
        write_image(root / 'muco' / name, (200, 160))
        camera = dict(width=200, height=160, f=[300.0, 300.0], c=[100.0, 80.0])
        # Files that were written on Windows have backslashes.
        records.append(dict(camera, id=i, file_name=name.replace('/', '\\') if i else name))
    path = root / 'muco' / 'MuCo-3DHP.json'
    path.write_text(json.dumps(dict(images=records, annotations=annotations)))
    return path


def write_coco(root: Path, labelled=(17, 12, 9, 5)) -> None:
    """Persons in one image, with so many labelled joints."""
    write_image(root / 'coco/train2017/000000007.jpg')
    people = []
    for number, count in enumerate(labelled, 1):
        points = np.random.default_rng(number).uniform(60, 140, (17, 2)).round(1)
        keypoints = np.column_stack([points, np.full(17, 2)])
        keypoints[count:] = 0
        people.append(
            dict(
                id=number, image_id=7, category_id=1, iscrowd=0, bbox=[50, 50, 100, 100], area=9000,
                keypoints=keypoints.ravel().tolist(), num_keypoints=count,
            )
        )  # fmt: skip
    file = root / 'coco/annotations/person_keypoints_train2017.json'
    file.parent.mkdir(parents=True, exist_ok=True)
    images = [dict(id=7, file_name='000000007.jpg', width=200, height=200)]
    content = dict(images=images, annotations=people, categories=[dict(id=1, name='person')])
    file.write_text(json.dumps(content))


def write_mpii(root: Path, count: int = 3) -> None:
    """Persons in one image, as MMPose's json has MPII."""
    write_image(root / 'mpii/images/000000001.jpg')
    joints = np.random.default_rng(0).uniform(60, 140, (count, 16, 2)).round(1).tolist()
    common = dict(image='000000001.jpg', center=[100, 100], scale=0.5, joints_vis=[1] * 16)
    file = root / 'mpii/annotations/mpii_train.json'
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([dict(common, joints=person) for person in joints]))


def convert(root: Path, layout: str = '3dmppe', **kwargs) -> list[str]:
    """Convert S1 and S5, every frame, unless told otherwise, to ``arrays`` below the root."""
    from wsp_mm.datasets.converters.h36m import convert_h36m

    options = dict(subjects=(1, 5), steps=(1,)) | kwargs
    return convert_h36m(root, root / 'arrays', layout, **options)


def load(root: Path, **kwargs):
    """The data set over S1 and S5 of ``arrays`` without looking for images, unless told
    otherwise.
    """
    from wsp_mm.datasets.h36m import H36MImageDataset

    options = dict(ann_file='arrays', subjects=[1, 5], check_images=False) | kwargs
    return H36MImageDataset(data_root=str(root), **options)


def by_frame(dataset) -> dict[str, dict]:
    """All samples by the name of their frame."""
    samples = [dataset.get_data_info(i) for i in range(len(dataset))]
    return {sample['frame_key']: sample for sample in samples}


def edit(root: Path, subject: int, kind: str, change) -> None:
    """Apply ``change`` to the content of one of 3DMPPE's json files."""
    path = root / 'human36m' / 'annotations' / f'Human36M_subject{subject}_{kind}.json'
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
