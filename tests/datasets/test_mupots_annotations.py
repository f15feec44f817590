# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""MuPoTS-3D's files, written by hand as the official release has them, and read by the package."""

import json

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from wsp_mm.datasets.annotations import AnnotationError
from wsp_mm.datasets.mupots_annotations import (
    parse_name,
    read_annot_mat,
    read_mupots,
    read_mupots_json,
    read_occlusion_mat,
)

EMPTY = np.zeros((0, 0))


def struct(number: int, valid: bool = True, **changes) -> dict:
    """One cell: joint k of person n is at (n + 100 k, n - 100 k, 3000 + n) mm; f 300, c 50 px."""
    k = 100 * np.arange(17.0)
    cam = np.stack([number + k, number - k, np.full(17, 3000.0 + number)])
    pixels = cam[:2] / cam[2:] * 300 + 50
    flag = np.array([[valid]])
    record = dict(annot2=pixels, annot3=cam, univ_annot3=1.1 * cam, isValidFrame=flag)
    return {key: value for key, value in (record | changes).items() if value is not None}


def cells(rows: list[list]) -> np.ndarray:
    out = np.empty((len(rows), len(rows[0])), dtype=object)
    for i, row in enumerate(rows):
        for j, cell in enumerate(row):
            out[i, j] = cell
    return out


def write_sequence(folder, rows, labels=None):
    folder.mkdir(parents=True, exist_ok=True)
    savemat(folder / 'annot.mat', dict(annotations=cells(rows)))
    labels = labels or [[np.zeros((1, 17))] * len(rows[0])] * len(rows)
    savemat(folder / 'occlusion.mat', dict(occlusion_labels=cells(labels)))


def person(ann_id, image_id, number, valid=1, **changes):
    cell = struct(number)
    return dict(
        id=ann_id, image_id=image_id, bbox=[1, 2, 30, 40], is_valid=valid,
        keypoints_cam=cell['annot3'].T.tolist(), keypoints_img=cell['annot2'].T.tolist(),
        keypoints_vis=[1] * 16 + [0],
    ) | changes  # fmt: skip


def write_json(root, names=('TS1/img_000000.jpg', 'TS1/img_000001.jpg'), annotations=(), **changes):
    common = dict(width=100, height=90, intrinsic=[300.0, 301.0, 50.0, 45.0]) | changes
    images = [dict(common, id=100 + i, file_name=name) for i, name in enumerate(names)]
    path = root / 'MuPoTS-3D.json'
    path.write_text(json.dumps(dict(images=images, annotations=list(annotations))))
    return path


# ------------------------------------------------------------------ annot.mat, occlusion.mat
def test_an_official_sequence(tmp_path):
    hidden, stub = np.zeros((1, 17)), dict(annot2=EMPTY, annot3=np.full((3, 17), np.nan))
    hidden[0, 3] = 1
    write_sequence(
        tmp_path,
        [[struct(10), struct(20, False, **stub)], [EMPTY, struct(30)], [struct(40), EMPTY]],
        [[hidden, np.full((1, 17), np.nan)], [EMPTY, hidden.astype(np.uint8)], [hidden.T, EMPTY]],
    )
    valid, joints = read_annot_mat(tmp_path / 'annot.mat')
    assert valid.tolist() == [[True, False], [False, True], [True, False]]
    shapes = {name: array.shape for name, array in joints.items()}
    assert shapes == dict(annot2=(3, 2, 17, 2), annot3=(3, 2, 17, 3), univ_annot3=(3, 2, 17, 3))
    assert joints['annot3'][1, 1, 2].tolist() == [230, -170, 3030]  # joint 2 of person 30
    np.testing.assert_allclose(joints['univ_annot3'][0, 0], 1.1 * joints['annot3'][0, 0])
    expected = [140 / 3040 * 300 + 50, -60 / 3040 * 300 + 50]
    np.testing.assert_allclose(joints['annot2'][2, 0, 1], expected)
    # Who is not valid may hold anything.
    assert all(np.isnan(array[~valid]).all() for array in joints.values())
    occluded = read_occlusion_mat(tmp_path / 'occlusion.mat', valid)
    assert occluded[..., 3].tolist() == valid.tolist() and occluded.sum() == 3
    # As a MATLAB user sees the fixture: cells of structs with these fields.
    plain = loadmat(tmp_path / 'annot.mat', struct_as_record=False, squeeze_me=True)['annotations']
    assert plain[0, 0].annot3.shape == (3, 17) and plain[0, 0].isValidFrame == 1


