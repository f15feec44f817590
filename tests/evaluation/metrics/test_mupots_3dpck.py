# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import importlib.util
import json
import logging
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from mmpose.registry import METRICS
from scipy.io import loadmat

from wsp_mm.evaluation.metrics.mupots_3dpck import MuPoTS3DPCK
from wsp_mm.evaluation.mupots_files import load_predictions
from wsp_mm.evaluation.mupots_scores import mupots_scores, without_details
from wsp_mm.structures.mupots import read_mupots


def make_samples(truth, perfect, noise=100.0):
    """A sample a person, as MMEngine's Evaluator passes it: the network's 21 joints; some persons
    not found.
    """
    rng = np.random.default_rng(0)
    samples = []
    for key in truth:
        flat, deep = perfect[key]
        for person in range(len(flat)):
            if key == 'TS2_img_000002' or (key == 'TS1_img_000003' and person):
                continue
            extra_2d, extra_3d = (
                rng.normal(0, 1e4, (4, 2)),
                rng.normal(0, 1e4, (4, 3)),
            )  # hands and toes
            joints = deep[person] + rng.normal(0, noise, (17, 3))
            samples.append(
                dict(
                    id=len(samples),
                    dataset_name='mupots',
                    img_path=f'{key}.jpg',
                    frame_key=key,
                    det_idx=person,
                    pred_instances=dict(
                        keypoints=np.concatenate([flat[person], extra_2d])[None],
                        keypoints_cam=torch.from_numpy(np.concatenate([joints, extra_3d])[None]),
                    ),
                )
            )
    return samples


@pytest.fixture
def samples(mupots_world, mupots):
    return make_samples(mupots_world[1], mupots.perfect_predictions(mupots_world[1]))


def build(root, **kwargs):
    return METRICS.build(dict(type='MuPoTS3DPCK', data_root=str(root), **kwargs))


def evaluate(samples, root, size=None, **kwargs):
    metric = build(root, **kwargs)
    for start in range(0, len(samples), 3):
        metric.process({}, samples[start : start + 3])
    return metric.evaluate(len(samples) if size is None else size)


def expected(samples, root):
    predictions = {}
    for sample in sorted(samples, key=lambda sample: sample['det_idx']):
        pred = sample['pred_instances']
        flat, deep = predictions.setdefault(sample['frame_key'], ([], []))
        flat.append(np.asarray(pred['keypoints'])[0, :17])
        deep.append(np.asarray(pred['keypoints_cam'])[0, :17])
    predictions = {key: tuple(map(np.array, pair)) for key, pair in predictions.items()}
    truth = read_mupots(root / 'mupots/MuPoTS-3D.json', root / 'mupots/MultiPersonTestSet')
    return predictions, mupots_scores(truth.frames, predictions)


def same(found, wanted):
    assert found.keys() == wanted.keys()
    np.testing.assert_array_equal(list(found.values()), [wanted[key] for key in found])


def test_equals_the_scores_of_its_predictions(samples, mupots_world):
    root, _ = mupots_world
    metrics = evaluate(samples, root)
    same(
        metrics,
        {
            f'mupots/{key}': value
            for key, value in without_details(expected(samples, root)[1]).items()
        },
    )
    assert 0 < metrics['mupots/PCK_All'] < metrics['mupots/PCK_Matched'] < 100
    # TS2: one of two frames found; TS1: 5 of 6 persons. Frames that made no sample count.
    assert metrics['mupots/n_persons'] == 14 and metrics['mupots/n_matched'] == 11
    assert metrics['mupots/n_frames'] == 10 and metrics['mupots/n_frames_without_predictions'] == 1


def test_perfect(mupots_world, mupots):
    root, truth = mupots_world
    samples = make_samples(truth, mupots.perfect_predictions(truth), noise=0)
    metrics = evaluate(samples, root)
    assert metrics['mupots/PCK_Matched'] == metrics['mupots/abs_PCK_Matched_100'] == 100
    assert metrics['mupots/AUC_Matched'] == pytest.approx(96.774, abs=1e-3)
    assert metrics['mupots/PCK_All_TS2'] == pytest.approx(50)


def test_no_detection_at_all(mupots_world, tmp_path):
    root, truth = mupots_world
    metrics = evaluate([], root, size=0, dump_dir=str(tmp_path))
    assert metrics['mupots/PCK_All'] == metrics['mupots/AUC_All'] == 0
    assert math.isnan(metrics['mupots/PCK_Matched']) and metrics['mupots/n_undefined_Matched'] == 3
    assert metrics['mupots/n_persons'] == 14 and metrics['mupots/n_predictions'] == 0
    written = load_predictions(
        tmp_path / 'preds_2d_kpt_mupots.mat', tmp_path / 'preds_3d_kpt_mupots.mat'
    )
    assert set(written) == set(truth) and not any(len(flat) for flat, _ in written.values())


