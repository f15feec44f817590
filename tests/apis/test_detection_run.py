# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Detection over many pictures: listing them, stopping, going on, bad ones."""

import json

import cv2
import numpy as np
import pytest

from wsp_mm.apis.detection_run import (
    PARTIAL,
    detect_persons,
    pictures_of_annotations,
    pictures_of_folder,
)
from wsp_mm.datasets.box_files import read_boxes
from wsp_mm.datasets.converters.mcpc.records import BadDataError


class Brightness:
    """A detector whose boxes can be foretold: as many persons as the picture's value, modulo 3."""

    def __init__(self, stop_at=None, **identity):
        self.identity = dict(config='fake.py', score_thr=0.3, **identity)
        self.calls, self.stop_at = [], stop_at

    def detect(self, pictures):
        if self.stop_at == len(self.calls):
            raise KeyboardInterrupt
        self.calls.append([int(p[0, 0, 0]) for p in pictures])
        out = []
        for value in self.calls[-1]:
            count = value % 3
            boxes = np.array([[value + 1 / 3, i, 10.123456, 20] for i in range(count)], np.float32)
            out.append((boxes.reshape(-1, 4), np.linspace(0.9, 0.4, count, dtype=np.float32)))
        return out


@pytest.fixture
def folder(tmp_path):
    """Ten pictures 0.png ... 9.png of one value each."""
    root = tmp_path / 'pictures here'
    (root / 'sub').mkdir(parents=True)
    for i in range(10):
        cv2.imwrite(str(root / f'{i}.png'), np.full((30, 40, 3), i, np.uint8))
    return root


def run(folder, out, detector=None, **settings):
    detector = detector or Brightness()
    return detect_persons(
        detector,
        pictures_of_folder(folder),
        out,
        **{'batch_size': 3, 'progress': False, **settings},
    )


def test_listing_a_folder(folder):
    cv2.imwrite(str(folder / '10.png'), np.zeros((4, 4, 3), np.uint8))
    (folder / '9.png').rename(folder / 'sub' / 'X.JPG')
    (folder / 'notes.txt').write_text('no picture')
    (folder / '._0.png').write_text('what another system leaves')
    found = pictures_of_folder(folder)
    assert [p.file_name for p in found] == [*(f'{i}.png' for i in range(9)), '10.png', 'sub/X.JPG']
    assert [p.id for p in found] == list(range(1, 12))
    assert all(p.path.is_file() for p in found)
    with pytest.raises(BadDataError, match='no such folder'):
        pictures_of_folder(folder / 'nothing')
    (folder / 'empty').mkdir()
    with pytest.raises(BadDataError, match='no picture'):
        pictures_of_folder(folder / 'empty')


def test_listing_annotations(folder, tmp_path):
    file = tmp_path / 'a.json'
    record = dict(id=5, file_name='3.png', width=40, height=30)
    file.write_text(json.dumps(dict(images=[record, dict(id=2, file_name='1.png')])))
    found = pictures_of_annotations(file, folder)
    assert [(p.id, p.file_name, p.size) for p in found] == [
        (5, '3.png', (40, 30)),
        (2, '1.png', None),
    ]
    for images, message in [
        ([record, record], 'the id 5 stands twice'), ([dict(id=1)], 'KeyError'), ([], 'no list'),
    ]:  # fmt: skip
        file.write_text(json.dumps(dict(images=images)))
        with pytest.raises(BadDataError, match=message):
            pictures_of_annotations(file, folder)
    with pytest.raises(BadDataError, match='--img-root'):
        pictures_of_annotations(file, folder / 'nothing')


def test_every_picture_is_in_the_file(folder, tmp_path):
    detector = Brightness()
    done = run(folder, tmp_path / 'deep' / 'b.json', detector)
    assert detector.calls == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
    found = read_boxes(tmp_path / 'deep' / 'b.json')
    assert list(found.images.values()) == [f'{i}.png' for i in range(10)]
    assert [len(found.scores[i + 1]) for i in range(10)] == [i % 3 for i in range(10)]
    assert found.boxes[6].tolist() == [[5.333, 0, 10.123, 20], [5.333, 1, 10.123, 20]]
    assert (done.pictures, done.persons, done.without_persons, done.resumed, done.bad) == (
        10,
        9,
        4,
        0,
        [],
    )
    assert found.info['detector']['config'] == 'fake.py' and not found.extended
    assert [p.name for p in (tmp_path / 'deep').iterdir()] == ['b.json']


