# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Prediction: swapping persons, flip test, keypoints."""

import numpy as np
import pytest
import torch
from relative_depth_cases import (
    FLIP_INDICES,
    MAP,
    SIDE,
    D,
    K,
    build,
    make_batch,
    make_feats,
    make_sample,
    sharpen,
    swap_persons,
)

from wsp_mm.codecs.box_cells import box_membership
from wsp_mm.codecs.pair_heatmap import PairHeatmapLabel
from wsp_mm.models.heads.relative_depth_head import mirror_boxes


@pytest.mark.parametrize('pooling', ['mean', 'normalized', 'max'])
@pytest.mark.parametrize('test_cfg', [dict(), dict(flip_test=True)])
@pytest.mark.parametrize('seed', range(4))
def test_symmetric_swap_turns_p_into_one_minus_p(pooling, test_cfg, seed):
    head = build(symmetric=True, pooling=pooling).eval()
    sharpen(head)
    torch.nn.init.constant_(head.depth_output_layer.bias, 0.7)  # f alone favours A
    feats = make_feats(seed=seed)
    if test_cfg:
        feats = [feats, make_feats(seed=seed + 50)]
    batch = make_batch()
    plain = head.predict(feats, batch, test_cfg)
    swapped = head.predict(feats, [swap_persons(sample) for sample in batch], test_cfg)
    for one, other in zip(plain, swapped, strict=True):
        np.testing.assert_allclose(other.depth_probs, 1 - one.depth_probs, atol=2e-7)
        np.testing.assert_allclose(other.pair_probs, 1 - one.pair_probs, atol=2e-7)
        np.testing.assert_array_equal(other.keypoints, one.keypoints[:, ::-1])
    head.symmetric = False
    lopsided = head.predict(feats, batch, test_cfg)
    assert not np.allclose(lopsided[0].depth_probs, plain[0].depth_probs, atol=1e-3)


def test_prediction_fields_are_one_pair_long():
    head = build().eval()
    preds = head.predict(make_feats(), make_batch())
    assert len(preds) == 3
    for pred in preds:
        assert len(pred) == 1
        assert pred.keypoints.shape == (1, 2, K, 2)
        assert pred.keypoint_scores.shape == (1, 2, K)
        assert pred.depth_probs.shape == (1, K)
        assert pred.pair_probs.shape == (1,)
        assert all(isinstance(value, np.ndarray) for value in pred.values())
        pred.to_tensor()  # asserts equal lengths


def test_prediction_needs_only_boxes():
    head, feats = build(mask='target').eval(), make_feats()
    full = make_batch()
    bare = [swap_persons(swap_persons(sample)) for sample in full]
    for one, other in zip(head.predict(feats, full), head.predict(feats, bare), strict=True):
        np.testing.assert_array_equal(one.depth_probs, other.depth_probs)
        np.testing.assert_array_equal(one.keypoints, other.keypoints)


@pytest.mark.parametrize('person_channels', [False, True])
def test_keypoints_are_the_peaks_within_each_persons_box(person_channels, monkeypatch):
    """With the true maps as the predicted ones the true joints come back, person by person."""
    head, feats = build(person_channels=person_channels).eval(), make_feats(1)
    boxes = [[1, 1, 13, 29], [17, 3, 30, 30]]
    sample = make_sample(3, person_channels=person_channels, boxes=boxes)
    rng = np.random.default_rng(3)
    low, high = np.array(boxes)[:, None, :2], np.array(boxes)[:, None, 2:]
    keypoints = low + rng.random((2, K, 2)) * (high - low)
    features = torch.randn(1, D, MAP, MAP)
    monkeypatch.setattr(head, 'forward', lambda feats: (sample.gt_fields.heatmaps[None], features))
    pred = head.predict(feats, [sample])[0]
    assert np.abs(pred.keypoints[0] - keypoints).max() < SIDE / MAP
    assert pred.keypoint_scores.min() > 0.5


@pytest.mark.parametrize('person_channels', [False, True])
def test_decoder_and_pooling_agree_on_the_cells_of_a_box(person_channels):
    """The codec looks for a person's peaks where the head pools the person's features."""
    generator = torch.Generator().manual_seed(0)
    corners = (
        torch.rand(300, 2, 2, 2, generator=generator) * 40 - 4
    )  # some thin, some beyond the edges
    corners[:100, :, 1] = corners[:100, :, 0] + torch.rand(100, 2, 2, generator=generator)
    low, high = corners.amin(2), corners.amax(2)
    boxes = torch.cat((low, high), dim=-1)
    meets = ((high >= 0) & (low <= SIDE)).all(-1).all(-1)
    boxes = boxes[meets]
    assert len(boxes) > 100
    heatmaps = torch.rand(
        len(boxes), 2 * K if person_channels else K, MAP, MAP, generator=generator
    )
    _, scores = PairHeatmapLabel((SIDE, SIDE), (MAP, MAP), 1.0, person_channels).batch_decode_pairs(
        heatmaps, boxes
    )
    inside = box_membership(boxes, (SIDE, SIDE), (MAP, MAP))
    maps = heatmaps.unflatten(1, (2, K)) if person_channels else heatmaps[:, None]
    expected = maps.masked_fill(~inside[:, :, None], -1).flatten(3).amax(3)
    torch.testing.assert_close(scores, expected)


