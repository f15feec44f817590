# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsp_mm.datasets.transforms.sample_person_pair import SamplePersonPair

RIGHT_ANKLE, RIGHT_KNEE, LEFT_KNEE, LEFT_ANKLE = 0, 1, 4, 5


def picture(ground_y=(100.0, 120.0, 90.0), **changes):
    """Persons 10 px wide and 50 px high at x = 0, 40, 80, ...; joints in the box's centre, but the
    legs.
    """
    n = len(ground_y)
    ground_y = np.asarray(ground_y, float)
    x = 40.0 * np.arange(n)
    bbox = np.column_stack([x, ground_y - 50, x + 10, ground_y]).astype(np.float32)
    keypoints = np.repeat(np.column_stack([x + 5, ground_y - 25])[:, None], 16, axis=1).astype(
        np.float32
    )
    for joint, height in ((RIGHT_ANKLE, 0), (LEFT_ANKLE, 0), (RIGHT_KNEE, 12), (LEFT_KNEE, 12)):
        keypoints[:, joint, 1] = ground_y - height
    results = dict(
        bbox=bbox,
        keypoints=keypoints,
        keypoints_visible=np.ones((n, 16), np.float32),
        ground_y=ground_y,
        scale=np.arange(1.0, n + 1) * 10,
        ann_ids=np.arange(n) + 100,
        other_ankles=np.zeros((0, 3), np.float32),
        img_path='a.jpg',
    )
    return results | changes


def test_a_fixed_pair_by_hand():
    results = picture(pair=np.array([2, 0]), pair_label=0, pair_gap=0.25)
    out = SamplePersonPair(padding=1.5).transform(results)
    assert out['pair_ann_ids'].tolist() == [102, 100]
    np.testing.assert_array_equal(out['pair_bboxes'], [[80, 40, 90, 90], [0, 50, 10, 100]])
    np.testing.assert_array_equal(out['bbox'], [[0, 40, 90, 100]])
    np.testing.assert_array_equal(out['bbox_center'], [[45, 70]])
    np.testing.assert_array_equal(out['bbox_scale'], [[135, 135]])  # 1.5 x the longer side, square
    assert out['depth_label'].tolist() == [0.0] and out['depth_weight'].tolist() == [1.0]
    assert out['pair_gap'].tolist() == [0.25]
    assert out['keypoints'].shape == (2, 16, 2) and out['keypoints'][0, 0].tolist() == [85, 90]
    assert not {'ground_y', 'scale', 'ann_ids', 'other_ankles'} & out.keys()


def test_a_drawn_pair_is_labelled_by_the_perspective_rule():
    seen = set()
    for seed in range(60):
        np.random.seed(seed)
        out = SamplePersonPair().transform(picture())
        a, b = out['pair_ann_ids'] - 100
        assert out['depth_label'][0] == ((100, 120, 90)[a] > (100, 120, 90)[b])
        assert out['pair_gap'][0] == pytest.approx(abs(a - b) / (max(a, b) + 1))
        assert out['depth_weight'][0] == 1
        seen.add((a, b))
    assert len(seen) == 6  # every pair, in both orders


def test_order_without_chance():
    for seed in range(20):
        np.random.seed(seed)
        a, b = SamplePersonPair(random_order=False).transform(picture())['pair_ann_ids']
        assert a < b


def test_ties_are_not_drawn():
    for seed in range(20):
        np.random.seed(seed)
        out = SamplePersonPair().transform(picture(ground_y=(100, 100, 120)))
        assert 102 in out['pair_ann_ids']
        out = SamplePersonPair(min_gap_px=15).transform(picture(ground_y=(100, 110, 120)))
        assert sorted(out['pair_ann_ids']) == [100, 102]


def test_a_picture_without_a_valid_pair_is_refused():
    assert SamplePersonPair().transform(picture(ground_y=(100, 100))) is None
    assert SamplePersonPair(min_gap_px=21).transform(picture(ground_y=(100, 120))) is None
    visible = np.zeros((2, 16), np.float32)
    visible[0, :6], visible[1, 6:] = 1, 1  # no joint labelled in both
    assert (
        SamplePersonPair().transform(picture(ground_y=(100, 120), keypoints_visible=visible))
        is None
    )


def test_a_fixed_tie_has_weight_zero():
    tie = picture(ground_y=(100, 100), pair=(0, 1), pair_label=1)
    assert SamplePersonPair().transform(tie)['depth_weight'].tolist() == [0.0]
    close = picture(ground_y=(100, 104), pair=(0, 1), pair_label=0)
    assert SamplePersonPair(min_gap_px=5).transform(close)['depth_weight'].tolist() == [0.0]


def test_ankles_of_everybody():
    results = picture(pair=(0, 1), pair_label=0, other_ankles=np.array([[7, 8, 9], [1, 2, np.nan]]))
    results['keypoints_visible'][0, RIGHT_ANKLE] = 0
    results['keypoints_visible'][2, LEFT_KNEE] = 0
    ankles = SamplePersonPair().transform(results)['ankles']
    expected = {
        (5, 100, 12, 10), (45, 120, 12, 20), (85, 90, -1, 30), (45, 120, 12, 20), (85, 90, 12, 30),
        (7, 8, 9, -1), (1, 2, -1, -1),
    }  # fmt: skip
    assert ankles.shape == (7, 4)
    assert {tuple(row) for row in np.nan_to_num(ankles, nan=-1).tolist()} == expected


def test_two_boxes_are_enough():
    out = SamplePersonPair().transform(
        dict(bbox=np.array([[0, 0, 10, 10], [20, 0, 30, 40]]), pair=(1, 0))
    )
    np.testing.assert_array_equal(out['pair_bboxes'], [[20, 0, 30, 40], [0, 0, 10, 10]])
    assert out['bbox_scale'].tolist() == [[50, 50]]
    assert 'depth_label' not in out and 'ankles' not in out


@settings(max_examples=40, deadline=None)
@given(ground_y=st.lists(st.integers(0, 400), min_size=2, max_size=6, unique=True), data=st.data())
def test_swapping_the_fixed_order_flips_the_label(ground_y, data):
    a, b = data.draw(st.permutations(range(len(ground_y))))[:2]
    labels = []
    for pair in ((a, b), (b, a)):
        out = SamplePersonPair().transform(picture(ground_y=ground_y, pair=pair))
        labels.append(out['depth_label'][0])
    assert sorted(labels) == [0, 1]


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match='padding'):
        SamplePersonPair(padding=0)
    with pytest.raises(ValueError, match=r'a\.jpg has 1 person'):
        SamplePersonPair().transform(picture(ground_y=(100,)))
    assert 'min_gap_px=3' in repr(SamplePersonPair(min_gap_px=3))
