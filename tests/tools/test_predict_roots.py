# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json

import cv2
import pytest
from inference_fixture import make_image, make_network, write_results_file

BOX = [20, 10, 30, 70]


@pytest.fixture
def world(tmp_path):
    """A folder with two images, and ann.json (cameras) and bare.json (none)."""
    images = []
    for i in range(2):
        cv2.imwrite(str(tmp_path / f'{i}.jpg'), make_image(i, (120, 90)))
        images.append(dict(id=i, file_name=f'{i}.jpg', width=120, height=90))
    persons = [dict(id=i, image_id=i, bbox=BOX) for i in range(2)]
    for name, camera in (('bare', dict()), ('ann', dict(intrinsic=[200, 200, 59.5, 44.5]))):
        content = dict(images=[image | camera for image in images], annotations=persons)
        (tmp_path / f'{name}.json').write_text(json.dumps(content))
    return tmp_path


@pytest.fixture
def run(call_tool, world):
    """``run(*arguments)`` -> (status, printed, records or None)."""

    def call(*arguments):
        out = world / 'roots.json'
        status, *printed = call_tool('predict_roots', *arguments, '--out', out)
        records = json.loads(out.read_text()) if out.exists() else None
        return status, ''.join(printed), records

    return call


def test_k_value_and_a_given_camera(run, world):
    status, text, own = run('--k-value', '--gt', '--ann', world / 'ann.json')
    assert status == 0 and 'roots of 2 persons in 2 images by the k-value' in text
    assert own[0]['root_cam'] == own[1]['root_cam'] and own[0]['root_cam'][2] > 0
    results = write_results_file(world / 'coco.json', {1: [BOX]})
    given = ['--k-value', '--boxes', results, '--ann', world / 'bare.json', '--focal', 200]
    status, _, found = run(*given)  # the principal point is the image centre
    assert status == 0 and len(found) == 1
    assert found[0] == dict(own[1], score=0.9)


def test_boxes_of_other_programs(run, world):
    def roots(*records, ann='ann.json'):
        path = world / 'other.json'
        path.write_text(json.dumps(records))
        return run('--k-value', '--boxes', path, '--ann', world / ann)

    box = dict(bbox=BOX)
    status, text, records = roots(box | dict(image_id='1'), box | dict(image_id='0.jpg'))
    assert status == 0 and [r['image_id'] for r in records] == [1, 0]
    assert records[0]['score'] == 1.0
    dog = dict(image_id=0, category_id='dog')
    status, text, records = roots(box | dict(image_id=1), box | dog)
    assert status == 0 and "'dog' (1)" in text and len(records) == 1
    for wrong, named in (
        (box | dog, "'dog' (1)"),
        (box | dict(image_id='2.jpg'), '2.jpg'),
        (dict(image_id=1, bbox=[70, 20, 100, 80]), 'x1, y1, x2, y2'),
        (dict(image_id=1, bbox=[0.1, 0.2, 0.3, 0.5]), 'normalised'),
    ):
        status, text, _ = roots(wrong)
        assert status == 1 and named in text and 'other.json' in text


def test_labelled_persons_of_category_0(run, world):
    content = json.loads((world / 'ann.json').read_text())
    for person in content['annotations']:
        person['category_id'] = 0
    (world / 'ann.json').write_text(json.dumps(content))
    status, text, records = run('--k-value', '--gt', '--ann', world / 'ann.json')
    assert status == 1 and '0 (2)' in text and records is None


def test_with_a_network(run, world, tmp_path_factory):
    network = make_network(tmp_path_factory.mktemp('root'), 'quickstart/root_muco_lite0')
    arguments = [*network, '--gt', '--ann', world / 'ann.json', '--images', world]
    arguments += ['--device', 'cpu']
    status, text, records = run(*arguments)
    assert status == 0 and 'by the network' in text and len(records) == 2
    (world / 'roots.json').unlink()
    (world / '1.jpg').unlink()
    status, text, records = run(*arguments)
    assert status == 1 and '1.jpg' in text and records is None


def test_what_is_missing_is_named(run, world):
    status, text, _ = run('--k-value', '--gt', '--ann', world / 'nowhere.json')
    assert status == 1 and 'nowhere.json' in text
    status, text, _ = run('--k-value', '--gt', '--ann', world / 'bare.json')
    assert status == 1 and '--focal' in text
    status, text, _ = run('--k-value', '--gt', '--ann', world / 'ann.json', '--focal', -1)
    assert status == 1 and 'camera' in text
