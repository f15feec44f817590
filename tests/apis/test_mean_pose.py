# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpose.registry import DATASETS

from wsp_mm.apis.mean_pose import load_truth, mean_pose_reference
from wsp_mm.datasets.pose3d import Pose3DDataset
from wsp_mm.evaluation.functional import pose3d_scores
from wsp_mm.structures.keypoints import pose_metainfo


@pytest.fixture(autouse=True)
def tiny_poses():
    """A registered 3D data set whose poses are random numbers of a seed."""

    @DATASETS.register_module(name='TinyPoses', force=True)
    class TinyPoses(Pose3DDataset):
        METAINFO = dict(pose_metainfo('h36m18'), dataset_name='tiny')

        def __init__(self, seed, count, joint_set='h36m18', action='Walking', **kwargs):
            self.seed, self.count, self.action = seed, count, action
            super().__init__('h36m18', joint_set, 'tiny', **kwargs)

        def load_data_list(self):
            return np.arange(self.count)

        def load_row(self, row):
            rng = np.random.default_rng([self.seed, row])
            joints = rng.normal(0, 300, (18, 3)) + np.array([0, 0, 5000 + 100 * row])
            camera = dict(f=(1000, 1000), c=(500, 500))
            return dict(joints=joints, **camera, box=np.zeros(4), action=self.action, id=row)

    with DefaultScope.overwrite_default_scope('mmpose'):
        yield TinyPoses
    DATASETS.module_dict.pop('TinyPoses')


def make_config(train, test):
    """Mixed with a 2D data set, which counts for nothing, in a wrapper with a pipeline that is
    never built.
    """
    mixed = dict(type='Mixed', datasets=[train, dict(type='MpiiDataset', ann_file='none.json')])
    mixed['pipeline'] = [dict(type='LoadImage')]
    return Config(dict(train_dataloader=dict(dataset=mixed), test_dataloader=dict(dataset=test)))


def test_the_mean_is_over_the_training_samples_in_the_camera_frame(tiny_poses):
    train = dict(type='TinyPoses', seed=1, count=7, pipeline=[dict(type='NoSuchTransform')])
    config = make_config(train, dict(type='TinyPoses', seed=2, count=5, action='Photo'))
    scores = mean_pose_reference(config)

    def poses(seed, count):
        dataset = tiny_poses(seed, count, pipeline=[])
        return np.array([dataset.load_row(i)['joints'] for i in range(count)])

    seen, gt = poses(1, 7), poses(2, 5)
    mean = np.mean([pose - pose[0] for pose in seen], axis=0)
    expected = pose3d_scores(mean + gt[:, :1], gt, actions=['Photo'] * 5)
    assert scores.pop('h36m/n_train') == 7
    assert scores == pytest.approx(
        {f'h36m/{k}': v for k, v in expected.items()}, rel=1e-5, nan_ok=True
    )
    assert scores['h36m/MPJPE_action_Photo'] > 100


def test_several_data_sets_count_together():
    config = [
        dict(type='TinyPoses', seed=1, count=3),
        dict(type='TinyPoses', seed=2, count=4, action=None),
    ]
    poses, actions, joint_set = load_truth(config)
    assert poses.shape == (7, 18, 3) and joint_set == 'h36m18'
    assert actions == ['Walking'] * 3 + [None] * 4


def test_without_3d_data_or_with_different_joints():
    tiny = dict(type='TinyPoses', seed=1, count=3)
    with pytest.raises(ValueError, match=r'one joint set is needed .* has \[\]'):
        load_truth(dict(type='MpiiDataset'))
    with pytest.raises(ValueError, match=r"\['h36m17', 'h36m18'\]"):
        load_truth([tiny, dict(tiny, joint_set='h36m17')])
    with pytest.raises(ValueError, match='trained on h36m18, tested on h36m17'):
        mean_pose_reference(make_config(tiny, dict(tiny, joint_set='h36m17')))
