# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""``tools/infer.py``: files in, files out, statuses."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from wsp_mm.apis.inference.document import read_document
from wsp_mm.apis.inference.drawing import scaled


@pytest.fixture
def run(load_tool, capsys):
    """``run(*arguments)`` -> (status, printed)."""

    def call(*arguments):
        capsys.readouterr()
        status = load_tool('infer').main(['--device', 'cpu', '--no-progress', *map(str, arguments)])
        out = capsys.readouterr()
        return status, out.out + out.err

    return call


@pytest.fixture
def options(pose, album):
    return ['--pose-config', pose[0], '--pose-checkpoint', pose[1], '--boxes', album[1]]


def test_folder(run, options, album, tmp_path):
    (album[0] / 'd.jpg').write_bytes(b'damaged')
    out = tmp_path / 'out here'
    status, text = run(album[0], *options, '--focal', 500, '--out', out)
    assert status == 1
    assert 'd.jpg: damaged' in text
    assert '4 frames, 4 persons' in text
    document = read_document(out / 'inference.json')
    assert [len(frame['persons']) for frame in document['frames']] == [3, 1, 0, 0]
    assert document['skipped'] == [
        dict(frame=3, file_name='d.jpg', reason='damaged, or no picture of a known kind')
    ]
    names = hashlib.sha256(b'a.png\nb.png\nc.png\nd.jpg').hexdigest()
    assert document['info']['source'] == dict(
        kind='folder', name=str(album[0]), fps=None, files=4, files_sha256=names
    )
    assert document['info']['camera'] == dict(source='given', f=[500.0, 500.0], c=None)
    drawn = sorted(path.name for path in (out / 'pictures').iterdir())
    assert drawn == [
        f'{i:06d}_{n}_{k}.jpg' for i, n in enumerate('abc') for k in ('overlay', 'scene')
    ]


def test_a_folder_that_changed_is_not_resumed(run, options, album, tmp_path):
    command = [album[0], *options, '--out', tmp_path / 'out', '--no-viewer']
    assert run(*command)[0] == 0
    (album[0] / '0.png').write_bytes((album[0] / 'a.png').read_bytes())
    status, text = run(*command, '--resume')
    assert status == 2 and 'of another run (it differs in source)' in text


def test_real_pictures_with_boxes_of_coco(run, options, samples, tmp_path):
    """People whom nobody rendered, boxes in COCO's list of results, which names no files."""
    annotations = json.loads((samples / 'coco/test_coco.json').read_text())['annotations']
    results = [
        dict(image_id=a['image_id'], bbox=a['bbox'], score=0.9, category_id=1) for a in annotations
    ]
    boxes = tmp_path / 'results.json'
    boxes.write_text(json.dumps(results))
    pattern, out = samples / 'coco/0*.jpg', tmp_path / 'out'
    _, text = run(pattern, *options[:-1], boxes, '--assume-fov', 60, '--out', out)
    document = read_document(out / 'inference.json')
    found = {int(frame['file_name'][:-4]): len(frame['persons']) for frame in document['frames']}
    expected = {i: sum(r['image_id'] == i for r in results) for i in found}
    assert len(found) >= 4 and sum(found.values()) > 8 and found == expected, text
    for frame in document['frames']:
        assert frame['camera']['source'] == 'assumed-fov'
        for person in frame['persons']:
            assert person['root_depth'] > 0 and np.isfinite(person['keypoints_cam']).all()
    assert (
        len(list((out / 'pictures').glob('*_scene.jpg'))) == len(found)
        and (out / 'viewer.html').is_file()
    )


def test_strips_and_other_kinds_of_files_do_not_stop_a_folder(run, options, album, tmp_path):
    folder = album[0]
    for name, shape in (('b.png', (1, 2000, 3)), ('c.png', (3000, 1, 3))):
        cv2.imwrite(str(folder / name), np.full(shape, 90, np.uint8))
    (folder / 'd.heic').write_bytes(b'of a telephone')
    status, text = run(folder, *options, '--out', tmp_path / 'out')
    assert status == 1 and 'd.heic: damaged, or no picture of a known kind' in text
    assert read_document(tmp_path / 'out/inference.json')['progress']['complete']


def test_a_device_that_is_not_there(run, options, album, tmp_path):
    status, text = run(album[0], *options, '--out', tmp_path / 'out', '--device', 'gpu')
    assert status == 2 and "unknown device 'gpu'" in text


def test_statuses(run, options, album, tmp_path, pose):
    status, text = run(
        album[0] / 'a.png', *options, '--out', tmp_path / 'o', '--no-pictures', '--no-viewer'
    )
    assert status == 0
    assert 'none given, so no keypoints_cam' in text
    assert [path.name for path in (tmp_path / 'o').iterdir()] == ['inference.json']
    status, text = run(album[0], *options, '--out', tmp_path / 'o')
    assert (status, '--overwrite' in text) == (2, True)
    (album[0] / 'x.png').write_bytes(b'')
    assert run(album[0] / 'x.png', *options, '--out', tmp_path / 'p')[0] == 2
    assert run(album[0] / 'gone.png', *options, '--out', tmp_path / 'q')[0] == 2
    training = [*options[:3], pose[2], *options[4:]]
    status, text = run(album[0], *training, '--out', tmp_path / 'r')
    assert (status, '--trust-checkpoint' in text) == (2, True)
    trusted = [*training, '--trust-checkpoint', '--no-viewer']
    assert run(album[0] / 'a.png', *trusted, '--out', tmp_path / 'r')[0] == 0


