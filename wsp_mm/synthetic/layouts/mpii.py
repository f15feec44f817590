# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""MPII: MMPose's ``annotations/mpii_{train,val}.json``, one row a person: image, center, scale, 16
joints that are labelled or not.

MMPose takes the joints as they are, from 0, but subtracts 1 from the center, which is that of the
official MATLAB file; the json written here is what makes MMPose's reader right.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..ground_truth import SceneGT
from .labelling import WORLD, AnnotationWriter, LabelSettings, label_scenes

SETTINGS = LabelSettings('mpii16', guesses=0.9, min_area=24 * 24)
# MPII's annotators passed over persons of whom too little can be seen.
_MIN_JOINTS = 6
_PELVIS, _THORAX = WORLD.index('pelvis'), WORLD.index('thorax')
_PX_OF_A_PERSON = 200  # scale 1 means that the person, upright, would be 200 px high


def write(writer: AnnotationWriter, scenes: Iterable[SceneGT]) -> None:
    """Write the annotation files in ``mpii``."""
    people: dict[str, list[dict]] = {'train': [], 'val': []}
    for scene, xy, v, seen in label_scenes(scenes, SETTINGS):
        image, listed = Path(scene.request.path).name, people[scene.request.split]
        rows = [i for i in seen if (v[i] > 0).sum() >= _MIN_JOINTS]
        ids = [len(listed) + n for n in range(len(rows))]
        writer.add_ground_truth(scene, rows, ids, image, xy, v, SETTINGS.joint_set)
        for row in rows:
            labelled = v[row] > 0
            center, scale = center_and_scale(scene, row)
            listed.append(
                dict(
                    joints_vis=labelled.astype(int).tolist(),
                    joints=np.where(labelled[:, None], xy[row], -1.0).tolist(), image=image,
                    scale=round(scale, 6), center=(np.round(center) + 1).tolist(),
                )
            )  # fmt: skip
    for split, rows in people.items():
        writer.json(f'mpii/annotations/mpii_{split}.json', rows)


def center_and_scale(scene: SceneGT, row: int) -> tuple[np.ndarray, float]:
    """MPII's rough position (2,) px from 0, the middle of the trunk, and scale: upright height in
    px / 200.
    """
    person, request = scene.persons[row], scene.request
    depth = scene.camera.to_camera(person.joints_world[_PELVIS])[2]
    trunk = np.nan_to_num(person.joints_px)[[_PELVIS, _THORAX]].mean(axis=0)
    center = np.clip(trunk, 0, (request.width - 1, request.height - 1))
    return center, float(scene.camera.f[1] * person.height / max(depth, 1.0) / _PX_OF_A_PERSON)
