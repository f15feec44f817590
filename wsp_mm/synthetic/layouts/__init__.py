# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Annotation files in the layouts of the data sets: source -> writer of its scenes."""

from collections.abc import Callable, Iterable

from ..ground_truth import SceneGT
from . import (
    coco,
    crowdpose,
    h36m,
    mpii,
    muco,
    mupots,
    photo,
    posetrack18,
    relative_human,
)
from .labelling import AnnotationWriter

LAYOUTS: dict[str, Callable[[AnnotationWriter, Iterable[SceneGT]], None]] = {
    'coco': coco.write, 'mpii': mpii.write, 'posetrack18': posetrack18.write,
    'crowdpose': crowdpose.write, 'h36m': h36m.write, 'muco': muco.write, 'mupots': mupots.write,
    'photo': photo.write, 'relative_human': relative_human.write,
}  # fmt: skip
