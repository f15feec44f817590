# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import math

import numpy as np
import pytest
from relative_human_fixture import SIZE, annots, build_tree, person

from wsp_mm.datasets.annotations import AnnotationError
from wsp_mm.datasets.relative_human import RelativeHumanDataset
from wsp_mm.structures.keypoints import get_joint_set

MCPC = get_joint_set('mcpc16')
FILE = 'relative_human/test_annots.npz'
#: A and B by number in the file; every second pair is exchanged.
PAIRS = [(0, 1), (2, 0), (1, 2), (4, 3), (6, 7), (8, 6), (7, 8)]
LABELS = [1, 0, None, 1, 1, 0, 0]


def dataset(root, **kwargs):
    return RelativeHumanDataset(ann_file=FILE, data_root=str(root), **kwargs)


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('relative_human')
    build_tree(root)
    return root


def test_pairs_are_all_of_known_layers(root):
    data = dataset(root)
    items = [data.get_data_info(i) for i in range(len(data))]
    assert [tuple(item['ann_ids'][item['pair']].tolist()) for item in items] == PAIRS
    assert [item['id'] for item in items] == list(range(7))
    for item, label in zip(items, LABELS, strict=True):
        a, b = item['pair_layers']
        assert (a == b) == (label is None) and (label is None or label == item['pair_label'])
    item = items[1]
    assert item['img_path'] == str(root / 'relative_human/images/100007.jpg')
    assert item['bbox'].shape == (3, 4) and item['keypoints'].shape == (3, 16, 2)
    np.testing.assert_allclose(item['bbox'][0], (26, 18, 54, 142))
    # Right ankle: 0.04 of 120 px over the feet at 140, 12 px to the left.
    np.testing.assert_allclose(item['keypoints'][0, MCPC.index('right_ankle')], (28, 135.2))
    # Heads of 0.15 of 84 and of 120 px.
    assert item['pair_gap'] == pytest.approx(0.3) and item['pair_stand_in'] == [0]
    assert [items[i]['pair_stand_in'][0] for i in (4, 5, 6)] == [0, 1, 1]  # person 8 has no joints


def test_the_order_networks_own_pipeline_runs(root):
    pipeline = [
        dict(type='SamplePersonPair', padding=1.25, random_order=False),
        dict(type='LoadCropImage'),
        dict(type='PairTopdownAffine', input_size=(64, 64)),
        dict(type='PackPairInputs'),
    ]
    data = dataset(root, pipeline=pipeline)
    for i, label in enumerate(LABELS):
        gt = data[i]['data_samples'].gt_instances
        # pairs of one layer have no say in the two-class figures
        assert gt.depth_weight[0] == (label is not None)
        assert label is None or gt.depth_label[0] == label
        assert gt.pair_ann_ids[0].tolist() == list(PAIRS[i])
        assert gt.pair_visible.shape == (1, 2, 16)
    assert data[0]['inputs'].shape == (3, 64, 64)
    assert not data[5]['data_samples'].gt_instances.pair_visible[0, 0].any()


def test_persons_have_boxes_and_an_assumed_camera(root):
    data = dataset(root, item='person', fov_deg=90)
    assert len(data) == 12
    item = data.get_data_info(8)
    assert (item['id'], item['img_id'], item['layer'], item['age']) == (8, 2, 1, 0)
    np.testing.assert_allclose(item['bbox'], [[141, 38, 159, 112]])
    # 90 degrees across 200 px
    np.testing.assert_allclose(item['camera_f'], [100, 100])
    np.testing.assert_allclose(item['camera_c'], ((SIZE[0] - 1) / 2, (SIZE[1] - 1) / 2))
    assert item['image_size'] == SIZE and 'keypoints' not in item
    default = dataset(root, item='person').get_data_info(0)['camera_f'][0]
    assert default == pytest.approx(100 / math.tan(math.pi / 6))
    assert len(item['flip_indices']) == 21


def test_the_root_networks_own_pipeline_runs(root):
    pipeline = [
        dict(type='PersonCenterScale', padding=1.25),
        dict(type='RootDepthPrior'),
        dict(type='LoadCropImage'),
        dict(type='TopdownAffine', input_size=(64, 64)),
        dict(type='PackPose3DInputs'),
    ]
    sample = dataset(root, item='person', pipeline=pipeline)[4]['data_samples']
    assert sample.id == 4 and sample.img_id == 1 and sample.root_k > 0
    assert 'keypoints' not in sample.gt_instances


def test_persons_without_area_are_left_out_and_named(tmp_path, log):
    content = annots()
    content['100007.jpg'][1]['bbox'] = [50, 60, 50, 90]
    content['100033.jpg'][1]['bbox'] = [210, 60, 250, 90]  # beside the image
    build_tree(tmp_path, content)
    data = dataset(tmp_path)
    assert [tuple(d['ann_ids'][d['pair']]) for d in map(data.get_data_info, range(2))] == [
        (0, 2), (4, 3)
    ] and len(data) == 5  # fmt: skip
    persons = dataset(tmp_path, item='person')
    assert {persons.get_data_info(i)['id'] for i in range(10)} == {*range(12)} - {1, 11}
    assert any('left out 1 persons' in text and 'person 1 of 100007.jpg' in text for text in log)


def test_what_is_refused(root, tmp_path):
    for kwargs, error, word in (
        (dict(item='image'), ValueError, 'item'), (dict(test_mode=False), ValueError, 'test_mode'),
        (dict(fov_deg=170), ValueError, 'fov_deg'), (dict(bbox_file='x'), TypeError, 'bbox_file'),
        (dict(data_prefix=dict(img='elsewhere')), AnnotationError, 'elsewhere'),
    ):  # fmt: skip
        with pytest.raises(error, match=word):
            dataset(root, **kwargs)
    build_tree(tmp_path, {'100001.jpg': [person(40, 140, 120, 0)], '100002.jpg': []})
    with pytest.raises(AnnotationError, match='no pair'):
        dataset(tmp_path)
    assert len(dataset(tmp_path, item='person')) == 1
    (tmp_path / 'relative_human/images/100002.jpg').unlink()
    with pytest.raises(AnnotationError, match=r'100002\.jpg'):
        dataset(tmp_path, item='person')


def test_metainfo_is_the_networks(root):
    assert dataset(root).metainfo['dataset_name'] == 'relative_human'
    assert dataset(root).metainfo['num_keypoints'] == 16
