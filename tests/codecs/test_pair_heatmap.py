# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmpose.codecs.utils.gaussian_heatmap import generate_unbiased_gaussian_heatmaps

from wsp_mm.codecs.pair_heatmap import PairHeatmapLabel
from wsp_mm.structures.keypoints import get_joint_set

FLIP = list(get_joint_set('mcpc16').flip_indices)
SEEDS = st.integers(0, 2**32 - 1)


def encode(codec, keypoints, visible=None, label=1.0, weight=1.0):
    label, weight = np.array([label], np.float32), np.array([weight], np.float32)
    return codec.encode(np.asarray(keypoints, np.float32), visible, label, weight)


def heatmaps(codec, encoded):
    """Maps (2, K, h, w) and weights (2, K)."""
    keys = ('keypoint_labels', 'keypoint_weights')
    maps, weights = codec.heatmaps(*(torch.from_numpy(encoded[key]) for key in keys))
    return maps[0].numpy(), weights[0].numpy()


def test_encode_by_hand():
    codec = PairHeatmapLabel(input_size=(16, 16), heatmap_size=(4, 4), sigma=1.0)
    # Joint 0: A on px (1, 2), B not labelled. Joint 1: A on (0, 0), B on (3, 3). Joint 2: B
    # outside.
    keypoints = np.array([[(4, 8), (0, 0), (8, 8)], [(4, 4), (12, 12), (16, 4)]], float)
    encoded = encode(codec, keypoints, np.array([[1, 1, 1], [0, 1, 1]]), label=0.0)
    assert encoded['keypoint_labels'].tolist() == [(keypoints / 4).tolist()]
    assert encoded['keypoint_weights'].tolist() == [[[1, 1, 1], [0, 1, 1]]]
    assert encoded['depth_weights'].tolist() == [[0, 1, 0]]
    assert encoded['depth_labels'].tolist() == [[0, 0, 0]]
    assert all(len(value) == 1 and value.dtype == np.float32 for value in encoded.values())
    assert set(encoded) == set(codec.label_mapping_table)

    maps, weights = heatmaps(codec, encoded)
    assert weights.tolist() == [[1, 1, 1], [0, 1, 0]]
    assert maps[0, 0, 2, 1] == maps[0, 1, 0, 0] == maps[1, 1, 3, 3] == 1
    np.testing.assert_allclose(maps[0, 0, [2, 0], [2, 0]], np.exp([-0.5, -2.5]), rtol=1e-6)
    assert maps[1, 0].max() == 0  # not labelled


def test_soft_labels_and_depth_ratios():
    codec, keypoints = PairHeatmapLabel(), np.full((2, 16, 2), 50.0, np.float32)
    label, ratio = np.array([0.7], np.float32), np.array([-0.25], np.float32)
    encoded = codec.encode(keypoints, depth_label=label, log_depth_ratio=ratio)
    assert (encoded['depth_labels'] == label).all() and (encoded['depth_ratios'] == ratio).all()
    assert encoded['depth_ratios'].shape == (1, 16)
    assert np.isnan(encode(codec, keypoints)['depth_ratios']).all()


def test_ties_and_unlabelled_joints_have_no_weight():
    keypoints = np.full((2, 16, 2), 50.0)
    assert not encode(PairHeatmapLabel(), keypoints, weight=0.0)['depth_weights'].any()
    encoded = encode(PairHeatmapLabel(), np.full((2, 16, 2), np.nan), np.zeros((2, 16)))
    assert not encoded['depth_weights'].any()
    assert all((value == 0).all() for value in heatmaps(PairHeatmapLabel(), encoded))


def test_joint_order_is_drawn_from_numpys_global_state():
    keypoints = np.zeros((2, 16, 2))
    np.random.seed(3)
    one, two = (encode(PairHeatmapLabel(), keypoints)['joint_order'] for _ in range(2))
    np.random.seed(3)
    again = encode(PairHeatmapLabel(), keypoints)['joint_order']
    assert one.shape == (1, 16) and (one == again).all() and (one != two).all()


def test_maps_are_mmposes():
    """Also of joints beyond the map: within 3 sigma of it they leave a trace, farther out none."""
    rng = np.random.default_rng(4)
    codec = PairHeatmapLabel((128, 96), (32, 24), sigma=1.5)
    labels = rng.uniform(-12, 40, (20, 2, 16, 2)).astype(np.float32)
    labels[0, 0, :4] = [(-4.5, 3), (-5.6, 3), (36.4, 3), (3, 28.5)]  # near the 3 sigma limit
    labelled = (rng.random((20, 2, 16)) < 0.8).astype(np.float32)
    maps, _ = codec.heatmaps(torch.from_numpy(labels), torch.from_numpy(labelled))
    assert maps.shape == (20, 2, 16, 24, 32) and maps.dtype == torch.float32
    for ours, where, shown in zip(maps.numpy(), labels, labelled, strict=True):
        both, _ = generate_unbiased_gaussian_heatmaps((32, 24), where, shown, 1.5)
        np.testing.assert_allclose(ours.max(0), both, atol=1e-6)
        # Gaussians reach everywhere: a map is empty exactly where MMPose draws nothing.
        np.testing.assert_array_equal(ours.max((0, 2, 3)) > 0, both.max((1, 2)) > 1e-12)