@pytest.mark.parametrize(
    'changes, said',
    [
        (dict(univ_annot3=None), 'univ_annot3'),
        (dict(annot2=np.zeros((17, 2))), r'annot2 is \(17, 2\)'),
        (dict(annot3=np.full((3, 17), np.nan)), 'annot3 is .* not finite'),
        (dict(isValidFrame=EMPTY), 'isValidFrame'),
        (dict(annot2='left'), 'annot2'),
        (None, 'struct'),
    ],
)
def test_bad_cells(tmp_path, changes, said):
    cell = np.ones((2, 17)) if changes is None else struct(4, **changes)
    write_sequence(tmp_path, [[struct(1), struct(2)], [struct(3), cell]])
    with pytest.raises(AnnotationError, match=rf'annot.mat: frame 1, person 2: .*{said}'):
        read_annot_mat(tmp_path / 'annot.mat')


@pytest.mark.parametrize('cell', [np.zeros((1, 16)), np.full((1, 17), 2.0)])
def test_bad_labels(tmp_path, cell):
    write_sequence(tmp_path, [[struct(1)]], [[cell]])
    with pytest.raises(AnnotationError, match=r'occlusion.mat: frame 0, person 1: '):
        read_occlusion_mat(tmp_path / 'occlusion.mat', np.array([[True]]))
    assert not read_occlusion_mat(tmp_path / 'occlusion.mat', np.array([[False]])).any()


