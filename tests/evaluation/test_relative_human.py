# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Predictions of persons, pairs and detections against a small Relative Human."""

import itertools
import json
import math

import numpy as np
import pytest
from relative_human_fixture import annots, save

from wsp_mm.datasets.relative_human_annotations import JOINT_SET, read_relative_human
from wsp_mm.evaluation.functional.pcdr import pcdr
from wsp_mm.evaluation.relative_human import (
    detection_scores,
    file_scores,
    pair_scores,
    person_scores,
    relative_human_summary,
)
from wsp_mm.structures.keypoints import convert_joints

# Layers are 0 1 1 | 1 0 -1 | 0 2 1 | 0 | -1 0: seven pairs, one of them of one layer. Person 8 has
# no joints.
DEPTHS = np.array([3.0, 3.5, 3.6, 4.0, 3.0, 9.0, 5.0, 4.0, 6.0, 1.0, 2.0, 2.0])


@pytest.fixture(scope='module')
def truth(tmp_path_factory):
    return read_relative_human(save(tmp_path_factory.mktemp('rh') / 'test_annots.npz', annots()))


def all_pairs(truth):
    return [
        pair
        for rows in truth.rows()
        for pair in itertools.combinations(rows[truth.layer[rows] >= 0].tolist(), 2)
    ]


def test_given_persons_by_hand(truth):
    scores = person_scores(truth, np.arange(12), DEPTHS)
    # Right: (0, 1), (0, 2), (1, 2) equal, (3, 4); of (6, 7, 8) the last is right against the front
    # one alone: 6 (5.0) is before 8 (6.0), 7 (4.0) must be last.
    assert scores['n'] == 7 and scores['PCDR'] == pytest.approx(100 * 5 / 7)
    assert scores['Acc'] == pytest.approx(100 * 4 / 6) and scores['PCDR_equal'] == 100
    assert scores['n_kid'] == 2 and scores['n_baby'] == 1 and scores['n_missed'] == 0
    some = person_scores(truth, np.array([0, 2, 9]), DEPTHS[[0, 2, 9]])
    assert (some['n'], some['PCDR']) == (1, 100)
    assert person_scores(truth, np.arange(12), DEPTHS, threshold_m=0.05)['PCDR_equal'] == 0


def test_pairs_are_scored_whichever_comes_first(truth):
    pairs = np.array(all_pairs(truth))
    probs = np.where(DEPTHS[pairs[:, 0]] < DEPTHS[pairs[:, 1]], 0.75, 0.25)
    scores = pair_scores(truth, pairs, probs)
    assert scores['Acc'] == person_scores(truth, np.arange(12), DEPTHS)['Acc']
    assert scores['n'] == 7 and scores['PCDR'] == pytest.approx(100 * 4 / 7)
    rng = np.random.default_rng(0)
    swap, order = rng.random(7) < 0.5, rng.permutation(7)
    swapped = np.where(swap[:, None], pairs[:, ::-1], pairs)[order]
    assert pair_scores(truth, swapped, np.where(swap, 1 - probs, probs)[order]) == pytest.approx(
        scores, nan_ok=True
    )


def detections(truth, persons, depths=DEPTHS, joint_set='mcpc16'):
    """Perfect joints of some persons, in the reverse order of the file."""
    joints, _ = convert_joints(truth.keypoints, truth.visible, JOINT_SET, joint_set)
    found = {}
    for n, rows in enumerate(truth.rows()):
        chosen = [row for row in rows.tolist()[::-1] if row in persons]
        if chosen:
            found[n] = dict(keypoints=joints[chosen], depths=depths[chosen])
    return found


def test_detected_persons_are_matched_by_their_joints(truth):
    everybody = {*range(12)} - {8}
    scores = detection_scores(truth, detections(truth, everybody), 'mcpc16')
    given = person_scores(truth, np.array(sorted(everybody)), DEPTHS[sorted(everybody)])
    for key, value in given.items():
        assert scores[key] == pytest.approx(value, nan_ok=True), key
    assert (scores['mPCKh'], scores['recall'], scores['precision']) == (100, 100, 100)
    assert (scores['n_persons'], scores['n_missed']) == (11, 0)  # person 8 is not looked for


def test_missed_persons_and_images(truth):
    # Missing: 2, the whole image of 6 and 7, and 10, whose layer is unknown.
    found = detections(truth, {0, 1, 3, 4, 5, 9, 11})
    found[3]['keypoints'] = found[3]['keypoints'] + 500  # 9 is not matched
    scores = detection_scores(truth, found, 'mcpc16')
    assert (scores['n'], scores['n_missed']) == (2, 5)
    assert scores['PCDR'] == pytest.approx(100 * 2 / (2 + 0.3 * 5))
    assert scores['recall'] == pytest.approx(100 * 6 / 11)
    assert scores['precision'] == pytest.approx(100 * 6 / 7)
    nobody = detection_scores(truth, {}, 'mcpc16')
    assert nobody['n_missed'] == 11 and math.isnan(nobody['PCDR']) and nobody['recall'] == 0


