# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest
from scipy.io import savemat

from wsp_mm.datasets.converters.mcpc.mpii import read_mpii_json, read_mpii_mat, read_val_names
from wsp_mm.datasets.converters.mcpc.records import BadDataError

EMPTY = np.zeros((0, 0))


def row(name, joints=None, flags=None):
    return dict(
        image=name,
        center=[1.0, 1.0],
        scale=1.0,
        joints=[[10.0 * k, 5.0] for k in range(16)] if joints is None else joints,
        joints_vis=[1] * 16 if flags is None else flags,
    )


def test_rows_are_grouped_by_picture(tree, strict):
    rows = [
        row('b.jpg'),
        row('a.jpg'),
        row('b.jpg', flags=[1] * 15 + [0]),
        row('b.jpg', flags=[0] * 16),
    ]
    data = read_mpii_json(tree.write('m.json', rows), 'train', strict)
    assert [p.file_name for p in data.pictures] == ['images/b.jpg', 'images/a.jpg']
    assert data.picture.tolist() == [0, 1, 0] and data.source_ids == [0, 1, 2]
    assert data.pictures[0].width is None and data.dropped == {'no labelled joint': 1}
    assert data.visible[2].tolist() == [1] * 15 + [0]
    np.testing.assert_array_equal(data.keypoints[0, 3], (30, 5))
    assert np.isnan(data.bbox).all()


def test_json_base_moves_the_joints(tree, strict):
    path = tree.write('m.json', [row('a.jpg')])
    np.testing.assert_array_equal(
        read_mpii_json(path, 'train', strict, base=1).keypoints[0, 3], (29, 4)
    )


@pytest.mark.parametrize(('bad', 'kind'), [
    (dict(image='b.jpg', center=[1, 1], scale=1), 'incomplete record'),
    (dict(joints=[], joints_vis=[]), 'incomplete record'),
    (row('b.jpg', joints=[[1, 1]] * 15), 'wrong keypoint count'),
    (row('b.jpg', joints=[[1, 1, 1]] * 16), 'wrong keypoint count'),
    (row('b.jpg', joints=[1] * 16), 'wrong keypoint count'),
    (row('b.jpg', flags=3), 'wrong keypoint count'),
    (row('b.jpg', joints=[[float('nan'), 1]] * 16), 'nan'),
    (row('b.jpg', flags=[2] * 16), 'bad visibility'),
])  # fmt: skip
def test_bad_rows_are_named_or_skipped(tree, strict, lenient, bad, kind):
    path = tree.write('m.json', [row('a.jpg'), bad, row('c.jpg')])
    with pytest.raises(BadDataError, match=r'm\.json: row 1') as error:
        read_mpii_json(path, 'train', strict)
    assert error.value.kind == kind
    data = read_mpii_json(path, 'train', lenient)
    assert data.source_ids == [0, 2] and lenient.counts() == {kind: 1}


def test_not_a_list(tree, strict):
    with pytest.raises(BadDataError, match='list of persons'):
        read_mpii_json(tree.write('m.json', {}), 'train', strict)


def test_no_rows(tree, strict):
    data = read_mpii_json(tree.write('m.json', []), 'train', strict)
    assert len(data) == 0 and data.keypoints.shape == (0, 16, 2)


# ---- the official .mat, as MATLAB lays it out: struct arrays with empty fields where nothing is known


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
    return dict(
        zip(('x1', 'y1', 'x2', 'y2'), map(float, box), strict=True),
        annopoints=annopoints,
        scale=1.0,
        objpos={'x': 5.0, 'y': 5.0},
    )


def entry(name, rects):
    keys = ('x1', 'y1', 'x2', 'y2', 'annopoints', 'scale', 'objpos')
    return dict(image={'name': name}, annorect=structs(rects, keys), vididx=1.0, frame_sec=1.0)


def write_mat(path, entries, train):
    release = dict(
        annolist=structs(entries, ('image', 'annorect', 'vididx', 'frame_sec')),
        img_train=np.array([train], dtype=np.uint8),
        version='12',
    )
    savemat(path, {'RELEASE': release})
    return path


FULL = [point(k, 11 + k, 21 + 2 * k) for k in range(16)]


@pytest.fixture
def mat(tmp_path):
    flags = [
        point(0, 5, 6, '1'),
        point(1, 7, 8, '0'),
        point(2, 9, 9, ''),
        point(3, 9, 9, EMPTY),
        point(4, 9, 9, 0.0),
    ]
    headless = [point(0, 10, 90), point(5, 12, 95)]
    entries = [
        entry('several.jpg', [rect(FULL), rect([]), rect(flags)]),
        entry('single.jpg', [rect(headless, box=(11, 11, 41, 51))]),
        entry('one_point.jpg', [rect([point(5, 3, 4)])]),
        entry('nobody.jpg', []),
        dict(
            image={'name': 'test.jpg'},
            annorect=structs([dict(scale=1.0)], ('scale',)),
            vididx=1.0,
            frame_sec=1.0,
        ),
        entry('val.jpg', [rect(FULL)]),
    ]
    return write_mat(tmp_path / 'm.mat', entries, [1, 1, 1, 1, 0, 1])


