# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json

import numpy as np
import pytest

from wsp_mm.datasets.annotations import AnnotationError
from wsp_mm.datasets.muco import MuCoDataset, choose_persons


@pytest.mark.parametrize(
    'roots, chosen',
    [
        ([(0, 0, 3000)], [0]),
        # the nearest always; those 500 mm from everybody across the axis
        ([(0, 0, 4000), (100, 0, 3000), (900, 0, 5000)], [1, 2]),
        # 499 mm across: too near, however far behind; exactly 500 is not
        ([(0, 0, 3000), (499, 0, 9000)], [0]),
        ([(0, 0, 3000), (500, 0, 9000)], [0, 1]),
        ([(0, 0, 3000), (300, 400, 3000)], [0, 1]),
        # two that are near to each other drop out both; the nearest stays
        ([(0, 0, 3000), (2000, 0, 4000), (2100, 0, 4000)], [0]),
        ([(2000, 0, 3000), (0, 0, 4000), (2100, 0, 4000), (900, 0, 4000)], [0, 1, 3]),
        # of two that are equally near the first
        ([(0, 0, 3000), (5000, 0, 3000)], [0, 1]),
    ],
)
def test_which_persons(roots, chosen):
    assert choose_persons(np.array(roots, dtype=float)) == chosen


@pytest.fixture
def people(h36m):
    """Image 0: two far apart and one behind the second; image 1: one."""
    return [
        h36m.muco_person(10, 0, (-700.0, 0.0, 3000.0)),
        h36m.muco_person(11, 0, (700.0, 0.0, 3500.0)),
        h36m.muco_person(12, 1, (0.0, 100.0, 3200.0)),
        h36m.muco_person(13, 0, (800.0, 0.0, 4500.0)),
    ]


@pytest.fixture
def load(h36m, tmp_path, people):
    """``load(**kwargs)`` writes the people and loads them."""

    def run(**kwargs):
        h36m.write_muco(tmp_path, people)
        return MuCoDataset(data_root=str(tmp_path), **kwargs)

    return run


def ids(dataset):
    return [dataset.get_data_info(i)['id'] for i in range(len(dataset))]


def test_samples(load, people, tmp_path):
    dataset = load()
    assert ids(dataset) == [10, 12]
    sample, person = dataset.get_data_info(1), people[2]
    joints, pixels = np.array(person['keypoints_cam']), np.array(person['keypoints_img'])
    np.testing.assert_allclose(sample['keypoints_cam'][0], joints, atol=1e-3)
    np.testing.assert_allclose(sample['keypoints'][0, :, :2], pixels, atol=1e-4)
    depth = joints[:, 2] - joints[14, 2]
    np.testing.assert_allclose(sample['keypoints'][0, :, 2], depth, atol=1e-3)
    x, y, w, h = person['bbox']
    np.testing.assert_allclose(sample['bbox'], [[x, y, x + w, y + h]], atol=1e-4)
    expected = dict(camera_f=[300, 300], camera_c=[100, 80])
    expected |= dict(root_depth=[3200], keypoints_visible=[[1.0] * 21])
    assert {key: sample[key].tolist() for key in expected} == expected
    assert sample['img_path'] == str(tmp_path / 'muco/unaugmented_set/1/1.jpg')
    assert sample['image_size'] == (200, 160) and sample['dataset_name'] == 'muco'


def test_switches(load, people):
    sample = load(use_visibility=True).get_data_info(0)
    assert sample['keypoints_visible'].tolist() == [[float(k % 2) for k in range(21)]]
    assert np.isfinite(sample['keypoints']).all() and sample['root_depth'].tolist() == [3000]
    sample = load(joint_set='h36m18').get_data_info(0)
    joints = np.array(people[0]['keypoints_cam'])
    np.testing.assert_allclose(sample['keypoints_cam'][0, 0], joints[14], atol=1e-3)
    pixels = people[0]['keypoints_img'][8]
    np.testing.assert_allclose(sample['keypoints'][0, 1, :2], pixels, atol=1e-4)
    missing = [i for i, shown in enumerate(sample['keypoints_visible'][0]) if not shown]
    assert missing == [8, 9] and not sample['keypoints'][0, missing].any()  # no neck, no nose


