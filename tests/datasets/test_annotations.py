# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import gc
import json
import pickle

import numpy as np
import pytest

from wsp_mm.datasets.annotations import (
    OUTLINES,
    AnnotationError,
    Column,
    Findings,
    build_nonempty,
    check_images,
    check_lists,
    first_of_folders,
    image_size,
    load_json,
    missing_images,
    read_columns,
    repeated,
)


@pytest.fixture
def write(tmp_path):
    def write(content, name='a.json'):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    return write


def test_errors_name_everything_and_survive_processes():
    error = pickle.loads(
        pickle.dumps(AnnotationError('bad box', 'a.json', 'image 3', 'w < 0', 'Do'))
    )
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


def test_json(write):
    content = {'segmentation': [1], 'b': [{'licenses': 1, 'box': [1, 2], 'odd': [1, [2]]}]}
    assert load_json(write(content)) == content and gc.isenabled()
    assert load_json(write(b'\xef\xbb\xbf' + json.dumps(content).encode())) == content
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
def test_broken_json(write, content):
    with pytest.raises(AnnotationError, match=r'a\.json') as error:
        load_json(write(content))
    assert error.value.kind == 'broken json'


def test_absent_files(tmp_path):
    with pytest.raises(AnnotationError, match=r'gone\.json.*WSP_DATA.*make_world') as error:
        load_json(tmp_path / 'gone.json')
    assert error.value.kind == 'missing file'
    with pytest.raises(AnnotationError, match=r'gone\.json.*Write it'):
        load_json(tmp_path / 'gone.json', remedy='Write it')
    (tmp_path / 'loop').symlink_to('loop')
    for path in (tmp_path, tmp_path / 'loop'):
        with pytest.raises(AnnotationError, match=str(path)) as error:
            load_json(path)
        assert error.value.kind == 'unreadable file'


@pytest.mark.parametrize('content', [[], {}, dict(images=1, pairs=[1]), dict(images=[], pairs=[1])])
def test_lists(content):
    with pytest.raises(AnnotationError, match=r'a\.json.*images.*Fix') as error:
        check_lists(content, ('images', 'pairs'), 'a.json', 'Fix')
    assert error.value.kind == 'wrong layout'
    assert check_lists(dict(images=[]), ('images',), 'a.json', 'Fix', empty=True)


COLUMNS = dict(
    id=Column(dtype=np.int64), box=Column((4,)), joints=Column((2, 3), np.float32),
    score=Column(default=1.0),
)  # fmt: skip


def record(key, **changes):
    return dict(id=key, box=[1, 2, 3, 4], joints=[[1, 2, 3], [4, 5, 6]], score=0.5) | changes


def test_columns():
    rows = [record(3), record(4.0, box=np.arange(4)), record(5, score=None)]
    found, kept = read_columns(rows, COLUMNS, 'a.json', 'annotation')
    assert found['id'].tolist() == [3, 4, 5] and found['id'].dtype == np.int64
    assert found['box'].shape == (3, 4) and found['joints'].dtype == np.float32
    assert found['score'].tolist() == [0.5, 0.5, 1.0] and kept.tolist() == [0, 1, 2]
    nested = [dict(joints=np.ones((2, 3, 1)))]
    assert read_columns(nested, dict(joints=COLUMNS['joints']), 'a', 'x')[0]['joints'].shape == (
        1,
        2,
        3,
    )
    assert [v.shape for v in read_columns([], COLUMNS, 'a', 'x')[0].values()] == [
        (0,), (0, 4), (0, 2, 3), (0,)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ('changes', 'kind'),
    [
        (dict(id='x'), 'bad id'),
        (dict(id=1.5), 'bad id'),
        (dict(id=None), 'bad id'),
        (dict(box=[1, 2, 3]), 'bad box'),
        (dict(box=[1, 2, 3, None]), 'bad box'),
        (dict(box=[1, 2, 3, float('nan')]), 'bad box'),
        (dict(box=[1, 2, 3, [4]]), 'bad box'),
        (dict(box=dict(x=1)), 'bad box'),
        (dict(joints=[[1, 2, 3]]), 'bad joints'),
        (dict(joints=[[1, 2], [3, 4], [5, 6]]), 'bad joints'),
        (dict(score=float('inf')), 'bad score'),
        (dict(score=10**400), 'bad score'),
        (dict(score='high', box=None), 'bad box'),  # one bad record is counted once
    ],
)
def test_bad_columns_are_named_or_dropped(changes, kind):
    rows = [record(3), record(4, **changes), record(5)]
    with pytest.raises(AnnotationError, match=r'a\.json: annotation (4|number 1|x|1\.5)') as error:
        read_columns(rows, COLUMNS, 'a.json', 'annotation')
    assert error.value.kind == kind
    findings = Findings(skip_bad=True)
    found, kept = read_columns(rows, COLUMNS, 'a.json', 'annotation', findings)
    assert found['id'].tolist() == [3, 5] and kept.tolist() == [0, 2]
    assert findings.counts() == {kind: 1}


@pytest.mark.parametrize('bad', [None, 5, [1], 'id'])
def test_records_that_are_no_objects(bad):
    with pytest.raises(AnnotationError, match=r'annotation number 1'):
        read_columns([record(3), bad], COLUMNS, 'a.json', 'annotation')


def test_repeated():
    assert repeated([1, 'a', 1, 2, 'a', '1']).tolist() == [False, False, True, False, True, False]
    assert repeated([]).tolist() == []


def test_images(tmp_path):
    from PIL import Image

    (tmp_path / 'a' / 'b').mkdir(parents=True)
    Image.new('RGB', (33, 44)).save(tmp_path / 'a/b/1.png')
    assert image_size(tmp_path / 'a/b/1.png') == (33, 44)
    names = ['a/b/1.png', 'a/b/2.png', 'c/3.png', 'a//b/1.png', '4.png']
    assert missing_images(tmp_path, names).tolist() == [False, True, True, False, True]
    assert first_of_folders(names) == ['a/b/1.png', 'c/3.png', 'a//b/1.png', '4.png']
    check_images([tmp_path / 'a/b/1.png'], 'x.json')
    with pytest.raises(
        AnnotationError, match=r'2\.png: .*x\.json; 2 of the 3 .*data_prefix'
    ) as error:
        check_images([tmp_path / name for name in names[:3]], 'x.json')
    assert error.value.kind == 'missing images'


def test_data_sets_that_load_nothing(write):
    mmpose = pytest.importorskip('mmpose.registry')
    mmpose.DATASETS.get('MpiiDataset')
    path = write([], 'mpii.json')
    with pytest.raises(AnnotationError, match=r'mpii\.json.*MpiiDataset'):
        build_nonempty(dict(type='MpiiDataset', ann_file=str(path), data_prefix=dict(img='')))
