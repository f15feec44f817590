# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""mmdet's models as a function from images to boxes of persons."""

import numpy as np
import pytest
import torch
from inference_fixture import CLASSES, detector_config, detector_weights, make_image
from mmengine.registry import DefaultScope

from wsp_mm.apis.detector import PersonDetector
from wsp_mm.apis.images import InputError
from wsp_mm.apis.models import read_config
from wsp_mm.utils.checkpoint import CheckpointError

SIZES = [(90, 60), (60, 90), (300, 200), (90, 61)]


@pytest.fixture(scope='module')
def cfg():
    return detector_config()


@pytest.fixture(scope='module')
def weights(cfg, tmp_path_factory):
    path = tmp_path_factory.mktemp('detector') / 'weights.pth'
    meta = dict(dataset_meta=dict(CLASSES=CLASSES))
    torch.save(dict(meta=meta, state_dict=detector_weights(cfg)), path)
    return path


@pytest.fixture(scope='module')
def detector(cfg, weights):
    return PersonDetector(cfg, weights, 'cpu', score_thr=0.25)


@pytest.fixture(scope='module')
def images():
    return [make_image(i, size) for i, size in enumerate(SIZES)]


def test_equals_mmdets_own_inference(cfg, weights, detector, images):
    """mmdet, image by image, the class and threshold picked by hand."""
    from mmdet.apis import inference_detector, init_detector

    with DefaultScope.overwrite_default_scope('mmdet'):
        theirs = init_detector(cfg.copy(), str(weights), palette='random', device='cpu')
        expected = [inference_detector(theirs, i).pred_instances.numpy() for i in images]
    found = detector.detect(images)
    for (boxes, scores), other, size in zip(found, expected, SIZES, strict=True):
        corners = np.clip(other.bboxes, 0, [*size, *size])
        sides = corners[:, 2:] - corners[:, :2]
        keep = (other.labels == 1) & (other.scores >= 0.25) & (sides >= 1).all(axis=1)
        assert 0 < keep.sum() < len(keep), 'the image must show that something is left out'
        np.testing.assert_allclose(scores, other.scores[keep], atol=1e-5)
        theirs = np.concatenate([corners[:, :2], sides], axis=1)[keep]
        np.testing.assert_allclose(boxes, theirs, atol=2e-3)
        assert (np.diff(scores) <= 0).all() and boxes.dtype == scores.dtype == np.float32


def test_boxes_do_not_depend_on_the_neighbours(cfg, weights, detector, images):
    alone = PersonDetector(cfg, weights, 'cpu', score_thr=0.25, batch_size=1)
    strip = np.zeros((2, 5000, 3), np.uint8)  # nobody is in it
    found = detector.detect([strip, *images, *images, strip.transpose(1, 0, 2)])
    assert found[0][0].shape == found[-1][0].shape == (0, 4)
    for image, (boxes, scores) in zip(images * 2, found[1:-1], strict=True):
        ((other_boxes, other_scores),) = alone.detect([image])
        np.testing.assert_allclose(boxes, other_boxes, atol=2e-3)
        np.testing.assert_allclose(scores, other_scores, atol=1e-5)
    assert detector.detect([]) == []


def test_a_threshold_below_the_models_own(cfg, weights, detector, images):
    """The model's is 0.2: boxes of lower scores come when asked for, and the config stays."""
    before = cfg.pretty_text
    lower = PersonDetector(cfg, weights, 'cpu', score_thr=0.01)
    low, few = (np.concatenate([s for _, s in d.detect(images)]) for d in (lower, detector))
    assert DefaultScope.get_current_instance().scope_name == 'mmpose'  # as before
    assert len(low) > len(few) and low.min() < 0.2 <= few.min() and cfg.pretty_text == before


def test_the_class_is_chosen_by_name(cfg, weights, detector, images):
    assert (detector.label, detector.classes) == (1, ('dog', 'Person'))
    assert detector.identity['class_name'] == 'Person'
    assert detector.identity['checkpoint'] == 'weights.pth'
    dog = PersonDetector(cfg, weights, 'cpu', score_thr=0.25, class_name='dog')
    assert not np.array_equal(dog.detect(images)[0][1], detector.detect(images)[0][1])
    with pytest.raises(InputError, match=r'cat.* dog, Person'):
        PersonDetector(cfg, weights, 'cpu', class_name='cat')


