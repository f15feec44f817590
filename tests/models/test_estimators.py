# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Predictions in heatmap coordinates, in the image and in the camera's frame."""

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

K, SIZE, FLIP_INDICES = 4, (16, 16, 8), [1, 0, 2, 3]
CENTER, SCALE = np.float32([300, 200]), np.float32([160, 160])
CAMERA = dict(root_depth=4500.0, camera_f=[1000.0, 900.0], camera_c=[320.0, 240.0])
HEADS = dict(
    TopdownPoseEstimator3D=dict(
        type='Integral3DHead',
        out_channels=K,
        decoder=dict(type='Integral3DLabel', input_size=(64, 64), heatmap_size=SIZE),
    ),
    TopdownRootEstimator=dict(
        type='RootDepthHead',
        decoder=dict(type='RootDepthLabel', input_size=(64, 64), heatmap_size=SIZE[:2]),
    ),
)


def build(kind='TopdownPoseEstimator3D', **test_cfg):
    torch.manual_seed(0)
    sizes = dict(in_channels=512, deconv_out_channels=(8, 8, 8), logit_scale=30.0)
    cfg = dict(type=kind, head=dict(HEADS[kind], **sizes), test_cfg=test_cfg)
    cfg['data_preprocessor'] = dict(type='PoseDataPreprocessor')
    model = MODELS.build(dict(cfg, backbone=dict(type='ResNet', depth=18)))
    for name, parameter in model.head.named_parameters():  # untrained, they would hardly see
        if parameter.ndim == 4:
            torch.nn.init.normal_(parameter, std=0.3 if 'deconv' in name else 0.1)
    return model.eval()


def make_inputs():
    return torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def predict(model, **meta):
    crop = dict(input_size=(64, 64), input_center=CENTER, input_scale=SCALE)
    meta = dict(crop, flip_indices=FLIP_INDICES, img_path='image.jpg', **meta)
    sample = PoseDataSample(metainfo=meta)
    sample.gt_instances = InstanceData(bboxes=np.zeros((1, 4)), bbox_scores=np.ones(1))
    with torch.no_grad():
        return model(make_inputs(), [sample], mode='predict')[0].pred_instances


def forward(model, inputs):
    with torch.no_grad():
        return model(inputs, None, mode='tensor')


def to_camera(u, v, z):
    return np.stack([(u - 320) / 1000 * z, (v - 240) / 900 * z, z], axis=-1)


def test_three_frames_by_hand():
    """Here the camera is given in arrays, elsewhere in lists."""
    model = build()
    camera = {key: np.float32(value).reshape(-1) for key, value in CAMERA.items()}
    pred, place = predict(model, **camera), forward(model, make_inputs()).numpy()
    np.testing.assert_allclose(pred.keypoints_heatmap, place, atol=1e-5)
    assert np.ptp(place, axis=(0, 1)).min() > 0.2  # the joints are apart
    # PoseNet's way back: heatmap px / size * box + corner
    u, v = place[..., 0] / 16 * 160 + (300 - 80), place[..., 1] / 16 * 160 + (200 - 80)
    depth = (place[..., 2] / 8 * 2 - 1) * 1000
    np.testing.assert_allclose(pred.keypoints, np.stack([u, v], -1), rtol=1e-5)
    np.testing.assert_allclose(pred.keypoints_depth, depth, atol=1e-3)
    np.testing.assert_allclose(pred.keypoints_cam, to_camera(u, v, depth + 4500), rtol=1e-5)
    keys = ('keypoints', 'keypoints_depth', 'keypoints_heatmap', 'keypoints_cam')
    assert {pred.get(key).dtype for key in keys} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(pred.keypoint_scores, np.ones((1, K)))
    pred.clone()  # MMEngine checks that every field has length 1


@pytest.mark.parametrize(
    ('kind', 'change'),
    [
        ('TopdownPoseEstimator3D', dict(root_depth=None)),
        ('TopdownPoseEstimator3D', dict(root_depth=np.float32([np.nan]))),
        ('TopdownRootEstimator', dict(root_k=None)),
        ('TopdownRootEstimator', dict(root_k=np.float32([np.nan]))),
        *((kind, dict(camera_f=None)) for kind in HEADS),
        *((kind, dict(camera_c=None)) for kind in HEADS),
        *((kind, dict(flip=True)) for kind in HEADS),
    ],
)
def test_the_camera_frame_is_absent_rather_than_invented(kind, change):
    given = {**CAMERA, 'root_k': np.float32([4500]), **change}
    meta = {key: value for key, value in given.items() if value is not None}
    pred = predict(build(kind), **meta)
    assert not {'keypoints_cam', 'root_cam'} & set(pred.keys())
    if kind == 'TopdownRootEstimator':
        assert len(pred.root_gamma) == 1
        assert ('root_depth' in pred) == bool(meta.get('root_k', 0) > 0)


@pytest.mark.parametrize(
    ('change', 'what'), [(dict(root_depth=-10.0), 'root_depth'), (dict(camera_f=[0, 9.0]), 'focal')]
)
def test_a_wrong_camera_is_an_error_that_names_the_image(change, what):
    with pytest.raises(ValueError, match=rf'image\.jpg.*{what}'):
        predict(build(), **{**CAMERA, **change})


TIMM = dict(type='TimmBackbone', model_name='test_convnext')


