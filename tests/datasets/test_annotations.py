# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import gc
import json
import pickle

import numpy as np
import pytest

from wsp_mm.datasets.annotations import (
    OUTLINES,
    AnnotationError,
    Findings,
    Verdict,
    build_nonempty,
    check_images,
    check_lists,
    first_of_folders,
    image_name,
    image_size,
    load_json,
    missing_images,
    repeated,
)


def test_errors_name_everything_and_survive_processes():
    error = AnnotationError('bad box', 'a.json', 'image 3', 'w < 0', 'Do')
    error = pickle.loads(pickle.dumps(error))
    assert str(error) == 'a.json: image 3: w < 0. Do' and isinstance(error, ValueError)
    assert error.to_dict() == dict(kind='bad box', file='a.json', record='image 3', what='w < 0')


def test_findings_raise_or_count():
    bad = np.array([False, True, True])
    with pytest.raises(AnnotationError, match=r'f\.json: row 1: low'):
        Findings().drop(bad, 'low', 'f.json', lambda i: f'row {i}', 'low')
    lenient = Findings(skip_bad=True)
    left = lenient.drop(bad, 'low', 'f.json', lambda i: f'row {i}', lambda i: f'is {i}')
    lenient.report('broken', 'f.json', '', 'it is')
    assert left.tolist() == [True, False, False] and lenient.counts() == {'broken': 1, 'low': 2}
    assert lenient.bad[1].what == 'is 2'


def verdict(bad, **options):
    return Verdict('odd', np.array(bad), lambda i: f'value {i}', np.arange(len(bad)), **options)


def test_isolated_implausible_records_are_dropped_and_counted():
    findings = Findings()
    left = findings.judge(verdict([True, False, True, False]), 'f.json', lambda i: f'row {i}')
    assert left.tolist() == [False, True, False, True]
    (note,) = findings.implausible_notes()
    assert '2' in note and 'odd' in note and 'f.json: row 2: value 2' in note
    assert findings.counts() == {} and findings.implausible == {'odd': 2}
    assert findings.judge(verdict([False]), 'f.json', str).tolist() == [True]


@pytest.mark.parametrize(
    'judged', [verdict([True, False, True]), verdict([False, False, True], share=0)]
)
def test_a_file_of_implausible_records_is_wrong(judged, refused):
    with refused('odd', r'f\.json: row 2: value 2'):
        Findings().judge(judged, 'f.json', lambda i: f'row {i}')
    lenient = Findings(skip_bad=True)
    assert lenient.judge(judged, 'f.json', str).tolist() == (~judged.bad).tolist()
    assert lenient.counts() == {'odd': judged.bad.sum()}


def test_json(write):
    content = {'segmentation': [1], 'b': [{'licenses': 1, 'box': [1, 2], 'odd': [1, [2]]}]}
    assert load_json(write(content)) == content and gc.isenabled()
    for encoding in ('utf-8-sig', 'utf-16', 'utf-16-le'):  # Windows writes byte-order marks
        assert load_json(write(json.dumps(content).encode(encoding))) == content
    found = load_json(write(content), arrays=('box', 'odd'), drop=OUTLINES, dtype=np.float32)
    (record,) = found.pop('b')
    assert found == {} and record.pop('box').dtype == np.float32 and record == {'odd': [1, [2]]}
    gc.disable()
    try:
        load_json(write(content))
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.parametrize(
    'content', [b'', b'{"images": [', b'\xff\xfe\x00{', b'[' * 200_000, b'1' * 5000]
)
def test_broken_json(write, content, refused):
    with refused('broken json', r'a\.json'):
        load_json(write(content))


def test_absent_files(tmp_path, refused):
    with refused('missing file', r'gone\.json.*WSP_DATA.*make_world'):
        load_json(tmp_path / 'gone.json')
    with pytest.raises(AnnotationError, match=r'gone\.json.*Write it'):
        load_json(tmp_path / 'gone.json', remedy='Write it')
    (tmp_path / 'loop').symlink_to('loop')
    for path in (tmp_path, tmp_path / 'loop'):
        with refused('unreadable file', str(path)):
            load_json(path)


@pytest.mark.parametrize('content', [[], {}, dict(images=1, pairs=[1]), dict(images=[], pairs=[1])])
def test_lists(content, refused):
    with refused('wrong layout', r'a\.json.*images.*Fix'):
        check_lists(content, ('images', 'pairs'), 'a.json', 'Fix')
    assert check_lists(dict(images=[]), ('images',), 'a.json', 'Fix', empty=True)


@pytest.mark.parametrize(
    ('value', 'name'),
    [
        ('a/b.jpg', 'a/b.jpg'), ('a\\b\\c.jpg', 'a/b/c.jpg'), ('图\u3000.jpg', '图\u3000.jpg'),
        ('\udcff.jpg', '\udcff.jpg'), ('\ud800', ''), ('a\0', ''), ('', ''), (None, ''), (5, ''),
    ],
)  # fmt: skip
def test_names_of_images(value, name):
    assert image_name(value) == name


def test_repeated():
    assert repeated([1, 'a', 1, 2, 'a', '1']).tolist() == [False, False, True, False, True, False]
    assert repeated([]).tolist() == []


def test_images(tmp_path, refused):
    from PIL import Image

    (tmp_path / 'a' / 'b').mkdir(parents=True)
    Image.new('RGB', (33, 44)).save(tmp_path / 'a/b/1.png')
    assert image_size(tmp_path / 'a/b/1.png') == (33, 44)
    names = ['a/b/1.png', 'a/b/2.png', 'c/3.png', 'a//b/1.png', '4.png']
    assert missing_images(tmp_path, names).tolist() == [False, True, True, False, True]
    assert first_of_folders(names) == ['a/b/1.png', 'c/3.png', 'a//b/1.png', '4.png']
    check_images([tmp_path / 'a/b/1.png'], 'x.json')
    with refused('missing images', r'2\.png: .*x\.json; 2 of the 3 .*data_prefix'):
        check_images([tmp_path / name for name in names[:3]], 'x.json')


@pytest.mark.parametrize('kind', ['jpeg', 'png', 'webp', 'tiff'])
@pytest.mark.parametrize('orientation', [1, 3, 6])
def test_sizes_are_those_of_the_reader(tmp_path, kind, orientation):
    mmcv = pytest.importorskip('mmcv')
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f'a.{kind}'
    Image.new('RGB', (33, 44)).save(path, exif=exif)
    assert image_size(path) == mmcv.imfrombytes(path.read_bytes()).shape[1::-1]
    check_images([path], 'x.json', {path: image_size(path)})
    with pytest.raises(AnnotationError, match=r'33.*x\.json .*99 x 44|44.*x\.json .*99 x 44'):
        check_images([path], 'x.json', {path: (99, 44)})
    path.write_text('<html>')
    with pytest.raises(AnnotationError, match=str(path)):
        check_images([path], 'x.json', {path: (33, 44)})


def test_data_sets_that_load_nothing(write):
    mmpose = pytest.importorskip('mmpose.registry')
    mmpose.DATASETS.get('MpiiDataset')
    path = write([], 'mpii.json')
    with pytest.raises(AnnotationError, match=r'mpii\.json.*MpiiDataset'):
        build_nonempty(dict(type='MpiiDataset', ann_file=str(path), data_prefix=dict(img='')))
