# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Files of detections: what is written is what is read, and what is wrong is named."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsp_mm.datasets.annotations import AnnotationError
from wsp_mm.datasets.detections import (
    BoxFile,
    prediction_path,
    read_bbox_root,
    read_bbox_roots,
    read_boxes,
    write_boxes,
)

THOUSANDTHS = [st.integers(-2000, 900000)] * 2 + [st.integers(1, 900000)] * 2
BOX = st.tuples(*THOUSANDTHS).map(lambda b: [v / 1000 for v in b])
PERSONS = st.lists(st.tuples(BOX, st.integers(0, 100000)), max_size=4)


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


def test_plain_results_of_coco(samples):
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
    with pytest.raises(AnnotationError, match=rf'a\.json: .*{named}'):
        read_boxes(write(FILE | change))


# ---- plain lists of other programs

PERSON = dict(image_id=5, category_id=1, bbox=[1, 2, 30, 40], score=0.25)


def test_images_come_in_the_order_of_the_list_and_boxes_in_that_of_scores(write):
    found = read_boxes(write([PERSON, PERSON | dict(bbox=[5, 6, 7, 8], score=0.75)]))
    assert found.images == {5: ''} and not found.extended and found.info == {}
    assert found.boxes[5].tolist() == [[5, 6, 7, 8], [1, 2, 30, 40]]
    assert found.scores[5].tolist() == [0.75, 0.25]
    assert len(read_boxes(write([]))) == 0
    ids = [7, 3, 9, 3, 7, 1]
    found = read_boxes(write([PERSON | dict(image_id=i, file_name=f'{i}.jpg') for i in ids]))
    assert list(found.images) == list(found.boxes) == list(found.scores) == [7, 3, 9, 1]
    assert found.images[3] == '3.jpg' and len(found.boxes[3]) == 2


def test_without_scores_all_are_1(write):
    label = {key: value for key, value in PERSON.items() if key != 'score'}
    assert read_boxes(write([label, label])).scores[5].tolist() == [1.0, 1.0]
    with pytest.raises(AnnotationError, match=r'number 1: .*score'):
        read_boxes(write([PERSON, label]))  # best of all, or worst?


def test_other_categories_are_counted(write, refused):
    others = [PERSON | dict(category_id=value) for value in (0, 0, 'dog')]
    found = read_boxes(write([PERSON, PERSON | dict(category_id=' Person'), *others]))
    assert len(found) == 2 and len(found.notes) == 1
    for text in ('3 of 5', '0 (2)', "'dog' (1)"):
        assert text in found.notes[0]
    bare = {key: value for key, value in PERSON.items() if key != 'category_id'}
    assert len(read_boxes(write([dict(bare, category=name) for name in ('person', 'cat')]))) == 1
    with refused('no persons', r"0 \(2\), 'dog' \(1\)"):
        read_boxes(write(others))
    assert read_boxes(write([PERSON])).notes == []


def test_normalised_boxes_are_refused(write):
    small = PERSON | dict(bbox=[0.2, 0.1, 0.3, 0.8])
    with pytest.raises(AnnotationError, match=r'a\.json: detection number .*normalised.* px'):
        read_boxes(write([small, small, PERSON]))
    found = read_boxes(write([PERSON, small, PERSON, PERSON | dict(image_id=4)]))
    assert len(found) == 3 and '1 x normalised box' in found.notes[0]
    assert 'detection number 1' in found.notes[0]
    with pytest.raises(AnnotationError, match='normalised'):
        read_bbox_roots(write([ROOT | dict(bbox=small['bbox'])]))
    with pytest.raises(AnnotationError, match='normalised'):
        read_bbox_root(write([ROOT | dict(bbox=small['bbox'])]), [3])


