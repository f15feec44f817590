# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import math

import numpy as np
import pytest
from metric_fixture import build, evaluate, pck_sample, pck_samples

NAME = 'PairPCKMetric'


def test_by_hand():
    samples = pck_samples()
    assert evaluate(samples, NAME) == {'pck/PCK': pytest.approx(100 * 6 / 12), 'pck/n': 12}
    assert evaluate(samples, NAME, thr=0.2) == {'pck/PCK': pytest.approx(75), 'pck/n': 12}


def test_no_label():
    metrics = evaluate([pck_sample(1, 0, np.zeros((2, 3)))], NAME)
    assert metrics['pck/n'] == 0 and math.isnan(metrics['pck/PCK'])


def test_bad_argument():
    with pytest.raises(ValueError, match='thr'):
        build(NAME, thr=0)
