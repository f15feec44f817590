# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json

import numpy as np
import pytest
import torch

from wsp_mm.datasets.h36m_image import H36MImageDataset
from wsp_mm.structures.keypoints import get_joint_set


def test_a_sample_against_the_fixture(h36m_root, lab):
    dataset = H36MImageDataset(str(h36m_root))
    sample = lab.by_frame(dataset)['s_06_act_14_subact_02_ca_03_000006']
    world = lab.pose(6, 14, 2, 5)
    cam, pixels = lab.project(world, 3)
    thorax, _ = lab.project(np.array([(world[11] + world[14]) / 2]), 3)
    np.testing.assert_allclose(sample['keypoints_cam'][0, :17], cam, atol=1e-2)
    np.testing.assert_allclose(sample['keypoints_cam'][0, 17], thorax[0], atol=1e-2)
    np.testing.assert_allclose(sample['keypoints'][0, :17, :2], pixels, atol=1e-3)
    np.testing.assert_allclose(
        sample['keypoints'][0, 17, :2], thorax[0, :2] / thorax[0, 2] * lab.F + lab.C, atol=1e-3
    )
    np.testing.assert_allclose(sample['keypoints'][0, :17, 2], cam[:, 2] - cam[0, 2], atol=1e-2)
    x, y, w, h = lab.box(pixels)
    np.testing.assert_allclose(sample['bbox'], [[x, y, x + w, y + h]], atol=1e-3)
    assert sample['root_depth'] == pytest.approx([cam[0, 2]], abs=1e-2) and sample['has_depth'] == [
        1.0
    ]
    assert sample['keypoints_visible'].tolist() == [[1.0] * 18] and sample['bbox_extended'] is False
    assert (sample['subject'], sample['action'], sample['subaction']) == (6, 'Walking', 2)
    assert (sample['camera_id'], sample['frame'], sample['dataset_name']) == (3, 5, 'h36m')
    assert (
        sample['camera_f'].tolist() == lab.F.tolist()
        and sample['camera_c'].tolist() == lab.C.tolist()
    )
    assert sample['img_path'].endswith('s_06_act_14_subact_02_ca_03_000006.jpg')
    assert sample['flip_indices'] == list(get_joint_set('h36m18').flip_indices)


@pytest.mark.parametrize('test_mode', [False, True])
@pytest.mark.parametrize('joint_set', ['h36m18', 'muco21'])
def test_both_layouts_give_the_same_sample(lab, h36m_root, test_mode, joint_set):
    options = dict(test_mode=test_mode, joint_set=joint_set)
    one = lab.by_frame(H36MImageDataset(str(h36m_root), '3dmppe', **options))
    other = lab.by_frame(H36MImageDataset(str(h36m_root), 'mmpose', **options))
    # 2 actions x 2 takes x 4 cameras x 3 or 2 frames a subject; the broken video has 3 of S11's.
    assert one.keys() == other.keys() and len(one) == (2 * 48 - 3 if test_mode else 5 * 32)
    for key, sample in one.items():
        assert sample.keys() == other[key].keys()
        for name, value in sample.items():
            if name in ('id', 'img_id', 'img_path', 'sample_idx', 'picture_size_slack'):
                continue
            if isinstance(value, np.ndarray) and value.dtype.kind == 'f':
                np.testing.assert_allclose(
                    value, other[key][name], atol=2e-3, err_msg=f'{key} {name}'
                )
            else:
                assert np.all(value == other[key][name]), (key, name)


def test_protocols_and_steps(lab, h36m_root):
    def subjects(**kwargs):
        dataset = H36MImageDataset(str(h36m_root), check_pictures=False, **kwargs)
        assert set(np.unique(dataset.table.rows.subject[dataset.data_list])) == set(
            dataset.subjects
        )
        return dataset.subjects

    assert subjects() == subjects(protocol=1) == (1, 5, 6, 7, 8)
    assert subjects(protocol=2) == (1, 5, 6, 7, 8, 9)
    assert subjects(protocol=2, test_mode=True) == (11,) and subjects(test_mode=True) == (9, 11)
    assert subjects(subjects=[7, 5], test_mode=True, frame_step=3) == (5, 7)
    assert (
        len(lab.load(h36m_root, frame_step=1)) == 2 * 48
        and len(lab.load(h36m_root, frame_step=3)) == 2 * 32
    )


