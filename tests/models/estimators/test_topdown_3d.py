# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

import wsp_mm.codecs.integral_3d
import wsp_mm.models.estimators.topdown_3d
import wsp_mm.models.heads.integral_3d_head  # noqa: F401  (register what is built)

K = 4
CELLS = (16, 16, 8)
CENTRE, SCALE = np.array([300.0, 200.0], np.float32), np.array([160.0, 160.0], np.float32)
CAMERA = dict(root_depth=4500.0, camera_f=[1000.0, 900.0], camera_c=[320.0, 240.0])


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmpose'):
        yield


def build(**test_cfg):
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='TopdownPoseEstimator3D',
            data_preprocessor=dict(type='PoseDataPreprocessor'),
            backbone=dict(type='ResNet', depth=18),
            head=dict(
                type='Integral3DHead',
                in_channels=512,
                out_channels=K,
                heatmap_size=CELLS,
                deconv_out_channels=(8, 8, 8),
                deconv_kernel_sizes=(4, 4, 4),
                logit_scale=30.0,
                decoder=dict(type='Integral3DLabel', input_size=(64, 64), heatmap_size=CELLS),
            ),
            test_cfg=test_cfg,
        )
    )
    for layer in (0, 3, 6):  # untrained, they would hardly see anything
        torch.nn.init.normal_(model.head.deconv_layers[layer].weight, std=0.3)
    torch.nn.init.normal_(model.head.final_layer.weight, std=0.1)
    return model.eval()


def make_inputs(**meta):
    inputs = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    sample = PoseDataSample(
        metainfo=dict(
            input_size=(64, 64),
            input_center=CENTRE,
            input_scale=SCALE,
            flip_indices=[1, 0, 2, 3],
            img_path='picture.jpg',
            **meta,
        )
    )
    sample.gt_instances = InstanceData(
        bboxes=np.array([[236, 136, 364, 264]], np.float32), bbox_scores=np.ones(1, np.float32)
    )
    return inputs, [sample]


def predict(model, **meta):
    inputs, samples = make_inputs(**meta)
    with torch.no_grad():
        return model(inputs, samples, mode='predict')[0].pred_instances


def test_three_frames_by_hand():
    model = build()
    pred = predict(model, **CAMERA)
    with torch.no_grad():
        cells = model(make_inputs()[0], None, mode='tensor').numpy()
    np.testing.assert_allclose(pred.keypoints_cells, cells, atol=1e-5)
    assert (
        np.ptp(cells, axis=(0, 1)).min() > 0.2
    )  # the joints are apart, else this would show little
    # PoseNet's way back: cell / cells * box + corner
    u = cells[..., 0] / 16 * 160 + (300 - 80)
    v = cells[..., 1] / 16 * 160 + (200 - 80)
    z = (cells[..., 2] / 8 * 2 - 1) * 1000
    np.testing.assert_allclose(pred.keypoints, np.stack([u, v], -1), rtol=1e-5)
    np.testing.assert_allclose(pred.keypoints_depth, z, atol=1e-3)
    depth = z + 4500
    expected = np.stack([(u - 320) / 1000 * depth, (v - 240) / 900 * depth, depth], -1)
    np.testing.assert_allclose(pred.keypoints_cam, expected, rtol=1e-5)
    assert {
        pred.get(key).dtype
        for key in ('keypoints', 'keypoints_depth', 'keypoints_cells', 'keypoints_cam')
    } == {np.dtype(np.float32)}
    pred.clone()  # MMEngine checks that every field has length 1


@pytest.mark.parametrize(
    'change',
    [
        dict(root_depth=None),
        dict(root_depth=float('nan')),
        dict(root_depth=np.array([np.nan], np.float32)),
        dict(camera_f=None),
        dict(camera_c=None),
        dict(flip=True),
    ],
)
def test_the_camera_frame_is_absent_rather_than_invented(change):
    meta = {key: value for key, value in {**CAMERA, **change}.items() if value is not None}
    pred = predict(build(), **meta)
    assert 'keypoints_cam' not in pred
    assert pred.keypoints.shape == (1, K, 2) and pred.keypoints_depth.shape == (1, K)