@given(
    seed=SEEDS,
    sigma=st.floats(0.8, 3),
    size=st.sampled_from([((256, 256), (64, 64)), ((192, 256), (48, 64)), ((96, 96), (96, 96))]),
    shared=st.booleans(),
)
def test_round_trip(seed, sigma, size, shared):
    (w, h), heatmap_size = size
    codec = PairHeatmapLabel((w, h), heatmap_size, sigma)
    keypoints = np.random.default_rng(seed).uniform(0, 1, (2, 16, 2))
    keypoints = keypoints * (0.42 * w, h * 0.9999)  # up to the very edge
    keypoints[1, :, 0] = w * 0.9999 - keypoints[1, :, 0]
    boxes = np.float32([[0, 0, w / 2 - 1, h], [w / 2 + 1, 0, w, h]])
    maps, _ = heatmaps(codec, encode(codec, keypoints))
    decoded, scores = codec.decode(maps.max(0) if shared else maps, boxes)
    assert decoded.shape == (1, 2, 16, 2) and scores.shape == (1, 2, 16)
    error = np.abs(decoded[0] - keypoints) / codec.stride
    # Only two Gaussians that meet on a shared map leave more than a rounding error.
    assert error.max() < 0.5 and np.median(error) < 1e-3


def test_box_masks_by_hand():
    """8 px of 4 input px each: centres 0, 4, ..., 28."""
    cases = {
        (4, 4, 12, 8): ([1, 2, 3], [1, 2]),  # edges belong to the box
        (4.1, 0, 11.9, 3): ([2], [0]),
        (5, 5, 7, 7): ([2], [2]),  # between centres: 6 is a tie and rounds to the even px
        (5, 5, 6, 25): ([1], [2, 3, 4, 5, 6]),  # thin in x only
        (9, 0, 9, 0): ([2], [0]),  # no extent at all
        (-50, 20, 3, 99): ([0], [5, 6, 7]),  # clipped
        (29, 29, 60, 60): ([7], [7]),  # reaches into the input beyond the last centre
        (33, 0, 60, 30): ([], []),  # outside
        (-9, 0, -1, 30): ([], []),
        (0, -9, 30, -1): ([], []),
        (math.nan, 0, 8, 8): ([], []),
        (0, 0, math.inf, 8): (list(range(8)), [0, 1, 2]),
        (12, 12, 4, 4): ([], []),  # inverted
    }
    boxes = torch.tensor([list(box) for box in cases])[None].float()
    masks = PairHeatmapLabel((32, 32), (8, 8)).box_masks(boxes)[0]
    for found, (box, (xs, ys)) in zip(masks, cases.items(), strict=True):
        expected = torch.zeros(8, 8, dtype=torch.bool)
        expected[np.ix_(ys, xs)] = True
        assert torch.equal(found, expected), box


@pytest.mark.parametrize('persons', [1, 2])
def test_decoding_against_a_loop(persons):
    """Batch, channel layout and box bookkeeping against the obvious loops (peaks only)."""
    rng = np.random.default_rng(3)
    codec = PairHeatmapLabel((48, 64), (12, 16))
    maps = rng.random((5, persons, 4, 16, 12)).astype(np.float32)
    boxes = np.sort(rng.uniform(0, 40, (5, 2, 2, 2)), axis=2).astype(np.float32).reshape(5, 2, 4)
    boxes[..., 2:] += 4
    boxes[4, 1] = 90, 20, 95, 30  # outside: the nearest pixels count
    keypoints, scores = codec.batch_decode(torch.from_numpy(maps), torch.from_numpy(boxes))
    assert keypoints.shape == (5, 1, 2, 4, 2) and keypoints.dtype == np.float32
    for b, p, k in np.ndindex(5, 2, 4):
        x1, y1, x2, y2 = boxes[b, p] if (b, p) != (4, 1) else (44, 20, 48, 30)
        pixels = np.ndindex(12, 16)
        inside = [(i, j) for i, j in pixels if x1 <= 4 * i <= x2 and y1 <= 4 * j <= y2]
        channel = maps[b, p % persons, k]
        best = max(inside, key=lambda px: channel[px[1], px[0]])
        assert scores[b, 0, p, k] == channel[best[1], best[0]]
        assert np.abs(keypoints[b, 0, p, k] / 4 - best).max() <= 1


@pytest.mark.parametrize('maps', [torch.zeros(1, 16, 16), torch.full((1, 16, 16), -3.0)])
def test_decoding_flat_maps_is_finite(maps):
    boxes = np.float32([[0, 0, 30, 60], [32, 0, 60, 60]])
    for values in PairHeatmapLabel((64, 64), (16, 16)).decode(maps.numpy(), boxes):
        assert np.isfinite(values).all()


def test_bad_input_is_refused():
    for kwargs in (dict(sigma=0), dict(heatmap_size=(2, 64)), dict(input_size=(0, 64))):
        with pytest.raises(ValueError, match=next(iter(kwargs))):
            PairHeatmapLabel(**kwargs)
    with pytest.raises(ValueError, match='two persons'):
        encode(PairHeatmapLabel(), np.zeros((1, 16, 2)))
    with pytest.raises(ValueError, match='depth_label'):
        PairHeatmapLabel().encode(np.zeros((2, 16, 2)))
