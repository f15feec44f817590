# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import pytest
from metric_fixture import build, evaluate, pck_samples

NAME = 'PairPCKMetric'


def test_by_hand():
    samples = pck_samples()
    assert evaluate(samples, NAME) == {'pck/PCK': pytest.approx(100 * 6 / 12), 'pck/n': 12}
    assert evaluate(samples, NAME, thr=0.2) == {'pck/PCK': pytest.approx(75), 'pck/n': 12}


def test_bad_argument():
    with pytest.raises(ValueError, match='thr'):
        build(NAME, thr=0)
