# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsp_mm.codecs.integral_3d import Integral3DLabel


def encode(keypoints, visible=None, has_depth=1.0):
    visible = None if visible is None else np.array([visible])
    return Integral3DLabel().encode(np.array([keypoints]), visible, np.array([has_depth]))


def test_posenets_numbers_by_hand():
    # 256 px -> 64: a quarter. z: -1000 mm is layer 0, the root 32, 500 mm (0.5 + 1) / 2 * 64 = 48.
    encoded = encode([[0, 0, -1000], [128, 64, 0], [255, 10, 500]])
    expected = [[[0, 0, 0], [32, 16, 32], [63.75, 2.5, 48]]]
    np.testing.assert_allclose(encoded['keypoint_labels'], expected, atol=1e-6)
    assert encoded['keypoint_weights'].tolist() == encoded['depth_weights'].tolist() == [[1, 1, 1]]
    assert {value.dtype for value in encoded.values()} == {np.dtype(np.float32)}
    assert set(encoded) == set(Integral3DLabel.label_mapping_table)


def test_joints_outside_lose_all_supervision():
    outside = [[-0.01, 9, 0], [256, 9, 0], [9, -1, 0], [9, 256, 0], [9, 9, 1000], [9, 9, -1000.1]]
    encoded = encode([*outside, [9, 9, 999.9], [9, 9, 0]], visible=[1] * 7 + [0])
    for key in ('keypoint_weights', 'depth_weights'):
        assert encoded[key].tolist() == [[0, 0, 0, 0, 0, 0, 1, 0]]
    assert (encoded['keypoint_labels'][0, [0, 1, 2, 3, 4, 5, 7]] == 0).all()


def test_a_sample_without_depth_keeps_its_plane():
    encoded = encode([[128, 64, 5000], [300, 64, 0]], has_depth=0.0)  # its z means nothing
    assert encoded['keypoint_weights'].tolist() == [[1, 0]]
    assert encoded['depth_weights'].tolist() == [[0, 0]]
    assert encoded['keypoint_labels'][0, 0].tolist() == [32, 16, 32]


@pytest.mark.parametrize('axes', [2, 3])
def test_depth_follows_from_the_keypoints_where_it_is_not_given(axes):
    encoded = Integral3DLabel().encode(np.ones((1, 2, axes)))
    assert encoded['keypoint_labels'].shape == (1, 2, 3)
    assert encoded['keypoint_weights'].tolist() == [[1, 1]]
    assert encoded['depth_weights'].tolist() == [[axes - 2] * 2]


@given(
    st.tuples(st.integers(32, 512), st.integers(32, 512)),
    st.tuples(st.integers(1, 96), st.integers(1, 96), st.integers(1, 96)),
    st.integers(0, 2**31),
)
def test_round_trip(input_size, heatmap_size, seed):
    codec = Integral3DLabel(input_size, heatmap_size, depth_range=1000.0)
    low, high = [0, 0, -999.99], [*input_size, 999.99]
    keypoints = np.random.default_rng(seed).uniform(low, high, (1, 50, 3))
    encoded = codec.encode(keypoints)
    assert encoded['keypoint_weights'].all()
    decoded, scores = codec.decode(encoded['keypoint_labels'])
    assert scores.shape == (1, 50) and (scores == 1).all()
    # float32, in which labels are given, resolves no finer than this
    error = np.array(heatmap_size) * 2.0**-24 * codec.scale
    assert (np.abs(decoded - keypoints) <= error + 1e-9).all()
    np.testing.assert_array_equal(codec.decode(encoded['keypoint_labels'][0])[0], decoded)


def test_unlabelled_joints_may_be_anything_and_labelled_ones_not():
    nowhere = [[np.nan, 1, 1], [1, 1, np.inf]]
    assert not encode(nowhere, visible=[0, 0])['keypoint_labels'].any()
    with pytest.raises(ValueError, match='joint 1'):
        encode(nowhere, visible=[0, 1])


@pytest.mark.parametrize(
    'kwargs',
    [
        dict(heatmap_size=(64, 64)),
        dict(heatmap_size=(64, 64, 0)),
        dict(input_size=(0, 256)),
        dict(depth_range=0),
        dict(depth_range=float('nan')),
    ],
)
def test_settings_that_make_no_volume(kwargs):
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        Integral3DLabel(**kwargs)


@pytest.mark.parametrize(
    ('keypoints', 'has_depth', 'what'),
    [
        (np.ones((2, 3, 3)), None, 'one person'),
        (np.ones((3, 3)), None, 'one person'),
        (np.ones((1, 3, 2)), np.ones(1), 'has_depth'),
    ],
)
def test_input_that_cannot_be_encoded(keypoints, has_depth, what):
    with pytest.raises(ValueError, match=what):
        Integral3DLabel().encode(keypoints, None, has_depth)
