# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Relative Human as a source of MCPC: labels from layers that people annotated."""

import json

import numpy as np
import pytest
from relative_human_fixture import annots, build_tree

from wsp_mm.datasets.annotations import AnnotationError
from wsp_mm.datasets.converters.mcpc.build import build_mcpc
from wsp_mm.datasets.converters.mcpc.options import BuildOptions
from wsp_mm.datasets.mcpc import MCPCDataset
from wsp_mm.datasets.transforms.pair import SamplePersonPair
from wsp_mm.structures.depth_layers import layer_pairs, layer_probabilities


def test_probabilities_of_layers():
    # 0-1, 0-1, 0-u, 1-1, 1-u, 1-u
    assert layer_probabilities([0, 1, 1, -1]).tolist() == [1, 1, 0.5, 0.5, 0.5, 0.5]
    assert layer_probabilities([3, 0]).tolist() == [0]
    assert layer_probabilities([2]).tolist() == layer_probabilities([]).tolist() == []
    assert layer_pairs([0, -1, 2, 2]).tolist() == [[0, 2], [0, 3], [2, 3]]


def build(root, **options):
    options = dict(splits=('train',), progress=False) | options
    return build_mcpc(
        BuildOptions({'relative_human': root / 'relative_human'}, root / 'mcpc', **options)
    )


def test_training_images_have_the_layers_labels(tmp_path):
    build_tree(tmp_path)
    result = build(tmp_path)
    content = json.loads(result.files['mcpc_train.json'].read_text())
    images = {image['source_id']: image for image in content['images']}
    # Person 2 has no labelled ankle, but a layer; 8 has no joints and is left out.
    assert {name: image['nearer'] for name, image in images.items()} == {
        '100007.jpg': [1, 1, 0.5],
        '0000123.jpg': [0, 0.5, 0.5],  # the second is nearer; nobody knows the third
        '000045.jpg': [1],
        '100033.jpg': [0.5],
    }
    assert images['100007.jpg']['file_name'] == 'images/100007.jpg'
    assert (images['100007.jpg']['width'], images['100007.jpg']['height']) == (200, 150)
    ids = {}
    for annotation in content['annotations']:
        ids.setdefault(annotation['image_id'], []).append(annotation['source_id'])
    assert ids[images['0000123.jpg']['id']] == [3, 4, 5]  # in the file's order, as nearer is
    first = next(a for a in content['annotations'] if a['source_id'] == 0)
    np.testing.assert_allclose(first['bbox'], [26, 18, 28, 124])
    assert first['ground_y'] == pytest.approx(135.2) and first['scale_source'] == 'head'
    data = MCPCDataset(ann_file='mcpc/mcpc_train.json', data_root=str(tmp_path))
    assert len(data) == 4 and data.get_data_info(0)['source'] == 'relative_human'


def test_hidden_ankles_have_no_ground_and_still_a_pair(tmp_path):
    build_tree(tmp_path)
    content = json.loads(build(tmp_path).files['mcpc_train.json'].read_text())
    (hidden,) = [a for a in content['annotations'] if a['source_id'] == 2]
    assert hidden['ground_y'] is None
    data = MCPCDataset(ann_file='mcpc/mcpc_train.json', data_root=str(tmp_path))
    (item,) = [
        info for info in data if len(info['ann_ids']) == 3 and hidden['id'] in info['ann_ids']
    ]
    assert np.isnan(item['ground_y']).tolist() == [False, False, True]
    drawn = set()
    for _ in range(40):
        sample = SamplePersonPair(random_order=False)(dict(item))
        drawn.add((*np.flatnonzero(np.isin(item['ann_ids'], sample['pair_ann_ids'])).tolist(),))
        assert sample['depth_label'] == sample['depth_weight'] == [1]
    assert drawn == {(0, 1), (0, 2)}  # not the two of one layer


def test_persons_of_unknown_layer_need_their_ankles(tmp_path):
    content = annots()
    content['0000123.jpg'][2]['kp2d'][15 * 3 + 2] = 0  # the left ankle
    build_tree(tmp_path, content)
    persons = {}
    for ankles in ('any', 'both'):
        found = json.loads(build(tmp_path, ankles=ankles).files['mcpc_train.json'].read_text())
        persons[ankles] = {annotation['source_id'] for annotation in found['annotations']}
    assert persons['any'] - persons['both'] == {5}


def test_there_is_no_test_split_of_it(tmp_path):
    build_tree(tmp_path)
    with pytest.raises(AnnotationError):
        build(tmp_path, splits=('test',))
    rows = build(tmp_path, splits=('train', 'test')).rows
    assert {row['split'] for row in rows if row['source'] == 'relative_human'} == {'train'}


def test_boxes_without_area_are_made_of_joints(tmp_path):
    content = annots()
    content['100007.jpg'][0]['bbox'] = [5, 5, 5, 5]
    build_tree(tmp_path, content)
    content = json.loads(build(tmp_path).files['mcpc_train.json'].read_text())
    (box,) = [a['bbox'] for a in content['annotations'] if a['source_id'] == 0]
    assert box[0] < 28 and box[0] + box[2] > 52 and box[3] > 100


def test_absent_and_bad_files_are_named(tmp_path):
    (tmp_path / 'relative_human').mkdir()
    with pytest.raises(AnnotationError, match=r'train_annots\.npz'):
        build(tmp_path)
    content = annots()
    content['100007.jpg'][0]['age'] = 9
    build_tree(tmp_path, content)
    with pytest.raises(AnnotationError, match=r'person 0 of 100007\.jpg'):
        build(tmp_path)
