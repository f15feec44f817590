# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest
from metric_fixture import build, evaluate, pose_samples

from wsp_mm.evaluation.predictions import load_dump

NAME = 'DumpPredictions'


def test_fields_of_all_samples_become_plain_arrays(tmp_path):
    samples = pose_samples(5)
    for i, sample in enumerate(samples):
        sample['pred_instances']['labels'] = np.zeros((1, 2, 0))
        sample['gt_fields'] = dict(heatmaps=np.zeros((1, 64, 64)))
        sample['camera_f'] = (1000.0 + i, 1000.0)
        sample['ragged'] = np.zeros(i)
        sample['transform'] = object()
    del samples[2]['action']
    out = tmp_path / 'new' / 'p.npz'
    assert evaluate(samples, NAME, out_file=str(out)) == {}
    dump = load_dump(out)
    assert sorted(dump) == [
        'camera_f', 'dataset_name', 'gt_instances.count', 'gt_instances.keypoints_cam', 'id',
        'img_path', 'pred_instances.count', 'pred_instances.keypoints_cam', 'pred_instances.labels',
    ]  # fmt: skip
    assert dump['id'].tolist() == list(range(5)) and dump['camera_f'].shape == (5, 2)
    assert dump['img_path'][3] == samples[3]['img_path']
    expected = np.concatenate([s['pred_instances']['keypoints_cam'] for s in samples])
    np.testing.assert_array_equal(dump['pred_instances.keypoints_cam'], expected)


def test_several_instances_a_sample_and_no_sample(tmp_path):
    """As a detector has them: what belongs to whom is in the counts."""
    boxes = [np.full((n, 4), n, dtype=np.float32) for n in (2, 0, 3)]
    samples = [dict(id=i, pred_instances=dict(bboxes=b)) for i, b in enumerate(boxes)]
    out = str(tmp_path / 'p.npz')
    evaluate(samples, NAME, out_file=out)
    dump = load_dump(out)
    assert dump['pred_instances.count'].tolist() == [2, 0, 3]
    np.testing.assert_array_equal(dump['pred_instances.bboxes'], np.concatenate(boxes))
    evaluate([], NAME, size=0, out_file=out)
    assert len(load_dump(out)['id']) == 0


def test_another_ending_is_refused():
    with pytest.raises(ValueError, match=r'p\.pkl'):
        build(NAME, out_file='p.pkl')
