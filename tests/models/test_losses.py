# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The losses by hand; and the mean over ranks is what one process computes from the whole batch."""

import math

import pytest
import torch
from mmpose.registry import MODELS
from scipy.special import logit, rel_entr

import wsp_mm.models.losses as losses
from wsp_mm.structures.keypoints import get_joint_set

NAN = float('nan')


def build(kind, **kwargs):
    return MODELS.build(dict(type=kind, **kwargs))


# ---------------------------------------------------------------------- Eq. 9 and 10


@pytest.fixture
def maps():
    """Two samples of three maps; the errors' norms are 5, 2, 0 and 3, 10, 1."""
    output = torch.tensor(
        [
            [[[3.0, 0], [0, -4]], [[1, 1], [-1, 1]], [[0, 0], [0, 0]]],
            [[[2, -2], [1, 0]], [[6, 0], [8, 0]], [[0, 0], [0, 1]]],
        ]
    )
    return (output + 7).requires_grad_(), torch.full_like(output, 7.0)


@pytest.mark.parametrize(
    ('weights', 'expected', 'squared'),
    [
        # Eq. 10: the mean over the maps of a sample, then over the samples
        ([[1, 1, 1], [1, 1, 1]], (7 / 3 + 14 / 3) / 2, (29 / 3 + 110 / 3) / 2),
        ([[1, 0, 1], [0, 1, 0]], (5 / 2 + 10) / 2, (25 / 2 + 100) / 2),
        ([[1, 1, 0], [0, 0, 0]], 7 / 2, 29 / 2),  # a sample without labels does not count
    ],
)
def test_heatmap_loss_by_hand(maps, weights, expected, squared):
    weights = torch.tensor(weights).float()
    assert build('HeatmapL2Loss')(*maps, weights).item() == pytest.approx(expected)
    assert build('HeatmapL2Loss', squared=True)(*maps, weights).item() == pytest.approx(squared)


def test_heatmap_gradient_is_the_unit_error_and_zero_at_zero(maps):
    build('HeatmapL2Loss')(*maps, torch.ones(2, 3)).backward()
    assert maps[0].grad[0, 0].flatten().tolist() == pytest.approx([3 / 5 / 6, 0, 0, -4 / 5 / 6])
    assert (maps[0].grad[0, 2] == 0).all()


@pytest.mark.parametrize(
    ('weights', 'expected'),
    [
        # Eq. 9: the mean over the joints of a pair, then over the pairs
        ([[1, 1], [1, 1]], -(math.log(0.9 * 0.2) / 2 + math.log(0.7 * 0.5) / 2) / 2),
        ([[1, 0], [1, 1]], -(math.log(0.9) + math.log(0.7 * 0.5) / 2) / 2),
        ([[0, 0], [0, 1]], -math.log(0.5)),
    ],
)
def test_relative_depth_loss_by_hand(weights, expected):
    logits = torch.from_numpy(logit([[0.9, 0.2], [0.3, 0.5]]))
    labels, weights = torch.tensor([[1.0, 1.0], [0.0, 0.0]]), torch.tensor(weights)
    loss = build('RelativeDepthLoss')(logits, labels, weights)
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_relative_depth_loss_of_soft_labels():
    """Cross-entropy of two distributions; least where the network is as unsure as the label."""
    logits = torch.tensor([[logit(0.9), logit(0.3)]]).float()
    labels = torch.tensor([[0.6, 0.3]])
    loss = build('RelativeDepthLoss')(logits, labels, torch.ones(1, 2)).item()
    one, two = (-(p * math.log(q) + (1 - p) * math.log(1 - q)) for p, q in ((0.6, 0.9), (0.3, 0.3)))
    assert loss == pytest.approx((one + two) / 2, rel=1e-5)
    same = torch.from_numpy(logit(labels.numpy()))
    assert build('RelativeDepthLoss')(same, labels, torch.ones(1, 2)).item() < loss


# ---------------------------------------------------------------------- depth scores


def test_depth_ratio_loss_by_hand():
    differences = torch.tensor([[0.1, 0.5, 3.0], [0.0, 1.0, 1.0]], requires_grad=True)
    ratios = torch.tensor([[0.05, 0.1, NAN], [NAN, 7.0, NAN]])
    weights = torch.tensor([[1.0, 1, 1], [1, 0, 1]])  # the second pair has no label with a weight
    loss = build('DepthRatioLoss', beta=0.1, loss_weight=2.0)(differences, ratios, weights)
    # 0.05 ** 2 / 2 / 0.1 = 0.0125, and 0.4 - 0.1 / 2 = 0.35; the mean, twice
    assert loss.item() == pytest.approx(0.0125 + 0.35)
    loss.backward()
    assert differences.grad.sign().tolist() == [[1, 1, 0], [0, 0, 0]]
    with pytest.raises(ValueError, match='beta'):
        build('DepthRatioLoss', beta=0)