def test_arrays_and_lists_serve_alike():
    arrays = dict(
        root_depth=np.array([4500], np.float32),
        camera_f=np.array([1000, 900]),
        camera_c=np.array([320, 240.0]),
    )
    np.testing.assert_array_equal(
        predict(build(), **arrays).keypoints_cam, predict(build(), **CAMERA).keypoints_cam
    )


@pytest.mark.parametrize(
    ('change', 'what'),
    [
        (dict(root_depth=-10.0), r'picture\.jpg: root_depth is -10'),
        (dict(camera_f=[0, 900.0]), r'picture\.jpg: focal'),
    ],
)
def test_a_camera_that_is_none_is_an_error(change, what):
    with pytest.raises(ValueError, match=what):
        predict(build(), **{**CAMERA, **change})


def test_flip_test_runs_through_the_estimator():
    alone, both = predict(build(), **CAMERA), predict(build(flip_test=True), **CAMERA)
    inputs, _ = make_inputs()
    with torch.no_grad():
        mirrored = build()(inputs.flip(-1), None, mode='tensor')[:, [1, 0, 2, 3]].numpy()
    mirrored[..., 0] = 16 - 16 / 64 - mirrored[..., 0]
    np.testing.assert_allclose(
        both.keypoints_cells, (alone.keypoints_cells + mirrored) / 2, atol=1e-5
    )


def test_fewer_joints_on_demand_in_every_frame():
    pred = predict(build(output_keypoint_indices=[2, 0]), **CAMERA)
    full = predict(build(), **CAMERA)
    for key in ('keypoints', 'keypoints_depth', 'keypoints_cells', 'keypoints_cam'):
        np.testing.assert_allclose(pred.get(key), full.get(key)[:, [2, 0]], rtol=1e-5)


@pytest.mark.parametrize(
    ('backbone', 'channels', 'input_size', 'deconvs'),
    [
        (dict(type='ResNet', depth=50), 2048, (64, 96), 1),
        (
            dict(
                type='HRNet',
                in_channels=3,
                extra=dict(
                    stage1=dict(
                        num_modules=1,
                        num_branches=1,
                        block='BOTTLENECK',
                        num_blocks=(1,),
                        num_channels=(8,),
                    ),
                    stage2=dict(
                        num_modules=1,
                        num_branches=2,
                        block='BASIC',
                        num_blocks=(1, 1),
                        num_channels=(8, 16),
                    ),
                    stage3=dict(
                        num_modules=1,
                        num_branches=3,
                        block='BASIC',
                        num_blocks=(1, 1, 1),
                        num_channels=(8, 16, 32),
                    ),
                    stage4=dict(
                        num_modules=1,
                        num_branches=4,
                        block='BASIC',
                        num_blocks=(1, 1, 1, 1),
                        num_channels=(8, 16, 32, 64),
                    ),
                ),
            ),
            8,
            (96, 64),
            0,
        ),
    ],
    ids=['resnet50', 'hrnet'],
)
def test_other_backbones_and_sizes(backbone, channels, input_size, deconvs):
    stride = 16 if deconvs else 4
    cells = (input_size[0] // stride, input_size[1] // stride, 5)
    model = MODELS.build(
        dict(
            type='TopdownPoseEstimator3D',
            backbone=backbone,
            head=dict(
                type='Integral3DHead',
                in_channels=channels,
                out_channels=K,
                heatmap_size=cells,
                deconv_out_channels=(8,) * deconvs,
                deconv_kernel_sizes=(4,) * deconvs,
                decoder=dict(type='Integral3DLabel', input_size=input_size, heatmap_size=cells),
            ),
        )
    ).eval()
    with torch.no_grad():
        found = model(torch.randn(2, 3, input_size[1], input_size[0]), None, mode='tensor')
    assert found.shape == (2, K, 3)
    assert ((found >= 0) & (found <= torch.tensor(cells) - 1)).all()
