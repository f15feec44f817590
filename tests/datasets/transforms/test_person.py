# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import cv2
import numpy as np
import pytest
from mmpose.datasets.transforms import RandomFlip, TopdownAffine

from wsp_mm.datasets.sampling import item_randomness
from wsp_mm.datasets.transforms.person import (
    ChannelGain,
    ConvertJoints,
    GrayImage,
    PackPose3DInputs,
    PersonCenterScale,
    PersonRandomBBoxTransform,
    RandomOcclusion,
    RootDepthPrior,
)
from wsp_mm.structures.bbox import crop_box, k_value
from wsp_mm.structures.keypoints import get_joint_set


# ------------------------------------------------------------------ ConvertJoints
def joints(count, **changes):
    points = np.arange(2 * count, dtype=np.float32).reshape(1, count, 2) + 1
    visible = np.ones((1, count), np.float32)
    return dict(keypoints=points, keypoints_visible=visible, img_path='x.jpg') | changes


def test_mpii_to_posenets_order():
    """The index vector that PoseNet and Sun et al. use; a visibility of 2 becomes 1."""
    out = ConvertJoints('mpii16', 'h36m18')(joints(16, keypoints_visible=np.full((1, 16), 2)))
    order = [6, 2, 1, 0, 3, 4, 5, -1, 8, -1, 9, 13, 14, 15, 12, 11, 10, 7]
    expected = [[2 * k + 1, 2 * k + 2, 0] if k >= 0 else [0, 0, 0] for k in order]
    assert out['keypoints'].tolist() == [expected] and out['keypoints'].dtype == np.float32
    assert out['keypoints_visible'].tolist() == [[float(k >= 0) for k in order]]
    assert out['has_depth'].tolist() == [0] and np.isnan(out['root_depth']).tolist() == [True]
    assert out['flip_indices'] == list(get_joint_set('h36m18').flip_indices)
    assert out['bbox_extended'] is False and out['dataset_keypoint_weights'].shape == (18,)


def test_joints_that_cannot_be_converted():
    with pytest.raises(KeyError, match='mpii'):
        ConvertJoints('mpii', 'h36m18')
    with pytest.raises(ValueError, match=r'2D.*joint_set'):
        ConvertJoints('mpii16', 'h36m18')(joints(16, keypoints=np.zeros((1, 16, 3))))
    with pytest.raises(ValueError, match='17'):
        ConvertJoints('coco17', 'h36m18')(joints(16))


# ------------------------------------------------------------------ the crop and its prior
def person(box, size=(100, 90), **more):
    shape = (size[1], size[0])
    return dict(bbox=np.array([box], np.float32), img_shape=shape, img_path='a.jpg') | more


def test_centre_and_sides_by_hand():
    # w 21 is 20 px from first to last, h 41 is 40: a square of 40 x 1.25 about (20, 25)
    own = dict(bbox_center=np.ones((1, 2)), bbox_scale=np.ones((1, 2)))  # MMPose's MPII has them
    out = PersonCenterScale()(person((10, 5, 31, 46), **own))
    assert out['bbox_center'].tolist() == [[20, 25]] and out['bbox_scale'].tolist() == [[50, 50]]
    out = PersonCenterScale(padding=1.0, aspect=2.0)(person((10, 5, 31, 46)))
    assert out['bbox_scale'].tolist() == [[80, 40]]
    out = PersonCenterScale()(person((-30, 5, 50, 85), bbox_extended=True))
    assert out['bbox_center'].tolist() == [[10, 45]] and out['bbox_scale'].tolist() == [[80, 80]]


@pytest.mark.parametrize(
    'box, extended', [((10, 10, 10, 40), False), ((200, 5, 220, 9), False), ((9, 9, 9, 9), True)]
)
def test_bad_boxes(box, extended):
    data = person(box, bbox_extended=extended, id=7)
    with pytest.raises(ValueError, match=r'a\.jpg: annotation 7: .*100 x 90'):
        PersonCenterScale()(data)
    assert PersonCenterScale(skip_bad=True)(data) is None


@pytest.mark.parametrize(
    'annotated, slack, fits',
    [((100, 90), 0, True), ((100, 92), 2, True), ((101, 90), 0, False), ((100, 93), 2, False)],
)
def test_the_size_of_the_image(annotated, slack, fits):
    data = person((10, 5, 31, 46), image_size=annotated, image_size_slack=slack)
    if fits:
        PersonCenterScale()(data)
    else:
        with pytest.raises(ValueError, match=r'a\.jpg is 100 x 90 px'):
            PersonCenterScale()(data)


