# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json

import pytest

from wsp_mm.datasets.bbox_root import read_bbox_roots

GOOD = dict(image_id=3, bbox=[1, 2, 30, 40], root_cam=[10, 20, 3000], score=0.5)


@pytest.fixture
def write(tmp_path):
    def write(rows):
        path = tmp_path / 'roots.json'
        path.write_text(json.dumps(rows))
        return path

    return write


def test_any_number_of_persons(write):
    rows = [
        GOOD,
        GOOD | dict(image_id=1, score=1),
        GOOD | dict(bbox=[5, 6, 7, 8], root_cam=[1, 2, 900]),
    ]
    del rows[2]['score']
    found = read_bbox_roots(write(rows))
    assert sorted(found) == [1, 3]
    boxes, roots, scores = found[3]
    assert boxes.tolist() == [[1, 2, 30, 40], [5, 6, 7, 8]] and scores.tolist() == [0.5, 1.0]
    assert roots.tolist() == [[10, 20, 3000], [1, 2, 900]]
    assert [part.shape for part in found[1]] == [(1, 4), (1, 3), (1,)]


@pytest.mark.parametrize(
    'changes, said',
    [
        (dict(bbox=[1, 2, 0, 4]), r'record 1 \(image 3\): bbox .* is no box'),
        (dict(root_cam=[1, 2, -4]), 'root_cam .* is no point before the camera'),
        (dict(root_cam=[1, 2, float('nan')]), 'root_cam .* is no point before the camera'),
        (dict(score='high'), "score 'high' is no number"),
        (dict(score=None), 'score None is no number'),
        (dict(image_id='x'), 'record 1: ValueError'),
    ],
)
def test_bad_records(write, changes, said):
    with pytest.raises(ValueError, match=rf'roots.json: .*{said}'):
        read_bbox_roots(write([GOOD, GOOD | changes]))


def test_bad_files(write, tmp_path):
    with pytest.raises(ValueError, match=r'no list of predictions.*predict_roots'):
        read_bbox_roots(write({}))
    assert read_bbox_roots(write([])) == {}  # nobody was found
    with pytest.raises(ValueError, match='there is no such file'):
        read_bbox_roots(tmp_path / 'none.json')
