# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json
import math
import pickle

import numpy as np
import pytest

from wsp_mm.evaluation.controls import (
    control_row,
    control_table,
    load_pairs,
    load_predictions,
    sign_test,
)
from wsp_mm.structures.keypoints import get_joint_set

K = 16
WORLD = get_joint_set('world')


def person(ann_id, box, labelled=range(K), source='coco'):
    keypoints = np.zeros((K, 3))
    keypoints[list(labelled)] = (1, 1, 2)
    return dict(
        id=ann_id,
        image_id=1,
        bbox=box,
        keypoints=keypoints.ravel().tolist(),
        source=source,
        source_id=100 + ann_id,
    )


@pytest.fixture
def world(tmp_path):
    """Three persons: 1 is nearest, 2 in the middle (stands on a step, so its feet look farther than
    3's).
    """
    persons = [
        person(1, [0, 0, 10, 100]),
        person(2, [20, 10, 10, 40], labelled=range(10)),
        person(3, [40, 10, 10, 60]),
    ]
    pairs = [
        dict(id=0, image_id=1, ann_a=1, ann_b=2, label=1, scale_gap=0.6),
        dict(id=1, image_id=1, ann_a=2, ann_b=3, label=0, scale_gap=0.05),
        dict(id=2, image_id=1, ann_a=3, ann_b=1, label=0, scale_gap=0.4),
    ]
    (tmp_path / 'mcpc_test.json').write_text(
        json.dumps(dict(images=[dict(id=1)], annotations=persons, pairs=pairs))
    )
    truth = tmp_path / 'truth'
    truth.mkdir()
    points = np.zeros((3, len(WORLD), 3))
    points[..., 2] = np.array([2000.0, 3000.0, 4000.0])[:, None]
    np.savez(
        truth / 'truth_coco_val.npz', source_ids=np.array([101, 102, 103]), keypoints_cam=points
    )
    # The same ids in the training split are other people and must not be taken.
    np.savez(
        truth / 'truth_coco_train.npz',
        source_ids=np.array([101, 102, 103]),
        keypoints_cam=points[::-1],
    )
    return tmp_path


def test_pairs_and_truth(world):
    table = load_pairs(world / 'mcpc_test.json', world / 'truth')
    assert table.labelled.sum(axis=1).tolist() == [10, 10, 16]
    assert table.depth[0, :, 0].tolist() == [2000, 3000]
    assert table.nearer.tolist() == [True, True, False]
    assert table.nearer_joints[2].tolist() == [False] * K


def test_rules_by_hand(world):
    table = load_pairs(world / 'mcpc_test.json')
    # Heights 100, 40, 60: difference over the larger one, squashed by d / (1 + |d|).
    assert table.rule('taller box') == pytest.approx(
        [0.5 + 0.3 / 1.6, 0.5 - (1 / 6) / (4 / 3), 0.5 - 0.2 / 1.4]
    )
    # Bottoms 100, 50, 70.
    assert (table.rule('lower box bottom') >= 0.5).tolist() == [True, False, False]
    with pytest.raises(KeyError, match='unknown rule'):
        table.rule('coin')


def test_row_by_hand(world):
    table = load_pairs(world / 'mcpc_test.json', world / 'truth')
    # Says "A nearer" for all: right on pair 0 by the label; pair 1 contradicts the truth-blind
    # label.
    row = control_row(table, np.full((3, K), 0.9), np.full(3, 0.9))
    assert row['acc_gap1'] == pytest.approx(100 * 10 / 36)
    assert row['truth_pairs'] == pytest.approx(200 / 3)
    assert row['truth_joints'] == pytest.approx(100 * 20 / 36)
    assert row['n_rule_wrong'] == 1
    assert row['truth_pairs_rule_wrong'] == 100 and row['truth_joints_rule_wrong'] == 100
    assert math.isnan(row['auc_gap0.1'])  # one pair, one class


def test_label_row_agrees_with_itself_and_never_with_truth_where_wrong(world):
    rows = control_table(load_pairs(world / 'mcpc_test.json', world / 'truth'), {})
    label = rows['label (perspective rule)']
    assert label['auc_gap1'] == 100 and label['acc_gap1'] == 100
    assert label['truth_pairs'] == pytest.approx(200 / 3) and label['truth_pairs_rule_wrong'] == 0


def test_without_truth_no_truth_columns(world):
    rows = control_table(load_pairs(world / 'mcpc_test.json'), {})
    assert not any(key.startswith('truth') for row in rows.values() for key in row)


def test_predictions_are_put_in_order(world, tmp_path):
    table = load_pairs(world / 'mcpc_test.json')
    samples = [
        dict(
            id=i,
            pred_instances=dict(depth_probs=np.full((1, K), i / 10), pair_probs=np.array([i / 10])),
        )
        for i in (2, 0, 1)
    ]
    dump = tmp_path / 'dump.pkl'
    dump.write_bytes(pickle.dumps(samples))
    joints, pairs = load_predictions(dump, table)
    assert pairs.tolist() == [0.0, 0.1, 0.2] and joints[2, 3] == 0.2
    dump.write_bytes(pickle.dumps(samples[:2]))
    with pytest.raises(ValueError, match='lacks 1 of 3 pairs'):
        load_predictions(dump, table)


def test_bad_input_is_named(world, tmp_path):
    empty = tmp_path / 'train.json'
    empty.write_text(json.dumps(dict(images=[], annotations=[])))
    with pytest.raises(ValueError, match="holds no 'pairs'"):
        load_pairs(empty)
    with pytest.raises(ValueError, match='no truth_SOURCE_SPLIT'):
        load_pairs(world / 'mcpc_test.json', tmp_path / 'nowhere')
    np.savez(
        world / 'truth' / 'truth_coco_val.npz',
        source_ids=np.array([7]),
        keypoints_cam=np.zeros((1, len(WORLD), 3)),
    )
    with pytest.raises(ValueError, match='does not know the person'):
        load_pairs(world / 'mcpc_test.json', world / 'truth')


def test_sign_test_by_hand(world):
    table = load_pairs(world / 'mcpc_test.json', world / 'truth')  # in truth A, A, B is nearer
    right, wrong = np.array([0.9, 0.6, 0.1]), np.array([0.2, 0.7, 0.8])
    # Two pairs differ, both in favour of the first: (1/2)^2, on either side.
    assert sign_test(table, right, wrong) == dict(only_one=2, only_other=0, p=0.5)
    assert sign_test(table, wrong, right) == dict(only_one=0, only_other=2, p=0.5)
    assert sign_test(table, right, right) == dict(only_one=0, only_other=0, p=1.0)
    with pytest.raises(ValueError, match='without true depth'):
        sign_test(load_pairs(world / 'mcpc_test.json'), right, wrong)
