# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json

import numpy as np
import pytest

from wsp_mm.datasets.converters.mcpc.coco_style import read_coco_style
from wsp_mm.datasets.converters.mcpc.records import BadDataError


def read(tree, make, findings, images, annotations, joint_set='coco17', **changes):
    path = tree.write('a.json', make.coco_file(images, annotations, joint_set=joint_set, **changes))
    return read_coco_style(path, 'coco', 'train', joint_set, 'train2017/', findings)


def test_a_sound_file(tree, make, strict):
    people = [
        make.person(7, 3, ankles=(300, None)),
        make.person(5, 3, x=200),
        make.person(6, 4, area=...),
    ]
    data = read(tree, make, strict, [make.image(3), make.image(4, width=..., height=...)], people)
    assert [p.file_name for p in data.pictures] == [
        'train2017/000000000003.jpg',
        'train2017/000000000004.jpg',
    ]
    assert (data.pictures[0].width, data.pictures[0].height) == (640, 480)
    assert data.pictures[1].width is None
    assert data.source_ids == [7, 5, 6] and data.picture.tolist() == [0, 0, 1]
    np.testing.assert_array_equal(data.keypoints[0, 15], (100, 300))
    assert data.visible[0, 15] == 2 and data.visible[0, 16] == 0
    np.testing.assert_allclose(data.bbox[1], [180, 50, 60, 280])
    assert data.area[0] == 5000 and np.isnan(data.area[2])
    assert not data.crowd.any() and data.dropped == {}


def test_left_out_on_purpose_is_counted(tree, make, strict):
    others = [dict(id=1, name='person'), dict(id=2, name='dog')]
    people = [
        make.person(1, 1),
        make.person(2, 1, category_id=2),
        make.person(3, 1, keypoints=...),
        make.person(4, 1, keypoints=[0] * 51),
        make.person(5, 1, iscrowd=1),
        make.person(6, 1, bbox=...),
    ]
    data = read(tree, make, strict, [make.image(1)], people, categories=others)
    assert data.source_ids == [1, 5, 6]
    assert data.dropped == {'not a person': 1, 'no keypoints': 1, 'no labelled joint': 1}
    assert data.crowd.tolist() == [False, True, False]
    assert np.isnan(data.bbox[2]).all()


BAD_RECORDS = {
    'wrong keypoint count': dict(keypoints=[1, 2, 2] * 16),
    'nan': dict(keypoints=[float('nan'), 2, 2] * 17),
    'bad visibility': dict(keypoints=[1, 2, 3] * 17),
    'bad box': dict(bbox=[1, 2, 3]),
    'duplicate id': dict(id=1),
    'unknown picture': dict(image_id=99),
    'unknown category': dict(category_id=9),
    'incomplete record': dict(image_id=None),
}


@pytest.mark.parametrize('kind', BAD_RECORDS)
def test_bad_records_are_named_or_skipped(tree, make, strict, lenient, kind):
    people = [make.person(1, 1), make.person(2, 1) | BAD_RECORDS[kind], make.person(3, 1)]
    with pytest.raises(BadDataError) as error:
        read(tree, make, strict, [make.image(1)], people)
    record = 'annotation id 1' if kind == 'duplicate id' else 'annotation id 2'
    assert error.value.kind == kind and record in str(error.value) and 'a.json' in str(error.value)
    assert '--skip-bad' in str(error.value)
    data = read(tree, make, lenient, [make.image(1)], people)
    assert data.source_ids == [1, 3] and lenient.counts() == {kind: 1}
    assert lenient.bad[0].to_dict()['record'] == record


@pytest.mark.parametrize('bad', [None, 5, dict(id=[1]), dict(category_id=[1]), dict(image_id=[1])])
def test_records_of_another_shape(tree, make, lenient, bad):
    record = make.person(2, 1) | bad if isinstance(bad, dict) else bad
    images = [make.image(1), 5] if bad == 5 else [make.image(1)]
    data = read(tree, make, lenient, images, [make.person(1, 1), record])
    assert data.source_ids == [1] and len(lenient.bad) == (2 if bad == 5 else 1)


@pytest.mark.parametrize('value', ['abc', None, [1], float('inf')])
@pytest.mark.parametrize('key', ['keypoints', 'bbox'])
def test_what_is_no_number_is_named(tree, make, lenient, key, value):
    person = make.person(2, 1)
    person[key] = [value, *person[key][1:]]
    data = read(tree, make, lenient, [make.image(1)], [make.person(1, 1), person])
    assert data.source_ids == [1] and lenient.counts() == {'nan': 1}


