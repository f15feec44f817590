# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json

import numpy as np
import pytest
from mmpose.datasets.datasets import CrowdPoseDataset
from xtcocotools.coco import COCO

from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.synthetic.layouts.crowdpose import CrowdPoseWriter, crowd_index
from wsp_mm.synthetic.layouts.labelling import is_seen

FILE = 'annotations/mmpose_crowdpose_{}.json'
SPLITS = ('train', 'val', 'trainval', 'test')


def load(annotated, split):
    return json.loads((annotated / 'crowdpose' / FILE.format(split)).read_text())


def test_layout_equals_the_real_one(annotated, sample_data):
    ours, real = (
        load(annotated, 'test'),
        json.loads((sample_data / 'crowdpose/test_crowdpose.json').read_text()),
    )
    assert set(ours) == set(real)
    assert ours['categories'][0]['keypoints'] == real['categories'][0]['keypoints']
    for part in ('images', 'annotations'):
        assert set(ours[part][0]) == set(real[part][0])


def test_trainval_is_train_and_val(annotated):
    parts = {split: load(annotated, split) for split in SPLITS}
    for key in ('images', 'annotations'):
        assert parts['trainval'][key] == parts['train'][key] + parts['val'][key]
        ids = [entry['id'] for split in ('trainval', 'test') for entry in parts[split][key]]
        assert len(set(ids)) == len(ids)


@pytest.mark.parametrize('split', SPLITS)
def test_mmpose_and_xtcocotools_read_what_was_labelled(annotated, world_scenes, split):
    path = annotated / 'crowdpose' / FILE.format(split)
    splits = ('train', 'val') if split == 'trainval' else (split,)
    scenes = [s for s in world_scenes if s.source == 'crowdpose' and s.split in splits]
    coco = COCO(path)
    assert len(coco.imgs) == len(scenes)
    assert len(coco.anns) == sum(is_seen(p) for s in scenes for p in s.persons)
    dataset = CrowdPoseDataset(ann_file=str(path), data_prefix=dict(img=''))
    labelled = {key: a for key, a in coco.anns.items() if a['num_keypoints'] > 0}
    items = [dataset[i] for i in range(len(dataset))]
    assert {item['id'] for item in items} == set(labelled)
    for item in items:
        flat = np.reshape(labelled[item['id']]['keypoints'], (14, 3))
        np.testing.assert_allclose(item['keypoints'][0], flat[:, :2])
        assert 0 <= item['crowd_index'] <= 1


def test_joints_land_at_their_names(make_scene, figure):
    scene = make_scene([figure(200, 400, 340)], source='crowdpose', file_name='images/100007.jpg')
    writer = CrowdPoseWriter()
    writer.add(scene)
    ann = writer.files()[FILE.format('train')]['annotations'][0]
    flat = np.reshape(ann['keypoints'], (14, 3))
    names = ['left_shoulder', 'right_ankle', 'head', 'neck']
    file_names = writer.files()[FILE.format('train')]['categories'][0]['keypoints']
    at = {name: flat[file_names.index(name)].tolist() for name in names}
    # 340 px for 1.70 m: 0.2 px a mm.
    assert at == {
        'left_shoulder': [236, 124, 2],
        'right_ankle': [180, 382, 2],
        'head': [200, 60, 2],
        'neck': [200, 110, 2],
    }


def test_crowd_index_by_hand():
    k = len(get_joint_set('crowdpose14'))
    boxes = np.array([[0, 0, 10, 10], [5, 0, 10, 10.0]])
    xy = np.zeros((2, k, 2))
    v = np.zeros((2, k), dtype=int)
    v[:, :4] = 2
    xy[0, :4] = [(1, 1), (2, 2), (3, 3), (7, 7)]  # the last one is in both boxes
    xy[1, :4] = [(8, 8), (9, 9), (14, 1), (15, 10)]  # the first two are in both boxes
    # first: 2 of others / 4 own; second: 1 of others / 4 own
    assert crowd_index(boxes, xy, v) == pytest.approx((2 / 4 + 1 / 4) / 2)
    assert crowd_index(boxes[:1], xy[:1], v[:1]) == 0
    assert crowd_index(np.zeros((0, 4)), np.zeros((0, k, 2)), np.zeros((0, k))) == 0
    # the index is at most 1 however dense the crowd
    many = np.repeat(xy[:1], 9, axis=0)
    assert crowd_index(np.repeat(boxes[:1], 9, axis=0), many, np.repeat(v[:1], 9, axis=0)) == 1
