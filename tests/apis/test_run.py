# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Whole runs by ``demo/infer.py``: files in, files out, statuses; the json; memory."""

import json
import os
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest
from inference_fixture import (
    BOXES,
    FixedDetector,
    write_boxes_file,
    write_results_file,
    write_video,
)
from PIL import Image

from wsp_mm.apis.partial import OutputError
from wsp_mm.apis.pipeline import FramePipeline
from wsp_mm.apis.sources import VideoSource, open_source
from wsp_mm.apis.writer import FrameDrawer, JsonWriter, read_inference
from wsp_mm.synthetic.builder import make_world


@pytest.fixture
def run(load_tool, capsys):
    """``run(*arguments)`` -> (status, printed)."""

    def call(*arguments):
        capsys.readouterr()
        arguments = ['--device', 'cpu', '--no-progress', *map(str, arguments)]
        status = load_tool('../demo/infer').main(arguments)
        out = capsys.readouterr()
        return status, out.out + out.err

    return call


@pytest.fixture
def options(pose, album):
    return ['--pose-config', pose[0], '--pose-checkpoint', pose[1], '--boxes', album[1]]


def test_folder(run, options, album, tmp_path):
    """Damaged and foreign files, strips: all are reported, and none stops the run."""
    folder, out = album[0], album[0] / 'out here'  # output within the input
    for name, shape in (('b.png', (1, 2000, 3)), ('c.png', (3000, 1, 3))):
        cv2.imwrite(str(folder / name), np.full(shape, 90, np.uint8))
    for name in ('d.jpg', 'e.heic', 'f.mp4'):
        (folder / name).write_bytes(b'damaged')
    status, text = run(folder, *options, '--focal', 500, '--out', out)
    assert status == 1 and '6 frames, 3 persons' in text
    document = read_inference(out / 'inference.json')
    assert [len(frame['persons']) for frame in document['frames']] == [3, 0, 0, 0, 0, 0]
    assert [entry['file_name'] for entry in document['skipped']] == ['d.jpg', 'e.heic', 'f.mp4']
    assert all(f'{entry["file_name"]}: {entry["reason"]}' in text for entry in document['skipped'])
    assert document['info']['camera'] == dict(source='given', f=[500, 500], c=None)
    assert document['progress'] == dict(complete=True, next_frame=6)
    names = [f'{i:06d}_{n}_{k}.jpg' for i, n in enumerate('abc') for k in ('overlay', 'scene')]
    assert sorted(path.name for path in (out / 'images').iterdir()) == names
    assert (out / 'viewer.html').is_file()
    status, text = run(folder, *options, '--focal', 500, '--out', out, '--resume')
    assert status == 1 and '6 frames' in text  # its own images are not input


def test_names_of_any_kind(run, options, tmp_path):
    """Long, not UTF-8, with escape sequences: each has its images and its place in the json."""
    folder, out = tmp_path / 'named', tmp_path / 'o'
    folder.mkdir()
    stems = ['日' * 76, '日' * 75 + '本', 'bad\udcff', 'red\x1b[31m\nand more']
    for stem in stems:
        cv2.imwrite(str(tmp_path / 'a.png'), np.full((9, 9, 3), 90, np.uint8))
        (tmp_path / 'a.png').rename(folder / f'{stem}.png')
    (folder / 'x\x1b]0;title\x07.png').write_bytes(b'damaged')
    boxes = write_boxes_file(tmp_path / 'b.json', [f'{stem}.png' for stem in stems], {})
    status, text = run(folder, *options[:-1], boxes, '--out', out)
    assert status == 1 and '\x1b' not in text and r'x\x1b]0;title\x07.png: ' in text
    found = read_inference(out / 'inference.json')['frames']
    good = {frame['file_name'][:-4] for frame in found if 'skipped' not in frame}
    assert good == set(stems)
    drawn = sorted(path.name for path in (out / 'images').glob('*_overlay.jpg'))
    assert len(drawn) == 4 and max(len(os.fsencode(name)) for name in drawn) == 7 + 78 + 12
    text.encode()


@pytest.mark.parametrize(
    'name', ['.', 'images', 'inference.json', 'inference.partial.jsonl', 'video.part.mp4']
)
def test_links_in_place_of_output_are_left_alone(name, run, options, album, tmp_path):
    out, target = tmp_path / 'o', tmp_path / 'target'
    target.mkdir()
    (target / '000000_a_overlay.jpg').write_text('mine')
    if name != '.':
        out.mkdir()
    (out / name).symlink_to(target)
    status, text = run(album[0], *options, '--out', out, '--overwrite')
    assert status == 2 and str(out / name) in text and 'link' in text
    assert [path.read_text() for path in target.iterdir()] == ['mine']


