# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample

import wsp_mm.codecs.root_depth
import wsp_mm.models.heads.root_depth_head  # noqa: F401  (register what is built)

C = 5
INPUT, CELLS = (48, 32), (24, 16)


def build(**kwargs):
    cfg = dict(
        type='RootDepthHead',
        in_channels=C,
        heatmap_size=CELLS,
        deconv_out_channels=(6,),
        deconv_kernel_sizes=(4,),
        decoder=dict(type='RootDepthLabel', input_size=INPUT, heatmap_size=CELLS),
    )
    head = MODELS.build({**cfg, **kwargs})
    head.init_weights()
    return head.eval()


def make_feats(batch=2, seed=0, **kwargs):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(batch, C, CELLS[1] // 2, CELLS[0] // 2, generator=generator, **kwargs),)


def make_batch(size=2, weights=1.0, depth=1.0, seed=0):
    rng = np.random.default_rng(seed)
    samples = []
    for _ in range(size):
        sample = PoseDataSample(metainfo=dict(input_size=INPUT, root_k=np.float32([4000.0])))
        labels = dict(
            root_cells=rng.uniform(0, 12, (1, 2)), root_weights=[weights],
            root_depths=rng.uniform(3000, 5000, 1) * depth, root_priors=np.array([4000.0]) * depth,
            depth_weights=[weights * depth],
        )  # fmt: skip
        sample.gt_instance_labels = InstanceData(
            **{
                key: torch.tensor(np.asarray(value), dtype=torch.float32)
                for key, value in labels.items()
            }
        )
        samples.append(sample)
    return samples


def test_an_untrained_head_answers_the_prior_at_the_middle():
    """gamma is exactly 1, whatever the features, also before init_weights."""
    head = build()
    cells, gamma = head(make_feats(3, seed=7))
    assert gamma.tolist() == [1, 1, 1] and cells.shape == (3, 2)
    bare = MODELS.build(dict(type='RootDepthHead', in_channels=C, heatmap_size=CELLS, deconv_out_channels=(6,),
                             deconv_kernel_sizes=(4,)))  # fmt: skip
    assert bare.eval()(make_feats())[1].tolist() == [1, 1]
    torch.nn.init.zeros_(head.final_layer.weight)
    torch.testing.assert_close(head(make_feats())[0], torch.tensor([[11.5, 7.5]] * 2))


def test_forward_is_the_expectation_and_the_pooled_features():
    head, feats = build(logit_scale=3.0), make_feats()
    torch.nn.init.normal_(head.final_layer.weight, std=0.5)
    torch.nn.init.normal_(head.gamma_layer.weight)
    cells, gamma = head(feats)
    probs = (
        (3 * head.final_layer(head.deconv_layers(feats[0])))
        .flatten(1)
        .softmax(1)
        .view(2, CELLS[1], CELLS[0])
    )
    x = (probs.sum(1) * torch.arange(24.0)).sum(1)
    y = (probs.sum(2) * torch.arange(16.0)).sum(1)
    torch.testing.assert_close(cells, torch.stack([x, y], dim=1))
    expected = 1 + (feats[0].mean((2, 3)) * head.gamma_layer.weight[:, :, 0, 0]).sum(1)
    torch.testing.assert_close(gamma, expected)


def test_gradients_in_double():
    head = build(decoder=None).double()
    torch.nn.init.normal_(head.final_layer.weight, std=0.5)
    torch.nn.init.normal_(head.gamma_layer.weight)
    feats = make_feats(1, dtype=torch.double)[0].requires_grad_()
    assert torch.autograd.gradcheck(lambda v: head((v,)), feats)


def test_gamma_keeps_float32_under_autocast():
    head, feats = build(), make_feats()
    torch.nn.init.normal_(head.gamma_layer.weight, std=0.01)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        cells, gamma = head(feats)
    assert gamma.dtype == cells.dtype == torch.float32
    torch.testing.assert_close(gamma, head(feats)[1], rtol=0, atol=1e-6)


def test_loss_by_hand():
    head, feats, batch = build(), make_feats(), make_batch()
    cells, _ = head(feats)
    labels = [sample.gt_instance_labels for sample in batch]
    expected = (
        sum(
            ((cell - label.root_cells[0]).abs().sum() + (4000 - label.root_depths[0]).abs()) / 3
            for cell, label in zip(cells, labels, strict=True)
        )
        / 2
    )
    losses = head.loss(feats, batch)
    torch.testing.assert_close(losses['loss_root'], expected)
    assert (
        losses['err_z']
        == losses['err_z_prior']
        == pytest.approx(
            np.mean([abs(4000 - float(label.root_depths[0])) for label in labels]), rel=1e-5
        )
    )
    assert [key for key in losses if 'loss' in key] == ['loss_root']


def test_2d_samples_give_no_depth_gradient():
    head, feats = build(), make_feats(4)
    mixed = make_batch(2) + make_batch(2, depth=0.0, seed=1)
    head.loss(feats, mixed)['loss_root'].backward()
    of_mixed = head.gamma_layer.weight.grad.clone()
    assert of_mixed.abs().sum() > 0 and head.final_layer.weight.grad.abs().sum() > 0
    head.zero_grad()
    head.loss((feats[0][2:],), mixed[2:])['loss_root'].backward()
    assert not head.gamma_layer.weight.grad.any() and not head.gamma_layer.bias.grad.any()
    assert head.final_layer.weight.grad.abs().sum() > 0
    head.zero_grad()
    head.loss((feats[0][:2],), mixed[:2])['loss_root'].backward()
    torch.testing.assert_close(
        of_mixed, head.gamma_layer.weight.grad / 2
    )  # the mean is over 4 instead of 2


def test_nothing_supervised_reaches_every_parameter():
    head = build()
    head.loss(make_feats(), make_batch(weights=0.0, depth=0.0))['loss_root'].backward()
    assert all(p.grad is not None and not p.grad.any() for p in head.parameters())


def test_learns_eight_samples():
    torch.manual_seed(0)
    head = build(in_channels=16, loss=dict(type='RootDepthLoss', depth_unit=50.0)).train()
    feats, batch = (torch.randn(8, 16, 8, 12) + torch.randn(8, 16, 1, 1),), make_batch(8)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.01)
    first = head.loss(feats, batch)
    for _ in range(200):
        optimizer.zero_grad()
        losses = head.loss(feats, batch)
        losses['loss_root'].backward()
        optimizer.step()
    assert (
        losses['err_xy'] < 0.35 * first['err_xy'] and losses['err_z'] < 0.1 * losses['err_z_prior']
    )


