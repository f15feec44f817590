# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import io

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from wsp_mm.apis.inference.pictures import PictureError, decode_picture, read_picture

# Four blocks of colour, RGB: whichever way it is turned or mirrored, one corner tells.
COLORS = np.array([[[200, 30, 40], [30, 190, 50]], [[20, 60, 210], [240, 230, 220]]], np.uint8)


def scene():
    return Image.fromarray(np.repeat(np.repeat(COLORS, 24, axis=0), 32, axis=1))


def stored(picture, kind, **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def corners(picture):
    """(4, 3) RGB near the corners of a BGR picture."""
    h, w = picture.shape[:2]
    return picture[[4, 4, h - 5, h - 5], [4, w - 5, 4, w - 5], ::-1].astype(int)


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'TIFF', 'WEBP', 'BMP'])
def test_colours_of_usual_kinds(kind):
    picture = decode_picture(stored(scene(), kind))
    assert (picture.shape, picture.dtype) == ((48, 64, 3), np.uint8)
    np.testing.assert_allclose(corners(picture), COLORS.reshape(4, 3), atol=8)


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'TIFF', 'WEBP'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_exif_rotation_is_applied(kind, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    data = stored(scene(), kind, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert('RGB')
    picture = decode_picture(data)
    assert picture.shape[1::-1] == upright.size
    np.testing.assert_allclose(corners(picture), corners(np.asarray(upright)[..., ::-1]), atol=8)


@pytest.mark.parametrize('orientation', [3, 6, 8])
def test_rotation_of_sixteen_bits(orientation):
    exif = Image.Exif()
    exif[274] = orientation
    values = np.zeros((20, 30), np.uint16)
    values[:5, :5] = 0xC8FF  # bright in the upper left corner, as it is stored
    picture = decode_picture(stored(Image.fromarray(values), 'TIFF', exif=exif))
    row, column = {3: (17, 27), 6: (2, 17), 8: (27, 2)}[orientation]
    assert picture.shape == ((20, 30, 3) if orientation == 3 else (30, 20, 3))
    assert picture[row, column].tolist() == [0xC8] * 3


@pytest.mark.parametrize('kind', ['JPEG', 'TIFF'])
def test_cmyk(kind):
    picture = decode_picture(stored(scene().convert('CMYK'), kind))
    np.testing.assert_allclose(corners(picture), COLORS.reshape(4, 3), atol=8)


@pytest.mark.parametrize('kind', ['JPEG', 'PNG'])
def test_grey_gets_three_equal_channels(kind):
    picture = decode_picture(stored(scene().convert('L'), kind))
    assert picture.shape == (48, 64, 3)
    assert (picture == picture[..., :1]).all()
    np.testing.assert_allclose(picture[4, 4], 82, atol=3)  # 0.299 * 200 + 0.587 * 30 + 0.114 * 40


@pytest.mark.parametrize('channels', [1, 3, 4])
def test_sixteen_bits_keep_the_upper_eight(channels):
    values = np.full((10, 12, channels), 0x3A7F, np.uint16)
    values[..., 3:] = 0xFFFF
    data = cv2.imencode('.png', values)[1].tobytes()
    assert (decode_picture(data) == 0x3A).all()


def test_transparent_is_white():
    rgba = np.zeros((8, 9, 4), np.uint8)  # black, and nobody sees it
    rgba[:, 5:] = (10, 20, 30, 255)
    rgba[0, 0] = (0, 0, 0, 51)  # a fifth of black over white
    picture = decode_picture(cv2.imencode('.png', rgba)[1].tobytes())
    assert (picture[1:, :5] == 255).all()
    assert picture[3, 6].tolist() == [10, 20, 30]
    assert picture[0, 0].tolist() == [204, 204, 204]


def test_twenty_megapixels():
    data = cv2.imencode('.jpg', np.full((3888, 5184, 3), 90, np.uint8))[1].tobytes()
    assert decode_picture(data).shape == (3888, 5184, 3)


def test_path_with_spaces_and_other_letters(tmp_path):
    path = tmp_path / 'my pictures' / 'Übung 日本.png'
    path.parent.mkdir()
    path.write_bytes(stored(scene(), 'PNG'))
    assert read_picture(path).shape == (48, 64, 3)


@pytest.mark.parametrize('kind', ['JPEG', 'PNG'])
@pytest.mark.parametrize('share', [0.3, 0.6, 0.95])
def test_cut_off_files_are_no_pictures(kind, share):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    data = stored(noise, kind)
    with pytest.raises(PictureError, match='cut off'):
        decode_picture(data[: int(share * len(data))])


def test_a_previews_end_mark_is_not_the_pictures():
    exif = Image.Exif()
    exif[37500] = stored(scene(), 'JPEG')  # a maker's note that holds a whole JPEG file
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    data = stored(noise, 'JPEG', exif=exif)
    assert decode_picture(data).shape == (64, 64, 3)
    with pytest.raises(PictureError, match='cut off'):
        decode_picture(data[:-500])


def test_bytes_after_the_end_do_no_harm():
    assert decode_picture(stored(scene(), 'JPEG') + b'appended by a phone' * 50).shape == (
        48,
        64,
        3,
    )


@pytest.mark.parametrize(
    ('data', 'reason'),
    [(b'', 'empty'), (b'<html>not found</html>', 'no picture'), (b'\xff\xd8\xff\xe0', 'cut off')],
)
def test_what_is_no_picture(data, reason):
    with pytest.raises(PictureError, match=reason):
        decode_picture(data)


def test_values_without_a_known_range():
    data = cv2.imencode('.tiff', np.random.rand(8, 8, 3).astype(np.float32))[1].tobytes()
    with pytest.raises(PictureError, match='float32'):
        decode_picture(data)


def test_unreadable_path(tmp_path):
    with pytest.raises(PictureError, match='cannot be read'):
        read_picture(tmp_path / 'nothing.jpg')
