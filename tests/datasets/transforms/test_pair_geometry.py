# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsp_mm.datasets.transforms.pair_geometry import (
    PairRandomBBoxTransform,
    PairRandomFlip,
    PairTopdownAffine,
)
from wsp_mm.structures.keypoints import get_joint_set

FLIP = list(get_joint_set('mcpc16').flip_indices)
W, H = 120, 90


def sample(seed=0, **changes):
    """A pair of persons somewhere in a picture of 120 x 90 px, as SamplePersonPair leaves it."""
    rng = np.random.default_rng(seed)
    corners = np.sort(rng.uniform(5, 85, (2, 2, 2)), axis=1) + np.array(((0, 0), (3, 3)))
    boxes = corners.reshape(2, 4).astype(np.float32)
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    results = dict(
        img=rng.integers(0, 256, (H, W, 3), dtype=np.uint8),
        img_shape=(H, W),
        flip_indices=FLIP,
        keypoints=rng.uniform(5, 85, (2, 16, 2)).astype(np.float32),
        keypoints_visible=(rng.random((2, 16)) < 0.7).astype(np.float32),
        pair_bboxes=boxes,
        bbox=np.concatenate([low, high])[None],
        bbox_center=(low + high)[None] / 2,
        bbox_scale=np.full((1, 2), (high - low).max() * 1.25, np.float32),
        depth_label=np.array([1.0], np.float32),
        depth_weight=np.array([1.0], np.float32),
        ankles=np.column_stack([rng.uniform(5, 85, (3, 2)), [10, 20, 30], [5, np.nan, 6]]).astype(
            np.float32
        ),
    )
    return results | changes


def copied(results):
    return {
        key: value.copy() if isinstance(value, np.ndarray) else value
        for key, value in results.items()
    }


def test_flip_by_hand():
    results = sample()
    before = copied(results)
    out = PairRandomFlip(prob=1.0).transform(results)
    assert out['flip'] and out['flip_direction'] == 'horizontal'
    np.testing.assert_array_equal(out['img'], before['img'][:, ::-1])
    # Joints stay on their pixels; left and right change places; A stays A.
    np.testing.assert_allclose(out['keypoints'][0, 0, 0], W - 1 - before['keypoints'][0, 5, 0])
    np.testing.assert_allclose(out['keypoints'][1, 9, 0], W - 1 - before['keypoints'][1, 9, 0])
    np.testing.assert_array_equal(out['keypoints'][..., 1], before['keypoints'][:, FLIP, 1])
    np.testing.assert_array_equal(out['keypoints_visible'], before['keypoints_visible'][:, FLIP])
    np.testing.assert_allclose(out['pair_bboxes'][:, 0], W - 1 - before['pair_bboxes'][:, 2])
    np.testing.assert_allclose(out['pair_bboxes'][:, 2], W - 1 - before['pair_bboxes'][:, 0])
    np.testing.assert_array_equal(out['pair_bboxes'][:, 1::2], before['pair_bboxes'][:, 1::2])
    np.testing.assert_allclose(out['ankles'][:, 0], W - 1 - before['ankles'][:, 0])
    np.testing.assert_array_equal(out['ankles'][:, 1:], before['ankles'][:, 1:])
    assert out['depth_label'].tolist() == [1.0]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_flipping_twice_changes_nothing(seed):
    before, results = sample(seed), sample(seed)
    for _ in range(2):
        results = PairRandomFlip(prob=1.0).transform(results)
    for key in (
        'img',
        'keypoints',
        'keypoints_visible',
        'pair_bboxes',
        'ankles',
        'bbox',
        'bbox_center',
    ):
        np.testing.assert_allclose(results[key], before[key], atol=1e-4, err_msg=key)


def test_flip_may_not_happen_or_come_late():
    out = PairRandomFlip(prob=0).transform(sample())
    assert out['flip'] is False
    np.testing.assert_array_equal(out['pair_bboxes'], sample()['pair_bboxes'])
    with pytest.raises(ValueError, match='before PairTopdownAffine'):
        PairRandomFlip().transform(sample(input_size=(64, 64)))


def test_box_jitter_ranges():
    transform = PairRandomBBoxTransform(
        shift_factor=0.1, scale_factor=(0.5, 2.0), rotate_factor=180.0
    )
    np.random.seed(0)
    draws = []
    for _ in range(500):
        out = transform.transform(
            dict(bbox_center=np.zeros((1, 2)), bbox_scale=np.full((1, 2), 100.0))
        )
        draws.append([*out['bbox_center'][0], out['bbox_scale'][0, 0], out['bbox_rotation'][0]])
    low, high = np.min(draws, axis=0), np.max(draws, axis=0)
    assert (
        (low[:2] >= -10).all()
        and (low[:2] < -9).all()
        and (high[:2] <= 10).all()
        and (high[:2] > 9).all()
    )
    assert 50 <= low[2] < 55 and 190 < high[2] <= 200
    assert -180 <= low[3] < -170 and 170 < high[3] <= 180
    # As many turns in each quarter: no direction is preferred.
    assert np.histogram(np.array(draws)[:, 3], bins=4, range=(-180, 180))[0].min() > 90