# ------------------------------------------------------------------ files
def inference(truth, persons, task='pose3d', joint_set='mcpc16'):
    """What demo/infer.py writes, with perfect joints."""
    frames = []
    for n, there in detections(truth, persons, joint_set=joint_set).items():
        people, depths = [], there['depths']
        for k, joints in enumerate(there['keypoints'].tolist()):
            depth = float(depths[k]) * 1000 if task == 'pose3d' else None
            people.append(dict(id=k, keypoints_img=joints, root_depth=depth))
        frame = dict(frame=n, file_name=f'images/{truth.file_names[n]}', persons=people)
        if task == 'order':
            nearer = np.where(depths[:, None] < depths, 0.75, 0.25)
            frame['order'] = dict(
                ids=list(range(len(people))),
                probability=np.where(np.eye(len(people)), 0.5, nearer).tolist(),
            )
        frames.append(frame)
    return dict(format=2, info=dict(task=task, joint_set=joint_set), frames=frames)


def write(tmp_path, content):
    path = tmp_path / 'inference.json'
    path.write_text(json.dumps(content))
    return path


def test_the_inferencers_json(truth, tmp_path):
    everybody, notes = {*range(12)} - {8}, []
    expected = detection_scores(truth, detections(truth, everybody), 'mcpc16')
    content = inference(truth, everybody)
    assert file_scores(write(tmp_path, content), truth, notes=notes) == pytest.approx(
        expected, nan_ok=True
    )
    assert not notes
    # MuCo's joints have no neck: 13 joints are compared.
    muco = file_scores(write(tmp_path, inference(truth, everybody, joint_set='muco21')), truth)
    assert muco == pytest.approx(expected, nan_ok=True)
    # Somebody without joints, somebody without a depth, another image, an absent one.
    content['frames'][0]['persons'] += [dict(id=9, keypoints_img=None, root_depth=1.0)]
    content['frames'][0]['persons'][0]['root_depth'] = None
    content['frames'][3]['file_name'] = 'other.jpg'
    scores = file_scores(write(tmp_path, content), truth, notes=notes)
    assert (scores['n'], scores['n_missed']) == (3, 2)
    assert len(notes) == 3 and 'other.jpg' in notes[1] and '1 persons' in notes[0]


def test_an_order_in_the_inferencers_json(truth, tmp_path):
    everybody = {*range(12)} - {8}
    scores = file_scores(write(tmp_path, inference(truth, everybody, 'order')), truth)
    metres = detection_scores(truth, detections(truth, everybody), 'mcpc16')
    for key in ('Acc', 'n', 'n_different', 'mPCKh', 'n_missed', 'PCDR_different'):
        assert scores[key] == metres[key]
    assert scores['PCDR_equal'] == 0


def test_dumps(truth, tmp_path):
    path, pairs = tmp_path / 'dump.npz', np.array(all_pairs(truth))
    probs = np.linspace(0.1, 0.9, 7)
    np.savez(path, **{
        'id': np.arange(7), 'gt_instances.pair_ann_ids': pairs, 'pred_instances.pair_probs': probs,
    })  # fmt: skip
    assert file_scores(path, truth) == pytest.approx(pair_scores(truth, pairs, probs), nan_ok=True)
    roots = np.column_stack([DEPTHS * 0, DEPTHS * 0, 1000 * DEPTHS])
    np.savez(path, **{'id': np.arange(12), 'pred_instances.root_cam': roots})
    expected = person_scores(truth, np.arange(12), DEPTHS, 0.3)
    assert file_scores(path, truth, 0.3) == pytest.approx(expected, nan_ok=True)


def test_files_that_are_refused(truth, tmp_path):
    none = inference(truth, {0})
    none['frames'][0]['file_name'] = 'b.jpg'
    twice = inference(truth, {0})
    twice['frames'] *= 2
    for content in ({}, [], dict(info=dict(task='pose3d')), none, twice):
        with pytest.raises(ValueError, match=r'inference\.json'):
            file_scores(write(tmp_path, content), truth)
    np.savez(tmp_path / 'a.npz', id=np.arange(3))
    with pytest.raises(ValueError, match=r'a\.npz'):
        file_scores(tmp_path / 'a.npz', truth)
    np.savez(tmp_path / 'a.npz', **{'id': [12], 'pred_instances.root_cam': np.ones((1, 3))})
    with pytest.raises(ValueError, match='12'):
        file_scores(tmp_path / 'a.npz', truth)
    with pytest.raises(FileNotFoundError):
        file_scores(tmp_path / 'nothing.npz', truth)


def test_the_table_has_all_groups(truth):
    text = relative_human_summary(person_scores(truth, np.arange(12), DEPTHS))
    assert all(word in text for word in ('adult', 'teenager', 'kid', 'baby', '71.43', 'n_missed'))
    assert 'mPCKh' not in text
    assert 'mPCKh 100' in relative_human_summary(
        detection_scores(truth, detections(truth, {0, 1}), 'mcpc16')
    )
    assert pcdr([])['n'] == 0
