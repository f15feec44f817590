# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import math

import numpy as np
import pytest
from scipy.stats import bootstrap

from wsp_mm.evaluation.functional import bootstrap_interval, paired_difference

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


def test_paired_difference_by_hand():
    """Two seeds, two groups of one sample: differences 1, 3 under seed 0; 5, 7 under seed 1."""
    reference = np.array([[10.0, 30.0], [20.0, 20.0]])
    found = paired_difference(reference + np.array([[1, 3], [5, 7]]), reference, np.arange(2), 2000)
    np.testing.assert_allclose(found['difference'], [4, 1, 7])
    # 4 of 20; the extremes are draws of one seed and one sample
    np.testing.assert_allclose(found['percent'], [20, 10, 35])


def test_what_pairs_share_does_not_widen_the_interval():
    rng = np.random.default_rng(0)
    reference = rng.normal(100, 30, size=(3, 1, 1)) + rng.normal(0, 50, size=(1, 40, 2))
    better = reference - [5.0, 2.0] + rng.normal(0, 0.1, size=reference.shape)
    found = paired_difference(better, reference, np.arange(40) // 4)['difference']
    assert found.shape == (3, 2)
    np.testing.assert_allclose(found, [[-5, -2]] * 3, atol=0.2)
    assert (found[1] < found[0]).all() and (found[0] < found[2]).all()


def test_one_seed_is_the_bootstrap_of_its_differences():
    data = np.random.default_rng(1).exponential(size=(2, 1, 30))
    found = paired_difference(*data, np.arange(30), 300, seed=4)['difference']
    gaps = data[0, 0] - data[1, 0]
    ends = bootstrap_interval(lambda rows: gaps[rows].mean(), np.arange(30), 300, seed=5)
    np.testing.assert_allclose(found, [gaps.mean(), *ends])


def test_pairs_must_fit():
    for values, reference in (((2, 3), (1, 3)), ((2, 4), (2, 4)), ((3,), (3,))):
        with pytest.raises(ValueError, match='samples'):
            paired_difference(np.ones(values), np.ones(reference), np.arange(3))
