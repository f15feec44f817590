# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""A hand-written Relative Human: five images of 200 x 150 px, a split, all joint sets."""

from pathlib import Path

import numpy as np
from PIL import Image

from wsp_mm.structures.keypoints import get_joint_set

SIZE = (200, 150)


def flat(joint_set: str, x: float, feet: float, height: float, hidden: tuple[str, ...] = ()):
    """x, y, v of a figure of ``height`` px whose feet stand at (x, feet)."""
    side = {'left': 0.1, 'right': -0.1}
    up = dict(
        head_top=1.0, eye=0.94, ear=0.93, nose=0.92, upper_neck=0.85, shoulder=0.8, elbow=0.65,
        wrist=0.5, hip=0.52, knee=0.28, ankle=0.04, toe=0.0,
    )  # fmt: skip
    values = []
    for concept in get_joint_set(joint_set).concepts:
        first, _, rest = concept.partition('_')
        known = concept not in hidden
        part = rest if first in side else concept
        px = x + side.get(first, 0.0) * height, feet - up[part] * height
        values += [*px, 2] if known else [0, 0, 0]
    return values


def person(x, feet, height, layer, joint_set='rh14', age=0, hidden=(), **more):
    """A record; box 2 px around the figure. ``joint_set`` None: without joints."""
    box = [x - 0.1 * height - 2, feet - height - 2, x + 0.1 * height + 2, feet + 2]
    kp2d = None if joint_set is None else flat(joint_set, x, feet, height, hidden)
    return dict(bbox=box, kp2d=kp2d, depth_id=layer, age=age, gender=1) | more


def annots() -> dict[str, list[dict]]:
    """Image -> persons. Pairs of known layers: 3, 1, 3, 0, 0."""
    return {
        '100007.jpg': [
            person(40, 140, 120, 0), person(100, 120, 80, 1, age=2),
            person(160, 122, 84, 1, hidden=('left_ankle', 'right_ankle')),
        ],
        '0000123.jpg': [
            person(50, 130, 100, 1, 'rh19', age=3), person(120, 140, 110, 0, 'rh19'),
            person(170, 100, 40, -1, 'rh19', age=1),
        ],
        '000045.jpg': [
            person(30, 140, 110, 0, 'rh_ochuman19'), person(90, 120, 90, 2, 'rh_ochuman19'),
            person(150, 110, 70, 1, None, bbox_wb=[0, 0, 1, 1]),
        ],
        '100020.jpg': [person(80, 130, 100, 0)],
        '100033.jpg': [person(60, 130, 100, -1), person(120, 140, 90, 0)],
    }  # fmt: skip


def save(path: Path, content: object) -> Path:
    """Write ``annots`` as the authors do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, annots=content)
    return path


def build_tree(root: Path, content: dict | None = None) -> Path:
    """Write images and the files of all splits in ``root/relative_human``; returns the test's."""
    content = annots() if content is None else content
    rng = np.random.default_rng(0)
    for name in content:
        path = root / 'relative_human/images' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    for split in ('train', 'val', 'test'):
        save(root / f'relative_human/{split}_annots.npz', content)
    return root / 'relative_human/test_annots.npz'
