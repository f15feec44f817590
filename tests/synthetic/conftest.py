# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Scenes to test with that need neither bodies nor renderer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from wsp_mm.structures.camera import PinholeCamera
from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.synthetic.annotations_only import Bank, scenes
from wsp_mm.synthetic.plan import Preset, plan_world
from wsp_mm.synthetic.record import Person, Scene
from wsp_mm.synthetic.world import Report, write_annotations

# A person of 1.70 m upright: mm to its left, to its back, up.
_MIDDLE = {
    'nose': (0, -100, 1560), 'pelvis': (0, 0, 920), 'spine': (0, 0, 1130), 'thorax': (0, 0, 1380),
    'upper_neck': (0, 0, 1450), 'head': (0, -20, 1560), 'head_top': (0, 0, 1700),
}  # fmt: skip
_LEFT = {
    'eye': (35, -90, 1595), 'ear': (75, 0, 1580), 'shoulder': (180, 0, 1380), 'elbow': (250, 20, 1110),
    'wrist': (260, -60, 870), 'hip': (95, 0, 910), 'knee': (100, -10, 500), 'ankle': (100, 30, 90),
    'hand': (260, -90, 790), 'toe': (110, -130, 20), 'heel': (100, 70, 20),
}  # fmt: skip
WORLD = get_joint_set('world')


def upright_body() -> np.ndarray:
    """(29, 3) mm of the set ``world``, facing -y."""
    where = dict(_MIDDLE)
    for name, (x, y, z) in _LEFT.items():
        where[f'left_{name}'], where[f'right_{name}'] = (x, y, z), (-x, y, z)
    return np.array([where[concept] for concept in WORLD.concepts], dtype=float)


@pytest.fixture(scope='session')
def upright() -> np.ndarray:
    return upright_body()


@pytest.fixture(scope='session')
def bank() -> Bank:
    """Forty bodies of all sizes, some of them bent, none of them real."""
    rng = np.random.default_rng(5)
    size = rng.uniform(0.6, 1.15, 40)
    joints = upright_body()[None] * size[:, None, None] + rng.normal(0, 25, (40, 29, 3))
    return Bank(
        joints=joints,
        posture=[('standing', 'sitting', 'airborne')[i % 3] for i in range(40)],
        action=['walking'] * 40,
        age=rng.uniform(5, 80, 40),
        height=1700 * size,
        lowest=np.zeros(40),
    )


@pytest.fixture(scope='session')
def world_scenes(bank: Bank) -> list[Scene]:
    """120 pictures of all sources and splits."""
    preset = Preset('test', pictures=120, long_side=320, video=4, test_share=0.25)
    return list(scenes(plan_world(preset, 3), bank, 3))


@pytest.fixture(scope='session')
def make_scene() -> Callable[..., Scene]:
    """Makes a scene by hand: ``make_scene(xys, source=..., ...)`` with one (29, 2) px array a
    person.

    The camera sits at the origin of the world and looks along z; everybody is 4 m away, one person
    behind another by 100 mm. All joints inside the picture are in sight unless ``hidden`` [(person,
    concept), ...] names them.
    """

    def make(
        xys: list[np.ndarray],
        source: str = 'coco',
        split: str = 'train',
        file_name: str = 'train2017/000000000007.jpg',
        scene_id: int = 7,
        width: int = 640,
        height: int = 480,
        hidden: tuple[tuple[int, str], ...] = (),
        share: float = 1.0,
        **more: int,
    ) -> Scene:
        camera = PinholeCamera(np.full(2, 500.0), np.array([(width - 1) / 2, (height - 1) / 2]))
        persons = []
        for i, xy in enumerate(xys):
            xy = np.asarray(xy, dtype=float)
            inside = (xy >= -0.5).all(axis=1) & (xy < (width - 0.5, height - 0.5)).all(axis=1)
            visible = inside.copy()
            for person, concept in hidden:
                if person == i:
                    visible[WORLD.index(concept)] = False
            low = np.clip(xy.min(axis=0), 0, (width - 1, height - 1))
            high = np.clip(xy.max(axis=0), 0, (width - 1, height - 1))
            box = np.concatenate([low, high - low])
            (x0, y0), (x1, y1) = low, high
            depth = np.full((len(xy), 1), 4000.0 + 100 * i)
            persons.append(
                Person(
                    person_id=10 + i,
                    action='standing',
                    posture='standing',
                    age=30.0,
                    height=1700.0,
                    joints_world=camera.unproject(np.concatenate([xy, depth], axis=1)),
                    joints_px=xy,
                    in_picture=inside,
                    visible=visible,
                    bbox=box,
                    full_bbox=np.concatenate([xy.min(axis=0), np.ptp(xy, axis=0)]),
                    area=int(box[2] * box[3]),
                    visible_share=share,
                    polygons=[[x0, y0, x1, y0, x1, y1, x0, y1]],
                    lowest_mm=0.0,
                )
            )
        return Scene(
            scene_id=scene_id,
            source=source,
            split=split,
            file_name=file_name,
            width=width,
            height=height,
            camera=camera,
            camera_height=1500.0,
            pitch=0.0,
            roll=0.0,
            persons=persons,
            **more,
        )

    return make


@pytest.fixture(scope='session')
def figure(upright: np.ndarray) -> Callable[..., np.ndarray]:
    """Pixels of an upright figure: ``figure(x, y, height)``, feet at (x, y), ``height`` px high."""

    def draw(x: float, y: float, height: float) -> np.ndarray:
        # Its left is at the viewer's right when it faces the camera.
        scale = height / 1700
        return np.stack([x + upright[:, 0] * scale, y - upright[:, 2] * scale], axis=1)

    return draw


@pytest.fixture(scope='session')
def annotated(world_scenes: list[Scene], tmp_path_factory) -> Path:
    """A world's folder with the annotation files and truth tables of ``world_scenes``, without
    pictures.
    """
    out = tmp_path_factory.mktemp('annotated')
    write_annotations(out, world_scenes, len(world_scenes), Report(), mpii_mat=True)
    return out


@pytest.fixture(scope='session')
def sample_data() -> Path:
    """Real annotation files that lie beside the repository, where somebody has put them there."""
    folder = Path(__file__).resolve().parents[2].parent / 'shared' / 'data' / 'mmpose_samples'
    if not folder.is_dir():
        pytest.skip('no real sample annotations at ../shared/data/mmpose_samples')
    return folder
