# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json
import math

import numpy as np
import pytest

from wsp_mm.evaluation.controls import control_row, control_table, load_pairs, load_probs, sign_test
from wsp_mm.evaluation.predictions import flatten_sample, save_dump
from wsp_mm.structures.keypoints import get_joint_set

K = 16
WORLD = get_joint_set('world')


def person(ann_id, box, labelled=range(K)):
    keypoints = np.zeros((K, 3))
    keypoints[list(labelled)] = (1, 1, 2)
    return dict(
        id=ann_id, image_id=1, bbox=box, keypoints=keypoints.ravel().tolist(), source='coco',
        source_id=100 + ann_id, scale_source='head',
    )  # fmt: skip


def save_gt(folder, split, ids, depths):
    points = np.zeros((len(ids), len(WORLD), 3))
    points[..., 2] = np.array(depths)[:, None]
    folder.mkdir(exist_ok=True)
    np.savez(folder / f'coco_{split}.npz', source_ids=np.array(ids), keypoints_cam=points)


@pytest.fixture
def world(tmp_path):
    """Three persons: 1 is nearest, 2 in the middle (stands on a step, so its feet look farther than
    3's).
    """
    middle = person(2, [20, 10, 10, 40], labelled=range(10)) | dict(scale_source='bbox')
    persons = [person(1, [0, 0, 10, 100]), middle, person(3, [40, 10, 10, 60])]
    pairs = [
        dict(id=0, image_id=1, ann_a=1, ann_b=2, label=1, scale_gap=0.6),
        dict(id=1, image_id=1, ann_a=2, ann_b=3, label=0, scale_gap=0.05),
        dict(id=2, image_id=1, ann_a=3, ann_b=1, label=0, scale_gap=0.4),
    ]
    mcpc = dict(images=[dict(id=1)], annotations=persons, pairs=pairs)
    (tmp_path / 'mcpc_test.json').write_text(json.dumps(mcpc))
    save_gt(tmp_path / 'ground_truth', 'val', [101, 102, 103], [2000.0, 3000, 4000])
    # The same ids in the training split are other people and must not be taken.
    save_gt(tmp_path / 'ground_truth', 'train', [101, 102, 103], [4000.0, 3000, 2000])
    return tmp_path


@pytest.fixture
def table(world):
    return load_pairs(world / 'mcpc_test.json', world / 'ground_truth')


def test_pairs_and_true_depth(table):
    assert table.labelled.sum(axis=1).tolist() == [10, 10, 16]
    # only 1 and 3 have heads; the pair of 2 and 3 alone has a gap of at most 0.1
    assert table.stand_in.tolist() == [True, True, False]
    shares = table.stand_in_shares()
    assert shares == pytest.approx({'stand_in': 200 / 3, 'stand_in_gap0.1': 100})
    assert table.depth[0, :, 0].tolist() == [2000, 3000]
    assert table.nearer.tolist() == [True, True, False]
    assert table.nearer_joints[2].tolist() == [False] * K


def test_rules_by_hand(table):
    # Heights 100, 40, 60: difference over the larger one, squashed by d / (1 + |d|).
    expected = [0.5 + 0.3 / 1.6, 0.5 - (1 / 6) / (4 / 3), 0.5 - 0.2 / 1.4]
    assert table.rule('taller box') == pytest.approx(expected)
    # Bottoms 100, 50, 70.
    assert (table.rule('lower box bottom') >= 0.5).tolist() == [True, False, False]
    with pytest.raises(KeyError, match='coin'):
        table.rule('coin')


def test_row_by_hand(table):
    # Says "A nearer" for all: right on pair 0 by the label; true depth contradicts pair 1's label.
    row = control_row(table, np.full((3, K), 0.9), np.full(3, 0.9))
    assert row['acc_gap1'] == pytest.approx(100 * 10 / 36)
    assert row['gt_pairs'] == pytest.approx(200 / 3)
    assert row['gt_joints'] == pytest.approx(100 * 20 / 36)
    assert row['n_rule_wrong'] == 1
    assert row['gt_pairs_rule_wrong'] == row['gt_joints_rule_wrong'] == 100
    assert math.isnan(row['auc_gap0.1'])  # one pair, one class


def test_label_row_agrees_with_itself_and_never_with_depth_where_wrong(world, table):
    label = control_table(table, {})['label (perspective rule)']
    assert label['auc_gap1'] == label['acc_gap1'] == 100
    assert label['gt_pairs'] == pytest.approx(200 / 3) and label['gt_pairs_rule_wrong'] == 0
    rows = control_table(load_pairs(world / 'mcpc_test.json'), {})
    assert not any(key.startswith('gt') for row in rows.values() for key in row)


def test_predictions_are_put_in_order(table, tmp_path):
    samples = []
    for i in (2, 0, 1):
        pred = dict(depth_probs=np.full((1, K), i / 10), pair_probs=np.array([i / 10]))
        samples.append(flatten_sample(dict(id=i, pred_instances=pred)))
    save_dump(samples, tmp_path / 'dump.npz')
    joints, pairs = load_probs(tmp_path / 'dump.npz', table)
    assert pairs.tolist() == [0.0, 0.1, 0.2] and joints[2, 3] == 0.2
    save_dump(samples[:2], tmp_path / 'dump.npz')
    with pytest.raises(ValueError, match='lacks 1 pairs'):
        load_probs(tmp_path / 'dump.npz', table)
    np.savez(tmp_path / 'dump.npz', id=np.arange(3))
    with pytest.raises(ValueError, match='depth_probs'):
        load_probs(tmp_path / 'dump.npz', table)


def test_bad_input_is_named(world, tmp_path):
    for content in ({}, []):
        (tmp_path / 'train.json').write_text(json.dumps(content))
        with pytest.raises(ValueError, match=r"train\.json .*'pairs'"):
            load_pairs(tmp_path / 'train.json')
    with pytest.raises(ValueError, match='nowhere'):
        load_pairs(world / 'mcpc_test.json', tmp_path / 'nowhere')
    save_gt(world / 'ground_truth', 'val', [7], [1000.0])
    with pytest.raises(ValueError, match=r"'coco', '101'"):
        load_pairs(world / 'mcpc_test.json', world / 'ground_truth')
    (world / 'ground_truth' / 'coco_val.npz').write_bytes(b'PK\x03\x04')
    with pytest.raises(ValueError, match=r'coco_val\.npz'):
        load_pairs(world / 'mcpc_test.json', world / 'ground_truth')


def test_sign_test_by_hand(world, table):
    right, wrong = np.array([0.9, 0.6, 0.1]), np.array([0.2, 0.7, 0.8])  # A, A, B is nearer
    # Two pairs differ, both in favour of the first: (1/2)^2, on either side.
    assert sign_test(table, right, wrong) == dict(only_one=2, only_other=0, p=0.5)
    assert sign_test(table, wrong, right) == dict(only_one=0, only_other=2, p=0.5)
    assert sign_test(table, right, right) == dict(only_one=0, only_other=0, p=1.0)
    with pytest.raises(ValueError, match='true depth'):
        sign_test(load_pairs(world / 'mcpc_test.json'), right, wrong)
