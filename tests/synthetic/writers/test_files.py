# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import errno
import os

import pytest

from wsp_mm.synthetic.writers import files
from wsp_mm.synthetic.writers.files import WorldError, remove_temporaries, write_bytes, write_json


def test_writes_with_its_folders_and_leaves_nothing_else(tmp_path):
    path = tmp_path / 'a' / 'b' / 'c.json'
    write_json(path, {'x': [1, 2.5]})
    assert path.read_text() == '{"x":[1,2.5]}'
    assert [p.name for p in path.parent.iterdir()] == ['c.json']
    write_json(path, [])
    assert path.read_text() == '[]'


def test_a_full_disk_leaves_the_old_file_and_no_half_one(tmp_path, monkeypatch):
    path = tmp_path / 'picture.jpg'
    write_bytes(path, b'old')

    class Full:
        def __init__(self, *args):
            self.file = open(*args)  # noqa: SIM115

        def __enter__(self):
            return self

        def __exit__(self, *args):
            self.file.close()

        def write(self, data):
            self.file.write(data[:2])
            raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(files, 'open', Full, raising=False)
    with pytest.raises(WorldError, match=r'picture.jpg: the disk is full.*run the same command again'):
        write_bytes(path, b'new and long')
    assert path.read_bytes() == b'old'
    assert [p.name for p in tmp_path.iterdir()] == ['picture.jpg']


def test_an_interrupt_leaves_no_half_file(tmp_path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, 'replace', interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(tmp_path / 'picture.jpg', b'x')
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_a_folder(tmp_path):
    (tmp_path / 'world').write_text('')
    with pytest.raises(WorldError, match='a file lies where a folder should be'):
        write_bytes(tmp_path / 'world' / 'a.json', b'')


@pytest.mark.parametrize(
    ('number', 'words'),
    [(errno.EACCES, 'not writable'), (errno.EROFS, 'not writable'), (errno.EIO, 'cannot be')],
)
def test_other_errors_name_the_file(tmp_path, monkeypatch, number, words):
    def refuse(*args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files, 'open', refuse, raising=False)
    with pytest.raises(WorldError, match=rf'x\.json: {words}'):
        write_json(tmp_path / 'x.json', 1)


def test_nan_is_no_json(tmp_path):
    with pytest.raises(ValueError):
        write_json(tmp_path / 'x.json', [float('nan')])
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_a_killed_run_are_removed(tmp_path):
    (tmp_path / 'coco').mkdir()
    (tmp_path / 'coco' / '1.jpg.123.part').write_bytes(b'ha')
    (tmp_path / 'coco' / '1.jpg').write_bytes(b'whole')
    assert remove_temporaries(tmp_path) == 1
    assert [p.name for p in (tmp_path / 'coco').iterdir()] == ['1.jpg']
