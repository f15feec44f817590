# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsp_mm.evaluation.functional.root_depth import ap_root, depth_order, match_boxes, mrpe


def test_mrpe_by_hand():
    gt = np.array([[0.0, 0, 3000], [100, 0, 4000]])
    scores = mrpe(gt + np.array([[3, 0, 4], [0, -10, 0]]), gt)
    assert scores == dict(MRPE=7.5, MRPE_x=1.5, MRPE_y=5, MRPE_z=2)
    assert all(math.isnan(value) for value in mrpe(np.zeros((0, 3)), np.zeros((0, 3))).values())
    with pytest.raises(ValueError, match='must be'):
        mrpe(gt, gt[:1])


def test_depth_order_by_hand():
    gt = [3000.0, 4000, 5000, 3000, 3000, 4000]
    pred = [3100.0, 3900, 3800, 1000, 2000, 2000]
    # within image 'a' 0 and 1 are right, 1 and 2 wrong; in 'b' 3 and 4 are level, 5 ties with 4
    a, b, right = depth_order(pred, gt, ['a', 'a', 'a', 'b', 'b', 'b'])
    assert list(zip(a.tolist(), b.tolist(), right.tolist(), strict=True)) == [
        (0, 1, 1), (0, 2, 1), (1, 2, 0), (3, 5, 1), (4, 5, 0.5),
    ]  # fmt: skip
    assert depth_order(pred, gt, range(6))[2].size == 0


def at(*z):
    """Roots on the camera's axis."""
    return np.array([[0.0, 0.0, value] for value in z]).reshape(-1, 3)


def frame(gt, pred, scores):
    return dict(gt=at(*gt), pred=at(*pred), scores=np.array(scores, dtype=float))


@pytest.mark.parametrize(
    ('frames', 'ap', 'recall'),
    [
        # precision 1, 1; recall 1/2, 1; the first detection's step is left out
        ([((3000, 5000), (3000, 5000), (0.9, 0.8))], 50, 100),
        # false, hit, hit. Precision 0, 1/2, 2/3; recall 0, 1/2, 1: 1/4 + 1/3
        ([((3000,), (9000, 3000), (0.9, 0.8)), ((4000,), (4000,), (0.7,))], 700 / 12, 100),
        # both are nearest to the root at 3000; no second-best search, though within 250 mm
        ([((3000, 3200), (3010, 3020), (0.9, 0.8))], 0, 50),
        # the better scored takes the root: hit, false, hit; precision 1, 1/2, 2/3
        ([((3000, 6000), (3000, 3100, 6000), (0.8, 0.9, 0.1))], 100 / 3, 100),
        # nearer than 250 mm
        ([((3000,), (3250,), (1,))], 0, 0),
        ([((3000,), (3249.99,), (1,))], 0, 100),
        # images without a true person are skipped, persons without a detection count
        ([((3000, 5000), (3000, 5000), (0.9, 0.8)), ((), (3000, 4000), (1, 0.95))], 50, 100),
        ([((3000, 5000), (3000, 5000), (0.9, 0.8)), ((4000,), (), ())], 100 / 3, 200 / 3),
        ([((3000,), (), ())], 0, 0),
        # equal scores go in the order of the list
        ([((3000, 5000), (3000, 5000, 9000), (1, 1, 1))], 50, 100),
        ([((), (3000,), (1,))], math.nan, math.nan),
        ([], math.nan, math.nan),
    ],
)
def test_ap_by_hand(frames, ap, recall):
    scores = ap_root([frame(*arguments) for arguments in frames])
    assert scores['AP_root'] == pytest.approx(ap, nan_ok=True)
    assert scores['recall'] == pytest.approx(recall, nan_ok=True)
    assert scores['n_roots'] == sum(len(gt) for gt, _, _ in frames)
    assert scores['n_frames'] == sum(len(gt) > 0 for gt, _, _ in frames)


def slow_ap(frames, threshold):
    """The same, word by word: one detection after the other, with a list of used roots."""
    everyone = [
        (score, i, pred)
        for i, f in enumerate(frames)
        for pred, score in zip(f['pred'], f['scores'], strict=True)
    ]
    total, used, outcome = sum(len(f['gt']) for f in frames), set(), []
    for _, i, pred in sorted(everyone, key=lambda entry: -entry[0]):
        if not len(frames[i]['gt']):
            continue
        distance = [math.dist(pred, gt) for gt in frames[i]['gt']]
        who = distance.index(min(distance))
        outcome.append(distance[who] < threshold and (i, who) not in used)
        if outcome[-1]:
            used.add((i, who))
    area, hits, before = 0.0, 0, None
    for n, hit in enumerate(outcome, start=1):
        hits += hit
        recall = hits / total
        if before is not None:
            area += hits / n * (recall - before)
        before = recall
    return 100 * area


@given(seed=st.integers(0, 10**6), images=st.integers(1, 6))
def test_equals_the_slow_way(seed, images):
    rng = np.random.default_rng(seed)
    frames = [
        dict(
            gt=rng.uniform(0, 600, (rng.integers(0, 4), 3)),
            pred=rng.uniform(0, 600, ((n := int(rng.integers(0, 6))), 3)),
            scores=rng.integers(0, 4, n) / 4,
        )
        for _ in range(images)
    ]
    if any(len(f['gt']) for f in frames):
        assert ap_root(frames, 250)['AP_root'] == pytest.approx(slow_ap(frames, 250))


def test_what_is_refused():
    with pytest.raises(ValueError, match='frame 0: 1 roots, but 2 scores'):
        ap_root([frame([1], [1], [1, 2])])


@pytest.mark.parametrize(
    ('boxes', 'roots', 'pairs'),
    [
        # (95, 50) is 0.05 sides from the second box's centre, (45, 50) as near to the first's
        ([[0, 0, 100, 100], [40, 0, 100, 100], [500, 500, 10, 10]],
         [[95, 50], [45, 50], [300, 300]], [(0, 1), (1, 0)]),
        ([], [[1, 1]], []),
        ([[0, 0, 100, 100]], [[50, 50], [51, 51]], [(0, 0)]),  # one box cannot be two persons'
    ],
)  # fmt: skip
def test_boxes_are_matched_in_the_image(boxes, roots, pairs):
    assert sorted(zip(*map(np.ndarray.tolist, match_boxes(boxes, roots)), strict=True)) == pairs
