# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The photo world's annotations: COCO's files for all images, MuCo-3DHP's for the training split,
ground truth, all in the folder ``photo``.
"""

from collections.abc import Iterable
from dataclasses import replace

from ..ground_truth import SceneGT
from ..plan import SceneRequest
from . import coco, muco
from .labelling import AnnotationWriter, is_seen


def write(writer: AnnotationWriter, scenes: Iterable[SceneGT]) -> None:
    """Write the annotation files in ``photo/coco``, ``photo/muco`` and ``photo/ground_truth``."""
    own = AnnotationWriter(writer.out / 'photo')
    scenes = [replace(scene, request=_as_coco(scene.request)) for scene in scenes]
    coco.write(own, scenes)
    own.write_ground_truth()
    writer.annotated += own.annotated
    seen = [
        replace(scene, persons=[person for person in scene.persons if is_seen(person)])
        for scene in scenes
        if scene.request.split == 'train'
    ]
    muco.write(own, seen)
    writer.paths += own.paths


def _as_coco(request: SceneRequest) -> SceneRequest:
    return replace(request, source='coco', path=request.path.removeprefix('photo/'))