def test_root_range(load, log):
    """Roots at 3000 and 3200 mm are the samples of all; the bounds belong to the range."""
    for bounds, kept in (((3000, 3100), [10]), ((3100, 3200), [12]), ((3000, 3200), [10, 12])):
        assert ids(load(root_range_mm=bounds)) == kept
    assert ids(load(root_range_mm=(3001, 7500))) == [12]
    assert any('left out 1 persons' in text and '3001 to 7500 mm' in text for text in log)
    with pytest.raises(AnnotationError, match='no person of 4'):
        load(root_range_mm=(4000, 7500))
    with pytest.raises(ValueError, match='root_range_mm'):
        load(root_range_mm=(7500, 1500))


def test_boxes_outside_the_image_are_left_out(load, people, log):
    people[2]['bbox'] = [300, 10, 20, 20]
    assert len(load()) == 1
    assert any('left out 1 persons whose box' in text for text in log)
    assert any('left out 2 persons near to another' in text for text in log)
    people[0]['bbox'] = [0, 0, 0, 0]
    with pytest.raises(AnnotationError, match='no person of 4'):
        load()


@pytest.mark.parametrize(
    'change',
    [
        dict(keypoints_cam=[[0, 0, float('nan')]] * 21),
        dict(keypoints_cam=[[0, 0, -5]] * 21),
        dict(keypoints_img=[[0, 0]] * 20),
        dict(bbox=None),
        dict(id=None),
        dict(image_id=77),
    ],
    ids=['nan', 'behind', 'short', 'no box', 'no id', 'no image'],
)
def test_bad_records(load, people, change, log):
    people[2].update(change)
    with pytest.raises(AnnotationError, match=r'MuCo-3DHP.json: annotation (12|number 2): '):
        load()
    assert ids(load(skip_bad=True)) == [10] and any('skipped 1' in text for text in log)


def changed(people, change):
    for person in people:
        person['keypoints_cam'] = change(np.array(person['keypoints_cam'])).tolist()


@pytest.mark.parametrize(
    'change, said',
    [
        (lambda cam: cam / 1000, 'metres'),
        (lambda cam: (cam - cam[14]) / 25 + cam[14] / 10, 'centimetres'),
        (lambda cam: cam - (0, 0, cam[14, 2]), 'root-relative'),
        (lambda cam: cam - cam[1], 'root-relative'),
    ],
)
def test_other_units_and_origins(load, people, change, said):
    changed(people, change)
    with pytest.raises(AnnotationError, match=rf'MuCo-3DHP.json: annotation 1\d: .*\W{said}\?'):
        load()


def test_isolated_odd_persons_are_left_out(load, people, log):
    changed(people[1:2], lambda cam: cam / 1000)
    assert ids(load()) == [10, 13, 12]  # 13 is no longer near to somebody
    (note,) = [text for text in log if 'implausible' in text]
    assert '1 x' in note and 'annotation 11' in note and 'metres?' in note


def test_bad_files(load, h36m, tmp_path, people):
    path = h36m.write_muco(tmp_path, people)
    content = json.loads(path.read_text())
    first, second = content['images']

    def refused(match, **changes):
        path.write_text(json.dumps(content | changes))
        with pytest.raises(AnnotationError, match=match):
            MuCoDataset(data_root=str(tmp_path))

    refused('annotations', annotations=[])
    refused("image 0: 'f'", images=[{k: v for k, v in first.items() if k != 'f'}])
    refused('image 0: .*positive', images=[first | dict(f=[-1, 1]), second])
    refused('image 1: .*file_name', images=[first, second | dict(file_name=None)])
    refused('image 0: .*outside', images=[first | dict(c=[960, 540]), second | dict(c=[960, 540])])
    refused('px from keypoints_img', images=[i | dict(c=[150.0, 80.0]) for i in content['images']])
    refused(r'nowhere\.jpg', images=[first, second | dict(file_name='nowhere.jpg')])
    # One odd camera costs its persons, not the file.
    path.write_text(json.dumps(content | dict(images=[first, second | dict(c=[960, 540])])))
    assert 12 not in ids(MuCoDataset(data_root=str(tmp_path)))
    path.write_text('{"images": [')
    with pytest.raises(AnnotationError, match=r'MuCo-3DHP\.json'):
        MuCoDataset(data_root=str(tmp_path))