def test_actions(lab, h36m_root):
    dataset = lab.load(h36m_root, actions='Walking')
    assert {dataset.get_data_info(i)['action'] for i in range(len(dataset))} == {'Walking'} and len(
        dataset
    ) == 32
    assert len(lab.load(h36m_root, actions=['Walking', 'Directions'])) == 64
    with pytest.raises(ValueError, match=r'no frame of subjects .1, 5., actions Photo'):
        lab.load(h36m_root, actions=['Photo'])
    with pytest.raises(ValueError, match=r'Running.*Directions'):
        lab.load(h36m_root, actions=['Running'])


def test_the_action_is_the_annotations_not_the_paths(lab, lab_root):
    lab.edit(
        lab_root,
        1,
        'data',
        lambda c: [image.update(file_name='act_16/x.jpg') for image in c['images']],
    )
    dataset = lab.load(lab_root, subjects=[1])
    assert {dataset.get_data_info(i)['action'] for i in range(len(dataset))} == {
        'Directions',
        'Walking',
    }


@pytest.mark.parametrize(
    'kwargs, said',
    [
        (dict(subjects=[2]), 'no poses of subject 2'),
        (dict(subjects=None, protocol=3), 'protocol must be one of'),
        (dict(protocol=1), 'not both'),
        (dict(layout='coco'), 'layout must be one of'),
        (dict(frame_step=0), 'frame_step'),
        (dict(bbox_root_file='x.json'), 'for test_mode'),
        (dict(bbox_root_file='x.json', test_mode=True, layout='mmpose'), 'image ids'),
        (dict(joint_set='crowdpose14'), "no 'pelvis'"),
    ],
)
def test_bad_arguments(lab, h36m_root, kwargs, said):
    with pytest.raises((ValueError, KeyError), match=said):
        lab.load(h36m_root, **kwargs)
    with pytest.raises(TypeError, match='serialize_data'):
        lab.load(h36m_root, serialize_data=True)


def test_the_broken_video_and_what_is_absent_are_reported(lab, h36m_root, log):
    dataset = H36MImageDataset(str(h36m_root), test_mode=True, protocol=2)
    keys = lab.by_frame(dataset)
    assert (
        not [key for key in keys if key.startswith('s_11_act_02_subact_02_ca_01')]
        and len(keys) == 45
    )
    assert [key for key in keys if key.startswith('s_11_act_02_subact_02_ca_02')]
    assert dict(dataset.table.skipped) == {
        'of the video that is broken in the release (S11 Directions, take 2, camera 1)': 3
    }
    # 13 actions x 2 takes x 4 cameras are not in the fixture.
    assert '104 videos of (11,) are not in' in '\n'.join(
        log
    ) and 's_11_act_03_subact_01_ca_01' in '\n'.join(log)
    assert 'left out 3 frames of the video that is broken' in '\n'.join(log)


def test_folders_of_pictures(lab, lab_root, log):
    with pytest.raises(FileNotFoundError, match='data_root or data_prefix'):
        lab.load(lab_root, check_pictures=True)
    lab.write_3dmppe(lab_root, (1, 5))
    assert len(lab.load(lab_root, check_pictures=True)) == 64
    folder = lab_root / 'human36m' / 'images' / 's_05_act_02_subact_01_ca_02'
    folder.rename(folder.with_name('moved'))
    with pytest.raises(
        FileNotFoundError, match=r's_05_act_02_subact_01_ca_02 is not there, nor .* 0 other'
    ):
        lab.load(lab_root, check_pictures=True)
    assert len(lab.load(lab_root, check_pictures=True, skip_bad=True)) == 62
    assert (
        'skipped 2 frames of 1 videos without pictures: s_05_act_02_subact_01_ca_02'
        in '\n'.join(log)
    )


def test_predicted_boxes(lab, h36m_root, tmp_path, pose3d_pipelines):
    truth = H36MImageDataset(str(h36m_root), test_mode=True)
    records = [
        dict(
            image_id=info['img_id'], bbox=[10.0, 20.0, 80.0, 80.0], root_cam=[1.0, 2.0, 3000.0 + i]
        )
        for i, info in enumerate(lab.by_frame(truth).values())
    ]
    path = tmp_path / 'bbox_root.json'
    path.write_text(json.dumps(records))
    dataset = H36MImageDataset(
        str(h36m_root), test_mode=True, bbox_root_file=str(path), pipeline=pose3d_pipelines[1]
    )
    info, true = dataset.get_data_info(7), truth.get_data_info(7)
    assert info['bbox'].tolist() == [[10, 20, 90, 100]] and info['bbox_extended'] is True
    assert info['root_depth'].tolist() == [3007.0]
    np.testing.assert_array_equal(info['keypoints_cam'], true['keypoints_cam'])
    np.testing.assert_array_equal(info['keypoints'], true['keypoints'])
    sample = dataset[7]['data_samples']
    assert sample.input_center.tolist() == [50, 60] and sample.input_scale.tolist() == [80, 80]
    assert sample.root_depth == 3007.0

    path.write_text(json.dumps(records[2:]))
    with pytest.raises(
        ValueError, match='2 of 93 pictures have no prediction here: image 90000, 90001'
    ):
        H36MImageDataset(str(h36m_root), test_mode=True, bbox_root_file=str(path))