def test_k_of_the_cropped_box():
    f = np.array([1000.0, 900.0])
    box = (40.0, 50.0, 140.0, 250.0)

    def prior(changes, **kwargs):
        data = PersonCenterScale()(person(box, (640, 480), **changes))
        return RootDepthPrior(**kwargs)(data)['root_k']

    found = prior(dict(camera_f=f))
    expected = k_value(crop_box(np.array([40.0, 50.0, 100.0, 200.0]), (640, 480)), f)
    assert found.shape == (1,) and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(prior(dict(camera_f=f), area_mm2=1e6), expected / 2, rtol=1e-6)
    # An extended box is taken as it is; without a camera there is no k.
    extended = prior(dict(camera_f=f, bbox_extended=True))
    np.testing.assert_allclose(extended, np.sqrt(1000 * 900 * 4e6 / (100 * 200)), rtol=1e-6)
    assert np.isnan(prior({})).all()


def test_k_comes_before_chance():
    data = PersonCenterScale()(person((10, 5, 31, 46)))
    for wrong in (person((10, 5, 31, 46)), dict(data, bbox_rotation=np.zeros(1))):
        with pytest.raises(ValueError, match='PersonCenterScale'):
            RootDepthPrior()(wrong)


def test_the_draws_of_scale_and_rotation():
    transform = PersonRandomBBoxTransform(scale=0.25, rotation=30, rotate_prob=0.6)
    scales, turns = [], []
    with item_randomness(1):
        for _ in range(4000):
            data = dict(bbox_center=np.array([[5.0, 6.0]]), bbox_scale=np.array([[100.0, 100.0]]))
            out = transform(data)
            assert out['bbox_center'].tolist() == [[5, 6]]
            assert out['bbox_unscaled'].tolist() == [[100, 100]]
            scales.append(out['bbox_scale'][0, 0] / 100)
            turns.append(out['bbox_rotation'][0])
    scales, turns = np.array(scales), np.array(turns)
    assert scales.min() == 0.75 and scales.max() == 1.25 and np.abs(turns).max() == 60
    # A normal number is beyond 1 in 15.9 % of all draws on either side, beyond 2 in 2.3 %; clipped
    # ones pile up there.
    assert np.mean(scales == 0.75) == pytest.approx(0.159, abs=0.02)
    assert np.mean(scales == 1.25) == pytest.approx(0.159, abs=0.02)
    assert np.mean(turns != 0) == pytest.approx(0.6, abs=0.03)
    turns = np.abs(turns[turns != 0])
    assert np.mean(turns == 60) == pytest.approx(0.0455, abs=0.015)
    assert np.mean(turns < 30) == pytest.approx(0.683, abs=0.03)


@pytest.mark.parametrize('flip', [False, True])
@pytest.mark.parametrize('turn', [0.0, 25.0])
def test_joints_stay_on_their_dots(flip, turn):
    """A dot is drawn at each joint: after MMPose's flip and warp it is still on it, its depth
    kept.
    """
    flips, rng = get_joint_set('h36m18').flip_indices, np.random.default_rng(0)
    xy, depth = rng.uniform(60, 140, (1, 18, 2)), rng.normal(0, 300, (1, 18, 1))
    keypoints = np.concatenate([xy, depth], axis=-1).astype(np.float32)
    for k in range(18):
        img = np.zeros((190, 200, 3), dtype=np.uint8)
        dot = np.rint(keypoints[0, k, :2]).astype(int).tolist()
        cv2.circle(img, dot, 3, (255, 255, 255), -1)
        data = person(
            (50, 50, 150, 150), (200, 190), img=img, keypoints=keypoints.copy(),
            keypoints_visible=np.ones((1, 18), np.float32), flip_indices=list(flips),
        )  # fmt: skip
        data = RandomFlip(float(flip), direction='horizontal')(PersonCenterScale()(data))
        data['bbox_rotation'] = np.array([turn])
        data = TopdownAffine(input_size=(256, 256))(data)
        found = data['transformed_keypoints'][0, flips[k] if flip else k]
        rows, columns = np.nonzero(data['img'][..., 0] > 127)
        np.testing.assert_allclose(found[:2], [columns.mean(), rows.mean()], atol=2.0)
        assert found[2] == keypoints[0, k, 2]


