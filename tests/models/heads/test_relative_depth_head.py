# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The head against the paper's equations written out; where its gradients go; what it refuses."""

import math

import numpy as np
import pytest
import torch
from relative_depth_cases import (
    MAP,
    SIDE,
    D,
    K,
    build,
    codec,
    make_batch,
    make_feats,
    make_sample,
    sharpen,
    sigmoid,
)

from wsp_mm.codecs.box_cells import box_membership


def literal_probability(head, features, masks, boxes, joint):
    """Eq. 5, 6 and the mean pooling, for one picture and one joint, in plain loops."""
    stride = SIDE / MAP
    vectors = []
    for x1, y1, x2, y2 in boxes.tolist():
        cells = [
            (y, x)
            for y in range(MAP)
            for x in range(MAP)
            if x1 <= x * stride <= x2 and y1 <= y * stride <= y2
        ]
        filtered = features * masks[joint].repeat(D, 1, 1)  # Eq. 5
        vectors += [sum(filtered[d, y, x].item() for y, x in cells) / len(cells) for d in range(D)]
    hidden, out = head.depth_hidden_layer, head.depth_output_layer  # Eq. 6
    units = []
    for row, bias in zip(hidden.weight.tolist(), hidden.bias.tolist(), strict=True):
        units.append(max(0.0, sum(w * v for w, v in zip(row, vectors, strict=True)) + bias))
    return sigmoid(
        sum(w * u for w, u in zip(out.weight[0].tolist(), units, strict=True)) + out.bias.item()
    )


def test_equals_eq5_and_eq6_written_out():
    head = build().eval()
    sharpen(head)
    feats, batch = make_feats(), make_batch()
    preds = head.predict(feats, batch)
    heatmaps, features = head(feats)
    spread = []
    for b, (pred, sample) in enumerate(zip(preds, batch, strict=True)):
        boxes = sample.gt_instance_labels.pair_bboxes_input[0]
        expected = [literal_probability(head, features[b], heatmaps[b], boxes, k) for k in range(K)]
        np.testing.assert_allclose(pred.depth_probs[0], expected, rtol=1e-4)
        assert pred.pair_probs[0] == pytest.approx(np.mean(expected), rel=1e-4)
        spread += expected
    assert np.std(spread) > 0.01  # the comparison is not between constants


@pytest.mark.parametrize('person_channels', [False, True])
def test_losses_are_eq8_to_eq10_written_out(person_channels):
    """One joint is unlabelled in one person, one sample is a tie."""
    head = build(person_channels=person_channels)
    visible = np.array([[1, 1, 0, 1], [1, 1, 1, 0]])
    batch = [
        make_sample(0, visible, person_channels=person_channels),
        make_sample(1, weight=0, person_channels=person_channels),
    ]
    feats = make_feats(2)
    losses = head.loss(feats, batch)
    heatmaps, features = head(feats)
    norms = [
        [
            np.linalg.norm((heatmaps[b, c] - batch[b].gt_fields.heatmaps[c]).detach().numpy())
            for c in range(len(heatmaps[b]))
        ]
        for b in range(2)
    ]
    if (
        person_channels
    ):  # K = 2 in Eq. 10: 8 maps, of which two of the first sample are not labelled
        expected = (np.mean(np.array(norms[0])[visible.flatten() > 0]) + np.mean(norms[1])) / 2
    else:  # every joint is labelled in one person or the other
        expected = np.mean(norms)
    assert losses['loss_heatmap'].item() == pytest.approx(expected, rel=1e-5)

    boxes = batch[0].gt_instance_labels.pair_bboxes_input
    inside = box_membership(boxes, (SIDE, SIDE), (MAP, MAP))
    logits = head.depth_logits(head.pair_features(features[:1], heatmaps[:1], inside))[0]
    cross_entropy = [
        -math.log(1 - sigmoid(logits[k].item())) for k in (0, 1)
    ]  # label 0: B is nearer
    assert losses['loss_depth'].item() == pytest.approx(2.0 * np.mean(cross_entropy), rel=1e-5)
    assert losses['acc_depth'].item() == pytest.approx(
        np.mean([logits[k].item() < 0 for k in (0, 1)])
    )
    assert losses['joints_drawn'].item() == 1  # two of the first pair, none of the tie
    assert {key for key in losses if 'loss' in key} == {
        'loss_heatmap',
        'loss_depth',
    }  # MMEngine adds these up


def test_person_channels_use_each_persons_own_mask():
    """With maps (A's K, B's K), B's maps must not touch A's features."""
    head = build(person_channels=True)
    feats = make_feats(1)
    heatmaps, features = head(feats)
    inside = torch.ones(1, 2, MAP, MAP, dtype=torch.bool)
    before = head.pair_features(features, heatmaps, inside)
    changed = heatmaps.clone()
    changed[:, K:] += 1
    after = head.pair_features(features, changed, inside)
    assert torch.equal(before[:, 0], after[:, 0])
    assert not torch.isclose(before[:, 1], after[:, 1]).any()


def gradients(head, feats, batch, key):
    head.zero_grad()
    feats[0].grad = None
    head.loss(feats, batch)[key].backward()
    groups = dict(
        backbone=[feats[0]],
        deconv=head.deconv_layers.parameters(),
        mask=head.final_layer.parameters(),
        depth=[*head.depth_hidden_layer.parameters(), *head.depth_output_layer.parameters()],
    )
    return {
        name: any(p.grad is not None and bool((p.grad != 0).any()) for p in parameters)
        for name, parameters in groups.items()
    }


