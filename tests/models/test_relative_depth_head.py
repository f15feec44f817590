# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The head against the paper's equations written out; its gradients; training; prediction.

32 x 32 px input, features of 8 x 8 px, heatmaps of 16 x 16 px, 4 joints.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.structures import InstanceData
from mmpose.registry import MODELS
from mmpose.structures import PoseDataSample
from scipy.special import expit
from torch import nn

from wsp_mm.codecs.pair_heatmap import PairHeatmapLabel
from wsp_mm.models.ops.masked_pooling import POOLINGS as OPS
from wsp_mm.models.relative_depth_head import FIRST_TEMPERATURE

POOLINGS = (*OPS, 'peak')
K, D, SIDE, MAP = 4, 6, 32, 16
FLIP_INDICES = [1, 0, 2, 3]
CODEC = dict(type='PairHeatmapLabel', input_size=(SIDE, SIDE), heatmap_size=(MAP, MAP), sigma=1.0)


def build(**kwargs):
    sizes = dict(in_channels=5, out_channels=K, deconv_out_channels=(D,), deconv_kernel_sizes=(4,))
    more = dict(depth_hidden=8, num_sampled_joints=None, alpha=2.0, decoder=CODEC)
    return MODELS.build({'type': 'RelativeDepthHead', **sizes, **more, **kwargs})


def make_sample(seed=0, visible=None, weight=1.0, boxes=((2, 2, 16, 28), (14, 6, 30, 30))):
    """A pair with joints inside its boxes and everything that the codec makes of it."""
    rng = np.random.default_rng(seed)
    boxes = np.float32(boxes)
    low, high = np.clip(boxes[:, None, :2], 0, SIDE - 1), np.clip(boxes[:, None, 2:], 0, SIDE - 1)
    keypoints = low + rng.random((2, K, 2)) * (high - low)
    codec = PairHeatmapLabel((SIDE, SIDE), (MAP, MAP), 1.0)
    encoded = codec.encode(keypoints, visible, np.array([seed % 2]), np.array([weight]))
    encoded['joint_order'] = rng.random((1, K), dtype=np.float32)
    sample = PoseDataSample(metainfo=dict(input_size=(SIDE, SIDE), flip_indices=FLIP_INDICES))
    sample.gt_instance_labels = InstanceData(
        pair_bboxes_input=torch.from_numpy(boxes)[None],
        **{key: torch.from_numpy(value) for key, value in encoded.items()},
    )
    return sample


def make_batch(size=3, **kwargs):
    return [make_sample(seed, **kwargs) for seed in range(size)]


