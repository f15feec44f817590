# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsp_mm.datasets.transforms.pair import (
    SHANK_PER_SCALE,
    PackPairInputs,
    PairRandomBBoxTransform,
    PairRandomFlip,
    PairRandomPerspective,
    PairTopdownAffine,
    RandomHideLegs,
    RemoveAnkles,
    SamplePersonPair,
)
from wsp_mm.structures.keypoints import get_joint_set

RIGHT_ANKLE, RIGHT_KNEE, LEFT_KNEE, LEFT_ANKLE = 0, 1, 4, 5
FLIP = list(get_joint_set('mcpc16').flip_indices)
W, H = 120, 90
NAN = np.nan


# ------------------------------------------------------------------ SamplePersonPair
def persons(ground_y=(100.0, 120.0, 90.0), **changes):
    """Persons 10 px wide and 50 px high at x = 0, 40, 80, ...; legs upright, other joints in the
    box's centre.
    """
    n, ground_y = len(ground_y), np.asarray(ground_y, float)
    x = 40.0 * np.arange(n)
    keypoints = np.repeat(np.column_stack([x + 5, ground_y - 25])[:, None], 16, axis=1)
    for joint, height in ((RIGHT_ANKLE, 0), (LEFT_ANKLE, 0), (RIGHT_KNEE, 12), (LEFT_KNEE, 12)):
        keypoints[:, joint, 1] = ground_y - height
    return dict(
        bbox=np.column_stack([x, ground_y - 50, x + 10, ground_y]).astype(np.float32),
        keypoints=keypoints.astype(np.float32), keypoints_visible=np.ones((n, 16), np.float32),
        ground_y=ground_y, scale=np.arange(1.0, n + 1) * 10, ann_ids=np.arange(n) + 100,
        other_ankles=np.zeros((0, 3), np.float32), img_path='a.jpg',
    ) | changes  # fmt: skip


def test_a_fixed_pair_by_hand():
    results = persons(pair=np.array([2, 0]), pair_label=0, pair_gap=0.25)
    out = SamplePersonPair(padding=1.5).transform(results)
    expected = dict(
        pair_ann_ids=[102, 100], pair_bboxes=[[80, 40, 90, 90], [0, 50, 10, 100]],
        bbox=[[0, 40, 90, 100]],
        bbox_center=[[45, 70]], bbox_scale=[[135, 135]], depth_label=[0], depth_weight=[1],
        pair_gap=[0.25],
    )  # fmt: skip
    assert {key: out[key].tolist() for key in expected} == expected
    assert out['keypoints'].shape == (2, 16, 2) and out['keypoints'][0, 0].tolist() == [85, 90]
    assert not {'ground_y', 'scale', 'ann_ids', 'other_ankles'} & out.keys()


def test_the_ground_plane_labels_where_it_is_there():
    """Persons 0 and 1 tie by the rule; the plane still has a label, whichever of them is A."""
    nearer = np.array([[0.5, 0.75, 0.9], [0.25, 0.5, 0.6], [0.1, 0.4, 0.5]], np.float32)
    plane = dict(nearer_probs=nearer, log_depth=np.array([1.0, 1.25, 1.5], np.float32))
    seen = set()
    for seed in range(40):
        np.random.seed(seed)
        out = SamplePersonPair(min_confidence=0.7).transform(persons((100.0, 100.0, 90.0), **plane))
        a, b = (out['pair_ann_ids'] - 100).tolist()
        assert out['depth_label'] == nearer[a, b] and out['depth_label'].dtype == np.float32
        assert out['depth_weight'] == (max(nearer[a, b], nearer[b, a]) >= 0.7)
        assert out['log_depth_ratio'].tolist() == [(b - a) * 0.25]
        assert not {'nearer_probs', 'log_depth'} & out.keys()
        seen.add((a, b))
    assert len(seen) == 6
    fixed = persons(pair=np.array([2, 0]), pair_label=1, pair_gap=0.25, **plane)
    out = SamplePersonPair().transform(fixed)  # its label stays
    assert out['depth_label'] == out['depth_weight'] == 1 and out['log_depth_ratio'] == -0.5
    with pytest.raises(ValueError, match='min_confidence'):
        SamplePersonPair(min_confidence=0.4)


