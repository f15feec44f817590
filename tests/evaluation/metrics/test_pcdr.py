# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest
from metric_fixture import build, evaluate
from relative_human_fixture import annots, save

from wsp_mm.datasets.relative_human_annotations import JOINT_SET, read_relative_human
from wsp_mm.evaluation.relative_human import detection_scores, pair_scores, person_scores
from wsp_mm.structures.keypoints import convert_joints

NAME = 'PCDR'
PAIRS = [(0, 1), (2, 0), (1, 2), (4, 3), (6, 7)]


@pytest.fixture(scope='module')
def file(tmp_path_factory):
    return save(tmp_path_factory.mktemp('rh') / 'test_annots.npz', annots())


def same(found, expected, start=''):
    for key, value in expected.items():
        assert found[f'rh/{start}{key}'] == pytest.approx(value, nan_ok=True), key


def pair_samples(averaged=True):
    rng, samples = np.random.default_rng(0), []
    for n, pair in enumerate(PAIRS):
        pred = dict(pair_probs=rng.random(1), depth_probs=rng.random((1, 16)))
        if averaged:
            pred['pair_probs_averaged'] = rng.random(1)
        gt = dict(pair_ann_ids=np.array([pair]))
        samples.append(dict(id=n, dataset_name='rh', pred_instances=pred, gt_instances=gt))
    return samples


def person_samples(file):
    truth, rng = read_relative_human(file), np.random.default_rng(1)
    joints, _ = convert_joints(truth.keypoints, truth.visible, JOINT_SET, 'muco21')
    samples = []
    for n in range(10):
        cam = rng.normal((0, 0, 4000), 500, (1, 21, 3))
        pred = dict(keypoints_cam=cam, keypoints=joints[n : n + 1])
        samples.append(
            dict(id=n, img_id=int(truth.image[n]), dataset_name='rh', pred_instances=pred)
        )
    return truth, samples


def test_pairs(file):
    samples, truth = pair_samples(), read_relative_human(file)
    found = evaluate(samples, NAME, ann_file=str(file))
    for start, name in (('', 'pair_probs'), ('averaged_', 'pair_probs_averaged')):
        probs = [sample['pred_instances'][name][0] for sample in samples]
        same(found, pair_scores(truth, PAIRS, probs), start)
    assert found == pytest.approx(
        evaluate(samples[::-1] + samples[:2], NAME, ann_file=str(file)), nan_ok=True
    )
    plain = evaluate(pair_samples(False), NAME, ann_file=file.name, data_root=str(file.parent))
    assert not any('averaged' in key for key in plain)


def test_given_persons(file):
    truth, samples = person_samples(file)
    depths = [sample['pred_instances']['keypoints_cam'][0, 14, 2] / 1000 for sample in samples]
    expected = person_scores(truth, np.arange(10), depths)
    same(evaluate(samples, NAME, ann_file=str(file)), expected)
    for sample in samples:
        root = sample['pred_instances'].pop('keypoints_cam')[:, 14]
        sample['pred_instances'] = dict(root_cam=root)
    same(evaluate(samples, NAME, ann_file=str(file)), expected)


def test_detected_persons(file):
    truth, samples = person_samples(file)
    found = evaluate(samples, NAME, ann_file=str(file), detections=True)
    by_image = {}
    for sample in samples:
        there = by_image.setdefault(sample['img_id'], dict(keypoints=[], depths=[]))
        there['keypoints'].append(sample['pred_instances']['keypoints'][0])
        there['depths'].append(sample['pred_instances']['keypoints_cam'][0, 14, 2] / 1000)
    expected = {n: {k: np.array(v) for k, v in there.items()} for n, there in by_image.items()}
    same(found, detection_scores(truth, expected, 'muco21'))
    assert found['rh/n_missed'] == 2  # the last image


def test_nobody_at_all(file):
    metric = build(NAME, ann_file=str(file), detections=True)
    assert metric.compute_metrics([])['n_missed'] == 11


def test_what_is_refused(file):
    with pytest.raises(ValueError, match='threshold_m'):
        build(NAME, ann_file=str(file), threshold_m=0)
    with pytest.raises(KeyError, match='pelvis'):
        build(NAME, ann_file=str(file), joint_set='coco17')
    samples = person_samples(file)[1]
    del samples[0]['id']
    with pytest.raises(KeyError, match='id'):
        evaluate(samples, NAME, ann_file=str(file))
    samples = person_samples(file)[1]
    samples[1]['id'] = 0
    with pytest.raises(KeyError, match='keypoints_cam'):
        evaluate([dict(id=1, pred_instances={}, img_path='x')], NAME, ann_file=str(file))