@pytest.mark.parametrize(
    ('backbone', 'name', 'found'),
    [
        (dict(type='ResNet', depth=50), 'ResNet', 2048),
        (TIMM, 'TimmBackbone test_convnext', 64),
        (dict(TIMM, out_indices=(3, 1)), 'TimmBackbone test_convnext', 32),
    ],
)
@pytest.mark.parametrize('kind', [*HEADS, 'TopdownEstimator'])
def test_a_head_that_does_not_fit_the_backbone(kind, backbone, name, found):
    if backbone['type'] == 'TimmBackbone':
        pytest.importorskip('timm')
    pair = dict(type='RelativeDepthHead', decoder=dict(type='PairHeatmapLabel'))
    head = dict(HEADS.get(kind, pair), in_channels=512, deconv_out_channels=(8, 8, 8))
    with pytest.raises(ValueError, match=rf'in_channels is 512.*{name}.*in_channels={found}'):
        MODELS.build(dict(type=kind, backbone=backbone, head=head))
    MODELS.build(dict(type=kind, backbone=backbone, head=dict(head, in_channels=found)))


@pytest.mark.parametrize(
    ('backbone', 'channels'),
    [(dict(type='ResNet', depth=18, out_indices=(2,)), 256), (dict(type='ShuffleNetV2'), 1024)],
)
def test_a_backbone_that_does_not_tell_its_channels(backbone, channels):
    head = dict(HEADS['TopdownRootEstimator'], in_channels=channels, deconv_out_channels=(8, 8))
    head['deconv_kernel_sizes'] = (4, 4)
    MODELS.build(dict(type='TopdownRootEstimator', backbone=backbone, head=head))


def test_flip_test_runs_through_the_estimator():
    alone, both = predict(build(), **CAMERA), predict(build(flip_test=True), **CAMERA)
    mirrored = forward(build(), make_inputs().flip(-1))[:, FLIP_INDICES].numpy()
    mirrored[..., 0] = 16 - 16 / 64 - mirrored[..., 0]
    expected = (alone.keypoints_heatmap + mirrored) / 2
    np.testing.assert_allclose(both.keypoints_heatmap, expected, atol=1e-5)


def test_fewer_joints_on_demand_in_every_frame():
    pred = predict(build(output_keypoint_indices=[2, 0]), **CAMERA)
    full = predict(build(), **CAMERA)
    for key in ('keypoints', 'keypoints_depth', 'keypoints_heatmap', 'keypoints_cam'):
        np.testing.assert_allclose(pred.get(key), full.get(key)[:, [2, 0]], rtol=1e-5)


def test_root_in_the_camera_frame_by_hand():
    model = build('TopdownRootEstimator')
    pred = predict(model, **CAMERA, root_k=np.float32([4500]))
    place, gamma = (value.numpy() for value in forward(model, make_inputs()))
    assert abs(gamma[0, 0] - 1) > 1e-4
    pixels = place * 160 / 16 + CENTER - SCALE / 2
    np.testing.assert_allclose(pred.keypoints, pixels, rtol=1e-5)
    np.testing.assert_allclose(pred.root_depth, 4500 * gamma[0], rtol=1e-5)
    expected = to_camera(pixels[0, :, 0], pixels[0, :, 1], 4500 * gamma[0])
    np.testing.assert_allclose(pred.root_cam, expected, rtol=1e-4)
    np.testing.assert_allclose(pred.root_gamma, gamma[0], rtol=1e-6)
    assert pred.keypoint_scores.shape == (1, 1)
    keys = ('keypoints', 'keypoint_scores', 'root_gamma', 'root_depth', 'root_cam')
    assert {pred.get(key).dtype for key in keys} == {np.dtype(np.float32)}


@pytest.mark.parametrize('padding_mode', ['zeros', 'replicate'])
def test_a_gray_image_has_an_answer_of_one_half_without_zeros_at_the_border(padding_mode):
    """The whole network: with zeros at the border it knows where the boxes are."""
    torch.manual_seed(0)
    codec = dict(type='PairHeatmapLabel', input_size=(64, 64), heatmap_size=(16, 16))
    sizes = dict(in_channels=512, out_channels=K, deconv_out_channels=(8, 8, 8))
    head = dict(type='RelativeDepthHead', pairwise='difference', pooling='peak', decoder=codec)
    cfg = dict(type='TopdownEstimator', padding_mode=padding_mode)
    cfg['head'] = dict(head, num_sampled_joints=None, **sizes)
    cfg['data_preprocessor'] = dict(type='PoseDataPreprocessor')
    model = MODELS.build(dict(cfg, backbone=dict(type='ResNet', depth=18))).eval()
    for name, parameter in model.head.named_parameters():  # untrained, it would hardly see
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3 if 'deconv' in name else 0.1)
    boxes = torch.tensor([[[0.0, 4, 20, 60], [15, 25, 64, 64], [30, 2, 45, 30]]])
    with torch.no_grad():
        scores = model.head.person_scores(
            model.extract_feat(torch.full((1, 3, 64, 64), 0.4)), boxes
        )
        probs = model.head.crowd_probs(scores)
        other = model.head.person_scores(model.extract_feat(make_inputs()), boxes)
        looked = model.head.crowd_probs(other)
    difference = (probs - 0.5).abs().max()
    assert (difference < 1e-5) == (padding_mode == 'replicate')
    assert (looked - 0.5).abs().max() > 1e-3


def test_another_padding_is_refused():
    with pytest.raises(ValueError, match='padding_mode'):
        MODELS.build(dict(type='TopdownEstimator', padding_mode='same'))