@pytest.mark.parametrize(
    'record, said',
    [
        (dict(image_id=1, bbox=[1, 2, 3, 0], root_cam=[0, 0, 9]), 'no box'),
        (dict(image_id=1, bbox=[1, 2, 3, 4], root_cam=[0, 0, -9]), 'no point before the camera'),
        (dict(image_id=1, bbox=[1, 2, 3, 4], root_cam=[0, float('nan'), 9]), 'no point'),
        (dict(image_id=1, bbox=[1, 2, 3, 4]), "KeyError: 'root_cam'"),
        (dict(image_id=0, bbox=[1, 2, 3, 4], root_cam=[0, 0, 9]), 'two predictions'),
    ],
)
def test_bad_predictions(lab, h36m_root, tmp_path, record, said):
    path = tmp_path / 'bbox_root.json'
    path.write_text(json.dumps([dict(image_id=0, bbox=[1, 2, 3, 4], root_cam=[0, 0, 9]), record]))
    with pytest.raises(ValueError, match=f'bbox_root.json: record 1 .*{said}|record 1: {said}'):
        H36MImageDataset(str(h36m_root), test_mode=True, bbox_root_file=str(path))
    path.write_text('{}')
    with pytest.raises(ValueError, match='no list of predictions'):
        H36MImageDataset(str(h36m_root), test_mode=True, bbox_root_file=str(path))


def test_a_picture_of_another_size(lab, lab_root, pose3d_pipelines):
    lab.write_3dmppe(lab_root, (1,))
    dataset = lab.load(lab_root, subjects=[1], pipeline=pose3d_pipelines[0])
    lab.write_picture(
        lab_root / 'human36m' / 'images' / dataset.table.rows.file_name[0].decode(), (201, 200)
    )
    with pytest.raises(
        ValueError, match=r'000001.jpg is of 201 x 200 px, but its annotation .* says 200 x 200'
    ):
        dataset[0]
    assert dataset[1]['inputs'].shape == (3, 64, 64)


@pytest.mark.parametrize('layout', ['3dmppe', 'mmpose'])
def test_through_the_pipelines(lab, h36m_root, pose3d_pipelines, layout):
    dataset = H36MImageDataset(str(h36m_root), layout, pipeline=pose3d_pipelines[0])
    dataset.set_item_seed(3, 1)
    first, again = dataset[5], dataset[5]
    assert torch.equal(first['inputs'], again['inputs']) and first['inputs'].dtype == torch.uint8
    dataset.set_item_seed(3, 2)
    assert not torch.equal(dataset[5]['inputs'], first['inputs'])
    labels = first['data_samples'].gt_instance_labels
    assert labels.keypoint_labels.shape == (1, 18, 3) and labels.depth_weights.tolist() == [
        [1.0] * 18
    ]
    assert labels.keypoint_labels[0, 0, 2] == 8  # the root lies in the middle of the range
    first['data_samples'].cpu()  # fields of different lengths would not survive this

    test = H36MImageDataset(str(h36m_root), layout, test_mode=True, pipeline=pose3d_pipelines[1])
    sample = test[0]['data_samples']
    info = test.get_data_info(0)
    np.testing.assert_array_equal(sample.gt_instances.keypoints_cam, info['keypoints_cam'])
    assert sample.root_depth == pytest.approx(float(info['root_depth'][0]))
    assert sample.action == info['action'] and sample.frame_key == info['frame_key']
    np.testing.assert_array_equal(sample.camera_f, info['camera_f'])


def test_subsets(lab, h36m_root):
    whole = lab.load(h36m_root)
    assert len(lab.load(h36m_root, indices=10)) == 10 and len(lab.load(h36m_root, indices=-7)) == 7
    part = lab.load(h36m_root, indices=[3, 5])
    assert part.get_data_info(1)['frame_key'] == whole.get_data_info(5)['frame_key']
    assert len(whole.get_subset([1, 2, 3])) == 3 and whole.get_subset(4).table is whole.table
    with pytest.raises(ValueError, match='indices=0'):
        lab.load(h36m_root, indices=0)
    assert whole.get_data_info(-1)['sample_idx'] == 63