@pytest.mark.parametrize('pooling', ['mean', 'sum', 'max', 'normalized'])
@pytest.mark.parametrize(
    ('switches', 'reaches_mask'),
    [
        (dict(), True),
        (dict(detach_mask=True), False),
        (dict(mask='target'), False),
        (dict(mask='target', detach_mask=True), False),
        (dict(person_channels=True), True),
    ],
)
def test_gradients_reach_what_the_switches_say(pooling, switches, reaches_mask):
    head, feats = build(pooling=pooling, **switches), make_feats()
    batch = make_batch(person_channels=switches.get('person_channels', False))
    depth = gradients(head, feats, batch, 'loss_depth')
    assert depth == dict(backbone=True, deconv=True, mask=reaches_mask, depth=True)
    heatmap = gradients(head, feats, batch, 'loss_heatmap')
    assert heatmap == dict(backbone=True, deconv=True, mask=True, depth=False)


def test_alpha_zero_learns_heatmaps_alone_and_leaves_no_gradient_missing():
    head, feats, batch = build(alpha=0.0), make_feats(), make_batch()
    losses = head.loss(feats, batch)
    assert losses['loss_depth'].item() == 0
    (losses['loss_heatmap'] + losses['loss_depth']).backward()
    assert all(p.grad is not None for p in head.parameters())
    assert gradients(head, feats, batch, 'loss_heatmap')['deconv']
    assert len(head.predict(feats, batch)) == 3


def test_alpha_scales_the_depth_loss_alone():
    feats, batch = make_feats(), make_batch()
    one, fifty = (build(alpha=alpha).loss(feats, batch) for alpha in (1.0, 50.0))
    assert fifty['loss_depth'].item() == pytest.approx(50 * one['loss_depth'].item(), rel=1e-5)
    assert fifty['loss_heatmap'].item() == one['loss_heatmap'].item()


@pytest.mark.parametrize('pooling', ['mean', 'sum', 'max', 'normalized'])
@pytest.mark.parametrize(
    'switches', [dict(), dict(mask='target'), dict(alpha=0.0), dict(num_sampled_joints=2)]
)
def test_batch_without_a_valid_joint(pooling, switches):
    """No joint is labelled in both: no depth gradient, but none missing either."""
    head, feats = build(pooling=pooling, **switches), make_feats()
    batch = make_batch(visible=np.zeros((2, K)))
    losses = head.loss(feats, batch)
    assert losses['loss_depth'].item() == losses['loss_heatmap'].item() == 0
    (losses['loss_heatmap'] + losses['loss_depth']).backward()
    for parameter in head.parameters():
        assert parameter.grad is not None
        assert (parameter.grad == 0).all()


@pytest.mark.parametrize('pooling', ['mean', 'sum', 'max', 'normalized'])
@pytest.mark.parametrize(
    'boxes',
    [
        [[5, 5, 5.5, 5.5], [4.3, 4.3, 4.4, 20]],  # tiny, thin
        [[-90, -90, 3, 90], [25, 25, 99, 99]],  # clipped
        [[3, 3, 28, 28], [3, 3, 28, 28]],  # the same
        [[2, 2, 20, 28], [60, 60, 90, 90]],  # B outside
    ],
)
def test_odd_boxes_give_finite_losses_and_gradients(pooling, boxes):
    head, feats = build(pooling=pooling), make_feats()
    batch = make_batch(boxes=boxes)
    losses = head.loss(feats, batch)
    sum(loss for key, loss in losses.items() if 'loss' in key).backward()
    assert all(torch.isfinite(value) for value in losses.values())
    assert all(torch.isfinite(parameter.grad).all() for parameter in head.parameters())
    for pred in head.predict(feats, batch):
        assert np.isfinite(pred.keypoints).all()
        assert ((pred.depth_probs >= 0) & (pred.depth_probs <= 1)).all()


def test_pair_with_a_person_outside_the_input_carries_no_depth_loss():
    """Its pooled features are zeros, which say nothing."""
    head, feats = build().eval(), make_feats(2)
    outside = make_sample(1)
    outside.gt_instance_labels.pair_bboxes_input[0, 1] += 100
    alone = head.loss((feats[0][:1],), [make_sample(0)])
    both = head.loss(feats, [make_sample(0), outside])
    assert both['loss_depth'].item() == pytest.approx(alone['loss_depth'].item(), rel=1e-5)


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(pooling='median'), 'pooling'),
        (dict(mask='none'), 'mask'),
        (dict(alpha=-1.0), 'alpha'),
        (dict(alpha=float('nan')), 'alpha'),
        (dict(num_sampled_joints=0), 'num_sampled_joints'),
        (dict(num_sampled_joints=5), 'num_sampled_joints'),
        (dict(person_channels=True, decoder=codec(False)), 'person_channels'),
        (
            dict(
                decoder=dict(
                    type='MSRAHeatmap', input_size=(32, 32), heatmap_size=(16, 16), sigma=2
                )
            ),
            'PairHeatmap',
        ),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        build(**kwargs)


def test_state_dict_round_trip_also_without_metadata():
    """A raw state dict carries no version: HeatmapHead's conversion of old checkpoints leaves ours
    alone.
    """
    head, other = build(), build()
    for parameter in other.parameters():
        torch.nn.init.normal_(parameter)
    for state in (dict(other.state_dict()), other.state_dict()):
        head.load_state_dict(state, strict=True)
        assert all(
            torch.equal(a, b) for a, b in zip(head.parameters(), other.parameters(), strict=True)
        )