def test_broken_files(tmp_path):
    path = tmp_path / 'annot.mat'

    def refused(match=r'annot\.mat: .*docs/data_3d\.md'):
        with pytest.raises(AnnotationError, match=match):
            read_annot_mat(path)

    refused(r'annot\.mat: there is no such file')
    write_sequence(tmp_path, [[struct(k)] for k in range(30)])
    whole = path.read_bytes()
    for size in (0, 60, 200, len(whole) // 2, len(whole) - 5):
        path.write_bytes(whole[:size])
        refused()
    path.write_bytes(b'\x89HDF\r\n\x1a\n' + bytes(600))
    refused('7.3')
    for content in (dict(annotation=np.zeros(3)), dict(annotations=np.zeros((3, 2)))):
        savemat(path, content)
        refused("'annotations' must be a cell array")


# ------------------------------------------------------------------ json
@pytest.mark.parametrize(
    'name, place',
    [
        ('TS1/img_000000.jpg', (1, 0)), ('MultiPersonTestSet/TS20/img_000131.jpg', (20, 131)),
        ('TS7\\img_000002.png', (7, 2)), ('TS21/img_000000.jpg', None), ('TS1/000000.jpg', None),
        ('xTS1/img_000000.jpg', None), ('', None),
    ],
)  # fmt: skip
def test_names(name, place):
    assert parse_name(name) == place


@pytest.mark.parametrize(
    'changes',
    [
        dict(image_id=7),
        dict(keypoints_cam=[[0, 0, float('nan')]] * 17),
        dict(keypoints_cam=[[0, 0, -1]] * 17),
        dict(keypoints_img=[[0, 0]] * 21),
        dict(bbox=None),
        dict(keypoints_vis=[1]),
    ],
)
def test_bad_annotations(tmp_path, changes):
    path = write_json(tmp_path, annotations=[person(1, 100, 5), person(2, 100, 6) | changes])
    (key,) = changes
    with pytest.raises(AnnotationError, match=rf"MuPoTS-3D\.json: annotation 2: .*'{key}'"):
        read_mupots_json(path)
    # Who is not valid is not read.
    path = write_json(tmp_path, annotations=[person(1, 100, 5), person(2, 100, 6, 0) | changes])
    assert read_mupots_json(path).id.tolist() == [1]


def test_bad_files(tmp_path):
    def refused(match):
        with pytest.raises(AnnotationError, match=match):
            read_mupots_json(path)

    for changes, said in (
        (dict(intrinsic=[1, 2, 3]), "image 100: 'intrinsic'"),
        (dict(width=0), 'image 100: .*width'),
        (dict(intrinsic=[300, 300, 960, 540]), 'image 100: .*outside'),
        (dict(intrinsic=[6.0, 6.0, 50, 45]), 'image 100: .*mm'),
        (dict(names=('TS1/img_000000.jpg', 'a.jpg')), "image 101: 'file_name'"),
        (dict(names=('TS1/img_000000.jpg',) * 2), 'image 101: .*twice'),
        (dict(names=()), 'images'),
    ):
        path = write_json(tmp_path, **changes)
        refused(said)
    for text, said in (('[]', 'images'), ('{"images": [', 'json'), ('{"images": [1]}', 'annot')):
        path.write_text(text)
        refused(said)
    path.unlink()
    refused('no such file')


def test_who_is_valid(tmp_path):
    for value, count in ((True, 2), (0, 1), (False, 1), (1.0, 2)):
        people = [person(1, 100, 5), person(2, 100, 6, value)]
        assert len(read_mupots_json(write_json(tmp_path, annotations=people)).id) == count
    for value in ('false', 'true', 2, 0.5, None, -1):
        path = write_json(tmp_path, annotations=[person(1, 100, 5), person(2, 100, 6, value)])
        with pytest.raises(AnnotationError, match=r"MuPoTS-3D\.json: annotation 2: 'is_valid'"):
            read_mupots_json(path)
        write_sequence(tmp_path, [[struct(1), struct(2, isValidFrame=value or 'no')]])
        with pytest.raises(AnnotationError, match=r'annot.mat: frame 0, person 2: .*isValidFrame'):
            read_annot_mat(tmp_path / 'annot.mat')


@pytest.mark.parametrize(
    'change, said',
    [
        (lambda cam: cam / 1000, 'metres'),
        (lambda cam: cam / 10, 'centimetres'),
        (lambda cam: cam - cam[:, 14:15], 'root-relative'),
    ],
)
def test_other_units_and_origins(tmp_path, change, said):
    cell = struct(1)
    odd = dict(annot3=change(cell['annot3']))
    write_sequence(tmp_path, [[struct(1, **odd), struct(2, **odd)], [struct(3), struct(4, **odd)]])
    with pytest.raises(AnnotationError, match=rf'annot.mat: frame \d, person \d: .*\W{said}\?'):
        read_annot_mat(tmp_path / 'annot.mat')
    person_of = person(1, 100, 1, keypoints_cam=odd['annot3'].T.tolist())
    with pytest.raises(AnnotationError, match=rf'MuPoTS-3D.json: annotation 1: .*\W{said}\?'):
        read_mupots_json(write_json(tmp_path, annotations=[person_of]))


def test_isolated_odd_persons_are_left_out(tmp_path):
    cell = struct(1)
    for name in ('annot3', 'univ_annot3'):
        odd = struct(4, **{name: cell[name] / 1000})
        write_sequence(tmp_path / 'TS1', [[struct(1), struct(2)], [EMPTY, odd], [struct(3), EMPTY]])
        people = [person(i, 100, i) for i in (5, 6, 7)]
        people[1]['keypoints_cam'] = (cell['annot3'] / 1000).T.tolist()
        path = write_json(tmp_path, ['TS1/img_000000.jpg'], people)
        content = read_mupots_json(path)
        assert content.id.tolist() == [5, 7] and len(content.image) == len(content.shown) == 2
        assert 'annotation 6' in content.notes[0]
        truth = read_mupots(path, tmp_path)
        assert [len(frame.occluded) for frame in truth.frames] == [2, 0, 1]
        assert 'annot.mat: frame 1, person 2: ' in truth.notes[-1] and 'metres?' in truth.notes[-1]


# ------------------------------------------------------------------ both
def test_frames_of_the_official_files(tmp_path):
    """Images and cameras of the json, persons of the columns."""
    hidden = np.zeros((1, 17))
    hidden[0, 4] = 1
    rows = [[struct(10), struct(20)], [struct(30), EMPTY]]
    write_sequence(tmp_path / 'seq/TS2', rows, [[EMPTY, hidden], [EMPTY, EMPTY]])
    write_sequence(tmp_path / 'seq/TS1', [[struct(50, False)]])
    names = ('TS2/img_000001.jpg', 'TS2\\img_000000.jpg', 'TS1/img_000000.jpg')
    path = write_json(tmp_path, names, [person(7, 101, 20), person(5, 102, 50, 0)])
    truth = read_mupots(path, tmp_path / 'seq')
    assert truth.source == 'annot.mat' and truth.notes == ()
    empty, two, one = truth.frames
    assert [f.key for f in truth.frames] == ['TS1_img_000000', 'TS2_img_000000', 'TS2_img_000001']
    assert empty.image_id == 102 and empty.keypoints_img.shape == (0, 17, 2)
    assert two.image_id == 101 and two.intrinsic.tolist() == [300, 301, 50, 45]
    assert two.keypoints_cam[:, 14, 2].tolist() == [3010, 3020]
    assert two.occluded[1, 4] and two.occluded.sum() == 1
    assert one.image_id == 100 and one.keypoints_univ.shape == (1, 17, 3)


def test_frames_of_the_json(tmp_path):
    path = write_json(tmp_path, annotations=[person(7, 101, 20), person(8, 101, 10, 0)])
    for folder in (None, tmp_path / 'nowhere'):
        truth = read_mupots(path, folder)
        assert truth.source == 'json' and 'universal height' in truth.notes[0]
        empty, one = truth.frames
        assert empty.keypoints_img.shape == (0, 17, 2) and empty.occluded.shape == (0, 17)
        assert (one.keypoints_univ == one.keypoints_cam).all() and len(one.keypoints_cam) == 1
        assert one.occluded[0, 16] and one.occluded.sum() == 1


def test_files_that_do_not_fit(tmp_path):
    path = write_json(tmp_path, ('TS1/img_000000.jpg', 'TS1/img_000003.jpg', 'TS2/img_000000.jpg'))
    write_sequence(tmp_path / 'TS1', [[struct(1)], [struct(2)]])
    with pytest.raises(AnnotationError, match=r'TS2/annot.mat: there is no such file'):
        read_mupots(path, tmp_path)
    write_sequence(tmp_path / 'TS2', [[struct(1)]])
    truth = read_mupots(path, tmp_path)
    (note,) = truth.notes
    assert note.startswith('TS1: ') and '2 frames' in note and '2 images' in note
    frames = {frame.key: frame for frame in truth.frames}
    unseen, unlabelled = frames['TS1_img_000001'], frames['TS1_img_000003']
    assert unseen.image_id == -1 and len(unseen.occluded) == 1 and np.isnan(unseen.intrinsic).all()
    assert unlabelled.image_id == 101 and not len(unlabelled.occluded)
    write_sequence(tmp_path / 'TS2', [[struct(1)]], [[np.zeros((1, 17))] * 2])
    with pytest.raises(AnnotationError, match=r'TS2/occlusion.mat: .*\(1, 2\).*\(1, 1\)'):
        read_mupots(path, tmp_path)
    (tmp_path / 'TS2/occlusion.mat').unlink()
    with pytest.raises(AnnotationError, match=r'TS2/occlusion\.mat: there is no such file'):
        read_mupots(path, tmp_path)