def test_what_was_read_in_part_or_scaled_is_said(run, options, album, tmp_path):
    folder, out = album[0], tmp_path / 'o'
    for name in ('a.png', 'b.png'):
        cv2.imwrite(str(folder / name), np.full((120, 160), 3000, np.uint16))
    pages = [Image.new('RGB', (160, 120), color) for color in ('red', 'blue')]
    pages[0].save(folder / 'c.png', save_all=True, append_images=pages[1:])
    status, text = run(folder, *options, '--out', out, '--no-images', '--no-viewer')
    notes = read_inference(out / 'inference.json')['notes']
    assert status == 1 and all(f'note: {note}' in text for note in notes)
    assert [note.partition(':')[0] for note in notes] == ['a.png (and 1 more)', 'c.png']
    assert '12 bits' in notes[0] and 'first of 2' in notes[1]


def test_images_of_people_with_boxes_of_coco(run, options, tmp_path):
    """The command of README: images of COCO's layout, boxes in COCO's list of results."""
    world = dict(images=20, long_side=128, video=2, test_share=0.25)
    make_world(tmp_path, 'wild', world, seed=3, workers=0)
    labels = json.loads((tmp_path / 'coco/annotations/person_keypoints_train2017.json').read_text())
    found = {image['id']: [] for image in labels['images']}
    for annotation in labels['annotations']:
        found[annotation['image_id']].append(annotation['bbox'])
    boxes, out = write_results_file(tmp_path / 'results.json', found), tmp_path / 'out'
    arguments = [*options[:-1], boxes, '--assume-fov', 60, '--out', out]
    status, text = run(tmp_path / 'coco/train2017/0*.jpg', *arguments)
    frames = read_inference(out / 'inference.json')['frames']
    counts = {int(frame['file_name'][:-4]): len(frame['persons']) for frame in frames}
    assert status == 0 and counts == {i: len(rows) for i, rows in found.items()}, text
    assert len(counts) >= 4 and sum(counts.values()) > len(counts)
    for person in (person for frame in frames for person in frame['persons']):
        assert person['root_depth'] > 0 and np.isfinite(person['keypoints_cam']).all()
    assert len(list((out / 'images').glob('*_scene.jpg'))) == len(counts)


def test_order_is_drawn(run, pretrained, album, tmp_path):
    networks = ['--pose-config', pretrained[0], '--pose-checkpoint', pretrained[1]]
    status, _ = run(album[0], *networks, '--boxes', album[1], '--out', tmp_path / 'o')
    assert status == 0
    assert sorted(p.name for p in (tmp_path / 'o/images').iterdir())[0] == '000000_a_order.jpg'
    assert read_inference(tmp_path / 'o/inference.json')['info']['task'] == 'order'


def test_further_formats(run, options, album, tmp_path):
    out, quiet = tmp_path / 'o', ['--no-images', '--no-viewer', '--focal', 500]
    arguments = [album[0], *options, '--out', out, *quiet]
    status, text = run(*arguments, '--save', 'coco')
    assert status == 0 and str(out / 'coco_results.json') in text
    found = read_inference(out / 'inference.json')['frames']
    rows = json.loads((out / 'coco_results.json').read_text())
    assert [(row['image_id'], row['bbox']) for row in rows] == [
        (frame['frame'], person['bbox']) for frame in found for person in frame['persons']
    ]
    assert run(*arguments, '--save', 'csv', '--resume')[0] == 0  # of a run that is complete
    table = (out / 'persons.csv').read_text().splitlines()
    last = found[1]['persons'][0]  # nobody is in the third image
    z = last['keypoints_rel'][-1], *last['keypoints_cam'][-1]
    assert len(table) == 1 + 4 * 18 and table[-1].endswith(','.join(map(str, z)))
    assert run(*arguments, '--overwrite')[0] == 0
    assert [path.name for path in out.iterdir()] == ['inference.json']


def test_statuses(run, options, album, tmp_path):
    folder, quiet = album[0], ['--no-images', '--no-viewer']
    status, text = run(folder / 'a.png', *options, '--out', tmp_path / 'o', *quiet)
    assert status == 0 and 'no keypoints_cam' in text
    assert [path.name for path in (tmp_path / 'o').iterdir()] == ['inference.json']
    status, text = run(folder, *options, '--out', tmp_path / 'o')
    assert status == 2 and '--overwrite' in text
    assert run(folder, *options, '--out', tmp_path / 'o', '--overwrite')[0] == 0
    (folder / '0.png').write_bytes(b'')
    status, text = run(folder, *options, '--out', tmp_path / 'o', '--resume')  # gained a file
    assert status == 2 and 'source' in text
    assert run(folder / '0.png', *options, '--out', tmp_path / 'p', *quiet)[0] == 2
    for more, named in (
        (['--pose-checkpoint', tmp_path / 'x.pth'], 'x.pth'),
        (['--device', 'gpu'], 'gpu'),
        (['--score-thr', 30], 'score_thr'),
        (['--camera', tmp_path / 'x.json'], 'x.json'),
        (['--principal-point', 1, 1], 'principal'),
        (['--batch-size', 0], 'batch_size'),
    ):
        status, text = run(folder, *options, '--out', tmp_path / 'q', *more)
        assert status == 2 and named in text and not (tmp_path / 'q').exists()
    status, text = run(folder / 'gone.png', *options, '--out', tmp_path / 'q')
    assert status == 2 and 'gone.png' in text


