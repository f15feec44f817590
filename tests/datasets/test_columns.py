# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest

from wsp_mm.datasets.annotations import AnnotationError, Findings
from wsp_mm.datasets.columns import Column, read_columns

COLUMNS = dict(
    id=Column(dtype=np.int64), box=Column((4,)), joints=Column((2, 3), np.float32),
    score=Column(default=1.0),
)  # fmt: skip


def record(key, **changes):
    return dict(id=key, box=[1, 2, 3, 4], joints=[[1, 2, 3], [4, 5, 6]], score=0.5) | changes


def test_columns():
    rows = [record(3), record(4.0, box=np.arange(4)), record(5, score=None)]
    found, kept = read_columns(rows, COLUMNS, 'a.json', 'annotation')
    assert found['id'].tolist() == [3, 4, 5] and found['id'].dtype == np.int64
    assert found['box'].shape == (3, 4) and found['joints'].dtype == np.float32
    assert found['score'].tolist() == [0.5, 0.5, 1.0] and kept.tolist() == [0, 1, 2]
    nested = [dict(joints=np.ones((2, 3, 1)))]
    found, _ = read_columns(nested, dict(joints=COLUMNS['joints']), 'a', 'x')
    assert found['joints'].shape == (1, 2, 3)
    nobody, _ = read_columns([], COLUMNS, 'a', 'x')
    assert [v.shape for v in nobody.values()] == [(0,), (0, 4), (0, 2, 3), (0,)]


@pytest.mark.parametrize(
    ('changes', 'kind'),
    [
        (dict(id='x'), 'bad id'),
        (dict(id=1.5), 'bad id'),
        (dict(id=None), 'bad id'),
        (dict(box=[1, 2, 3]), 'bad box'),
        (dict(box=[1, 2, 3, None]), 'bad box'),
        (dict(box=[1, 2, 3, float('nan')]), 'bad box'),
        (dict(box=[1, 2, 3, [4]]), 'bad box'),
        (dict(box=dict(x=1)), 'bad box'),
        (dict(joints=[[1, 2, 3]]), 'bad joints'),
        (dict(joints=[[1, 2], [3, 4], [5, 6]]), 'bad joints'),
        (dict(score=float('inf')), 'bad score'),
        (dict(score=10**400), 'bad score'),
        (dict(score=1e300), 'bad score'),
        (dict(joints=[[1, 2, 3], [4, 5, 1e39]]), 'bad joints'),  # infinite as float32
        (dict(score='high', box=None), 'bad box'),  # one bad record is counted once
    ],
)
def test_bad_columns_are_named_or_dropped(changes, kind, refused):
    rows = [record(3), record(4, **changes), record(5)]
    with refused(kind, r'a\.json: annotation (4|number 1|x|1\.5)'):
        read_columns(rows, COLUMNS, 'a.json', 'annotation')
    findings = Findings(skip_bad=True)
    found, kept = read_columns(rows, COLUMNS, 'a.json', 'annotation', findings)
    assert found['id'].tolist() == [3, 5] and kept.tolist() == [0, 2]
    assert findings.counts() == {kind: 1}


@pytest.mark.parametrize('bad', [None, 5, [1], 'id'])
def test_records_that_are_no_objects(bad):
    with pytest.raises(AnnotationError, match=r'annotation number 1'):
        read_columns([record(3), bad], COLUMNS, 'a.json', 'annotation')
