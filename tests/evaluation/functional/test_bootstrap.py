# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import math

import numpy as np
import pytest
from scipy.stats import bootstrap

from wsp_mm.evaluation.functional import bootstrap_interval

VALUES = np.array([0.0, 0.0, 0.0, 8.0])
GROUPS = np.array(['a', 'b', 'a', 'b'])


def mean(rows):
    return VALUES[rows].mean()


def test_two_groups_by_hand():
    """Means of the draws: 0 (aa, one in four), 2 (ab, ba, two in four), 4 (bb, one in four)."""
    assert bootstrap_interval(mean, GROUPS) == (0, 4)
    assert bootstrap_interval(mean, GROUPS, level=0.4) == (2, 2)
    # of rows instead of groups the mean reaches 8
    assert bootstrap_interval(mean, np.arange(4), level=0.999)[1] > 4


def test_rows_of_a_group_stay_together():
    seen = []
    bootstrap_interval(lambda rows: seen.append(sorted(rows.tolist())) or 0.0, GROUPS, 50)
    assert {tuple(rows) for rows in seen} == {(0, 0, 2, 2), (0, 1, 2, 3), (1, 1, 3, 3)}


def test_against_scipy():
    """Groups of one row are the ordinary bootstrap."""
    data = np.random.default_rng(1).exponential(size=60)
    ours = bootstrap_interval(lambda rows: data[rows].mean(), np.arange(60), 4000, level=0.9)
    theirs = bootstrap(
        (data,), np.mean, n_resamples=4000, confidence_level=0.9, method='percentile'
    ).confidence_interval
    np.testing.assert_allclose(ours, theirs, atol=0.03)


def test_several_figures_and_seeds():
    def several(rows):
        return [mean(rows), math.nan, math.nan if mean(rows) == 0 else 7.0]

    low, high = bootstrap_interval(several, GROUPS)
    np.testing.assert_array_equal((low, high), [[0, math.nan, 7], [4, math.nan, 7]])
    data = np.random.default_rng(1).random(20)

    def of(seed):
        return bootstrap_interval(lambda rows: data[rows].mean(), np.arange(20), 20, seed)

    assert of(3) == of(3) != of(4)
    assert bootstrap_interval(mean, np.zeros(4)) == (2, 2)  # one group: nothing varies


@pytest.mark.parametrize(
    ('groups', 'more', 'message'),
    [
        ([], {}, 'groups'),
        ([[1, 2]], {}, 'groups'),
        ([1], dict(resamples=0), 'resamples'),
        ([1], dict(level=1.0), 'level'),
    ],
)
def test_bad_input(groups, more, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(lambda rows: 0.0, groups, **more)