def test_dump_holds_every_frame_and_17_joints(samples, mupots_world, tmp_path):
    root, truth = mupots_world
    metrics = evaluate(samples, root, dump_dir=str(tmp_path / 'dump'))
    for dim in (2, 3):
        content = loadmat(tmp_path / 'dump' / f'preds_{dim}d_kpt_mupots.mat')
        assert {key for key in content if not key.startswith('__')} == set(truth)
        assert content['TS2_img_000002'].shape == (0, 17, dim)
        assert content['TS1_img_000003'].shape == (1, 17, dim) and content[
            'TS10_img_000000'
        ].shape == (
            2,
            17,
            dim,
        )
    predictions = load_predictions(
        *(tmp_path / 'dump' / f'preds_{dim}d_kpt_mupots.mat' for dim in (2, 3))
    )
    frames = read_mupots(root / 'mupots/MuPoTS-3D.json', root / 'mupots/MultiPersonTestSet').frames
    scores = mupots_scores(frames, predictions)
    assert all(
        scores[key.removeprefix('mupots/')] == value
        for key, value in metrics.items()
        if value == value
    )


def test_the_order_of_samples_does_not_matter_but_that_of_det_idx_does(mupots_world, mupots):
    """Two predictions that suit the first person equally well: the one with the lower number is
    taken.
    """
    root, truth = mupots_world
    good, bad = make_samples(truth, mupots.perfect_predictions(truth), noise=0)[:2]
    bad['pred_instances'] = dict(
        good['pred_instances'], keypoints_cam=-good['pred_instances']['keypoints_cam'].numpy()
    )
    first = evaluate([good, bad], root)
    same(evaluate([bad, good], root), first)
    good['det_idx'], bad['det_idx'] = 5, 2
    second = evaluate([good, bad], root)
    assert first['mupots/PCK_All_TS1'] == pytest.approx(100 / 6)
    assert second['mupots/PCK_All_TS1'] < 10


def test_repeated_samples_count_once(samples, mupots_world):
    root, _ = mupots_world
    same(evaluate([*samples, *samples[:4]], root), evaluate(samples, root))


def test_truth_of_the_json_says_so(samples, mupots_world, monkeypatch):
    root, _ = mupots_world
    lines = []
    monkeypatch.setattr(
        'wsp_mm.evaluation.metrics.mupots_3dpck.print_log',
        lambda text, logger, level=logging.INFO: lines.append((level, text)),
    )
    evaluate(samples, root)
    table, *warnings = lines
    assert (
        'ground truth of annot.mat' in table[1] and 'Table 7' in table[1] and 'absolute' in table[1]
    )
    assert [level for level, _ in warnings] == [logging.WARNING]
    assert '3 sequences instead of 20' in warnings[0][1]
    lines.clear()
    metrics = evaluate(
        samples, root, sequences_dir=None, show_tables=False, absolute=False, prefix='mine'
    )
    assert not any('Table' in text for _, text in lines)
    assert any('not scaled to the universal height' in text for _, text in lines)
    assert 'mine/PCK_All' in metrics and not any('abs_' in key for key in metrics)
    lines.clear()
    evaluate([s for s in samples if not s['frame_key'].startswith('TS2_')], root)
    assert any(level == logging.WARNING and 'Matched: TS2:' in text for level, text in lines)


def test_other_joint_sets_and_thresholds(samples, mupots_world):
    root, _ = mupots_world
    for sample in samples:
        pred = sample['pred_instances']
        sample['pred_instances'] = {key: value[:, :17] for key, value in pred.items()}
    metrics = evaluate(samples, root, joint_set='mupots17', thresholds_mm=(50,))
    assert metrics['mupots/PCK_All'] == pytest.approx(
        evaluate(samples, root, joint_set='mupots17')['mupots/PCK_All']
    )
    assert 'mupots/PCK_All_50' in metrics and 'mupots/PCK_All_100' not in metrics
    with pytest.raises(KeyError, match='unknown joint set'):
        MuPoTS3DPCK(joint_set='muco')
    with pytest.raises(ValueError, match='h36m18 lacks head'):
        MuPoTS3DPCK(joint_set='h36m18')


