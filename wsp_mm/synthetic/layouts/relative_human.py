# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Relative Human: ``{train,val,test}_annots.npz``, a pickled dict of images and their persons.

Layers come from the true depths of the pelvises, as an annotator might see them. Nobody's gender is
known.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from wsp_mm.structures.keypoints import convert_joints, get_joint_set

from ..ground_truth import SceneGT
from .labelling import AnnotationWriter, LabelSettings, flat_keypoints, label_scenes

SETTINGS = LabelSettings('world', guesses=0.85, min_area=16 * 16, min_share=0.2)
#: A new layer begins where nobody stands within so much, mm.
LAYER_GAP_MM = 300.0
#: First year of teenagers, kids are younger; and so on. Older than all: adult.
_AGES = ((3, 3), (12, 2), (18, 1))
_PELVIS = get_joint_set('world').index('pelvis')
# Shares of persons whose layer nobody knows, and who have no joints.
_NO_LAYER, _NO_JOINTS = 0.05, 0.05
_SALT = 20_220_619  # keeps these draws apart from every other use of a scene's number


def write(writer: AnnotationWriter, scenes: Iterable[SceneGT]) -> None:
    """Write the annotation files in ``relative_human``."""
    annots: dict[str, dict[str, list[dict]]] = {'train': {}, 'val': {}, 'test': {}}
    for scene, xy, v, rows in label_scenes(scenes, SETTINGS):
        name, split = Path(scene.request.path).name, scene.request.split
        joints, flags = convert_joints(xy, v, 'world', joint_set_of(name))
        layers = depth_layers(scene.joints_cam()[rows, _PELVIS, 2])
        chance = np.random.default_rng((_SALT, scene.request.scene_id)).random((len(rows), 2))
        annots[split][name] = persons = []
        for row, layer, (no_layer, no_joints) in zip(rows, layers.tolist(), chance, strict=True):
            x, y, w, h = np.round(scene.persons[row].bbox).astype(int).tolist()
            person = dict(
                bbox=[x, y, x + w, y + h],
                depth_id=-1 if no_layer < _NO_LAYER else layer,
                age=age_group(scene.persons[row].age),
                gender=-1,
            )
            if no_joints >= _NO_JOINTS and flags[row].any():
                person['kp2d'] = flat_keypoints(joints[row], flags[row])
            elif len(persons) % 2:
                person['kp2d'] = None  # the files have both forms
            persons.append(person)
            writer.annotated[split] += 1
    for split, content in annots.items():
        if content:
            writer.npz(f'relative_human/{split}_annots.npz', dict(annots=np.array(content)))


def joint_set_of(name: str) -> str:
    """Return the joint set of an image by its name: in its length the real files differ."""
    stem = Path(name).stem
    return 'rh19' if len(stem) == 7 else 'rh14' if stem.startswith('1') else 'rh_ochuman19'


def depth_layers(depths: np.ndarray) -> np.ndarray:
    """Return the layers (N,) of depths (N,) mm: in their order, a new one after each gap."""
    depths = np.asarray(depths, dtype=np.float64)
    order = np.argsort(depths, kind='stable')
    layers = np.zeros(len(depths), dtype=int)
    layers[order] = np.cumsum(np.diff(depths[order], prepend=depths[order][:1]) > LAYER_GAP_MM)
    return layers


def age_group(years: float) -> int:
    """Return 0 adult, 1 teenager, 2 kid, 3 baby."""
    return next((group for below, group in _AGES if years < below), 0)