@pytest.mark.parametrize(
    'extra',
    [
        ['--focal', 1, '--assume-fov', 60],
        ['--resume', '--overwrite'],
        ['--root-config', 'x.py'],
        ['--det-config', 'x.py', '--det-checkpoint', 'x.pth'],
    ],
)
def test_options_that_do_not_fit(extra, run, options, album, tmp_path):
    with pytest.raises(SystemExit) as stop:
        run(album[0], *options, *extra, '--out', tmp_path / 'o')
    assert stop.value.code == 2


# ---------------------------------------------------------------------- videos, Ctrl-C, resuming


def video_options(pose, tmp_path, count):
    clip = write_video(tmp_path / 'my clip.avi', count)
    names = [f'my clip.avi#{i}' for i in range(count)]
    boxes = write_boxes_file(tmp_path / 'v.json', names, dict.fromkeys(names, BOXES[:1]))
    return [
        clip, '--pose-config', pose[0], '--pose-checkpoint', pose[1], '--boxes', boxes,
        '--batch-size', 2,
        '--assume-fov', 55,
    ]  # fmt: skip


def frame_count(path):
    capture, count = cv2.VideoCapture(str(path)), 0
    while capture.read()[0]:
        count += 1
    return count


@pytest.mark.parametrize('crash', [False, True])
def test_a_stopped_and_resumed_video_equals_a_whole_run(run, pose, tmp_path, monkeypatch, crash):
    arguments, calls = video_options(pose, tmp_path, 7), []
    assert run(*arguments, '--out', tmp_path / 'whole')[0] == 0

    def interrupting(pipeline, frames, plain=FramePipeline.__call__):
        calls.append(len(frames))
        if len(calls) == 2 and crash:
            raise ArithmeticError
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)  # Ctrl-C while frames 2 and 3 are being worked on
        return plain(pipeline, frames)

    monkeypatch.setattr(FramePipeline, '__call__', interrupting)
    part, done = tmp_path / 'parts', 2 if crash else 4
    if crash:
        with pytest.raises(ArithmeticError):
            run(*arguments, '--out', part)
        assert not (part / 'inference.json').exists()
    else:
        status, text = run(*arguments, '--out', part)
        assert status == 130 and '--resume' in text
        halfway = read_inference(part / 'inference.json')
        assert halfway['progress'] == dict(complete=False, next_frame=4)
    assert frame_count(part / 'video.mp4') == done

    status, _ = run(*arguments, '--out', part, '--resume')
    assert status == 0 and sum(calls[2:]) == 7 - done
    whole = tmp_path / 'whole'
    assert (whole / 'inference.json').read_bytes() == (part / 'inference.json').read_bytes()
    assert frame_count(part / 'video.mp4') == frame_count(whole / 'video.mp4') == 7
    before = len(calls)
    assert run(*arguments, '--out', part, '--resume')[0] == 0 and len(calls) == before


STATUS = Path('/proc/self/status')


class Watched(VideoSource):
    """A video that looks at the memory of the process when its frames are asked for."""

    at = (500, 2000)

    def frames(self, start=0):
        self.found = []
        for frame in super().frames(start):
            yield frame
            if frame.index + 1 in self.at:
                lines = STATUS.read_text().splitlines()
                (line,) = (line for line in lines if line.startswith('VmRSS:'))
                self.found.append(int(line.split()[1]) / 1024)


@pytest.mark.slow
@pytest.mark.skipif(not STATUS.exists(), reason='memory is measured on Linux only')
def test_memory_is_flat_over_2000_frames(pose, tmp_path):
    from wsp_mm.apis import WSPInferencer
    from wsp_mm.apis.run import infer

    source = Watched(write_video(tmp_path / 'long.avi', 2000))
    detector = FixedDetector(BOXES[:2])
    inferencer = WSPInferencer(pose, det=detector, device='cpu', camera=dict(focal=200.0))
    summary = infer(inferencer, source, tmp_path / 'o', scene=False, progress=False)
    assert (summary.complete, summary.frames, summary.persons) == (True, 2000, 4000)
    early, late = source.found
    # To keep the frames alone would take 82 MiB, the records 30.
    assert late - early < 12, f'{late - early:.1f} MiB more at frame 2,000 than at 500'
    frames = read_inference(tmp_path / 'o/inference.json')['frames']
    assert [record['frame'] for record in frames] == list(range(2000))


