# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The inferencer's json of fixed networks, images, boxes and cameras."""

from functools import cache

import cv2

from tests.golden import adapter, trees
from tests.golden.heads import fill
from tests.golden.record import case

BOXES = [[12.0, 10.0, 40.0, 90.0], [70.0, 20.0, 35.0, 70.0], [110.0, 5.0, 45.0, 110.0]]
# The rest says what the numbers mean, in words, or where files lie.
_INFO = ('task', 'joint_set', 'joint_names', 'skeleton_links', 'root_joint', 'root_depth')

#: Case -> camera, and the networks' quickstart configs.
CASES = dict(
    pose=(dict(f=[500.0, 520.0], c=[80.0, 60.0]), dict(pose='posenet_h36m_r18')),
    pose_without_camera=(None, dict(pose='posenet_h36m_r18')),
    pose_assumed_camera=(dict(fov_deg=60), dict(pose='posenet_muco_r18')),
    pose_and_root=(dict(focal=500.0), dict(pose='posenet_muco_r18', root='root_muco_r18')),
    order=(None, dict(pose='wsp_pretrain_r18')),
)


@cache
def _album(scratch):
    """A folder of images of three persons, one and none, and the file of their boxes."""
    folder, images, found = scratch / 'album', [], []
    folder.mkdir()
    for i, count in enumerate((3, 1, 0)):
        images.append(dict(id=i, file_name=f'{i}.png'))
        cv2.imwrite(str(folder / f'{i}.png'), trees.image(i, (160, 120)))
        for k, box in enumerate(BOXES[:count]):
            found.append(dict(image_id=i, bbox=box, score=round(0.9 - 0.1 * k, 2)))
    trees.write_boxes(scratch / 'album.json', images, found)
    return folder, scratch / 'album.json'


@cache
def _network(scratch, config):
    import torch

    cfg, model = adapter.network(config)
    path = scratch / f'{config}.pth'
    torch.save(dict(state_dict=fill(model).state_dict()), path)
    return cfg, path


def _run(scratch, name, camera, configs):
    networks = {role: _network(scratch, config) for role, config in configs.items()}
    found = adapter.infer(networks, *_album(scratch), camera, scratch / f'out_{name}')
    info = {key: found['info'][key] for key in _INFO}
    return dict(info=info, frames={str(i): frame for i, frame in enumerate(found['frames'])})


for _name, _given in CASES.items():
    case('inference', _name)(lambda scratch, name=_name, given=_given: _run(scratch, name, *given))
