# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json
import math

import numpy as np
import pytest

from wsp_mm.structures.keypoints import convert_joints, get_joint_set

MCPC, WORLD = get_joint_set('mcpc16'), get_joint_set('world')
W, H, F, CAMERA = 640, 480, 700.0, 1500.0
HEIGHT = dict(
    ankle=0.05, heel=0.0, toe=0.0, knee=0.28, hip=0.505, pelvis=0.505, spine=0.6, thorax=0.793,
    shoulder=0.793, elbow=0.638, wrist=0.5, hand=0.45, upper_neck=0.86, head=0.9, head_top=0.992,
    nose=0.9, ear=0.9, eye=0.91,
)  # fmt: skip


@pytest.fixture
def tool(load_tool):
    return load_tool('analysis_tools/label_quality')


def person(x, z, tall=1700.0, lift=0.0):
    """Joints (J, 3) mm of somebody who stands upright, seen by a level camera."""
    joints = np.zeros((len(WORLD), 3))
    for i, concept in enumerate(WORLD.concepts):
        side, _, name = concept.partition('_')
        wide = 0.0955 if name in ('shoulder', 'elbow', 'wrist', 'hand') else 0.06
        sign = {'left': 1, 'right': -1}.get(side, 0)
        share = HEIGHT.get(concept, HEIGHT.get(name))
        joints[i] = x + sign * wide * tall, CAMERA - lift - share * tall, z
    return joints


def world(path, scenes):
    cam = np.concatenate([np.stack(scene) for scene in scenes])
    px = cam[..., :2] / cam[..., 2:] * F + ((W - 1) / 2, (H - 1) / 2)
    n = len(cam)
    keypoints, labelled = convert_joints(px, np.full(px.shape[:2], 2), 'world', 'mcpc16')
    (path / 'ground_truth').mkdir(parents=True)
    np.savez(
        path / 'ground_truth' / 'coco_val.npz', keypoints_cam=cam, keypoints_px=px,
        keypoints=keypoints, labelled=labelled, posture=np.full(n, 'standing'),
        scene_ids=np.repeat(np.arange(len(scenes)), [len(scene) for scene in scenes]),
        pitch=np.zeros(n), roll=np.zeros(n), camera_height=np.full(n, CAMERA),
        height=np.full(n, 1700.0),
    )  # fmt: skip


def test_a_world_by_hand(tool, tmp_path, capsys):
    # in the second image the nearest person stands on a chair
    places = [(-800, 3000), (1000, 4500), (-1500, 6000), (2000, 7000), (0, 9000)]
    level = [person(*place) for place in places]
    step = [person(300, 3200, lift=520), *level[1:]]
    world(tmp_path, [level, step])
    assert tool.main(['--world', str(tmp_path), '--split', 'test']) == 0
    found = json.loads((tmp_path / 'label_quality' / 'label_quality.json').read_text())
    assert found['pairs'] == 20 and found['persons'] == 10
    rule, plane, _, size = (found['ways'][way] for way in tool.WAYS)
    assert rule['all'] < 100 and rule['rule_wrong'] == 0
    assert plane['all'] == plane['rule_wrong'] == size['all'] == 100
    assert plane['ratio_mae'] < 0.06 and plane['ratio_corr'] > 0.9 and size['ratio_mae'] < 0.02
    assert found['bins']['persons/5_or_more'][0] == found['bins']['posture/standing'][0] == 20
    assert found['limbs']['knee-ankle'][0] == 20 and found['limbs']['knee-ankle'][3] == 0
    assert found['feet']['n_all'] == 0  # level feet say nothing
    assert '| plane |' in (tmp_path / 'label_quality' / 'label_quality.md').read_text()
    assert (tmp_path / 'label_quality' / 'label_quality.png').stat().st_size > 5000
    capsys.readouterr()
    assert tool.main(['--world', str(tmp_path), '--split', 'train']) == 1
    assert 'train' in capsys.readouterr().err


def test_the_lower_foot_on_the_ground_and_a_raised_one(tool, tmp_path):
    left = WORLD.index('left_ankle')
    step, kick = person(0, 4000), person(0, 4000)
    step[left, 2] -= 300  # one step towards the camera
    kick[left, 1:] += (-300, -300)  # nearer, but in the air
    world(tmp_path, [[step, kick]])
    with np.load(tmp_path / 'ground_truth' / 'coco_val.npz') as table:
        found = tool.feet(dict(table))
    assert (found['on_ground'], found['raised'], found['all']) == (100, 0, 50)


def test_size_of_the_image_from_projections(tool):
    cam = np.array([person(0, 3000), person(900, 5000)])
    px = cam[..., :2] / cam[..., 2:] * F + (100.5, 79.5)
    assert tool.image_size(cam, px) == (202, 160)
    with pytest.raises(ValueError, match='size'):
        tool.image_size(-cam, px)


def test_reliability_by_hand(tool):
    prob, nearer = np.array([0.52, 0.46, 0.98, 0.01, 1.0]), np.array([1, 1, 1, 0, 0], bool)
    rows = tool.reliability(prob, nearer)
    assert [row[2] for row in rows] == [2, 3]
    np.testing.assert_allclose([row[3:] for row in rows], [[53, 50], [99, 200 / 3]])
    pairs = {'prob/plane': prob, 'ratio/plane': np.full(5, np.nan), 'nearer': nearer,
             'label': np.array([0, 1, 1, 0, 0], bool)}  # fmt: skip
    found = tool.scores(pairs, 'plane')
    assert found['all'] == 60 and found['rule_wrong'] == 100 and math.isnan(found['ece'])