def make_feats(size=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(size, 5, MAP // 2, MAP // 2, generator=generator, requires_grad=True),)


def target_maps(head, sample):
    labels = sample.gt_instance_labels
    maps, _ = head.decoder.heatmaps(labels.keypoint_labels, labels.keypoint_weights)
    return maps[0].flatten(0, 1) if head.out_channels == 2 * K else maps[0].amax(0)


def sharpen(head):
    """Set weights that make the probabilities of joints and pairs differ visibly."""
    torch.nn.init.normal_(head.depth_hidden_layer.weight, std=5.0)
    torch.nn.init.normal_(head.depth_output_layer.weight, std=5.0)
    return head.eval()


# ---------------------------------------------------------------------- equations


def literal_logit(head, features, masks, boxes, joint):
    """Eq. 5, the mean pooling and Eq. 6 without the sigmoid, for one image and one joint."""
    vectors = []
    for person, (x1, y1, x2, y2) in enumerate((np.array(boxes) * MAP / SIDE).tolist()):
        pixels = [(y, x) for y, x in np.ndindex(MAP, MAP) if x1 <= x <= x2 and y1 <= y <= y2]
        filtered = features * masks[(person * K + joint) % len(masks)]  # its own, or both's
        vectors.append(sum(filtered[:, y, x] for y, x in pixels) / len(pixels))
    hidden = head.depth_hidden_layer.weight @ torch.cat(vectors) + head.depth_hidden_layer.bias
    return (head.depth_output_layer.weight @ hidden.relu() + head.depth_output_layer.bias).item()


@pytest.mark.parametrize('person_channels', [False, True])
def test_prediction_is_eq5_and_eq6_written_out(person_channels):
    head = sharpen(build(person_channels=person_channels))
    feats, batch = make_feats(), make_batch()
    heatmaps, features = head(feats)[0], head.features(feats)
    spread = []
    for b, (pred, sample) in enumerate(zip(head.predict(feats, batch), batch, strict=True)):
        boxes = sample.gt_instance_labels.pair_bboxes_input[0]
        logits = [literal_logit(head, features[b], heatmaps[b], boxes, k) for k in range(K)]
        np.testing.assert_allclose(pred.depth_probs[0], expit(logits), rtol=1e-4)
        assert pred.pair_probs[0] == pytest.approx(expit(logits).mean(), rel=1e-4)
        spread += expit(logits).tolist()
    assert np.std(spread) > 0.01  # the comparison is not between constants


def test_the_answer_for_a_pair_is_the_mean_over_pair_joints():
    head, chosen = sharpen(build(pair_joints=(0, 2))), [0, 2]
    for pred in head.predict(make_feats(), make_batch()):
        assert pred.pair_probs[0] == pytest.approx(pred.depth_probs[0, chosen].mean(), rel=1e-6)
    for wrong in ((), (0, K), (-1,)):
        with pytest.raises(ValueError, match='pair_joints'):
            build(pair_joints=wrong)


@pytest.mark.parametrize('person_channels', [False, True])
def test_losses_are_eq8_to_eq10_written_out(person_channels):
    """One joint is unlabelled in A, one in B; the second sample is a tie."""
    head = build(person_channels=person_channels)
    visible = np.array([[1, 1, 0, 1], [1, 1, 1, 0]])
    batch = [make_sample(0, visible), make_sample(1, weight=0)]
    feats = make_feats(2)
    losses = head.loss(feats, batch)
    heatmaps, features = head(feats)[0], head.features(feats)
    norms = [
        (heatmaps[b] - target_maps(head, batch[b])).flatten(1).norm(dim=1).detach().numpy()
        for b in range(2)
    ]
    if person_channels:  # K = 2 in Eq. 10: of the first sample's 8 maps two are not labelled
        norms[0] = norms[0][visible.flatten() > 0]
    expected = (norms[0].mean() + norms[1].mean()) / 2
    assert losses['loss_heatmap'].item() == pytest.approx(expected, rel=1e-5)

    boxes = batch[0].gt_instance_labels.pair_bboxes_input[0]
    logits = [literal_logit(head, features[0], heatmaps[0], boxes, k) for k in (0, 1)]
    cross_entropy = -np.log(1 - expit(logits))  # label 0: B is nearer
    assert losses['loss_depth'].item() == pytest.approx(2 * cross_entropy.mean(), rel=1e-5)
    assert losses['acc_depth'].item() == np.mean(np.array(logits) < 0)
    assert losses['joints_drawn'].item() == 1  # two of the first pair, none of the tie
    assert [key for key in losses if 'loss' in key] == ['loss_heatmap', 'loss_depth']


# ---------------------------------------------------------------------- gradients


def gradients(head, feats, batch, key):
    """Which parts get a gradient that is not 0."""
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


@pytest.mark.parametrize('pooling', OPS)
@pytest.mark.parametrize(
    ('switches', 'reaches_mask'),
    [
        (dict(), True),
        (dict(detach_mask=True), False),
        (dict(mask='target'), False),
        (dict(person_channels=True), True),
    ],
)
def test_gradients_reach_what_the_switches_say(pooling, switches, reaches_mask):
    head, feats, batch = build(pooling=pooling, **switches), make_feats(), make_batch()
    depth = gradients(head, feats, batch, 'loss_depth')
    assert depth == dict(backbone=True, deconv=True, mask=reaches_mask, depth=True)
    heatmap = gradients(head, feats, batch, 'loss_heatmap')
    assert heatmap == dict(backbone=True, deconv=True, mask=True, depth=False)


def test_alpha_scales_the_depth_loss_alone_and_0_learns_heatmaps_alone():
    feats, batch, found = make_feats(), make_batch(), {}
    for alpha in (0.0, 1.0, 50.0):
        torch.manual_seed(0)
        found[alpha] = build(alpha=alpha).loss(feats, batch)
    assert found[50]['loss_depth'].item() == pytest.approx(50 * found[1]['loss_depth'].item())
    assert found[0]['loss_heatmap'] == found[1]['loss_heatmap'] == found[50]['loss_heatmap']
    head = build(alpha=0.0)
    assert not any(gradients(head, feats, batch, 'loss_depth').values())
    assert all(parameter.grad is not None for parameter in head.parameters() if parameter.ndim > 1)


@pytest.mark.parametrize('pooling', POOLINGS)
@pytest.mark.parametrize(
    'switches', [dict(), dict(mask='target'), dict(alpha=0.0), dict(num_sampled_joints=2)]
)
def test_a_batch_without_a_valid_joint_leaves_no_gradient_missing(pooling, switches):
    head, feats = build(pooling=pooling, **switches), make_feats()
    losses = head.loss(feats, make_batch(visible=np.zeros((2, K))))
    assert losses['loss_depth'].item() == losses['loss_heatmap'].item() == 0
    (losses['loss_heatmap'] + losses['loss_depth']).backward()
    assert all(p.grad is not None and not p.grad.any() for p in head.parameters())


@pytest.mark.parametrize('pooling', POOLINGS)
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
    head, feats, batch = build(pooling=pooling), make_feats(), make_batch(boxes=boxes)
    losses = head.loss(feats, batch)
    (losses['loss_heatmap'] + losses['loss_depth']).backward()
    assert all(value.isfinite() for value in losses.values())
    assert all(parameter.grad.isfinite().all() for parameter in head.parameters())
    for pred in head.predict(feats, batch):
        assert np.isfinite(pred.keypoints).all()
        assert ((pred.depth_probs >= 0) & (pred.depth_probs <= 1)).all()


def test_a_pair_with_a_person_outside_the_input_carries_no_depth_loss():
    """Its pooled features are zeros, which say nothing."""
    head, feats, outside = build().eval(), make_feats(2), make_sample(1)
    outside.gt_instance_labels.pair_bboxes_input[0, 1] += 100
    alone = head.loss((feats[0][:1],), [make_sample(0)])
    both = head.loss(feats, [make_sample(0), outside])
    assert both['loss_depth'].item() == pytest.approx(alone['loss_depth'].item(), rel=1e-5)


def test_mixed_precision_keeps_the_losses_in_float32():
    head, feats, batch = build(), make_feats(), make_batch()
    with torch.autocast('cpu', torch.bfloat16):
        assert head(feats)[0].dtype == torch.bfloat16
        losses = head.loss(feats, batch)
    assert losses['loss_depth'].dtype == losses['loss_heatmap'].dtype == torch.float32
    (losses['loss_heatmap'] + losses['loss_depth']).backward()
    assert all(parameter.grad.isfinite().all() for parameter in head.parameters())
    full = head.loss(feats, batch)
    assert losses['loss_depth'].item() == pytest.approx(full['loss_depth'].item(), rel=0.05)


# ---------------------------------------------------------------------- training


def test_the_loss_looks_at_the_n_valid_joints_with_the_highest_order():
    """Whichever the place in the batch."""
    head = build(num_sampled_joints=2).eval()
    visible = np.array([[1, 1, 1, 1], [1, 1, 1, 0]])
    batch = [make_sample(0), make_sample(1, visible), make_sample(2, [[1, 0, 0, 0]] * 2)]
    feats = make_feats()
    losses = head.loss(feats, batch)
    boxes = torch.cat([sample.gt_instance_labels.pair_bboxes_input for sample in batch])
    logits = head.depth_logits(head(feats, boxes)[1])
    values = []
    for b, (sample, valid) in enumerate(zip(batch, (4, 3, 1), strict=True)):
        order = sample.gt_instance_labels.joint_order[0, :valid]
        drawn = logits[b, order.argsort(descending=True)[:2]]
        values.append(np.mean([math.log1p(math.exp(-x if b % 2 else x)) for x in drawn.tolist()]))
    assert losses['loss_depth'].item() == pytest.approx(2 * np.mean(values), rel=1e-5)
    assert losses['joints_drawn'].item() == pytest.approx(5 / 3)
    again = head.loss((feats[0].flip(0),), batch[::-1])
    assert again['loss_depth'].item() == pytest.approx(losses['loss_depth'].item(), rel=1e-5)


@pytest.mark.parametrize('pooling', POOLINGS)
def test_start_is_sane(pooling):
    """From the initialisation of a real run: probability about 1/2, an empty heatmap's loss."""
    head, batch = build(pooling=pooling, alpha=50.0), make_batch()
    head.init_weights()
    losses = head.loss(make_feats(), batch)
    assert losses['loss_depth'].item() == pytest.approx(50 * math.log(2), rel=0.1)
    empty = np.mean([target_maps(head, sample).flatten(1).norm(dim=1).mean() for sample in batch])
    assert losses['loss_heatmap'].item() == pytest.approx(empty, rel=0.05)


def image_of_pair(head, sample, nearer):
    """Blobs where the joints are; those of the nearer person also in the second color."""
    blobs = target_maps(head, sample).amax(0).repeat_interleave(2, 0).repeat_interleave(2, 1)
    x1, y1, x2, y2 = sample.gt_instance_labels.pair_bboxes_input[0, nearer].int().tolist()
    image = torch.zeros(3, SIDE, SIDE)
    image[0], image[1, y1 : y2 + 1, x1 : x2 + 1] = blobs, blobs[y1 : y2 + 1, x1 : x2 + 1]
    return image


@pytest.mark.parametrize(
    'switches',
    [
        dict(alpha=1.0),
        dict(alpha=50.0, pooling='normalized'),
        dict(alpha=1.0, pairwise='difference'),
        dict(alpha=1.0, pairwise='difference', pooling='peak'),
    ],
)
def test_sixteen_pairs_are_learned_completely(switches):
    """100 % of the joints, by looking: for images without content it has one answer for all."""
    sizes = dict(in_channels=32, deconv_out_channels=(32,), depth_hidden=64, num_sampled_joints=2)
    head = build(**sizes, **switches)
    head.init_weights()
    batch = make_batch(16, boxes=[[1, 2, 14, 29], [17, 2, 30, 29]])  # the same for all pairs
    labels = np.arange(16) % 2
    images = torch.stack([image_of_pair(head, batch[i], 1 - labels[i]) for i in range(16)])
    backbone = nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU(),
    )  # fmt: skip
    optimizer = torch.optim.Adam([*backbone.parameters(), *head.parameters()], lr=3e-3)
    # Small steps at last, so that BatchNorm's running means are those of the tested weights.
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [150])
    for _ in range(200):
        losses = head.loss((backbone(images),), batch)
        optimizer.zero_grad()
        (losses['loss_heatmap'] + losses['loss_depth']).backward()
        optimizer.step()
        schedule.step()
    backbone.eval(), head.eval()
    with torch.no_grad():
        preds = head.predict((backbone(images),), batch)
        gray = head.predict((backbone(torch.full_like(images, 0.5)),), batch)
    decisions = np.concatenate([pred.depth_probs for pred in preds]) >= 0.5
    assert (decisions == labels[:, None]).all()
    assert len({tuple(pred.depth_probs[0]) for pred in gray}) == 1
    if switches['alpha'] == 1.0:  # an empty map costs 2.5; at alpha 50 the maps learn far later
        assert losses['loss_heatmap'].item() < 1.2


