# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
from metric_fixture import pose_samples
from scipy.io import loadmat, savemat

from wsp_mm.datasets.annotations import Findings
from wsp_mm.evaluation.functional import mpjpe, pose3d_scores
from wsp_mm.evaluation.predictions import (
    FILE_2D,
    FILE_3D,
    flatten_sample,
    load_dump,
    load_mupots,
    load_poses,
    save_dump,
    save_mupots,
)


@pytest.fixture
def samples():
    named = zip('abcde', pose_samples(5), strict=True)
    return [dict(sample, id=name, img_id=10 + sample['id']) for name, sample in named]


@pytest.fixture
def table(samples, tmp_path):
    save_dump([flatten_sample(sample) for sample in samples], tmp_path / 'table.npz')
    return load_poses(tmp_path / 'table.npz')


def same(a, b):
    for name in ('joint_set', 'ids', 'pred', 'gt', 'actions', 'image_ids'):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_all_formats_hold_the_same(samples, table, tmp_path):
    assert table.joint_set == 'h36m18' and table.ids.tolist() == list('abcde')
    expected = pose3d_scores(table.pred, table.gt, actions=[sample['action'] for sample in samples])
    assert table.scores() == pytest.approx(expected, nan_ok=True)
    names = ('ids', 'pred', 'gt', 'actions', 'image_ids')
    plain = {name: getattr(table, name).tolist() for name in names}
    (tmp_path / 'a.json').write_text(json.dumps(plain))
    same(load_poses(tmp_path / 'a.json'), table)
    np.savez(tmp_path / 'a.npz', **plain)
    same(load_poses(tmp_path / 'a.npz'), table)


def test_a_pickle_is_read_only_where_it_is_trusted(samples, table, tmp_path):
    file = tmp_path / 'a.pkl'
    file.write_bytes(pickle.dumps(samples))
    with pytest.raises(ValueError, match='--trust'):
        load_poses(file)
    same(load_poses(file, trust=True), table)


def test_posenets_json_beside_ground_truth_in_another_order(table, tmp_path):
    """17 joints relative to the root, no ground truth."""
    relative = (table.pred - table.pred[:, :1])[:, :17]
    records = [
        dict(image_id=int(name), joint_cam=pose.tolist(), bbox=[0, 0, 1, 1], root_cam=[0, 0, 1])
        for name, pose in zip(table.image_ids, relative, strict=True)
    ]
    (tmp_path / 'bbox_root_pose_human36m_output.json').write_text(json.dumps(records))
    poses = load_poses(tmp_path / 'bbox_root_pose_human36m_output.json')
    assert poses.joint_set == 'h36m17'
    with pytest.raises(ValueError, match='--gt'):
        poses.scores()
    order = [3, 1, 0, 4, 2]
    rows = {name: getattr(table, name)[order] for name in ('ids', 'pred', 'gt', 'actions')}
    shuffled = replace(table, **rows, image_ids=table.image_ids[order])
    scores, expected = poses.scores(shuffled), table.scores()
    for key in ('MPJPE', 'MPJPE_action_Photo', 'Z_action_mean', 'AxisNorm'):
        assert scores[key] == pytest.approx(expected[key])
    # without the thorax the alignment is over the joints that are there
    aligned = mpjpe(relative, table.gt[:, :17], align='rigid')
    assert scores['PA-MPJPE'] == pytest.approx(aligned.mean())
    with pytest.raises(ValueError, match='several persons'):
        poses.scores(replace(shuffled, image_ids=np.full(5, '1')))


def test_ground_truth_must_be_of_the_same_samples(table):
    fewer = replace(table, ids=table.ids[1:], pred=table.pred[1:], gt=table.gt[1:], actions=None)
    for poses, other in ((table, fewer), (fewer, table)):
        with pytest.raises(ValueError, match='other samples: a'):
            poses.scores(other)
    with pytest.raises(ValueError, match='no ground truth'):
        table.scores(replace(table, gt=None))
    with pytest.raises(ValueError, match='18 joints'):
        table.scores(replace(table, gt=table.gt[:, :17], joint_set='h36m17'))