def test_a_drawn_pair_is_labelled_by_the_perspective_rule():
    seen = set()
    for seed in range(60):
        np.random.seed(seed)
        out = SamplePersonPair().transform(persons())
        a, b = out['pair_ann_ids'] - 100
        assert out['depth_label'][0] == ((100, 120, 90)[a] > (100, 120, 90)[b])
        assert out['pair_gap'][0] == pytest.approx(abs(a - b) / (max(a, b) + 1))
        assert out['depth_weight'][0] == 1
        seen.add((a, b))
        a, b = SamplePersonPair(random_order=False).transform(persons())['pair_ann_ids']
        assert a < b
    assert len(seen) == 6  # every pair, in both orders


def test_ties():
    for seed in range(20):
        np.random.seed(seed)
        out = SamplePersonPair().transform(persons(ground_y=(100, 100, 120)))
        assert 102 in out['pair_ann_ids']
        out = SamplePersonPair(min_gap_px=15).transform(persons(ground_y=(100, 110, 120)))
        assert sorted(out['pair_ann_ids']) == [100, 102]
    for ground_y, gap in (((100, 100), 0), ((100, 104), 5)):
        fixed = persons(ground_y=ground_y, pair=(0, 1), pair_label=1)
        assert SamplePersonPair(min_gap_px=gap).transform(fixed)['depth_weight'].tolist() == [0]


def test_an_image_without_a_valid_pair_is_refused():
    visible = np.zeros((2, 16), np.float32)
    visible[0, :6], visible[1, 6:] = 1, 1  # no joint labelled in both
    assert SamplePersonPair().transform(persons((100, 100))) is None
    assert SamplePersonPair(min_gap_px=21).transform(persons((100, 120))) is None
    assert SamplePersonPair().transform(persons((100, 120), keypoints_visible=visible)) is None


def test_ankles_of_everybody():
    results = persons(pair=(0, 1), pair_label=0, other_ankles=np.array([[7, 8, 9], [1, 2, NAN]]))
    results['keypoints_visible'][0, RIGHT_ANKLE] = 0
    results['keypoints_visible'][2, LEFT_KNEE] = 0
    ankles = SamplePersonPair().transform(results)['ankles']
    expected = {
        (5, 100, 12, 10), (45, 120, 12, 20), (85, 90, -1, 30), (45, 120, 12, 20), (85, 90, 12, 30),
        (7, 8, 9, -1), (1, 2, -1, -1),
    }  # fmt: skip
    assert ankles.shape == (7, 4)
    assert {tuple(row) for row in np.nan_to_num(ankles, nan=-1).tolist()} == expected


# ------------------------------------------------------------------ flip, jitter, crop
def pair(seed=0, **changes):
    """A pair of persons somewhere in an image of 120 x 90 px, as SamplePersonPair leaves it."""
    rng = np.random.default_rng(seed)
    corners = np.sort(rng.uniform(5, 85, (2, 2, 2)), axis=1) + np.array(((0, 0), (3, 3)))
    boxes = corners.reshape(2, 4).astype(np.float32)
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    ankles = np.column_stack([rng.uniform(5, 85, (3, 2)), [10, 20, 30], [5, NAN, 6]])
    return dict(
        img=rng.integers(0, 256, (H, W, 3), dtype=np.uint8), img_shape=(H, W), flip_indices=FLIP,
        keypoints=rng.uniform(5, 85, (2, 16, 2)).astype(np.float32),
        keypoints_visible=(rng.random((2, 16)) < 0.7).astype(np.float32),
        pair_bboxes=boxes, bbox=np.concatenate([low, high])[None],
        bbox_center=(low + high)[None] / 2,
        bbox_scale=np.full((1, 2), (high - low).max() * 1.25, np.float32),
        depth_label=np.array([1.0], np.float32), ankles=ankles.astype(np.float32),
    ) | changes  # fmt: skip


