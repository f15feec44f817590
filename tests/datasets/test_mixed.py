# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""3D and 2D data sets together: Human3.6M or MuCo with COCO, MPII and MCPC."""

import json

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmpose.datasets import CocoDataset, MpiiDataset  # noqa: F401  (registered)
from torch.utils.data import DataLoader

import wsp_mm.datasets.h36m
import wsp_mm.datasets.mcpc
import wsp_mm.datasets.muco  # noqa: F401
from wsp_mm.datasets.sampling import HalfHalfSampler, SeededCombinedDataset, seeded_datasets
from wsp_mm.structures.keypoints import get_joint_set


@pytest.fixture
def flat(h36m, tmp_path):
    """COCO and MPII with one person each in an image of 200 x 200 px."""
    h36m.write_image(tmp_path / 'flat' / '000000007.jpg')
    points = np.random.default_rng(0).uniform(60, 140, (17, 2)).round(1)
    keypoints = np.column_stack([points, np.full(17, 2)])
    person = dict(
        id=1, image_id=7, category_id=1, iscrowd=0, bbox=[50, 50, 100, 100], area=9000,
        keypoints=keypoints.ravel().tolist(), num_keypoints=17,
    )  # fmt: skip
    coco = dict(
        images=[dict(id=7, file_name='000000007.jpg', width=200, height=200)], annotations=[person],
        categories=[dict(id=1, name='person')],
    )  # fmt: skip
    (tmp_path / 'coco.json').write_text(json.dumps(coco))
    mpii = dict(
        image='000000007.jpg',
        center=[100.0, 90.0],
        scale=0.6,
        joints=points[:16].tolist(),
        joints_vis=[1] * 16,
    )
    (tmp_path / 'mpii.json').write_text(json.dumps([mpii]))
    return tmp_path


def two_d(kind, root, joints, target, ann_file):
    return dict(
        type=kind, data_root=str(root), ann_file=ann_file, data_prefix=dict(img='flat'),
        pipeline=[dict(type='ConvertJoints', source=joints, target=target)],
    )  # fmt: skip


@pytest.mark.parametrize('target', ['h36m18', 'muco21'])
@pytest.mark.parametrize(
    'kind, joints, file', [('CocoDataset', 'coco17', 'coco'), ('MpiiDataset', 'mpii16', 'mpii')]
)
def test_half_and_half(
    h36m, h36m_root, flat, tmp_path, pose3d_pipelines, target, kind, joints, file
):
    if target == 'h36m18':
        three_d = dict(
            type='H36MImageDataset', data_root=str(h36m_root), actions='Walking', subjects=[1]
        )
    else:
        h36m.write_muco(
            tmp_path,
            [
                h36m.muco_person(1, 0, (0.0, 0.0, 3000.0)),
                h36m.muco_person(2, 1, (0.0, 0.0, 3000.0)),
            ],
        )
        three_d = dict(type='MuCoDataset', data_root=str(tmp_path))
    data = SeededCombinedDataset(
        joint_set=target,
        datasets=[three_d, two_d(kind, flat, joints, target, f'{file}.json')],
        pipeline=pose3d_pipelines[0],
    )
    for part in seeded_datasets(data):
        part.set_item_seed(1, 2)
    loader = DataLoader(
        data,
        batch_size=4,
        sampler=HalfHalfSampler(data, seed=0),
        collate_fn=pseudo_collate,
        num_workers=0,
    )
    for batch in loader:
        depths = [
            float(sample.gt_instance_labels.depth_weights.sum()) > 0
            for sample in batch['data_samples']
        ]
        assert depths == [True, False] * 2
        names = [sample.dataset_name for sample in batch['data_samples']]
        assert names == [{'h36m18': 'h36m', 'muco21': 'muco'}[target], kind[:4].lower()] * 2
        assert all(
            sample.gt_instances.keypoints.shape[1] == len(get_joint_set(target))
            for sample in batch['data_samples']
        )
    last = batch['data_samples'][1]
    assert 'root_depth' not in last and not last.gt_instance_labels.depth_weights.any()
    assert last.gt_instance_labels.keypoint_weights.any()


