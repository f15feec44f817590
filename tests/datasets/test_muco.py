# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json

import numpy as np
import pytest
import torch

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
def people(lab):
    """Picture 0: two far apart and one behind the second; picture 1: one."""
    return [
        lab.muco_person(10, 0, (-700.0, 0.0, 3000.0)),
        lab.muco_person(11, 0, (700.0, 0.0, 3500.0)),
        lab.muco_person(12, 1, (0.0, 100.0, 3200.0)),
        lab.muco_person(13, 0, (800.0, 0.0, 4500.0)),
    ]


def load(root, **kwargs):
    return MuCoDataset(data_root=str(root), **kwargs)


def test_samples(lab, tmp_path, people):
    lab.write_muco(tmp_path, people)
    dataset = load(tmp_path)
    assert [dataset.get_data_info(i)['id'] for i in range(len(dataset))] == [10, 12]
    sample, person = dataset.get_data_info(1), people[2]
    joints, pixels = np.array(person['keypoints_cam']), np.array(person['keypoints_img'])
    np.testing.assert_allclose(sample['keypoints_cam'][0], joints, atol=1e-3)
    np.testing.assert_allclose(sample['keypoints'][0, :, :2], pixels, atol=1e-4)
    np.testing.assert_allclose(
        sample['keypoints'][0, :, 2], joints[:, 2] - joints[14, 2], atol=1e-3
    )
    assert sample['root_depth'].tolist() == [3200] and sample['keypoints_visible'].tolist() == [
        [1.0] * 21
    ]
    x, y, w, h = person['bbox']
    np.testing.assert_allclose(sample['bbox'], [[x, y, x + w, y + h]], atol=1e-4)
    assert sample['img_path'] == str(tmp_path / 'muco/unaugmented_set/1/1.jpg')
    assert sample['camera_f'].tolist() == [300, 300] and sample['camera_c'].tolist() == [100, 80]
    assert sample['picture_size'] == (200, 160) and sample['dataset_name'] == 'muco'


def test_visibility_is_a_switch(lab, tmp_path, people):
    lab.write_muco(tmp_path, people)
    shown = load(tmp_path, use_visibility=True).get_data_info(0)['keypoints_visible']
    assert shown.tolist() == [[float(k % 2) for k in range(21)]]
    sample = load(tmp_path, use_visibility=True).get_data_info(0)
    assert np.isfinite(sample['keypoints']).all() and sample['root_depth'].tolist() == [3000]


def test_another_joint_set(lab, tmp_path, people):
    lab.write_muco(tmp_path, people)
    sample = load(tmp_path, joint_set='h36m18').get_data_info(0)
    joints = np.array(people[0]['keypoints_cam'])
    np.testing.assert_allclose(sample['keypoints_cam'][0, 0], joints[14], atol=1e-3)
    np.testing.assert_allclose(
        sample['keypoints'][0, 1, :2], people[0]['keypoints_img'][8], atol=1e-4
    )
    missing = [i for i, shown in enumerate(sample['keypoints_visible'][0]) if not shown]
    assert (
        missing == [8, 9] and not sample['keypoints'][0, missing].any()
    )  # no neck marker, no nose


def test_through_the_pipeline(lab, tmp_path, people, pose3d_pipelines):
    lab.write_muco(tmp_path, people)
    dataset = load(tmp_path, pipeline=pose3d_pipelines[0])
    dataset.set_item_seed(0, 0)
    one, two = dataset[0], dataset[0]
    assert torch.equal(one['inputs'], two['inputs'])
    assert one['data_samples'].gt_instance_labels.keypoint_labels.shape == (1, 21, 3)


def test_boxes_outside_the_picture_are_left_out(lab, tmp_path, people, monkeypatch):
    said = []
    monkeypatch.setattr('wsp_mm.datasets.pose3d.print_log', lambda text, **_: said.append(text))
    people[2]['bbox'] = [300, 10, 20, 20]
    lab.write_muco(tmp_path, people)
    assert len(load(tmp_path)) == 1
    assert any('left out 1 persons whose box' in text for text in said)
    assert any('left out 2 persons near to another' in text for text in said)
    people[0]['bbox'] = [0, 0, 0, 0]
    lab.write_muco(tmp_path, people)
    with pytest.raises(ValueError, match='no person of 4 is left'):
        load(tmp_path)


@pytest.mark.parametrize(
    'change, said',
    [
        (dict(keypoints_cam=[[0, 0, float('nan')]] * 21), 'annotation 12: keypoints_cam holds nan'),
        (
            dict(keypoints_cam=[[0, 0, -5]] * 21),
            'annotation 12: keypoints_cam: a joint lies behind',
        ),
        (
            dict(keypoints_img=[[0, 0]] * 20),
            r'annotation 12: keypoints_img must be of shape \(21, 2\)',
        ),
        (dict(bbox=None), 'annotation 12: bbox must be of shape'),
        (dict(id=None), 'annotation None: int'),
        (dict(image_id=77), 'annotation 12: it is of image 77, which is not there'),
    ],
)
def test_bad_records(lab, tmp_path, people, change, said):
    people[2].update(change)
    lab.write_muco(tmp_path, people)
    with pytest.raises(ValueError, match=f'MuCo-3DHP.json: {said}'):
        load(tmp_path)
    assert len(load(tmp_path, skip_bad=True)) == 1


def test_bad_files(lab, tmp_path, people):
    path = lab.write_muco(tmp_path, people)
    content = json.loads(path.read_text())

    def said(match, error=ValueError, **changes):
        path.write_text(json.dumps(content | changes))
        with pytest.raises(error, match=match):
            load(tmp_path)

    said("'annotations' is missing or empty", annotations=[])
    images = content['images']
    said("image 0: no 'f'", images=[{k: v for k, v in images[0].items() if k != 'f'}])
    said('width, height, f', images=[images[0] | dict(f=[-1, 1]), images[1]])
    said(
        r'keypoints_cam land [\d.]+ px from keypoints_img',
        images=[i | dict(c=[300.0, 80.0]) for i in images],
    )
    said(
        'nowhere.jpg',
        FileNotFoundError,
        images=[images[0], images[1] | dict(file_name='nowhere.jpg')],
    )
    path.write_text('{"images": [')
    with pytest.raises(ValueError, match='no json'):
        load(tmp_path)
    path.unlink()
    with pytest.raises(ValueError, match='no such file'):
        load(tmp_path)


def test_root_range(lab, tmp_path, people, log):
    """Roots at 3000 and 3200 mm are the samples of all; the bounds belong to the range."""
    lab.write_muco(tmp_path, people)
    for bounds, kept in (((3000, 3100), 10), ((3100, 3200), 12)):
        assert load(tmp_path, root_range_mm=bounds).get_data_info(0)['id'] == kept
    assert len(load(tmp_path, root_range_mm=(3000, 3200))) == 2
    assert len(load(tmp_path, root_range_mm=(3001, 7500))) == 1
    assert any(
        'left out 1 persons whose root is not within 3001 to 7500 mm' in text for text in log
    )
    with pytest.raises(ValueError, match='no person of 4 is left'):
        load(tmp_path, root_range_mm=(4000, 7500))
    with pytest.raises(ValueError, match=r'must be \(near, far\)'):
        load(tmp_path, root_range_mm=(7500, 1500))
