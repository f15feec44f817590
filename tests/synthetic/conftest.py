# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""A rendered world of every kind, and scenes made by hand that need neither bodies nor renderer."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from wsp_mm.structures.camera import PinholeCamera
from wsp_mm.structures.keypoints import get_joint_set

WORLD = get_joint_set('world')
#: World -> options of its plan, and seed.
TINY = {
    'wild': (dict(images=60, long_side=128, video=4, test_share=0.25), 3),
    'h36m': (
        dict(side=64, actions=(2, 14), train_frames=1, test_frames=2, extra_frames=1), 4,
    ),
    'muco': (dict(images=8, side=96), 1),
    'mupots': (dict(frames=2, side=64, interval=3.0), 2),
    'photo': (dict(images=26, long_side=96, test_share=0.04), 6),
    'relative_human': (dict(images=9, long_side=96, test_share=0.5), 7),
}  # fmt: skip

# A person of 1.70 m upright: mm to its left, to its back, up.
_MIDDLE = {
    'nose': (0, -100, 1560), 'pelvis': (0, 0, 920), 'spine': (0, 0, 1130), 'thorax': (0, 0, 1380),
    'upper_neck': (0, 0, 1450), 'head': (0, -20, 1560), 'head_top': (0, 0, 1700),
}  # fmt: skip
_LEFT = {
    'eye': (35, -90, 1595), 'ear': (75, 0, 1580), 'shoulder': (180, 0, 1380),
    'elbow': (250, 20, 1110), 'wrist': (260, -60, 870), 'hip': (95, 0, 910),
    'knee': (100, -10, 500), 'ankle': (100, 30, 90), 'hand': (260, -90, 790),
    'toe': (110, -130, 20), 'heel': (100, 70, 20),
}  # fmt: skip


@pytest.fixture(scope='session')
def world(tmp_path_factory) -> SimpleNamespace:
    """All worlds in one folder, rendered: ``folder``, ``report``, ``requests`` and ``scenes``
    (ground truth, as read back) by world.
    """
    from wsp_mm.synthetic.builder import make_world, plan_world, read_scenes

    folder = tmp_path_factory.mktemp('world')
    made = SimpleNamespace(folder=folder, tiny=TINY, report={}, requests={}, scenes={})
    for name, (options, seed) in TINY.items():
        made.report[name] = make_world(folder, name, options, seed, workers=0)
        made.requests[name] = plan_world(name, options, seed)
        made.scenes[name] = list(read_scenes(folder, made.requests[name]))
    return made


@pytest.fixture(scope='session')
def load(world) -> Callable[[str], object]:
    """``load(path)`` reads a json file of the world."""
    return lambda path: json.loads((world.folder / path).read_text())


@pytest.fixture(scope='session')
def scenes_of(world) -> Callable[..., list]:
    """``scenes_of(source, split, ...)``: the wild world's scenes."""

    def chosen(source: str, *splits: str) -> list:
        scenes = [s for s in world.scenes['wild'] if s.request.source == source]
        return [s for s in scenes if s.request.split in splits]

    return chosen


@pytest.fixture(scope='session')
def figure() -> Callable[..., np.ndarray]:
    """Pixels of an upright figure: ``figure(x, y, height)``, feet at (x, y), ``height`` px high."""
    where = dict(_MIDDLE)
    for name, (x, y, z) in _LEFT.items():
        where[f'left_{name}'], where[f'right_{name}'] = (x, y, z), (-x, y, z)
    upright = np.array([where[concept] for concept in WORLD.concepts], dtype=float)

    def draw(x: float, y: float, height: float) -> np.ndarray:
        # Its left is at the viewer's right when it faces the camera.
        scale = height / 1700
        return np.stack([x + upright[:, 0] * scale, y - upright[:, 2] * scale], axis=1)

    return draw


@pytest.fixture(scope='session')
def make_scene() -> Callable[..., object]:
    """Makes a scene by hand: ``make_scene(xys, source, ...)`` with one (29, 2) px array a person.

    The camera is at the origin of the world and looks along z; everybody is 4 m away, one person
    behind another by 100 mm. All joints inside the image are visible unless ``hidden`` [(person,
    concept), ...] names them.
    """
    from wsp_mm.synthetic.ground_truth import PersonGT, SceneGT
    from wsp_mm.synthetic.plan import SceneRequest

    def make(
        xys, source='coco', path='coco/train2017/000000000007.jpg', scene_id=7, hidden=(),
        share=1.0,
        size=(640, 480), **more,
    ) -> SceneGT:  # fmt: skip
        camera = PinholeCamera(np.full(2, 500.0), (np.array(size) - 1) / 2)
        persons = []
        for i, xy in enumerate(np.asarray(xys, dtype=float)):
            inside = (xy >= -0.5).all(axis=1) & (xy < np.array(size) - 0.5).all(axis=1)
            visible = inside.copy()
            visible[[WORLD.index(concept) for person, concept in hidden if person == i]] = False
            low, high = (np.clip(end, 0, np.array(size) - 1) for end in (xy.min(0), xy.max(0)))
            box, (x0, y0), (x1, y1) = np.r_[low, high - low], low, high
            depth = np.full((len(xy), 1), 4000.0 + 100 * i)
            joints = camera.unproject(np.concatenate([xy, depth], axis=1))
            persons.append(
                PersonGT(
                    10 + i, 'standing', 'standing', 30.0, 1700.0, joints, xy, inside, visible, 0.0,
                    box, int(box[2] * box[3]), share, [[x0, y0, x1, y0, x1, y1, x0, y1]],
                )
            )  # fmt: skip
        request = SceneRequest(
            'wild', source, 'train', scene_id, path, *size, len(persons), 0, (scene_id,), **more
        )
        return SceneGT(request, camera, persons)

    return make


@pytest.fixture
def write(tmp_path) -> Callable[..., dict[str, object]]:
    """``write(layout, scenes)`` writes a layout's files and returns its json by path; ``write.gt``
    are the tables of ground truth by (source, split).
    """
    from wsp_mm.synthetic.layouts.labelling import AnnotationWriter

    def run(layout, *scenes) -> dict[str, object]:
        writer = AnnotationWriter(tmp_path)
        layout.write(writer, scenes)
        writer.write_ground_truth()
        files = {str(path.relative_to(tmp_path)): path for path in writer.paths}
        run.gt = {
            tuple(Path(name).stem.rsplit('_', 1)): dict(np.load(path))
            for name, path in files.items()
            if name.startswith('ground_truth')
        }
        return {k: json.loads(p.read_text()) for k, p in files.items() if p.suffix == '.json'}

    return run
