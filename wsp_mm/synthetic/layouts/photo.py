# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The photo world's annotations: COCO's files for all images, MuCo-3DHP's for the training
split.
"""

from collections.abc import Iterable
from dataclasses import replace

from ..ground_truth import SceneGT
from . import coco, muco
from .labelling import AnnotationWriter, is_seen


def write(writer: AnnotationWriter, scenes: Iterable[SceneGT]) -> None:
    """Write the annotation files in ``coco`` and ``muco``."""
    scenes = list(scenes)
    coco.write(writer, scenes)
    annotated = writer.annotated.copy()
    seen = [
        replace(scene, persons=[person for person in scene.persons if is_seen(person)])
        for scene in scenes
        if scene.request.split == 'train'
    ]
    muco.write(writer, seen)
    writer.annotated = annotated
