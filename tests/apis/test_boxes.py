# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Boxes of persons: listing images, detection in many, stopping, resuming, looking up."""

import json

import cv2
import numpy as np
import pytest
from inference_fixture import FixedDetector, write_boxes_file, write_results_file

from wsp_mm.apis.boxes import GivenBoxes, detect_persons, images_of_folder, read_annotations
from wsp_mm.apis.images import InputError
from wsp_mm.apis.partial import OutputError
from wsp_mm.apis.sources import Frame
from wsp_mm.datasets.detections import read_boxes

BOXES = [[5 + 1 / 3, 0, 10.123456, 20], [6, 1, 10, 20]]


def persons(**options):
    """A detector that finds nobody, one person and two persons, in turns."""
    return FixedDetector(BOXES, counts=(0, 1, 2), **options)


@pytest.fixture
def folder(tmp_path):
    """Ten images 0.png ... 9.png."""
    root = tmp_path / 'images here'
    root.mkdir()
    for i in range(10):
        cv2.imwrite(str(root / f'{i}.png'), np.full((30, 40, 3), i, np.uint8))
    return root


def run(folder, out, detector=None, **settings):
    settings = dict(batch_size=3, progress=False) | settings
    detector = persons() if detector is None else detector
    return detect_persons(detector, images_of_folder(folder), folder, out, **settings)


def test_every_image_is_in_the_file(folder, tmp_path):
    out, detector = tmp_path / 'deep' / 'b.json', persons()
    done = run(folder, out, detector)
    assert detector.calls == [3, 3, 3, 1]
    found = read_boxes(out)
    assert found.images == {i + 1: f'{i}.png' for i in range(10)}
    assert [len(found.scores[i + 1]) for i in range(10)] == [i % 3 for i in range(10)]
    assert found.boxes[6].tolist() == [[5.333, 0, 10.123, 20], [6, 1, 10, 20]]
    assert len(done) == len(found) == 9 and found.info['skipped'] == []
    assert found.info['detector']['config'] == 'fixed.py' and not found.extended
    assert [path.name for path in out.parent.iterdir()] == ['b.json']


@pytest.mark.parametrize('torn', [False, True])
@pytest.mark.parametrize('stop_at', [0, 1, 3])
def test_resumed_equals_uninterrupted(folder, tmp_path, stop_at, torn):
    run(folder, tmp_path / 'whole.json')
    out, partial = tmp_path / 'stopped.json', tmp_path / 'stopped.json.partial'
    with pytest.raises(KeyboardInterrupt):
        run(folder, out, persons(stop_at=stop_at))
    assert not out.exists()
    if torn:  # killed in the middle of a line
        partial.write_bytes(partial.read_bytes()[:-5])
    kept, detector = max(stop_at - torn, 0), persons()
    done = run(folder, out, detector, resume=True)
    assert len(detector.calls) == 4 - kept and len(done.images) == 10
    assert out.read_bytes() == (tmp_path / 'whole.json').read_bytes() and not partial.exists()


def test_a_finished_run_is_left_as_it_is(folder, tmp_path):
    out, detector = tmp_path / 'b.json', persons()
    run(folder, out)
    before = out.stat().st_mtime_ns
    done = run(folder, out, detector, resume=True)
    assert detector.calls == [] and out.stat().st_mtime_ns == before
    assert len(done.images) == 10 and len(done) == 9
    run(folder, out, detector)  # without resume: anew
    assert len(detector.calls) == 4


@pytest.mark.parametrize('stop_at', [None, 2])
def test_another_run_is_not_continued(folder, tmp_path, stop_at):
    out = tmp_path / 'b.json'
    if stop_at is None:
        run(folder, out)
    else:
        with pytest.raises(KeyboardInterrupt):
            run(folder, out, persons(stop_at=stop_at))
    with pytest.raises(OutputError, match=r'b\.json.* batch_size'):
        run(folder, out, batch_size=4, resume=True)
    with pytest.raises(OutputError, match='detector'):
        run(folder, out, persons(weights='other'), resume=True)
    (folder / '0.png').rename(folder / 'renamed.png')
    with pytest.raises(OutputError, match='images_sha256'):
        run(folder, out, resume=True)
    assert len(run(folder, out).images) == 10


