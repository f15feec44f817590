# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Metric functions, registered metrics, tables and files of predictions, on fixed random inputs."""

import json
from functools import cache

import numpy as np

from tests.golden import adapter, trees
from tests.golden.record import case
from tests.golden.trees import rng

ACTIONS = ('Directions', 'Walking', 'Sitting', 'WalkDog')
FAR = np.array([0, 0, 4500.0])


def _poses(joints: int, count: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and true poses (N, K, 3) mm."""
    draw = rng('poses', joints)
    gt = FAR + draw.normal(0, (150, 350, 120), (count, joints, 3))
    return gt * draw.uniform(0.8, 1.2, (count, 1, 1)) + draw.normal(0, 60, gt.shape), gt


# ---------------------------------------------------------------------- functions


@case('scores')
def poses(scratch):
    f, (pred, gt) = adapter.functional(), _poses(18)
    found = {way: f['mpjpe'](pred, gt, way) for way in ('root', 'rigid', 'similarity', 'none')}
    found['mirrored'] = f['mpjpe'](pred * (-1, 1, 1), gt, align='similarity')
    found['root_3'] = f['mpjpe'](pred, gt, root=3)
    found['axes'] = f['per_axis_error'](pred, gt)
    found['aligned'] = f['align_poses'](pred, gt, scale=True)
    found['mean_pose'] = f['mean_pose'](gt)
    found['mean_pose_predictions'] = f['mean_pose_predictions'](gt, pred)
    actions = [ACTIONS[i % 3] for i in range(len(gt))]
    found['scores'] = f['pose3d_scores'](pred, gt, 'h36m18', actions)
    found['scores_muco'] = f['pose3d_scores'](*_poses(21), 'muco21')
    found['tables'] = adapter.pose_tables(found['scores'])
    return found


@case('scores')
def relative_depth(scratch):
    f, draw = adapter.functional()['relative_depth_scores'], rng('relative')
    label = draw.randint(0, 2, 200)
    prob = np.clip(draw.rand(200) + 0.3 * (label - 0.5), 0, 1).round(1)
    rest = dict(one_class=f(prob, np.ones(200)), none=f([], []))
    return dict(half=f(prob, label), strict=f(prob, label, 0.8), **rest)


@case('scores')
def joints_2d(scratch):
    f, draw = adapter.functional(), rng('pck')
    gt = draw.uniform(0, 200, (10, 16, 2))
    pred = gt + draw.normal(0, 10, gt.shape)
    pred[0, 0] = np.nan
    given = pred, gt, draw.randint(0, 2, (10, 16)), draw.uniform(50, 150, 10)
    return dict(pck=f['pair_pck'](*given), wide=f['pair_pck'](*given, 0.2))


@case('scores')
def roots(scratch):
    f, draw, frames = adapter.functional(), rng('roots'), []
    for count in (2, 3, 0, 1):
        gt = FAR + draw.normal(0, (900, 200, 500), (count, 3))
        pred = [gt + draw.normal(0, 120, gt.shape), FAR + draw.normal(0, 900, (1, 3))]
        scores = draw.rand(count + 1).round(1)
        frames.append(dict(gt=gt, pred=np.concatenate(pred), scores=scores))
    gt, boxes, pixels = frames[1]['gt'], draw.uniform(5, 90, (5, 4)), draw.uniform(0, 120, (6, 2))
    found = dict(mrpe=f['mrpe'](gt + 30, gt), matches=f['match_boxes'](boxes, pixels))
    return found | dict(ap=f['ap_root'](frames), strict=f['ap_root'](frames, 150.0))


@cache
def _mupots() -> dict[int, list[dict]]:
    """Sequence -> frames; some persons are missed, some predictions are far off."""
    found = {}
    for sequence, frame in np.ndindex(3, 9):
        draw = rng('mupots', sequence, frame)
        count = draw.randint(0, 4)
        gt = FAR + draw.normal(0, (90, 250, 90), (count, 17, 3))
        gt += np.arange(count)[:, None, None] * np.array([900, 0, 300])
        pred = gt[draw.permutation(count)[: 3 - frame % 3]] * draw.uniform(0.9, 1.1)
        pred = pred + draw.normal(0, 40 + 20 * (frame % 4), pred.shape)
        flat = [pose[..., :2] / pose[..., 2:] * 900 + (320, 240) for pose in (gt, pred)]
        flat[1] += draw.uniform(-60, 60, (len(pred), 1, 2))  # matching looks within 40 px
        frames = found.setdefault(sequence + 1, [])
        frames.append(dict(gt_2d=flat[0], gt_3d=gt, pred_2d=flat[1], pred_3d=pred))
    return found


@case('scores')
def mupots_functions(scratch):
    f, frames, found = adapter.functional(), _mupots(), {}
    for relative, matched in np.ndindex(2, 2):
        errors = {
            s: f['mupots_errors'](rows, bool(relative), bool(matched)) for s, rows in frames.items()
        }
        name = f'{("absolute", "relative")[relative]}_{("all", "matched")[matched]}'
        found[name] = dict(errors=list(errors.values()), scores=f['mupots_3dpck'](errors))
    found['matches'] = [f['mupots_matches'](rows) for rows in frames.values()]
    errors = {s: f['mupots_errors'](rows) for s, rows in frames.items()}
    hidden = {s: rng('hidden', s).rand(len(rows), 17) < 0.3 for s, rows in errors.items()}
    found['occlusion'] = f['mupots_occlusion_pck'](errors, hidden)
    found['empty'] = f['mupots_3dpck']({1: errors[1], 2: np.zeros((0, 14))}, (100, 150))
    pose = frames[1][1]['gt_3d']
    found['bones'] = f['with_bone_lengths'](pose + rng('bones').normal(0, 50, pose.shape), pose)
    return found


# ---------------------------------------------------------------------- files


def _near(frame, name: str, spread: float) -> np.ndarray:
    """Predictions near a frame's ground truth."""
    given = np.nan_to_num(getattr(frame, name))
    return given + rng('near', frame.key, name).normal(0, spread, given.shape)


@case('scores')
def mupots_files(scratch):
    """Ground truth, predictions through the official mat files, scores and tables."""
    root = trees.data_root(scratch) / 'mupots'
    truth = adapter.mupots_truth(root / 'MuPoTS-3D.json', root / 'MultiPersonTestSet')
    names = (
        'image_id',
        'intrinsic',
        'keypoints_img',
        'keypoints_cam',
        'keypoints_univ',
        'occluded',
    )
    found = {frame.key: {name: getattr(frame, name) for name in names} for frame in truth}
    predictions = {
        frame.key: (_near(frame, 'keypoints_img', 5), _near(frame, 'keypoints_univ', 50))
        for frame in truth[:-1]
    }
    keys = [frame.key for frame in truth]
    found['mats'] = predictions = adapter.mupots_mats(scratch / 'mats', keys, predictions)
    found['scores'] = adapter.mupots_scores(truth, predictions)
    found['tables'] = adapter.mupots_tables(found['scores'])
    truth = adapter.mupots_truth(root / 'MuPoTS-3D.json', None)
    found['scores_of_json'] = adapter.mupots_scores(truth, predictions)
    return found


@case('scores')
def pose_files(scratch):
    """Our npz, and PoseNet's json beside the ground truth of the npz."""
    (pred, gt), count = _poses(18), 12
    ours, posenet = scratch / 'poses.npz', scratch / 'posenet.json'
    ids, image_ids = (np.arange(start, start + count).astype(str) for start in (0, 1000))
    actions = np.array([ACTIONS[i % 4] for i in range(count)])
    more = dict(actions=actions, image_ids=image_ids, joint_set='h36m18')
    np.savez(ours, ids=ids, pred=pred, gt=gt, **more)
    rows = [
        dict(image_id=1000 + i, joint_cam=pred[i, :17].tolist()) for i in reversed(range(count))
    ]
    posenet.write_text(json.dumps(rows))
    return dict(ours=adapter.pose_file(ours), posenet=adapter.pose_file(posenet, ours))


@case('scores')
def controls(scratch):
    """Box rules, label and a network of random answers, with true depth and without."""
    file, folder = trees.data_root(scratch) / 'mcpc/mcpc_test.json', scratch / 'depth'
    folder.mkdir(exist_ok=True)
    people = json.loads(file.read_text())['annotations']
    for source in ('coco', 'mpii'):
        ids = [one['source_id'] for one in people if one['source'] == source]
        shape = len(ids), len(adapter.joint_names('world')), 3
        joints = FAR + rng('depth', source).normal(0, 400, shape)
        np.savez(folder / f'{source}_val.npz', source_ids=ids, keypoints_cam=joints)

    def probs(count):
        return rng('joints').rand(count, 16), rng('pairs').rand(count)

    where = dict(depth=folder, blind=None)
    return {name: adapter.controls(file, place, probs) for name, place in where.items()}


# ---------------------------------------------------------------------- registered metrics


@case('scores')
def metrics_of_pairs(scratch):
    draw, samples = rng('metric'), []
    for i in range(40):
        probs = np.clip(draw.rand(1, 16) * 0.7 + 0.3 * (i % 2), 0, 1)
        pixels = draw.uniform(0, 200, (1, 2, 16, 2))
        found = pixels + draw.normal(0, 12, pixels.shape)
        pred = dict(depth_probs=probs, pair_probs=probs.mean(1), keypoints=found)
        gt = dict(
            depth_label=np.array([i % 2]), depth_weight=np.array([float(i != 7)]),
            pair_gap=np.array([[0.05, 0.2, 0.45, 0.9, np.nan][i % 5]]), pair_keypoints=pixels,
            pair_visible=draw.randint(0, 2, (1, 2, 16)),
            pair_bboxes=np.array([[[10.0, 10, 90, 150], [60, 20, 140, 120]]]),
        )  # fmt: skip
        samples.append(dict(id=i, dataset_name='mcpc', pred_instances=pred, gt_instances=gt))
    samples += samples[:3]  # a last batch that was filled up
    names = dict(order='RelativeDepthMetric', pck='PairPCKMetric')
    return {name: adapter.metric(metric, samples) for name, metric in names.items()}


@case('scores')
def metric_mpjpe(scratch):
    found = {}
    for joint_set in ('h36m18', 'muco21'):
        samples = []
        for i, both in enumerate(zip(*_poses(int(joint_set[-2:])), strict=True)):
            pred, gt = (dict(keypoints_cam=pose[None]) for pose in both)
            meta = dict(id=i, action=ACTIONS[i % 4])
            samples.append(dict(meta, pred_instances=pred, gt_instances=gt))
        found[joint_set] = adapter.metric(
            'MPJPEMetric3D', samples + samples[:2], joint_set=joint_set
        )
    return found


@case('scores')
def metrics_on_mupots(scratch):
    root, samples = trees.data_root(scratch), []
    for frame in adapter.mupots_truth(root / 'mupots/MuPoTS-3D.json', None):
        for n in range(len(frame.occluded)):
            cam, img = (np.zeros((1, 21, dim)) for dim in (3, 2))
            cam[0, :17] = _near(frame, 'keypoints_cam', 60)[n]
            img[0, :17] = _near(frame, 'keypoints_img', 5)[n]
            box = dict(
                bbox_scores=np.array([0.5 + 0.1 * n]), bboxes=np.array([[5.0, 5, 80, 99 + n]])
            )
            pred = dict(keypoints=img, keypoints_cam=cam, root_cam=cam[:, 14], **box)
            gt = dict(keypoints_cam=cam + rng('gt', n).normal(0, 30, cam.shape))
            meta = dict(id=len(samples), frame_key=frame.key, det_idx=n, root_k=np.float32([3500]))
            samples.append(dict(meta, pred_instances=pred, gt_instances=gt))
    json_alone = dict(data_root=str(root), ann_file='mupots/MuPoTS-3D.json')
    files = dict(json_alone, sequences_dir='mupots/MultiPersonTestSet')
    asked = dict(
        pck=('MuPoTS3DPCK', files),
        relative_pck=('MuPoTS3DPCK', dict(json_alone, sequences_dir=None, absolute=False)),
        roots=('RootDepthMetric', dict(joint_set='muco21')),
        ap_root=('RootDepthMetric', dict(files, joint_set='muco21')),
    )
    return {name: adapter.metric(metric, samples, **more) for name, (metric, more) in asked.items()}
