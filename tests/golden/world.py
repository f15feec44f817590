# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Annotation files of the smallest embedded world, and MCPC built from it."""

import json
from functools import cache

import numpy as np

from tests.golden import adapter
from tests.golden.mcpc import SOURCES, contents
from tests.golden.record import case


@cache
def _world(scratch):
    adapter.make_world(scratch / 'world')
    return scratch / 'world'


def _read(path):
    if path.suffix == '.npz':
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    content = json.loads(path.read_text())
    if isinstance(content, dict):
        content.pop('info', None)
    return content


for _name, _file in adapter.WORLD_FILES.items():
    case('world', _name)(lambda scratch, file=_file: _read(_world(scratch) / file))


@case('world')
def mupots_truth(scratch):
    root = _world(scratch) / 'mupots'
    names = ('keypoints_img', 'keypoints_univ', 'occluded')
    return {
        frame.key: {name: getattr(frame, name).astype(np.float32) for name in names}
        for frame in adapter.mupots_truth(root / 'MuPoTS-3D.json', root / 'MultiPersonTestSet')
    }


@case('world')
def mcpc(scratch):
    root = _world(scratch)
    sources = {name: root / name for name in SOURCES}
    return contents(adapter.build_mcpc(sources, scratch / 'world_mcpc'))
