# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""mmdet's models as a function from pictures to boxes of persons."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope

from wsp_mm.apis.detection import DetectorError, PersonDetector
from wsp_mm.utils.checkpoint import CheckpointError
from wsp_mm.utils.cli import load_config

_path = Path(__file__).resolve().parents[1] / 'detector_fixture.py'
_spec = importlib.util.spec_from_file_location('detector_fixture', _path)
fixture = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fixture)


@pytest.fixture(scope='module')
def cfg():
    return fixture.small_config()


@pytest.fixture(scope='module')
def weights(cfg, tmp_path_factory):
    path = tmp_path_factory.mktemp('detector') / 'weights.pth'
    meta = dict(dataset_meta=dict(CLASSES=fixture.CLASSES))
    torch.save(dict(meta=meta, state_dict=fixture.draw_weights(cfg)), path)
    return path


@pytest.fixture(scope='module')
def detector(cfg, weights):
    return PersonDetector(cfg, weights, 'cpu', score_thr=0.25)


PICTURES = [(60, 90), (90, 60), (200, 300), (61, 90)]


def test_equals_mmdets_own_inference(cfg, weights, detector):
    """mmdet, picture by picture, the class and threshold picked by hand."""
    from mmdet.apis import inference_detector, init_detector

    with DefaultScope.overwrite_default_scope('mmdet'):
        theirs = init_detector(cfg.copy(), str(weights), palette='random', device='cpu')
        pictures = [fixture.picture(*size, seed=i) for i, size in enumerate(PICTURES)]
        expected = [inference_detector(theirs, p).pred_instances.numpy() for p in pictures]
    found = detector.detect(pictures)
    assert sum(len(scores) for _, scores in found) >= len(pictures)
    for (boxes, scores), other, (height, width) in zip(found, expected, PICTURES, strict=True):
        corners = np.clip(other.bboxes, 0, [width, height, width, height])
        sides = corners[:, 2:] - corners[:, :2]
        keep = (other.labels == 1) & (other.scores >= 0.25) & (sides >= 1).all(axis=1)
        assert 0 < keep.sum() < len(keep), 'the picture must show that something is left out'
        np.testing.assert_allclose(scores, other.scores[keep], atol=1e-5)
        np.testing.assert_allclose(
            boxes, np.concatenate([corners[:, :2], sides], axis=1)[keep], atol=2e-3
        )
        assert (np.diff(scores) <= 0).all() and boxes.dtype == scores.dtype == np.float32


def test_boxes_do_not_depend_on_the_neighbours(cfg, weights, detector):
    pictures = [fixture.picture(*size, seed=i) for i, size in enumerate(PICTURES * 2)]
    together = detector.detect(pictures)
    alone = PersonDetector(cfg, weights, 'cpu', score_thr=0.25, batch_size=1)
    for one, (boxes, scores) in zip(pictures, together, strict=True):
        other_boxes, other_scores = alone.detect([one])[0]
        np.testing.assert_allclose(boxes, other_boxes, atol=2e-3)
        np.testing.assert_allclose(scores, other_scores, atol=1e-5)
    assert detector.detect([]) == []


def test_nobody_is_in_a_strip(detector):
    one, strip = fixture.picture(60, 90), np.zeros((2, 5000, 3), np.uint8)
    found = detector.detect([strip, one, strip.transpose(1, 0, 2)])
    assert [len(boxes) for boxes, _ in found[::2]] == [0, 0] and found[0][0].shape == (0, 4)
    np.testing.assert_array_equal(found[1][0], detector.detect([one])[0][0])


def test_a_threshold_below_the_models_own(cfg, weights, detector):
    """The model's is 0.2: boxes of lower scores come when asked for, and the config stays as it
    was.
    """
    before = cfg.pretty_text
    low = PersonDetector(cfg, weights, 'cpu', score_thr=0.01)
    assert cfg.pretty_text == before
    one = fixture.picture(60, 90)
    scores, few = low.detect([one])[0][1], detector.detect([one])[0][1]
    assert len(scores) > len(few) and scores.min() < 0.2 <= few.min()


def test_the_class_is_chosen_by_name(cfg, weights, detector):
    assert (detector.label, detector.classes) == (1, ('dog', 'Person'))
    assert (
        detector.identity['class_name'] == 'Person'
        and len(detector.identity['checkpoint_sha256']) == 64
    )
    one = fixture.picture(60, 90)
    dog = PersonDetector(cfg, weights, 'cpu', score_thr=0.25, class_name='dog')
    assert dog.label == 0
    assert not np.array_equal(dog.detect([one])[0][1], detector.detect([one])[0][1])
    with pytest.raises(DetectorError, match="no class 'cat'; its 2 are: dog, Person"):
        PersonDetector(cfg, weights, 'cpu', class_name='cat')