def test_flip_by_hand():
    before, out = pair(), PairRandomFlip(prob=1.0).transform(pair())
    assert out['flip'] and out['flip_direction'] == 'horizontal'
    np.testing.assert_array_equal(out['img'], before['img'][:, ::-1])
    # Joints stay on their pixels; left and right change places; A stays A.
    expected = before['keypoints'][:, FLIP] * (-1, 1) + (W - 1, 0)
    np.testing.assert_allclose(out['keypoints'], expected, atol=1e-4)
    np.testing.assert_array_equal(out['keypoints_visible'], before['keypoints_visible'][:, FLIP])
    x1, y1, x2, y2 = before['pair_bboxes'].T
    expected = np.stack([W - 1 - x2, y1, W - 1 - x1, y2], axis=1)
    np.testing.assert_allclose(out['pair_bboxes'], expected)
    np.testing.assert_allclose(out['ankles'][:, 0], W - 1 - before['ankles'][:, 0])
    np.testing.assert_array_equal(out['ankles'][:, 1:], before['ankles'][:, 1:])
    assert out['depth_label'].tolist() == [1.0]


def test_flip_may_not_happen_or_come_late():
    out = PairRandomFlip(prob=0).transform(pair())
    assert out['flip'] is False
    np.testing.assert_array_equal(out['pair_bboxes'], pair()['pair_bboxes'])
    with pytest.raises(ValueError, match='before PairTopdownAffine'):
        PairRandomFlip().transform(pair(input_size=(64, 64)))


def test_box_jitter():
    def draw(transform):
        box = dict(bbox_center=np.zeros((1, 2)), bbox_scale=np.full((1, 2), 100.0))
        out = transform.transform(box)
        return [*out['bbox_center'][0], out['bbox_scale'][0, 0], out['bbox_rotation'][0]]

    np.random.seed(0)
    transform = PairRandomBBoxTransform(0.1, scale_factor=(0.5, 2.0), rotate_factor=180.0)
    draws = np.array([draw(transform) for _ in range(500)])
    limits = np.array([(-10, 10), (-10, 10), (50, 200), (-180, 180)])
    reached = np.stack([draws.min(axis=0), draws.max(axis=0)], axis=1)
    slack = 0.05 * np.ptp(limits, axis=1)
    assert (np.abs(reached - limits) < slack[:, None]).all()
    assert (reached[:, 0] >= limits[:, 0]).all() and (reached[:, 1] <= limits[:, 1]).all()
    # As many turns in each quarter: no direction is preferred.
    assert np.histogram(draws[:, 3], bins=4, range=(-180, 180))[0].min() > 90
    assert draw(PairRandomBBoxTransform()) == [0, 0, 100, 0]
    some = PairRandomBBoxTransform(1, shift_prob=0, rotate_factor=90, rotate_prob=0.3)
    draws = np.array([draw(some) for _ in range(300)])
    assert 0.2 < np.mean(draws[:, 3] != 0) < 0.4 and not draws[:, :2].any()


