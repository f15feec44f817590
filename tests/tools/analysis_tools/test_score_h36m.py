# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample

import wsp_mm.evaluation.metrics.mpjpe_metric_3d  # noqa: F401


@pytest.fixture
def tested(tmp_path):
    """Metrics and dump of one test, as MMEngine's Evaluator makes both."""
    from mmengine.registry import DefaultScope

    rng = np.random.default_rng(3)
    samples = []
    for i in range(6):
        gt = rng.normal(0, 300, (1, 18, 3)) + np.array([0, 0, 5000])
        sample = PoseDataSample(
            metainfo=dict(id=i, img_path=f'{i}.jpg', action=['Photo', 'Sitting'][i % 2])
        )
        sample.gt_instances = InstanceData(keypoints_cam=gt)
        sample.pred_instances = InstanceData(
            keypoints_cam=torch.from_numpy(gt + rng.normal(0, 60, gt.shape))
        )
        samples.append(sample)
    dump = tmp_path / 'dump.pkl'
    with DefaultScope.overwrite_default_scope('mmpose'):
        evaluator = Evaluator(
            [dict(type='MPJPEMetric3D'), dict(type='DumpResults', out_file_path=str(dump))]
        )
    for start in (0, 4):
        evaluator.process(samples[start : start + 4], None)
    return evaluator.evaluate(len(samples)), dump


def test_offline_figures_are_the_tests(tested, tmp_path, load_tool, capsys):
    metrics, dump = tested
    tool = load_tool('analysis_tools/score_h36m')
    npz = tmp_path / 'poses.npz'
    assert tool.main([str(dump), '--out', str(tmp_path / 'a.json'), '--export', str(npz)]) == 0
    assert f'{metrics["h36m/MPJPE_action_Photo"]:.1f}' in capsys.readouterr().out
    assert tool.main([str(npz), '--out', str(tmp_path / 'b.json')]) == 0
    for name in ('a', 'b'):
        found = json.loads((tmp_path / f'{name}.json').read_text())
        assert found.keys() == metrics.keys()
        np.testing.assert_array_equal(
            np.array(list(found.values()), dtype=float), list(metrics.values())
        )


def test_predictions_without_truth(tested, tmp_path, load_tool, capsys):
    _, dump = tested
    tool = load_tool('analysis_tools/score_h36m')
    file = tmp_path / 'pred.json'
    file.write_text(json.dumps(dict(ids=list(range(6)), pred=np.zeros((6, 18, 3)).tolist())))
    assert tool.main([str(file)]) == 1
    assert '--truth' in capsys.readouterr().err
    assert tool.main([str(file), '--truth', str(dump)]) == 0
    assert "Table 5's rows" in capsys.readouterr().out
    assert tool.main([str(tmp_path / 'nothing.pkl')]) == 1
    assert 'nothing.pkl does not exist' in capsys.readouterr().err
    assert tool.main([str(dump), '--joint-set', 'h37m']) == 1
    assert 'unknown joint set' in capsys.readouterr().err