def test_mat_counts_from_one(mat, strict):
    data = read_mpii_mat(mat, {'val.jpg'}, strict)
    train, test = data['train'], data['test']
    assert [p.source_id for p in train.pictures] == ['several.jpg', 'single.jpg', 'one_point.jpg']
    assert train.picture.tolist() == [0, 0, 1, 2] and train.source_ids == [0, 1, 2, 3]
    np.testing.assert_array_equal(train.keypoints[0], [(10 + k, 20 + 2 * k) for k in range(16)])
    np.testing.assert_array_equal(train.keypoints[3, 5], (2, 3))
    assert train.visible[0].tolist() == [2] * 16
    # '1', '0', nothing in two ways, 0: visible, hidden, labelled (not said twice), hidden
    assert train.visible[1].tolist() == [2, 1, 1, 1, 1] + [0] * 11
    assert (
        train.dropped['no keypoints'] == 2
    )  # one rectangle of several.jpg, and the test picture's
    # Head rectangle 30 x 40, its diagonal is 50.
    assert train.head_length[2] == pytest.approx(40)
    assert [p.file_name for p in test.pictures] == ['images/val.jpg'] and test.source_ids == [4]


def test_mat_without_a_val_list_is_all_train(mat, strict):
    data = read_mpii_mat(mat, None, strict)
    assert set(data) == {'train'} and len(data['train'].pictures) == 4


def test_mat_with_another_val_list(mat, strict):
    with pytest.raises(BadDataError, match='val-list'):
        read_mpii_mat(mat, {'other.jpg'}, strict)


@pytest.mark.parametrize(('points', 'kind'), [
    ([point(16, 1, 1)], 'wrong keypoint count'), ([point(0, np.nan, 1)], 'nan'),
    ([point(0, 1, 1), point(0, 2, 2)], 'duplicate id'),
])  # fmt: skip
def test_bad_persons_of_a_mat(tmp_path, strict, lenient, points, kind):
    path = write_mat(tmp_path / 'm.mat', [entry('a.jpg', [rect(FULL), rect(points)])], [1])
    with pytest.raises(BadDataError, match=r'm\.mat: picture a\.jpg, person 1') as error:
        read_mpii_mat(path, None, strict)
    assert error.value.kind == kind
    assert read_mpii_mat(path, None, lenient)['train'].source_ids == [0]


def test_bad_pictures_of_a_mat(tmp_path, lenient):
    entries = [entry('a.jpg', [rect(FULL)]), entry('a.jpg', [rect(FULL)]), entry('', [rect(FULL)])]
    data = read_mpii_mat(write_mat(tmp_path / 'm.mat', entries, [1, 1, 1]), None, lenient)
    assert len(data['train']) == 1 and lenient.counts() == {
        'duplicate id': 1,
        'incomplete record': 1,
    }


def test_broken_mats(tmp_path, strict):
    (tmp_path / 'a.mat').write_bytes(b'no matlab file at all, but long enough to have a header' * 9)
    savemat(tmp_path / 'b.mat', {'other': 1})
    write_mat(tmp_path / 'c.mat', [entry('a.jpg', [])], [1, 0])
    (tmp_path / 'd.mat').write_bytes(b'')
    savemat(tmp_path / 'e.mat', {'RELEASE': np.arange(500)}, do_compression=True)
    spoiled = bytearray((tmp_path / 'e.mat').read_bytes())
    spoiled[len(spoiled) // 2] ^= 0xFF
    (tmp_path / 'e.mat').write_bytes(spoiled)
    for name in ('a.mat', 'b.mat', 'c.mat', 'd.mat', 'e.mat'):
        with pytest.raises(BadDataError, match=name) as error:
            read_mpii_mat(tmp_path / name, None, strict)
        assert error.value.kind == 'broken mat'
    with pytest.raises(BadDataError, match='no such file'):
        read_mpii_mat(tmp_path / 'f.mat', None, strict)


def test_val_names(tree):
    assert read_val_names(tree.write('v.txt', 'a.jpg\n\n images/b.jpg \n')) == {'a.jpg', 'b.jpg'}
    assert read_val_names(tree.write('v.json', [row('a.jpg'), row('a.jpg')])) == {'a.jpg'}
    for name, content in (('e.txt', '\n'), ('e.json', {})):
        with pytest.raises(BadDataError, match='no picture name'):
            read_val_names(tree.write(name, content))
    with pytest.raises(BadDataError, match='no such file'):
        read_val_names(tree.root / 'gone.txt')


def test_mmposes_sample(samples, strict):
    data = read_mpii_json(samples / 'mpii' / 'test_mpii.json', 'test', strict)
    assert len(data) == len(data.pictures) == 5
    np.testing.assert_array_equal(data.keypoints[0, 0], (804, 711))
    assert data.visible[2, [0, 5]].tolist() == [0, 0]
