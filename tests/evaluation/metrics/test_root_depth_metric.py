# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmpose.registry import METRICS

from wsp_mm.evaluation.functional.root_depth import ap_root, mrpe
from wsp_mm.evaluation.metrics.root_depth_metric import RootDepthMetric

ROOT = 14


def make_sample(number, root, gt=None, frame=None, det=0, score=1.0, **meta):
    """A sample as MMEngine's Evaluator passes it: plain dicts."""
    sample = dict(id=number, dataset_name='muco', img_path=f'{number}.jpg', **meta)
    sample['pred_instances'] = dict(
        root_cam=torch.tensor(np.asarray(root, dtype=float)[None]),
        bboxes=np.full((1, 4), float(number)),
        bbox_scores=np.array([score]),
    )
    if gt is not None:
        joints = np.full((1, 21, 3), -1.0)
        joints[0, ROOT] = gt
        sample['gt_instances'] = dict(keypoints_cam=joints)
    if frame is not None:
        sample.update(frame_key=frame, det_idx=det)
    return sample


def evaluate(samples, size=None, **kwargs):
    metric = METRICS.build(dict(type='RootDepthMetric', **kwargs))
    for start in range(0, len(samples), 2):
        metric.process({}, samples[start : start + 2])
    return metric.evaluate(size or len(samples))


def test_mrpe_and_the_prior():
    gt = np.array([[0.0, 0, 3000], [50, 20, 4000], [10, -5, 5000]])
    pred = gt + np.random.default_rng(0).normal(0, 100, gt.shape)
    samples = [
        make_sample(i, pred[i], gt[i], root_k=np.float32([gt[i, 2] + 100])) for i in range(3)
    ]
    expected = {f'root/{key}': value for key, value in mrpe(pred, gt).items()}
    assert evaluate(samples) == pytest.approx({**expected, 'root/prior_z': 100, 'root/n': 3})
    assert evaluate([*samples, *samples[:2]]) == pytest.approx(evaluate(samples))
    with pytest.raises(ValueError, match='carry the id 1'):
        evaluate([samples[0], samples[1], make_sample(1, pred[0], gt[2])])


MUPOTS = ('TS1_img_000000', 'TS1_img_000001', 'TS2_img_000000')


@pytest.fixture
def ann_file(tmp_path):
    """Two persons in the first frame, one of them not valid in the second, one in the third."""
    roots = [
        (0, [0, 0, 3000], 1),
        (0, [900, 0, 5000], 1),
        (1, [0, 0, 3000], 0),
        (2, [0, 0, 4000], 1),
    ]
    images = [
        dict(id=10 + i, file_name=f'{key.split("_")[0]}/img_{key[-6:]}.jpg', width=640, height=480,
             intrinsic=[500, 500, 320, 240])
        for i, key in enumerate(MUPOTS)
    ]  # fmt: skip
    annotations = []
    for i, (image, root, valid) in enumerate(roots):
        cam = np.array(root) + np.random.default_rng(i).normal(0, 100, (17, 3))
        cam[ROOT] = root
        annotations.append(
            dict(
                id=i, image_id=10 + image, is_valid=valid, bbox=[10, 10, 50, 50], keypoints_cam=cam.tolist(),
                keypoints_img=(cam[:, :2] / cam[:, 2:] * 500 + (320, 240)).tolist(), keypoints_vis=[1] * 17,
            )
        )  # fmt: skip
    path = tmp_path / 'MuPoTS-3D.json'
    path.write_text(json.dumps(dict(images=images, annotations=annotations)))
    return path


def detections():
    return [
        make_sample(0, [0, 0, 3100], frame=MUPOTS[0], score=0.9),
        make_sample(1, [900, 0, 6000], frame=MUPOTS[0], det=1, score=0.8),
        make_sample(2, [0, 0, 3000], frame=MUPOTS[1], score=0.95),
        make_sample(3, [900, 0, 5000], frame=MUPOTS[0], det=2, score=0.7),
    ]


def test_ap_loads_the_ground_truth_itself(ann_file):
    """Hit, false, hit of three roots; a frame without a valid person is skipped, the undetected one
    counts.
    """
    scores = evaluate(detections(), ann_file=str(ann_file))
    assert scores == {
        'root/AP_root': pytest.approx(100 * 2 / 3 / 3), 'root/recall': pytest.approx(200 / 3),
        'root/n_roots': 3, 'root/n_detections': 3, 'root/n_frames': 2,
    }  # fmt: skip
    one = ap_root([dict(gt=np.zeros((1, 3)), pred=np.zeros((0, 3)), scores=np.zeros(0))])
    assert one['AP_root'] == 0
    relative = evaluate(detections(), ann_file=ann_file.name, data_root=str(ann_file.parent))
    assert relative == scores


