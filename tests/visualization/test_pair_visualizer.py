# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import cv2
import numpy as np
import pytest
from mmengine.structures import InstanceData
from mmpose.engine.hooks import PoseVisualizationHook
from mmpose.registry import VISUALIZERS
from mmpose.structures import PoseDataSample

from wsp_mm.structures.keypoints import pose_metainfo
from wsp_mm.visualization.pair_sheet import PERSON_COLORS, RIGHT, WRONG
from wsp_mm.visualization.pair_visualizer import PairLocalVisualizer, draw_pair_sample, is_pair

BOXES = np.array([[20.0, 20, 80, 150], [120, 30, 180, 160]])


def pair_sample(path='a.jpg', prob=0.9, label=1.0, weight=1.0, **truth):
    keypoints = np.stack([np.linspace(box[:2] + 5, box[2:] - 5, 16) for box in BOXES])
    return PoseDataSample(
        metainfo=dict(img_path=str(path), ori_shape=(200, 220), dataset_name='mcpc'),
        gt_instances=InstanceData(
            bboxes=np.array([[20.0, 20, 180, 160]]),
            pair_bboxes=BOXES[None],
            **{'depth_label': np.array([label]), 'depth_weight': np.array([weight]), **truth},
        ),
        pred_instances=InstanceData(
            keypoints=keypoints[None],
            keypoint_scores=np.ones((1, 2, 16)),
            keypoints_visible=np.ones((1, 2, 16)),
            depth_probs=np.full((1, 16), prob),
            pair_probs=np.array([prob]),
            bboxes=np.array([[20.0, 20, 180, 160]]),
        ),
    )


def single_sample(path='a.jpg'):
    keypoints = np.linspace(BOXES[0, :2] + 5, BOXES[0, 2:] - 5, 16)[None]
    pred = dict(
        keypoints=keypoints, keypoint_scores=np.ones((1, 16)), keypoints_visible=np.ones((1, 16))
    )
    return PoseDataSample(
        metainfo=dict(img_path=str(path), ori_shape=(200, 220)),
        gt_instances=InstanceData(bboxes=BOXES[:1]),
        pred_instances=InstanceData(bboxes=BOXES[:1], **pred),
    )


def has(picture_bgr, color, slack=25):
    return int((np.abs(picture_bgr.astype(int) - color).max(axis=2) <= slack).sum())


def test_both_persons_and_the_verdict():
    canvas = np.zeros((200, 220, 3), np.uint8)
    right = draw_pair_sample(canvas, pair_sample(), 0.3)[..., ::-1]
    assert all(has(right, color) > 100 for color in PERSON_COLORS)
    for color, box in zip(PERSON_COLORS, BOXES.astype(int), strict=True):
        inside = right[box[1] + 10 : box[3] - 10, box[0] + 10 : box[2] - 10]
        assert has(inside, color) > 50
    assert has(right, RIGHT, 2) > 1000 and not has(right, WRONG, 2)
    wrong = draw_pair_sample(canvas, pair_sample(prob=0.2), 0.3)[..., ::-1]
    assert has(wrong, WRONG, 2) > 1000 and not has(wrong, RIGHT, 2)
    for unknown in (pair_sample(weight=0.0), pair_sample(depth_label=np.array([0.0]), weight=0.0)):
        drawn = draw_pair_sample(canvas, unknown, 0.3)[..., ::-1]
        assert has(drawn, (120, 120, 120), 2) > 1000 and not has(drawn, RIGHT, 2)
    assert not canvas.any()


def test_unsure_joints_are_left_out():
    canvas = np.zeros((200, 220, 3), np.uint8)
    sample = pair_sample()
    full = has(draw_pair_sample(canvas, sample, 0.3)[..., ::-1], PERSON_COLORS[1])
    sample.pred_instances.keypoint_scores[0, 1] = 0.1
    assert 0 < has(draw_pair_sample(canvas, sample, 0.3)[..., ::-1], PERSON_COLORS[1]) < full - 50


@pytest.fixture
def runner(tmp_path):
    """What the hook asks of a runner."""

    class Evaluator:
        dataset_meta = None

    class Runner:
        work_dir, timestamp, test_evaluator = str(tmp_path), 'now', Evaluator()

    from mmpose.datasets.datasets.utils import parse_pose_metainfo

    Evaluator.dataset_meta = parse_pose_metainfo(pose_metainfo('mcpc16'))
    return Runner()


@pytest.mark.parametrize('make', [pair_sample, single_sample])
def test_the_hook_writes_pairs_and_single_persons(tmp_path, runner, make):
    picture = tmp_path / 'a.jpg'
    cv2.imwrite(str(picture), np.zeros((200, 220, 3), np.uint8))
    visualizer = VISUALIZERS.build(
        dict(
            type='PairLocalVisualizer',
            name=f'test-{make.__name__}',
            vis_backends=[dict(type='LocalVisBackend')],
            save_dir=str(tmp_path),
        )
    )
    assert isinstance(visualizer, PairLocalVisualizer) and is_pair(make()) == (make is pair_sample)
    hook = PoseVisualizationHook(enable=True, out_dir=str(tmp_path / 'show'))
    hook._visualizer = visualizer
    hook.after_test_iter(runner, 0, {}, [make(picture), make(picture)])
    files = sorted(path.name for path in (tmp_path / 'show').iterdir())
    assert files == ['a_0.jpg', 'a_1.jpg']
    drawn = cv2.imread(str(tmp_path / 'show' / 'a_0.jpg'))
    assert drawn.shape == (200, 220, 3) and drawn.max() > 100
    if make is pair_sample:
        assert has(drawn, RIGHT) > 1000


def test_the_configurations_use_it(repo):
    from mmengine.config import Config

    cfg = Config.fromfile(
        repo / 'configs' / '_base_' / 'default_runtime.py', import_custom_modules=False
    )
    assert cfg.visualizer.type == 'PairLocalVisualizer'