@pytest.mark.parametrize(
    'rotation, boxes',
    [(0, [[0, 0, 20, 10], [20, 10, 40, 40]]), (90, [[0, 20, 10, 40], [10, 0, 40, 20]])],
)
def test_crop_by_hand(rotation, boxes):
    results = pair(
        bbox_center=np.array([[50.0, 40.0]], np.float32),
        bbox_scale=np.array([[80.0, 80.0]], np.float32),
        bbox_rotation=np.array([rotation], np.float32),
        pair_bboxes=np.array([[10, 0, 50, 20], [50, 20, 90, 80]], np.float32),
    )
    before = {key: np.copy(results[key]) for key in ('keypoints', 'pair_bboxes', 'ankles')}
    out = PairTopdownAffine(input_size=[40, 40]).transform(results)

    def moved(points):
        """80 px to 40 px, about (50, 40), which goes to (20, 20)."""
        x, y = np.moveaxis(points - (50, 40), -1, 0) / 2
        return np.stack([y, -x] if rotation else [x, y], axis=-1) + 20

    def close(found, expected):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)

    close(out['pair_bboxes_input'], [boxes])
    close(out['transformed_keypoints'], moved(before['keypoints']))
    close(out['pair_down'], [[[1, 0] if rotation else [0, 1]] * 2])
    close(out['ankles_input'][:, :2], moved(before['ankles'][:, :2]))
    close(out['ankles_input'][:, 2:].T, [[5, 10, 15], [2.5, NAN, 3]])
    for key, value in before.items():
        np.testing.assert_array_equal(out[key], value)
    assert out['img'].shape == (40, 40, 3)


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), angle=st.floats(-180, 180), zoom=st.floats(0.5, 2))
def test_boxes_joints_and_ankles_move_together(seed, angle, zoom):
    """A joint in a person's box stays in it; an ankle that is a joint stays on it; the label
    stays.
    """
    rng = np.random.default_rng(seed)
    results = pair(seed, bbox_rotation=np.array([angle], np.float32))
    boxes = results['pair_bboxes']
    inside = boxes[:, None, :2] + rng.random((2, 16, 2)) * (boxes[:, None, 2:] - boxes[:, None, :2])
    results['keypoints'] = inside.astype(np.float32)
    results['ankles'][:2, :2] = results['keypoints'][:, 0]
    results['bbox_scale'] = results['bbox_scale'] * zoom
    lengths = results['ankles'][:, 2].copy()
    out = PairTopdownAffine(input_size=(64, 64)).transform(results)
    hulls, points = out['pair_bboxes_input'][0], out['transformed_keypoints']
    assert (points >= hulls[:, None, :2] - 1e-2).all()
    assert (points <= hulls[:, None, 2:] + 1e-2).all()
    np.testing.assert_allclose(out['ankles_input'][:2, :2], points[:, 0], atol=1e-2)
    expected = lengths * 64 / out['input_scale'][0]
    np.testing.assert_allclose(out['ankles_input'][:, 2], expected, rtol=1e-4)
    assert out['depth_label'].tolist() == [1.0]


def test_pixels_move_with_the_joints():
    """A dot drawn at a joint is found where the transformed joint is, after flip, turn and crop."""
    results = pair(
        bbox_rotation=np.array([37.0], np.float32),
        bbox_center=np.array([[55.0, 47.0]]),
        bbox_scale=np.array([[60.0, 60.0]]),
        img=cv2.circle(np.zeros((H, W, 3), np.uint8), (60, 45), 3, (255, 255, 255), -1),
    )
    results['keypoints'][0, 9] = (60, 45)
    out = PairRandomFlip(prob=1.0).transform(results)
    out = PairTopdownAffine(input_size=(128, 128)).transform(out)
    ys, xs = np.nonzero(out['img'][..., 0] > 127)
    found = out['transformed_keypoints'][0, 9]
    np.testing.assert_allclose((xs.mean(), ys.mean()), found, atol=0.75)


# ------------------------------------------------------------------ RemoveAnkles
def crop(ankles, size=(40, 60)):
    img = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    return dict(img=img, ankles_input=np.array(ankles, np.float32).reshape(-1, 4))


def test_squares_by_hand():
    ankles = [(20, 10, 20, 7), (59, 39, 10, 7), (5.4, 30, 5, NAN)]
    ankles += [(-30, 10, 10, 7), (30, 30, 0.01, 7)]
    results = crop(ankles)
    img = results['img']
    before = img.copy()
    out = RemoveAnkles(share=0.5).transform(results)['img']
    covered = np.zeros((40, 60), bool)
    covered[5:16, 15:26] = True  # side 10 around (20, 10)
    covered[37:40, 57:60] = True  # side 5 around (59, 39), clipped
    covered[29:32, 5:7] = True  # side 2.5 around (5.4, 30): 4.15 to 6.65
    covered[30, 30] = True  # its own pixel at least; nothing of the one outside
    assert (out[covered] == before.mean(axis=(0, 1)).round()).all()
    np.testing.assert_array_equal(out[~covered], before[~covered])
    np.testing.assert_array_equal(img, before)  # not changed in place
    gray = RemoveAnkles(share=0.5, fill='gray').transform(crop(ankles))['img']
    assert (gray[10, 20] == 128).all()
    np.testing.assert_array_equal(RemoveAnkles().transform(crop([]))['img'], before)