def test_the_same_key_gives_the_same_sample(h36m_root, flat, pose3d_pipelines):
    data = SeededCombinedDataset(
        joint_set='h36m18',
        datasets=[
            dict(type='H36MImageDataset', data_root=str(h36m_root), subjects=[1]),
            two_d('MpiiDataset', flat, 'mpii16', 'h36m18', 'mpii.json'),
        ],
        pipeline=pose3d_pipelines[0],
    )
    for part in seeded_datasets(data):
        part.set_item_seed(1, 2)
    last = len(data) - 1
    first, again = data[last], data[last]
    assert torch.equal(first['inputs'], again['inputs'])
    assert torch.equal(
        first['data_samples'].gt_instance_labels.keypoint_labels,
        again['data_samples'].gt_instance_labels.keypoint_labels,
    )
    assert not torch.equal(
        first['inputs'], data[last + len(data)]['inputs']
    )  # the second time in one epoch


def test_a_forgotten_conversion_is_said(h36m_root, flat, pose3d_pipelines):
    bare = two_d('MpiiDataset', flat, 'mpii16', 'h36m18', 'mpii.json') | dict(pipeline=[])
    data = SeededCombinedDataset(joint_set='mpii16', datasets=[bare], pipeline=pose3d_pipelines[1])
    with pytest.raises(ValueError, match='ConvertJoints'):
        data[0]


def test_mcpc_as_persons(mcpc_root, pose3d_pipelines):
    data = SeededCombinedDataset(
        joint_set='h36m18',
        datasets=[
            dict(
                type='MCPCDataset', item='person', ann_file='mcpc/mcpc_train.json',
                data_root=str(mcpc_root),
                pipeline=[dict(type='ConvertJoints', source='mcpc16', target='h36m18')],
            )
        ],
        pipeline=pose3d_pipelines[0],
    )  # fmt: skip
    sample = data[0]['data_samples']
    assert sample.gt_instances.keypoints.shape == (1, 18, 3) and sample.dataset_name == 'mcpc'
    assert (
        not sample.gt_instance_labels.depth_weights.any()
        and sample.gt_instance_labels.keypoint_weights.any()
    )


@pytest.mark.parametrize(
    'kind, file, content, said',
    [
        (
            'CocoDataset', 'coco.json',
            dict(annotations=[dict(id=1, image_id=7, category_id=1, iscrowd=0, bbox=[1, 2, 3, 4])]),
            r'coco\.json: CocoDataset',
        ),
        ('CocoDataset', 'coco.json', dict(annotations=[]), r'coco\.json: CocoDataset'),
        ('MpiiDataset', 'mpii.json', [], r'mpii\.json: MpiiDataset'),
    ],
)  # fmt: skip
def test_nothing_loads_empty(flat, kind, file, content, said):
    path = flat / file
    path.write_text(
        json.dumps(
            (json.loads(path.read_text()) | content) if isinstance(content, dict) else content
        )
    )
    with pytest.raises(ValueError, match=said):
        SeededCombinedDataset(
            joint_set='h36m18', datasets=[two_d(kind, flat, 'coco17', 'h36m18', file)]
        )


def test_other_errors_are_left_alone(flat):
    with pytest.raises((FileNotFoundError, AssertionError)):
        SeededCombinedDataset(
            joint_set='h36m18',
            datasets=[two_d('CocoDataset', flat, 'coco17', 'h36m18', 'gone.json')],
        )
    with pytest.raises(ValueError, match='either a metainfo or a joint_set'):
        SeededCombinedDataset(datasets=[dict(type='CocoDataset')])
    with pytest.raises(ValueError, match='no datasets'):
        SeededCombinedDataset(joint_set='h36m18')
