# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest

from wsp_mm.datasets.transforms.convert_joints import ConvertJoints
from wsp_mm.structures.keypoints import get_joint_set


def results(count, hidden=()):
    points = np.arange(2 * count, dtype=np.float32).reshape(1, count, 2) + 1
    visible = np.ones((1, count), dtype=np.float32)
    visible[0, list(hidden)] = 0
    return dict(
        keypoints=points,
        keypoints_visible=visible,
        img_path='x.jpg',
        flip_indices=list(range(count)),
    )


def test_mpii_to_posenets_order():
    """The index vector of protocols that PoseNet and Sun et al. use."""
    out = ConvertJoints('mpii16', 'h36m18')(results(16))
    order = [6, 2, 1, 0, 3, 4, 5, -1, 8, -1, 9, 13, 14, 15, 12, 11, 10, 7]
    for k, source in enumerate(order):
        expected = [2 * source + 1, 2 * source + 2, 0] if source >= 0 else [0, 0, 0]
        assert out['keypoints'][0, k].tolist() == expected and out['keypoints_visible'][0, k] == (
            source >= 0
        )
    assert out['keypoints'].shape == (1, 18, 3) and out['keypoints'].dtype == np.float32
    assert out['has_depth'].tolist() == [0] and np.isnan(out['root_depth']).tolist() == [True]
    assert (
        out['flip_indices'] == list(get_joint_set('h36m18').flip_indices)
        and out['bbox_extended'] is False
    )
    assert out['dataset_keypoint_weights'].shape == (18,)


def test_middles_need_both():
    coco = get_joint_set('coco17')
    out = ConvertJoints('coco17', 'muco21')(results(17, [coco.index('left_hip')]))
    muco = get_joint_set('muco21')
    thorax = [(2 * coco.index(f'{side}_shoulder') + 1) for side in ('left', 'right')]
    assert out['keypoints'][0, muco.index('thorax'), 0] == sum(thorax) / 2
    assert out['keypoints_visible'][0, muco.index('pelvis')] == 0
    assert (
        int(out['keypoints_visible'].sum()) == 14 - 2
    )  # 14 joints reach MuCo; a hip and the pelvis are hidden


def test_visibility_beyond_one_is_one():
    data = results(16) | dict(keypoints_visible=np.full((1, 16), 2, dtype=np.int64))
    assert set(ConvertJoints('mcpc16', 'h36m18')(data)['keypoints_visible'].ravel().tolist()) == {
        0.0,
        1.0,
    }


def test_what_it_refuses():
    with pytest.raises(KeyError, match='unknown joint set'):
        ConvertJoints('mpii', 'h36m18')
    data = results(16)
    data['keypoints'] = np.zeros((1, 16, 3))
    with pytest.raises(ValueError, match=r'in 2D.*joint_set'):
        ConvertJoints('mpii16', 'h36m18')(data)
    with pytest.raises(ValueError, match='17 joints'):
        ConvertJoints('coco17', 'h36m18')(results(16))
