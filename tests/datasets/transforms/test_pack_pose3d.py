# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest

from wsp_mm.datasets.transforms.pack_pose3d import PackPose3DInputs


def results(**changes):
    return dict(
        img=np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3), img_path='a.jpg', id=3, img_id=4,
        dataset_name='h36m', flip_indices=list(range(18)), bbox=np.ones((1, 4)), bbox_score=np.ones(1),
        bbox_scale=np.ones((1, 2)), keypoints=np.ones((1, 18, 3)), keypoints_visible=np.ones((1, 18)),
        keypoints_cam=np.full((1, 18, 3), 5.0), root_depth=np.array([4000.0]), has_depth=np.ones(1),
        camera_f=np.array([1.0, 2.0]), camera_c=np.array([3.0, 4.0]), subject=9, action='Eating',
        keypoint_labels=np.ones((1, 18, 3)), keypoint_weights=np.ones((1, 18)), depth_weights=np.zeros((1, 18)),
        label_mapping_table=dict(keypoint_labels='keypoint_labels', keypoint_weights='keypoint_weights',
                                 depth_weights='depth_weights'),
    ) | changes  # fmt: skip


def test_a_3d_sample():
    packed = PackPose3DInputs()(results())
    sample = packed['data_samples']
    assert packed['inputs'].shape == (3, 4, 5) and packed['inputs'][1, 0, 0] == 1
    # The codec's table did not drop the boxes, which it does in MMPose's own packing of other
    # tables.
    assert set(sample.gt_instances.keys()) == {
        'bboxes', 'bbox_scores', 'bbox_scales', 'keypoints', 'keypoints_visible', 'keypoints_cam', 'root_depth',
        'has_depth',
    }  # fmt: skip
    assert set(sample.gt_instance_labels.keys()) == {
        'keypoint_labels',
        'keypoint_weights',
        'depth_weights',
    }
    assert sample.root_depth == 4000.0 and isinstance(sample.root_depth, float)
    assert sample.camera_f.tolist() == [1, 2] and (sample.subject, sample.action) == (9, 'Eating')
    assert len(sample.cpu().gt_instances) == 1


def test_a_2d_sample_invents_nothing():
    data = results(root_depth=np.array([np.nan]), has_depth=np.zeros(1))
    for key in ('keypoints_cam', 'camera_f', 'camera_c', 'subject', 'action'):
        del data[key]
    sample = PackPose3DInputs()(data)['data_samples']
    assert {'root_depth', 'camera_f', 'camera_c', 'subject'}.isdisjoint(sample.metainfo_keys())
    assert {'root_depth', 'keypoints_cam'}.isdisjoint(sample.gt_instances.keys())


def test_a_detected_person_has_a_box_and_no_joints():
    """As it comes out of TopdownAffine, which puts one visible joint where there are none."""
    data = results(
        keypoints_visible=np.ones((1, 1, 1)), frame_key='TS1_img_000004', det_idx=2, sequence=1, frame=4,
        root_k=np.array([3900.0]),
    )  # fmt: skip
    for key in (
        'keypoints',
        'keypoints_cam',
        'has_depth',
        'keypoint_labels',
        'keypoint_weights',
        'depth_weights',
    ):
        del data[key]
    sample = PackPose3DInputs()(data)['data_samples']
    assert set(sample.gt_instances.keys()) == {'bboxes', 'bbox_scores', 'bbox_scales', 'root_depth'}
    assert (sample.frame_key, sample.det_idx, sample.sequence, sample.frame) == (
        'TS1_img_000004',
        2,
        1,
        4,
    )
    assert sample.root_depth == 4000.0 and sample.root_k.tolist() == [3900.0]


def test_tables_are_merged():
    sample = PackPose3DInputs()(
        results(instance_mapping_table=dict(extra='extra'), extra=np.zeros(1))
    )['data_samples']
    assert 'extra' in sample.gt_instances and 'bboxes' in sample.gt_instances


@pytest.mark.parametrize(
    'changes, said',
    [
        (
            dict(keypoints=np.ones((1, 17, 2))),
            r'\(1, 18, 3\), are \(1, 17, 2\) \(h36m, a.jpg\).*ConvertJoints',
        ),
        (dict(keypoints=np.ones((1, 21, 3))), r'are \(1, 21, 3\)'),
        (dict(bbox=np.ones((2, 4))), 'bbox is 2 long'),
        (dict(keypoint_weights=np.ones((2, 18))), 'keypoint_weights is 2 long'),
    ],
)
def test_refusals(changes, said):
    with pytest.raises(ValueError, match=said):
        PackPose3DInputs()(results(**changes))
