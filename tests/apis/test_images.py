# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import io
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from wsp_mm.apis.images import InputError, decode_image, list_images, read_image, to_bgr

# Four blocks of colour, RGB: whichever way it is turned or mirrored, one corner tells.
COLORS = np.array([[[200, 30, 40], [30, 190, 50]], [[20, 60, 210], [240, 230, 220]]], np.uint8)


def blocks():
    return Image.fromarray(np.repeat(np.repeat(COLORS, 24, axis=0), 32, axis=1))


def noise():
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))


def stored(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def by_opencv(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def corners(image):
    """(4, 3) RGB near the corners of a BGR image."""
    h, w = image.shape[:2]
    return image[[4, 4, h - 5, h - 5], [4, w - 5, 4, w - 5], ::-1].astype(int)


@pytest.mark.parametrize(
    ('kind', 'mode'),
    [('JPEG', 'RGB'), ('PNG', 'RGB'), ('TIFF', 'RGB'), ('WEBP', 'RGB'), ('BMP', 'RGB'),
     ('GIF', 'RGB'),
     ('JPEG', 'CMYK'), ('TIFF', 'CMYK')],
)  # fmt: skip
def test_colors(kind, mode):
    image = decode_image(stored(blocks().convert(mode), kind))
    assert image.shape == (48, 64, 3) and image.dtype == np.uint8
    np.testing.assert_allclose(corners(image), COLORS.reshape(4, 3), atol=12)


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'TIFF', 'WEBP'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_exif_orientation_is_applied_as_opencv_does(kind, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    data = stored(blocks(), kind, exif=exif)
    expected, image = by_opencv(data), decode_image(data)  # WebP is not turned
    assert image.shape == expected.shape
    np.testing.assert_allclose(corners(image), corners(expected), atol=8)


def test_jpegs_are_those_of_opencv():
    data = stored(noise(), 'JPEG')
    np.testing.assert_array_equal(decode_image(data), by_opencv(data))


@pytest.mark.parametrize('kind', ['JPEG', 'PNG'])
def test_gray_gets_three_equal_channels(kind):
    image = decode_image(stored(blocks().convert('L'), kind))
    assert image.shape == (48, 64, 3) and (image == image[..., :1]).all()
    np.testing.assert_allclose(image[4, 4], 82, atol=3)  # 0.299 * 200 + 0.587 * 30 + 0.114 * 40


@pytest.mark.parametrize('suffix', ['.png', '.tiff'])
@pytest.mark.parametrize('channels', [1, 3, 4])
def test_sixteen_bits_keep_the_upper_eight(channels, suffix):
    values = np.full((10, 12, channels), 0x3A7F, np.uint16)
    values[..., 3:] = 0xFFFF
    assert (decode_image(cv2.imencode(suffix, values)[1].tobytes()) == 0x3A).all()


@pytest.mark.parametrize('suffix', ['.png', '.tiff'])
@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('bits', [8, 10, 12])
def test_values_of_fewer_bits_are_scaled_by_their_range(bits, channels, suffix):
    values = np.zeros((10, 12, channels), np.uint16)
    values[:5] = 2**bits - 1
    notes = []
    image = decode_image(cv2.imencode(suffix, values)[1].tobytes(), notes)
    assert (image[:5] == 255).all() and (image[5:] == 0).all()
    (note,) = notes
    assert f'{bits} bits' in note


def test_scaled_values_are_turned_as_well():
    values = np.zeros((10, 12, 3), np.uint16)
    values[:5] = (100, 2000, 4000)
    exif = Image.Exif()
    exif[274] = 6  # the upper rows become the right columns
    tag = exif.tobytes().removeprefix(b'Exif\0\0')
    chunk = b'eXIf' + tag
    data = cv2.imencode('.png', values)[1].tobytes()
    lengths = len(tag).to_bytes(4, 'big'), zlib.crc32(chunk).to_bytes(4, 'big')
    image = decode_image(data[:33] + lengths[0] + chunk + lengths[1] + data[33:])
    assert image.shape == (12, 10, 3) and (image[:, :5] == 0).all()
    assert image[4, 7].tolist() == [100 >> 4, 2000 >> 4, 4000 >> 4]


@pytest.mark.parametrize('value', [0, 4096, 65535])
def test_other_values_of_sixteen_bits_are_not_scaled(value):
    notes = []
    image = to_bgr(np.full((4, 5), value, np.uint16), notes)
    assert (image == value >> 8).all() and notes == []


@pytest.mark.parametrize('kind', ['GIF', 'PNG', 'TIFF', 'WEBP', 'MPO'])
def test_the_first_of_several_images(kind):
    pages = [Image.new('RGB', (64, 48), color) for color in ('red', 'lime', 'blue')]
    notes = []
    image = decode_image(stored(pages[0], kind, save_all=True, append_images=pages[1:]), notes)
    np.testing.assert_allclose(image[20, 20], (0, 0, 255), atol=3)
    if kind == 'MPO':  # a phone's JPEG with a preview
        assert notes == []
    else:
        (note,) = notes
        assert 'first of 3' in note
    decode_image(stored(pages[0], 'JPEG' if kind == 'MPO' else kind), notes)
    assert len(notes) == (kind != 'MPO')


def test_blending_is_exact_and_takes_little_memory():
    alpha, gray = np.meshgrid(np.arange(256), np.arange(256))
    bgra = np.stack([gray, 255 - gray, gray // 2, alpha], axis=-1).astype(np.uint8)
    blended = np.rint(255 - (255.0 - bgra[..., :3]) * alpha[..., None] / 255)  # over white
    assert (to_bgr(bgra) == blended).all()
    assert (decode_image(cv2.imencode('.png', bgra)[1].tobytes()) == blended).all()
    large = np.tile(bgra, (8, 4, 1))
    tracemalloc.start()
    to_bgr(large)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak / (large.size / 4) < 5  # bytes a pixel, the answer's 3 included


@pytest.mark.parametrize('kind', ['JPEG', 'PNG'])
@pytest.mark.parametrize('share', [0.3, 0.6, 0.95])
def test_cut_off_files_are_not_images(kind, share):
    exif = Image.Exif()
    exif[37500] = stored(blocks(), 'JPEG')  # a maker's note that holds a whole JPEG file
    data = stored(noise(), kind, exif=exif)
    assert decode_image(data + b'appended by a phone' * 50).shape == (64, 64, 3)
    with pytest.raises(InputError):
        decode_image(data[: int(share * len(data))])


@pytest.mark.parametrize(
    ('data', 'reason'),
    [
        (b'', 'empty'),
        (b'<html>not found</html>', 'known kind'),
        (b'\xff\xd8\xff\xe0', 'known kind'),
        (cv2.imencode('.tiff', np.ones((8, 8), np.float32))[1].tobytes(), 'float32'),
    ],
)
def test_what_is_not_an_image(data, reason):
    with pytest.raises(InputError, match=reason):
        decode_image(data)


def test_paths(tmp_path):
    path = tmp_path / 'my images' / 'Übung 日本.png'
    path.parent.mkdir()
    path.write_bytes(stored(blocks(), 'PNG'))
    assert read_image(path).shape == (48, 64, 3)
    for name, reason in (('nothing.jpg', 'cannot be read'), ('clip.mp4', 'video')):
        with pytest.raises(InputError, match=reason):
            read_image(tmp_path / name)


def test_folders_are_listed_in_natural_order(tmp_path):
    names = ['10.png', '2.PNG', 'in/a10.jpg', 'in/a9.jpg', 'x.heic', '.hidden.png', 'notes.txt']
    (tmp_path / 'in').mkdir()
    for name in names:
        (tmp_path / name).write_bytes(b'')

    def listed(**options):
        return [p.relative_to(tmp_path).as_posix() for p in list_images(tmp_path, **options)]

    assert listed() == ['2.PNG', '10.png', 'in/a9.jpg', 'in/a10.jpg', 'x.heic']
    assert listed(exclude=tmp_path / 'in') == ['2.PNG', '10.png', 'x.heic']
    for folder, reason in (('nothing', 'no such folder'), ('empty', 'no image')):
        (tmp_path / 'empty').mkdir(exist_ok=True)
        with pytest.raises(InputError, match=reason):
            list_images(tmp_path / folder)
