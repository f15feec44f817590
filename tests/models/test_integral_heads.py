# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The two heads of expectations: positions of joints, and place and depth of a root."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.logging import MessageHub
from mmengine.structures import InstanceData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

K, C = 3, 5
INPUT, SIZE = (48, 32), (24, 16, 10)
FLIP_INDICES = [1, 0, 2]


def codec(heatmap_size=SIZE):
    return dict(type='Integral3DLabel', input_size=INPUT, heatmap_size=heatmap_size)


ROOT_CODEC = dict(type='RootDepthLabel', input_size=INPUT, heatmap_size=SIZE[:2])
HEADS = dict(
    Integral3DHead=dict(out_channels=K, decoder=codec()), RootDepthHead=dict(decoder=ROOT_CODEC)
)
KINDS = pytest.mark.parametrize('kind', HEADS)


def build(kind='Integral3DHead', drawn=True, **kwargs):
    """A head, by default with drawn last layers, so that its answers differ."""
    sizes = dict(in_channels=C, deconv_out_channels=(6,), deconv_kernel_sizes=(4,))
    head = MODELS.build({'type': kind, **sizes, **HEADS[kind], **kwargs})
    torch.manual_seed(0)
    if drawn:
        torch.nn.init.normal_(head.final_layer.weight, std=0.5)
    if drawn and kind == 'RootDepthHead':
        torch.nn.init.normal_(head.gamma_layer.weight)
    return head.eval()


