# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wsp_mm.codecs.pair_heatmap import PairHeatmapLabel
from wsp_mm.structures.keypoints import get_joint_set

FLIP = list(get_joint_set('mcpc16').flip_indices)
LEFT, RIGHT = [0.0, 0.0, 127.0, 256.0], [129.0, 0.0, 256.0, 256.0]


def encode(codec, keypoints, visible=None, label=1.0, weight=1.0):
    visible = np.ones(keypoints.shape[:2], np.float32) if visible is None else visible
    return codec.encode(
        np.asarray(keypoints, np.float32),
        visible,
        depth_label=np.array([label], np.float32),
        depth_weight=np.array([weight], np.float32),
    )


def two_persons(rng):
    """A in the left half of 256 x 256, B in the right: (2, 16, 2) px, their boxes apart."""
    keypoints = rng.uniform((1, 1), (118, 255), (2, 16, 2))
    keypoints[1, :, 0] += 137
    return keypoints


def test_by_hand():
    codec = PairHeatmapLabel(input_size=(16, 16), heatmap_size=(4, 4), sigma=1.0)
    # Joint 0: A on cell (1, 2), B not labelled. Joint 1: A on (0, 0), B on (3, 3). Joint 2: B
    # outside.
    keypoints = np.array([[(4, 8), (0, 0), (8, 8)], [(4, 4), (12, 12), (16, 4)]], float)
    visible = np.array([[1, 1, 1], [0, 1, 1]], np.float32)
    encoded = encode(codec, keypoints, visible, label=0.0)
    maps = encoded['heatmaps']
    assert maps.shape == (3, 4, 4) and maps.dtype == np.float32
    assert (
        maps[0, 2, 1] == 1
        and np.isclose(maps[0, 2, 2], np.exp(-0.5))
        and np.isclose(maps[0, 0, 0], np.exp(-2.5))
    )
    assert maps[1, 0, 0] == maps[1, 3, 3] == 1 and np.isclose(
        maps[1, 1, 1], np.exp(-1)
    )  # the maximum, no sum
    assert encoded['heatmap_weights'].tolist() == [[1, 1, 1]]
    assert encoded['depth_weights'].tolist() == [[0, 1, 0]]
    assert encoded['depth_labels'].tolist() == [[0, 0, 0]]


def test_person_channels_are_a_then_b():
    keypoints = two_persons(np.random.default_rng(0))
    visible = np.ones((2, 16), np.float32)
    visible[1, 3] = 0
    encoded = encode(PairHeatmapLabel(person_channels=True), keypoints, visible)
    shared = encode(PairHeatmapLabel(), keypoints, visible)
    maps = encoded['heatmaps']
    assert maps.shape == (32, 64, 64)
    np.testing.assert_array_equal(np.maximum(maps[:16], maps[16:]), shared['heatmaps'])
    assert encoded['heatmap_weights'][0, 16 + 3] == 0 and maps[16 + 3].max() == 0
    assert encoded['heatmap_weights'].sum() == 31 and shared['heatmap_weights'].sum() == 16
    # Weights do not depend on the layout of the maps.
    np.testing.assert_array_equal(encoded['depth_weights'], shared['depth_weights'])
    assert shared['depth_weights'].tolist() == [[1, 1, 1, 0] + [1] * 12]


def test_ties_and_unseen_joints_have_no_weight():
    keypoints = two_persons(np.random.default_rng(1))
    assert encode(PairHeatmapLabel(), keypoints, weight=0.0)['depth_weights'].sum() == 0
    encoded = encode(PairHeatmapLabel(), keypoints, np.zeros((2, 16), np.float32))
    assert (
        encoded['heatmaps'].max()
        == encoded['heatmap_weights'].sum()
        == encoded['depth_weights'].sum()
        == 0
    )


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    sigma=st.floats(0.8, 3),
    size=st.sampled_from(
        [
            ((256, 256), (64, 64)),
            ((128, 128), (32, 32)),
            ((192, 256), (48, 64)),
            ((96, 96), (96, 96)),
        ]
    ),
    person_channels=st.booleans(),
)
def test_round_trip(seed, sigma, size, person_channels):
    (w, h), heatmap_size = size
    codec = PairHeatmapLabel((w, h), heatmap_size, sigma, person_channels)
    rng = np.random.default_rng(seed)
    keypoints = rng.uniform(0, 1, (2, 16, 2)) * (0.42 * w, h * 0.9999)  # up to the very edge
    keypoints[1, :, 0] = w * 0.9999 - keypoints[1, :, 0]
    boxes = np.array([[0, 0, w / 2 - 1, h], [w / 2 + 1, 0, w, h]])
    decoded, scores = codec.decode(encode(codec, keypoints)['heatmaps'], boxes)
    assert decoded.shape == (1, 2, 16, 2) and scores.shape == (1, 2, 16)
    error = np.abs(decoded[0] - keypoints) / codec.stride
    # Half a cell is demanded; on clean maps only two Gaussians that meet leave more than a rounding
    # error.
    assert error.max() < 0.5 and np.median(error) < 1e-3