def test_bad_samples_are_named(samples, mupots_world, tmp_path):
    root, _ = mupots_world
    one = samples[0]
    pred = one['pred_instances']
    for name in ('id', 'frame_key', 'det_idx'):
        with pytest.raises(KeyError, match=name):
            evaluate([{key: value for key, value in one.items() if key != name}], root)
    with pytest.raises(
        ValueError, match=r"frame 'TS3_img_000000', which is none of the 10 of .*MuPoTS-3D\.json"
    ):
        evaluate([dict(one, frame_key='TS3_img_000000')], root)
    with pytest.raises(
        ValueError, match=r'prediction 0 of TS1_img_000000, one of them with the id 1: det_idx'
    ):
        evaluate([one, dict(samples[1], det_idx=0)], root)
    with pytest.raises(ValueError, match='carry the id 0'):
        evaluate([one, dict(samples[1], id=0)], root)
    with pytest.raises(KeyError, match='prediction of sample 0 has no keypoints_cam'):
        evaluate([dict(one, pred_instances=dict(keypoints=pred['keypoints']))], root)
    with pytest.raises(
        ValueError, match=r'keypoints of sample 0 must be \(1, 21, 2\) for muco21, got \(1, 17, 2\)'
    ):
        evaluate([dict(one, pred_instances=dict(pred, keypoints=np.zeros((1, 17, 2))))], root)
    with pytest.raises(ValueError, match='not finite: has the training diverged'):
        evaluate(
            [dict(one, pred_instances=dict(pred, keypoints_cam=np.full((1, 21, 3), np.nan)))], root
        )
    with pytest.raises(ValueError, match=r'MuPoTS-3D\.json: there is no such file'):
        evaluate([one], tmp_path)


TWO_PROCESSES = """
import importlib.util, json, sys
from pathlib import Path
import torch.distributed as dist
from mmengine.dataset import DefaultSampler

def load(path):
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

tests, world = load(sys.argv[1]), load(sys.argv[2])
root = Path('world')
dist.init_process_group('gloo')
if dist.get_rank() == 0:
    world.write_mupots(root)
dist.barrier()
truth = world.write_mupots(Path(f'truth_{dist.get_rank()}'))
every = tests.make_samples(truth, world.perfect_predictions(truth))
for name, samples in (('all', every), ('one', every[:1])):
    for round_up in (False, True):
        metric = tests.build(root, dump_dir=f'dump_{name}_{round_up}')
        mine = list(DefaultSampler(samples, shuffle=False, round_up=round_up))
        for start in range(0, len(mine), 2):
            metric.process({}, [samples[index] for index in mine[start : start + 2]])
        metrics = metric.evaluate(len(samples))
        if dist.get_rank() == 0:
            Path(f'{name}_{round_up}.json').write_text(json.dumps(metrics))
dist.barrier()
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_report_what_one_does(two_ranks, tmp_path, samples, mupots_world):
    """Seventeen samples on two ranks, and one (a rank has none), with and without repetition to
    even it out.
    """
    assert len(samples) % 2
    two_ranks(TWO_PROCESSES, __file__, Path(__file__).parents[1] / 'mupots_fixture.py')
    for name, some in (('all', samples), ('one', samples[:1])):
        for round_up in (False, True):
            alone = evaluate(some, mupots_world[0], dump_dir=str(tmp_path / 'alone'))
            same(json.loads((tmp_path / f'{name}_{round_up}.json').read_text()), alone)
            for dim in (2, 3):
                one, two = (
                    loadmat(tmp_path / folder / f'preds_{dim}d_kpt_mupots.mat')
                    for folder in ('alone', f'dump_{name}_{round_up}')
                )
                assert one.keys() == two.keys()
                assert all(
                    np.array_equal(one[key], two[key]) for key in one if not key.startswith('__')
                )


@pytest.mark.parametrize('round_up', [False, True])
def test_results_of_two_ranks_put_together(samples, mupots_world, round_up):
    """As MMEngine's collect_results does it: interleaved, and cut to the number of samples."""
    from itertools import zip_longest

    root, _ = mupots_world
    count = len(samples)
    ranks = [list(range(rank, count, 2)) for rank in range(2)]
    if round_up:
        ranks[1].append(0)
    parts = []
    for mine in ranks:
        metric = build(root)
        metric.process({}, [samples[i] for i in mine])
        assert len(metric.results) == len(mine)
        parts.append(metric.results)
    together = [r for group in zip_longest(*parts) for r in group if r is not None][:count]
    found = build(root, show_tables=False).compute_metrics(together)
    same({f'mupots/{key}': value for key, value in found.items()}, evaluate(samples, root))


def test_registered_where_configs_look():
    assert importlib.util.find_spec('wsp_mm.evaluation.metrics.mupots_3dpck') is not None
    assert METRICS.get('MuPoTS3DPCK') is MuPoTS3DPCK