def test_sides():
    ankles = np.array([(0, 0, 20, 10), (0, 0, NAN, 10), (0, 0, 9, NAN), (0, 0, NAN, NAN)])
    shank = 10 * SHANK_PER_SCALE
    by_shank = RemoveAnkles(share=0.5).sides(ankles)
    np.testing.assert_allclose(by_shank, [10, shank / 2, 4.5, shank / 2])
    by_scale = RemoveAnkles(share=2.0, relative_to='scale').sides(ankles)
    np.testing.assert_allclose(by_scale, [20, 20, 2 * 9 / SHANK_PER_SCALE, 20])
    with pytest.raises(ValueError, match='no ankle has'):
        RemoveAnkles().sides(ankles[3:])


# ------------------------------------------------------------------ PairRandomPerspective
def cropped_pair(seed=0, side=64):
    """A pair whose joints lie in its boxes, cropped; the first two ankles are joints."""
    results = pair(seed)
    rng, boxes = np.random.default_rng(seed), results['pair_bboxes']
    inside = boxes[:, None, :2] + rng.random((2, 16, 2)) * (boxes[:, None, 2:] - boxes[:, None, :2])
    results['keypoints'] = inside.astype(np.float32)
    results['ankles'][:2, :2] = results['keypoints'][:, 0]
    return PairTopdownAffine(input_size=(side, side)).transform(results)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), angle=st.floats(0, 180), distortion=st.floats(0, 0.24))
def test_boxes_joints_and_ankles_are_warped_together(seed, angle, distortion):
    np.random.seed(seed)
    before = cropped_pair(seed)
    lengths = before['ankles_input'][:, 2].copy()
    out = PairRandomPerspective(1.0, angle, distortion).transform(before)
    hulls, points = out['pair_bboxes_input'][0], out['transformed_keypoints']
    assert (points >= hulls[:, None, :2] - 1e-2).all()
    assert (points <= hulls[:, None, 2:] + 1e-2).all()
    np.testing.assert_allclose(out['ankles_input'][:2, :2], points[:, 0], atol=1e-2)
    assert (out['ankles_input'][:, 2] > 0).all()
    if distortion == 0:
        np.testing.assert_allclose(out['ankles_input'][:, 2], lengths, rtol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(out['pair_down'], axis=-1), 1, rtol=1e-5)
    assert out['depth_label'].tolist() == [1.0] and out['img'].shape == (64, 64, 3)


def test_a_warp_moves_pixels_joints_and_down_alike():
    """Two dots, one a little below the other, are found where the joints are, and so is down."""
    for seed in range(8):
        np.random.seed(seed)
        results = cropped_pair(side=128)
        above, below = np.array((60, 50)), np.array((60, 70))
        img = np.zeros((128, 128, 3), np.uint8)
        for channel, place in enumerate((above, below)):
            color = tuple(255.0 * (channel == i) for i in range(3))
            cv2.circle(img, tuple(map(int, place)), 3, color, -1)
        results['img'] = img
        results['transformed_keypoints'][0, :2] = above, below
        results['pair_bboxes_input'][0, 0] = (50, 50, 70, 70)
        out = PairRandomPerspective(1.0, rotate_factor=30, distortion=0.1).transform(results)
        found = []
        for channel in range(2):
            ys, xs = np.nonzero(out['img'][..., channel] > 127)
            found.append((xs.mean(), ys.mean()))
        np.testing.assert_allclose(out['transformed_keypoints'][0, :2], found, atol=0.75)
        down = np.subtract(*found[::-1])
        np.testing.assert_allclose(out['pair_down'][0, 0], down / np.linalg.norm(down), atol=0.1)


