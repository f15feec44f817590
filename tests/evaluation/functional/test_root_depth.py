# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsp_mm.evaluation.functional.root_depth import ap_root, match_boxes, mrpe


def test_mrpe_by_hand():
    gt = np.array([[0.0, 0, 3000], [100, 0, 4000]])
    scores = mrpe(gt + np.array([[3, 0, 4], [0, -10, 0]]), gt)
    assert scores == dict(MRPE=7.5, MRPE_x=1.5, MRPE_y=5, MRPE_z=2)
    assert all(math.isnan(value) for value in mrpe(np.zeros((0, 3)), np.zeros((0, 3))).values())
    with pytest.raises(ValueError, match='must be'):
        mrpe(gt, gt[:1])


def at(*z):
    """Roots on the camera's axis."""
    return np.array([[0.0, 0.0, value] for value in z]).reshape(-1, 3)


def frame(gt, pred, scores):
    return dict(gt=at(*gt), pred=at(*pred), scores=np.array(scores, dtype=float))


def test_the_first_detections_recall_step_is_left_out():
    """Two perfect detections of two roots: precision 1, 1; recall 1/2, 1; only the second step
    counts.
    """
    scores = ap_root([frame([3000, 5000], [3000, 5000], [0.9, 0.8])])
    assert scores == dict(AP_root=50.0, recall=100.0, n_roots=2, n_detections=2, n_frames=1)


def test_a_false_one_first():
    """By score: false, hit, hit. Precision 0, 1/2, 2/3; recall 0, 1/2, 1: 1/4 + 1/3."""
    frames = [frame([3000], [9000, 3000], [0.9, 0.8]), frame([4000], [4000], [0.7])]
    assert ap_root(frames)['AP_root'] == pytest.approx(100 * 7 / 12)


def test_no_second_best_search():
    """Both detections are nearest to the root at 3000; the one at 3200 is not used up, though
    within 250 mm.
    """
    scores = ap_root([frame([3000, 3200], [3010, 3020], [0.9, 0.8])])
    assert scores['AP_root'] == 0 and scores['recall'] == 50


def test_the_better_scored_takes_the_root_whichever_is_nearer():
    # hit, false (used), hit: precision 1, 1/2, 2/3; recall 1/2, 1/2, 1
    frames = [frame([3000, 6000], [3000, 3100, 6000], [0.8, 0.9, 0.1])]
    assert ap_root(frames)['AP_root'] == pytest.approx(100 * 2 / 3 / 2)


def test_the_threshold_is_strict():
    assert ap_root([frame([3000], [3250], [1])])['recall'] == 0
    assert ap_root([frame([3000], [3249.99], [1])])['recall'] == 100
    assert ap_root([frame([3000], [3250], [1])], threshold_mm=251)['recall'] == 100


def test_pictures_without_a_true_person_are_skipped():
    frames = [frame([3000, 5000], [3000, 5000], [0.9, 0.8])]
    empty = frame([], [3000, 4000], [1.0, 0.95])
    assert ap_root([*frames, empty]) == ap_root(frames)
    assert math.isnan(ap_root([empty])['AP_root']) and ap_root([empty])['n_roots'] == 0


def test_without_detections():
    assert ap_root([frame([3000], [], [])])['AP_root'] == 0
    # a person who was not found lowers the recall: steps of 1/3, the first left out
    frames = [frame([3000, 5000], [3000, 5000], [0.9, 0.8]), frame([4000], [], [])]
    assert ap_root(frames)['AP_root'] == pytest.approx(100 / 3)
    assert ap_root([])['n_frames'] == 0


def test_equal_scores_go_in_the_order_of_the_list():
    assert ap_root([frame([3000, 5000], [9000, 3000, 5000], [1, 1, 1])])[
        'AP_root'
    ] == pytest.approx(100 * (1 / 2 + 2 / 3) / 2)
    assert ap_root([frame([3000, 5000], [3000, 5000, 9000], [1, 1, 1])])['AP_root'] == 50


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


@given(seed=st.integers(0, 10**6), pictures=st.integers(1, 6))
def test_equals_the_slow_way(seed, pictures):
    rng = np.random.default_rng(seed)
    frames = [
        dict(
            gt=rng.uniform(0, 600, (rng.integers(0, 4), 3)),
            pred=rng.uniform(0, 600, ((n := int(rng.integers(0, 6))), 3)),
            scores=rng.integers(0, 4, n) / 4,
        )
        for _ in range(pictures)
    ]
    if any(len(f['gt']) for f in frames):
        assert ap_root(frames, 250)['AP_root'] == pytest.approx(slow_ap(frames, 250))


def test_what_is_refused():
    with pytest.raises(ValueError, match='frame 0: 1 roots, but 2 scores'):
        ap_root([frame([1], [1], [1, 2])])


def test_boxes_are_matched_in_the_picture():
    boxes = [[0, 0, 100, 100], [40, 0, 100, 100], [500, 500, 10, 10]]
    found, who = match_boxes(boxes, [[95, 50], [45, 50], [300, 300]])
    # (95, 50) is 0.05 sides from the second box's centre, (45, 50) as near to the first's
    assert sorted(zip(found.tolist(), who.tolist(), strict=True)) == [(0, 1), (1, 0)]
    assert [len(part) for part in match_boxes(np.zeros((0, 4)), [[1, 1]])] == [0, 0]
    # one box cannot be two persons'
    assert [len(part) for part in match_boxes([[0, 0, 100, 100]], [[50, 50], [51, 51]])] == [1, 1]
