# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""MuPoTS-3D's files, written by hand as the official release has them, and read by the package."""

import json

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from wsp_mm.structures.mupots import read_annot_mat, read_mupots, read_occlusion_mat
from wsp_mm.structures.mupots_json import parse_name, read_mupots_json


def struct(number: int, valid: bool = True, **changes) -> dict:
    """One cell: joint k of person n lies at (n + k, n - k, 3000 + n) mm; f is 300, c 50 px."""
    k = np.arange(17.0)
    cam = np.stack([number + k, number - k, np.full(17, 3000.0 + number)])
    pixels = cam[:2] / cam[2:] * 300 + 50
    record = dict(
        annot2=pixels, annot3=cam, univ_annot3=1.1 * cam, isValidFrame=np.array([[valid]])
    )
    return {key: value for key, value in (record | changes).items() if value is not None}


def cells(rows: list[list]) -> np.ndarray:
    out = np.empty((len(rows), len(rows[0])), dtype=object)
    for i, row in enumerate(rows):
        for j, cell in enumerate(row):
            out[i, j] = cell
    return out


EMPTY = np.zeros((0, 0))


def write_sequence(folder, rows, labels=None):
    folder.mkdir(parents=True, exist_ok=True)
    savemat(folder / 'annot.mat', dict(annotations=cells(rows)))
    if labels is None:
        labels = [[np.zeros((1, 17))] * len(rows[0])] * len(rows)
    savemat(folder / 'occlusion.mat', dict(occlusion_labels=cells(labels)))


def person(ann_id, image_id, number, valid=1, **changes):
    cell = struct(number)
    return dict(
        id=ann_id, image_id=image_id, bbox=[1, 2, 30, 40], is_valid=valid,
        keypoints_cam=cell['annot3'].T.tolist(), keypoints_img=cell['annot2'].T.tolist(),
        keypoints_vis=[1] * 16 + [0],
    ) | changes  # fmt: skip


def write_json(root, names=('TS1/img_000000.jpg', 'TS1/img_000001.jpg'), annotations=(), **changes):
    images = [
        dict(id=100 + i, file_name=name, width=100, height=90, intrinsic=[300.0, 301.0, 50.0, 45.0])
        | changes
        for i, name in enumerate(names)
    ]
    path = root / 'MuPoTS-3D.json'
    path.write_text(json.dumps(dict(images=images, annotations=list(annotations))))
    return path


# ------------------------------------------------------------------ annot.mat, occlusion.mat
def test_an_official_sequence(tmp_path):
    hidden = np.zeros((1, 17))
    hidden[0, 3] = 1
    write_sequence(
        tmp_path,
        [[struct(10), struct(20, False)], [EMPTY, struct(30)], [struct(40), EMPTY]],
        [[hidden, hidden], [EMPTY, hidden.astype(np.uint8)], [hidden.T, EMPTY]],
    )
    truth = read_annot_mat(tmp_path / 'annot.mat')
    assert truth.valid.tolist() == [[True, False], [False, True], [True, False]]
    assert truth.present.tolist() == [[True, True], [False, True], [True, False]]
    assert truth.keypoints_img.shape == (3, 2, 17, 2) and truth.keypoints_univ.shape == (
        3,
        2,
        17,
        3,
    )
    assert truth.keypoints_cam[1, 1, 2].tolist() == [32, 28, 3030]  # joint 2 of person 30
    np.testing.assert_allclose(truth.keypoints_univ[0, 0], 1.1 * truth.keypoints_cam[0, 0])
    np.testing.assert_allclose(
        truth.keypoints_img[2, 0, 1], [41 / 3040 * 300 + 50, 39 / 3040 * 300 + 50]
    )
    assert np.isnan(truth.keypoints_cam[1, 0]).all()
    occluded = read_occlusion_mat(tmp_path / 'occlusion.mat')
    assert occluded[[0, 0, 1, 2], [0, 1, 1, 0], 3].all() and occluded.sum() == 4


def test_the_fixture_is_what_others_read(tmp_path):
    """As a MATLAB user sees it: cells of structs with these fields."""
    write_sequence(tmp_path, [[struct(10)]])
    plain = loadmat(tmp_path / 'annot.mat', struct_as_record=False, squeeze_me=True)['annotations']
    assert plain.annot3.shape == (3, 17) and plain.isValidFrame == 1


def test_who_is_not_valid_may_be_a_stub(tmp_path):
    stub = dict(annot2=EMPTY, annot3=np.full((3, 17), np.nan), univ_annot3=EMPTY)
    write_sequence(tmp_path, [[struct(1), struct(2, False, **stub)]])
    truth = read_annot_mat(tmp_path / 'annot.mat')
    assert truth.valid.tolist() == [[True, False]] and np.isnan(truth.keypoints_img[0, 1]).all()