def test_corners_are_refused_where_sizes_are_known(write):
    right = [[400, 200, 100, 250], [300, 150, 90, 200], [500, 100, 60, 150]]
    wrong = [[x, y, x + w, y + h] for x, y, w, h in right]
    for boxes, extended in ((right, False), (wrong, True)):
        tables = dict(enumerate(np.array(boxes, float)[:, None]))
        names = {i: f'{i}.jpg' for i in tables}
        file = BoxFile(names, tables, {}, extended)
        file.check_convention(dict.fromkeys(tables, (640, 480)))
    file = read_boxes(write([PERSON | dict(image_id=i, bbox=b) for i, b in enumerate(wrong)]))
    with pytest.raises(AnnotationError, match=r'a\.json: image 2: .*x1, y1, x2, y2.*x, y, w, h'):
        file.check_convention(dict.fromkeys(range(9), (640, 480)))
    file.check_convention({77: (640, 480)})


def test_images_named_by_text(write, refused):
    images = {30: 'a/1.jpg', 10: 'a/2.jpg', 11: '000785.jpg', 785: 'else.png'}

    def read(*names, images=images):
        return list(read_boxes(write([PERSON | dict(image_id=n) for n in names]), images).boxes)

    assert read('a/2.jpg', 'a/1', 'else') == [10, 30, 785]
    assert read('2.jpg', '1', '000785') == [10, 30, 11]  # a stem goes before a number
    assert read('785', 'a/2.jpg') == [785, 10]
    assert read('1.jpg', images={1: 'sub/1.jpg', 2: '1.jpg'}) == [2]  # exact names go first
    for names, said in ((['b/1.jpg'], 'b/1'), (['a/1', 'dog'], 'dog')):
        with refused('unknown image', said):
            read(*names)
    with refused('ambiguous image', r'a/1\.jpg and a/1\.png'):
        read('1', images={1: 'a/1.jpg', 2: 'a/1.png'})
    found = read_boxes(write([PERSON | dict(image_id=n) for n in ('b', 'a.jpg', 'b', '12')]))
    assert found.images == {-1: 'b', -2: 'a.jpg', 12: ''} and len(found.boxes[-1]) == 2


# ---- boxes with roots

ROOT = dict(image_id=3, bbox=[1, 2, 30, 40], root_cam=[10, 20, 3000], score=0.5)


def test_any_number_of_persons(write):
    more = ROOT | dict(bbox=[5, 6, 7, 8], root_cam=[1, 2, 900])
    del more['score']
    found = read_bbox_roots(write([ROOT, ROOT | dict(image_id=1, score=1), more]))
    assert sorted(found) == [1, 3]
    boxes, roots, scores, places = found[3]
    assert boxes.tolist() == [[1, 2, 30, 40], [5, 6, 7, 8]] and scores.tolist() == [0.5, 1.0]
    assert roots.tolist() == [[10, 20, 3000], [1, 2, 900]] and places.tolist() == [0, 2]
    assert [part.shape for part in found[1]] == [(1, 4), (1, 3), (1,), (1,)]
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
    with pytest.raises(AnnotationError, match=rf'a\.json: prediction number 1: .*{named}'):
        read_bbox_roots(write([ROOT, ROOT | change]))


def roots(scale, count=9):
    """Persons at 4 m in images of 1000 px, f = 1100 px, their depth times a factor."""
    x, side = np.random.default_rng(0).uniform(0, 500, count), 2000 * 1100 / 4000
    boxes = [dict(image_id=i, bbox=[left, 200, side, side]) for i, left in enumerate(x)]
    return [box | dict(root_cam=[0, 0, scale * 4000]) for box in boxes]


@pytest.mark.parametrize('scale, said', [(1e-3, 'metres'), (0.1, 'centimetres')])
def test_depths_in_another_unit(write, scale, said):
    for read in (read_bbox_roots, lambda path: read_bbox_root(path, [0])):
        with pytest.raises(AnnotationError, match=rf'a\.json: prediction number \d: .*\W{said}\?'):
            read(write(roots(scale)))


def test_odd_depths_of_some_persons_stay(write):
    """A score without them would flatter."""
    found = read_bbox_roots(write(roots(1.0) + [dict(r, image_id=77) for r in roots(1e-3, 3)]))
    assert len(found) == 10 and len(found[77][0]) == 3
    with pytest.raises(AnnotationError, match="prediction number 1: 'root_cam'"):
        read_bbox_roots(write([ROOT, ROOT | dict(root_cam=[0, 1e308, 3000])]))


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