MCPC = get_joint_set('mcpc16')
SIDE = 200.0


def upright(height=100.0):
    """Joints (16, 2) px of an upright person, whose limbs have exactly their lengths."""
    heights = dict(shoulder=0.818, elbow=0.663, wrist=0.525, hip=0.495, knee=0.270, ankle=0.039)
    points = []
    for concept in MCPC.concepts:
        side, part = concept.split('_', 1) if '_' in concept else ('', concept)
        aside = {'left': 0.0955, 'right': -0.0955}.get(side, 0.0)  # half of the shoulders
        points.append([80 + height * aside, 150 - height * heights.get(part, 0.9)])
    return torch.tensor(points)


def within(keypoints, scores, weights=None, down=(0.0, 1.0), temperature=0.5, **kwargs):
    """The loss of one pair, whose second person is not labelled."""
    batch, persons = (1, 2, 16), (1, 2)
    everything = torch.zeros(*batch, 2)
    everything[0, 0] = keypoints
    visible = torch.zeros(batch)
    visible[0, 0] = 1 if weights is None else weights
    values = torch.zeros(batch)
    values[0, 0] = scores
    module = build('WithinPersonDepthLoss', **kwargs)
    downs = torch.tensor(down).expand(*persons, 2)
    return module(values, torch.tensor(temperature), everything, visible, downs, SIDE).item()


def scores_of(**values):
    scores = torch.zeros(16)
    for concept, value in values.items():
        scores[MCPC.index(concept)] = value
    return scores


def test_of_two_feet_the_lower_one_is_nearer():
    keypoints, scores = upright(), scores_of(left_ankle=1.0, right_ankle=1.3)
    # The limbs of an upright person are not tilted: they say nothing.
    assert within(keypoints, scores) == 0
    lower = MCPC.index('right_ankle')
    keypoints[lower, 1] += 5.5  # more than 5 % of 100 px; its shank now says 124 px
    assert within(keypoints, scores) == 0
    keypoints[lower, 1] += 1.5  # 7 px are more than 5 % of 118
    keypoints[MCPC.index('right_knee'), 1] += 4
    right = math.log1p(math.exp((1.3 - 1.0) / 0.5))  # the lower one has the larger score
    assert within(keypoints, scores, level=0.05) == pytest.approx(right, rel=1e-5)
    wrong = math.log1p(math.exp(-(1.3 - 1.0) / 0.5))
    upside_down = within(keypoints, scores, down=(0.0, -1.0))
    assert upside_down == pytest.approx(wrong, rel=1e-5)
    assert within(keypoints, scores, level=0.08) == 0
    unlabelled = torch.ones(16)
    unlabelled[lower] = 0
    assert within(keypoints, scores, unlabelled) == 0
    assert within(keypoints, scores, loss_weight=3.0) == pytest.approx(3 * right, rel=1e-5)


@pytest.mark.parametrize('sign', [-1, 1])
def test_a_short_limb_is_tilted_by_a_known_angle(sign):
    """A forearm of 13.8 px seen with 8.28 px: 3-4-5, so 11.04 px along the camera's axis."""
    keypoints, scores = upright(), scores_of(left_wrist=0.02 * sign)
    elbow, wrist = MCPC.index('left_elbow'), MCPC.index('left_wrist')
    keypoints[wrist] = keypoints[elbow] + torch.tensor([8.28, 0.0])
    target = 11.04 / (1.5 * SIDE)
    expected = (target - 0.02) ** 2 / 2 / 0.1
    assert within(keypoints, scores) == pytest.approx(expected, rel=1e-4)
    assert within(keypoints, scores_of(left_wrist=target * sign)) == pytest.approx(0, abs=1e-9)
    assert within(keypoints, scores, tilted=0.59) == 0  # 8.28 / 13.8 is 0.6
    assert within(keypoints, scores, focal=3.0) < expected


def test_nobody_labelled_within_a_person_is_0():
    assert within(upright(), scores_of(left_wrist=5.0), torch.zeros(16)) == 0
    assert within(torch.full((16, 2), NAN), scores_of(left_wrist=5.0), torch.zeros(16)) == 0
    for wrong in (dict(level=-0.1), dict(tilted=0), dict(focal=0)):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            build('WithinPersonDepthLoss', **wrong)


# ---------------------------------------------------------------------- Eq. 12