# ---------------------------------------------------------------------- prediction


def bare(sample, order=(0, 1)):
    """A sample of the two boxes alone, as a test has it."""
    out = PoseDataSample(metainfo=sample.metainfo)
    boxes = sample.gt_instance_labels.pair_bboxes_input[:, list(order)]
    out.gt_instance_labels = InstanceData(pair_bboxes_input=boxes)
    return out


def test_prediction_needs_only_boxes_and_is_one_pair_long():
    head, feats, batch = build(mask='target').eval(), make_feats(), make_batch()
    preds = head.predict(feats, [bare(sample) for sample in batch])
    shapes = dict(keypoints=(1, 2, K, 2), keypoint_scores=(1, 2, K), depth_probs=(1, K))
    for pred, full in zip(preds, head.predict(feats, batch), strict=True):
        assert {key: value.shape for key, value in pred.items()} == shapes | dict(pair_probs=(1,))
        assert all(isinstance(value, np.ndarray) for value in pred.values())
        np.testing.assert_array_equal(pred.depth_probs, full.depth_probs)
        pred.to_tensor()  # asserts equal lengths


@pytest.mark.parametrize('pooling', ['mean', 'normalized', 'max'])
@pytest.mark.parametrize('flip_test', [False, True])
def test_symmetric_swap_turns_p_into_one_minus_p(pooling, flip_test):
    head = sharpen(build(symmetric=True, pooling=pooling))
    torch.nn.init.constant_(head.depth_output_layer.bias, 0.7)  # f alone favours A
    feats = [make_feats(), make_feats(seed=50)] if flip_test else make_feats()
    batch, test_cfg = make_batch(), dict(flip_test=flip_test)
    plain = head.predict(feats, batch, test_cfg)
    swapped = head.predict(feats, [bare(sample, (1, 0)) for sample in batch], test_cfg)
    for one, other in zip(plain, swapped, strict=True):
        for name in ('depth_probs_averaged', 'pair_probs_averaged'):
            np.testing.assert_allclose(other.get(name), 1 - one.get(name), atol=2e-7)
        assert not np.allclose(other.depth_probs, 1 - one.depth_probs, atol=1e-3)
        np.testing.assert_array_equal(other.keypoints, one.keypoints[:, ::-1])
    head.symmetric = False
    lopsided = head.predict(feats[0] if flip_test else feats, batch)
    for one, other in zip(plain, lopsided, strict=True):  # what stands beside it is f alone
        np.testing.assert_array_equal(one.depth_probs, other.depth_probs)
        np.testing.assert_array_equal(one.pair_probs, other.pair_probs)
        assert 'depth_probs_averaged' not in other


