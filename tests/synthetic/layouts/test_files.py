# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import errno
import os

import pytest

from wsp_mm.synthetic.layouts import files
from wsp_mm.synthetic.layouts.files import (
    WorldError,
    link_or_copy,
    remove_temporaries,
    write_bytes,
    write_json,
)


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
    with pytest.raises(
        WorldError, match=r'picture.jpg: the disk is full.*run the same command again'
    ):
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


def test_a_second_name_is_a_link(tmp_path):
    first, second = tmp_path / 'a.jpg', tmp_path / 'deep' / 'b.jpg'
    first.write_bytes(b'new')
    for _ in range(2):  # once more over the link that is there already
        link_or_copy(first, second)
        assert os.path.samefile(first, second)
    # Over a stale file, and without touching what that one was linked to.
    first.unlink()
    first.write_bytes(b'newer')
    other = tmp_path / 'other.jpg'
    os.link(second, other)
    link_or_copy(first, second)
    assert os.path.samefile(first, second) and other.read_bytes() == b'new'
    assert sorted(p.name for p in tmp_path.rglob('*') if p.is_file()) == [
        'a.jpg',
        'b.jpg',
        'other.jpg',
    ]


def test_where_links_are_impossible_there_are_copies(tmp_path, monkeypatch):
    def refused(*args):
        raise OSError(errno.EPERM, 'Operation not permitted')

    monkeypatch.setattr(files.os, 'link', refused)
    first, second = tmp_path / 'a.jpg', tmp_path / 'b' / 'b.jpg'
    first.write_bytes(b'picture')
    link_or_copy(first, second)
    assert second.read_bytes() == b'picture' and not os.path.samefile(first, second)
    assert [p.name for p in second.parent.iterdir()] == ['b.jpg']
    (tmp_path / 'file').write_bytes(b'')
    with pytest.raises(WorldError, match='a file lies where a folder should be'):
        link_or_copy(first, tmp_path / 'file' / 'b.jpg')
