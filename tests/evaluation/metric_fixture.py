# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Data samples for every metric, as MMEngine's Evaluator passes them: plain dicts."""

import math

import numpy as np
import torch
from mmpose.registry import METRICS
from mupots_fixture import perfect_predictions

import wsp_mm.register  # noqa: F401


def build(name, **options):
    return METRICS.build(dict(type=name, **options))


def evaluate(samples, name, size=None, **options):
    """Figures of a metric over samples in batches of three."""
    metric = build(name, **options)
    for start in range(0, len(samples), 3):
        metric.process({}, samples[start : start + 3])
    return metric.evaluate(len(samples) if size is None else size)


def logged(monkeypatch, module):
    """Lines that a module of metrics writes to the log from now on, as (text, level)."""
    lines = []
    monkeypatch.setattr(
        f'wsp_mm.evaluation.metrics.{module}.print_log',
        lambda text, logger, level=None: lines.append((text, level)),
    )
    return lines


def pair_sample(number, probs, label, gap=0.2, visible=None, weight=1.0):
    """One pair of K = 3 joints, for RelativeDepthMetric."""
    probs = torch.tensor(probs, dtype=torch.float32)
    return dict(
        id=number,
        dataset_name='mcpc',
        img_path=f'{number}.jpg',
        pred_instances=dict(depth_probs=probs[None], pair_probs=probs.mean()[None]),
        gt_instances=dict(
            depth_label=np.array([label]),
            depth_weight=np.array([weight]),
            pair_gap=np.array([gap]),
            pair_visible=np.ones((1, 2, 3)) if visible is None else np.array(visible)[None],
        ),
    )


def pair_samples(count=7):
    rng = np.random.default_rng(0)
    samples = []
    for i in range(count):
        gap, visible = rng.random() * 0.6, rng.integers(0, 2, (2, 3))
        gap = math.nan if i == 1 else gap
        samples.append(pair_sample(i, rng.random(3), int(rng.integers(2)), gap, visible))
    return samples


def same(found, expected):
    assert found.keys() == expected.keys()
    np.testing.assert_array_equal([found[key] for key in expected], list(expected.values()))


def pck_sample(number, shift, visible):
    """Persons 100 and 50 px tall; every joint is predicted ``shift`` px off."""
    gt = np.arange(12, dtype=np.float64).reshape(1, 2, 3, 2) * 10
    return dict(
        id=number,
        dataset_name='mcpc',
        pred_instances=dict(keypoints=gt + np.array([shift, 0])),
        gt_instances=dict(
            pair_keypoints=gt,
            pair_visible=np.array(visible)[None],
            pair_bboxes=np.array([[[0.0, 10, 40, 110], [20, 20, 40, 70]]]),
        ),
    )


def pck_samples():
    return [
        pck_sample(1, 3, [[1, 1, 0], [1, 0, 0]]),  # all within 0.1 of the heights
        pck_sample(2, 8, [[1, 1, 1], [1, 1, 0]]),  # within 0.1 of A's 100 px, not of B's 50
        pck_sample(3, 20, [[1, 0, 0], [1, 1, 1]]),  # none
    ]


def pose_samples(count=7, k=18):
    rng = np.random.default_rng(0)
    gt = rng.normal(0, 300, (count, k, 3)) + np.array([0, 0, 5000])
    pred = torch.from_numpy(gt + rng.normal(0, 50, gt.shape))
    return [
        dict(
            id=i,
            dataset_name='h36m',
            img_path=f's_09_act_14/{i}.jpg',  # the path names another action
            action=('Walking', 'Eating', 'Photo')[i % 3],
            pred_instances=dict(keypoints_cam=pred[i : i + 1]),
            gt_instances=dict(keypoints_cam=gt[i : i + 1]),
        )
        for i in range(count)
    ]


def mupots_samples(truth, noise=100.0):
    """A sample a person, the network's 21 joints; some persons are not found."""
    rng = np.random.default_rng(0)
    samples = []
    for key, (flat, deep) in perfect_predictions(truth).items():
        for person in range(len(flat)):
            if key == 'TS2_img_000002' or (key == 'TS1_img_000003' and person):
                continue
            joints = deep[person] + rng.normal(0, noise, (17, 3))
            extra = rng.normal(0, 1e4, (4, 3))  # hands and toes
            sample = dict(id=len(samples), dataset_name='mupots', frame_key=key, det_idx=person)
            sample['pred_instances'] = dict(
                keypoints=np.concatenate([flat[person], extra[:, :2]])[None],
                keypoints_cam=torch.from_numpy(np.concatenate([joints, extra])[None]),
                root_cam=torch.from_numpy(joints[None, 14] / 1.1),
                bbox_scores=np.array([rng.random()]),
            )
            samples.append(sample)
    return samples


def root_sample(number, root, gt=None, **meta):
    """A root, and the ground truth of 21 joints whose pelvis is ``gt``."""
    sample = dict(id=number, dataset_name='muco', img_path=f'{number}.jpg', **meta)
    sample['pred_instances'] = dict(root_cam=torch.tensor(np.array([root], float)))
    if gt is not None:
        sample['gt_instances'] = dict(keypoints_cam=np.tile(np.array(gt, float), (1, 21, 1)))
    return sample


def root_samples(count=7):
    rng = np.random.default_rng(0)
    gt = rng.normal((0, 0, 4000), 300, (count, 3))
    pred = gt + rng.normal(0, 100, gt.shape)
    k = np.float32(gt[:, 2:] + 100)
    return [root_sample(i, pred[i], gt[i], root_k=k[i]) for i in range(count)]


def cases(root, truth):
    """Name -> metric, its options and its samples; ``root`` holds the MuPoTS-3D of ``truth``."""
    mupots = dict(data_root=str(root))
    ap = dict(ann_file='mupots/MuPoTS-3D.json', data_root=str(root))
    return {
        'rd': ('RelativeDepthMetric', {}, pair_samples()),
        'pck': ('PairPCKMetric', {}, pck_samples()),
        'h36m': ('MPJPEMetric3D', {}, pose_samples()),
        'mupots': ('MuPoTS3DPCK', mupots, mupots_samples(truth)),
        'root': ('RootDepthMetric', {}, root_samples()),
        'ap': ('RootDepthMetric', ap, mupots_samples(truth)),
    }