@pytest.mark.parametrize('person_channels', [False, True])
def test_flip_test_averages_with_the_mirrored_answer(person_channels):
    """Mirrored back: boxes (px x is px W - 1 - x), joints of left and right, maps."""
    head = build(person_channels=person_channels).eval()
    torch.nn.init.normal_(head.depth_output_layer.weight, std=5.0)
    feats, other = make_feats(1), make_feats(1, seed=1)
    boxes, back = [[2, 2, 16, 28], [14, 6, 30, 30]], [[15, 2, 29, 28], [1, 6, 17, 30]]
    one, mirrored = (bare(make_sample(boxes=each)) for each in (boxes, back))
    maps = dict(output_heatmaps=True)
    (plain,), (plain_maps,) = head.predict(feats, [one], maps)
    (flipped,), (flipped_maps,) = head.predict(other, [mirrored], maps)
    (both,), (both_maps,) = head.predict([feats, other], [one], dict(maps, flip_test=True))
    expected = (plain.depth_probs + flipped.depth_probs[:, FLIP_INDICES]) / 2
    np.testing.assert_allclose(both.depth_probs_averaged, expected, rtol=1e-5)
    np.testing.assert_array_equal(both.depth_probs, plain.depth_probs)
    assert np.ptp(flipped.depth_probs) > 1e-3  # a forgotten swap of joints would show
    by_joint = flipped_maps.heatmaps.unflatten(0, (-1, K))[:, FLIP_INDICES].flip(-1).flatten(0, 1)
    torch.testing.assert_close(both_maps.heatmaps, (plain_maps.heatmaps + by_joint) / 2)
    torch.testing.assert_close(plain_maps.heatmaps, head(feats)[0][0])


