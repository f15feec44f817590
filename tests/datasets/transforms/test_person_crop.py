# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import cv2
import numpy as np
import pytest
from mmpose.datasets.transforms import RandomFlip, TopdownAffine

from wsp_mm.datasets.seeding import item_randomness
from wsp_mm.datasets.transforms.person_crop import PersonCenterScale, PersonRandomBBoxTransform
from wsp_mm.structures.keypoints import get_joint_set


def results(box, size=(100, 90), **more):
    return dict(
        bbox=np.array([box], dtype=np.float32),
        img_shape=(size[1], size[0]),
        img_path='a.jpg',
        **more,
    )


def test_centre_and_sides_by_hand():
    # w 21 is 20 px from first to last, h 41 is 40: a square of 40 x 1.25 about (20, 25)
    out = PersonCenterScale()(results((10, 5, 31, 46)))
    assert out['bbox_center'].tolist() == [[20, 25]] and out['bbox_scale'].tolist() == [[50, 50]]
    out = PersonCenterScale(padding=1.0, aspect=2.0)(results((10, 5, 31, 46)))
    assert out['bbox_scale'].tolist() == [[80, 40]]


def test_what_the_data_set_brings_is_replaced():
    """MMPose's MPII has a centre and a scale of its own."""
    data = results((10, 5, 31, 46), bbox_center=np.ones((1, 2)), bbox_scale=np.ones((1, 2)))
    assert PersonCenterScale()(data)['bbox_scale'].tolist() == [[50, 50]]


def test_extended_boxes_are_never_extended_again():
    out = PersonCenterScale()(results((-30, 5, 50, 85), bbox_extended=True))
    assert out['bbox_center'].tolist() == [[10, 45]] and out['bbox_scale'].tolist() == [[80, 80]]


@pytest.mark.parametrize(
    'box, extended', [((10, 10, 10, 40), False), ((200, 5, 220, 9), False), ((9, 9, 9, 9), True)]
)
def test_bad_boxes(box, extended):
    data = results(box, bbox_extended=extended, id=7)
    with pytest.raises(
        ValueError, match=r'a.jpg: annotation 7: the box .* no area within its picture of 100 x 90'
    ):
        PersonCenterScale()(data)
    assert PersonCenterScale(skip_bad=True)(data) is None


def test_the_size_of_the_picture():
    for annotated, slack in (((100, 90), 0), ((100, 92), 2)):
        PersonCenterScale()(
            results((10, 5, 31, 46), picture_size=annotated, picture_size_slack=slack)
        )
    for annotated, slack in (((101, 90), 0), ((100, 93), 2)):
        with pytest.raises(
            ValueError, match=r'a\.jpg is of 100 x 90 px, but its annotation .*says 10'
        ):
            PersonCenterScale()(
                results((10, 5, 31, 46), picture_size=annotated, picture_size_slack=slack)
            )


def test_the_draws_of_scale_and_turn():
    transform = PersonRandomBBoxTransform(scale=0.25, rotation=30, rotate_prob=0.6)
    scales, turns = [], []
    with item_randomness(1):
        for _ in range(4000):
            data = dict(bbox_center=np.array([[5.0, 6.0]]), bbox_scale=np.array([[100.0, 100.0]]))
            out = transform(data)
            assert out['bbox_center'].tolist() == [[5, 6]]
            scales.append(out['bbox_scale'][0, 0] / 100)
            turns.append(out['bbox_rotation'][0])
    scales, turns = np.array(scales), np.array(turns)
    assert scales.min() == 0.75 and scales.max() == 1.25 and np.abs(turns).max() == 60
    # A normal number is beyond 1 in 15.9 % of all draws on either side, beyond 2 in 2.3 %; cut ones
    # pile up there.
    assert np.mean(scales == 0.75) == pytest.approx(0.159, abs=0.02)
    assert np.mean(scales == 1.25) == pytest.approx(0.159, abs=0.02)
    assert np.mean(turns != 0) == pytest.approx(0.6, abs=0.03)
    assert np.mean(np.abs(turns[turns != 0]) == 60) == pytest.approx(0.0455, abs=0.015)
    assert np.mean(np.abs(turns[turns != 0]) < 30) == pytest.approx(0.683, abs=0.03)


@pytest.mark.parametrize('kwargs', [dict(scale=1.0), dict(rotation=-1), dict(rotate_prob=1.5)])
def test_bad_arguments(kwargs):
    with pytest.raises(ValueError, match='must lie'):
        PersonRandomBBoxTransform(**kwargs)


@pytest.mark.parametrize('padding, aspect', [(0, 1), (1.25, -1)])
def test_bad_padding(padding, aspect):
    with pytest.raises(ValueError, match='positive'):
        PersonCenterScale(padding, aspect)


@pytest.mark.parametrize('flip', [False, True])
@pytest.mark.parametrize('turn', [0.0, 25.0])
def test_joints_stay_on_their_dots(flip, turn):
    """A dot is drawn where each joint is: after MMPose's flip and warp it is still on it, its depth
    kept.
    """
    joints = get_joint_set('h36m18')
    rng = np.random.default_rng(0)
    keypoints = np.concatenate(
        [rng.uniform(60, 140, (1, 18, 2)), rng.normal(0, 300, (1, 18, 1))], axis=-1
    )
    keypoints = keypoints.astype(np.float32)
    for k in range(18):
        img = np.zeros((190, 200, 3), dtype=np.uint8)
        cv2.circle(
            img, tuple(np.rint(keypoints[0, k, :2]).astype(int).tolist()), 3, (255, 255, 255), -1
        )
        data = dict(
            img=img, img_shape=(190, 200), bbox=np.array([[50, 50, 150, 150]], dtype=np.float32),
            keypoints=keypoints.copy(), keypoints_visible=np.ones((1, 18), dtype=np.float32),
            flip_indices=list(joints.flip_indices),
        )  # fmt: skip
        data = PersonCenterScale()(data)
        data = RandomFlip(prob=float(flip), direction='horizontal')(data)
        data['bbox_rotation'] = np.array([turn])
        data = TopdownAffine(input_size=(256, 256))(data)
        at = joints.flip_indices[k] if flip else k
        rows, columns = np.nonzero(data['img'][..., 0] > 127)
        np.testing.assert_allclose(
            data['transformed_keypoints'][0, at, :2], [columns.mean(), rows.mean()], atol=2.0
        )
        assert data['transformed_keypoints'][0, at, 2] == keypoints[0, k, 2]
