# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from wsp_mm.datasets.annotations import AnnotationError
from wsp_mm.datasets.mcpc import MCPCDataset

NAN = float('nan')
OLD = Path(__file__).parent / 'data'


def dataset(root, split='train', **kwargs):
    kwargs = {'test_mode': split == 'test', **kwargs}
    return MCPCDataset(ann_file=f'mcpc/mcpc_{split}.json', data_root=str(root), **kwargs)


def test_train_items_are_images_with_all_their_persons(mcpc_root):
    data = dataset(mcpc_root)
    assert len(data) == 3
    item = data.get_data_info(0)
    assert item['img_id'] == 1 and item['source'] == 'coco' and item['dataset_name'] == 'mcpc'
    assert item['img_path'] == str(mcpc_root / 'coco' / 'train2017/1.png')
    assert item['bbox'].shape == (3, 4) and item['keypoints'].shape == (3, 16, 2)
    # Person 1: 100 px high at x = 40, on y = 130; right ankle at (-0.06, -0.04) of its height; box
    # 2 px wider than the joints, of which the ankles are the lowest.
    np.testing.assert_allclose(item['keypoints'][0, 0], (34, 126), atol=1e-4)
    np.testing.assert_allclose(item['bbox'][0], (22, 28, 58, 128), atol=1e-4)
    np.testing.assert_allclose(item['ground_y'], [126, 107.2, 135.2])
    np.testing.assert_allclose(item['scale'], [14, 9.8, 16.8])
    assert item['ann_ids'].tolist() == [1, 2, 3]
    # Person 3's left ankle is not labelled.
    assert item['keypoints_visible'][2, 5] == 0 and item['keypoints_visible'].sum() == 47
    assert item['other_ankles'].shape == (0, 3) and 'pair' not in item


def test_visibility_one_and_two_both_count_as_labelled(mcpc_root, tree):
    def occlude(content):
        content['annotations'][0]['keypoints'][2::3] = [1] * 8 + [0] * 8

    tree.edit_json(mcpc_root, 'train', occlude)
    item = dataset(mcpc_root).get_data_info(0)
    assert item['keypoints_visible'][0].tolist() == [1.0] * 8 + [0.0] * 8
    assert (item['keypoints'][0, 8:] == 0).all()


def test_test_items_are_the_fixed_pairs(mcpc_root):
    data = dataset(mcpc_root, 'test')
    assert len(data) == 3
    item = data.get_data_info(1)
    assert item['pair'].tolist() == [2, 1] and item['pair_id'] == item['id'] == 2
    assert item['pair_label'] == 0 and item['pair_gap'] == 0.4
    assert item['ann_ids'].tolist() == [21, 22, 23]
    np.testing.assert_allclose(item['other_ankles'], [[20, 145, 12], [180, 149, np.nan]])


def test_pairs_say_whether_their_gap_comes_from_heads(mcpc_root, tree):
    def replace(content):
        content['annotations'][2]['scale_source'] = 'torso'  # person 23, of pair 2

    tree.edit_json(mcpc_root, 'test', replace)
    data = dataset(mcpc_root, 'test')
    assert [data.get_data_info(i)['pair_stand_in'].tolist() for i in range(3)] == [[0], [1], [0]]


def test_person_items_run_through_mmposes_own_pipeline(mcpc_root):
    codec = dict(type='MSRAHeatmap', input_size=(64, 64), heatmap_size=(16, 16), sigma=1)
    pipeline = [
        dict(type='LoadImage'),
        dict(type='GetBBoxCenterScale', padding=1.25),
        dict(type='TopdownAffine', input_size=(64, 64)),
        dict(type='GenerateTarget', encoder=codec),
        dict(type='PackPoseInputs'),
    ]
    data = dataset(mcpc_root, item='person', pipeline=pipeline)
    assert len(data) == 7
    info = data.get_data_info(2)
    assert info['num_keypoints'] == 15 and info['bbox'].shape == (1, 4) and info['id'] == 3
    sample = data[2]['data_samples']
    assert sample.gt_fields.heatmaps.shape == (16, 16, 16)
    assert sample.gt_instance_labels.keypoint_weights.sum() == 15


def test_person_items_without_area_are_left_out_and_counted(mcpc_root, tree, log):
    tree.edit_json(mcpc_root, 'train', put('annotations', 0, bbox=[199.5, 10, 0.5, 90]))
    data = dataset(mcpc_root, item='person')
    assert [data.get_data_info(i)['id'] for i in range(len(data))] == [2, 3, 4, 5, 6, 7]
    assert any('left out 1 persons' in text for text in log)
    assert len(dataset(mcpc_root).get_data_info(0)['ann_ids']) == 3  # pairs have crops of their own