def test_labelled_boxes_give_mrpe_too(ann_file):
    samples = detections()
    for i, sample in enumerate(samples):
        sample['gt_instances'] = make_sample(i, [0, 0, 1], [30 * i, 0, 4000])['gt_instances']
    scores = evaluate(samples, ann_file=str(ann_file))
    gt = np.array([[30.0 * i, 0, 4000] for i in range(4)])
    pred = np.array([sample['pred_instances']['root_cam'][0].numpy() for sample in samples])
    assert scores['root/MRPE'] == pytest.approx(mrpe(pred, gt)['MRPE'])
    assert scores['root/AP_root'] == evaluate(detections(), ann_file=str(ann_file))['root/AP_root']
    without = evaluate(samples, ann_file=str(ann_file), with_mrpe=False)
    assert 'root/MRPE' not in without
    del samples[2]['gt_instances']
    assert evaluate(samples, ann_file=str(ann_file)) == without


def test_order_and_repetition_change_nothing(ann_file):
    samples = detections()
    samples[1]['pred_instances']['bbox_scores'] = np.array([0.9])  # equal to the first's
    scores = evaluate(samples, ann_file=str(ann_file))
    assert evaluate([*samples[::-1], *samples[:2]], ann_file=str(ann_file)) == scores


def test_strange_frames_and_bad_samples(ann_file):
    with pytest.raises(ValueError, match='TS9_img_000000'):
        evaluate([make_sample(0, [0, 0, 1], frame='TS9_img_000000')], ann_file=str(ann_file))
    with pytest.raises(KeyError, match='frame_key and det_idx'):
        evaluate([make_sample(0, [0, 0, 1])], ann_file=str(ann_file))
    with pytest.raises(KeyError, match='gt_instances'):
        evaluate([make_sample(0, [0, 0, 1])])
    with pytest.raises(ValueError, match='not finite: has the training'):
        evaluate([make_sample(0, [0, 0, np.nan], [0, 0, 1])])
    sample = make_sample(0, [0, 0, 1], [0, 0, 1])
    del sample['pred_instances']['root_cam']
    with pytest.raises(KeyError, match='RootDepthPrior'):
        evaluate([sample])
    for kwargs, said in (
        (dict(with_mrpe=False), 'no AP_root'),
        (dict(sequences_dir='x'), 'goes with ann_file'),
        (dict(threshold_mm=0), 'threshold_mm'),
    ):
        with pytest.raises(ValueError, match=said):
            RootDepthMetric(**kwargs)


WORKER = """
import json, sys
sys.path[:0] = [{tests!r}, {repo!r}]
import torch.distributed as dist
from test_root_depth_metric import RootDepthMetric, detections, make_sample
rank, world, ann_file = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
if world > 1:
    dist.init_process_group('gloo', init_method=sys.argv[4], rank=rank, world_size=world)
samples = detections()
for i, sample in enumerate(samples):
    sample['gt_instances'] = make_sample(i, [0, 0, 1], [i, 0, 4000])['gt_instances']
metric = RootDepthMetric(ann_file=ann_file, with_mrpe=True)
metric.process({{}}, samples[rank::world])
scores = metric.evaluate(len(samples))
if rank == 0:
    print('SCORES', json.dumps(scores))
if world > 1:
    dist.destroy_process_group()
"""


@pytest.mark.slow
def test_one_and_two_processes_agree(ann_file, tmp_path):
    here = Path(__file__).resolve()
    script = tmp_path / 'worker.py'
    script.write_text(WORKER.format(tests=str(here.parent), repo=str(here.parents[3])))

    def run(world):
        processes = [
            subprocess.Popen(
                [sys.executable, script, str(rank), str(world), ann_file, f'file://{tmp_path}/rendezvous'],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path, env={**os.environ},
            )
            for rank in range(world)
        ]  # fmt: skip
        texts = [process.communicate(timeout=120)[0] for process in processes]
        assert all(process.returncode == 0 for process in processes), texts
        return json.loads(texts[0].split('SCORES')[1].splitlines()[0])

    one = run(1)
    assert one['root/n'] == 4 and one['root/AP_root'] > 0
    assert run(2) == one