@pytest.mark.parametrize(
    ('meta', 'metainfo', 'label'),
    [
        (dict(CLASSES=('person', 'dog')), None, 0),  # mmdet 2
        (dict(), ('dog', 'person'), 1),  # weights alone
        (
            dict(dataset_meta=dict(classes=('person',))),
            ('dog', 'person'),
            1,
        ),  # a checkpoint of another head
        (dict(), None, None),  # CocoDataset's own 80 do not fit
    ],
)
def test_where_the_classes_are_named(tmp_path, weights, meta, metainfo, label):
    cfg = fixture.small_config()
    cfg.test_dataloader.dataset.metainfo = dict(classes=metainfo) if metainfo else None
    torch.save(dict(meta=meta, state_dict=torch.load(weights)['state_dict']), tmp_path / 'w.pth')
    if label is None:
        with pytest.raises(DetectorError, match='the 2 classes'):
            PersonDetector(cfg, tmp_path / 'w.pth', 'cpu')
    else:
        assert PersonDetector(cfg, tmp_path / 'w.pth', 'cpu').label == label


def test_the_scope_of_the_process_stays(cfg, weights):
    from mmengine.registry import init_default_scope

    init_default_scope('mmpose')
    PersonDetector(cfg, weights, 'cpu').detect([fixture.picture(60, 90)])
    assert DefaultScope.get_current_instance().scope_name == 'mmpose'


def test_checkpoints_that_do_not_fit(cfg, weights, tmp_path):
    state = torch.load(weights)['state_dict']
    path = tmp_path / 'w.pth'
    torch.save(dict(state_dict={k: v for k, v in state.items() if 'rtm_reg' not in k}), path)
    with pytest.raises(
        CheckpointError, match=r'w\.pth is not of .*: \d+ weights are missing, such as bbox_head'
    ):
        PersonDetector(cfg, path, 'cpu')
    torch.save(
        dict(state_dict=fixture.draw_weights(fixture.small_config(('a', 'b', 'person')))), path
    )
    with pytest.raises(CheckpointError, match='size mismatch'):
        PersonDetector(cfg, path, 'cpu')
    torch.save(dict(nothing=1), path)
    with pytest.raises(CheckpointError, match='no `state_dict`'):
        PersonDetector(cfg, path, 'cpu')
    with pytest.raises(FileNotFoundError, match='nowhere'):
        PersonDetector(cfg, tmp_path / 'nowhere.pth', 'cpu')


def test_a_hostile_checkpoint_is_not_executed(cfg, tmp_path):
    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'owned'),)

    torch.save(dict(state_dict=dict(), meta=Hostile()), tmp_path / 'h.pth')
    with pytest.raises(CheckpointError, match='--trust-checkpoint'):
        PersonDetector(cfg, tmp_path / 'h.pth', 'cpu')
    assert not (tmp_path / 'owned').exists()


def test_wrong_configurations_and_pictures(repo, weights, detector):
    for name, message in [
        ('posenet_muco_r18', 'of MMPose'),
        ('_base_/default_runtime', "no detector's"),
    ]:
        with pytest.raises(DetectorError, match=message):
            PersonDetector(repo / 'configs' / f'{name}.py', weights, 'cpu')
    with pytest.raises(ValueError, match='score_thr'):
        PersonDetector(
            repo / 'configs' / 'quickstart' / 'rtmdet_tiny_person.py', weights, 'cpu', score_thr=1.0
        )
    for bad in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)):
        with pytest.raises(ValueError, match='picture 1'):
            detector.detect([fixture.picture(9, 9), bad])


def test_two_stages(repo, tmp_path):
    """Faster R-CNN, whose threshold lies deeper and whose inputs have any size; a smaller one."""
    cfg = load_config(repo / 'configs' / 'detectors' / 'faster-rcnn_r50_person.py')
    cfg.model.backbone.update(depth=18, init_cfg=None)
    cfg.model.neck.update(in_channels=[64, 128, 256, 512], out_channels=32)
    cfg.model.rpn_head.update(in_channels=32, feat_channels=32)
    cfg.model.roi_head.bbox_roi_extractor.out_channels = 32
    cfg.model.roi_head.bbox_head.update(in_channels=32, fc_out_channels=32)
    for step in cfg.test_dataloader.dataset.pipeline:
        step.update({key: (128, 96) for key in ('scale',) if key in step})
    state = fixture.draw_weights(cfg)
    for key, value in state.items():  # boxes are the anchors, scores near one half
        if any(layer in key for layer in ('rpn_reg', 'fc_reg', 'fc_cls')):
            value.zero_()
    torch.save(dict(state_dict=state), tmp_path / 'w.pth')
    detector = PersonDetector(cfg, tmp_path / 'w.pth', 'cpu', score_thr=0.01)
    assert detector.classes == ('person',) and detector.model.roi_head.test_cfg.score_thr == 0.01
    pictures = [
        fixture.picture(*size, seed=i) for i, size in enumerate([(60, 90), (90, 60), (60, 90)])
    ]
    found = detector.detect(pictures)
    assert [len(boxes) > 0 for boxes, _ in found] == [True] * 3
    for (boxes, scores), (height, width) in zip(found, [(60, 90), (90, 60), (60, 90)], strict=True):
        assert (boxes[:, :2] >= 0).all() and (boxes[:, :2] + boxes[:, 2:] <= [width, height]).all()
        other = (
            detector.detect([pictures[1]])[0] if (height, width) == (90, 60) else (boxes, scores)
        )
        np.testing.assert_allclose(other[0], boxes, atol=1e-3)
