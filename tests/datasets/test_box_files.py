# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Files of detected boxes: what is written is what is read, and what is wrong is named."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsp_mm.datasets.box_files import read_boxes, write_boxes
from wsp_mm.datasets.converters.mcpc.records import BadDataError

BOX = st.tuples(*[st.integers(-2000, 900000)] * 2, *[st.integers(1, 900000)] * 2).map(
    lambda b: [v / 1000 for v in b]
)
PERSONS = st.lists(st.tuples(BOX, st.integers(0, 100000)), max_size=4)


@given(st.dictionaries(st.integers(0, 10**9), PERSONS, min_size=1, max_size=4), st.booleans())
def test_round_trip(tmp_path_factory, persons, extended):
    path = tmp_path_factory.mktemp('boxes') / 'boxes.json'
    images = [(i, f'TS1/img {i}.jpg') for i in persons]
    boxes = {i: np.array([b for b, _ in found]).reshape(-1, 4) for i, found in persons.items()}
    scores = {i: np.array([s / 1e5 for _, s in found]) for i, found in persons.items()}
    write_boxes(
        path, images, boxes, scores, extended, dict(detector=dict(config='a.py'), format='ignored')
    )
    found = read_boxes(path)
    assert found.images == dict(images) and found.extended is extended
    assert found.info['detector'] == dict(config='a.py')
    assert len(found) == sum(map(len, persons.values()))
    for i in persons:
        order = sorted(
            range(len(scores[i])), key=lambda k: -scores[i][k]
        )  # Python's sort is stable, too
        np.testing.assert_allclose(found.boxes[i], boxes[i][order], atol=1e-9)
        np.testing.assert_allclose(found.scores[i], scores[i][order], atol=1e-9)
        assert found.boxes[i].shape == (len(persons[i]), 4)


def test_layout_of_the_file(tmp_path):
    path = tmp_path / 'deep' / 'boxes.json'
    write_boxes(path, [(7, 'a.jpg'), (3, 'b.jpg')], {3: [[1, 2, 3.00049, 4]]}, {3: [0.5]})
    content = json.loads(path.read_text())
    assert content['info'] == {'format': 'wsp_mm.boxes', 'version': 1, 'box_convention': 'raw'}
    assert content['images'] == [{'id': 7, 'file_name': 'a.jpg'}, {'id': 3, 'file_name': 'b.jpg'}]
    assert content['detections'] == [
        {
            'image_id': 3,
            'file_name': 'b.jpg',
            'bbox': [1.0, 2.0, 3.0, 4.0],
            'score': 0.5,
            'category_id': 1,
        }
    ]
    assert [p.name for p in path.parent.iterdir()] == ['boxes.json']


@pytest.mark.parametrize(
    ('images', 'boxes', 'scores', 'message'),
    [
        ([(1, 'a'), (1, 'b')], {}, {}, 'twice'),
        ([(1, 'a')], {2: [[0, 0, 1, 1]]}, {2: [1]}, 'not in the list'),
        ([(1, 'a')], {1: [[0, 0, 1, 1]]}, {1: []}, '1 boxes and 0 scores'),
        ([(1, 'a')], {1: [[0, 0, 0, 1]]}, {1: [1]}, 'without area'),
        ([(1, 'a')], {1: [[0, np.nan, 1, 1]]}, {1: [1]}, 'without area'),
    ],
)
def test_what_is_not_written(tmp_path, images, boxes, scores, message):
    with pytest.raises(ValueError, match=message):
        write_boxes(tmp_path / 'b.json', images, boxes, scores)
    assert not list(tmp_path.iterdir())


def test_plain_results_of_coco(tmp_path):
    path = tmp_path / 'results.json'
    path.write_text(
        json.dumps(
            [
                dict(image_id=5, category_id=1, bbox=[1, 2, 3, 4], score=0.25),
                dict(image_id=5, category_id=18, bbox=[1, 2, 3, 4], score=0.9),
                dict(image_id=5, category_id=1, bbox=[5, 6, 7, 8], score=0.75),
            ]
        )
    )
    found = read_boxes(path)
    assert found.images == {5: ''} and not found.extended and found.info == {}
    assert found.boxes[5].tolist() == [[5, 6, 7, 8], [1, 2, 3, 4]] and found.scores[5].tolist() == [
        0.75,
        0.25,
    ]
    path.write_text('[]')
    assert len(read_boxes(path)) == 0


def test_mmposes_sample_detections(samples):
    path = samples / 'coco' / 'test_coco_det_AP_H_56.json'
    records = [r for r in json.loads(path.read_text()) if r['category_id'] == 1]
    found = read_boxes(path)
    assert len(found) == len(records) > 0
    assert set(found.boxes) == {r['image_id'] for r in records}


GOOD = dict(
    info=dict(format='wsp_mm.boxes', version=1, box_convention='raw'),
    images=[dict(id=1, file_name='a.jpg')],
    detections=[dict(image_id=1, bbox=[0, 0, 5, 5], score=0.5)],
)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(info=dict(GOOD['info'], version=2)), 'version 2'),
        (dict(info=dict(GOOD['info'], box_convention='square')), "'square'"),
        (dict(info=dict(format='other')), 'neither a list of results'),
        (dict(images=None), 'no lists'),
        (
            dict(images=[dict(id=1, file_name='a'), dict(id=1, file_name='b')]),
            'picture 1: the id 1 stands twice',
        ),
        (dict(images=[dict(id=1)]), 'picture 0: KeyError'),
        (
            dict(detections=[dict(image_id=2, bbox=[0, 0, 5, 5], score=1)]),
            'its picture 2 is not in the list',
        ),
        (dict(detections=[dict(image_id=1, bbox=[0, 0, 5], score=1)]), 'detection 0: bbox'),
        (dict(detections=[dict(image_id=1, bbox=[0, 0, 5, -5], score=1)]), 'detection 0: bbox'),
        (dict(detections=[dict(image_id=1, bbox=[0, 0, 5, 5])]), 'detection 0: KeyError'),
        (dict(detections=[7]), 'detection 0: TypeError'),
    ],
)
def test_wrong_files_are_named(tmp_path, change, message):
    path = tmp_path / 'b.json'
    path.write_text(json.dumps(GOOD))
    read_boxes(path)
    path.write_text(json.dumps({**GOOD, **change}))
    with pytest.raises(BadDataError, match=message) as error:
        read_boxes(path)
    assert str(path) in str(error.value)


def test_root_depths_are_not_taken_for_raw_boxes(tmp_path):
    path = tmp_path / 'bbox_root.json'
    path.write_text(
        json.dumps([dict(image_id=1, bbox=[0, 0, 5, 5], root_cam=[0, 0, 4000], score=1)])
    )
    with pytest.raises(BadDataError, match='bbox_root_file'):
        read_boxes(path)


def test_a_file_that_is_cut_off(tmp_path):
    path = tmp_path / 'b.json'
    path.write_text(json.dumps(GOOD)[:-9])
    with pytest.raises(BadDataError, match='no json'):
        read_boxes(path)
