# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import cv2
import numpy as np
import pytest

from wsp_mm.apis.inference import sources
from wsp_mm.apis.inference.sources import Frame, SourceError, open_source


@pytest.fixture
def folder(tmp_path):
    """'two words/' with b.png, a.jpg, broken.jpg, notes.txt and in/c.png."""
    root = tmp_path / 'two words'
    (root / 'in').mkdir(parents=True)
    for name, value in (('b.png', 20), ('a.jpg', 10), ('in/c.png', 30)):
        cv2.imwrite(str(root / name), np.full((12, 16, 3), value, np.uint8))
    (root / 'broken.jpg').write_bytes(b'nonsense')
    (root / 'notes.txt').write_text('no picture')
    return root


def write_video(path, count=7, fps=10.0, size=(64, 48)):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), fps, size)
    for i in range(count):
        writer.write(np.full((size[1], size[0], 3), 30 * (i % 8), np.uint8))
    writer.release()
    return path


def names(source):
    return [frame.file_name for frame in source.frames()]


def test_folder(folder):
    source = open_source(folder)
    frames = list(source.frames())
    assert (source.kind, len(source)) == ('folder', 3)
    assert [(f.index, f.file_name) for f in frames] == [
        (0, 'a.jpg'),
        (1, 'b.png'),
        (2, 'broken.jpg'),
    ]
    assert (frames[1].image == 20).all()
    assert frames[2].image is None
    assert 'damaged' in frames[2].error
    assert [f.index for f in source.frames(start=2)] == [2]


def test_folder_of_folders_says_how(folder):
    empty = folder.parent / 'outer'
    empty.mkdir()
    folder.rename(empty / 'inner')
    with pytest.raises(SourceError, match=r'\*\*/\*\.jpg'):
        open_source(empty)


def test_single_picture_with_a_space(folder):
    (folder / 'my b.png').write_bytes((folder / 'b.png').read_bytes())
    source = open_source(folder / 'my b.png')
    assert (source.kind, names(source)) == ('image', ['my b.png'])


def test_pattern(folder):
    source = open_source(f'{folder}/**/*.png')
    assert (source.kind, names(source)) == ('glob', ['b.png', 'in/c.png'])
    with pytest.raises(SourceError, match='no picture matches'):
        open_source(f'{folder}/*.bmp')


def test_a_name_with_brackets_is_no_pattern(folder):
    (folder / 'x[1].png').write_bytes((folder / 'b.png').read_bytes())
    assert names(open_source(str(folder / 'x[1].png'))) == ['x[1].png']


def test_video(tmp_path):
    source = open_source(write_video(tmp_path / 'my clip.avi'))
    frames = list(source.frames())
    assert (source.kind, len(source), source.fps, source.is_video) == ('video', 7, 10.0, True)
    assert [f.file_name for f in frames] == [f'my clip.avi#{i}' for i in range(7)]
    np.testing.assert_allclose([f.time for f in frames], np.arange(7) / 10, atol=1e-3)
    np.testing.assert_allclose([f.image.mean() for f in frames], 30 * np.arange(7), atol=4)
    assert source.notes == []


def test_a_video_goes_on_at_the_very_frame(tmp_path):
    source = open_source(write_video(tmp_path / 'a.avi'))
    whole = list(source.frames())
    for start in (1, 4, 7, 9):
        rest = list(source.frames(start))
        assert [(f.index, f.time) for f in rest] == [(f.index, f.time) for f in whole[start:]]
        assert all((a.image == b.image).all() for a, b in zip(rest, whole[start:], strict=True))


def test_a_video_is_read_frame_by_frame(tmp_path, monkeypatch):
    reads = []

    class Counting:
        def __init__(self, name):
            self.inner = cv2.VideoCapture(name)

        def __getattr__(self, name):
            if name == 'read':
                reads.append(1)
            return getattr(self.inner, name)

    source = open_source(write_video(tmp_path / 'a.avi'))
    monkeypatch.setattr(sources, 'cv2', type('Cv2', (), dict(vars(cv2), VideoCapture=Counting)))
    frames = source.frames()
    assert reads == []
    next(frames)
    next(frames)
    assert len(reads) == 2


def test_a_damaged_video_is_noted(tmp_path):
    path = write_video(tmp_path / 'a.avi', count=40)
    source = open_source(path)
    source.count = 80  # as the header of a video says that was cut off
    assert len(list(source.frames())) == 40
    assert source.notes == [f'{path}: ends after 40 of 80 frames: it may be damaged']


def test_no_video(tmp_path):
    (tmp_path / 'a.mp4').write_bytes(b'nothing of the kind')
    with pytest.raises(SourceError, match='no readable video'):
        open_source(tmp_path / 'a.mp4')


def test_video_among_pictures(folder):
    write_video(folder / 'clip.avi')
    last = list(open_source(folder).frames())[-1]
    assert (last.file_name, last.image) == ('clip.avi', None)
    assert 'INPUT of its own' in last.error


class Desk:
    """A camera that shows three grey frames and is then pulled out."""

    def __init__(self, number):
        self.left = 3 if number == 4 else 0

    def isOpened(self):
        return self.left > 0

    def get(self, what):
        return 15.0 if what == cv2.CAP_PROP_FPS else 0.0

    def read(self):
        self.left -= 1
        return self.left >= 0, np.full((4, 6), 77, np.uint8)

    def release(self):
        pass


def test_camera_on_the_desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sources, 'cv2', type('Cv2', (), dict(vars(cv2), VideoCapture=Desk)))
    source = open_source('4')
    assert (source.kind, source.fps) == ('webcam', 15.0)
    with pytest.raises(TypeError):
        len(source)
    frames = list(source.frames())
    assert [f.file_name for f in frames] == ['camera#0', 'camera#1', 'camera#2']
    assert all(f.image.shape == (4, 6, 3) for f in frames)
    assert 0 <= frames[0].time <= frames[2].time
    with pytest.raises(SourceError, match='past'):
        next(source.frames(start=1))
    with pytest.raises(SourceError, match='no such camera'):
        open_source(5)


def test_arrays():
    good = np.zeros((4, 5, 3), np.uint8)
    frames = list(open_source([good, good[..., 0], good.astype(float), 'gone.jpg']).frames())
    assert frames[0] == Frame(0, 'array 0', good)
    assert [bool(f.error) for f in frames] == [False, False, True, True]
    assert 'float64' in frames[2].error
    for one in (good, good[..., 0], good[..., :1].astype(np.uint16)):
        (frame,) = open_source(one).frames()
        assert frame.image.shape == (4, 5, 3) and frame.image.dtype == np.uint8
    assert len(list(open_source(np.stack([good, good])).frames())) == 2
    assert 'no picture of 1, 3' in next(open_source(np.zeros(5, np.uint8)).frames()).error
    with pytest.raises(SourceError, match='empty'):
        open_source([])


def test_nothing_there(tmp_path):
    with pytest.raises(SourceError, match='does not exist'):
        open_source(tmp_path / 'nothing.jpg')