def test_a_warp_leaves_what_is_outside_outside():
    results = cropped_pair()
    results['pair_bboxes_input'][0, 1] = (-90, -90, -20, -20)
    results['transformed_keypoints'][0, 3] = (1e6, 1e6)  # beyond a horizon, or far away
    np.random.seed(0)
    out = PairRandomPerspective(1.0, 0.0, 0.2).transform(results)
    assert out['pair_bboxes_input'][0, 1].tolist() == [-90, -90, -20, -20]
    x, y = out['transformed_keypoints'][0, 3]
    assert np.isfinite([x, y]).all() and not (0 <= x < 64 and 0 <= y < 64)
    same = PairRandomPerspective(0.0).transform(cropped_pair())
    np.testing.assert_array_equal(same['img'], cropped_pair()['img'])


# ------------------------------------------------------------------ RandomHideLegs
def standing(side=60):
    """A (labelled) and B (not labelled), 40 px tall; A's legs are at x = 20 and 26."""
    joints = get_joint_set('mcpc16')
    keypoints, visible = np.zeros((2, 16, 2), np.float32), np.zeros((2, 16), np.float32)
    for x, leg in ((20, 'left'), (26, 'right')):
        for y, joint in ((30, 'hip'), (40, 'knee'), (50, 'ankle')):
            keypoints[0, joints.index(f'{leg}_{joint}')] = x, y
            visible[0, joints.index(f'{leg}_{joint}')] = 1
    img = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    boxes = np.float32([[[16, 12, 30, 52], [40, 12, 54, 52]]])
    return dict(img=img, transformed_keypoints=keypoints, keypoints_visible=visible,
                pair_bboxes_input=boxes)  # fmt: skip


def test_legs_are_hidden_from_the_ankle_up():
    highest, before = set(), standing()['img']
    for seed in range(30):
        np.random.seed(seed)
        results = standing()
        img = results['img']
        out = RandomHideLegs(1.0, width=0.1).transform(results)['img']
        np.testing.assert_array_equal(img, before)  # not changed in place
        ys, xs = np.nonzero((out != before).any(-1))
        # 4 px wide, with round ends
        assert xs.min() >= 17 and xs.max() <= 29 and ys.max() <= 53
        # both feet; a colour may be the image's by chance
        assert (out[50, 20] != before[50, 20]).any() or (out[50, 26] != before[50, 26]).any()
        highest.add(int(ys.min() + 3) // 10)
    assert highest == {3, 4, 5}  # from the hip, the knee or the ankle


def test_nobodys_or_somebodys_legs_are_hidden():
    before = standing()['img']
    np.testing.assert_array_equal(RandomHideLegs(0.0).transform(standing())['img'], before)
    np.random.seed(0)
    changed = [
        (RandomHideLegs(0.3).transform(standing())['img'] != before).any() for _ in range(200)
    ]
    assert 0.2 < np.mean(changed) < 0.4
    results = standing()
    results['keypoints_visible'][:] = 0
    np.testing.assert_array_equal(RandomHideLegs(1.0).transform(results)['img'], before)


# ------------------------------------------------------------------ PackPairInputs
def cropped(**changes):
    return dict(
        img=np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3), input_size=(6, 4),
        bbox=np.array([[0.0, 0, 4, 4]]), bbox_score=np.ones(1),
        pair_bboxes=np.arange(8.0).reshape(2, 4),
        pair_bboxes_input=np.arange(8.0, 16).reshape(1, 2, 4),
        keypoints=np.ones((2, 16, 2)), keypoints_visible=np.ones((2, 16)),
        pair_ann_ids=np.array([5, 6]), pair_gap=np.array([0.5]),
        depth_label=np.array([1.0]), depth_weight=np.array([1.0]), source='mpii', id=3,
    ) | changes  # fmt: skip


