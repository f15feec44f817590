# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json
import pickle
from dataclasses import replace

import numpy as np
import pytest

from wsp_mm.evaluation.functional import mpjpe, pose3d_scores
from wsp_mm.evaluation.pose3d_files import PoseTable, load_poses, save_poses


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    gt = rng.normal(0, 300, (5, 18, 3)) + np.array([0, 0, 5000])
    actions = np.array(['Walking', 'Photo', 'Walking', 'Eating', 'Photo'])
    return PoseTable(
        np.array(list('abcde')), gt + rng.normal(0, 50, gt.shape), gt, actions, 'h36m18'
    )


def write_dump(table, file, **changes):
    samples = [
        dict(
            id=name,
            action=str(action),
            pred_instances=dict(keypoints_cam=pred[None]),
            gt_instances=dict(keypoints_cam=gt[None]),
            **changes,
        )
        for name, action, pred, gt in zip(
            table.ids, table.actions, table.pred, table.gt, strict=True
        )
    ]
    file.write_bytes(pickle.dumps(samples))
    return samples


def assert_same(a, b):
    assert a.joint_set == b.joint_set
    for name in ('ids', 'pred', 'gt', 'actions'):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_dump_npz_and_json_hold_the_same(table, tmp_path):
    write_dump(table, tmp_path / 'a.pkl')
    assert_same(load_poses(tmp_path / 'a.pkl'), table)
    save_poses(table, tmp_path / 'sub' / 'a.npz')
    assert_same(load_poses(tmp_path / 'sub' / 'a.npz'), table)
    assert [path.name for path in (tmp_path / 'sub').iterdir()] == ['a.npz']
    plain = {name: getattr(table, name).tolist() for name in ('ids', 'pred', 'gt', 'actions')}
    (tmp_path / 'a.json').write_text(json.dumps(plain))
    assert_same(load_poses(tmp_path / 'a.json'), table)


def test_posenets_json_beside_a_truth_in_another_order(table, tmp_path):
    """17 joints relative to the root, no truth."""
    relative = (table.pred - table.pred[:, :1])[:, :17]
    records = [
        dict(image_id=name, joint_cam=pose.tolist(), bbox=[0, 0, 1, 1], root_cam=[0, 0, 1])
        for name, pose in zip(table.ids.tolist(), relative, strict=True)
    ]
    file = tmp_path / 'bbox_root_pose_human36m_output.json'
    file.write_text(json.dumps(records))
    poses = load_poses(file)
    assert poses.joint_set == 'h36m17'
    with pytest.raises(ValueError, match='--truth'):
        poses.scores()
    order = [3, 1, 0, 4, 2]
    shuffled = PoseTable(
        table.ids[order], table.pred[order], table.gt[order], table.actions[order], table.joint_set
    )
    scores = poses.with_truth(shuffled).scores()
    expected = pose3d_scores(table.pred, table.gt, actions=table.actions.tolist())
    for key in ('MPJPE', 'MPJPE_action_Photo', 'Z_action_mean', 'AxisNorm'):
        assert scores[key] == pytest.approx(expected[key])
    # its ids are those of the pictures, which the truth may number otherwise than its samples
    other = replace(shuffled, ids=np.char.add('9', shuffled.ids), image_ids=shuffled.ids)
    assert poses.with_truth(other).scores() == scores
    save_poses(other, tmp_path / 'truth.npz')
    assert poses.with_truth(load_poses(tmp_path / 'truth.npz')).scores() == scores
    with pytest.raises(ValueError, match='several persons in a picture'):
        poses.with_truth(replace(other, image_ids=np.full(5, '1')))
    # the thorax is missing, so the alignment is over the joints that are there
    assert scores['PA-MPJPE'] == pytest.approx(
        mpjpe(relative, table.gt[:, :17], align='rigid').mean()
    )


def test_samples_that_filled_a_batch_count_once(table, tmp_path):
    samples = write_dump(table, tmp_path / 'a.pkl')
    (tmp_path / 'b.pkl').write_bytes(pickle.dumps([*samples, samples[1], samples[0]]))
    assert_same(load_poses(tmp_path / 'b.pkl'), table)
    (tmp_path / 'c.pkl').write_bytes(pickle.dumps([*samples, dict(samples[1], id='a')]))
    with pytest.raises(ValueError, match=r'c\.pkl: two different samples carry the id a'):
        load_poses(tmp_path / 'c.pkl')


def test_truth_must_be_of_the_same_samples(table):
    poses = replace(table, gt=None, actions=None)
    with pytest.raises(ValueError, match='1 predictions have no truth, the first has the id a'):
        poses.with_truth(PoseTable(table.ids[1:], table.pred[1:], table.gt[1:], None, 'h36m18'))
    fewer = PoseTable(table.ids[1:], table.pred[1:], None, None, 'h36m18')
    with pytest.raises(ValueError, match='1 samples were not predicted, the first has the id a'):
        fewer.with_truth(table)
    with pytest.raises(ValueError, match='no ground truth'):
        table.with_truth(poses)
    with pytest.raises(ValueError, match='18 joints, the truth 17'):
        poses.with_truth(PoseTable(table.ids, table.pred[:, :17], table.gt[:, :17], None, 'h36m17'))


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('a.txt', b'', 'predictions are read from'),
        ('a.pkl', b'\x80\x04', r'a\.pkl cannot be read as a pickle'),
        ('a.pkl', pickle.dumps([1, 2]), r'a\.pkl is no file of 3D predictions'),
        (
            'a.pkl',
            pickle.dumps([dict(id=7, pred_instances={})]),
            r'sample 7 has no pred_instances\.keypoints_cam',
        ),
        ('a.npz', b'', r'a\.npz cannot be read as an npz, it may be truncated'),
        (
            'a.npz',
            b'PK\x03\x04 and no more',
            r'a\.npz cannot be read as an npz, it may be truncated',
        ),
        ('a.json', b'{"ids": [1', r'a\.json is no json, it may be truncated'),
        ('a.json', b'{"ids": [1], "pred": [[1, 2]]}', r'pred must be \(1, K, 3\)'),
        ('a.json', b'{"ids": [1]}', 'holds no predictions'),
        ('a.json', b'{"pred": []}', r"KeyError 'ids'"),
        (
            'a.json',
            b'{"ids": [1], "pred": [[[1, 2, 3]]]}',
            'has 1 joints and does not name its joint set',
        ),
        ('a.json', b'{"ids": [1], "pred": [[[1, 2, 3]]], "actions": []}', '1 ids but 0 actions'),
    ],
)
def test_bad_files_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_poses(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        load_poses(tmp_path / 'nothing.npz')
