# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest
import torch

from wsp_mm.codecs.pair_heatmap import PairHeatmapLabel
from wsp_mm.datasets.transforms.formatting import PackPairInputs


def sample(**changes):
    results = dict(
        img=np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3),
        bbox=np.array([[0.0, 0, 4, 4]]),
        bbox_score=np.ones(1),
        pair_bboxes=np.arange(8.0).reshape(2, 4),
        pair_bboxes_input=np.arange(8.0, 16).reshape(1, 2, 4),
        keypoints=np.ones((2, 16, 2)),
        keypoints_visible=np.ones((2, 16)),
        pair_ann_ids=np.array([5, 6]),
        pair_gap=np.array([0.5]),
        depth_label=np.array([1.0]),
        depth_weight=np.array([1.0]),
        input_size=(6, 4),
        source='mpii',
        id=3,
    )
    return results | changes


def test_a_pair_is_one_instance():
    packed = PackPairInputs().transform(sample())
    data = packed['data_samples']
    assert packed['inputs'].shape == (3, 4, 6) and packed['inputs'][2, 1, 0] == 20
    shapes = {key: data.gt_instances[key].shape for key in data.gt_instances.keys()}  # noqa: SIM118
    assert shapes == dict(
        bboxes=(1, 4), bbox_scores=(1,), pair_bboxes=(1, 2, 4), pair_keypoints=(1, 2, 16, 2),
        pair_visible=(1, 2, 16), pair_ann_ids=(1, 2), pair_gap=(1,), depth_label=(1,), depth_weight=(1,),
    )  # fmt: skip
    assert data.gt_instance_labels.pair_bboxes_input.tolist() == [
        [[8, 9, 10, 11], [12, 13, 14, 15]]
    ]
    assert (
        data.metainfo['source'] == 'mpii'
        and data.metainfo['id'] == 3
        and 'flip' not in data.metainfo
    )
    data.to('cpu').clone()  # what fails in MMEngine when lengths differ


def test_the_codecs_tables_come_on_top():
    codec = PairHeatmapLabel((16, 16), (4, 4))
    encoded = codec.encode(np.ones((2, 16, 2)), np.ones((2, 16)), np.ones(1), np.ones(1))
    tables = dict(
        label_mapping_table=codec.label_mapping_table, field_mapping_table=codec.field_mapping_table
    )
    data = PackPairInputs().transform(sample(**encoded, **tables))['data_samples']
    assert set(data.gt_instance_labels.keys()) == {
        'pair_bboxes_input', 'depth_labels', 'depth_weights', 'heatmap_weights',
    }  # fmt: skip
    assert data.gt_fields.heatmaps.shape == (16, 4, 4) and isinstance(
        data.gt_fields.heatmaps, torch.Tensor
    )


def test_two_boxes_are_enough():
    results = sample()
    for key in (
        'keypoints',
        'keypoints_visible',
        'pair_ann_ids',
        'pair_gap',
        'depth_label',
        'depth_weight',
    ):
        results.pop(key)
    data = PackPairInputs().transform(results)['data_samples']
    assert set(data.gt_instances.keys()) == {'bboxes', 'bbox_scores', 'pair_bboxes'}


def test_wrong_lengths_are_named():
    with pytest.raises(ValueError, match='depth_label is 2 long'):
        PackPairInputs().transform(sample(depth_label=np.ones(2)))
    with pytest.raises(ValueError, match='pair_bboxes_input is 2 long'):
        PackPairInputs().transform(sample(pair_bboxes_input=np.ones((2, 4))))


def test_samples_with_targets_bring_the_order_in_which_their_joints_are_drawn():
    def order(seed, **changes):
        np.random.seed(seed)
        return (
            PackPairInputs()
            .transform(sample(**changes))['data_samples']
            .metainfo.get('joint_order')
        )

    labels = dict(depth_labels=np.ones((1, 16), np.float32))
    assert order(0, **labels).shape == (16,)
    assert (order(0, **labels) == order(0, **labels)).all() and (
        order(0, **labels) != order(1, **labels)
    ).all()
    assert order(0) is None  # a test sample, which draws nothing, takes no random number either