def test_images_that_cannot_be_read(folder, tmp_path):
    out = tmp_path / 'b.json'
    whole = (folder / '4.png').read_bytes()
    (folder / '4.png').write_bytes(whole[: len(whole) // 2])
    (folder / '8.png').write_bytes(b'')
    with pytest.raises(InputError, match=r'4\.png.*--skip-bad'):
        run(folder, out)
    for _ in range(2):  # the second time, there is nothing left to do
        done = run(folder, out, resume=True, skip_bad=True)
        assert [e['file_name'] for e in done.info['skipped']] == ['4.png', '8.png']
    assert len(done.images) == 8 and '4.png' not in done.images.values()
    assert len(done.scores[6]) == 1  # what follows a bad image keeps its own boxes


def test_what_was_skipped_is_not_accepted_without_skip_bad(folder, tmp_path):
    (folder / '1.png').write_bytes(b'')
    with pytest.raises(KeyboardInterrupt):
        run(folder, tmp_path / 'b.json', persons(stop_at=2), skip_bad=True)
    with pytest.raises(InputError, match=r'1\.png'):
        run(folder, tmp_path / 'b.json', resume=True)


# ---------------------------------------------------------------------- annotations


def write_annotations(path, images, annotations=()):
    path.write_text(json.dumps(dict(images=images, annotations=list(annotations))))
    return path


def test_annotations(tmp_path):
    record = dict(id=5, file_name='3.png', width=40, height=30, intrinsic=[9, 8, 2, 3])
    other = dict(id=2, file_name='1.png', f=[1, 2], c=[3, 4])
    kept, box = dict(image_id=5, bbox=[1, 2, 3, 4]), [1, 1, 1, 1]
    left_out = [dict(iscrowd=1), dict(category_id=18), dict(is_valid=0)]
    annotations = [kept, *(dict(image_id=2, bbox=box, **more) for more in left_out)]
    listed = [record, other, dict(id=7, file_name='7')]
    path = write_annotations(tmp_path / 'a.json', listed, annotations)
    images, boxes = read_annotations(path)
    assert [(i.id, i.file_name, i.size) for i in images.values()] == [
        (5, '3.png', (40, 30)), (2, '1.png', None), (7, '7', None),
    ]  # fmt: skip
    assert images[5].camera == dict(f=[9, 8], c=[2, 3]) and images[7].camera is None
    assert images[2].camera == dict(f=[1, 2], c=[3, 4])
    found = {i: rows.tolist() for i, rows in boxes.boxes.items()}
    assert found == {5: [[1, 2, 3, 4]], 2: [], 7: []}


@pytest.mark.parametrize(
    ('change', 'named'),
    [
        (dict(images=[]), 'images'),
        (dict(images=[dict(file_name='a')]), 'image .*0.*id'),
        (dict(images=[dict(id=1, file_name='a', intrinsic=[0, 1, 2, 3])]), 'image 1'),
        (dict(images=[dict(id=1, file_name='a')] * 2), 'image 1'),
        (dict(annotations=[dict(image_id=1, bbox=[1, 2, 3])]), 'annotation .*0.*bbox'),
        (dict(annotations=[dict(image_id=99, bbox=[1, 2, 3, 4])]), 'annotation .*0.*99'),
    ],
)
def test_bad_annotations_are_named(change, named, tmp_path):
    good = dict(images=[dict(id=1, file_name='a')], annotations=[])
    path = write_annotations(tmp_path / 'a.json', **(good | change))
    with pytest.raises(ValueError, match=rf'a\.json: .*{named}'):
        read_annotations(path)


def test_an_image_of_another_size_than_listed(folder, tmp_path):
    image = dict(id=1, file_name='3.png', width=30, height=40)
    path = write_annotations(tmp_path / 'a.json', [image])
    images = list(read_annotations(path)[0].values())
    with pytest.raises(InputError, match=r'3\.png: 40 x 30 .* 30 x 40'):
        detect_persons(persons(), images, folder, tmp_path / 'b.json', progress=False)


# ---------------------------------------------------------------------- looking up


def frame(name, index=0):
    return Frame(index, name, np.zeros((4, 4, 3), np.uint8))


def test_boxes_are_never_those_of_another_image(tmp_path):
    """Names that are there decide; numbers stand for names only where the file has none."""
    names = ['cam1/000000.jpg', 'cam1/000001.jpg', 'cam2/000001.jpg']
    names += ['10.jpg', 'sub/10.jpg', 'dog.jpg']
    boxes = {name: [[i + 1.0, 1, 5, 5]] for i, name in enumerate(names)}
    given = GivenBoxes(write_boxes_file(tmp_path / 'b.json', names, boxes))
    for name, i in (('cam2/000001.jpg', 2), ('000000.jpg', 0), ('10.jpg', 3), ('else/dog.jpg', 5)):
        assert given.find(frame(name))[0][0, 0] == i + 1
    strangers = [frame(name) for name in ('000001.jpg', '5.jpg', 'cam3/000000.jpg')]
    for stranger in (*strangers, frame('clip.mp4#2', 2)):
        with pytest.raises(InputError, match=r'b\.json'):
            given.find(stranger)


def test_result_lists_name_images_by_number(tmp_path):
    boxes = {i: [[i, 1, 5, 5]] for i in (2, 3)}
    given = GivenBoxes(write_results_file(tmp_path / 'r.json', boxes), score_thr=0.9)
    for found, number in ((frame('000002.jpg'), 2), (frame('clip.mp4#3', 3), 3)):
        assert given.find(found)[0][0, 0] == number
    with pytest.raises(InputError):
        given.find(frame('shot#2.jpg', 2))  # a name, not a frame of a video
    strict = GivenBoxes(tmp_path / 'r.json', score_thr=0.95)
    assert strict.find(frame('2.jpg'))[0].shape == (0, 4)


def test_percent_are_no_score_threshold(tmp_path):
    path = write_results_file(tmp_path / 'r.json', {1: [[1, 1, 5, 5]]})
    for score_thr in (30, -0.1, float('nan')):
        with pytest.raises(InputError, match='score_thr'):
            GivenBoxes(path, score_thr=score_thr)
    assert GivenBoxes(path, score_thr=0).find(frame('1.jpg'))[0].shape == (1, 4)


def test_images_named_by_text_are_found_by_stem(tmp_path):
    labels = ('dog', 'a/cat', '1', '001', 'x.jpg', 'clip')
    rows = [dict(image_id=name, bbox=[i, 1, 5, 5]) for i, name in enumerate(labels)]
    path = tmp_path / 'labels.json'
    path.write_text(json.dumps(rows))
    given = GivenBoxes(path)
    for name, i in (('dog.png', 0), ('a/cat.jpg', 1), ('1.jpg', 2), ('001.jpg', 3), ('x.jpg', 4)):
        boxes, scores = given.find(frame(name))
        assert boxes[0, 0] == i and scores.tolist() == [1.0]
    for name in ('b/cat.jpg', 'clip.mp4#0'):
        with pytest.raises(InputError):
            given.find(frame(name))


def test_a_record_belongs_to_one_image(tmp_path):
    numbers = write_results_file(tmp_path / 'r.json', {1: [[1, 1, 5, 5]]})
    for other in ('001.jpg', '1.png', 'sub/1.jpg'):
        with pytest.raises(InputError, match=rf'r\.json.*image 1 .*1\.jpg and {other}'):
            GivenBoxes(numbers).assign(['1.jpg', other])
    names = ['1.jpg', '001.jpg']
    given = GivenBoxes(write_boxes_file(tmp_path / 'b.json', names, {'001.jpg': [[9, 1, 5, 5]]}))
    given.assign(['sub/1.jpg', '1.png', '001.jpg', '1.jpg'])  # exact names go first
    assert given.find(frame('001.jpg'))[0][0, 0] == 9 and len(given.find(frame('1.jpg'))[0]) == 3
    for name in ('sub/1.jpg', '1.png'):
        with pytest.raises(InputError, match='does not list'):
            given.find(frame(name))
    given.assign(['sub/1.jpg'])  # alone, it is the one that is meant
    assert len(given.find(frame('sub/1.jpg'))[0]) == 3