@pytest.mark.parametrize(
    'changes, said',
    [
        (
            dict(univ_annot3=None),
            r"frame 1, person 2: the field univ_annot3 is missing; there are \['annot2'",
        ),
        (dict(annot2=np.zeros((17, 2))), 'frame 1, person 2: annot2 must be 2 x 17, is 17 x 2'),
        (
            dict(annot3=np.full((3, 17), np.nan)),
            'frame 1, person 2: annot3 of a valid person holds nan',
        ),
        (dict(isValidFrame=EMPTY), 'frame 1, person 2: isValidFrame must be one number, is 0 x 0'),
        (dict(annot2='left'), r'annot2 must be 2 x 17, is \S+ of <U'),
    ],
)
def test_bad_cells(tmp_path, changes, said):
    write_sequence(tmp_path, [[struct(1), struct(2)], [struct(3), struct(4, **changes)]])
    with pytest.raises(ValueError, match=rf'annot.mat: .*{said}'):
        read_annot_mat(tmp_path / 'annot.mat')


@pytest.mark.parametrize(
    'cell, said',
    [
        (np.zeros((1, 16)), 'must be 1 x 17, are 1 x 16'),
        (np.full((1, 17), 2.0), r'must be 0 or 1, hold \[2.0\]'),
    ],
)
def test_bad_labels(tmp_path, cell, said):
    write_sequence(tmp_path, [[struct(1)]], [[cell]])
    with pytest.raises(
        ValueError, match=rf'occlusion.mat: frame 0, person 1: occlusion_labels {said}'
    ):
        read_occlusion_mat(tmp_path / 'occlusion.mat')


def test_labels_of_who_is_not_valid_do_not_matter(tmp_path):
    write_sequence(
        tmp_path, [[struct(1), struct(2, False)]], [[np.ones((1, 17)), np.full((1, 17), np.nan)]]
    )
    path = tmp_path / 'occlusion.mat'
    assert read_occlusion_mat(path, np.array([[True, False]])).sum(axis=-1).tolist() == [[17, 0]]
    for valid in (None, np.array([[True, True]])):
        with pytest.raises(ValueError, match='frame 0, person 2: occlusion_labels must be 0 or 1'):
            read_occlusion_mat(path, valid)


def test_broken_files(tmp_path):
    path = tmp_path / 'annot.mat'
    with pytest.raises(ValueError, match=r'annot.mat: there is no such file.*docs/data.md'):
        read_annot_mat(path)
    write_sequence(tmp_path, [[struct(k)] for k in range(30)])
    whole = path.read_bytes()
    for size in (0, 60, 200, len(whole) // 2, len(whole) - 5):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r'annot.mat: .*docs/data.md'):
            read_annot_mat(path)
    path.write_bytes(b'\x89HDF\r\n\x1a\n' + bytes(600))
    with pytest.raises(ValueError, match=r'annot\.mat'):
        read_annot_mat(path)
    savemat(path, dict(annotation=np.zeros(3)))
    with pytest.raises(ValueError, match=r"holds no 'annotations', but \['annotation'\]"):
        read_annot_mat(path)
    savemat(path, dict(annotations=np.zeros((3, 2))))
    with pytest.raises(
        ValueError, match=r"'annotations' is no cell array .* float64 and shape \(3, 2\)"
    ):
        read_annot_mat(path)
    savemat(path, dict(annotations=cells([[np.ones((2, 17))]])))
    with pytest.raises(ValueError, match='frame 0, person 1: the cell holds no struct'):
        read_annot_mat(path)


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
    'changes, said',
    [
        (dict(image_id=7), 'it is of image 7, which is not there'),
        (
            dict(keypoints_cam=[[0, 0, float('nan')]] * 17),
            'keypoints_cam must be finite .* with nan',
        ),
        (dict(keypoints_cam=[[0, 0, -1]] * 17), '.*behind the camera'),
        (dict(keypoints_img=[[0, 0]] * 21), r'keypoints_img must be finite .* of shape \(21, 2\)'),
        (dict(bbox=None), 'bbox must be finite numbers'),
        (dict(keypoints_vis=[1]), 'keypoints_vis must be 17 labels, are 1'),
    ],
)
def test_bad_annotations(tmp_path, changes, said):
    path = write_json(tmp_path, annotations=[person(1, 100, 5), person(2, 100, 6) | changes])
    with pytest.raises(ValueError, match=f'MuPoTS-3D.json: annotation 2: {said}'):
        read_mupots_json(path)
    if (
        'image_id' not in changes and 'keypoints_vis' not in changes
    ):  # who is not valid is not looked at
        path = write_json(tmp_path, annotations=[person(1, 100, 5), person(2, 100, 6, 0) | changes])
        assert read_mupots_json(path).valid.tolist() == [True, False]


