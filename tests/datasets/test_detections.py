# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Files of detections: what is written is what is read, and what is wrong is named."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsp_mm.datasets.annotations import AnnotationError
from wsp_mm.datasets.detections import (
    prediction_path,
    read_bbox_root,
    read_bbox_roots,
    read_boxes,
    write_boxes,
)

BOX = st.tuples(*[st.integers(-2000, 900000)] * 2, *[st.integers(1, 900000)] * 2).map(
    lambda b: [v / 1000 for v in b]
)
PERSONS = st.lists(st.tuples(BOX, st.integers(0, 100000)), max_size=4)


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / 'p.json'
        path.write_text(json.dumps(content))
        return path

    return write


@given(st.dictionaries(st.integers(0, 10**9), PERSONS, min_size=1, max_size=4), st.booleans())
def test_round_trip(tmp_path_factory, persons, extended):
    path = tmp_path_factory.mktemp('boxes') / 'boxes.json'
    images = [(i, f'TS1/img {i}.jpg') for i in persons]
    boxes = {i: np.array([b for b, _ in found]).reshape(-1, 4) for i, found in persons.items()}
    scores = {i: np.array([s / 1e5 for _, s in found]) for i, found in persons.items()}
    info = dict(detector=dict(config='a.py'), format='ignored')
    write_boxes(path, images, boxes, scores, extended, info)
    found = read_boxes(path)
    assert found.images == dict(images) and found.extended is extended
    assert found.info['detector'] == dict(config='a.py')
    assert len(found) == sum(map(len, persons.values()))
    for i in persons:
        order = np.argsort(-scores[i], kind='stable')
        np.testing.assert_allclose(found.boxes[i], boxes[i][order], atol=1e-9)
        np.testing.assert_allclose(found.scores[i], scores[i][order], atol=1e-9)
        assert found.boxes[i].shape == (len(persons[i]), 4)


def test_layout_of_the_file(tmp_path):
    path = tmp_path / 'deep' / 'boxes.json'
    write_boxes(path, [(7, 'a.jpg'), (3, 'b.jpg')], {3: [[1, 2, 3.00049, 4]]}, {3: [0.5]})
    assert json.loads(path.read_text()) == {
        'info': {'format': 'wsp_mm.boxes', 'version': 1, 'box_convention': 'raw'},
        'images': [{'id': 7, 'file_name': 'a.jpg'}, {'id': 3, 'file_name': 'b.jpg'}],
        'detections': [
            dict(image_id=3, file_name='b.jpg', bbox=[1, 2, 3, 4], score=0.5, category_id=1)
        ],
    }  # fmt: skip
    assert [p.name for p in path.parent.iterdir()] == ['boxes.json']


@pytest.mark.parametrize(
    ('images', 'boxes', 'scores', 'message'),
    [
        ([(1, 'a'), (1, 'b')], {}, {}, 'twice'),
        ([(1, 'a')], {2: [[0, 0, 1, 1]]}, {2: [1]}, 'not listed'),
        ([(1, 'a')], {1: [[0, 0, 1, 1]]}, {1: []}, 'image 1'),
        ([(1, 'a')], {1: [[0, 0, 0, 1]]}, {1: [1]}, 'image 1'),
        ([(1, 'a')], {1: [[0, np.nan, 1, 1]]}, {1: [1]}, 'image 1'),
    ],
)
def test_what_is_not_written(tmp_path, images, boxes, scores, message):
    with pytest.raises(ValueError, match=message):
        write_boxes(tmp_path / 'b.json', images, boxes, scores)
    assert not list(tmp_path.iterdir())


def test_plain_results_of_coco(write, samples):
    person = dict(image_id=5, category_id=1, bbox=[1, 2, 3, 4], score=0.25)
    other = person | dict(category_id=18, score=0.9)
    found = read_boxes(write([person, other, person | dict(bbox=[5, 6, 7, 8], score=0.75)]))
    assert found.images == {5: ''} and not found.extended and found.info == {}
    assert found.boxes[5].tolist() == [[5, 6, 7, 8], [1, 2, 3, 4]]
    assert found.scores[5].tolist() == [0.75, 0.25]
    assert len(read_boxes(write([]))) == 0
    path = samples / 'coco' / 'test_coco_det_AP_H_56.json'
    records = [r for r in json.loads(path.read_text()) if r['category_id'] == 1]
    found = read_boxes(path)
    assert len(found) == len(records) > 0
    assert set(found.boxes) == {r['image_id'] for r in records}