@pytest.mark.parametrize(
    ('kwargs', 'test_cfg'),
    [
        (dict(pooling='median'), {}),
        (dict(pairwise='product'), {}),
        (dict(pairwise='difference', person_channels=True), {}),
        (dict(ratio_loss=dict(type='DepthRatioLoss')), {}),
        (dict(mask='none'), {}),
        (dict(alpha=-1.0), {}),
        (dict(alpha=float('nan')), {}),
        (dict(num_sampled_joints=0), {}),
        (dict(num_sampled_joints=5), {}),
        ({}, dict(flip_mode='udp_combined')),
        ({}, dict(output_keypoint_indices=[0])),
    ],
)
def test_bad_options(kwargs, test_cfg):
    with pytest.raises(ValueError, match=next(iter(kwargs or test_cfg))):
        build(**kwargs).predict(make_feats(), make_batch(), test_cfg)


# ---------------------------------------------------------------------- pooling around the peak


def test_pooling_around_the_peak_written_out():
    """Under a Gaussian of the codec's sigma about the predicted joint; the boxes only find it."""
    head, feats = build(pooling='peak').eval(), make_feats(1)
    boxes = torch.tensor([[[0.0, 0, 31, 31], [8, 8, 20, 20]]])
    heatmaps, pooled = head(feats, boxes)
    features = head.features(feats)[0]
    joints, _ = head.decoder.peaks(heatmaps[:, None], boxes)
    for person, joint in np.ndindex(2, K):
        x, y = (joints[0, person, joint] / 2).tolist()
        columns, rows = np.meshgrid(np.arange(MAP), np.arange(MAP))
        weights = torch.tensor(np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 2)).float()
        expected = (features * weights).sum((1, 2)) / weights.sum()
        torch.testing.assert_close(pooled[0, person, joint], expected, rtol=1e-3, atol=1e-5)
    peak = head(feats, boxes + torch.tensor([0.0, 0, 0, 0.4]))[1]
    torch.testing.assert_close(peak, pooled, rtol=0, atol=0)