# ------------------------------------------------------------------ pixels
def uniform(centre=(60, 50), side=(80, 80), shape=(100, 120)):
    box = dict(bbox_center=np.float32([centre]), bbox_scale=np.float32([side]))
    return dict(box, img=np.full((*shape, 3), 7, np.uint8))


def test_a_rectangle_of_noise_in_the_crop():
    transform, shares, aspects = RandomOcclusion(prob=1.0), [], []
    with item_randomness(0):
        for _ in range(300):
            data = uniform()
            before = data['img']
            out = transform(data)['img']
            assert (before == 7).all()  # the image that came in is not written into
            changed = (out != 7).any(axis=-1)
            if not changed.any():
                continue  # smaller than a pixel
            rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
            h, w = np.ptp(rows) + 1, np.ptp(columns) + 1
            assert changed.sum() == h * w and out.dtype == np.uint8
            shares.append(h * w / 6400)
            aspects.append(h / w)
            assert h > 78 or (rows.min() >= 10 and rows.max() <= 90)
            assert w > 78 or (columns.min() >= 20 and columns.max() <= 100)
    assert len(shares) > 250 and 0.5 < max(shares) <= 0.7 and min(shares) < 0.05
    # whole pixels make thin ones thinner
    assert np.percentile(aspects, 5) > 0.2 and np.percentile(aspects, 95) < 4.5
    assert np.std(out[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]) > 50


def test_how_often_and_how_long_it_is_drawn(monkeypatch):
    with item_randomness(3):
        changed = [(RandomOcclusion()(uniform())['img'] != 7).any() for _ in range(600)]
    assert np.mean(changed) == pytest.approx(0.5, abs=0.06)
    # A crop wholly outside of the image: PoseNet would draw without an end.
    draws, real = [], np.random.uniform
    monkeypatch.setattr(np.random, 'uniform', lambda *args: draws.append(args) or real(*args))
    out = RandomOcclusion(prob=1.0, max_tries=9)(uniform(centre=(-500, -500)))
    assert (out['img'] == 7).all() and len(draws) == 18
    with pytest.raises(ValueError, match='before TopdownAffine'):
        RandomOcclusion()(uniform() | dict(input_size=(64, 64)))


def test_channel_gain(monkeypatch):
    img = np.array([[[10, 100, 250], [0, 255, 128]]], dtype=np.uint8)
    transform = ChannelGain()
    with monkeypatch.context() as patched:
        patched.setattr(transform, '_factors', lambda: np.array([1.19, 0.8, 1.2]))
        out = transform(dict(img=img.copy()))['img']
    assert out.tolist() == [[[12, 80, 255], [0, 204, 154]]] and out.dtype == np.uint8
    gray = np.full((1, 1, 3), 100, np.uint8)
    with item_randomness(0):
        found = np.array([transform(dict(img=gray))['img'][0, 0] for _ in range(500)])
    assert 80 <= found.min() < 83 and 117 < found.max() <= 120
    assert np.abs(np.corrcoef(found.T)[np.triu_indices(3, 1)]).max() < 0.15
    with pytest.raises(ValueError, match='uint8'):
        transform(dict(img=np.zeros((2, 2, 3), np.float32)))


def test_nothing_is_left_of_the_image():
    img = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    before = img.copy()
    out = GrayImage().transform(dict(img=img, input_size=(9, 8)))['img']
    assert out.shape == (8, 9, 3) and out.dtype == np.uint8 and (out == 116).all()
    np.testing.assert_array_equal(img, before)
    with pytest.raises(ValueError, match='after the crop'):
        GrayImage().transform(dict(img=img))
    assert repr(GrayImage(3)) == 'GrayImage(value=3)'


# ------------------------------------------------------------------ PackPose3DInputs
LABELS = ('keypoint_labels', 'keypoint_weights', 'depth_weights')


def cropped(without=(), **changes):
    results = dict(
        img=np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3), img_path='a.jpg', id=3, img_id=4,
        dataset_name='h36m', flip_indices=list(range(18)), bbox=np.ones((1, 4)),
        bbox_score=np.ones(1),
        bbox_scale=np.ones((1, 2)), keypoints=np.ones((1, 18, 3)),
        keypoints_visible=np.ones((1, 18)),
        keypoints_cam=np.full((1, 18, 3), 5.0), root_depth=np.array([4000.0]), has_depth=np.ones(1),
        camera_f=np.array([1.0, 2.0]), camera_c=np.array([3.0, 4.0]), subject=9, action='Eating',
        keypoint_labels=np.ones((1, 18, 3)), keypoint_weights=np.ones((1, 18)),
        depth_weights=np.zeros((1, 18)), label_mapping_table={key: key for key in LABELS},
    ) | changes  # fmt: skip
    return {key: value for key, value in results.items() if key not in without}


