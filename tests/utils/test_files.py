# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import hashlib
import json
import math
import os
import stat
import subprocess
import sys

import numpy as np
import pytest

from wsp_mm.utils.files import (
    atomic_file,
    atomic_folder,
    cut_name,
    dump_json,
    file_sha256,
    progress_bar,
    remove_leftovers,
    write_text_atomic,
)


def test_a_file_takes_its_name_when_it_is_whole(tmp_path):
    path = tmp_path / 'new' / 'file'
    with atomic_file(path) as file:
        file.write(b'half')
        assert not path.exists()
        assert [p.name.endswith('.part') for p in path.parent.iterdir()] == [True]
    assert path.read_bytes() == b'half'
    assert os.listdir(path.parent) == ['file']


@pytest.mark.parametrize('name', ['日' * 85, 'a' * 255, 'é' * 100 + '\udcff'])
def test_names_as_long_as_the_file_system_allows(name, tmp_path):
    write_text_atomic(tmp_path / name, 'a')
    assert os.listdir(tmp_path) == [name]
    for size in range(7):
        assert len(cut_name('aé日x', size).encode()) in (size, size - 1, size - 2)
    assert cut_name('aé日x', 5) == 'aé' and cut_name('aé日x', 7) == 'aé日x'


@pytest.mark.parametrize('error', [ValueError, KeyboardInterrupt])
def test_an_error_changes_nothing(error, tmp_path):
    file, folder = tmp_path / 'file', tmp_path / 'folder'
    file.write_bytes(b'before')
    folder.mkdir()
    (folder / 'a').touch()
    with pytest.raises(error), atomic_file(file) as stream, atomic_folder(folder) as new:
        stream.write(b'half')
        (new / 'b').touch()
        raise error
    assert file.read_bytes() == b'before' and os.listdir(folder) == ['a']
    assert sorted(os.listdir(tmp_path)) == ['file', 'folder']


def test_two_writers_of_one_name_do_not_meet(tmp_path):
    path = tmp_path / 'file'
    with atomic_file(path) as first, atomic_file(path) as second:
        first.write(b'first')
        second.write(b'second')
    assert path.read_bytes() == b'first'  # its context was left last
    assert os.listdir(tmp_path) == ['file']


def test_a_folder_replaces_the_one_before(tmp_path):
    path = tmp_path / 'new' / 'folder'
    for name in ('a', 'b'):
        with atomic_folder(path) as folder:
            (folder / name).write_text(name)
        assert os.listdir(path) == [name] and os.listdir(path.parent) == ['folder']


def test_parts_of_processes_that_are_gone_are_removed(tmp_path):
    gone = subprocess.Popen([sys.executable, '-c', ''])
    gone.wait()
    kept = [f'.a[1].{os.getpid()}-0123abcd.part', '.b.123.part', 'c.part', f'.d.{2**40}-x.part']
    for name in (*kept, f'.e.pth.{gone.pid}-0123abcd.part'):
        (tmp_path / name).touch()
    folder = tmp_path / f'.a[1].{gone.pid}-0123abcd.part'
    (folder / 'b').mkdir(parents=True)
    with atomic_folder(tmp_path / 'a[1]'):
        pass  # removes those of its own name
    assert not folder.exists()
    others = [*kept, 'a[1]', f'.e.pth.{gone.pid}-0123abcd.part']
    assert sorted(os.listdir(tmp_path)) == sorted(others)
    remove_leftovers(tmp_path)
    remove_leftovers(tmp_path / 'absent')
    assert sorted(os.listdir(tmp_path)) == sorted([*kept, 'a[1]'])


@pytest.mark.parametrize('umask', [0o022, 0o077])
def test_permissions_follow_the_umask(umask, tmp_path):
    before = os.umask(umask)
    try:
        write_text_atomic(tmp_path / 'file', 'é')
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / 'file').stat().st_mode) == 0o666 & ~umask
    assert (tmp_path / 'file').read_bytes() == 'é'.encode()


@pytest.mark.parametrize('indent', [None, 2])
def test_json_has_null_for_what_is_not_finite(indent, tmp_path):
    value = dict(a=math.nan, b=[1, (math.inf, 2.5)], c={3: dict(d=-math.inf, e='nan')})
    value |= dict(f=np.float32(np.nan), g=np.array([[1, 2]]), h=np.int64(3), i=True)
    dump_json(tmp_path / 'new' / 'file', value, indent)
    text = (tmp_path / 'new' / 'file').read_text()
    assert json.loads(text) == dict(
        a=None, b=[1, [None, 2.5]], c={'3': dict(d=None, e='nan')}, f=None, g=[[1, 2]], h=3, i=True
    )
    assert (' ' in text) == (indent is not None)


@pytest.mark.parametrize('size', [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_sha256(size, tmp_path):
    data = bytes(i % 251 for i in range(size))
    (tmp_path / 'file').write_bytes(data)
    assert file_sha256(tmp_path / 'file') == hashlib.sha256(data).hexdigest()


def test_progress_without_a_terminal_is_lines(capsys):
    assert list(progress_bar([1, 2], unit='images', label='reading')) == [1, 2]
    assert 'reading: 2 of 2 images' in capsys.readouterr().err
    with progress_bar(unit='images') as bar:  # of unknown length
        bar.update(3)
    assert '3 images' in capsys.readouterr().err
    list(progress_bar(range(3), show=False))
    assert capsys.readouterr().err == ''
