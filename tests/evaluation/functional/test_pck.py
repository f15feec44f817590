# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import math

import numpy as np
import pytest

from wsp_mm.evaluation.functional import pair_pck


@pytest.fixture
def persons():
    """Two persons of three joints, 100 and 40 px tall."""
    gt = np.array([[[0, 0], [50, 50], [9, 9]], [[10, 10], [20, 20], [30, 30]]], dtype=float)
    pred = gt.copy()
    pred[0, 0] += (6, 8)  # 10 px: exactly 0.1 of 100
    pred[0, 1] += (6, 8.1)  # a little more
    pred[0, 2] += (99, 0)  # not labelled
    pred[1, 0] += (0, 3)
    pred[1, 1] += (0, 5)  # 0.125 of 40
    visible = np.array([[1, 1, 0], [1, 1, 1]])
    return dict(pred=pred, gt=gt, visible=visible, box_height=np.array([100.0, 40.0]))


def test_by_hand(persons):
    assert pair_pck(**persons) == dict(pck=pytest.approx(100 * 3 / 5), n=5)
    assert pair_pck(**persons, threshold=0.13) == dict(pck=pytest.approx(100), n=5)
    scaled = {key: value * (8 if key != 'visible' else 1) for key, value in persons.items()}
    assert pair_pck(**scaled) == pair_pck(**persons)
    persons['pred'][1, 2] = math.nan  # a miss
    assert pair_pck(**persons) == dict(pck=pytest.approx(100 * 2 / 5), n=5)


def test_nothing_labelled(persons):
    scores = pair_pck(**{**persons, 'visible': np.zeros((2, 3))})
    assert scores['n'] == 0 and math.isnan(scores['pck'])


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(box_height=np.array([0.0, 4.0])), 'positive'),
        (dict(box_height=np.array([math.nan, 4.0])), 'positive'),
        (dict(box_height=np.array([4.0])), 'do not fit'),
        (dict(visible=np.ones((2, 4))), 'do not fit'),
        (dict(gt=np.zeros((2, 3, 3))), 'do not fit'),
        (dict(gt=np.full((2, 3, 2), math.nan)), 'finite'),
    ],
)
def test_bad_input(persons, change, message):
    with pytest.raises(ValueError, match=message):
        pair_pck(**{**persons, **change})
