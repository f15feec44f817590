# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

C = 5
INPUT, SIZE = (48, 32), (24, 16)


def build(**kwargs):
    cfg = dict(
        type='RootDepthHead',
        in_channels=C,
        deconv_out_channels=(6,),
        deconv_kernel_sizes=(4,),
        decoder=dict(type='RootDepthLabel', input_size=INPUT, heatmap_size=SIZE),
    )
    return MODELS.build({**cfg, **kwargs}).eval()


def make_feats(batch=2, **kwargs):
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(batch, C, SIZE[1] // 2, SIZE[0] // 2, generator=generator, **kwargs),)


def make_batch(size=2, weights=1.0, depth=1.0):
    """Samples of prior 4000 mm."""
    rng = np.random.default_rng(0)
    samples = [PoseDataSample(metainfo=dict(root_k=np.float32([4000]))) for _ in range(size)]
    for sample in samples:
        labels = dict(
            keypoint_labels=rng.uniform(0, 12, (1, 1, 2)),
            keypoint_weights=[[weights]],
            root_depths=rng.uniform(3000, 5000, (1, 1)) * depth,
            root_priors=[[4000.0 * depth]],
            depth_weights=[[weights * depth]],
        )
        tensors = {key: torch.tensor(np.float32(value)) for key, value in labels.items()}
        sample.gt_instance_labels = InstanceData(**tensors)
    return samples


def randomise(head):
    torch.nn.init.normal_(head.final_layer.weight, std=0.5)
    torch.nn.init.normal_(head.gamma_layer.weight)
    return head


@pytest.mark.parametrize('initialised', [False, True])
def test_an_untrained_head_answers_the_prior(initialised):
    """gamma is exactly 1, whatever the features, also before init_weights."""
    head = build()
    if initialised:
        head.init_weights()
    assert head(make_feats(3))[1].tolist() == [[1], [1], [1]]


def test_forward_is_the_expectation_and_the_pooled_features():
    head, feats = randomise(build(logit_scale=3.0)), make_feats()
    place, gamma = head(feats)
    logits = 3 * head.final_layer(head.deconv_layers(feats[0]))
    probs = logits.flatten(1).softmax(1).view(2, SIZE[1], SIZE[0])
    x = (probs.sum(1) * torch.arange(24.0)).sum(1)
    y = (probs.sum(2) * torch.arange(16.0)).sum(1)
    torch.testing.assert_close(place, torch.stack([x, y], dim=1)[:, None])
    expected = 1 + feats[0].mean((2, 3)) @ head.gamma_layer.weight[0, :, 0]
    torch.testing.assert_close(gamma, expected)


def test_gamma_keeps_float32_under_autocast():
    head, feats = randomise(build()), make_feats()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        place, gamma = head(feats)
    assert gamma.dtype == place.dtype == torch.float32
    torch.testing.assert_close(gamma, head(feats)[1], rtol=0, atol=1e-6)


def test_loss_by_hand():
    head, feats, batch = randomise(build()), make_feats(), make_batch()
    place, gamma = head(feats)
    labels = [sample.gt_instance_labels for sample in batch]
    off = (place - torch.cat([label.keypoint_labels for label in labels])).abs()
    depths = torch.cat([label.root_depths for label in labels])
    off_z = (4000 * gamma - depths).abs()
    expected = dict(
        loss_root=(off.sum() + off_z.sum()) / 3 / 2,
        err_xy=off.mean(),
        err_z=off_z.mean(),
        err_z_prior=(4000 - depths).abs().mean(),
    )
    losses = head.loss(feats, batch)
    assert losses.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(losses[key], value)


def test_2d_samples_give_no_depth_gradient():
    head, feats = build(), make_feats(4)
    head.loss(feats, make_batch(4, depth=0.0))['loss_root'].backward()
    assert not head.gamma_layer.weight.grad.any() and not head.gamma_layer.bias.grad.any()
    assert head.final_layer.weight.grad.any()


def test_nothing_supervised_reaches_every_parameter():
    head = build()
    head.loss(make_feats(), make_batch(weights=0.0, depth=0.0))['loss_root'].backward()
    assert all(p.grad is not None and not p.grad.any() for p in head.parameters())


def test_learns_eight_samples():
    head = build(in_channels=16, loss=dict(type='RootDepthLoss', depth_unit=50.0)).train()
    head.init_weights()
    feats, batch = (torch.randn(8, 16, 8, 12) + torch.randn(8, 16, 1, 1),), make_batch(8)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.01)
    first = head.loss(feats, batch)
    for _ in range(200):
        optimizer.zero_grad()
        losses = head.loss(feats, batch)
        losses['loss_root'].backward()
        optimizer.step()
    assert losses['err_xy'] < 0.35 * first['err_xy']
    assert losses['err_z'] < 0.1 * losses['err_z_prior']


def test_predict():
    head, feats, batch = randomise(build()), make_feats(), make_batch()
    place, gamma = (value.detach().numpy() for value in head(feats))
    batch[1].set_metainfo(dict(root_k=np.float32([np.nan])))
    one, two = head.predict(feats, batch)
    np.testing.assert_allclose(one.keypoints, 2 * place[:1], rtol=1e-5)
    np.testing.assert_allclose(one.root_depth, 4000 * gamma[0], rtol=1e-6)
    np.testing.assert_allclose(two.root_gamma, gamma[1], rtol=1e-6)
    assert 'root_depth' not in two  # no camera, no depth
    assert one.keypoint_scores.shape == (1, 1) and len(one) == 1
    assert {value.dtype for value in one.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ('kwargs', 'test_cfg', 'what'),
    [
        (dict(logit_scale=0), {}, 'logit_scale'),
        (dict(deconv_out_channels=(6, 6), deconv_kernel_sizes=(4, 4)), {}, 'heatmap_size'),
        ({}, dict(flip_test=True), 'flip_test'),
    ],
)
def test_settings_that_do_not_fit(kwargs, test_cfg, what):
    with pytest.raises(ValueError, match=what):
        build(**kwargs).predict(make_feats(), make_batch(), test_cfg)
