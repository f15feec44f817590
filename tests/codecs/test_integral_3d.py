# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmpose.registry import KEYPOINT_CODECS

from wsp_mm.codecs.integral_3d import Integral3DLabel


def encode(keypoints, visible=None, has_depth=1.0, **kwargs):
    keypoints = np.asarray(keypoints, np.float32)[None]
    visible = None if visible is None else np.asarray(visible, np.float32)[None]
    return Integral3DLabel(**kwargs).encode(keypoints, visible, np.array([has_depth]))


def test_posenet_s_numbers_by_hand():
    # 256 px -> 64 cells: a quarter. z: -1000 mm is layer 0, the root 32, 500 mm (0.5 + 1) / 2 * 64
    # = 48.
    encoded = encode([[0, 0, -1000], [128, 64, 0], [255, 10, 500]])
    np.testing.assert_allclose(
        encoded['keypoint_labels'], [[[0, 0, 0], [32, 16, 32], [63.75, 2.5, 48]]], atol=1e-6
    )
    assert encoded['keypoint_weights'].tolist() == encoded['depth_weights'].tolist() == [[1, 1, 1]]
    assert {value.dtype for value in encoded.values()} == {np.dtype(np.float32)}


def test_what_lies_outside_loses_all_supervision():
    outside = [[-0.01, 9, 0], [256, 9, 0], [9, -1, 0], [9, 256, 0], [9, 9, 1000], [9, 9, -1000.1]]
    encoded = encode([*outside, [9, 9, 999.9], [9, 9, 0]], visible=[1] * 7 + [0])
    assert encoded['keypoint_weights'].tolist() == [[0, 0, 0, 0, 0, 0, 1, 0]]
    assert encoded['depth_weights'].tolist() == [[0, 0, 0, 0, 0, 0, 1, 0]]
    assert (encoded['keypoint_labels'][0, [0, 1, 2, 3, 4, 5, 7]] == 0).all()


def test_a_sample_without_depth_keeps_its_plane():
    # its z means nothing, whatever it is
    encoded = encode([[128, 64, 5000], [300, 64, 0]], has_depth=0.0)
    assert encoded['keypoint_weights'].tolist() == [[1, 0]]
    assert encoded['depth_weights'].tolist() == [[0, 0]]
    assert encoded['keypoint_labels'][0, 0].tolist() == [32, 16, 32]


def test_depth_follows_from_the_keypoints_where_it_is_not_told():
    codec = Integral3DLabel()
    assert codec.encode(np.ones((1, 2, 3)))['depth_weights'].tolist() == [[1, 1]]
    flat = codec.encode(np.ones((1, 2, 2)))
    assert flat['depth_weights'].tolist() == [[0, 0]] and flat['keypoint_weights'].tolist() == [
        [1, 1]
    ]
    assert flat['keypoint_labels'].shape == (1, 2, 3)


@settings(deadline=None)
@given(
    st.tuples(st.integers(32, 512), st.integers(32, 512)),
    st.tuples(st.integers(1, 96), st.integers(1, 96), st.integers(1, 96)),
    st.integers(0, 2**31),
)
def test_round_trip(input_size, heatmap_size, seed):
    codec = Integral3DLabel(input_size, heatmap_size, depth_range=1000.0)
    rng = np.random.default_rng(seed)
    keypoints = rng.uniform([0, 0, -999.99], [*input_size, 999.99], (1, 50, 3))
    encoded = codec.encode(keypoints, has_depth=np.ones(1))
    assert encoded['keypoint_weights'].all()
    decoded = codec.decode(encoded['keypoint_labels'])
    # float32 itself, in which cells are given, resolves no finer than this
    cell_error = np.array(heatmap_size) * 2.0**-24 * codec.cell
    assert (np.abs(decoded - keypoints) <= cell_error + 1e-9).all()


def test_round_trip_of_the_paper_s_size():
    rng = np.random.default_rng(0)
    keypoints = rng.uniform([0, 0, -1000], [256, 256, 1000], (1, 2000, 3))
    codec = Integral3DLabel()
    back = codec.decode(codec.encode(keypoints, has_depth=np.ones(1))['keypoint_labels'])
    assert np.abs(back - keypoints).max() <= 1e-4  # px and mm


def test_unlabelled_joints_may_be_anything_and_labelled_ones_not():
    nowhere = [[np.nan, 1, 1], [1, 1, np.inf]]
    assert encode(nowhere, visible=[0, 0])['keypoint_labels'].tolist() == [[[0, 0, 0]] * 2]
    with pytest.raises(ValueError, match='joint 1 is labelled'):
        encode(nowhere, visible=[0, 1])


@pytest.mark.parametrize(
    ('kwargs', 'what'),
    [
        (dict(heatmap_size=(64, 64)), 'no volume'),
        (dict(heatmap_size=(64, 64, 0)), 'no volume'),
        (dict(input_size=(0, 256)), 'no volume'),
        (dict(depth_range=0), 'depth_range'),
        (dict(depth_range=float('nan')), 'depth_range'),
    ],
)
def test_settings_that_make_no_volume(kwargs, what):
    with pytest.raises(ValueError, match=what):
        Integral3DLabel(**kwargs)


@pytest.mark.parametrize(
    ('keypoints', 'visible', 'has_depth', 'what'),
    [
        (np.ones((2, 3, 3)), None, None, 'one person'),
        (np.ones((3, 3)), None, None, 'one person'),
        (np.ones((1, 3, 3)), np.ones((1, 4)), None, 'does not fit'),
        (np.ones((1, 3, 2)), None, np.ones(1), 'no z'),
    ],
)
def test_input_that_cannot_be_encoded(keypoints, visible, has_depth, what):
    with pytest.raises(ValueError, match=what):
        Integral3DLabel().encode(keypoints, visible, has_depth)


def test_it_is_registered_with_its_tables():
    codec = KEYPOINT_CODECS.build(dict(type='Integral3DLabel'))
    assert set(codec.label_mapping_table) == set(codec.encode(np.ones((1, 2, 3))))
    assert codec.auxiliary_encode_keys == {'has_depth'}