def test_a_pair_is_one_instance():
    packed = PackPairInputs().transform(cropped())
    data = packed['data_samples']
    assert packed['inputs'].shape == (3, 4, 6) and packed['inputs'][2, 1, 0] == 20
    shapes = {key: value.shape for key, value in data.gt_instances.all_items()}
    assert shapes == dict(
        bboxes=(1, 4), bbox_scores=(1,), pair_bboxes=(1, 2, 4), pair_keypoints=(1, 2, 16, 2),
        pair_visible=(1, 2, 16), pair_ann_ids=(1, 2), pair_gap=(1,), depth_label=(1,),
        depth_weight=(1,),
    )  # fmt: skip
    boxes = data.gt_instance_labels.pair_bboxes_input
    assert boxes.tolist() == [[[8, 9, 10, 11], [12, 13, 14, 15]]]
    assert (data.source, data.id) == ('mpii', 3) and 'flip' not in data.metainfo
    data.to('cpu').clone()  # what fails in MMEngine when lengths differ


@pytest.mark.parametrize(
    'key, value', [('depth_label', np.ones(2)), ('pair_bboxes_input', np.ones((2, 4)))]
)
def test_wrong_lengths_are_named(key, value):
    with pytest.raises(ValueError, match=key):
        PackPairInputs().transform(cropped(**{key: value}))


# ------------------------------------------------------------------ all
def test_two_boxes_are_enough():
    """Without joints and labels nothing is invented, from the choice to the packed sample."""
    boxes = np.array([[0, 0, 10, 10], [20, 0, 30, 40]])
    out = SamplePersonPair().transform(dict(bbox=boxes, pair=(1, 0)))
    np.testing.assert_array_equal(out['pair_bboxes'], boxes[::-1])
    assert out['bbox_scale'].tolist() == [[50, 50]]
    out |= dict(img=np.zeros((H, W, 3), np.uint8), img_shape=(H, W), flip_indices=FLIP, id=1)
    out = PairTopdownAffine((32, 32)).transform(PairRandomFlip(prob=1.0).transform(out))
    assert out['pair_bboxes_input'].shape == (1, 2, 4)
    assert not {'depth_label', 'ankles', 'ankles_input'} & out.keys()
    packed = PackPairInputs().transform(out | dict(bbox_score=np.ones(1)))
    found = set(packed['data_samples'].gt_instances.keys())
    assert found == {'bboxes', 'bbox_scores', 'pair_bboxes'}
    empty = PairTopdownAffine((32, 32)).transform(pair(ankles=np.zeros((0, 4), np.float32)))
    assert empty['ankles_input'].shape == (0, 4)


@pytest.mark.parametrize(
    'make, kwargs',
    [
        (SamplePersonPair, dict(padding=0)),
        (SamplePersonPair, dict(min_gap_px=-1)),
        (PairRandomBBoxTransform, dict(rotate_factor=181)),
        (PairRandomBBoxTransform, dict(scale_factor=(0, 1))),
        (PairRandomBBoxTransform, dict(scale_factor=(2, 1))),
        (PairRandomPerspective, dict(prob=1.1)),
        (PairRandomPerspective, dict(rotate_factor=181)),
        (PairRandomPerspective, dict(distortion=0.25)),
        (RandomHideLegs, dict(prob=-0.1)),
        (RandomHideLegs, dict(width=0)),
        (RemoveAnkles, dict(share=0)),
        (RemoveAnkles, dict(relative_to='box')),
        (RemoveAnkles, dict(fill='blur')),
    ],
)
def test_bad_arguments(make, kwargs):
    with pytest.raises(ValueError, match=make.__name__):
        make(**kwargs)


def test_bad_input_and_text():
    with pytest.raises(ValueError, match=r'a\.jpg'):
        SamplePersonPair().transform(persons((100,)))
    for late in (RemoveAnkles, PairRandomPerspective, RandomHideLegs):
        with pytest.raises(KeyError, match='PairTopdownAffine'):
            late().transform(dict(img=np.zeros((4, 4, 3), np.uint8)))
    assert 'min_gap_px=3' in repr(SamplePersonPair(min_gap_px=3))
    assert repr(RemoveAnkles()) == "RemoveAnkles(share=0.6, relative_to='shank', fill='mean')"