def test_each_person_gets_the_peak_in_its_box():
    codec = PairHeatmapLabel((64, 64), (16, 16))
    maps = torch.full((1, 1, 16, 16), 0.1)
    maps[0, 0, 4, 3], maps[0, 0, 9, 12], maps[0, 0, 0, 15] = 0.6, 0.9, 5.0
    boxes = torch.tensor([[[4.0, 4, 28, 40], [40, 8, 56, 60]]])
    keypoints, scores = codec.batch_decode_pairs(maps, boxes)
    np.testing.assert_allclose(keypoints[0, :, 0], [(12, 16), (48, 36)], atol=1e-4)
    np.testing.assert_allclose(scores[0, :, 0], [0.6, 0.9])
    # Swapped boxes swap the answers.
    swapped, _ = codec.batch_decode_pairs(maps, boxes.flip(1))
    assert torch.equal(swapped, keypoints.flip(1))


@pytest.mark.parametrize(
    ('box', 'cell'),
    [
        ([17.0, 21.0, 18.0, 22.0], (4, 5)),  # between cells: the nearest
        ([-50.0, -50.0, -20.0, -20.0], (0, 0)),  # outside
        ([90.0, 70.0, 120.0, 100.0], (15, 15)),
        ([20.0, 24.0, 20.0, 24.0], (5, 6)),  # a point on a cell's centre
        ([61.0, -9.0, 63.5, 1.0], (15, 0)),  # beyond the last centre
    ],
)
def test_tiny_and_clipped_boxes(box, cell):
    codec = PairHeatmapLabel((64, 64), (16, 16))
    maps = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    keypoints, scores = codec.batch_decode_pairs(maps, torch.tensor([[box, box]]))
    assert torch.equal(scores[0, 0], maps[0, :, cell[1], cell[0]])
    assert (keypoints[0, 0] / 4 - torch.tensor(cell)).abs().max() <= (0.5 if max(cell) < 15 else 1)


def test_decoding_against_a_loop():
    """Batch, channel layout and box bookkeeping against the obvious loops (peaks only, no
    refinement).
    """
    rng = np.random.default_rng(3)
    for person_channels in (False, True):
        codec = PairHeatmapLabel((48, 64), (12, 16), person_channels=person_channels)
        maps = rng.random((5, 8, 16, 12)).astype(np.float32)
        corners = rng.uniform(0, 60, (5, 2, 2, 2)).astype(np.float32)
        corners.sort(axis=2)
        boxes = corners.reshape(5, 2, 4)
        keypoints, scores = codec.batch_decode_pairs(
            torch.from_numpy(maps), torch.from_numpy(boxes)
        )
        num_joints = 4 if person_channels else 8
        assert keypoints.shape == (5, 2, num_joints, 2)
        for b in range(5):
            for p in range(2):
                x1, y1, x2, y2 = boxes[b, p]
                cells = [
                    (i, j)
                    for j in range(16)
                    for i in range(12)
                    if x1 <= 4 * i <= x2 and y1 <= 4 * j <= y2
                ]
                if not cells:
                    continue
                for k in range(num_joints):
                    channel = maps[b, k + p * num_joints * person_channels]
                    best = max(cells, key=lambda cell: channel[cell[1], cell[0]])
                    assert scores[b, p, k] == channel[best[1], best[0]]
                    assert np.abs(keypoints[b, p, k].numpy() / 4 - best).max() <= 1