@pytest.mark.parametrize('torn', [False, True])
@pytest.mark.parametrize('stop_at', [0, 1, 3])
def test_going_on_equals_an_uninterrupted_run(folder, tmp_path, stop_at, torn):
    run(folder, tmp_path / 'whole.json')
    out = tmp_path / 'stopped.json'
    with pytest.raises(KeyboardInterrupt):
        run(folder, out, Brightness(stop_at))
    assert not out.exists()
    log = tmp_path / f'stopped.json{PARTIAL}'
    if torn:  # killed in the middle of a line
        log.write_bytes(log.read_bytes()[:-5])
    detector = Brightness()
    done = run(folder, out, detector, resume=True)
    kept = max(stop_at - torn, 0)
    assert len(detector.calls) == 4 - kept and done.resumed == 3 * kept and done.pictures == 10
    assert out.read_bytes() == (tmp_path / 'whole.json').read_bytes()
    assert not log.exists()


def test_a_finished_run_is_left_as_it_is(folder, tmp_path):
    out = tmp_path / 'b.json'
    run(folder, out)
    before, detector = out.stat().st_mtime_ns, Brightness()
    done = run(folder, out, detector, resume=True)
    assert detector.calls == [] and out.stat().st_mtime_ns == before
    assert (done.pictures, done.persons, done.resumed) == (10, 9, 10)
    run(folder, out, detector)  # without resume: anew
    assert len(detector.calls) == 4


@pytest.mark.parametrize('finished', [True, False])
def test_another_runs_work_is_not_continued(folder, tmp_path, finished):
    out = tmp_path / 'b.json'
    if finished:
        run(folder, out)
    else:
        with pytest.raises(KeyboardInterrupt):
            run(folder, out, Brightness(stop_at=2))
    with pytest.raises(BadDataError, match=r'batch_size 3 \(now 4\)'):
        run(folder, out, batch_size=4, resume=True)
    with pytest.raises(BadDataError, match=r'weights None \(now other\)'):
        run(folder, out, Brightness(weights='other'), resume=True)
    (folder / '0.png').rename(folder / 'renamed.png')
    with pytest.raises(BadDataError, match='pictures_sha256'):
        run(folder, out, resume=True)
    assert run(folder, out).pictures == 10


def test_bad_pictures(folder, tmp_path):
    out = tmp_path / 'b.json'
    whole = (folder / '4.png').read_bytes()
    (folder / '4.png').write_bytes(whole[: len(whole) // 2])
    (folder / '8.png').write_bytes(b'')
    with pytest.raises(BadDataError, match=r'4\.png.*--skip-bad'):
        run(folder, out)
    done = run(folder, out, resume=True, skip_bad=True)
    assert done.resumed == 3 and [e.file.rsplit('/')[-1] for e in done.bad] == ['4.png', '8.png']
    found = read_boxes(out)
    assert len(found.images) == done.pictures == 8 and '4.png' not in found.images.values()
    assert [e['file_name'] for e in found.info['skipped']] == ['4.png', '8.png']
    assert found.scores[6].tolist() == [0.9, 0.4]  # what follows a bad picture keeps its own boxes
    assert len(run(folder, out, resume=True, skip_bad=True).bad) == 2


def test_what_was_skipped_is_not_accepted_without_skip_bad(folder, tmp_path):
    (folder / '1.png').write_bytes(b'')
    with pytest.raises(KeyboardInterrupt):
        run(folder, tmp_path / 'b.json', Brightness(stop_at=2), skip_bad=True)
    with pytest.raises(BadDataError, match=r'1\.png'):
        run(folder, tmp_path / 'b.json', resume=True)


def test_a_picture_of_another_size_than_listed(folder, tmp_path):
    file = tmp_path / 'a.json'
    file.write_text(json.dumps(dict(images=[dict(id=1, file_name='3.png', width=30, height=40)])))
    with pytest.raises(BadDataError, match='40 x 30 px, the list says 30 x 40'):
        detect_persons(
            Brightness(), pictures_of_annotations(file, folder), tmp_path / 'b.json', progress=False
        )
