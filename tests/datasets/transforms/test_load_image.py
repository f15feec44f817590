# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import io
import os

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.transforms import Compose
from mmpose.datasets.transforms import LoadImage, RandomFlip, TopdownAffine
from PIL import Image

from wsp_mm.datasets.sampling import item_randomness
from wsp_mm.datasets.transforms import load_image
from wsp_mm.datasets.transforms.base import to_image_frame
from wsp_mm.datasets.transforms.load_image import LoadCropImage, image_shape, part_decoder
from wsp_mm.datasets.transforms.person import PersonRandomBBoxTransform, RandomOcclusion

needs_parts = pytest.mark.skipif(
    part_decoder() is None, reason='nvImageCodec (requirements/fast.txt) is not installed'
)


def encoded(size=(211, 157), mode='RGB', kind='JPEG', **options):
    """A file with both large shapes and grain."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    pixels = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    pixels = pixels + rng.normal(0, 15, (*size[::-1], 3))
    out = io.BytesIO()
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).convert(mode)
    image.save(out, kind, **options)
    return out.getvalue()


def by_opencv(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


@pytest.fixture
def path(tmp_path):
    (tmp_path / 'one.jpg').write_bytes(encoded((320, 240)))
    return tmp_path / 'one.jpg'


def sample(path, centre=(160.0, 120.0), side=90.0, **changes):
    return dict(
        img_path=str(path),
        bbox=np.array([[10.0, 20, 80, 90]], np.float32),
        bbox_center=np.array([centre], np.float32),
        bbox_scale=np.full((1, 2), side, np.float32),
        keypoints=np.array([[[30.0, 40.0], [70.0, 50.0]]], np.float32),
        keypoints_visible=np.ones((1, 2), np.float32),
        flip_indices=[1, 0],
    ) | changes  # fmt: skip


def region(data, left, top, right, bottom, folder):
    """What LoadCropImage loads for a crop of exactly this rectangle."""
    (folder / 'x').write_bytes(data)
    centre = (left + right) / 2, (top + bottom) / 2
    out = sample(folder / 'x', centre)
    out['bbox_scale'] = np.array([[right - left, bottom - top]], np.float32)
    return LoadCropImage(aspect=(right - left) / (bottom - top)).transform(out)


@pytest.mark.parametrize('centre', [(160, 120), (20, 230), (310, 5), (-200, 50)])
@pytest.mark.parametrize('side', [30.0, 90.0, 300.0])
@pytest.mark.parametrize('partial', [True, False])
def test_the_sample_is_that_of_mmposes_transforms(path, centre, side, partial, monkeypatch):
    """Same pixels but for rounding, same coordinates, in the input and back in the image."""
    if not partial:
        monkeypatch.setattr(load_image, 'part_decoder', lambda: None)
    augment = [RandomOcclusion(prob=0.7), RandomFlip(0.5, direction='horizontal')]
    seen = set()
    for seed in range(12):
        found = []
        for load in ([PersonRandomBBoxTransform(), LoadCropImage(aspect=64 / 48)],
                     [LoadImage(), PersonRandomBBoxTransform()]):  # fmt: skip
            with item_randomness(seed):
                steps = Compose([*load, *augment, TopdownAffine(input_size=(64, 48))])
                found.append(to_image_frame(steps(sample(path, centre, side))))
        ours, stock = found
        off = np.abs(ours['img'].astype(int) - stock['img'])
        assert off.mean() < 0.3 and off.max() <= 16 and ours['img'].dtype == np.uint8
        for key in stock:
            if key != 'img' and isinstance(stock[key], np.ndarray):
                np.testing.assert_allclose(ours[key], stock[key], atol=1e-3, err_msg=key)
        assert ours['img_shape'] == stock['img_shape'] == ours['ori_shape'] == (240, 320)
        seen.add(ours['flip'])
    assert seen == {True, False}


def test_img_is_an_image_in_whose_frame_the_coordinates_are(path):
    out = LoadCropImage().transform(sample(path, ankles=np.array([[60.0, 70, 5, 6]])))
    left, top = out['img_offset']
    assert (left, top) == (113, 73) and out['img'].shape[:2] == out['img_shape'] == (94, 94)
    whole = by_opencv(path.read_bytes())
    np.testing.assert_array_equal(out['img'], whole[73:167, 113:207])
    assert out['bbox_center'].tolist() == [[47, 47]] and out['bbox_scale'].tolist() == [[90, 90]]
    assert out['bbox'].tolist() == [[10 - 113, 20 - 73, 80 - 113, 90 - 73]]
    assert out['keypoints'][0, 0].tolist() == [30 - 113, 40 - 73]
    assert out['ankles'].tolist() == [[60 - 113, 70 - 73, 5, 6]]
    cut = LoadCropImage().transform(sample(path, img=whole))  # an image in memory
    np.testing.assert_array_equal(cut['img'], out['img'])
    assert cut['ori_shape'] == (240, 320)


def test_the_crop_may_not_change_afterwards(path):
    for change in (PersonRandomBBoxTransform(rotate_prob=1.0), lambda results: results):
        data = change(LoadCropImage(aspect=1.0).transform(sample(path)))
        size = (64, 64) if isinstance(change, PersonRandomBBoxTransform) else (64, 32)
        with pytest.raises(ValueError, match=r'one\.jpg.*must come after'):
            to_image_frame(TopdownAffine(input_size=size)(data))


@settings(max_examples=60)
@given(data=st.data())
def test_a_part_is_that_part_of_the_whole(data, tmp_path_factory):
    w, h = data.draw(st.sampled_from([(211, 157), (64, 48), (17, 9)]))
    content = encoded(
        (w, h),
        subsampling=data.draw(st.sampled_from([0, 1, 2])),
        quality=data.draw(st.sampled_from([50, 90])),
        progressive=data.draw(st.booleans()),
    )
    left, top = data.draw(st.integers(0, w - 1)), data.draw(st.integers(0, h - 1))
    right, bottom = data.draw(st.integers(left + 1, w)), data.draw(st.integers(top + 1, h))
    out = region(content, left, top, right, bottom, tmp_path_factory.getbasetemp())
    x, y = out['img_offset']
    rows, columns = out['img_shape']
    assert x <= left and y <= top and x + columns >= right and y + rows >= bottom
    np.testing.assert_array_equal(out['img'], by_opencv(content)[y : y + rows, x : x + columns])


@needs_parts
def test_a_part_is_decoded_without_the_rest(path, monkeypatch):
    monkeypatch.setattr(load_image, '_decode_whole', lambda *_: pytest.fail('decoded all of it'))
    assert LoadCropImage().transform(sample(path))['img'].shape == (94, 94, 3)
    assert image_shape(dict(img_path=str(path))) == (240, 320)


def _exif(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize(
    'options',
    [
        dict(mode='L'), dict(mode='CMYK'), dict(kind='PNG'), dict(mode='L', kind='PNG'),
        dict(keep_rgb=True),
        *(dict(exif=_exif(orientation)) for orientation in range(1, 9)),
    ],
    ids=['gray', 'cmyk', 'png', 'gray png', 'keep_rgb', *(f'exif {n}' for n in range(1, 9))],
)  # fmt: skip
def test_unusual_files_are_opencvs(options, tmp_path):
    content = encoded(**options)
    expected = by_opencv(content)
    out = region(content, 3, 5, 40, 60, tmp_path)
    assert out['ori_shape'] == expected.shape[:2]
    np.testing.assert_array_equal(out['img'], expected[3:62, 1:42])


@pytest.mark.parametrize('content', [b'', b'text', encoded()[:200]])
def test_a_broken_file_is_named(content, tmp_path):
    (tmp_path / 'broken.jpg').write_bytes(content)
    with pytest.raises(ValueError, match=r'broken\.jpg'):
        LoadCropImage().transform(sample(tmp_path / 'broken.jpg'))
    with pytest.raises(FileNotFoundError, match=r'none\.jpg'):
        LoadCropImage().transform(sample(tmp_path / 'none.jpg'))


@needs_parts
def test_each_process_has_a_decoder_of_its_own(monkeypatch):
    here = part_decoder()
    assert part_decoder() is here
    monkeypatch.setattr(load_image, '_decoder', (os.getpid() + 1, here))
    assert part_decoder() is not here
