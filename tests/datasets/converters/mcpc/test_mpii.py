# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest
from scipy.io import savemat

from wsp_mm.datasets.annotations import AnnotationError
from wsp_mm.datasets.converters.mcpc.mpii import (
    MAT_NAME,
    read_mpii,
    read_mpii_json,
    read_mpii_mat,
    read_val_names,
)

EMPTY = np.zeros((0, 0))


def test_rows_are_grouped_by_image(tree, make, strict):
    rows = [make.row('b.jpg'), make.row('a.jpg')]
    rows += [make.row('b.jpg', [1] * 15 + [0]), make.row('b.jpg', [0] * 16)]
    table = read_mpii_json(tree.write('m.json', rows), 'train', strict)
    persons = table.persons
    assert [image.file_name for image in table.images] == ['images/b.jpg', 'images/a.jpg']
    assert persons['image'].tolist() == [0, 1, 0] and persons['id'].tolist() == [0, 1, 2]
    assert table.images[0].width is None
    assert table.dropped == {('mpii', 'train', 'no labelled joint'): 1}
    assert persons['visible'][2].tolist() == [1] * 15 + [0]
    np.testing.assert_array_equal(persons['keypoints'][0, 3], (30, 5))
    assert persons['box_made'].all()
    assert len(read_mpii_json(tree.write('m.json', []), 'train', strict)) == 0


@pytest.mark.parametrize(
    ('change', 'kind'),
    [
        (dict(joints=...), 'bad joints'),
        (dict(joints=[]), 'bad joints'),
        (dict(joints=[[1, 1]] * 15), 'bad joints'),
        (dict(joints=[[1, 1, 1]] * 16), 'bad joints'),
        (dict(joints=[[float('nan'), 1]] * 16), 'bad joints'),
        (dict(flags=3), 'bad joints_vis'),
        (dict(flags=[2] * 16), 'bad joints_vis'),
        (dict(image=None), 'bad image'),
    ],
)
def test_bad_rows_are_named_or_skipped(tree, make, strict, lenient, change, kind, refused):
    path = tree.write('m.json', [make.row('a.jpg'), make.row('b.jpg', **change), make.row('c.jpg')])
    with refused(kind, r'm\.json: row number 1'):
        read_mpii_json(path, 'train', strict)
    assert read_mpii_json(path, 'train', lenient).persons['id'].tolist() == [0, 2]
    assert lenient.counts() == {kind: 1}
    with pytest.raises(AnnotationError, match='list of persons'):
        read_mpii_json(tree.write('m.json', {}), 'train', strict)


# ---- the official .mat as MATLAB stores it: struct arrays with empty fields where nothing is known


def structs(rows, names):
    """A 1 x N struct array, (0, 0) where there is none."""
    if not rows:
        return EMPTY
    out = np.empty((1, len(rows)), dtype=[(name, object) for name in names])
    for i, values in enumerate(rows):
        for name in names:
            out[0, i][name] = values[name]
    return out


def point(joint, x, y, visible=1.0):
    return dict(id=float(joint), x=float(x), y=float(y), is_visible=visible)


def rect(points, box=(1, 1, 4, 5)):
    annopoints = {'point': structs(points, ('id', 'x', 'y', 'is_visible'))} if points else EMPTY
    corners = zip(('x1', 'y1', 'x2', 'y2'), map(float, box), strict=True)
    return dict(corners, annopoints=annopoints, scale=1.0)


def entry(name, rects):
    keys = tuple(rects[0]) if rects else ()
    return dict(image={'name': name}, annorect=structs(rects, keys))


def write_mat(path, entries, train):
    annolist = structs(entries, ('image', 'annorect'))
    release = dict(annolist=annolist, img_train=np.array([train], dtype=np.uint8))
    savemat(path, {'RELEASE': release})
    return path


FULL = [point(k, 11 + k, 21 + 2 * k) for k in range(16)]


@pytest.fixture
def mat(tmp_path):
    flags = [point(k, 9, 9, flag) for k, flag in enumerate(('1', '0', '', EMPTY, 0.0))]
    headless = [point(0, 10, 90), point(5, 12, 95)]
    entries = [
        entry('several.jpg', [rect(FULL), rect([]), rect(flags)]),
        entry('single.jpg', [rect(headless, box=(11, 11, 41, 51))]),
        entry('one_point.jpg', [rect([point(5, 3, 4)])]),
        entry('nobody.jpg', []),
        entry('test.jpg', [dict(scale=1.0)]),
        entry('val.jpg', [rect(FULL)]),
    ]
    (tmp_path / 'mpii').mkdir()
    return write_mat(tmp_path / 'mpii' / MAT_NAME, entries, [1, 1, 1, 1, 0, 1])


