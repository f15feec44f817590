# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import cv2
import numpy as np
import pytest
from mmengine.structures import InstanceData
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.engine.hooks import PoseVisualizationHook
from mmpose.registry import VISUALIZERS
from mmpose.structures import PoseDataSample

from wsp_mm.structures.keypoints import pose_metainfo
from wsp_mm.visualization.draw import PAIR_COLORS, RIGHT, UNKNOWN, WRONG
from wsp_mm.visualization.visualizer import PairLocalVisualizer, draw_pair_sample

BOXES = np.array([[20.0, 20, 80, 150], [120, 30, 180, 160]])
CANVAS = np.zeros((200, 220, 3), np.uint8)


def pair_sample(path='a.jpg', prob=0.9, weight=1.0):
    joints = np.stack([np.linspace(box[:2] + 5, box[2:] - 5, 16) for box in BOXES])[None]
    pair = dict(pair_bboxes=BOXES[None], depth_label=np.ones(1), depth_weight=np.array([weight]))
    scores = dict(keypoint_scores=np.ones((1, 2, 16)), pair_probs=np.array([prob]))
    return PoseDataSample(
        metainfo=dict(img_path=str(path), ori_shape=(200, 220), dataset_name='mcpc'),
        gt_instances=InstanceData(bboxes=np.array([[20.0, 20, 180, 160]]), **pair),
        pred_instances=InstanceData(keypoints=joints, **scores),
    )


def single_sample(path='a.jpg'):
    joints, ones = np.linspace(BOXES[0, :2] + 5, BOXES[0, 2:] - 5, 16)[None], np.ones((1, 16))
    return PoseDataSample(
        metainfo=dict(img_path=str(path), ori_shape=(200, 220)),
        gt_instances=InstanceData(bboxes=BOXES[:1]),
        pred_instances=InstanceData(
            bboxes=BOXES[:1], keypoints=joints, keypoint_scores=ones, keypoints_visible=ones
        ),
    )


def test_both_persons_and_the_verdict(find):
    def drawn(**options):
        return draw_pair_sample(CANVAS, pair_sample(**options), 0.3)[..., ::-1]  # to BGR

    for options, verdict in ((dict(), RIGHT), (dict(prob=0.2), WRONG), (dict(weight=0), UNKNOWN)):
        image = drawn(**options)
        for color, box in zip(PAIR_COLORS, BOXES.astype(int), strict=True):
            inside = image[box[1] + 10 : box[3] - 10, box[0] + 10 : box[2] - 10]
            assert len(find(inside, color, 25)) > 50
        for color in (RIGHT, WRONG, UNKNOWN):
            assert (len(find(image, color, 2)) > 1000) == (color is verdict)
    assert not CANVAS.any()


def test_unsure_joints_are_left_out(find):
    sample, counts = pair_sample(), []
    for score in (1.0, 0.1):
        sample.pred_instances.keypoint_scores[0, 1] = score
        drawn = draw_pair_sample(CANVAS, sample, 0.3)[..., ::-1]
        counts.append(len(find(drawn, PAIR_COLORS[1], 25)))
    assert 0 < counts[1] < counts[0] - 50


@pytest.mark.parametrize('make', [pair_sample, single_sample])
def test_the_hook_writes_pairs_and_single_persons(tmp_path, find, make):
    class Evaluator:
        dataset_meta = parse_pose_metainfo(pose_metainfo('mcpc16'))

    class Runner:
        work_dir, timestamp, test_evaluator = str(tmp_path), 'now', Evaluator()

    image = tmp_path / 'a.jpg'
    cv2.imwrite(str(image), CANVAS)
    where = dict(vis_backends=[dict(type='LocalVisBackend')], save_dir=str(tmp_path))
    name = f'test-{make.__name__}'
    visualizer = VISUALIZERS.build(dict(where, type='PairLocalVisualizer', name=name))
    assert isinstance(visualizer, PairLocalVisualizer)
    hook = PoseVisualizationHook(enable=True, out_dir=str(tmp_path / 'show'))
    hook._visualizer = visualizer
    hook.after_test_iter(Runner(), 0, {}, [make(image), make(image)])
    files = sorted(path.name for path in (tmp_path / 'show').iterdir())
    assert files == ['a_0.jpg', 'a_1.jpg']
    drawn = cv2.imread(str(tmp_path / 'show' / 'a_0.jpg'))
    assert drawn.shape == (200, 220, 3) and drawn.max() > 100
    assert (len(find(drawn, RIGHT, 25)) > 1000) == (make is pair_sample)
