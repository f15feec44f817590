# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from wsp_mm.evaluation.mupots_files import FILE_2D, FILE_3D, load_predictions, save_predictions

KEYS = ['TS10_img_000000', 'TS2_img_000000', 'TS2_img_000001', 'TS2_img_000002']


@pytest.fixture
def predictions():
    rng = np.random.default_rng(0)
    return {
        key: (rng.normal(size=(count, 17, 2)), rng.normal(size=(count, 17, 3)))
        for key, count in ((KEYS[1], 1), (KEYS[3], 3))
    }


def test_official_names_every_frame_and_empty_ones(tmp_path, predictions):
    files = save_predictions(tmp_path / 'new' / 'folder', KEYS, predictions)
    assert [file.name for file in files] == ['preds_2d_kpt_mupots.mat', 'preds_3d_kpt_mupots.mat']
    for side, (file, dim) in enumerate(zip(files, (2, 3), strict=True)):
        content = {key: value for key, value in loadmat(file).items() if not key.startswith('__')}
        assert list(content) == [*KEYS[1:], KEYS[0]]  # by number of the sequence
        assert content[KEYS[0]].shape == content[KEYS[2]].shape == (0, 17, dim)
        assert content[KEYS[1]].shape == (1, 17, dim) and content[KEYS[1]].dtype == np.float64
        np.testing.assert_array_equal(content[KEYS[3]], predictions[KEYS[3]][side])
    assert sorted(p.name for p in files[0].parent.iterdir()) == [FILE_2D, FILE_3D]


def test_read_back(tmp_path, predictions):
    found = load_predictions(*save_predictions(tmp_path, KEYS, predictions))
    assert list(found) == [*KEYS[1:], KEYS[0]]
    for key in KEYS:
        for side, dim in enumerate((2, 3)):
            expected = predictions[key][side] if key in predictions else np.zeros((0, 17, dim))
            np.testing.assert_array_equal(found[key][side], expected)


def test_what_is_wrong_is_not_written(tmp_path, predictions):
    folder = tmp_path / 'out'
    with pytest.raises(ValueError, match=r"1 frames .* not known.*'TS2_img_000002'"):
        save_predictions(folder, KEYS[:3], predictions)
    with pytest.raises(ValueError, match=r"'TS2/img_000000.jpg' does not name a frame"):
        save_predictions(folder, ['TS2/img_000000.jpg'], {})
    pose = predictions[KEYS[3]]
    with pytest.raises(ValueError, match=r'TS2_img_000002 must be \(P, 17, 2\), got \(3, 17, 3\)'):
        save_predictions(folder, KEYS, {KEYS[3]: pose[::-1]})
    with pytest.raises(ValueError, match='TS2_img_000002: 3 persons in 2D, 2 in 3D'):
        save_predictions(folder, KEYS, {KEYS[3]: (pose[0], pose[1][:2])})
    assert not folder.exists() or not list(folder.glob('*.mat'))


def test_a_failed_write_leaves_the_old_files(tmp_path, predictions, monkeypatch):
    files = save_predictions(tmp_path, KEYS, {})
    before = [file.read_bytes() for file in files]
    from pathlib import Path

    real = Path.write_bytes

    def full(self, data):
        if FILE_3D in self.name:
            raise OSError(28, 'No space left on device')
        return real(self, data)

    monkeypatch.setattr(Path, 'write_bytes', full)
    with pytest.raises(OSError, match='No space'):
        save_predictions(tmp_path, KEYS, predictions)
    assert [file.read_bytes() for file in files] == before


def test_other_peoples_files(tmp_path):
    one, two = tmp_path / 'a.mat', tmp_path / 'b.mat'
    pose = np.arange(34, dtype=np.float32).reshape(1, 17, 2)
    savemat(one, {'TS1_img_000000': pose, 'TS1_img_000001': np.zeros((0, 0))}, do_compression=True)
    savemat(
        two,
        {'TS1_img_000000': np.ones((1, 17, 3), np.int16), 'TS1_img_000001': np.zeros((0, 17, 3))},
    )
    found = load_predictions(one, two)
    np.testing.assert_array_equal(found['TS1_img_000000'][0], pose)
    assert [side.shape for side in found['TS1_img_000001']] == [(0, 17, 2), (0, 17, 3)]


def test_bad_files_are_named(tmp_path, predictions):
    good_2d, good_3d = save_predictions(tmp_path, KEYS, predictions)
    with pytest.raises(FileNotFoundError, match=r'nothing\.mat does not exist'):
        load_predictions(tmp_path / 'nothing.mat', good_3d)
    bad = tmp_path / 'bad.mat'
    for content in (
        b'',
        b'no mat file at all' * 20,
        *(good_2d.read_bytes()[:n] for n in (130, 180, 400)),
    ):
        bad.write_bytes(content)
        with pytest.raises(ValueError, match=r'bad\.mat cannot be read as a mat file'):
            load_predictions(bad, good_3d)
    bad.write_bytes(b'MATLAB 7.3 MAT-file'.ljust(124, b' ') + b'\x00\x02IM' + b'\x00' * 8)
    with pytest.raises(ValueError, match=r'7\.3: save it with -v7'):
        load_predictions(bad, good_3d)
    cases = (
        ({'frame1': np.zeros((1, 17, 2))}, "'frame1' does not name a frame"),
        (
            {'TS1_img_000000': np.zeros((1, 14, 2))},
            r'TS1_img_000000 must be \(persons, 17, 2\), got \(1, 14, 2\)',
        ),
        ({'TS1_img_000000': 'text'}, 'TS1_img_000000'),
        ({}, 'holds no frame'),
    )
    for content, message in cases:
        savemat(bad, content)
        with pytest.raises(ValueError, match=rf'bad\.mat.*{message}'):
            load_predictions(bad, good_3d)
    savemat(bad, {key: np.zeros((0, 17, 2)) for key in KEYS[:3]})
    with pytest.raises(ValueError, match=r'1 frames are in only one .* TS2_img_000002'):
        load_predictions(bad, good_3d)
    savemat(bad, {key: np.zeros((2, 17, 2)) for key in KEYS})
    with pytest.raises(ValueError, match=r'TS10_img_000000 has 2 persons in .*bad\.mat, 0 in'):
        load_predictions(bad, good_3d)
