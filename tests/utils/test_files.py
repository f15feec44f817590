# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import hashlib
import json
import math
import os
import stat

import pytest

from wsp_mm.utils.files import atomic_file, dump_json, file_sha256, write_text_atomic


def test_a_file_takes_its_name_when_it_is_whole(tmp_path):
    path = tmp_path / 'new' / 'file'
    with atomic_file(path) as file:
        file.write(b'half')
        assert not path.exists()
        assert [p.name.endswith('.part') for p in path.parent.iterdir()] == [True]
    assert path.read_bytes() == b'half'
    assert os.listdir(path.parent) == ['file']


@pytest.mark.parametrize('error', [ValueError, KeyboardInterrupt])
def test_an_error_changes_nothing(error, tmp_path):
    path = tmp_path / 'file'
    path.write_bytes(b'before')
    with pytest.raises(error), atomic_file(path) as file:
        file.write(b'half')
        raise error
    assert path.read_bytes() == b'before'
    assert os.listdir(tmp_path) == ['file']


def test_two_writers_of_one_name_do_not_meet(tmp_path):
    path = tmp_path / 'file'
    with atomic_file(path) as first, atomic_file(path) as second:
        first.write(b'first')
        second.write(b'second')
    assert path.read_bytes() == b'first'  # its context was left last
    assert os.listdir(tmp_path) == ['file']


@pytest.mark.parametrize('umask', [0o022, 0o077])
def test_who_may_read_it_is_for_the_umask_to_say(umask, tmp_path):
    before = os.umask(umask)
    try:
        write_text_atomic(tmp_path / 'file', 'é')
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / 'file').stat().st_mode) == 0o666 & ~umask
    assert (tmp_path / 'file').read_bytes() == 'é'.encode()


@pytest.mark.parametrize('size', [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_sha256(size, tmp_path):
    data = bytes(i % 251 for i in range(size))
    (tmp_path / 'file').write_bytes(data)
    assert file_sha256(tmp_path / 'file') == hashlib.sha256(data).hexdigest()


def test_json_has_null_for_what_is_not_finite(tmp_path):
    value = dict(a=math.nan, b=[1, (math.inf, 2.5)], c={3: dict(d=-math.inf, e='nan')})
    dump_json(tmp_path / 'new' / 'file', value)
    assert json.loads((tmp_path / 'new' / 'file').read_text()) == dict(
        a=None, b=[1, [None, 2.5]], c={'3': dict(d=None, e='nan')}
    )
