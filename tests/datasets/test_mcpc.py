# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json
import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from wsp_mm.datasets.mcpc import MCPCDataset


def dataset(root, split='train', **kwargs):
    kwargs = {'test_mode': split == 'test', **kwargs}
    return MCPCDataset(ann_file=f'mcpc/mcpc_{split}.json', data_root=str(root), **kwargs)


def test_train_items_are_pictures_with_all_their_persons(mcpc_root):
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
    assert item['other_ankles'].shape == (0, 3)
    assert 'pair' not in item


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


def test_a_picture_with_one_person_is_left_out_of_training_pairs(mcpc_root, tree):
    def drop(content):
        content['annotations'] = [a for a in content['annotations'] if a['id'] != 5]

    tree.edit_json(mcpc_root, 'train', drop)
    assert [dataset(mcpc_root).get_data_info(i)['img_id'] for i in range(2)] == [1, 3]
    assert len(dataset(mcpc_root)) == 2
    assert len(dataset(mcpc_root, item='person')) == 6


def test_folders_of_single_sources_can_be_moved(mcpc_root, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp('pictures') / 'mpii'
    (mcpc_root / 'mpii').rename(elsewhere)
    with pytest.raises(FileNotFoundError, match=r'2\.png.*data_prefix=dict\(mpii='):
        dataset(mcpc_root)
    item = dataset(mcpc_root, data_prefix=dict(mpii=str(elsewhere))).get_data_info(1)
    assert item['img_path'] == str(elsewhere / 'images/2.png')
    assert len(dataset(mcpc_root, check_pictures=False)) == 3


def test_indices_and_pickling(mcpc_root):
    data = dataset(mcpc_root, indices=2)
    assert len(data) == 2
    again = pickle.loads(pickle.dumps(data))
    np.testing.assert_array_equal(again.get_data_info(1)['bbox'], data.get_data_info(1)['bbox'])


def _set(index, key, value):
    def change(content):
        content['annotations'][index][key] = value

    return change


def _delete(part, key):
    return lambda content: content[part][0].pop(key)


@pytest.mark.parametrize(
    ('change', 'error', 'message'),
    [
        (lambda c: c.pop('annotations'), KeyError, "has no 'annotations'"),
        (lambda c: c.pop('images'), KeyError, "has no 'images'"),
        (lambda c: c.update(annotations=[]), ValueError, "'annotations' is empty"),
        (lambda c: c.update(images=[]), ValueError, "'images' is empty"),
        (_delete('annotations', 'keypoints'), KeyError, "annotation 1 has no 'keypoints'"),
        (_delete('annotations', 'ground_y'), KeyError, "annotation 1 has no 'ground_y'"),
        (
            _set(1, 'keypoints', [0.0] * 51),
            ValueError,
            "annotation 2: 'keypoints' must be 48 numbers",
        ),
        (
            _set(1, 'keypoints', [float('nan')] * 48),
            ValueError,
            "annotation 2: 'keypoints' holds nan",
        ),
        (_set(1, 'ground_y', None), ValueError, "annotation 2: 'ground_y' holds nan, null"),
        (_set(1, 'ground_y', 'low'), ValueError, "annotation 2: 'ground_y' must be a number"),
        (_set(1, 'scale', 0), ValueError, "annotation 2: 'scale' is not positive"),
        (_set(1, 'bbox', [0, 0, 0, 5]), ValueError, "annotation 2: 'bbox' has no width"),
        (_set(1, 'bbox', [0, 0, 5]), ValueError, "annotation 2: 'bbox' must be 4 numbers"),
        (_set(1, 'id', 1), ValueError, 'annotation id 1 occurs more than once'),
        (_set(1, 'image_id', 99), ValueError, 'annotation 2 is of image 99'),
        (_delete('images', 'file_name'), KeyError, 'image 1 lacks'),
        (lambda c: c['images'][0].update(source='lsp'), KeyError, 'lsp'),
        (
            lambda c: c.update(annotations=c['annotations'][:1]),
            ValueError,
            'no image has two persons',
        ),
    ],
)
def test_broken_records_are_named(mcpc_root, tree, change, error, message):
    tree.edit_json(mcpc_root, 'train', change)
    with pytest.raises(error, match=message):
        dataset(mcpc_root)


@pytest.mark.parametrize(
    ('change', 'error', 'message'),
    [
        (lambda c: c.pop('pairs'), KeyError, "'pairs' is missing"),
        (lambda c: c.update(pairs=[]), KeyError, "'pairs' is missing or empty"),
        (lambda c: c['pairs'][0].update(image_id=5), ValueError, 'pair 1 is of image 5'),
        (lambda c: c['pairs'][0].update(ann_b=24), ValueError, 'pair 1 names annotation 24'),
        (lambda c: c['pairs'][0].update(label=2), ValueError, 'pair 1: label must be 0 or 1'),
    ],
)
def test_broken_pairs_are_named(mcpc_root, tree, change, error, message):
    tree.edit_json(mcpc_root, 'test', change)
    with pytest.raises(error, match=message):
        dataset(mcpc_root, 'test')


def test_bad_files_and_arguments(mcpc_root):
    with pytest.raises(FileNotFoundError, match=r'no MCPC annotations at .*mcpc_val\.json'):
        dataset(mcpc_root, 'val')
    (mcpc_root / 'mcpc/mcpc_train.json').write_text('{"images": [', encoding='utf-8')
    with pytest.raises(ValueError, match='not valid json'):
        dataset(mcpc_root)
    (mcpc_root / 'mcpc/mcpc_train.json').write_text(json.dumps([1]), encoding='utf-8')
    with pytest.raises(KeyError, match="has no 'images'"):
        dataset(mcpc_root)
    with pytest.raises(ValueError, match='item must be'):
        dataset(mcpc_root, item='image')
    with pytest.raises(TypeError, match='takes no bbox_file'):
        dataset(mcpc_root, bbox_file='boxes.json')


@pytest.mark.parametrize('broken', [False, True])
def test_a_missing_or_broken_picture_is_named(mcpc_root, pipelines, broken):
    data = dataset(mcpc_root, pipeline=pipelines[0])
    path = mcpc_root / 'mpii/images/2.png'
    path.write_bytes(b'no picture') if broken else path.unlink()
    error = ValueError if broken else FileNotFoundError
    with pytest.raises(error, match=r'mpii/images/2\.png'):
        data[1]


def test_pairs_from_json_to_packed_batch(mcpc_root, pipelines):
    data = dataset(mcpc_root, pipeline=pipelines[0])
    data.set_item_seed(0, 0)
    loader = DataLoader(
        data, batch_size=3, num_workers=2, collate_fn=list, multiprocessing_context='fork'
    )
    (batch,) = list(loader)
    for item in batch:
        assert item['inputs'].shape == (3, 64, 64) and item['inputs'].dtype == torch.uint8
        sample = item['data_samples']
        labels, ground = sample.gt_instance_labels, sample.gt_instances
        assert sample.gt_fields.heatmaps.shape == (16, 16, 16)
        assert labels.pair_bboxes_input.shape == (1, 2, 4)
        assert {len(value) for fields in (labels, ground) for value in fields.values()} == {1}
        assert labels.depth_labels.unique().tolist() == ground.depth_label.tolist()
        # The label agrees with the annotated feet, whatever the augmentation did.
        ankles = ground.pair_keypoints[0][:, [0, 5], 1] * ground.pair_visible[0][:, [0, 5]]
        lowest = ankles.max(axis=1)
        assert ground.depth_label[0] == (lowest[0] >= lowest[1])
        assert sample.img_id != 3  # its two persons tie, so another picture takes its place
        assert sample.sample_idx in (0, 1)


def test_fixed_pairs_from_json_to_packed_sample(mcpc_root, pipelines):
    data = dataset(mcpc_root, 'test', pipeline=pipelines[1])
    sample = data[1]['data_samples']
    assert sample.id == 2 and sample.input_size == (64, 64)
    assert sample.gt_instances.pair_ann_ids.tolist() == [[23, 22]]
    assert sample.gt_instances.depth_label.tolist() == [
        0.0
    ] and sample.gt_instances.depth_weight.tolist() == [1.0]
    assert sample.gt_instances.pair_gap.tolist() == [0.4]
    assert 'gt_fields' not in sample
    # Input px -> picture px as TopdownPoseEstimator maps predictions.
    boxes = sample.gt_instance_labels.pair_bboxes_input.numpy().reshape(1, 2, 2, 2)
    mapped = (
        boxes / sample.input_size * sample.input_scale
        + sample.input_center
        - 0.5 * sample.input_scale
    )
    np.testing.assert_allclose(mapped.reshape(1, 2, 4), sample.gt_instances.pair_bboxes, atol=1e-3)