def test_mat_counts_from_one(mat, strict):
    found = read_mpii_mat(mat, {'val.jpg'}, strict)
    train, test = found['train'], found['test']
    names = [image.source_id for image in train.images]
    assert names == ['several.jpg', 'single.jpg', 'one_point.jpg']
    persons = train.persons
    assert persons['image'].tolist() == [0, 0, 1, 2] and persons['id'].tolist() == [0, 1, 2, 3]
    pixels = [(10 + k, 20 + 2 * k) for k in range(16)]
    np.testing.assert_array_equal(persons['keypoints'][0], pixels)
    np.testing.assert_array_equal(persons['keypoints'][3, 5], (2, 3))
    assert persons['visible'][0].tolist() == [2] * 16
    # '1', '0', nothing in two ways, 0: visible, hidden, labelled, unknown (twice), hidden
    assert persons['visible'][1].tolist() == [2, 1, 1, 1, 1] + [0] * 11
    # One rectangle of several.jpg and the test image's have no joints.
    assert train.dropped == {('mpii', 'train', 'no keypoints'): 2}
    # Head rectangle 30 x 40, its diagonal is 50.
    assert persons['head_length'][2] == pytest.approx(40)
    assert [image.file_name for image in test.images] == ['images/val.jpg']
    assert test.persons['id'].tolist() == [4]
    assert set(read_mpii_mat(mat, None, strict)) == {'train'}
    with pytest.raises(AnnotationError, match='val-list'):
        read_mpii_mat(mat, {'other.jpg'}, strict)


@pytest.mark.parametrize(
    'points',
    [
        [point(16, 1, 1)],
        [point(0, np.nan, 1)],
        [point(np.nan, 1, 1)],
        [point(0, 1, 1), point(0, 2, 2)],
    ],
)
def test_bad_persons_of_a_mat(tmp_path, strict, lenient, points, refused):
    path = write_mat(tmp_path / 'm.mat', [entry('a.jpg', [rect(FULL), rect(points)])], [1])
    with refused('bad joints', r'm\.mat: image a\.jpg, person 1'):
        read_mpii_mat(path, None, strict)
    assert read_mpii_mat(path, None, lenient)['train'].persons['id'].tolist() == [0]


def test_bad_images_of_a_mat(tmp_path, lenient):
    entries = [entry('a.jpg', [rect(FULL)]), entry('a.jpg', [rect(FULL)]), entry('', [rect(FULL)])]
    found = read_mpii_mat(write_mat(tmp_path / 'm.mat', entries, [1, 1, 1]), None, lenient)
    assert len(found['train']) == 1
    assert lenient.counts() == {'duplicate id': 1, 'incomplete record': 1}


def test_broken_mats(tmp_path, strict, refused):
    (tmp_path / 'a.mat').write_bytes(b'no matlab file at all, but long enough to have a header' * 9)
    savemat(tmp_path / 'b.mat', {'other': 1})
    write_mat(tmp_path / 'c.mat', [entry('a.jpg', [])], [1, 0])
    (tmp_path / 'd.mat').write_bytes(b'')
    savemat(tmp_path / 'e.mat', {'RELEASE': np.arange(500)}, do_compression=True)
    spoiled = bytearray((tmp_path / 'e.mat').read_bytes())
    spoiled[len(spoiled) // 2] ^= 0xFF
    (tmp_path / 'e.mat').write_bytes(spoiled)
    for name, kind in [*((f'{x}.mat', 'broken mat') for x in 'abcde'), ('f.mat', 'missing file')]:
        with refused(kind, name):
            read_mpii_mat(tmp_path / name, None, strict)


def test_val_names(tree, make):
    assert read_val_names(tree.write('v.txt', 'a.jpg\n\n images/b.jpg \n')) == {'a.jpg', 'b.jpg'}
    assert read_val_names(tree.write('v.json', [make.row('a.jpg'), 'b.jpg'])) == {'a.jpg', 'b.jpg'}
    for name, content in (('e.txt', '\n'), ('e.json', {})):
        with pytest.raises(AnnotationError, match='no image name'):
            read_val_names(tree.write(name, content))
    with pytest.raises(AnnotationError, match=r'gone\.txt'):
        read_val_names(tree.root / 'gone.txt')


# ---- which file is read


def test_json_wins_over_mat(tree, make, mat, strict, lenient):
    def ids(findings=strict, splits=('train', 'test'), **options):
        found = read_mpii(tree.root / 'mpii', splits, findings, **options)
        return {split: table.persons['id'].tolist() for split, table in found.items()}

    # Without a list of names all of MPII is train, and a note says so.
    assert ids() == {'train': [0, 1, 2, 3, 4]} and 'ALL of MPII is train' in strict.notes.pop()
    names = tree.write('val.txt', 'val.jpg\n')
    assert ids(val_list=names) == {'train': [0, 1, 2, 3], 'test': [4]}
    assert ids(splits=('test',), val_list=names) == {'test': [4]} and not strict.notes
    # MMPose's json of the validation set names its images, too.
    tree.write('mpii/annotations/mpii_val.json', [make.row('val.jpg')])
    assert ids() == {'train': [0, 1, 2, 3], 'test': [4]}
    tree.write('mpii/annotations/mpii_train.json', [make.row('train.jpg')])
    assert ids() == {'train': [0], 'test': [0]}
    tree.write('mpii/annotations/mpii_val.json', '[{"joints"')
    with pytest.raises(AnnotationError, match=r'mpii_val\.json'):
        ids()
    assert ids(lenient) == {'train': [0]} and len(lenient.bad) == 1


def test_missing_annotations_are_named(tmp_path, strict, lenient):
    with pytest.raises(AnnotationError, match=rf'mpii_train\.json or {MAT_NAME}'):
        read_mpii(tmp_path, ('train', 'test'), strict)
    assert read_mpii(tmp_path, ('train', 'test'), lenient) == {}
    assert lenient.counts() == {'missing file': 2}
