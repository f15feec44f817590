# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import base64

import cv2
import numpy as np
import pytest

from wsp_mm.visualization.video import VideoWriter


def read(path):
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (answer := capture.read())[0]:
        frames.append(answer[1])
    return frames, capture.get(cv2.CAP_PROP_FPS)


def flat(value, height=48, width=64):
    return np.full((height, width, 3), value, np.uint8)


def test_images_come_back_in_order(tmp_path):
    path = tmp_path / 'new folder' / 'a b.mp4'
    with VideoWriter(path, 12.5) as video:
        for value in (20, 120, 220):
            video.write(flat(value))
        assert not path.exists()
    frames, fps = read(path)
    assert [round(float(frame.mean()), -1) for frame in frames] == [20, 120, 220]
    assert fps == pytest.approx(12.5)
    assert [file.name for file in path.parent.iterdir()] == ['a b.mp4'] and video.count == 3


@pytest.mark.slow
def test_chromium_plays_it(browser, tmp_path):
    with VideoWriter(tmp_path / 'v.mp4', 10) as video:
        for value in (30, 60, 90, 120, 150):
            video.write(flat(value))
    data = base64.b64encode((tmp_path / 'v.mp4').read_bytes()).decode()
    page = browser.new_page()
    page.set_content(f'<video id="v" src="data:video/mp4;base64,{data}" muted></video>')
    answer = page.evaluate("""() => new Promise(done => {
        v.onended = () => {
            const context = document.createElement('canvas').getContext('2d')
            context.drawImage(v, 0, 0)
            const red = context.getImageData(9, 9, 1, 1).data[0]
            done([v.videoWidth, v.videoHeight, v.duration, red])
        }
        setTimeout(() => done([String(v.error && v.error.message)]), 20000)
        v.play().catch(error => done([String(error)]))
    })""")
    assert answer[:2] == [64, 48], answer
    assert answer[2] == pytest.approx(0.5, abs=0.05) and abs(answer[3] - 150) < 12


def test_an_interrupted_video_plays_up_to_there(tmp_path):
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / 'v.mp4', 10) as video:
        video.write(flat(90))
        video.write(flat(90))
        raise KeyboardInterrupt
    assert len(read(tmp_path / 'v.mp4')[0]) == 2


def test_other_sizes_are_fitted_and_odd_ones_made_even(tmp_path):
    with VideoWriter(tmp_path / 'v.mp4', 10) as video:
        video.write(flat(200, 47, 63))
        video.write(flat(200, 100, 20))  # becomes 48 high and about 10 wide
    frames, _ = read(tmp_path / 'v.mp4')
    assert frames[0].shape == (48, 64, 3) and frames[0][-1, -1].mean() == pytest.approx(200, abs=8)
    assert frames[1][24, 32].mean() > 150 and frames[1][24, 5].mean() < 90


def test_nothing_written_leaves_no_file(tmp_path):
    with VideoWriter(tmp_path / 'v.mp4', 10):
        pass
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written(tmp_path, monkeypatch):
    for name, fps in (('v.avi', 10), ('v.mp4', 0), ('v.mp4', -1), ('v.mp4', float('nan'))):
        with pytest.raises(ValueError, match=name):
            VideoWriter(tmp_path / name, fps)
    with pytest.raises(ValueError, match='UTF-8'):
        VideoWriter(tmp_path / 'a\udcff' / 'v.mp4', 10)
    (tmp_path / 'file').write_text('')
    with pytest.raises(OSError, match='file'):
        VideoWriter(tmp_path / 'file' / 'v.mp4', 10).write(flat(1))
    monkeypatch.setattr(cv2.VideoWriter, 'isOpened', lambda self: False, raising=False)
    with pytest.raises(OSError, match=r'v\.mp4: .*avc1 or vp09'):
        VideoWriter(tmp_path / 'v.mp4', 10).write(flat(1))
    assert [path.name for path in tmp_path.iterdir()] == ['file']