def test_box_jitter_is_off_by_default_and_obeys_its_probabilities():
    box = dict(bbox_center=np.full((1, 2), 7.0), bbox_scale=np.full((1, 2), 100.0))
    out = PairRandomBBoxTransform().transform(dict(box))
    assert out['bbox_center'].tolist() == [[7, 7]] and out['bbox_scale'].tolist() == [[100, 100]]
    assert out['bbox_rotation'].tolist() == [0]
    np.random.seed(0)
    transform = PairRandomBBoxTransform(
        rotate_factor=90, rotate_prob=0.3, shift_factor=1, shift_prob=0
    )
    turned = [transform.transform(dict(box))['bbox_rotation'][0] != 0 for _ in range(300)]
    assert 0.2 < np.mean(turned) < 0.4
    for wrong in (dict(rotate_factor=181), dict(scale_factor=(0, 1)), dict(scale_factor=(2, 1))):
        with pytest.raises(ValueError):
            PairRandomBBoxTransform(**wrong)


def test_crop_by_hand():
    results = sample(
        bbox_center=np.array([[50.0, 40.0]], np.float32),
        bbox_scale=np.array([[80.0, 80.0]], np.float32),
        pair_bboxes=np.array([[10, 0, 50, 40], [50, 20, 90, 80]], np.float32),
    )
    picture = copied(results)
    out = PairTopdownAffine(input_size=(40, 40)).transform(results)
    # 80 px to 40: x -> (x - 10) / 2, y -> y / 2.
    np.testing.assert_allclose(
        out['pair_bboxes_input'], [[[0, 0, 20, 20], [20, 10, 40, 40]]], atol=1e-4
    )
    np.testing.assert_allclose(
        out['transformed_keypoints'], (picture['keypoints'] - (10, 0)) / 2, rtol=1e-4, atol=1e-3
    )
    np.testing.assert_allclose(
        out['ankles_input'][:, :2], (picture['ankles'][:, :2] - (10, 0)) / 2, atol=1e-3
    )
    np.testing.assert_allclose(out['ankles_input'][:, 2], [5, 10, 15], atol=1e-4)
    np.testing.assert_allclose(out['ankles_input'][:, 3], [2.5, np.nan, 3], atol=1e-4)
    for key in ('keypoints', 'pair_bboxes', 'ankles'):
        np.testing.assert_array_equal(out[key], picture[key])
    assert out['img'].shape == (40, 40, 3)


def test_a_quarter_turn_by_hand():
    results = sample(
        bbox_center=np.array([[50.0, 40.0]], np.float32),
        bbox_scale=np.array([[80.0, 80.0]], np.float32),
        bbox_rotation=np.array([90.0], np.float32),
        pair_bboxes=np.array([[10, 0, 50, 20], [50, 20, 90, 80]], np.float32),
    )
    out = PairTopdownAffine(input_size=(80, 80)).transform(results)
    # Around (50, 40) the offset (dx, dy) goes to (dy, -dx), and (50, 40) to (40, 40).
    np.testing.assert_allclose(
        out['pair_bboxes_input'], [[[0, 40, 20, 80], [20, 0, 80, 40]]], atol=1e-3
    )


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), angle=st.floats(-180, 180), zoom=st.floats(0.5, 2))
def test_boxes_joints_and_ankles_move_together(seed, angle, zoom):
    """A joint inside a person's box stays inside it; an ankle that is a joint stays on it; the
    label stays.
    """
    rng = np.random.default_rng(seed)
    results = sample(seed, bbox_rotation=np.array([angle], np.float32))
    boxes = results['pair_bboxes']
    inside = boxes[:, None, :2] + rng.random((2, 16, 2)) * (boxes[:, None, 2:] - boxes[:, None, :2])
    results['keypoints'] = inside.astype(np.float32)
    results['ankles'][:2, :2] = results['keypoints'][:, 0]
    results['bbox_scale'] = results['bbox_scale'] * zoom
    lengths = results['ankles'][:, 2].copy()
    out = PairTopdownAffine(input_size=(64, 64)).transform(results)
    hulls, points = out['pair_bboxes_input'][0], out['transformed_keypoints']
    assert (points >= hulls[:, None, :2] - 1e-2).all() and (
        points <= hulls[:, None, 2:] + 1e-2
    ).all()
    np.testing.assert_allclose(out['ankles_input'][:2, :2], points[:, 0], atol=1e-2)
    np.testing.assert_allclose(
        out['ankles_input'][:, 2], lengths * 64 / out['input_scale'][0], rtol=1e-4
    )
    assert out['depth_label'].tolist() == [1.0] and out['depth_weight'].tolist() == [1.0]


def test_pixels_move_with_the_joints():
    """A dot drawn at a joint is found where the transformed joint says, after flip, turn and
    crop.
    """
    results = sample(bbox_rotation=np.array([37.0], np.float32))
    results['img'][:] = 0
    results['keypoints'][0, 9] = (60, 45)
    results['bbox_center'], results['bbox_scale'] = (
        np.array([[55.0, 47.0]]),
        np.array([[60.0, 60.0]]),
    )
    cv2.circle(results['img'], (60, 45), 3, (255, 255, 255), -1)
    out = PairTopdownAffine(input_size=(128, 128)).transform(
        PairRandomFlip(prob=1.0).transform(results)
    )
    ys, xs = np.nonzero(out['img'][..., 0] > 127)
    np.testing.assert_allclose(
        (xs.mean(), ys.mean()), out['transformed_keypoints'][0, 9], atol=0.75
    )


def test_no_joints_no_ankles():
    results = sample()
    for key in ('keypoints', 'keypoints_visible', 'ankles'):
        results.pop(key)
    out = PairTopdownAffine(input_size=[32, 32]).transform(
        PairRandomFlip(prob=1.0).transform(results)
    )
    assert out['pair_bboxes_input'].shape == (1, 2, 4) and 'ankles_input' not in out
    empty = PairTopdownAffine(input_size=(32, 32)).transform(
        sample(ankles=np.zeros((0, 4), np.float32))
    )
    assert empty['ankles_input'].shape == (0, 4)