BAD_IMAGES = {
    'duplicate id': (dict(id=1), 'image id 1'),
    'bad picture size': (dict(width=0), 'image id 2'),
    'incomplete record': (dict(file_name=None), 'image id 2'),
}


@pytest.mark.parametrize('kind', BAD_IMAGES)
def test_bad_pictures_are_named_or_skipped(tree, make, strict, lenient, kind):
    changes, record = BAD_IMAGES[kind]
    images = [make.image(1), make.image(2) | changes]
    with pytest.raises(BadDataError, match=record) as error:
        read(tree, make, strict, images, [])
    assert error.value.kind == kind
    assert len(read(tree, make, lenient, images, []).pictures) == 1


def test_whose_the_annotations_of_an_id_are_nobody_can_tell(tree, make, lenient):
    images = [make.image(1), make.image(1, 'other.jpg'), make.image(2)]
    path = tree.write(
        'a.json', make.coco_file(images, [make.person(1, 1), make.person(2, 1), make.person(3, 2)])
    )
    data = read_coco_style(path, 'coco', 'train', 'coco17', '', lenient)
    assert data.source_ids == [3] and lenient.counts() == {'duplicate id': 1}


@pytest.mark.parametrize('keypoints', [[[1.0]] * 51, [10**400] * 51])
def test_numbers_of_another_kind(tree, make, lenient, keypoints):
    people = [make.person(1, 1, keypoints=keypoints), make.person(2, 1, keypoints=keypoints)]
    path = tree.write('a.json', make.coco_file([make.image(1)], people))
    assert not read_coco_style(path, 'coco', 'train', 'coco17', '', lenient).source_ids
    assert sum(lenient.counts().values()) == 2


def test_records_that_are_no_records(tree, make, lenient):
    path = tree.write(
        'a.json', make.coco_file([make.image(1)], [make.person(1, 1)], categories=[1])
    )
    with pytest.raises(BadDataError, match=r'categories: they are \[1\]'):
        read_coco_style(path, 'coco', 'train', 'coco17', '', lenient)
    path = tree.write(
        'a.json', make.coco_file([make.image(1, width=float('inf'))], [make.person(1, 1)])
    )
    read_coco_style(path, 'coco', 'train', 'coco17', '', lenient)
    assert lenient.counts() == {'bad picture size': 1}


def test_same_file_name_twice(tree, make, lenient):
    images = [make.image(1, 'x.jpg'), make.image(2, 'x.jpg')]
    data = read(tree, make, lenient, images, [make.person(1, 1), make.person(2, 2)])
    assert lenient.counts() == {'duplicate id': 1} and data.source_ids == [1]
    assert data.dropped == {'on a picture that was skipped': 1}


@pytest.mark.parametrize(('content', 'kind'), [
    ('{"images": [', 'broken json'),
    (b'\xff\xfe\x00'.decode('latin1') + '{', 'broken json'),
    ('[]', 'wrong layout'),
    ('{"images": [], "categories": []}', 'wrong layout'),
    (json.dumps(dict(images=[], annotations=[], categories=[dict(id=1, name='cat')])), 'unknown category'),
    (json.dumps(dict(images=[], annotations=[], categories=[dict(id=1, name='person', keypoints=['nose'])])),
     'wrong joints'),
])  # fmt: skip
def test_broken_files_are_named(tree, lenient, content, kind):
    path = tree.write('broken.json', content)
    with pytest.raises(BadDataError, match=r'broken\.json') as error:
        read_coco_style(path, 'coco', 'train', 'coco17', '', lenient)
    assert error.value.kind == kind


def test_missing_file_is_named(tmp_path, strict):
    with pytest.raises(BadDataError, match=r'gone\.json.*docs/data\.md') as error:
        read_coco_style(tmp_path / 'gone.json', 'coco', 'train', 'coco17', '', strict)
    assert error.value.kind == 'missing file'


def test_crowdpose_spells_head_top_in_two_ways(tree, make, strict):
    content = make.coco_file(
        [make.image(1)], [make.person(1, 1, joint_set='crowdpose14')], 'crowdpose14'
    )
    names = content['categories'][0]['keypoints']
    names[names.index('top_head')] = 'head'
    data = read_coco_style(
        tree.write('c.json', content), 'crowdpose', 'test', 'crowdpose14', '', strict
    )
    assert len(data) == 1


def test_outlines_are_not_read(tree, make, strict):
    people = [make.person(1, 1, segmentation=[[1.5] * 1000])]
    from wsp_mm.datasets.converters.mcpc.files import load_json

    path = tree.write('a.json', make.coco_file([make.image(1)], people))
    assert 'segmentation' not in load_json(path)['annotations'][0]