def make_feats(batch=2, **kwargs):
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(batch, C, SIZE[1] // 2, SIZE[0] // 2, generator=generator, **kwargs),)


def make_batch(size=2, weights=1.0, kind='Integral3DHead', depth=1.0):
    """Samples of joints, or of a root whose prior is 4000 mm."""
    rng = np.random.default_rng(0)
    meta = dict(flip_indices=FLIP_INDICES, root_k=np.float32([4000]))
    samples = [PoseDataSample(metainfo=meta) for _ in range(size)]
    k, axes = (K, 3) if kind == 'Integral3DHead' else (1, 2)
    for sample in samples:
        labels = dict(
            keypoint_labels=rng.uniform(0, 10, (1, k, axes)),
            keypoint_weights=np.full((1, k), weights),
            depth_weights=np.full((1, k), weights * depth),
        )
        if kind == 'RootDepthHead':
            labels['root_depths'] = rng.uniform(3000, 5000, (1, 1)) * depth
            labels['root_priors'] = [[4000.0 * depth]]
        tensors = {key: torch.tensor(np.float32(value)) for key, value in labels.items()}
        sample.gt_instance_labels = InstanceData(**tensors)
    return samples


def total(losses):
    return sum(value for key, value in losses.items() if 'loss' in key)


def probabilities(head, feats):
    """(B, K, d, h, w), softmax over each volume."""
    volumes = head.final_layer(head.deconv_layers(feats[0])).unflatten(1, (K, SIZE[2]))
    return volumes.flatten(2).softmax(-1).view_as(volumes)


# ---------------------------------------------------------------------- network


@pytest.mark.parametrize('plain', [False, True])
def test_positions_are_the_expectation_of_the_last_layer(plain):
    head, feats = build(plain_softmax=plain), make_feats()
    probs = probabilities(head, feats)
    grids = torch.meshgrid(*(torch.arange(float(n)) for n in SIZE[::-1]), indexing='ij')
    expected = torch.stack([(probs * grid).sum((2, 3, 4)) for grid in grids[::-1]], dim=-1)
    torch.testing.assert_close(head(feats), expected)


def test_layout_is_joint_major_depth_minor():
    """Of the last layer's biases only that of joint 1, layer 7 is raised."""
    head = build()
    torch.nn.init.zeros_(head.final_layer.weight)
    torch.nn.init.zeros_(head.final_layer.bias)
    head.final_layer.bias.data[1 * SIZE[2] + 7] = 100
    expected = torch.tensor([[11.5, 7.5, 4.5], [11.5, 7.5, 7.0], [11.5, 7.5, 4.5]])
    torch.testing.assert_close(head(make_feats()), expected.expand(2, K, 3))


def test_logit_scale_is_the_inverse_temperature():
    plain, scaled = build(), build(logit_scale=7.0)
    scaled.load_state_dict(plain.state_dict())
    for parameter in plain.final_layer.parameters():
        parameter.data.mul_(7)
    torch.testing.assert_close(scaled(make_feats()), plain(make_feats()))


def test_one_joint_no_deconvolution_and_an_empty_batch():
    sizes = dict(deconv_out_channels=(), deconv_kernel_sizes=())
    head = build(out_channels=1, decoder=codec((12, 8, 3)), **sizes)
    assert head(make_feats()).shape == (2, 1, 3)
    feats = make_feats(0, requires_grad=True)
    head(feats).sum().backward()
    assert head(feats).shape == (0, 1, 3)


# ---------------------------------------------------------------------- training


def test_loss_of_joints_by_hand():
    head = build(loss=dict(type='Integral3DLoss', loss_weight=2.0))
    feats, batch = make_feats(), make_batch()
    batch[0].gt_instance_labels.keypoint_weights[0, 1] = 0
    batch[1].gt_instance_labels.depth_weights[:] = 0  # a 2D sample
    losses = head.loss(feats, batch)
    targets = torch.cat([sample.gt_instance_labels.keypoint_labels for sample in batch])
    error = (head(feats) - targets).abs()
    plane, depth = torch.cat([error[0, [0, 2], :2], error[1, :, :2]]), error[0, [0, 2], 2]
    expected = dict(
        loss_kpt=2 * (plane.sum() + depth.sum()) / 3 / 6, err_xy=plane.mean(), err_z=depth.mean()
    )
    assert losses.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(losses[key], value)


def test_marginal_loss_looks_at_the_heatmaps_marginals():
    head = build(marginal_loss=dict(type='MarginalLoss', sigma=1.5, loss_weight=3.0))
    batch, feats = make_batch(1), make_feats(1)
    probs, expected = probabilities(head, feats)[0], 0.0
    for axis, others in enumerate(((1, 2), (1, 3), (2, 3))):
        marginal = probs.sum(others)
        target = batch[0].gt_instance_labels.keypoint_labels[0, :, axis : axis + 1]
        wanted = (-((torch.arange(marginal.shape[1]) - target) ** 2) / (2 * 1.5**2)).softmax(-1)
        expected += F.kl_div(marginal.log(), wanted, reduction='sum').item()
    loss = head.loss(feats, batch)['loss_marginal'].item()
    assert loss == pytest.approx(3 * expected / (3 * K), rel=1e-4)


def test_marginal_loss_ends_with_its_iteration():
    head = build(marginal_loss=dict(type='MarginalLoss'), marginal_iterations=10)
    values = [head.loss(make_feats(), make_batch())['loss_marginal'].item()]  # outside of a runner
    for iteration in (0, 9, 10, 11):
        MessageHub.get_current_instance().update_info('iter', iteration)
        values.append(head.loss(make_feats(), make_batch())['loss_marginal'].item())
    assert values[0] == values[1] == values[2] > 0 and values[3] == values[4] == 0


# ---------------------------------------------------------------------- prediction


def spots(images, size):
    """Logits whose expectation of a joint is the place of the bright spot in its channel.

    A spot at input px x is expected at exactly x * w / W heatmap px, z at 2.
    """

    def between(position, n):  # two px with a mean of exactly ``position``
        low = position.floor().clamp(max=n - 2)
        index = torch.arange(float(n))
        return (1 - (index - position[..., None]).abs()).clamp(min=0) * (index >= low[..., None])

    x = (images.sum(2) * torch.arange(INPUT[0])).sum(-1) * size[0] / INPUT[0]
    y = (images.sum(3) * torch.arange(INPUT[1])).sum(-1) * size[1] / INPUT[1]
    z = torch.full_like(x, 2.0)
    volume = torch.einsum(
        'bkz,bky,bkx->bkzyx', between(z, size[2]), between(y, size[1]), between(x, size[0])
    )
    return (volume + 1e-30).log().flatten(1, 2)


@pytest.mark.parametrize('size', [SIZE, (48, 32, 4)])
def test_exact_flip_test_is_exact_and_posenets_is_off_by_its_constant(size):
    """With a detector that follows a mirrored image exactly."""
    head = build(in_channels=1, deconv_out_channels=(), deconv_kernel_sizes=(), decoder=codec(size))
    positions = torch.tensor([[10, 20], [31, 7], [24, 30]])
    images = torch.zeros(1, K, INPUT[1], INPUT[0])
    images[0, range(K), positions[:, 1], positions[:, 0]] = 1
    # The mirrored image shows the left joint where the right one was.
    feats = [spots(images, size), spots(images.flip(-1)[:, FLIP_INDICES], size)]
    head.features = lambda logits: logits
    channels = K * size[2]
    head.final_layer = torch.nn.Conv2d(channels, channels, 1)
    head.final_layer.weight.data = torch.eye(channels)[..., None, None]
    torch.nn.init.zeros_(head.final_layer.bias)

    batch = make_batch(1)
    plain = head.predict(feats[0], batch)[0]
    np.testing.assert_allclose(plain.keypoints[0], positions, atol=1e-4)
    exact = head.predict(feats, batch, dict(flip_test=True))[0].keypoints_heatmap
    np.testing.assert_allclose(exact, plain.keypoints_heatmap, atol=1e-4)
    posenet = head.predict(feats, batch, dict(flip_test=True, flip_mode='posenet'))[0]
    shift = posenet.keypoints_heatmap - exact
    np.testing.assert_allclose(shift[..., 0], -(1 - size[0] / INPUT[0]) / 2, atol=1e-4)
    np.testing.assert_allclose(shift[..., 1:], 0, atol=1e-4)


# ---------------------------------------------------------------------- roots


@pytest.mark.parametrize('initialised', [False, True])
def test_an_untrained_head_answers_the_prior(initialised):
    """gamma is exactly 1, whatever the features, also before init_weights."""
    head = build('RootDepthHead', drawn=False)
    if initialised:
        head.init_weights()
    assert head(make_feats(3))[1].tolist() == [[1], [1], [1]]


def test_forward_is_the_expectation_and_the_pooled_features():
    head, feats = build('RootDepthHead', logit_scale=3.0), make_feats()
    place, gamma = head(feats)
    logits = 3 * head.final_layer(head.deconv_layers(feats[0]))
    probs = logits.flatten(1).softmax(1).view(2, SIZE[1], SIZE[0])
    x = (probs.sum(1) * torch.arange(24.0)).sum(1)
    y = (probs.sum(2) * torch.arange(16.0)).sum(1)
    torch.testing.assert_close(place, torch.stack([x, y], dim=1)[:, None])
    expected = 1 + feats[0].mean((2, 3)) @ head.gamma_layer.weight[0, :, 0]
    torch.testing.assert_close(gamma, expected)


def test_loss_of_roots_by_hand():
    head, feats = build('RootDepthHead'), make_feats()
    batch = make_batch(kind='RootDepthHead')
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
    head = build('RootDepthHead')
    batch = make_batch(4, kind='RootDepthHead', depth=0.0)
    head.loss(make_feats(4), batch)['loss_root'].backward()
    assert not head.gamma_layer.weight.grad.any() and not head.gamma_layer.bias.grad.any()
    assert head.final_layer.weight.grad.any()


# ---------------------------------------------------------------------- both


@KINDS
def test_mixed_precision_gives_float32_answers_and_losses(kind):
    head, feats, batch = build(kind).train(), make_feats(), make_batch(kind=kind)
    with torch.autocast('cpu', torch.bfloat16):
        losses, found = head.loss(feats, batch), head(feats)
    assert total(losses).dtype == torch.float32
    if kind == 'Integral3DHead':
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, head(feats), atol=0.1, rtol=0)
    else:
        assert found[0].dtype == found[1].dtype == torch.float32
        torch.testing.assert_close(found[1], head(feats)[1], rtol=0, atol=1e-6)
    total(losses).backward()
    assert all(p.grad.isfinite().all() for p in head.parameters())


