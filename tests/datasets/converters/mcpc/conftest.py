# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""A small tree of sources, written by hand, which tests then change."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from wsp_mm.datasets.annotations import Findings
from wsp_mm.structures.keypoints import get_joint_set

SIZE = (640, 480)  # px


def joints(joint_set: str, x: float, ankles: tuple, head: float | None = None) -> list[list[float]]:
    """Joints (K, 3) of a standing person: x px, heights of the left and right ankle (None:
    unlabelled).

    Every other joint is labelled, 10 px apart upwards; with ``head`` the ends of the head are so
    far apart.
    """
    kit = get_joint_set(joint_set)
    lowest = max(y for y in (*ankles, 50.0) if y is not None)
    out = [[x + k, lowest - 10.0 * k - 20, 2] for k in range(len(kit))]
    for side, y in zip(kit.ankles, ankles, strict=True):
        out[side] = [x, y, 2] if y is not None else [0, 0, 0]
    if head is not None:
        out[kit.index('upper_neck')] = [x, 40.0 + head, 2]
        out[kit.index('head_top')] = [x, 40.0, 2]
    return out


def _record(defaults: dict, changes: dict) -> dict:
    """The defaults with changes; ... removes a key."""
    return {k: v for k, v in (defaults | changes).items() if v is not ...}


def person(
    key, image_id, x=None, ankles=(300.0, 310.0), joint_set='coco17', head=None, **changes
) -> dict:
    """An annotation record; without ``x`` persons of different keys stand beside each other."""
    x = 100.0 + (key % 10 if isinstance(key, int) else 0) if x is None else x
    keypoints = [value for point in joints(joint_set, x, ankles, head) for value in point]
    defaults = dict(
        id=key, image_id=image_id, category_id=1, iscrowd=0, keypoints=keypoints,
        bbox=[x - 20, 50.0, 60.0, 280.0], area=5000.0,
    )  # fmt: skip
    return _record(defaults, changes)


def image(key, name=None, **changes) -> dict:
    """An image record."""
    name = name or f'{key:012d}.jpg'
    return _record(dict(id=key, file_name=name, width=SIZE[0], height=SIZE[1]), changes)


def coco_file(images, annotations, joint_set='coco17', **changes) -> dict:
    """The content of a COCO-style file."""
    category = dict(id=1, name='person', keypoints=list(get_joint_set(joint_set).joints))
    return dict(images=images, annotations=annotations, categories=[category]) | changes


def mpii_row(name, flags=None, **changes) -> dict:
    """A row of MMPose's MPII json."""
    points = [[10.0 * k, 5.0] for k in range(16)]
    return _record(dict(image=name, joints=points, joints_vis=flags or [1] * 16), changes)


class Tree:
    """Writes sources under one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, name: str, content) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def coco(self, split: str, images, annotations, **changes) -> Path:
        name = f'coco/annotations/person_keypoints_{split}2017.json'
        return self.write(name, coco_file(images, annotations, **changes))

    def image(self, name: str, seed: int = 0, size=SIZE, quality: int = 90, exif: int = 1) -> Path:
        """Save a smooth random image, unlike that of any other seed, with EXIF's orientation."""
        from PIL import Image

        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        smooth = Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC)
        orientation = Image.Exif()
        orientation[0x0112] = exif
        smooth.resize(size).save(path, quality=quality, exif=orientation)
        return path

    def two_splits(self) -> Path:
        """COCO with two images of two persons in train and in val."""
        for split, first in (('train', 1), ('val', 11)):
            people = []
            for n in range(4):
                place = (100 + 200 * (n % 2), (300 + 20 * n, 280))
                people.append(person(10 * first + n, first + n // 2, *place))
            self.coco(split, [image(first), image(first + 1)], people)
        return self.root / 'coco'


@pytest.fixture
def tree(tmp_path) -> Tree:
    return Tree(tmp_path)


@pytest.fixture
def make():
    """The functions of this file, for tests that cannot import it."""
    return SimpleNamespace(person=person, image=image, coco_file=coco_file, row=mpii_row)


@pytest.fixture
def strict() -> Findings:
    return Findings()


@pytest.fixture
def lenient() -> Findings:
    return Findings(skip_bad=True)