def test_pooling_around_labelled_joints_in_training():
    """``mask='target'``: where a joint is labelled, the boxes do not even find it."""
    visible = np.array([[1, 1, 0, 1], [1, 1, 0, 1]])
    sample, feats = make_sample(visible=visible), make_feats(1)
    head = build(pooling='peak', mask='target', num_sampled_joints=None)
    one = head.loss(feats, [sample])
    sample.gt_instance_labels.pair_bboxes_input[:] = torch.tensor([0.0, 0, 20, 20])
    other = head.loss(feats, [sample])
    assert one['loss_depth'] == other['loss_depth']
    head.mask = 'predicted'
    assert head.loss(feats, [sample])['loss_depth'] != one['loss_depth']


@pytest.mark.parametrize('mask', ['predicted', 'target'])
@pytest.mark.parametrize('pairwise', ['concat', 'difference'])
def test_gradients_of_pooling_around_the_peak(mask, pairwise):
    """Where a peak is has no gradient; what the features there are has one."""
    head, feats = build(pooling='peak', mask=mask, pairwise=pairwise), make_feats()
    depth = gradients(head, feats, make_batch(), 'loss_depth')
    assert depth == dict(backbone=True, deconv=True, mask=False, depth=True)


# ---------------------------------------------------------------------- depth scores

SCORE = dict(pairwise='difference', ratio_loss=dict(type='DepthRatioLoss'))


def scoring(**kwargs):
    return sharpen(build(**{**SCORE, 'pooling': 'peak', **kwargs}))


@pytest.mark.parametrize('flip_test', [False, True])
@pytest.mark.parametrize('pooling', ['mean', 'peak'])
def test_a_score_is_farther_and_swapping_negates(flip_test, pooling):
    head = scoring(pooling=pooling)
    feats = [make_feats(), make_feats(seed=50)] if flip_test else make_feats()
    batch, test_cfg = make_batch(), dict(flip_test=flip_test)
    plain = head.predict(feats, batch, test_cfg)
    swapped = head.predict(feats, [bare(sample, (1, 0)) for sample in batch], test_cfg)
    kinds = ('', '_averaged') if flip_test else ('',)
    for one, other in zip(plain, swapped, strict=True):
        assert ('depth_scores_averaged' in one) == flip_test
        for kind in kinds:
            scores = one.get(f'depth_scores{kind}')
            assert scores.shape == (1, 2, K)
            np.testing.assert_array_equal(other.get(f'depth_scores{kind}'), scores[:, ::-1])
            logits = (scores[0, 1] - scores[0, 0]) / head.temperature.item()
            probs = one.get(f'depth_probs{kind}')[0]
            np.testing.assert_allclose(probs, expit(logits), atol=1e-6)
            np.testing.assert_allclose(other.get(f'depth_probs{kind}')[0], 1 - probs, atol=1e-6)
            pair = one.get(f'pair_probs{kind}')[0]
            assert pair == pytest.approx(probs.mean(), rel=1e-5) and abs(pair - 0.5) > 1e-4


