# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import pytest
from scipy.io import savemat

from wsp_mm.datasets import array_files
from wsp_mm.datasets.annotations import AnnotationError
from wsp_mm.datasets.array_files import NUMBERS, TEXT, map_npy, read_mat, read_npz


def refused(read, path, kind, match=''):
    with pytest.raises(AnnotationError, match=f'{path.name}: .*{match}.*Fix it') as error:
        read(path, remedy='Fix it')
    assert error.value.kind == kind


def test_npz(tmp_path):
    path, kinds = tmp_path / 'a.npz', dict(names=TEXT, x=NUMBERS)
    np.savez(path, names=np.array(['a', '图']), x=np.arange(3), rest=np.array([None]))
    found = read_npz(path, kinds)
    assert list(found) == ['names', 'x'] and found['names'].tolist() == ['a', '图']
    refused(read_npz, path, 'broken npz', 'Object arrays')  # nothing unpickles them
    for changes in (dict(names=np.arange(2)), dict(x=np.array(['1'])), dict(x=np.array(1j))):
        np.savez(path, **dict(names=np.array(['a']), x=np.ones(2)) | changes)
        refused(partial(read_npz, kinds=kinds), path, 'broken npz', f'{list(changes)[-1]} is')
    np.savez(path, x=np.array(['a']).view('u4').__or__(0xD800).view('U1'))
    refused(read_npz, path, 'broken npz', 'surrogates')
    np.savez_compressed(path, x=np.random.default_rng(0).random(500))
    data = bytearray(path.read_bytes())
    data[200:210] = bytes(10)
    path.write_bytes(data)
    refused(read_npz, path, 'broken npz')
    refused(read_npz, tmp_path / 'gone.npz', 'missing file')


def test_npy(tmp_path):
    path = tmp_path / 'a.npy'
    np.save(path, np.arange(300))
    assert isinstance(map_npy(path), np.memmap) and map_npy(path)[299] == 299
    whole = path.read_bytes()
    huge = whole.replace(b'(300,), }           ', b'(300000000000000,), }')
    torn = whole.replace(b"'shape': (", b"'shape': {")
    for data in (b'', whole[:7], whole[:50], whole[:-8], huge, torn):
        assert data != whole
        path.write_bytes(data)
        refused(map_npy, path, 'broken npy')
    np.save(path, np.array([None]))
    refused(map_npy, path, 'broken npy', 'objects')
    refused(map_npy, tmp_path / 'gone.npy', 'missing file')


@pytest.fixture
def mat(tmp_path):
    path = tmp_path / 'a.mat'
    savemat(path, dict(x=np.arange(4.0), s=dict(name='text')))
    return path


def test_mats_are_read_by_one_process(mat):
    assert read_mat(mat)['x'].tolist() == [[0, 1, 2, 3]]
    process = array_files._reader.process
    found = read_mat(mat, struct_as_record=False, squeeze_me=True)
    assert found['s'].name == 'text' and array_files._reader.process is process
    with ProcessPoolExecutor(1, multiprocessing.get_context('fork')) as pool:  # has its own
        assert pool.submit(read_mat, mat).result()['x'].size == 4
    assert read_mat(mat)['x'].size == 4


def test_bad_mats(mat, tmp_path):
    refused(read_mat, tmp_path / 'gone.mat', 'missing file')
    whole = mat.read_bytes()
    for data in (b'', whole[:100], whole[:-8], b'no mat at all' * 20):
        mat.write_bytes(data)
        refused(read_mat, mat, 'broken mat')
    text = b'MATLAB 7.3 MAT-file'.ljust(512)
    for data in (b'\x89HDF\r\n\x1a\n' + bytes(9), text + b'\x89HDF\r\n\x1a\n'):
        mat.write_bytes(data)
        refused(read_mat, mat, 'broken mat', 'HDF5.*-v7')


HANGING = dict(_TIME_S=0.0, _TIME_S_PER_BYTE=0.0)
CRASHING = dict(_CHILD=array_files._CHILD.replace('loadmat(file, **options)', 'os.abort()'))


@pytest.mark.parametrize('change', [HANGING, CRASHING, dict(_MEMORY=1 << 20)])
def test_a_crash_or_a_hang_is_an_error_and_the_next_file_is_read(mat, monkeypatch, change):
    savemat(mat, dict(x=np.zeros(5_000_000)), do_compression=True)
    array_files._reader.stop()
    with monkeypatch.context() as patch:
        patch.setattr(array_files._reader, 'memory', 0)
        for name, value in change.items():
            assert getattr(array_files, name) != value
            patch.setattr(array_files, name, value)
        refused(read_mat, mat, 'broken mat')
    array_files._reader.stop()
    assert read_mat(mat)['x'].size == 5_000_000
