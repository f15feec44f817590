# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""3D and 2D data sets together: Human3.6M or MuCo with COCO, MPII and MCPC."""

import json

import pytest
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from wsp_mm.datasets.sampling import HalfHalfSampler, SeededCombinedDataset, seeded_datasets
from wsp_mm.structures.keypoints import get_joint_set

FILES = dict(
    CocoDataset='coco/annotations/person_keypoints_train2017.json',
    MpiiDataset='mpii/annotations/mpii_train.json',
)
IMAGES = dict(CocoDataset='coco/train2017', MpiiDataset='mpii/images')


@pytest.fixture
def flat(h36m, tmp_path):
    """COCO and MPII with one person each in an image of 200 x 200 px."""
    h36m.write_coco(tmp_path, (17,))
    h36m.write_mpii(tmp_path, 1)
    return tmp_path


def two_d(kind, root, joints, target, **changes):
    return dict(
        type=kind, data_root=str(root), ann_file=FILES[kind], data_prefix=dict(img=IMAGES[kind]),
        pipeline=[dict(type='ConvertJoints', source=joints, target=target)],
    ) | changes  # fmt: skip


@pytest.mark.parametrize('target', ['h36m18', 'muco21'])
@pytest.mark.parametrize('kind, joints', [('CocoDataset', 'coco17'), ('MpiiDataset', 'mpii16')])
def test_half_and_half(h36m, h36m_root, flat, tmp_path, pose3d_pipelines, target, kind, joints):
    if target == 'h36m18':
        three_d = dict(type='H36MImageDataset', data_root=str(h36m_root), subjects=[1])
    else:
        people = [h36m.muco_person(i + 1, i, (0.0, 0.0, 3000.0)) for i in range(2)]
        h36m.write_muco(tmp_path, people)
        three_d = dict(type='MuCoDataset', data_root=str(tmp_path))
    parts = [three_d, two_d(kind, flat, joints, target)]
    data = SeededCombinedDataset(joint_set=target, datasets=parts, pipeline=pose3d_pipelines[0])
    for part in seeded_datasets(data):
        part.set_item_seed(1, 2)
    sampler = HalfHalfSampler(data, seed=0)
    for batch in DataLoader(data, batch_size=4, sampler=sampler, collate_fn=pseudo_collate):
        names = ({'h36m18': 'h36m', 'muco21': 'muco'}[target], kind[:4].lower()) * 2
        for sample, name, deep in zip(batch['data_samples'], names, [True, False] * 2, strict=True):
            assert sample.dataset_name == name
            assert sample.gt_instance_labels.depth_weights.any() == deep
            assert sample.gt_instances.keypoints.shape[1] == len(get_joint_set(target))
    last = batch['data_samples'][1]
    assert 'root_depth' not in last and not last.gt_instance_labels.depth_weights.any()
    assert last.gt_instance_labels.keypoint_weights.any()


def test_a_forgotten_conversion_is_said(h36m_root, flat, pose3d_pipelines):
    bare = two_d('MpiiDataset', flat, 'mpii16', 'h36m18', pipeline=[])
    data = SeededCombinedDataset(joint_set='mpii16', datasets=[bare], pipeline=pose3d_pipelines[1])
    with pytest.raises(ValueError, match='ConvertJoints'):
        data[0]


UNLABELLED = dict(id=1, image_id=7, category_id=1, iscrowd=0, bbox=[1, 2, 3, 4])


@pytest.mark.parametrize(
    'kind, content',
    [
        ('CocoDataset', dict(annotations=[UNLABELLED])),
        ('CocoDataset', dict(annotations=[])),
        ('MpiiDataset', []),
    ],
)
def test_nothing_loads_empty(flat, kind, content):
    path = flat / FILES[kind]
    if content != []:
        content = json.loads(path.read_text()) | content
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf'{path.name}: {kind}'):
        SeededCombinedDataset(joint_set='h36m18', datasets=[two_d(kind, flat, 'coco17', 'h36m18')])


def test_other_errors_are_left_alone(flat):
    with pytest.raises((FileNotFoundError, AssertionError)):
        gone = two_d('CocoDataset', flat, 'coco17', 'h36m18', ann_file='gone.json')
        SeededCombinedDataset(joint_set='h36m18', datasets=[gone])
    with pytest.raises(ValueError, match='either a metainfo or a joint_set'):
        SeededCombinedDataset(datasets=[dict(type='CocoDataset')])
    with pytest.raises(ValueError, match='no datasets'):
        SeededCombinedDataset(joint_set='h36m18')
