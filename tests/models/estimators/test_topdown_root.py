# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

import wsp_mm.codecs.root_depth
import wsp_mm.models.estimators.topdown_root
import wsp_mm.models.heads.root_depth_head  # noqa: F401  (register what is built)
from wsp_mm.structures.camera import PinholeCamera

CENTRE, SCALE = np.array([300.0, 200.0], np.float32), np.array([160.0, 160.0], np.float32)
CAMERA = dict(camera_f=[1000.0, 900.0], camera_c=[320.0, 240.0], root_k=np.float32([4500.0]))


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='TopdownRootEstimator',
            data_preprocessor=dict(type='PoseDataPreprocessor'),
            backbone=dict(type='ResNet', depth=18),
            head=dict(
                type='RootDepthHead',
                in_channels=512,
                heatmap_size=(16, 16),
                deconv_out_channels=(8, 8, 8),
                logit_scale=30.0,
                decoder=dict(type='RootDepthLabel', input_size=(64, 64), heatmap_size=(16, 16)),
            ),
        )
    )
    for layer in (0, 3, 6):  # untrained, they would hardly see anything
        torch.nn.init.normal_(model.head.deconv_layers[layer].weight, std=0.3)
    torch.nn.init.normal_(model.head.final_layer.weight, std=0.1)
    torch.nn.init.normal_(model.head.gamma_layer.weight, std=0.01)
    return model.eval()


def predict(model, **meta):
    inputs = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    sample = PoseDataSample(
        metainfo=dict(
            input_size=(64, 64),
            input_center=CENTRE,
            input_scale=SCALE,
            img_path='picture.jpg',
            **meta,
        )
    )
    sample.gt_instances = InstanceData(bboxes=np.zeros((1, 4)), bbox_scores=np.ones(1))
    with torch.no_grad():
        return inputs, model(inputs, [sample], mode='predict')[0].pred_instances


def test_three_frames(model):
    inputs, pred = predict(model, **CAMERA)
    with torch.no_grad():
        cells, gamma = (value.numpy() for value in model(inputs, None, mode='tensor'))
    assert abs(gamma[0] - 1) > 1e-4
    pixels = cells[0] * 160 / 16 + CENTRE - SCALE / 2  # 10 px a cell from the box's corner
    np.testing.assert_allclose(pred.keypoints, pixels[None, None], rtol=1e-5)
    np.testing.assert_allclose(pred.root_depth, 4500 * gamma, rtol=1e-5)
    camera = PinholeCamera(f=np.array([1000.0, 900.0]), c=np.array([320.0, 240.0]))
    np.testing.assert_allclose(camera.project(pred.root_cam)[0, :2], pixels, rtol=1e-4)
    assert pred.root_cam[0, 2] == pred.root_depth[0] and pred.root_cam.dtype == np.float32


@pytest.mark.parametrize('gone', ['camera_f', 'camera_c'])
def test_a_camera_is_never_invented(model, gone):
    _, pred = predict(model, **{key: value for key, value in CAMERA.items() if key != gone})
    assert 'root_cam' not in pred and 'root_depth' in pred
    _, pred = predict(model)
    assert 'root_cam' not in pred and 'root_depth' not in pred and len(pred.root_gamma) == 1
    _, pred = predict(model, **CAMERA, flip=True)
    assert 'root_cam' not in pred


def test_a_camera_that_is_none(model):
    with pytest.raises(ValueError, match=r'picture\.jpg: focal lengths'):
        predict(model, **dict(CAMERA, camera_f=[0.0, 1.0]))