def test_predict():
    head = build()
    torch.nn.init.normal_(head.gamma_layer.weight)
    batch = make_batch()
    cells, gamma = head(make_feats())
    batch[1].set_metainfo(dict(root_k=np.float32([np.nan])))
    one, two = head.predict(make_feats(), batch, {})
    np.testing.assert_allclose(one.keypoints, 2 * cells[0].detach().numpy()[None, None], rtol=1e-5)
    np.testing.assert_allclose(one.root_depth, [4000 * gamma[0].item()], rtol=1e-6)
    np.testing.assert_allclose(two.root_gamma, [gamma[1].item()], rtol=1e-6)
    assert 'root_depth' not in two  # no camera, no depth
    assert one.keypoint_scores.shape == (1, 1) and len(one) == 1


def test_what_is_refused():
    with pytest.raises(ValueError, match='set both alike'):
        build(heatmap_size=(16, 24))
    with pytest.raises(ValueError, match='logit_scale'):
        build(logit_scale=0)
    with pytest.raises(ValueError, match=r'heatmap_size=\(24, 16\)'):
        build()((torch.zeros(1, C, 3, 3),))
    with pytest.raises(ValueError, match='flip_test'):
        build().predict(make_feats(), make_batch(), dict(flip_test=True))
    with pytest.raises(RuntimeError, match='decoder'):
        build(decoder=None).predict(make_feats(), make_batch())