def test_symmetric_adds_no_pass_and_changes_nothing(monkeypatch):
    head, feats, batch = scoring(), make_feats(), make_batch()
    plain, calls = head.predict(feats, batch), []
    head.symmetric, layer = True, head.depth_hidden_layer
    layer.register_forward_hook(lambda *_: calls.append(1))
    for one, other in zip(plain, head.predict(feats, batch), strict=True):
        np.testing.assert_array_equal(other.pair_probs_averaged, one.pair_probs)
        np.testing.assert_array_equal(other.depth_probs, one.depth_probs)
    assert len(calls) == 1


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), persons=st.integers(1, 6))
def test_one_pass_orders_a_crowd_as_its_pairs_do(seed, persons):
    """Antisymmetric and transitive, whoever else is asked about."""
    head, feats = scoring(), make_feats(1, seed)
    corners = np.sort(np.random.default_rng(seed).uniform(-4, 36, (persons, 2, 2)), axis=1)
    boxes = torch.from_numpy(corners.reshape(1, persons, 4)).float()
    with torch.no_grad():
        scores = head.person_scores(feats, boxes)
        crowd = head.crowd_probs(scores)[0]
    assert scores.shape == (1, persons, K)
    torch.testing.assert_close(crowd + crowd.T, torch.ones(persons, persons))
    for a, b in np.ndindex(persons, persons):
        if a == b:
            continue
        pair = bare(make_sample())
        pair.gt_instance_labels.pair_bboxes_input = boxes[:, [a, b]]
        (pred,) = head.predict(feats, [pair])
        np.testing.assert_allclose(pred.depth_scores[0], scores[0, [a, b]], atol=1e-5)
        assert pred.pair_probs[0] == pytest.approx(crowd[a, b].item(), abs=1e-4)
    nearer = crowd > 0.5  # with one joint the order has no circle
    alone = build(pairwise='difference', pair_joints=[1]).crowd_probs(scores)[0] > 0.5
    for a, b, c in np.ndindex(persons, persons, persons):
        assert not (alone[a, b] and alone[b, c]) or alone[a, c]
    assert not nearer.diagonal().any()


def test_a_crowd_is_predicted_without_pairs():
    head, sample = scoring(symmetric=True), bare(make_sample())
    boxes = torch.tensor([[[2.0, 2, 16, 28], [14, 6, 30, 30], [5, 5, 25, 25]]])
    sample.gt_instance_labels.pair_bboxes_input = boxes
    (pred,) = head.predict(make_feats(1), [sample])
    shapes = dict(keypoints=(1, 3, K, 2), keypoint_scores=(1, 3, K), depth_scores=(1, 3, K))
    shapes |= dict(depth_scores_averaged=(1, 3, K))
    assert {key: value.shape for key, value in pred.items()} == shapes


def with_ratios(sample, ratio):
    ratios = torch.full((1, K), float(ratio))
    ratios[0, 1] = torch.nan
    sample.gt_instance_labels.depth_ratios = ratios
    return sample


def test_the_ratio_loss_is_that_of_score_differences():
    head, feats = build(**SCORE, alpha=0.0), make_feats(2)
    visible = np.array([[1, 1, 1, 1], [1, 1, 1, 0]])
    batch = [with_ratios(make_sample(0, visible), 0.4), with_ratios(make_sample(1), -3.0)]
    losses = head.loss(feats, batch)
    boxes = torch.cat([sample.gt_instance_labels.pair_bboxes_input for sample in batch])
    scores = head.person_scores(feats, boxes).detach().numpy()
    error = np.abs(scores[:, 1] - scores[:, 0] - np.array([[0.4], [-3.0]]))
    assert (error > 0.1).all()
    expected = ((error[0, [0, 2]] - 0.05).mean() + (error[1, [0, 2, 3]] - 0.05).mean()) / 2
    assert losses['loss_ratio'].item() == pytest.approx(expected, rel=1e-5)
    assert 'loss_within' not in losses
    without = head.loss(feats, make_batch(2))['loss_ratio']  # a data set without such labels
    assert without.item() == 0 and without.requires_grad


def test_a_soft_label_of_one_half_is_neither_right_nor_wrong():
    head, feats, batch = build(pairwise='difference').eval(), make_feats(2), make_batch(2)
    decided = head.loss((feats[0][:1],), batch[:1])['acc_depth']
    batch[1].gt_instance_labels.depth_labels[:] = 0.5
    losses = head.loss(feats, batch)
    assert losses['acc_depth'] == decided and losses['joints_drawn'] == K