def test_bad_files(tmp_path):
    def said(match):
        with pytest.raises(ValueError, match=match):
            read_mupots_json(path)

    path = write_json(tmp_path, intrinsic=[1, 2, 3])
    said('image 100: width, height and intrinsic')
    path = write_json(tmp_path, names=('TS1/img_000000.jpg', 'a.jpg'))
    said("image 101: file_name 'a.jpg' is none of")
    path = write_json(tmp_path, names=('TS1/img_000000.jpg', 'TS1/img_000000.jpg'))
    said('image 101: its id or its frame is listed twice')
    path = write_json(tmp_path, names=())
    said("'images' is empty")
    for text, what in (
        ('[]', "'images' is missing"),
        ('{"images": [', 'no json'),
        ('{"images": [1]}', 'annot'),
    ):
        path.write_text(text)
        said(what)
    path.unlink()
    said('there is no such file')


# ------------------------------------------------------------------ both
def test_frames_of_the_official_files(tmp_path):
    """Numbering by the json, persons by the columns; a box in the json finds its column by the
    joints.
    """
    rows = [[struct(10), struct(20)], [struct(30), EMPTY]]
    hidden = np.zeros((1, 17))
    hidden[0, 4] = 1
    write_sequence(tmp_path / 'seq/TS2', rows, [[EMPTY, hidden], [EMPTY, EMPTY]])
    write_sequence(tmp_path / 'seq/TS1', [[struct(50, False)]])
    path = write_json(
        tmp_path,
        ('TS2/img_000001.jpg', 'TS2/img_000000.jpg', 'TS1/img_000000.jpg'),
        [person(7, 101, 20), person(8, 101, 10), person(9, 100, 77), person(5, 102, 50, 0)],
    )
    truth = read_mupots(path, tmp_path / 'seq')
    assert truth.source == 'annot.mat' and truth.notes == ()
    assert [frame.key for frame in truth.frames] == [
        'TS1_img_000000',
        'TS2_img_000000',
        'TS2_img_000001',
    ]
    empty, two, one = truth.frames
    assert (empty.image_id, empty.valid.tolist(), empty.ann_ids.tolist()) == (102, [False], [5])
    assert (two.image_id, two.file_name, two.width, two.height) == (
        101,
        'TS2/img_000000.jpg',
        100,
        90,
    )
    assert two.intrinsic.tolist() == [300, 301, 50, 45] and two.valid.tolist() == [True, True]
    assert two.ann_ids.tolist() == [8, 7] and two.keypoints_cam[:, 14, 2].tolist() == [3010, 3020]
    assert two.occluded[1, 4] and two.occluded.sum() == 1
    assert one.ann_ids.tolist() == [-1] and one.keypoints_univ.shape == (1, 17, 3)


def test_frames_of_the_json(tmp_path):
    path = write_json(tmp_path, annotations=[person(7, 101, 20), person(8, 101, 10, 0)])
    for folder in (None, tmp_path / 'nowhere'):
        truth = read_mupots(path, folder)
        assert truth.source == 'json' and 'not scaled to the universal height' in truth.notes[0]
        empty, two = truth.frames
        assert empty.keypoints_img.shape == (0, 17, 2) and empty.occluded.shape == (0, 17)
        assert two.valid.tolist() == [True, False] and two.ann_ids.tolist() == [7, 8]
        assert (two.keypoints_univ == two.keypoints_cam).all() and two.occluded[0, 16]
    assert two.occluded.sum() == 2


def test_files_that_do_not_fit(tmp_path):
    names = ('TS1/img_000000.jpg', 'TS1/img_000003.jpg', 'TS2/img_000000.jpg')
    path = write_json(tmp_path, names)
    write_sequence(tmp_path / 'TS1', [[struct(1)], [struct(2)]])
    with pytest.raises(
        ValueError, match=r'TS2/annot.mat: there is no such file, nor 0 others of 2 sequences'
    ):
        read_mupots(path, tmp_path)
    write_sequence(tmp_path / 'TS2', [[struct(1)]])
    truth = read_mupots(path, tmp_path)
    (note,) = truth.notes
    assert note.startswith('TS1: ') and '2 frames and MuPoTS-3D.json 2 pictures' in note
    frames = {frame.key: frame for frame in truth.frames}
    assert frames['TS1_img_000001'].image_id == -1 and frames['TS1_img_000001'].valid.tolist() == [
        True
    ]
    assert np.isnan(frames['TS1_img_000001'].intrinsic).all()
    assert frames['TS1_img_000003'].image_id == 101 and not len(frames['TS1_img_000003'].valid)
    write_sequence(tmp_path / 'TS2', [[struct(1)]], [[np.zeros((1, 17))] * 2])
    with pytest.raises(
        ValueError, match=r'TS2/occlusion.mat: it is of \(1, 2\) .* beside it of \(1, 1\)'
    ):
        read_mupots(path, tmp_path)
    (tmp_path / 'TS2/occlusion.mat').unlink()
    with pytest.raises(ValueError, match=r'TS2/occlusion\.mat: there is no such file'):
        read_mupots(path, tmp_path)
