# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import itertools
import struct

import cv2
import numpy as np
import pytest
import torch

from wsp_mm.apis import sources
from wsp_mm.apis.boxes import images_of_folder
from wsp_mm.apis.images import InputError
from wsp_mm.apis.sources import Frame, open_source


@pytest.fixture
def folder(tmp_path):
    """'two words/' with b.png, a.jpg, broken.jpg and in/c.png."""
    root = tmp_path / 'two words'
    (root / 'in').mkdir(parents=True)
    for name, value in (('b.png', 20), ('a.jpg', 10), ('in/c.png', 30)):
        cv2.imwrite(str(root / name), np.full((12, 16, 3), value, np.uint8))
    (root / 'broken.jpg').write_bytes(b'nonsense')
    return root


def write_video(path, frames, codec='MJPG'):
    """A video of 64 x 48 px."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 10.0, (64, 48))
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


def flat_video(path, count=7):
    return write_video(path, (np.full((48, 64, 3), 30 * (i % 8), np.uint8) for i in range(count)))


def names(source):
    return [frame.file_name for frame in source.frames()]


def test_folder(folder):
    source = open_source(folder)
    frames = list(source.frames())
    assert (source.kind, source.count) == ('folder', 4)
    assert [(f.index, f.file_name) for f in frames] == [
        (0, 'a.jpg'), (1, 'b.png'), (2, 'broken.jpg'), (3, 'in/c.png'),
    ]  # fmt: skip
    assert (frames[1].image == 20).all() and frames[1].size == (16, 12)
    assert frames[2].image is None and 'damaged' in frames[2].error
    assert [f.index for f in source.frames(start=2)] == [2, 3]
    assert names(open_source(folder, exclude=folder / 'in')) == ['a.jpg', 'b.png', 'broken.jpg']
    before = source.describe()
    (folder / 'b.png').unlink()
    assert open_source(folder).describe() != before


def test_files_and_patterns(folder):
    for name in ('my b.png', 'x[1].png'):  # a name with brackets is not a pattern
        (folder / name).write_bytes((folder / 'b.png').read_bytes())
        source = open_source(str(folder / name))
        assert (source.kind, names(source)) == ('image', [name])
    source = open_source(f'{folder}/**/*.png')
    assert (source.kind, names(source)) == ('glob', ['b.png', 'in/c.png', 'my b.png', 'x[1].png'])
    for missing in (f'{folder}/*.bmp', folder / 'nothing.jpg'):
        with pytest.raises(InputError, match=str(missing).replace('*', r'\*')):
            open_source(missing)


def test_video(tmp_path):
    source = open_source(flat_video(tmp_path / 'my clip.avi'))
    frames = list(source.frames())
    assert (source.kind, source.count, source.fps, source.notes) == ('video', 7, 10.0, [])
    assert [f.file_name for f in frames] == [f'my clip.avi#{i}' for i in range(7)]
    np.testing.assert_allclose([f.time for f in frames], np.arange(7) / 10, atol=1e-3)
    np.testing.assert_allclose([f.image.mean() for f in frames], 30 * np.arange(7), atol=4)
    for start in (1, 4, 7, 9):
        rest = list(source.frames(start))
        assert [(f.index, f.time) for f in rest] == [(f.index, f.time) for f in frames[start:]]
        assert all((a.image == b.image).all() for a, b in zip(rest, frames[start:], strict=True))


CORNERS = list(itertools.product((-1, 1), (-1, 1)))  # x, y about the centre
MATRICES = [(p, 0, 0, q) for p, q in CORNERS] + [(0, p, q, 0) for p, q in CORNERS]


@pytest.mark.parametrize('matrix', MATRICES)
def test_a_video_is_shown_by_its_matrix(matrix, tmp_path):
    path, frame = tmp_path / 'selfie.mp4', np.zeros((48, 64, 3), np.uint8)
    for i, (x, y) in enumerate(CORNERS):
        rows, columns = slice(12 + 12 * y, 36 + 12 * y), slice(16 + 16 * x, 48 + 16 * x)
        frame[rows, columns] = 20 + 70 * i
    write_video(path, [frame] * 3, 'mp4v')
    data = bytearray(path.read_bytes())
    start = data.index(b'tkhd') - 4
    end = start + int.from_bytes(data[start : start + 4], 'big')
    a, b, c, d = (value << 16 for value in matrix)
    data[end - 44 : end - 8] = struct.pack('>9i', a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)

    frames = [frame.image for frame in open_source(path).frames()]
    assert len(frames) == 3
    height, width = frames[0].shape[:2]
    assert (height, width) == ((48, 64) if a else (64, 48))
    for i, (x, y) in enumerate(CORNERS):
        right, down = (a * x + c * y) >> 16, (b * x + d * y) >> 16  # where the corner is shown
        value = frames[2][height // 2 + down * height // 4, width // 2 + right * width // 4]
        np.testing.assert_allclose(value, 20 + 70 * i, atol=8)


def test_torn_boxes_are_no_matrix(tmp_path):
    path = tmp_path / 'a.mp4'
    short, endless = struct.pack('>I4s', 4, b'moov') * 9, b'\0\0\0\x01moov' + b'\xff' * 99
    for data in (b'', b'moov', short, endless):
        path.write_bytes(data)
        assert sources.mirror_of(path) is None


def test_names_that_are_not_utf8(tmp_path, folder):
    (tmp_path / 'a\udcff.mp4').write_bytes(flat_video(tmp_path / 'a.avi').read_bytes())
    (tmp_path / 'a\udcff.xyz').write_bytes(b'nothing of the kind')
    for name in ('a\udcff.mp4', 'a\udcff.xyz'):  # OpenCV would end the process
        with pytest.raises(InputError, match='UTF-8'):
            open_source(tmp_path / name)
    (folder / 'a.jpg').rename(folder / 'a\udcff.jpg')
    assert next(open_source(folder).frames()).image is not None


def test_a_sequence_is_in_natural_order_for_detection_and_inference(folder):
    for i in (1, 10, 2):
        (folder / f'frame_{i}.png').write_bytes((folder / 'b.png').read_bytes())
    found = names(open_source(folder))
    assert found[3:6] == ['frame_1.png', 'frame_2.png', 'frame_10.png']
    assert found == [image.file_name for image in images_of_folder(folder)]
    assert names(open_source(f'{folder}/frame*')) == found[3:6]


def test_damaged_videos(tmp_path, folder):
    source = open_source(flat_video(tmp_path / 'a.avi', count=40))
    source.count = 80  # as the header of a video says that was cut off
    assert len(list(source.frames())) == 40
    (note,) = source.notes
    assert 'a.avi' in note and '40 of 80' in note
    (tmp_path / 'a.mp4').write_bytes(b'nothing of the kind')
    with pytest.raises(InputError, match=r'a\.mp4'):
        open_source(tmp_path / 'a.mp4')
    flat_video(folder / 'clip.avi')
    errors = {frame.file_name: frame.error for frame in open_source(folder).frames()}
    assert 'video' in errors['clip.avi']


def test_arrays():
    good = np.zeros((4, 5, 3), np.uint8)
    frames = list(open_source([good, good[..., 0], good.astype(float), 'gone.jpg']).frames())
    assert frames[0] == Frame(0, 'array 0', good)
    assert [bool(f.error) for f in frames] == [False, False, True, True]
    assert 'float64' in frames[2].error
    for one in (good, good[..., 0], good[..., :1].astype(np.uint16), np.zeros((4, 5, 4), np.uint8)):
        (frame,) = open_source(one).frames()
        assert frame.image.shape == (4, 5, 3) and frame.image.dtype == np.uint8
    assert len(list(open_source(np.stack([good, good])).frames())) == 2
    assert '(5,)' in next(open_source(np.zeros(5, np.uint8)).frames()).error
    with pytest.raises(InputError, match='empty'):
        open_source([])


@pytest.mark.parametrize(
    'item', [None, b'image.jpg', torch.zeros(3, 4, 5), 7, ['a.jpg']], ids=lambda i: type(i).__name__
)
def test_neither_paths_nor_arrays(item):
    with pytest.raises(TypeError, match=f'item 1 .* {type(item).__name__}'):
        open_source([np.zeros((4, 5, 3), np.uint8), item])
    if not isinstance(item, list):
        with pytest.raises(TypeError, match=type(item).__name__):
            open_source(item)
