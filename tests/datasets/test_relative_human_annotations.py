# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import os

import numpy as np
import pytest
from relative_human_fixture import annots, flat, save

from wsp_mm.datasets.annotations import AnnotationError
from wsp_mm.datasets.relative_human_annotations import read_relative_human
from wsp_mm.structures.keypoints import get_joint_set

WORLD = get_joint_set('world')


@pytest.fixture
def file(tmp_path):
    return save(tmp_path / 'test_annots.npz', annots())


def test_all_persons_in_the_order_of_the_file(file):
    found = read_relative_human(file)
    assert found.file_names == list(annots()) and len(found.image) == 12
    assert [rows.tolist() for rows in found.rows()] == [
        [0, 1, 2], [3, 4, 5], [6, 7, 8], [9], [10, 11]
    ]  # fmt: skip
    assert found.number.tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 0, 1]
    assert found.layer.tolist() == [0, 1, 1, 1, 0, -1, 0, 2, 1, 0, -1, 0]
    assert found.age.tolist()[:6] == [0, 2, 0, 3, 0, 1] and (found.gender == 1).all()
    np.testing.assert_allclose(found.bbox[0], (26, 18, 54, 142))
    assert found.name(4) == 'person 1 of 0000123.jpg'


# Person, joint set; joint of the file -> concept, written down from the data set's own page.
PLACES = {
    (0, 'rh14'): {0: 'left_shoulder', 5: 'right_wrist', 11: 'right_ankle', 12: 'head_top',
                  13: 'upper_neck'},
    (3, 'rh19'): {0: 'head_top', 1: 'nose', 2: 'upper_neck', 4: 'right_eye', 5: 'left_shoulder',
                  12: 'right_hip', 15: 'left_ankle', 17: 'left_toe'},
    (6, 'rh_ochuman19'): {0: 'right_shoulder', 3: 'left_shoulder', 8: 'right_ankle',
                          11: 'left_ankle', 12: 'head_top', 13: 'upper_neck', 14: 'right_ear',
                          16: 'nose', 18: 'left_eye'},
}  # fmt: skip


@pytest.mark.parametrize(('person', 'joint_set'), PLACES)
def test_joints_by_number_of_joints_and_length_of_the_name(file, person, joint_set):
    found = read_relative_human(file)
    of = [p for persons in annots().values() for p in persons][person]
    joints = np.reshape(of['kp2d'], (-1, 3))
    assert len(joints) == len(get_joint_set(joint_set))
    for k, concept in PLACES[person, joint_set].items():
        np.testing.assert_allclose(found.keypoints[person, WORLD.index(concept)], joints[k, :2])
    hips = (found.keypoints[person, WORLD.index(f'{side}_hip')] for side in ('left', 'right'))
    np.testing.assert_allclose(found.keypoints[person, WORLD.index('pelvis')], sum(hips) / 2)
    assert found.visible[person].sum() == len(joints) + 2  # pelvis and thorax


def test_joints_that_are_not_labelled(file):
    found = read_relative_human(file)
    assert not found.visible[8].any() and not found.keypoints[8].any()  # kp2d is None
    ankle = WORLD.index('left_ankle')
    assert not found.visible[2, ankle] and not found.keypoints[2, ankle].any()


def test_what_may_be_absent_or_an_array(tmp_path):
    one = dict(bbox=np.array([1, 2, 30, 40]), depth_id=np.int64(2), age=-1)
    two = dict(bbox=(1, 2, 30, 40), kp2d=np.reshape(flat('rh14', 50, 90, 80), (14, 3)))
    found = read_relative_human(save(tmp_path / 'a.npz', {'100001.jpg': [one, two]}))
    assert (found.layer.tolist(), found.gender.tolist()) == ([2, -1], [-1, -1])
    assert not found.visible[0].any() and found.visible[1].sum() == 16


@pytest.mark.parametrize(
    ('change', 'kind'),
    [
        (dict(kp2d=[1.0] * 40), 'bad kp2d'), (dict(kp2d=[1.0] * 45), 'bad kp2d'),
        (dict(kp2d=[float('nan')] * 42), 'bad kp2d'), (dict(kp2d='joints'), 'bad kp2d'),
        (dict(bbox=[1, 2, 3]), 'bad bbox'), (dict(bbox=None), 'bad bbox'),
        (dict(bbox=[1, 2, 3, float('inf')]), 'bad bbox'),
        (dict(depth_id=-2), 'bad depth_id'), (dict(depth_id=0.5), 'bad depth_id'),
        (dict(depth_id='front'), 'bad depth_id'), (dict(age=4), 'bad age'),
        (dict(gender=2), 'bad gender'),
    ],
)  # fmt: skip
def test_a_bad_person_is_named(tmp_path, change, kind):
    content = annots()
    content['0000123.jpg'][1] |= change
    path = save(tmp_path / 'bad_annots.npz', content)
    with pytest.raises(AnnotationError) as error:
        read_relative_human(path)
    assert error.value.kind == kind and error.value.file == str(path)
    assert error.value.record == 'person 1 of 0000123.jpg'


@pytest.mark.parametrize('person', [3, 'person', None, [1, 2]])
def test_a_person_who_is_no_dict_is_refused(tmp_path, person):
    with pytest.raises(AnnotationError, match=r'x\.npz'):
        read_relative_human(save(tmp_path / 'x.npz', {'100001.jpg': [person]}))


class Bomb:
    def __reduce__(self):
        return os.mkdir, ('bomb',)


def test_no_code_in_a_file_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path / 'x.npz', {'100001.jpg': [dict(bbox=Bomb())]})
    with pytest.raises(AnnotationError, match='mkdir'):
        read_relative_human(path)
    assert not (tmp_path / 'bomb').exists()


@pytest.mark.parametrize(
    'content', [{}, [1], 'text', {'': []}, {3: []}, {'a.jpg': 5}, np.zeros((2, 3))]
)
def test_another_content_is_refused(tmp_path, content):
    with pytest.raises(AnnotationError, match=r'x\.npz'):
        read_relative_human(save(tmp_path / 'x.npz', content))


def test_files_that_are_broken_or_absent(file, tmp_path):
    whole = file.read_bytes()
    for size in (0, 100, len(whole) // 2):
        file.write_bytes(whole[:size])
        with pytest.raises(AnnotationError) as error:
            read_relative_human(file)
        assert error.value.kind == 'broken npz'
    np.savez(file, other=annots())
    with pytest.raises(AnnotationError, match='annots'):
        read_relative_human(file)
    with pytest.raises(AnnotationError, match='no such file'):
        read_relative_human(tmp_path / 'nothing.npz')