# ---------------------------------------------------------------------- json and drawings

INFO = dict(task='pose3d', skeleton_links=[(0, 1)], models=dict(pose=dict(name='a')))


def record(i, **more):
    return dict(frame=i, file_name=f'{i}.jpg', persons=[], **more)


def write(path, frames, complete=True, torn=0, **options):
    """Write records in chunks of two, up to ``frames``; with ``torn`` as if killed."""
    with JsonWriter(path, options.pop('info', INFO), **options) as writer:
        for i in range(writer.next_frame, frames, 2):
            end = min(i + 2, frames)
            writer.add([record(k) for k in range(i, end)], end)
        if not torn:
            writer.close(complete)
            return
    partial = path.with_suffix('.partial.jsonl')
    partial.write_bytes(partial.read_bytes()[:-torn])


def test_json_of_a_run(tmp_path):
    path = tmp_path / 'o' / 'i.json'
    with JsonWriter(path, INFO) as writer:
        writer.add([record(0), record(1, skipped='damaged')], 2)
        writer.add([record(2)], 3)
        with pytest.raises(ValueError, match='JSON'):
            writer.add([record(3, x=float('nan'))], 4)
        writer.close(True, ['a note'])
    assert read_inference(path) == dict(
        schema='wsp_mm.inference',
        format=2,
        info=dict(INFO, skeleton_links=[[0, 1]]),
        frames=[record(0), record(1, skipped='damaged'), record(2)],
        skipped=[dict(frame=1, file_name='1.jpg', reason='damaged')],
        notes=['a note'],
        progress=dict(complete=True, next_frame=3),
    )
    assert [file.name for file in path.parent.iterdir()] == ['i.json']
    write(tmp_path / 'empty.json', 0)
    assert read_inference(tmp_path / 'empty.json')['frames'] == []


@pytest.mark.parametrize('cut', [2, 4, 6])
@pytest.mark.parametrize('torn', [0, 1, 40, 1000])
def test_resumed_equals_uninterrupted(cut, torn, tmp_path):
    write(tmp_path / 'whole.json', 7)
    write(tmp_path / 'parts.json', cut, complete=False, torn=torn)
    if not torn:  # valid in between, too
        halfway = read_inference(tmp_path / 'parts.json')
        assert halfway['progress'] == dict(complete=False, next_frame=cut)
        assert len(halfway['frames']) == cut
    write(tmp_path / 'parts.json', 7, resume=True)
    assert (tmp_path / 'parts.json').read_bytes() == (tmp_path / 'whole.json').read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ['parts.json', 'whole.json']


@pytest.mark.parametrize('complete', [True, False])
def test_output_that_is_there(complete, tmp_path):
    path = tmp_path / 'i.json'
    write(path, 3, complete=complete)
    with pytest.raises(OutputError, match=r'--resume .* --overwrite'):
        JsonWriter(path, INFO)
    with pytest.raises(OutputError, match='models'):
        JsonWriter(path, dict(INFO, models=dict(pose='b')), resume=True)
    with JsonWriter(path, INFO, resume=True) as done:
        assert (done.complete, done.next_frame, len(list(done.records()))) == (complete, 3, 3)
    write(path, 2, overwrite=True)
    assert len(read_inference(path)['frames']) == 2


@pytest.mark.parametrize('content', ['{', '{}', '{"schema": "wsp_mm.inference", "format": 1}'])
def test_other_files_and_formats(content, tmp_path):
    (tmp_path / 'i.json').write_text(content)
    with pytest.raises(OutputError, match=r'i\.json'):
        read_inference(tmp_path / 'i.json')


def test_thumbnails_of_long_videos_are_thinned_out(tmp_path):
    image = np.zeros((4, 4, 3), np.uint8)
    drawer = FrameDrawer(tmp_path, dict(INFO, joint_set='h36m18'), open_source(image), images=False)
    for i in range(1500):
        frame = next(open_source(image).frames())
        frame.index = i
        drawer.draw(frame, dict(record(i), camera=None, width=4, height=4))
    assert drawer.stride == 4 and list(drawer.thumbnails) == list(range(0, 1500, 4))


@pytest.mark.parametrize(('count', 'side'), [(1, 640), (100, 640), (400, 320)])
def test_more_images_are_smaller_in_the_viewer(tmp_path, count, side):
    source, info = open_source([np.zeros((500, 1000, 3), np.uint8)] * count), dict(INFO)
    drawer = FrameDrawer(tmp_path, info, source, images=False)
    drawer.draw(next(source.frames()), dict(record(0), camera=None, width=1000, height=500))
    image = cv2.imdecode(np.frombuffer(drawer.thumbnails[0], np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (side // 2, side, 3)