def test_a_3d_sample():
    table = dict(instance_mapping_table=dict(extra='extra'), extra=np.zeros(1))
    packed = PackPose3DInputs()(cropped(**table))
    sample = packed['data_samples']
    assert packed['inputs'].shape == (3, 4, 5) and packed['inputs'][1, 0, 0] == 1
    # The codec's tables are added, instead of replacing the others as in MMPose's own packing.
    assert set(sample.gt_instances.keys()) == {
        'bboxes', 'bbox_scores', 'bbox_scales', 'keypoints', 'keypoints_visible', 'keypoints_cam',
        'root_depth',
        'has_depth', 'extra',
    }  # fmt: skip
    assert set(sample.gt_instance_labels.keys()) == set(LABELS)
    assert sample.root_depth == 4000.0 and isinstance(sample.root_depth, float)
    assert sample.camera_f.tolist() == [1, 2] and (sample.subject, sample.action) == (9, 'Eating')
    assert len(sample.cpu().gt_instances) == 1


def test_a_2d_sample_invents_nothing():
    without = ('keypoints_cam', 'camera_f', 'camera_c', 'subject', 'action')
    data = cropped(without, root_depth=np.array([np.nan]), has_depth=np.zeros(1))
    sample = PackPose3DInputs()(data)['data_samples']
    assert {'root_depth', 'camera_f', 'camera_c', 'subject'}.isdisjoint(sample.metainfo_keys())
    assert {'root_depth', 'keypoints_cam'}.isdisjoint(sample.gt_instances.keys())


def test_a_detected_person_has_a_box_and_no_joints():
    """As it comes out of TopdownAffine, which puts one visible joint where there are none."""
    meta = dict(frame_key='TS1_img_000004', det_idx=2, sequence=1, frame=4)
    data = cropped(
        ('keypoints', 'keypoints_cam', 'has_depth', *LABELS), keypoints_visible=np.ones((1, 1, 1)),
        root_k=np.array([3900.0]), **meta,
    )  # fmt: skip
    sample = PackPose3DInputs()(data)['data_samples']
    assert set(sample.gt_instances.keys()) == {'bboxes', 'bbox_scores', 'bbox_scales', 'root_depth'}
    assert {key: sample.get(key) for key in meta} == meta
    assert sample.root_depth == 4000.0 and sample.root_k.tolist() == [3900.0]


@pytest.mark.parametrize(
    'changes, said',
    [
        (dict(keypoints=np.ones((1, 17, 2))), r'\(1, 17, 2\) \(h36m, a.jpg\).*ConvertJoints'),
        (dict(keypoints=np.ones((1, 21, 3))), r'\(1, 21, 3\)'),
        (dict(bbox=np.ones((2, 4))), 'bbox'),
        (dict(keypoint_weights=np.ones((2, 18))), 'keypoint_weights'),
    ],
)
def test_what_cannot_be_packed(changes, said):
    with pytest.raises(ValueError, match=said):
        PackPose3DInputs()(cropped(**changes))


@pytest.mark.parametrize(
    'make, kwargs',
    [
        (PersonCenterScale, dict(padding=0)),
        (PersonCenterScale, dict(aspect=-1)),
        (PersonRandomBBoxTransform, dict(scale=1.0)),
        (PersonRandomBBoxTransform, dict(rotation=-1)),
        (PersonRandomBBoxTransform, dict(rotate_prob=1.5)),
        (RandomOcclusion, dict(prob=2)),
        (RandomOcclusion, dict(area=(0.5, 0.1))),
        (RandomOcclusion, dict(aspect=(0, 1))),
        (RandomOcclusion, dict(max_tries=0)),
        (ChannelGain, dict(gain=(1.2, 0.8))),
        (GrayImage, dict(value=256)),
        (RootDepthPrior, dict(area_mm2=0)),
    ],
)
def test_bad_arguments(make, kwargs):
    with pytest.raises(ValueError, match=make.__name__):
        make(**kwargs)