def test_decoding_flat_negative_and_half_precision_maps():
    codec = PairHeatmapLabel((64, 64), (16, 16))
    boxes = torch.tensor([[[0.0, 0, 30, 60], [32, 0, 60, 60]]])
    for maps in (
        torch.zeros(1, 2, 16, 16),
        torch.full((1, 2, 16, 16), -3.0),
        torch.rand(1, 2, 16, 16).half(),
    ):
        keypoints, scores = codec.batch_decode_pairs(maps, boxes)
        assert (
            keypoints.dtype == torch.float32
            and keypoints.isfinite().all()
            and scores.isfinite().all()
        )


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), label=st.sampled_from([0.0, 1.0]))
def test_swapping_the_persons(seed, label):
    """Shared maps and weights stay; the label flips with the order, and so do person-wise
    channels.
    """
    rng = np.random.default_rng(seed)
    keypoints = rng.uniform(-20, 276, (2, 16, 2))
    visible = (rng.random((2, 16)) < 0.7).astype(np.float32)
    one = encode(PairHeatmapLabel(), keypoints, visible, label)
    two = encode(PairHeatmapLabel(), keypoints[::-1], visible[::-1], 1 - label)
    for key in ('heatmaps', 'heatmap_weights', 'depth_weights'):
        np.testing.assert_array_equal(one[key], two[key])
    np.testing.assert_array_equal(one['depth_labels'], 1 - two['depth_labels'])
    one = encode(PairHeatmapLabel(person_channels=True), keypoints, visible, label)
    two = encode(PairHeatmapLabel(person_channels=True), keypoints[::-1], visible[::-1], 1 - label)
    np.testing.assert_array_equal(one['heatmaps'], np.roll(two['heatmaps'], 16, axis=0))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_mirroring(seed):
    """Mirrored joints make mirrored maps, with left and right channels exchanged."""
    codec = PairHeatmapLabel()
    rng = np.random.default_rng(seed)
    keypoints = rng.uniform(0, 252, (2, 16, 2))
    visible = (rng.random((2, 16)) < 0.7).astype(np.float32)
    mirrored = keypoints.copy()
    mirrored[..., 0] = 63 * 4 - keypoints[..., 0]
    one, two = encode(codec, keypoints, visible), encode(codec, mirrored[:, FLIP], visible[:, FLIP])
    np.testing.assert_allclose(two['heatmaps'], one['heatmaps'][FLIP][..., ::-1], atol=1e-4)
    np.testing.assert_array_equal(two['depth_weights'], one['depth_weights'][:, FLIP])
    np.testing.assert_array_equal(two['depth_labels'], one['depth_labels'])


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match='sigma'):
        PairHeatmapLabel(sigma=0)
    with pytest.raises(ValueError, match='no map'):
        PairHeatmapLabel(heatmap_size=(2, 64))
    codec = PairHeatmapLabel()
    with pytest.raises(ValueError, match='two persons'):
        encode(codec, np.zeros((1, 16, 2)))
    with pytest.raises(ValueError, match='depth_label'):
        codec.encode(np.zeros((2, 16, 2)), np.ones((2, 16)))
    with pytest.raises(ValueError, match='heatmap_size is'):
        codec.decode(np.zeros((16, 32, 32), np.float32), np.array([LEFT, RIGHT]))
    with pytest.raises(ValueError, match='15 channels'):
        PairHeatmapLabel(person_channels=True).decode(
            np.zeros((15, 64, 64), np.float32), np.array([LEFT, RIGHT])
        )


@pytest.mark.parametrize('person_channels', [False, True])
def test_maps_are_mmposes(person_channels):
    """Also of joints beyond the map: within 3 sigma of it they leave a trace, farther out none."""
    from mmpose.codecs.utils.gaussian_heatmap import generate_unbiased_gaussian_heatmaps

    rng = np.random.default_rng(4)
    codec = PairHeatmapLabel((128, 96), (32, 24), sigma=1.5, person_channels=person_channels)
    cells = rng.uniform(-12, 40, (20, 2, 16, 2)).astype(np.float32)
    cells[0, 0, :4] = [(-4.5, 3), (-5.6, 3), (36.4, 3), (3, 28.5)]  # at the ends of the reach
    labelled = (rng.random((20, 2, 16)) < 0.8).astype(np.float32)
    maps = codec.batch_heatmaps(torch.from_numpy(cells), torch.from_numpy(labelled)).numpy()
    assert maps.shape == (20, 32 if person_channels else 16, 24, 32) and maps.dtype == np.float32
    for ours, where, shown in zip(maps, cells, labelled, strict=True):
        if person_channels:
            where, shown = where.reshape(1, -1, 2), shown.reshape(1, -1)
        stock, _ = generate_unbiased_gaussian_heatmaps((32, 24), where, shown, 1.5)
        np.testing.assert_allclose(ours, stock, atol=1e-6)
        # Gaussians reach everywhere: a map is empty exactly where MMPose draws nothing.
        np.testing.assert_array_equal(ours.max((1, 2)) > 0, stock.max((1, 2)) > 1e-12)


@pytest.mark.parametrize('person_channels', [False, True])
def test_a_head_can_make_the_maps(person_channels):
    keypoints = two_persons(np.random.default_rng(5))
    visible = np.ones((2, 16), np.float32)
    visible[0, 2] = visible[1, 5] = 0
    keypoints[0, 2] = np.nan  # not labelled, so its place means nothing
    host, device = (
        encode(PairHeatmapLabel(person_channels=person_channels, on_device=on), keypoints, visible)
        for on in (False, True)
    )
    assert 'heatmaps' not in device and set(device) - set(host) == {
        'heatmap_cells',
        'heatmap_labelled',
    }
    cells, labelled = device['heatmap_cells'], device['heatmap_labelled']
    assert cells.shape == (1, 2, 16, 2) and labelled.shape == (1, 2, 16)
    maps = PairHeatmapLabel(person_channels=person_channels).batch_heatmaps(
        torch.from_numpy(cells), torch.from_numpy(labelled)
    )
    np.testing.assert_array_equal(maps[0].numpy(), host['heatmaps'])
    for key in set(host) - {'heatmaps'}:
        np.testing.assert_array_equal(device[key], host[key])