OUTPUT = [[[1.0, 2, 3], [4, 4, 4]], [[0, 0, 0], [9, 9, 9]]]
TARGET = [[[2.0, 4, 7], [4, 4, NAN]], [[3, 0, math.inf], [NAN, NAN, NAN]]]
WEIGHTS, DEPTH = [[1.0, 1], [1, 0]], [[1.0, 0], [0, 1]]


@pytest.mark.parametrize(
    ('kwargs', 'expected'),
    [
        # (1 + 2 + 4) / 3 + (0 + 0, no depth) / 3 + (3 + 0, no depth) / 3, over 4 joints
        ({}, 10 / 3 / 4),
        (dict(average='valid'), 10 / 3 / 3),  # or those with a label
        (dict(loss_weight=3.0), 10 / 4),  # Eq. 12 as printed
    ],
)
def test_integral_loss_by_hand(kwargs, expected):
    """Masked coordinates have no influence, whatever they are."""
    output = torch.tensor(OUTPUT, requires_grad=True)
    loss = build('Integral3DLoss', **kwargs)(output, *map(torch.tensor, (TARGET, WEIGHTS, DEPTH)))
    assert loss.item() == pytest.approx(expected)
    loss.backward()
    signs = [[[-1, -1, -1], [0, 0, 0]], [[-1, 0, 0], [0, 0, 0]]]
    assert output.grad.sign().tolist() == signs


def root_batch():
    place = torch.tensor([[[10.0, 20.0]], [[5.0, 5.0]], [[7.0, 7.0]]], requires_grad=True)
    depth = torch.tensor([[4000.0], [3000.0], [1.0]], requires_grad=True)
    target = torch.tensor([[[11.0, 17.0]], [[5.5, 4.0]], [[NAN, NAN]]])
    target_depth = torch.tensor([[3990.0], [NAN], [NAN]])
    weights, has_depth = torch.tensor([[1.0], [1.0], [0.0]]), torch.tensor([[1.0], [0.0], [1.0]])
    return (place, depth), (target, target_depth), weights, has_depth


def test_root_loss_by_hand():
    # ((1 + 3 + 10) + (0.5 + 1) + nothing) / 3, over a batch of 3
    batch = root_batch()
    loss = build('RootDepthLoss')(*batch)
    assert loss.item() == pytest.approx((14 + 1.5) / 9)
    scaled = build('RootDepthLoss', depth_unit=100.0, loss_weight=2.0)(*batch)
    assert scaled.item() == pytest.approx(2 * (4.1 + 1.5) / 9)
    loss.backward()
    place, depth = (value.grad * 9 for value in batch[0])
    torch.testing.assert_close(place, torch.tensor([[[-1.0, 1]], [[-1, 1]], [[0, 0]]]))
    # neither the 2D sample nor the hidden root has a gradient of the depth
    torch.testing.assert_close(depth, torch.tensor([[1.0], [0], [0]]))


# ---------------------------------------------------------------------- marginals

SIZES, CENTRES = (6, 5, 4), (2.0, 3.5, 0.25)


def gaussians(sigma):
    return [
        torch.softmax(-0.5 * ((torch.arange(size) - centre) / sigma) ** 2, 0)
        for size, centre in zip(SIZES, CENTRES, strict=True)
    ]


def kl(p, q):
    return rel_entr(p, q).sum()


def js(p, q):
    return (kl(p, (p + q) / 2) + kl(q, (p + q) / 2)) / 2


@pytest.mark.parametrize(('name', 'divergence'), [('kl', kl), ('js', js)])
def test_marginal_loss_by_hand(name, divergence):
    target, ones = torch.tensor([[CENTRES]]), torch.ones(1, 1)
    uniform = tuple(torch.full((1, 1, size), 1 / size) for size in SIZES)
    pairs = zip(gaussians(0.8), uniform, strict=True)
    expected = [divergence(p.numpy(), q[0, 0].numpy()).item() for p, q in pairs]
    loss = build('MarginalLoss', sigma=0.8, divergence=name, loss_weight=2.0)
    full = loss(uniform, target, ones, ones).item()
    assert full == pytest.approx(2 * sum(expected) / 3, rel=1e-5)
    # without depth: the mean over the two axes that are labelled
    flat = loss(uniform, target, ones, 0 * ones).item()
    assert flat == pytest.approx(sum(expected[:2]), rel=1e-5)
    exact = tuple(value[None, None] for value in gaussians(0.8))
    assert loss(exact, target, ones, ones).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize('divergence', ['kl', 'js'])
