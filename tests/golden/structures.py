# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Joint sets, conversions between them, boxes and cameras."""

import numpy as np

from tests.golden import adapter
from tests.golden.record import case
from tests.golden.trees import rng


@case('structures')
def joint_sets(scratch):
    s = adapter.structures()
    names = ('joints', 'concepts', 'flip_indices', 'link_indices')
    found = {
        name: {key: getattr(one, key) for key in names} for name, one in s['joint_sets'].items()
    }
    return found | dict(sigmas={name: s['metainfo'](name)['sigmas'] for name in found})


@case('structures')
def conversions(scratch):
    s, found = adapter.structures(), {}
    for source in s['joint_sets']:
        count = len(adapter.joint_names(source))
        points = rng('joints', source).normal(0, 100, (2, count, 2)).round(2)
        visible = rng('visible', source).randint(0, 3, (2, count))
        for target in s['joint_sets']:
            found[f'{source}-{target}'] = s['convert_joints'](points, visible, source, target)
    return found


@case('structures')
def boxes(scratch):
    s, draw = adapter.structures(), rng('boxes')
    given = np.hstack([draw.uniform(-60, 150, (30, 2)), draw.uniform(-5, 160, (30, 2))])
    found = dict(crop=s['crop_boxes'](given, (200, 150)))
    found['upright'] = s['crop_boxes'](given, (200, 150), 0.75, 1.1)
    found['joints'] = s['joints_boxes'](draw.uniform(0, 100, (4, 17, 2)))
    there = np.isfinite(found['crop']).all(axis=1)
    return dict(found, k=s['k_value'](found['crop'][there], np.array([500.0, 520.0])))


@case('structures')
def camera(scratch):
    turn = np.linalg.qr(rng('camera').normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)
    one = adapter.structures()['camera'](f=[500, 510], c=[320, 240], R=turn, t=[10, 20, 5000])
    cam = one.to_camera(rng('points').normal(0, 800, (9, 3)))
    pixels, world = one.project(cam), one.to_world(cam)
    return dict(cam=cam, pixels=pixels, back=one.unproject(pixels), world=world, at=one.position)