def make_sample_of_16(visible=None, down=None):
    """A pair with the 16 joints that limbs need, and its keypoints, input px."""
    keypoints = np.random.default_rng(0).uniform(1, SIDE - 2, (2, 16, 2))
    codec = PairHeatmapLabel((SIDE, SIDE), (MAP, MAP), 1.0)
    encoded = codec.encode(keypoints, visible, np.array([1.0]), np.array([1.0]))
    sample = PoseDataSample(metainfo=dict(input_size=(SIDE, SIDE)))
    sample.gt_instance_labels = InstanceData(
        pair_bboxes_input=torch.tensor([[[2.0, 2, 16, 28], [14, 6, 30, 30]]]),
        **{key: torch.from_numpy(value) for key, value in encoded.items()},
    )
    if down is not None:
        sample.gt_instance_labels.pair_down = torch.tensor(down).expand(1, 2, 2)
    return sample, keypoints


def test_the_loss_within_persons_gets_input_px_and_the_images_down():
    within = dict(type='WithinPersonDepthLoss')
    head = build(**SCORE, out_channels=16, within_loss=within)
    feats = make_feats(1)
    for down in ((0.0, 1.0), (0.6, -0.8)):
        sample, keypoints = make_sample_of_16(down=down)
        found = head.loss(feats, [sample])['loss_within']
        scores = head.person_scores(feats, sample.gt_instance_labels.pair_bboxes_input)
        expected = MODELS.build(within)(
            scores, head.temperature, torch.from_numpy(keypoints)[None], torch.ones(1, 2, 16),
            torch.tensor(down).expand(1, 2, 2), SIDE,
        )  # fmt: skip
        assert found.item() == pytest.approx(expected.item(), rel=1e-4) and found > 0
    default, _ = make_sample_of_16()
    upright, _ = make_sample_of_16(down=(0.0, 1.0))
    one, two = (head.loss(feats, [sample])['loss_within'] for sample in (default, upright))
    assert one == two != found


@pytest.mark.parametrize('labelled', [True, False])
@pytest.mark.parametrize('pooling', ['mean', 'peak'])
def test_every_parameter_of_scores_gets_a_gradient(labelled, pooling):
    """Also where nothing is labelled."""
    switches = dict(
        out_channels=16, pooling=pooling, within_loss=dict(type='WithinPersonDepthLoss')
    )
    head = build(**SCORE, **switches)
    sample, _ = make_sample_of_16(visible=np.full((2, 16), float(labelled)))
    if labelled:
        sample.gt_instance_labels.depth_ratios = torch.full((1, 16), 0.3)
    losses = head.loss(make_feats(1), [sample])
    total = sum(value for key, value in losses.items() if 'loss' in key)
    total.backward()
    assert all(parameter.grad is not None for parameter in head.parameters())
    assert all(parameter.grad.isfinite().all() for parameter in head.parameters())
    assert bool(head.log_temperature.grad != 0) == labelled
    assert (total.item() == 0) == (not labelled)


@pytest.mark.parametrize('pooling', POOLINGS)
def test_scores_start_near_one_half(pooling):
    head = build(pairwise='difference', pooling=pooling)
    head.init_weights()
    losses = head.loss(make_feats(), make_batch())
    assert losses['loss_depth'].item() == pytest.approx(2 * math.log(2), rel=0.1)
    assert head.temperature.item() == pytest.approx(FIRST_TEMPERATURE)


def test_a_constant_feature_map_gets_one_half():
    """Wherever the boxes are: neither they nor the border reach the answer."""
    head = scoring()
    maps = torch.full((3, 5, MAP // 2, MAP // 2), 0.4)
    constant = head.features((maps,))[:1, :, 8:9, 8:9].expand(3, -1, MAP, MAP)
    head.features = lambda feats: constant
    for pred in head.predict((maps,), make_batch()):
        np.testing.assert_allclose(pred.depth_probs, 0.5, atol=1e-5)
    head.pooling = 'sum'  # tells how large the boxes are
    other = [pred.depth_probs for pred in head.predict((maps,), make_batch())]
    assert np.abs(np.array(other) - 0.5).min() > 1e-3
