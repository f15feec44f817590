# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import cv2
import numpy as np
import pytest
from mmcv.transforms import Compose
from mmengine.registry import init_default_scope
from mmpose.datasets.transforms import LoadImage, RandomFlip, TopdownAffine

from wsp_mm.datasets.picture import Picture
from wsp_mm.datasets.seeding import item_randomness
from wsp_mm.datasets.transforms.person_crop import PersonRandomBBoxTransform
from wsp_mm.datasets.transforms.random_occlusion import RandomOcclusion
from wsp_mm.datasets.transforms.read_picture import PersonTopdownAffine, ReadPicture, warp_picture

SIZE = (320, 240)


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmpose')


@pytest.fixture(scope='module')
def path(tmp_path_factory):
    rng = np.random.default_rng(0)
    coarse = cv2.resize(
        rng.integers(0, 256, (9, 12, 3), dtype=np.uint8), SIZE, interpolation=cv2.INTER_CUBIC
    )
    pixels = np.clip(coarse + rng.normal(0, 15, coarse.shape), 0, 255).astype(np.uint8)
    file = tmp_path_factory.mktemp('pictures') / 'one.jpg'
    cv2.imwrite(str(file), pixels)
    return file


def sample(path, centre, side):
    return dict(
        img_path=str(path),
        bbox=np.array([[10.0, 20, 80, 90]], dtype=np.float32),
        bbox_center=np.array([centre], dtype=np.float32),
        bbox_scale=np.full((1, 2), side, dtype=np.float32),
        keypoints=np.array([[[30.0, 40.0], [70.0, 50.0]]], dtype=np.float32),
        keypoints_visible=np.ones((1, 2), dtype=np.float32),
        flip_indices=[1, 0],
    )


def run(read, crop, path, centre, side, seed):
    steps = [
        RandomOcclusion(prob=0.7),
        RandomFlip(prob=0.5, direction='horizontal'),
        PersonRandomBBoxTransform(),
    ]
    with item_randomness(seed):
        return Compose([read, *steps, crop])(sample(path, centre, side))


@pytest.mark.parametrize('centre', [(160, 120), (20, 230), (310, 5), (-200, 50)])
@pytest.mark.parametrize('side', [30.0, 90.0, 300.0])
@pytest.mark.parametrize('partial', [True, False])
def test_pixels_and_joints_are_those_of_mmposes_transforms(path, centre, side, partial):
    seen = set()
    for seed in range(12):
        ours = run(
            ReadPicture(partial=partial),
            PersonTopdownAffine(input_size=(64, 48)),
            path,
            centre,
            side,
            seed,
        )
        stock = run(LoadImage(), TopdownAffine(input_size=(64, 48)), path, centre, side, seed)
        np.testing.assert_array_equal(ours['img'], stock['img'])
        assert ours['img'].dtype == np.uint8 and 'picture' not in ours and 'occlusion' not in ours
        for key in (
            'transformed_keypoints',
            'bbox_center',
            'bbox_scale',
            'bbox',
            'input_center',
            'input_scale',
        ):
            np.testing.assert_array_equal(ours[key], stock[key])
        assert ours['img_shape'] == stock['img_shape'] == ours['ori_shape'] == (240, 320)
        seen.add(ours['flip'])
    assert seen == {True, False}


def test_a_crop_beyond_the_picture_is_black(path):
    picture = Picture(path.read_bytes(), 'x')
    assert not warp_picture(picture, np.array([[1.0, 0, -1000], [0, 1, 0]]), (32, 32)).any()


def test_a_very_wide_picture():
    """OpenCV's own limit is 32,768 px."""
    pixels = np.random.default_rng(0).integers(0, 256, (48, 20000, 3), dtype=np.uint8)
    picture = Picture(cv2.imencode('.png', pixels)[1].tobytes(), 'x')
    warp = np.array([[0.5, 0, -9900], [0, 0.5, 2]])
    expected = cv2.warpAffine(pixels, warp, (64, 32), flags=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(warp_picture(picture, warp, (64, 32)), expected)


def test_only_left_and_right_are_mirrored(path):
    steps = [
        ReadPicture(),
        RandomFlip(prob=1.0, direction='vertical'),
        PersonTopdownAffine((64, 64)),
    ]
    with pytest.raises(
        ValueError, match=r"direction 'vertical': ReadPicture .* dict\(type='LoadImage'\)"
    ):
        Compose(steps)(sample(path, (160, 120), 90.0))


@pytest.mark.parametrize('mirrored', [False, True])
@pytest.mark.parametrize('width', [320, 317])
def test_a_reduced_picture_lies_where_the_full_one_does(mirrored, width):
    """A blurred picture of odd width, whose reduction ends in a cell that stands for fewer
    pixels.
    """
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (7, 9, 3), dtype=np.uint8)
    pixels = cv2.resize(coarse, (width, 240), interpolation=cv2.INTER_CUBIC)
    data = cv2.imencode('.jpg', pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    for factor in (2, 4):
        warp = np.array([[1 / factor, 0, -10.0], [0, 1 / factor, -7.0]])
        crops = [
            warp_picture(Picture(data, 'x'), warp, (48, 40), mirrored, reduce=reduce)
            for reduce in (False, True)
        ]
        difference = np.abs(crops[0].astype(int) - crops[1])
        assert 0 < difference.mean() < 1.5
        # Half a cell aside would show.
        aside = np.abs(crops[0][:, 1:].astype(int) - crops[0][:, :-1]).mean() / 2
        assert difference.mean() < aside / 2


def test_small_crops_are_not_reduced(path):
    data = path.read_bytes()
    warp = np.array([[0.6, 0, 0], [0, 0.6, 0]])
    crops = [
        warp_picture(Picture(data, 'x'), warp, (64, 64), reduce=reduce) for reduce in (False, True)
    ]
    np.testing.assert_array_equal(*crops)


def test_a_picture_in_memory_is_taken_as_it_is(path):
    pixels = cv2.imread(str(path))
    data = dict(sample(path, (160, 120), 100.0), img=pixels)
    out = PersonTopdownAffine(input_size=(64, 64))(ReadPicture()(data))
    stock = TopdownAffine(input_size=(64, 64))(
        LoadImage()(dict(sample(path, (160, 120), 100.0), img=pixels))
    )
    np.testing.assert_array_equal(out['img'], stock['img'])
    assert out['img_shape'] == (240, 320)


def test_files_that_are_none_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'none\.jpg'):
        ReadPicture()(sample(tmp_path / 'none.jpg', (1, 1), 1.0))
    (tmp_path / 'bad.jpg').write_bytes(b'bad')
    with pytest.raises(ValueError, match=r'bad\.jpg is no picture'):
        ReadPicture()(sample(tmp_path / 'bad.jpg', (1, 1), 1.0))