@pytest.mark.parametrize(
    ('kind', 'more'),
    [
        ('Integral3DHead', {}),
        ('Integral3DHead', dict(marginal_loss=dict(type='MarginalLoss'))),
        ('RootDepthHead', {}),
    ],
)
def test_a_batch_without_labels_gives_zero_gradients_to_all_parameters(kind, more):
    head = build(kind, **more).train()
    losses = head.loss(make_feats(), make_batch(weights=0.0, kind=kind, depth=0.0))
    total(losses).backward()
    assert all(p.grad is not None and not p.grad.any() for p in head.parameters())
    assert all(value == 0 for value in losses.values())


@pytest.mark.parametrize(
    ('kind', 'more'),
    [  # with the settings that short trainings use
        ('Integral3DHead', dict(marginal_loss=dict(type='MarginalLoss', sigma=1.0))),
        ('RootDepthHead', dict(loss=dict(type='RootDepthLoss', depth_unit=50.0))),
    ],
)
def test_learns_eight_samples(kind, more):
    scale = 30.0 if kind == 'Integral3DHead' else 1.0
    head = build(kind, in_channels=16, logit_scale=scale, **more).train()
    head.init_weights()
    feats = (torch.randn(8, 16, 8, 12) + torch.randn(8, 16, 1, 1),)
    batch = make_batch(8, kind=kind)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.01)
    first = head.loss(feats, batch)
    for _ in range(200):
        optimizer.zero_grad()
        losses = head.loss(feats, batch)
        total(losses).backward()
        optimizer.step()
    if kind == 'Integral3DHead':
        assert losses['err_xy'] < 0.2 * first['err_xy'] and losses['err_z'] < 0.2 * first['err_z']
    else:
        assert losses['err_xy'] < 0.35 * first['err_xy']
        assert losses['err_z'] < 0.1 * losses['err_z_prior']


@pytest.mark.parametrize(
    ('kind', 'kwargs', 'test_cfg', 'what'),
    [
        ('Integral3DHead', dict(logit_scale=0.0), {}, 'logit_scale'),
        ('Integral3DHead', dict(logit_scale=float('inf')), {}, 'logit_scale'),
        ('Integral3DHead', dict(marginal_iterations=10), {}, 'marginal_iterations'),
        ('Integral3DHead', dict(decoder=codec((16, 24, 10))), {}, 'heatmap_size'),
        ('Integral3DHead', {}, dict(flip_mode='heatmap'), 'flip_mode'),
        ('Integral3DHead', {}, dict(output_heatmaps=True), 'output_heatmaps'),
        ('RootDepthHead', dict(logit_scale=0), {}, 'logit_scale'),
        ('RootDepthHead', dict(decoder=dict(ROOT_CODEC, heatmap_size=SIZE[1::-1])), {},
         'heatmap_size'),
        ('RootDepthHead', {}, dict(flip_test=True), 'flip_test'),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit(kind, kwargs, test_cfg, what):
    with pytest.raises(ValueError, match=what):
        build(kind, **kwargs).predict(make_feats(), make_batch(kind=kind), test_cfg)
