# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import io
import os

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from wsp_mm.datasets import picture as module
from wsp_mm.datasets.picture import Picture, part_decoder

needs_parts = pytest.mark.skipif(
    part_decoder() is None, reason='nvImageCodec (extra `fast`) is not installed'
)


def photo(size, grain=20):
    """RGB pixels with both large shapes and grain."""
    rng = np.random.default_rng(0)
    coarse = cv2.resize(
        rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), size, interpolation=cv2.INTER_CUBIC
    )
    return np.clip(coarse + rng.normal(0, grain, coarse.shape), 0, 255).astype(np.uint8)


def encoded(size=(211, 157), mode='RGB', kind='JPEG', grain=20, **options):
    out = io.BytesIO()
    Image.fromarray(photo(size, grain)).convert(mode).save(out, kind, **options)
    return out.getvalue()


def by_opencv(data, flag=cv2.IMREAD_COLOR):
    return cv2.imdecode(np.frombuffer(data, np.uint8), flag)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_part_is_that_part_of_the_whole(data):
    w, h = data.draw(st.sampled_from([(211, 157), (64, 48), (17, 9)]))
    content = encoded(
        (w, h),
        subsampling=data.draw(st.sampled_from([0, 1, 2])),
        quality=data.draw(st.sampled_from([50, 90])),
        progressive=data.draw(st.booleans()),
    )
    left, top = data.draw(st.integers(0, w - 1)), data.draw(st.integers(0, h - 1))
    right, bottom = data.draw(st.integers(left + 1, w)), data.draw(st.integers(top + 1, h))
    picture = Picture(content, 'x.jpg')
    assert picture.size == (w, h)
    part = picture.region(left, top, right, bottom)
    np.testing.assert_array_equal(part, by_opencv(content)[top:bottom, left:right])


@needs_parts
def test_a_part_is_decoded_without_the_rest(monkeypatch):
    monkeypatch.setattr(Picture, 'whole', lambda self: pytest.fail('decoded all of it'))
    assert Picture(encoded(), 'x.jpg').region(10, 20, 60, 90).shape == (70, 50, 3)


def test_without_parts_all_is_decoded_once(monkeypatch):
    decoded = []
    monkeypatch.setattr(
        module.mmcv, 'imfrombytes', lambda data, flag: decoded.append(1) or by_opencv(data)
    )
    picture = Picture(encoded(), 'x.jpg', partial=False)
    assert not decoded  # the header has the size
    picture.region(0, 0, 5, 5), picture.region(5, 5, 9, 9)
    assert len(decoded) == 1


@pytest.mark.parametrize(
    'content',
    [
        encoded(mode='L'),
        encoded(mode='CMYK'),
        encoded(kind='PNG'),
        encoded(mode='L', kind='PNG'),
        encoded(keep_rgb=True),
    ],
    ids=['grey', 'cmyk', 'png', 'grey png', 'rgb jpeg'],
)
def test_unusual_files_are_opencvs(content):
    picture = Picture(content, 'x')
    np.testing.assert_array_equal(picture.region(3, 5, 40, 60), by_opencv(content)[5:60, 3:40])
    assert picture.size == (211, 157)


@pytest.mark.parametrize('orientation', [1, 2, 3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize('color_type', ['color', 'color_ignore_orientation'])
def test_a_picture_is_turned_as_exif_says_unless_asked_not_to(orientation, color_type):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(exif=exif)
    ignore = color_type == 'color_ignore_orientation'
    expected = by_opencv(
        content, cv2.IMREAD_COLOR | (cv2.IMREAD_IGNORE_ORIENTATION if ignore else 0)
    )
    picture = Picture(content, 'x.jpg', color_type)
    assert picture.size == expected.shape[1::-1]
    np.testing.assert_array_equal(picture.region(3, 5, 40, 60), expected[5:60, 3:40])


@pytest.mark.parametrize('factor', [2, 4, 8])
def test_a_reduction_holds_means(factor):
    content = encoded((128, 96), grain=0, quality=95)
    whole = by_opencv(content).astype(float)
    means = whole.reshape(96 // factor, factor, 128 // factor, factor, 3).mean(axis=(1, 3))
    reduced = Picture(content, 'x.jpg').reduced(factor)
    assert np.abs(reduced - means).mean() < 1.5 and reduced.shape == means.shape


@pytest.mark.parametrize('content', [b'', b'text', encoded()[:200], encoded()[:2000]])
def test_a_broken_file_is_named(content):
    with pytest.raises(ValueError, match=r'folder/broken\.jpg is no picture'):
        Picture(content, 'folder/broken.jpg').region(0, 0, 150, 150)


@needs_parts
def test_each_process_has_a_decoder_of_its_own(monkeypatch):
    here = part_decoder()
    assert part_decoder() is here
    monkeypatch.setattr(os, 'getpid', lambda: -1)
    try:
        assert part_decoder() is not here
    finally:
        monkeypatch.undo()
        module._decoder = None