@pytest.mark.parametrize('person_channels', [False, True])
def test_flip_test_of_an_equivariant_network_changes_nothing(person_channels, monkeypatch):
    """A mirrored pass that is the mirror image of the plain one must be undone exactly.

    The network's answers are injected: maps with peaks that mirror onto cells exactly (cell c of
    the mirrored input stands for pixel width - 1 - x, so answers at cell c come from cell 15.5 - c
    and a shift by half a cell is left; a feature map constant along x takes it out of the
    comparison).
    """
    head = build(person_channels=person_channels).eval()
    sharpen(head)
    generator = torch.Generator().manual_seed(0)
    channels = 2 * K if person_channels else K
    heatmaps = (
        torch.rand(1, channels, MAP, 1, generator=generator).expand(-1, -1, -1, MAP).contiguous()
    )
    features = torch.rand(1, D, MAP, 1, generator=generator).expand(-1, -1, -1, MAP).contiguous()
    order = FLIP_INDICES + ([K + i for i in FLIP_INDICES] if person_channels else [])
    answers = dict(
        plain=(heatmaps, features), mirrored=(heatmaps[:, order].flip(-1), features.flip(-1))
    )
    monkeypatch.setattr(head, 'forward', lambda name: answers[name])
    sample = make_sample(0, person_channels=person_channels)
    once = head.predict('plain', [sample], dict(output_heatmaps=True))
    both = head.predict(['plain', 'mirrored'], [sample], dict(flip_test=True, output_heatmaps=True))
    torch.testing.assert_close(both[1][0].heatmaps, heatmaps[0])
    np.testing.assert_allclose(both[0][0].depth_probs, once[0][0].depth_probs, atol=1e-6)
    np.testing.assert_allclose(both[0][0].keypoints, once[0][0].keypoints, atol=1e-5)
    assert (
        np.ptp(once[0][0].depth_probs) > 1e-3
    )  # joints differ, so a forgotten swap of joints would show


def test_flip_test_mirrors_the_boxes(monkeypatch):
    """Features that are nonzero in A's half only: the mirrored pass must look for A on the other
    side.
    """
    head = build().eval()
    sharpen(head)
    features = torch.zeros(1, D, MAP, MAP)
    features[..., : MAP // 2] = 3.0
    heatmaps = torch.ones(1, K, MAP, MAP)
    monkeypatch.setattr(
        head, 'forward', lambda name: (heatmaps, dict(a=features, b=features.flip(-1))[name])
    )
    sample = make_sample(0, boxes=[[0, 2, 12, 28], [18, 2, 31, 28]])
    once = head.predict('a', [sample])[0].depth_probs
    both = head.predict(['a', 'b'], [sample], dict(flip_test=True))[0].depth_probs
    wrong = head.predict(['a', 'a'], [sample], dict(flip_test=True))[0].depth_probs
    np.testing.assert_allclose(both, once, atol=1e-6)
    assert not np.allclose(wrong, once, atol=1e-3)


def test_mirror_boxes():
    boxes = torch.tensor([[[0.0, 3, 10, 20], [31, 0, 31, 9]]])
    assert mirror_boxes(boxes, 32).tolist() == [[[21, 3, 31, 20], [0, 0, 0, 9]]]
    assert torch.equal(mirror_boxes(mirror_boxes(boxes, 32), 32), boxes)


def test_output_heatmaps():
    head, feats = build().eval(), make_feats()
    preds, fields = head.predict(feats, make_batch(), dict(output_heatmaps=True))
    assert len(preds) == len(fields) == 3
    torch.testing.assert_close(fields[1].heatmaps, head(feats)[0][1])


def test_prediction_without_a_decoder_or_with_unfit_options():
    with pytest.raises(RuntimeError, match='decoder'):
        build(decoder=None).predict(make_feats(), make_batch())
    with pytest.raises(ValueError, match='flip_mode'):
        build().predict(make_feats(), make_batch(), dict(flip_mode='udp_combined'))
    with pytest.raises(ValueError, match='output_keypoint_indices'):
        build().predict(make_feats(), make_batch(), dict(output_keypoint_indices=[0]))
