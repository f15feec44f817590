# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest
from metric_fixture import build, cases, evaluate, root_sample, root_samples

from wsp_mm.evaluation.functional.root_depth import ap_root, mrpe

NAME = 'RootDepthMetric'


def test_mrpe_and_the_prior():
    samples = root_samples()
    pred = np.concatenate([s['pred_instances']['root_cam'] for s in samples])
    gt = np.concatenate([s['gt_instances']['keypoints_cam'][:, 14] for s in samples])
    expected = {f'root/{key}': value for key, value in mrpe(pred, gt).items()}
    expected |= {'root/prior_z': pytest.approx(100, abs=1e-3), 'root/n': 7}
    assert evaluate(samples, NAME) == pytest.approx(expected)


def test_order_of_persons():
    """In image 1 the network has one pair of three wrong, the prior all; image 2 has one person."""
    rows = [(1, 4100, 4000, 6000), (1, 3900, 5000, 5000), (1, 6000, 6000, 4000), (2, 9, 9, 9)]
    samples = [
        root_sample(i, [0, 0, pred], [0, 0, gt], img_id=image, root_k=k)
        for i, (image, pred, gt, k) in enumerate(rows)
    ]
    scores = evaluate(samples, NAME)
    assert scores['root/n_order'] == 3 and scores['root/prior_order'] == 0
    assert scores['root/order'] == pytest.approx(200 / 3)
    del samples[0]['img_id']
    assert 'root/order' not in evaluate(samples, NAME)


def test_ap_loads_the_ground_truth_itself(mupots_world, mupots_gt):
    """Frames without a sample count, those without a valid person do not."""
    _, options, samples = cases(*mupots_world)['ap']
    scores = evaluate(samples, NAME, **options)
    frames = []
    for frame in mupots_gt.frames:
        there = [s['pred_instances'] for s in samples if s['frame_key'] == frame.key]
        found = dict(pred=[p['root_cam'][0].numpy() for p in there])
        found['scores'] = [p['bbox_scores'][0] for p in there]
        frames.append(dict(found, gt=frame.keypoints_cam[:, 14]))
    assert scores == {f'root/{key}': value for key, value in ap_root(frames).items()}
    assert scores['root/n_roots'] == 14 and 0 < scores['root/AP_root'] < scores['root/recall'] < 100
    assert evaluate(samples[::-1], NAME, **options) == scores
    # with labelled boxes there is MRPE, too
    for sample in samples:
        gt = sample['pred_instances']['root_cam'][0].numpy() + np.array([3, 0, 4])
        sample['gt_instances'] = root_sample(0, gt, gt)['gt_instances']
    both = evaluate(samples, NAME, **options)
    assert both['root/MRPE'] == pytest.approx(5) and scores.items() <= both.items()
    del samples[2]['gt_instances']
    assert evaluate(samples, NAME, **options) == scores


def test_what_is_refused():
    with pytest.raises(KeyError, match='gt_instances'):
        evaluate([root_sample(0, [0, 0, 1])], NAME)
    for kwargs in (dict(sequences_dir='x'), dict(threshold_mm=0)):
        with pytest.raises(ValueError, match=next(iter(kwargs))):
            build(NAME, **kwargs)