POSE = [[[1, 2, 3]]]


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('a.txt', b'', 'a.txt'),
        ('a.npz', b'', 'a.npz'),
        ('a.npz', b'PK\x03\x04 and no more', 'a.npz'),
        ('a.json', b'{"ids": [1', 'a.json'),
        ('a.json', dict(ids=[1], pred=[[1, 2]]), 'pred'),
        ('a.json', dict(ids=[1, 2], pred=POSE), 'pred'),
        ('a.json', dict(ids=[1]), 'pred'),
        ('a.json', dict(pred=POSE), 'ids'),
        ('a.json', [dict(image_id=1)], 'joint_cam'),
        ('a.json', dict(ids=[1], pred=POSE), '--joint-set'),
        ('a.json', dict(ids=[1, 1], pred=POSE * 2), 'id 1'),
        ('a.json', dict(ids=[1], pred=POSE, actions=[]), 'actions'),
    ],
)
def test_bad_files_are_named(tmp_path, name, content, message):
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_poses(tmp_path / name)


@pytest.mark.parametrize('content', [b'\x80\x04', pickle.dumps([1, 2]), b'text'])
def test_bad_pickles_are_named(content, tmp_path):
    (tmp_path / 'a.pkl').write_bytes(content)
    with pytest.raises(ValueError, match=r'a\.pkl'):
        load_dump(tmp_path / 'a.pkl', trust=True)


@pytest.fixture
def plain(table, tmp_path):
    """``plain(name, factor, rows)`` writes the table with some poses scaled; gives the file."""

    def odd(name, scale, rows):
        arrays = dict(ids=table.ids, pred=table.pred.copy(), gt=table.gt.copy())
        arrays[name][rows] *= scale
        np.savez(tmp_path / 'plain.npz', **arrays)
        return tmp_path / 'plain.npz'

    return odd


@pytest.mark.parametrize('name', ['pred', 'gt'])
def test_metres_and_huge_values_are_refused(plain, name):
    """Infinity hangs the alignment."""
    with pytest.raises(ValueError, match=r'plain\.npz: sample .*metres\?'):
        load_poses(plain(name, 1e-3, slice(None))).scores()
    for value in (1e300, -2e6, np.inf):
        with pytest.raises(ValueError, match=rf'plain\.npz: sample c: {name}.*1e\+06'):
            load_poses(plain(name, value, [2]))


def test_odd_predictions_stay_and_odd_ground_truth_is_left_out(plain, table):
    findings = Findings()
    scores = load_poses(plain('pred', 1e-3, [1])).scores(findings=findings)
    assert scores['n'] == 5 and scores['MPJPE'] > table.scores()['MPJPE'] + 10
    assert not findings.implausible
    scores = load_poses(plain('gt', 1e-3, [1])).scores(findings=findings)
    expected = pose3d_scores(np.delete(table.pred, 1, 0), np.delete(table.gt, 1, 0))
    assert scores == pytest.approx(expected, nan_ok=True)
    (note,) = findings.implausible_notes()
    assert '1 x' in note and 'plain.npz: sample b' in note


# ---------------------------------------------------------------------- MuPoTS-3D's mat files

KEYS = ['TS2_img_000000', 'TS2_img_000001', 'TS2_img_000002', 'TS10_img_000000']


@pytest.fixture
def predictions():
    rng = np.random.default_rng(0)
    one, three = ((rng.normal(size=(n, 17, 2)), rng.normal(0, 300, (n, 17, 3))) for n in (1, 3))
    return {KEYS[0]: one, KEYS[2]: three}


def test_mats_have_official_names_and_every_frame(tmp_path, predictions):
    files = save_mupots(tmp_path / 'new' / 'folder', KEYS, predictions)
    assert sorted(p.name for p in files[0].parent.iterdir()) == [FILE_2D, FILE_3D]
    found = load_mupots(*files)
    assert list(found) == KEYS
    for side, (file, dim) in enumerate(zip(files, (2, 3), strict=True)):
        content = loadmat(file)
        for key in KEYS:
            expected = predictions[key][side] if key in predictions else np.zeros((0, 17, dim))
            np.testing.assert_array_equal(content[key], expected)
            np.testing.assert_array_equal(found[key][side], expected)


