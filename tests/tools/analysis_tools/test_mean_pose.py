# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest
from mmengine.config import Config
from mmpose.registry import DATASETS

from wsp_mm.datasets.pose3d import Pose3DDataset
from wsp_mm.evaluation.functional import pose3d_scores
from wsp_mm.structures.keypoints import pose_metainfo


@pytest.fixture
def tool(load_tool):
    return load_tool('analysis_tools/mean_pose')


@pytest.fixture(autouse=True)
def tiny_poses():
    """A registered 3D data set whose poses are random numbers of a seed."""

    @DATASETS.register_module(name='TinyPoses', force=True)
    class TinyPoses(Pose3DDataset):
        SOURCE_SET = 'h36m18'
        METAINFO = dict(pose_metainfo('h36m18'), dataset_name='tiny')

        def __init__(self, seed, count, joint_set='h36m18', action='Walking', **kwargs):
            self.seed, self.count, self.action = seed, count, action
            super().__init__(joint_set, **kwargs)

        def load_data_list(self):
            return np.arange(self.count)

        def load_row(self, row):
            rng = np.random.default_rng([self.seed, row])
            joints = rng.normal(0, 300, (18, 3)) + np.array([0, 0, 5000 + 100 * row])
            camera = dict(f=(1000, 1000), c=(500, 500))
            return dict(joints=joints, **camera, box=np.zeros(4), action=self.action, id=row)

    yield TinyPoses
    DATASETS.module_dict.pop('TinyPoses')


def tiny(seed, count, **more):
    return dict(type='TinyPoses', seed=seed, count=count, **more)


def make_config(train, test):
    """Mixed with a 2D data set, which counts for nothing, in a wrapper with a pipeline that is
    never built.
    """
    mixed = dict(type='Mixed', datasets=[train, dict(type='MpiiDataset', ann_file='none.json')])
    mixed['pipeline'] = [dict(type='LoadImage')]
    return Config(dict(train_dataloader=dict(dataset=mixed), test_dataloader=dict(dataset=test)))


def test_the_mean_is_over_the_training_samples_in_the_camera_frame(tiny_poses, tool):
    train = tiny(1, 7, pipeline=[dict(type='NoSuchTransform')])
    scores = tool.mean_pose_scores(make_config(train, tiny(2, 5, action='Photo')))

    def poses(seed, count):
        dataset = tiny_poses(seed, count, pipeline=[])
        return np.array([dataset.load_row(i)['joints'] for i in range(count)])

    seen, gt = poses(1, 7), poses(2, 5)
    mean = np.mean([pose - pose[0] for pose in seen], axis=0)
    expected = pose3d_scores(mean + gt[:, :1], gt, actions=['Photo'] * 5)
    assert scores.pop('h36m/n_train') == 7
    expected = {f'h36m/{key}': value for key, value in expected.items()}
    assert scores == pytest.approx(expected, rel=1e-5, nan_ok=True)
    assert scores['h36m/MPJPE_action_Photo'] > 100


def test_several_data_sets_count_together(tool):
    poses, actions, joint_set = tool.load_poses([tiny(1, 3), tiny(2, 4, action=None)])
    assert poses.shape == (7, 18, 3) and joint_set == 'h36m18'
    assert actions == ['Walking'] * 3 + [None] * 4


def test_different_joints_are_refused(tool):
    h36m17 = tiny(1, 3, joint_set='h36m17')
    with pytest.raises(ValueError, match=r"\['h36m17', 'h36m18'\]"):
        tool.load_poses([tiny(1, 3), h36m17])
    with pytest.raises(ValueError, match='trained on h36m18, tested on h36m17'):
        tool.mean_pose_scores(make_config(tiny(1, 3), h36m17))


def test_without_data_is_a_message(tmp_path, tool, capsys):
    config = tmp_path / 'config.py'
    loader = 'dict(dataset=dict(type="MpiiDataset"))'
    config.write_text(f'train_dataloader = {loader}\ntest_dataloader = {loader}\n')
    assert tool.main([str(config)]) == 1
    assert 'one joint set is needed' in capsys.readouterr().err
