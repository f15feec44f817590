# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""A hand-written MCPC tree: three training images, two test images, made with PIL."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from wsp_mm.structures.keypoints import get_joint_set

JOINTS = get_joint_set('mcpc16')
SIZE = (200, 150)  # w, h px

# A figure of height 1 around x = 0, feet at y = 0: mcpc16, by hand.
FIGURE = np.array(
    [
        (-0.06, -0.04), (-0.06, -0.28), (-0.06, -0.52), (0.06, -0.52), (0.06, -0.28), (0.06, -0.04),
        (0.00, -0.52), (0.00, -0.82), (0.00, -0.86), (0.00, -1.00), (-0.16, -0.50), (-0.14, -0.66),
        (-0.10, -0.80), (0.10, -0.80), (0.14, -0.66), (0.16, -0.50),
    ]
)  # fmt: skip


def person(
    ann_id: int, image_id: int, x: float, feet: float, height: float, hidden: tuple[str, ...] = ()
) -> dict:
    """An annotation: a figure of ``height`` px whose feet stand at (x, feet) px."""
    points = FIGURE * height + (x, feet)
    visible = np.full(16, 2)
    for joint in hidden:
        visible[JOINTS.joints.index(joint)] = 0
    keypoints = np.column_stack([points * (visible > 0)[:, None], visible])
    low, high = points.min(axis=0) - 2, points.max(axis=0) + 2
    low, high = np.clip(low, 0, SIZE), np.clip(high, 0, SIZE)
    labelled = [i for i in JOINTS.ankles if visible[i] > 0]
    return dict(
        id=ann_id, image_id=image_id, category_id=1, iscrowd=0, source='coco',
        source_id=1000 + ann_id,
        bbox=[*low.tolist(), *(high - low).tolist()], area=float(np.prod(high - low)),
        keypoints=keypoints.ravel().tolist(), num_keypoints=int((visible > 0).sum()),
        ground_y=float(max(points[i, 1] for i in labelled)),
        scale=0.14 * height, scale_source='head',
    )  # fmt: skip


def build_tree(root: Path) -> Path:
    """Write images and both jsons under ``root``; returns ``root``.

    Training images: 1 has three persons, 2 has two, 3 has two who tie. Test: images 11 and 12,
    three pairs.
    """
    rng = np.random.default_rng(0)
    images, annotations = {'train': [], 'test': []}, {'train': [], 'test': []}
    persons = {
        (1, 'coco/train2017'): [
            (1, 40, 130, 100), (2, 100, 110, 70), (3, 160, 140, 120, ('left_ankle',))
        ],
        (2, 'mpii/images'): [(4, 60, 100, 60, ('head_top', 'upper_neck')), (5, 120, 140, 110)],
        (3, 'coco/train2017'): [(6, 60, 120, 80), (7, 120, 120, 80)],
        (11, 'coco/val2017'): [(21, 50, 120, 90), (22, 110, 135, 100), (23, 160, 100, 60)],
        (12, 'crowdpose/images'): [(24, 70, 140, 120), (25, 130, 110, 60)],
    }  # fmt: skip
    for (image_id, place), people in persons.items():
        split = 'train' if image_id < 10 else 'test'
        source, folder = place.split('/')
        pixels = rng.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
        path = root / source / folder / f'{image_id}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        other = [[20.0, 145.0, 12.0], [180.0, 149.0, None]] if image_id == 11 else []
        images[split].append(
            dict(
                id=image_id, file_name=f'{folder}/{image_id}.png', source=source,
                source_id=image_id, width=SIZE[0], height=SIZE[1], other_ankles=other,
            )
        )  # fmt: skip
        annotations[split] += [person(key, image_id, *rest) for key, *rest in people]
    pairs = [
        dict(id=1, image_id=11, ann_a=22, ann_b=21, label=1, scale_gap=0.1),
        dict(id=2, image_id=11, ann_a=23, ann_b=22, label=0, scale_gap=0.4),
        dict(id=3, image_id=12, ann_a=24, ann_b=25, label=1, scale_gap=0.5),
    ]
    categories = [dict(id=1, name='person', keypoints=list(JOINTS.joints))]
    (root / 'mcpc').mkdir()
    for split in ('train', 'test'):
        content = dict(
            info=dict(version='test', split=split, joint_set='mcpc16', ankles='any',
                      ground='lowest'),
            categories=categories, images=images[split], annotations=annotations[split],
        )  # fmt: skip
        if split == 'test':
            content['pairs'] = pairs
        (root / 'mcpc' / f'mcpc_{split}.json').write_text(json.dumps(content), encoding='utf-8')
    return root


def edit_json(root: Path, split: str, change) -> None:
    """Apply ``change(content)`` to a split's json in place."""
    path = root / 'mcpc' / f'mcpc_{split}.json'
    content = json.loads(path.read_text(encoding='utf-8'))
    change(content)
    path.write_text(json.dumps(content), encoding='utf-8')