FILE = dict(
    info=dict(format='wsp_mm.boxes', version=1, box_convention='raw'),
    images=[dict(id=1, file_name='a.jpg')],
    detections=[dict(image_id=1, bbox=[0, 0, 5, 5], score=0.5)],
)


@pytest.mark.parametrize(
    ('change', 'named'),
    [
        (dict(info=dict(FILE['info'], version=2)), 'version is 2'),
        (dict(info=dict(FILE['info'], box_convention='square')), "'square'"),
        (dict(info=dict(format='other')), "format is 'other'"),
        (dict(info=None), 'format'),
        (dict(images=None), 'images'),
        (dict(images=[dict(id=1, file_name='a')] * 2), 'image 1'),
        (dict(images=[dict(id=1)]), 'file_name'),
        (dict(detections=[dict(image_id=2, bbox=[0, 0, 5, 5], score=1)]), 'image 2'),
        (dict(detections=[dict(image_id=1, bbox=[0, 0, 5], score=1)]), 'number 0: .*bbox'),
        (dict(detections=[dict(image_id=1, bbox=[0, 0, 5, -5], score=1)]), 'number 0: .*bbox'),
        (dict(detections=[dict(image_id=1, bbox=[0, 0, 5, 5])]), 'number 0: .*score'),
        (dict(detections=[7]), 'detection number 0'),
    ],
)
def test_bad_files_of_boxes_are_named(write, change, named):
    assert len(read_boxes(write(FILE))) == 1
    windows = write(FILE | dict(images=[dict(id='1', file_name='b\\a.jpg')]))
    assert read_boxes(windows).images == {1: 'b/a.jpg'}
    with pytest.raises(AnnotationError, match=rf'p\.json: .*{named}'):
        read_boxes(write(FILE | change))


# ---- boxes with roots

ROOT = dict(image_id=3, bbox=[1, 2, 30, 40], root_cam=[10, 20, 3000], score=0.5)


def test_any_number_of_persons(write):
    more = ROOT | dict(bbox=[5, 6, 7, 8], root_cam=[1, 2, 900])
    del more['score']
    found = read_bbox_roots(write([ROOT, ROOT | dict(image_id=1, score=1), more]))
    assert sorted(found) == [1, 3]
    boxes, roots, scores = found[3]
    assert boxes.tolist() == [[1, 2, 30, 40], [5, 6, 7, 8]] and scores.tolist() == [0.5, 1.0]
    assert roots.tolist() == [[10, 20, 3000], [1, 2, 900]]
    assert [part.shape for part in found[1]] == [(1, 4), (1, 3), (1,)]
    assert read_bbox_roots(write([])) == {}  # nobody was found


def test_one_person_an_image(write):
    path = write([ROOT, ROOT | dict(image_id=1, root_cam=[0, 0, 900])])
    boxes, depths = read_bbox_root(path, [1, 3])
    assert boxes.shape == (2, 4) and depths.tolist() == [900, 3000]
    with pytest.raises(AnnotationError, match=r'2 of 3 images .*\[7, 8\]'):
        read_bbox_root(path, [7, 1, 8])
    with pytest.raises(AnnotationError, match='image 3'):
        read_bbox_root(write([ROOT, ROOT]), [3])


@pytest.mark.parametrize(
    ('change', 'named'),
    [
        (dict(bbox=[1, 2, 0, 4]), 'bbox'),
        (dict(root_cam=[1, 2, -4]), 'root_cam'),
        (dict(root_cam=[1, 2, float('nan')]), 'root_cam'),
        (dict(score='high'), 'score'),
        (dict(image_id='x'), 'image_id'),
    ],
)
def test_bad_roots_are_named(write, change, named):
    with pytest.raises(AnnotationError, match=rf'p\.json: prediction number 1: .*{named}'):
        read_bbox_roots(write([ROOT, ROOT | change]))


def test_files_of_another_kind(write, tmp_path):
    with pytest.raises(AnnotationError, match='bbox_root_file'):
        read_boxes(write([ROOT]))
    with pytest.raises(AnnotationError, match='predict_roots'):
        read_bbox_roots(write({}))
    for read, tool in ((read_boxes, 'detect_persons'), (read_bbox_roots, 'predict_roots')):
        with pytest.raises(AnnotationError, match=tool):
            read(tmp_path / 'none.json')


def test_predictions_in_the_working_folder_come_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert prediction_path('data', 'x.json') == 'data/x.json'
    (tmp_path / 'x.json').touch()
    assert prediction_path('data', 'x.json') == 'x.json'
