# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Targets and predictions of the three codecs."""

import numpy as np

from tests.golden import adapter
from tests.golden.record import Summary, case
from tests.golden.trees import rng


@case('codecs')
def pair(scratch):
    """Two persons, some joints unlabelled or outside the input, and decoding in their boxes."""
    found, draw = {}, rng('pair codec')
    given = dict(
        keypoints=draw.uniform(-6, 70, (2, 16, 2)).astype(np.float32),
        keypoints_visible=draw.randint(0, 3, (2, 16)).astype(np.float32),
        depth_label=np.float32([1]), depth_weight=np.float32([0.5]),
    )  # fmt: skip
    boxes = np.float32([[2, 2, 40, 47], [30.2, -9, 80, 30]])
    sizes = dict(input_size=(64, 48), heatmap_size=(32, 24))
    coder = adapter.codec('PairHeatmapLabel', **sizes, sigma=1.5)
    for name in ('shared', 'person_channels'):
        found[name] = one = adapter.encode(coder, name == 'person_channels', **given)
        noise = draw.uniform(0, 0.05, one['heatmaps'].shape).astype(np.float32)
        one['decoded'] = adapter.decode_pair(coder, one['heatmaps'] + noise, boxes)
        one['heatmaps'] = Summary(one['heatmaps'], 1e-4)
    return found


@case('codecs')
def integral(scratch):
    found, sizes = {}, dict(input_size=(48, 32), heatmap_size=(24, 16, 10))
    for name, more in dict(deep={}, shallow=dict(depth_range=300.0)).items():
        coder, draw = adapter.codec('Integral3DLabel', **sizes, **more), rng('integral codec')
        points = np.concatenate(
            [draw.uniform(-5, 55, (18, 2)), draw.normal(0, 500, (18, 1))], axis=1
        )
        given = dict(keypoints=points[None], keypoints_visible=draw.randint(0, 2, (1, 18)))
        for depth in (0, 1):
            found[f'{name}{depth}'] = adapter.encode(coder, **given, has_depth=np.float32([depth]))
        found[f'{name}_flat'] = adapter.encode(coder, keypoints=points[None, :, :2])
        found[f'{name}_decoded'] = adapter.decode(coder, draw.uniform(0, 10, (2, 18, 3)))
    return found


@case('codecs')
def root(scratch):
    options = dict(joint_set='h36m18', input_size=(48, 32), heatmap_size=(24, 16))
    coder, draw = adapter.codec('RootDepthLabel', **options), rng('root')
    points, shown, depth = draw.uniform(1, 31, (1, 18, 3)), np.ones((1, 18)), np.float32([4321])
    hidden = shown - np.eye(18)[:1]
    rows = dict(
        deep=(points, shown, depth), flat=(points, shown, depth * np.nan),
        hidden=(points, hidden, depth), outside=(points + 60, shown, depth),
    )  # fmt: skip
    found = dict(decoded=adapter.decode(coder, draw.uniform(0, 20, (3, 2))))
    for name, (keypoints, visible, z) in rows.items():
        given = dict(keypoints=keypoints, keypoints_visible=visible, root_depth=z)
        has_depth = np.isfinite(z).astype(np.float32)
        given |= dict(has_depth=has_depth, root_k=np.float32([4000]))
        found[name] = adapter.encode(coder, **given)
    return found