@pytest.mark.parametrize(
    'extra',
    [
        ['--focal', 1, '--assume-fov', 60],
        ['--principal', 1, 1],
        ['--resume', '--overwrite'],
        ['--batch-size', 0],
        ['--root-config', 'x.py'],
        ['--det-config', 'x.py', '--det-checkpoint', 'x.pth'],
        ['--focal', 1, 2, 3],
    ],
)
def test_options_that_do_not_fit(extra, run, options, album, tmp_path):
    with pytest.raises(SystemExit) as stop:
        run(album[0], *options, *extra, '--out', tmp_path / 'o')
    assert stop.value.code == 2


def test_order_is_drawn(run, pretrained, album, tmp_path):
    status, _ = run(
        album[0], '--pose-config', pretrained[0], '--pose-checkpoint', pretrained[1], '--boxes', album[1],
        '--out', tmp_path / 'o', '--no-viewer',
    )  # fmt: skip
    assert status == 0
    assert sorted(p.name for p in (tmp_path / 'o/pictures').iterdir())[0] == '000000_a_order.jpg'
    assert read_document(tmp_path / 'o/inference.json')['info']['task'] == 'order'


def video_options(fixture, pose, tmp_path, count):
    clip = fixture.write_video(tmp_path / 'my clip.avi', count)
    names = [f'my clip.avi#{i}' for i in range(count)]
    boxes = fixture.write_boxes_file(
        tmp_path / 'v.json', names, dict.fromkeys(names, fixture.BOXES[:1])
    )
    return [
        clip, '--pose-config', pose[0], '--pose-checkpoint', pose[1], '--boxes', boxes, '--batch-size', 2,
        '--assume-fov', 55,
    ]  # fmt: skip


def test_video_stopped_and_resumed_equals_a_whole_run(run, fixture, pose, tmp_path, monkeypatch):
    arguments = video_options(fixture, pose, tmp_path, 7)
    assert run(*arguments, '--out', tmp_path / 'whole')[0] == 0

    from wsp_mm.apis.inference import pipeline

    plain, calls = pipeline.find_persons, []

    def interrupting(frames, *where):
        calls.append(len(frames))
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)  # Ctrl-C while frames 2 and 3 are being worked on
        return plain(frames, *where)

    monkeypatch.setattr(pipeline, 'find_persons', interrupting)
    status, text = run(*arguments, '--out', tmp_path / 'parts')
    assert (status, calls) == (130, [2, 2])
    assert 'with --resume goes on' in text
    halfway = read_document(tmp_path / 'parts/inference.json')
    assert halfway['progress'] == dict(complete=False, next_frame=4)
    assert frame_count(tmp_path / 'parts/video.mp4') == 4

    status, _ = run(*arguments, '--out', tmp_path / 'parts', '--resume')
    assert (status, calls[2:]) == (0, [2, 1])
    whole, parts = (tmp_path / name / 'inference.json' for name in ('whole', 'parts'))
    assert whole.read_bytes() == parts.read_bytes()
    assert (
        frame_count(tmp_path / 'parts/video.mp4') == frame_count(tmp_path / 'whole/video.mp4') == 7
    )
    status, _ = run(*arguments, '--out', tmp_path / 'parts', '--resume')
    assert (status, len(calls)) == (0, 4)  # nothing left to do


def frame_count(path):
    capture, count = cv2.VideoCapture(str(path)), 0
    while capture.read()[0]:
        count += 1
    return count


@pytest.mark.slow
def test_ctrl_c_in_a_process_of_its_own(run, repo, fixture, pose, tmp_path):
    arguments = [str(a) for a in video_options(fixture, pose, tmp_path, 400)]
    command = [
        sys.executable,
        str(repo / 'tools/infer.py'),
        *arguments,
        '--out',
        str(tmp_path / 'o'),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    partial = tmp_path / 'o/inference.partial.jsonl'
    until = time.monotonic() + 200
    while time.monotonic() < until and not (
        partial.exists() and partial.read_bytes().count(b'\n') > 3
    ):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    text = process.communicate(timeout=100)[0]
    assert process.returncode == 130, text
    document = read_document(tmp_path / 'o/inference.json')
    assert 4 <= len(document['frames']) < 400
    assert not document['progress']['complete']
    assert frame_count(tmp_path / 'o/video.mp4') == len(document['frames'])


def test_large_pictures_are_drawn_smaller():
    record = dict(
        width=200, height=100, persons=[dict(bbox=[10, 20, 30, 40], keypoints_img=[[50, 60]])]
    )
    image, small = scaled(np.zeros((100, 200, 3), np.uint8), record, 100)
    assert image.shape == (50, 100, 3)
    assert (small['width'], small['height']) == (100, 50)
    assert small['persons'][0] == dict(bbox=[5, 10, 15, 20], keypoints_img=[[25, 30]])
    assert record['persons'][0]['bbox'] == [10, 20, 30, 40]
