# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.logging import MessageHub
from mmengine.structures import InstanceData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

import wsp_mm.codecs.integral_3d
import wsp_mm.models.heads.integral_3d_head  # noqa: F401  (register what is built)

K, C = 3, 5
INPUT, CELLS = (48, 32), (24, 16, 10)
FLIP_INDICES = [1, 0, 2]


def codec(**kwargs):
    return dict(dict(type='Integral3DLabel', input_size=INPUT, heatmap_size=CELLS), **kwargs)


def build(**kwargs):
    cfg = dict(
        type='Integral3DHead',
        in_channels=C,
        out_channels=K,
        heatmap_size=CELLS,
        deconv_out_channels=(6,),
        deconv_kernel_sizes=(4,),
        decoder=codec(),
    )
    head = MODELS.build({**cfg, **kwargs})
    head.init_weights()
    torch.nn.init.normal_(head.final_layer.weight, std=0.5)
    return head.eval()


def make_feats(batch=2, seed=0, **kwargs):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(batch, C, CELLS[1] // 2, CELLS[0] // 2, generator=generator, **kwargs),)


def make_batch(size=2, weights=1.0, depth=1.0):
    rng = np.random.default_rng(0)
    samples = []
    for _ in range(size):
        sample = PoseDataSample(metainfo=dict(flip_indices=FLIP_INDICES, input_size=INPUT))
        sample.gt_instance_labels = InstanceData(
            keypoint_labels=torch.tensor(rng.uniform(0, 10, (1, K, 3)), dtype=torch.float32),
            keypoint_weights=torch.full((1, K), weights),
            depth_weights=torch.full((1, K), weights * depth),
        )
        samples.append(sample)
    return samples


# ---------------------------------------------------------------------- network


def test_layout_is_joint_major_depth_minor():
    """Of the last layer's biases only those of (joint 1, layer 7) and (joint 2, layer 4) are
    raised.
    """
    head = build()
    torch.nn.init.zeros_(head.final_layer.weight)
    with torch.no_grad():
        head.final_layer.bias[1 * CELLS[2] + 7] = 100
        head.final_layer.bias[2 * CELLS[2] + 4] = 100
    cells = head(make_feats())
    middle = [(CELLS[0] - 1) / 2, (CELLS[1] - 1) / 2]
    expected = torch.tensor([[*middle, 4.5], [*middle, 7.0], [*middle, 4.0]]).expand(2, K, 3)
    torch.testing.assert_close(cells, expected)


@pytest.mark.parametrize('plain', [False, True])
def test_forward_is_the_expectation_of_the_last_layer(plain):
    head, feats = build(plain_softmax=plain), make_feats()
    volumes = head.final_layer(head.deconv_layers(feats[0])).view(
        2, K, CELLS[2], CELLS[1], CELLS[0]
    )
    probs = volumes.flatten(2).softmax(-1).view_as(volumes)
    grids = torch.meshgrid(
        *(torch.arange(float(n)) for n in (CELLS[2], CELLS[1], CELLS[0])), indexing='ij'
    )
    expected = torch.stack([(probs * grid).sum((2, 3, 4)) for grid in reversed(grids)], dim=-1)
    torch.testing.assert_close(head(feats), expected)


def test_logit_scale_is_the_inverse_temperature():
    plain, scaled = build(), build(logit_scale=7.0)
    scaled.load_state_dict(plain.state_dict())
    with torch.no_grad():
        plain.final_layer.weight.mul_(7)
        plain.final_layer.bias.copy_(torch.randn(plain.final_layer.bias.shape))
        scaled.final_layer.bias.copy_(plain.final_layer.bias)
        plain.final_layer.bias.mul_(7)
    torch.testing.assert_close(scaled(make_feats()), plain(make_feats()))


def test_gradients_of_the_whole_head_in_double():
    head = build(out_channels=1, heatmap_size=(24, 16, 2), decoder=None).double()
    feats = make_feats(1, dtype=torch.double)[0][:, :, :, :].requires_grad_()
    assert torch.autograd.gradcheck(lambda v: head((v,)), feats, fast_mode=True)


def test_one_joint_no_deconvolution_and_an_empty_batch():
    head = build(
        out_channels=1,
        heatmap_size=(12, 8, 3),
        deconv_out_channels=(),
        deconv_kernel_sizes=(),
        decoder=None,
    )
    assert head(make_feats()).shape == (2, 1, 3)
    feats = make_feats(0, requires_grad=True)
    head(feats).sum().backward()
    assert head(feats).shape == (0, 1, 3)


def test_mixed_precision_gives_float32_positions_and_losses():
    head, feats, batch = build().train(), make_feats(), make_batch()
    with torch.autocast('cpu', torch.bfloat16):
        losses = head.loss(feats, batch)
        cells = head(feats)
    assert cells.dtype == losses['loss_kpt'].dtype == torch.float32
    torch.testing.assert_close(cells, head(feats), atol=0.1, rtol=0)
    losses['loss_kpt'].backward()
    assert all(p.grad.isfinite().all() for p in head.parameters())


# ---------------------------------------------------------------------- training


@pytest.mark.parametrize('average', ['all', 'valid'])
def test_loss_by_hand(average):
    head = build(loss=dict(type='Integral3DLoss', average=average, loss_weight=2.0))
    batch = make_batch()
    batch[0].gt_instance_labels.keypoint_weights[0, 1] = 0
    batch[1].gt_instance_labels.depth_weights[:] = 0  # a 2D sample
    losses = head.loss(make_feats(), batch)
    targets = torch.cat([sample.gt_instance_labels.keypoint_labels for sample in batch])
    error = (head(make_feats()) - targets).abs()
    total = (error[0, [0, 2]].sum() + error[1, :, :2].sum()) / 3
    assert losses['loss_kpt'].item() == pytest.approx(
        2 * total.item() / (6 if average == 'all' else 5), rel=1e-5
    )
    assert losses['err_xy'].item() == pytest.approx(
        torch.cat([error[0, [0, 2], :2], error[1, :, :2]]).mean().item(), rel=1e-5
    )
    assert losses['err_z'].item() == pytest.approx(error[0, [0, 2], 2].mean().item(), rel=1e-5)
    assert [key for key in losses if 'loss' in key] == ['loss_kpt']


@pytest.mark.parametrize('marginal', [None, dict(type='MarginalLoss')])
def test_a_batch_without_labels_gives_zero_gradients_to_all_parameters(marginal):
    head = build(marginal_loss=marginal).train()
    losses = head.loss(make_feats(), make_batch(weights=0.0))
    sum(value for key, value in losses.items() if 'loss' in key).backward()
    assert all(p.grad is not None and not p.grad.any() for p in head.parameters())
    assert all(value == 0 for value in losses.values())


def test_marginal_loss_looks_at_the_heatmaps_marginals():
    head, batch = (
        build(marginal_loss=dict(type='MarginalLoss', sigma=1.5, loss_weight=3.0)),
        make_batch(1),
    )
    losses = head.loss(make_feats(1), batch)
    volumes = head.final_layer(head.deconv_layers(make_feats(1)[0])).view(
        K, CELLS[2], CELLS[1], CELLS[0]
    )
    probs = volumes.flatten(1).softmax(-1).view_as(volumes)
    expected = 0.0
    for axis, others in enumerate(((1, 2), (1, 3), (2, 3))):
        marginal = probs.sum(others)
        target = batch[0].gt_instance_labels.keypoint_labels[0, :, axis : axis + 1]
        wanted = (-((torch.arange(marginal.shape[1]) - target) ** 2) / (2 * 1.5**2)).softmax(-1)
        expected += F.kl_div(marginal.log(), wanted, reduction='sum').item()
    assert losses['loss_marginal'].item() == pytest.approx(3 * expected / (3 * K), rel=1e-4)


def test_marginal_loss_ends_with_its_iteration():
    hub = MessageHub.get_current_instance()
    head = build(marginal_loss=dict(type='MarginalLoss'), marginal_iterations=10)
    values = {}
    for iteration in (0, 9, 10, 11):
        hub.update_info('iter', iteration)
        values[iteration] = head.loss(make_feats(), make_batch())['loss_marginal'].item()
    assert values[0] == values[9] > 0
    assert values[10] == values[11] == 0
    # a resumed run is where it left off, not at the start
    assert (
        build(marginal_loss=dict(type='MarginalLoss'), marginal_iterations=10)
        .loss(make_feats(), make_batch())['loss_marginal']
        .item()
        == 0
    )


def test_without_a_runner_calls_count():
    head = build(marginal_loss=dict(type='MarginalLoss'), marginal_iterations=2)
    values = [head.loss(make_feats(), make_batch())['loss_marginal'].item() > 0 for _ in range(4)]
    assert values == [True, True, False, False]


# ---------------------------------------------------------------------- prediction


def test_prediction_in_cells_pixels_and_mm():
    head = build()
    preds = head.predict(make_feats(), make_batch())
    cells = head(make_feats()).detach().numpy()
    for pred, cell in zip(preds, cells, strict=True):
        assert len(pred) == 1
        np.testing.assert_array_equal(pred.keypoints_cells, cell[None])
        np.testing.assert_allclose(pred.keypoints, 2 * cell[None, :, :2], rtol=1e-6)
        np.testing.assert_allclose(
            pred.keypoints_depth, (cell[None, :, 2] / 10 * 2 - 1) * 1000, rtol=1e-4
        )
        np.testing.assert_array_equal(pred.keypoint_scores, np.ones((1, K)))
        pred.clone()  # MMEngine checks the lengths


class Spots(torch.nn.Module):
    """A detector that knows where bright spots are: a spot of channel c at px x puts its volume's
    expectation at exactly x * w / W cells. It follows a mirrored picture exactly, left being left:
    spots 0 and 1 are told apart by which is further left, as a network tells a left hand from a
    right one."""

    def __init__(self, size, cells):
        super().__init__()
        self.size, self.cells = size, cells

    def forward(self, pictures):
        batch, joints = pictures.shape[:2]
        grid = [torch.arange(float(n)) for n in (self.size[0], self.size[1])]
        x = (pictures.sum(2) * grid[0]).sum(-1) * self.cells[0] / self.size[0]
        y = (pictures.sum(3) * grid[1]).sum(-1) * self.cells[1] / self.size[1]
        probs = (
            self.between(y, self.cells[1])[..., None] * self.between(x, self.cells[0])[..., None, :]
        )
        volume = (
            probs[:, :, None]
            * self.between(torch.full((batch, joints), 2.0), self.cells[2])[..., None, None]
        )
        return (volume + 1e-30).log().flatten(1, 2)

    @staticmethod
    def between(position, size):
        """Two cells with a mean of exactly ``position``."""
        low = position.floor().clamp(max=size - 2)
        cells = torch.arange(float(size))
        return (1 - (cells - position[..., None]).abs()).clamp(min=0) * (cells >= low[..., None])


@pytest.mark.parametrize('cells', [CELLS, (48, 32, 4)])
def test_exact_flip_test_is_exact_and_posenet_s_is_off_by_its_constant(cells):
    head = build(
        in_channels=K * cells[2],
        heatmap_size=cells,
        deconv_out_channels=(),
        deconv_kernel_sizes=(),
        decoder=codec(heatmap_size=cells),
    )
    head.final_layer = torch.nn.Identity()
    spots = Spots(INPUT, cells)
    positions = torch.tensor([[10, 20], [31, 7], [24, 30]])
    pictures = torch.zeros(1, K, INPUT[1], INPUT[0])
    for joint, (x, y) in enumerate(positions.tolist()):
        pictures[0, joint, y, x] = 1
    # the mirrored picture shows the left joint where the right one was: the network swaps their
    # channels
    feats = [(spots(pictures),), (spots(pictures.flip(-1)[:, FLIP_INDICES]),)]
    batch = make_batch(1)

    plain = head.predict(feats[0], batch)[0]
    np.testing.assert_allclose(plain.keypoints[0], positions, atol=1e-4)
    exact = head.predict(feats, batch, test_cfg=dict(flip_test=True))[0]
    np.testing.assert_allclose(exact.keypoints_cells, plain.keypoints_cells, atol=1e-4)
    posenet = head.predict(feats, batch, test_cfg=dict(flip_test=True, flip_mode='posenet'))[0]
    shift = posenet.keypoints_cells - exact.keypoints_cells
    np.testing.assert_allclose(shift[..., 0], -(1 - cells[0] / INPUT[0]) / 2, atol=1e-4)
    np.testing.assert_allclose(shift[..., 1:], 0, atol=1e-4)


def test_flip_test_of_a_mirror_symmetric_network():
    """Kernels that are their own mirror images at full resolution: mirrored input, mirrored
    answer.
    """
    torch.manual_seed(0)
    cells = (48, 32, 4)
    head = build(
        in_channels=8,
        heatmap_size=cells,
        deconv_out_channels=(),
        deconv_kernel_sizes=(),
        decoder=codec(heatmap_size=cells),
    )
    conv = torch.nn.Conv2d(3, 8, 5, padding=2)
    with torch.no_grad():
        conv.weight.add_(conv.weight.flip(-1).clone())
        for parameter in (
            head.final_layer.weight,
            head.final_layer.bias,
        ):  # joints 0 and 1 are a pair
            parameter[4:8] = parameter[:4]
    picture = torch.randn(1, 3, 32, 48)
    feats = [(conv(p).relu(),) for p in (picture, picture.flip(-1))]
    batch = make_batch(1)
    alone = head.predict(feats[0], batch)[0].keypoints_cells
    both = head.predict(feats, batch, test_cfg=dict(flip_test=True))[0].keypoints_cells
    assert np.abs(alone - alone.mean()).max() > 1  # it does look at the picture
    np.testing.assert_allclose(both, alone, atol=1e-4)


# ---------------------------------------------------------------------- bad settings


@pytest.mark.parametrize(
    ('kwargs', 'what'),
    [
        (dict(heatmap_size=(24, 16)), 'w, h, d'),
        (dict(heatmap_size=(24, 16, 12)), 'set both alike'),
        (dict(logit_scale=0.0), 'logit_scale'),
        (dict(logit_scale=float('inf')), 'logit_scale'),
        (dict(marginal_iterations=10), 'marginal_iterations'),
        (
            dict(marginal_loss=dict(type='MarginalLoss'), marginal_iterations=-1),
            'marginal_iterations',
        ),
    ],
)
def test_settings_that_do_not_fit(kwargs, what):
    with pytest.raises(ValueError, match=what):
        build(**kwargs)


def test_a_map_of_another_size_is_explained():
    head = build(heatmap_size=(16, 24, 10), decoder=codec(heatmap_size=(16, 24, 10)))
    with pytest.raises(ValueError, match=r'\(24, 16\) \(w, h\): set heatmap_size'):
        head(make_feats())


def test_what_cannot_be_predicted_is_said():
    with pytest.raises(RuntimeError, match='decoder'):
        build(decoder=None).predict(make_feats(), make_batch())
    with pytest.raises(ValueError, match='flip_mode'):
        build().predict(make_feats(), make_batch(), test_cfg=dict(flip_mode='heatmap'))
    with pytest.raises(ValueError, match='output_heatmaps'):
        build().predict(make_feats(), make_batch(), test_cfg=dict(output_heatmaps=True))