def test_mats_in_another_unit(tmp_path, predictions):
    def load(change, **options):
        wrong = {key: (flat, change(deep)) for key, (flat, deep) in predictions.items()}
        return load_mupots(*save_mupots(tmp_path, KEYS, wrong), **options)

    def relative(deep):
        return deep - deep[:, 14:15]

    with pytest.raises(ValueError, match=r'preds_3d\w+\.mat: TS2_img_00000[02]: .*metres\?'):
        load(lambda deep: deep / 1000)
    load(relative)  # the official figures are relative
    load(lambda deep: deep * np.nan)  # missed joints
    load(lambda deep: relative(deep) + np.array([0, 0, 4000]), camera_space=True)
    with pytest.raises(ValueError, match=r'preds_3d\w+\.mat: TS2.*root-relative\?'):
        load(relative, camera_space=True)
    predictions[KEYS[0]][1][:] /= 1000  # one of four
    assert np.abs(load(lambda deep: deep)[KEYS[0]][1]).max() < 2
    for side in (1, 0):
        predictions[KEYS[2]][side][1, 3, 0] = 1e308
        with pytest.raises(
            ValueError, match=rf'{3 - (not side)}d\w+\.mat: .*2, person 2: .*1e\+06'
        ):
            load(lambda deep: deep)


def test_what_is_wrong_is_not_written(tmp_path, predictions):
    flat, deep = predictions[KEYS[2]]
    for keys, wrong, message in (
        (KEYS[:2], predictions, KEYS[2]),
        (KEYS, {KEYS[2]: (deep, flat)}, r'\(3, 17, 2\)'),
        (KEYS, {KEYS[2]: (flat, deep[:2])}, r'\(3, 17, 3\), got \(2, 17, 3\)'),
    ):
        with pytest.raises(ValueError, match=message):
            save_mupots(tmp_path / 'out', keys, wrong)
    assert not (tmp_path / 'out').exists()


def test_other_peoples_mats(tmp_path):
    one, two = tmp_path / 'a.mat', tmp_path / 'b.mat'
    savemat(one, dict(TS1_img_000000=np.ones((1, 17, 2), np.float32), TS1_img_000001=[]))
    savemat(two, dict(TS1_img_000000=np.ones((1, 17, 3), np.int16), TS1_img_000001=[]))
    found = load_mupots(one, two)
    assert [side.shape for side in found['TS1_img_000000']] == [(1, 17, 2), (1, 17, 3)]
    assert [side.shape for side in found['TS1_img_000001']] == [(0, 17, 2), (0, 17, 3)]


V73 = b'MATLAB 7.3 MAT-file'.ljust(124, b' ') + b'\x00\x02IM' + b'\x00' * 8


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', r'bad\.mat'),
        (b'no mat file at all' * 20, r'bad\.mat'),
        (130, r'bad\.mat'),
        (400, r'bad\.mat'),
        (V73, 'v7'),
        (dict(frame1=np.zeros((1, 17, 2))), "bad.mat: 'frame1'"),
        (dict(TS1_img_000000=np.zeros((1, 14, 2))), r'bad\.mat: TS1_img_000000 .*\(1, 14, 2\)'),
        (dict(TS1_img_000000='text'), 'bad.mat: TS1_img_000000'),
        ({}, r'bad\.mat holds no frame'),
        ({key: np.zeros((0, 17, 2)) for key in KEYS[:3]}, f'{KEYS[3]} .*None'),
        ({key: np.zeros((2, 17, 2)) for key in KEYS}, rf'{KEYS[3]} has \[2, 0\]'),
    ],
)
def test_bad_mats_are_named(content, message, tmp_path, predictions):
    good_2d, good_3d = save_mupots(tmp_path, KEYS, predictions)
    bad = tmp_path / 'bad.mat'
    if isinstance(content, dict):
        savemat(bad, content)
    else:
        cut = good_2d.read_bytes()[:content] if isinstance(content, int) else content
        bad.write_bytes(cut)
    with pytest.raises(ValueError, match=message):
        load_mupots(bad, good_3d)


@pytest.mark.parametrize('load', [load_dump, load_poses, lambda file: load_mupots(file, file)])
def test_files_that_are_not_there(load, tmp_path):
    with pytest.raises(FileNotFoundError, match='nothing'):
        load(tmp_path / 'nothing.npz')