def test_marginal_loss_is_finite_where_all_mass_is_elsewhere(divergence):
    logits = [torch.zeros(1, 1, size) for size in SIZES]
    for tensor in logits:
        tensor[..., 0] = 200.0  # the others underflow to 0
        tensor.requires_grad_()
    marginals, ones = tuple(tensor.softmax(-1) for tensor in logits), torch.ones(1, 1)
    loss = build('MarginalLoss', sigma=0.5, divergence=divergence)
    value = loss(marginals, torch.tensor([[[5.0, 4.0, 3.0]]]), ones, ones)
    value.backward()
    assert value.isfinite() and all(tensor.grad.isfinite().all() for tensor in logits)


# ---------------------------------------------------------------------- all of them


def sparse(*shape):
    return (torch.rand(*shape) < 0.5).float()


class LogitsMarginalLoss(losses.MarginalLoss):
    """Of one tensor, for the tests below."""

    def forward(self, logits, *rest):
        return super().forward(tuple(logits.softmax(-1).unbind(2)), *rest)


def cases():
    """Loss, output, targets, weights of six samples; the first two have no label at all."""
    torch.manual_seed(5)
    weights, depth = sparse(6, 4), sparse(6, 4)
    weights[:2] = depth[:2] = 0
    points = 8 * torch.rand(6, 4, 3)
    return dict(
        heatmaps=(losses.HeatmapL2Loss(), torch.randn(6, 4, 5, 5), torch.rand(6, 4, 5, 5), weights),
        depth=(losses.RelativeDepthLoss(), torch.randn(6, 4), sparse(6, 4), weights),
        all=(losses.Integral3DLoss(), torch.randn(6, 4, 3), points, weights, depth),
        valid=(losses.Integral3DLoss('valid'), torch.randn(6, 4, 3), points, weights, depth),
        marginal=(LogitsMarginalLoss(), torch.randn(6, 4, 3, 8), points, weights, depth),
    )


NAMES = ['heatmaps', 'depth', 'all', 'valid', 'marginal']


@pytest.mark.parametrize('name', NAMES)
def test_float32_under_autocast(name):
    loss, *tensors = cases()[name]
    with torch.autocast('cpu', torch.bfloat16):
        value = loss(*tensors)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(*tensors), rtol=1e-6, atol=0)
    if name == 'heatmaps':  # squares beyond float16's range
        large = torch.full((1, 1, 64, 64), 300.0, dtype=torch.float16)
        assert loss(large, 0 * large, torch.ones(1, 1)).item() == pytest.approx(300 * 64)


@pytest.fixture
def ranks(monkeypatch):
    """``ranks(function, parts)``: function of each part, as if each ran on a rank of its own."""

    def run(function, parts):
        monkeypatch.setattr(losses, 'get_world_size', lambda: len(parts))
        counts = []
        monkeypatch.setattr(losses, 'all_reduce', lambda count: counts.append(count.clone()))
        for part in parts:
            function(*part)
        total = sum(counts) if counts else None
        monkeypatch.setattr(losses, 'all_reduce', lambda count: count.copy_(total))
        return [function(*part) for part in parts]

    return run


@pytest.mark.parametrize('name', NAMES)
def test_ranks_together_equal_one_process(name, ranks):
    loss, *tensors = cases()[name]
    output, *rest = (tensor.double() for tensor in tensors)
    output.requires_grad_()
    whole = loss(output, *rest)
    (expected,) = torch.autograd.grad(whole, output)
    parts = list(zip(*(value.split(2) for value in (output, *rest)), strict=True))
    alone = sum(loss(*part) for part in parts) / 3
    mean = sum(ranks(loss, parts)) / 3
    (gradient,) = torch.autograd.grad(mean, output)
    torch.testing.assert_close(mean, whole, rtol=1e-6, atol=0)
    torch.testing.assert_close(gradient, expected, rtol=1e-6, atol=1e-9)
    # a rank's own count would have given something else
    assert name == 'all' or abs(alone - whole) > 1e-2 * abs(whole)


def test_one_process_asks_no_other(monkeypatch):
    monkeypatch.delattr(losses, 'all_reduce')
    assert losses.rank_share(torch.tensor(0)) == 1
    assert losses.rank_share(torch.tensor(7)) == 7


@pytest.mark.parametrize('name', NAMES[:4])
def test_shapes_that_do_not_fit(name):
    loss, *tensors = cases()[name]
    for i in range(len(tensors)):
        with pytest.raises(ValueError, match='joint set'):
            loss(*(tensor[:, :1] if i == j else tensor for j, tensor in enumerate(tensors)))


@pytest.mark.parametrize(
    ('kind', 'kwargs'),
    [
        ('Integral3DLoss', dict(average='some')),
        ('RootDepthLoss', dict(depth_unit=0.0)),
        ('MarginalLoss', dict(sigma=0)),
        ('MarginalLoss', dict(divergence='l2')),
    ],
)
def test_bad_settings(kind, kwargs):
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        build(kind, **kwargs)
