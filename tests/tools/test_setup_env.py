# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""What the set-up refuses; the set-up itself is run by ``.ci/run`` on every fresh clone."""

import shutil
import subprocess
import sys

import pytest

TOOLS = ('bash', 'dirname', 'cat', 'sha256sum', 'cut', 'df', 'awk', 'c++')


@pytest.fixture
def setup_env(repo, tmp_path):
    """``setup_env(lacks=..., **environment)`` runs the script where only a few programs are
    found.
    """
    checkout, programs = tmp_path / 'checkout', tmp_path / 'bin'
    (checkout / 'tools').mkdir(parents=True)
    programs.mkdir()
    shutil.copy(repo / 'tools' / 'setup_env.sh', checkout / 'tools')
    shutil.copy(repo / 'setup.py', checkout)
    shutil.copytree(repo / 'requirements', checkout / 'requirements')

    def run(lacks=(), **environment):
        for name in {*TOOLS} - {*lacks}:
            (programs / name).symlink_to(shutil.which(name))
        done = subprocess.run(
            [programs / 'bash', checkout / 'tools' / 'setup_env.sh'],
            env={'PATH': str(programs), **environment},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1 and not (checkout / '.venv').exists()
        assert len(done.stderr.splitlines()) == 1
        return done.stderr

    return run


def test_no_python(setup_env):
    assert 'apt-get install python3.11' in setup_env()


def test_a_python_that_does_not_run(setup_env, tmp_path):
    assert 'PYTHON=/bin/false' in setup_env(PYTHON='/bin/false')


def test_no_compiler(setup_env):
    said = setup_env(lacks=['c++'], PYTHON=sys.executable)
    assert 'g++' in said and 'gcc-c++' in said