def test_an_image_with_one_person_is_left_out_of_training_pairs(mcpc_root, tree):
    tree.edit_json(mcpc_root, 'train', lambda content: content['annotations'].pop(4))
    data = dataset(mcpc_root)
    assert [data.get_data_info(i)['img_id'] for i in range(len(data))] == [1, 3]
    assert len(dataset(mcpc_root, item='person')) == 6


def test_folders_of_single_sources_can_be_moved(mcpc_root, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp('images') / 'mpii'
    (mcpc_root / 'mpii').rename(elsewhere)
    with pytest.raises(AnnotationError, match=r'2\.png: .* 1 of the 2 .*data_prefix'):
        dataset(mcpc_root)
    item = dataset(mcpc_root, data_prefix=dict(mpii=str(elsewhere))).get_data_info(1)
    assert item['img_path'] == str(elsewhere / 'images/2.png')
    assert len(dataset(mcpc_root, check_images=False)) == 3


@pytest.mark.parametrize('split', ['train', 'test'])
def test_files_of_version_0_1_0_load(split):
    path = OLD / f'mcpc_{split}_0.1.0.json'
    data = MCPCDataset(str(path), test_mode=split == 'test', check_images=False)
    content = json.loads(path.read_text())
    items = [data.get_data_info(i) for i in range(len(data))]
    persons = {a['id']: a for a in content['annotations']}
    assert {i['source'] for i in items} == {'coco', 'mpii', 'posetrack18', 'crowdpose'}
    for item in items:
        expected = [persons[key] for key in item['ann_ids']]
        assert item['ground_y'].tolist() == [a['ground_y'] for a in expected]
        assert item['keypoints_visible'].sum() == sum(a['num_keypoints'] for a in expected)
    gaps = [pair['scale_gap'] for pair in content.get('pairs', ())]
    assert [item['pair_gap'] for item in items if 'pair' in item] == gaps


def test_indices_and_pickling(mcpc_root):
    data = dataset(mcpc_root, indices=2)
    assert len(data) == 2
    again = pickle.loads(pickle.dumps(data))
    np.testing.assert_array_equal(again.get_data_info(1)['bbox'], data.get_data_info(1)['bbox'])


def put(part, index, **values):
    """A change of one record; ... removes a key."""

    def change(content):
        record = content[part][index] | values
        content[part][index] = {key: value for key, value in record.items() if value is not ...}

    return change


@pytest.mark.parametrize(
    ('split', 'change', 'named'),
    [
        ('train', lambda c: c.pop('annotations'), 'annotations'),
        ('train', lambda c: c.pop('images'), 'images'),
        ('train', lambda c: c.update(annotations=[]), 'annotations'),
        ('train', lambda c: c.update(annotations=c['annotations'][:1]), 'two persons'),
        ('train', put('annotations', 0, keypoints=...), 'annotation 1: .*keypoints'),
        ('train', put('annotations', 1, keypoints=[0.0] * 51), 'annotation 2: .*keypoints'),
        ('train', put('annotations', 1, keypoints=[NAN] * 48), 'annotation 2: .*keypoints'),
        ('train', put('annotations', 1, ground_y=None), 'annotation 2: .*ground_y'),
        ('train', put('annotations', 1, ground_y='low'), 'annotation 2: .*ground_y'),
        ('train', put('annotations', 1, scale=0), 'annotation 2: .*scale'),
        ('train', put('annotations', 1, bbox=[0, 0, 0, 5]), 'annotation 2: .*bbox'),
        ('train', put('annotations', 1, bbox=[0, 0, 5]), 'annotation 2: .*bbox'),
        ('train', put('annotations', 1, id=1), 'annotation 1: .*more than once'),
        ('train', put('annotations', 1, image_id=99), 'annotation 2: .*image_id'),
        ('train', put('images', 0, file_name=...), 'image 1: .*file_name'),
        ('train', put('images', 0, source='lsp'), 'image 1: .*lsp'),
        ('train', put('images', 0, other_ankles=[[1, 2]]), 'image 1'),
        ('train', put('images', 0, other_ankles=[[10**400, 2, 3]]), 'image 1'),
        ('train', put('images', 0, id=float('inf')), 'image inf.*id'),
        ('train', put('images', 1, id=1), 'image 1.*id of another'),
        ('train', put('images', 0, file_name='a\0'), 'image 1'),
        ('train', lambda c: c['images'].append(5), 'image number 3'),
        ('test', lambda c: c.pop('pairs'), 'pairs'),
        ('test', lambda c: c.update(pairs=[]), 'pairs'),
        ('test', put('pairs', 0, image_id=5), 'pair 1: .*image 5'),
        ('test', put('pairs', 0, ann_b=24), 'pair 1: .*24'),
        ('test', put('pairs', 0, label=2), 'pair 1: .*label'),
        ('test', put('pairs', 0, scale_gap=NAN), 'pair 1: .*scale_gap'),
        ('test', put('pairs', 0, ann_b=22), 'pair 1: .*same person'),
        ('train', put('annotations', 1, keypoints=[9, 9, 0] * 16), 'annotation 2: .*ankle'),
    ],
)
def test_broken_records_are_named(mcpc_root, tree, split, change, named):
    tree.edit_json(mcpc_root, split, change)
    with pytest.raises(AnnotationError, match=rf'mcpc_{split}\.json: .*{named}'):
        dataset(mcpc_root, split)


def test_ids_and_names_of_other_programs(mcpc_root, tree):
    whole = dataset(mcpc_root)[0]['img_path']
    tree.edit_json(mcpc_root, 'train', put('images', 0, id='1'))
    tree.edit_json(mcpc_root, 'train', put('annotations', 0, image_id=1.0))
    tree.edit_json(mcpc_root, 'train', put('images', 0, file_name='train2017\\1.png'))
    item = dataset(mcpc_root)[0]
    assert item['img_id'] == 1 and item['img_path'] == whole


def test_bad_files_and_arguments(mcpc_root):
    with pytest.raises(AnnotationError, match=r'mcpc_val\.json.*build_mcpc.*WSP_DATA'):
        dataset(mcpc_root, 'val')
    for text in ('{"images": [', '[1]'):
        (mcpc_root / 'mcpc/mcpc_train.json').write_text(text, encoding='utf-8')
        with pytest.raises(AnnotationError, match=r'mcpc_train\.json'):
            dataset(mcpc_root)
    with pytest.raises(ValueError, match='item'):
        dataset(mcpc_root, item='image')
    with pytest.raises(TypeError, match='bbox_file'):
        dataset(mcpc_root, bbox_file='boxes.json')


@pytest.mark.parametrize('broken', [False, True])
def test_a_missing_or_broken_image_is_named(mcpc_root, pipelines, broken):
    data = dataset(mcpc_root, pipeline=pipelines[0])
    path = mcpc_root / 'mpii/images/2.png'
    path.write_bytes(b'no image') if broken else path.unlink()
    error = ValueError if broken else FileNotFoundError
    with pytest.raises(error, match=r'mpii/images/2\.png'):
        data[1]


def test_pairs_from_json_to_packed_batch(mcpc_root, pipelines):
    data = dataset(mcpc_root, pipeline=pipelines[0])
    data.set_item_seed(0, 0)
    workers = dict(num_workers=2, multiprocessing_context='fork')
    (batch,) = DataLoader(data, batch_size=3, collate_fn=list, **workers)
    for item in batch:
        assert item['inputs'].shape == (3, 64, 64) and item['inputs'].dtype == torch.uint8
        sample = item['data_samples']
        labels, ground = sample.gt_instance_labels, sample.gt_instances
        assert labels.keypoint_labels.shape == (1, 2, 16, 2)
        assert labels.pair_bboxes_input.shape == (1, 2, 4)
        assert {len(value) for fields in (labels, ground) for value in fields.values()} == {1}
        assert labels.depth_labels.unique().tolist() == ground.depth_label.tolist()
        # The label agrees with the annotated feet, whatever the augmentation did.
        ankles = ground.pair_keypoints[0][:, [0, 5], 1] * ground.pair_visible[0][:, [0, 5]]
        lowest = ankles.max(axis=1)
        assert ground.depth_label[0] == (lowest[0] >= lowest[1])
        assert sample.img_id != 3  # its two persons tie, so another image takes its place
        assert sample.sample_idx in (0, 1)


def test_fixed_pairs_from_json_to_packed_sample(mcpc_root, pipelines):
    sample = dataset(mcpc_root, 'test', pipeline=pipelines[1])[1]['data_samples']
    ground = sample.gt_instances
    assert sample.id == 2 and sample.input_size == (64, 64)
    assert ground.pair_ann_ids.tolist() == [[23, 22]] and ground.pair_gap.tolist() == [0.4]
    assert ground.pair_stand_in.tolist() == [0.0]
    assert ground.depth_label.tolist() == [0.0] and ground.depth_weight.tolist() == [1.0]