@pytest.mark.parametrize(
    ('meta', 'metainfo', 'label'),
    [
        (dict(CLASSES=('person', 'dog')), None, 0),  # mmdet 2
        (dict(), ('dog', 'person'), 1),  # weights alone
        (dict(dataset_meta=dict(classes=('person',))), ('dog', 'person'), 1),  # of another head
        (dict(), None, None),  # CocoDataset's own 80 do not fit
    ],
)
def test_where_the_classes_are_named(tmp_path, weights, meta, metainfo, label):
    cfg = detector_config()
    cfg.test_dataloader.dataset.metainfo = dict(classes=metainfo) if metainfo else None
    torch.save(dict(meta=meta, state_dict=torch.load(weights)['state_dict']), tmp_path / 'w.pth')
    if label is None:
        with pytest.raises(InputError, match='2 classes'):
            PersonDetector(cfg, tmp_path / 'w.pth', 'cpu')
    else:
        assert PersonDetector(cfg, tmp_path / 'w.pth', 'cpu').label == label


def test_checkpoints_that_do_not_fit(cfg, weights, tmp_path):
    state, path = torch.load(weights)['state_dict'], tmp_path / 'w.pth'
    torch.save({k: v for k, v in state.items() if 'rtm_reg' not in k}, path)
    with pytest.raises(CheckpointError, match=r'w\.pth .*bbox_head.rtm_reg'):
        PersonDetector(cfg, path, 'cpu')
    torch.save(detector_weights(detector_config(('a', 'b', 'person'))), path)
    with pytest.raises(CheckpointError, match=r'w\.pth .*rtm_cls'):
        PersonDetector(cfg, path, 'cpu')


def test_wrong_configurations_and_images(repo, cfg, weights, detector, images):
    for name in ('posenet_muco_r18', '_base_/default_runtime'):
        with pytest.raises(InputError, match=name):
            PersonDetector(repo / 'configs' / f'{name}.py', weights, 'cpu')
    with pytest.raises(InputError, match='score_thr'):
        PersonDetector(cfg, weights, 'cpu', score_thr=1.0)
    for bad in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)):
        with pytest.raises(ValueError, match='image 1'):
            detector.detect([images[0], bad])


def test_two_stages(repo, tmp_path, images):
    """Faster R-CNN, whose threshold lies deeper and whose inputs have any size; a smaller one."""
    cfg, *_ = read_config(repo / 'configs/detectors/faster-rcnn_r50_person.py')
    cfg.model.backbone.update(depth=18, init_cfg=None)
    cfg.model.neck.update(in_channels=[64, 128, 256, 512], out_channels=32)
    cfg.model.rpn_head.update(in_channels=32, feat_channels=32)
    cfg.model.roi_head.bbox_roi_extractor.out_channels = 32
    cfg.model.roi_head.bbox_head.update(in_channels=32, fc_out_channels=32)
    for step in cfg.test_dataloader.dataset.pipeline:
        step.update({key: (128, 96) for key in ('scale',) if key in step})
    state = detector_weights(cfg)
    for key, value in state.items():  # boxes are the anchors, scores near one half
        if any(layer in key for layer in ('rpn_reg', 'fc_reg', 'fc_cls')):
            value.zero_()
    torch.save(dict(state_dict=state), tmp_path / 'w.pth')
    detector = PersonDetector(cfg, tmp_path / 'w.pth', 'cpu', score_thr=0.01)
    assert detector.classes == ('person',) and detector.model.roi_head.test_cfg.score_thr == 0.01
    found = detector.detect(images[:2])
    for image, (boxes, scores), size in zip(images, found, SIZES, strict=False):
        assert len(scores) and (boxes[:, :2] >= 0).all()
        assert (boxes[:, :2] + boxes[:, 2:] <= size).all()
        np.testing.assert_allclose(detector.detect([image])[0][0], boxes, atol=1e-3)
