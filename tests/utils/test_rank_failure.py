# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import faulthandler
import json
import os
import subprocess
import sys

import pytest

from wsp_mm.utils import rank_failure
from wsp_mm.utils.rank_failure import lost_peer, run_rank


@pytest.fixture
def error_file(monkeypatch, tmp_path):
    """As a process of torchrun, whose exit is not limited (pytest has faulthandler in use)."""
    file = tmp_path / 'error.json'
    monkeypatch.setenv('TORCHELASTIC_ERROR_FILE', str(file))
    monkeypatch.setattr(faulthandler, 'dump_traceback_later', lambda *args, **kwargs: None)
    monkeypatch.setattr(faulthandler, 'enable', lambda *args, **kwargs: None)
    return file


def fail(error):
    def action():
        raise error

    return action


def test_result_is_passed_on(error_file):
    assert run_rank(lambda: 3) == 3
    assert not error_file.exists()


@pytest.mark.parametrize('error', [ValueError('the cause'), SystemExit('the cause')])
def test_error_is_written_and_goes_on(error, error_file):
    with pytest.raises(type(error), match='the cause'):
        run_rank(fail(error))
    assert 'the cause' in json.loads(error_file.read_text())['message']['extraInfo']['py_callstack']


def test_a_good_exit_is_no_failure(error_file):
    with pytest.raises(SystemExit):
        run_rank(fail(SystemExit(0)))
    assert not error_file.exists()


def test_a_rank_that_lost_its_peer_waits_for_the_launcher(error_file, monkeypatch):
    waited = []
    monkeypatch.setattr(rank_failure.time, 'sleep', waited.append)
    with pytest.raises(RuntimeError):
        run_rank(fail(RuntimeError('[pair.cc:547] Connection closed by peer [127.0.0.1]:123')))
    assert waited == [rank_failure.PATIENCE]
    if sys.version_info >= (3, 11):
        assert 'Another rank ended first' in error_file.read_text()


def test_what_is_a_lost_peer():
    assert lost_peer(RuntimeError('NCCL error: remote process exited or there was a network error'))
    assert not lost_peer(RuntimeError('mat1 and mat2 shapes cannot be multiplied'))
    assert not lost_peer(ConnectionError('connection reset by peer'))  # of a download, say


def test_outside_torchrun_nothing_is_added(monkeypatch):
    for name in ('TORCHELASTIC_ERROR_FILE', *rank_failure._SIZES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('SLURM_NTASKS', '1')  # as in a shell of Slurm
    monkeypatch.setattr(rank_failure.time, 'sleep', lambda seconds: pytest.fail('waited'))
    with pytest.raises(RuntimeError):
        run_rank(fail(RuntimeError('Connection closed by peer')))


@pytest.mark.slow
@pytest.mark.parametrize('launcher', ['torchrun', 'slurm'])
def test_an_exit_that_waits_is_cut_short(tmp_path, launcher):
    """A process that hangs after its error, as with a communicator that waits for the other
    ranks.
    """
    script = (
        'import atexit, time\n'
        'from wsp_mm.utils import rank_failure\n'
        'rank_failure.EXIT_WITHIN = 0.2\n'
        'atexit.register(time.sleep, 600)\n'
        'rank_failure.run_rank(lambda: 1 / 0)\n'
    )
    said = dict(
        torchrun=dict(TORCHELASTIC_ERROR_FILE=str(tmp_path / 'error.json')),
        slurm=dict(SLURM_NTASKS='2'),
    )
    env = {**os.environ, **said[launcher]}
    done = subprocess.run(
        [sys.executable, '-c', script], env=env, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 1
    assert 'ZeroDivisionError' in done.stderr
    if launcher == 'torchrun':
        assert 'ZeroDivisionError' in (tmp_path / 'error.json').read_text()
