# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The checks of the set-up; the set-up itself is run by ``.ci/run`` on every fresh clone."""

import os
import subprocess
import sys

import pytest


@pytest.fixture
def env(load_tool):
    return load_tool('setup_env')


def test_this_machine_passes(env):
    assert env.python_problems() == []
    assert env.system_problems() == []


def test_missing_things_are_named_with_their_packages(env, monkeypatch):
    monkeypatch.setenv('PATH', '/nowhere')
    monkeypatch.delenv('CXX', raising=False)
    monkeypatch.setattr(env, 'has_library', lambda name: False)
    line = env.explain(env.system_problems())
    assert '\n' not in line
    assert 'missing: a C++ compiler, libGL, libglib.' in line
    assert 'apt-get install g++ libgl1 libglib2.0-0 ' in line
    assert 'dnf install gcc-c++ mesa-libGL glib2 ' in line


def test_missing_headers_are_named(env, monkeypatch, tmp_path):
    monkeypatch.setattr(env.sysconfig, 'get_paths', lambda: dict(include=str(tmp_path)))
    line = env.explain(env.python_problems())
    version = f'python{sys.version_info[0]}.{sys.version_info[1]}'
    assert f'headers of {version}' in line
    assert f'{version}-dev ' in line
    assert f'{version}-devel ' in line


def test_a_compiler_that_does_not_work_does_not_count(env, monkeypatch, tmp_path):
    (tmp_path / 'g++').write_text('#!/bin/sh\nexit 1\n')
    (tmp_path / 'g++').chmod(0o755)
    monkeypatch.setenv('PATH', str(tmp_path))
    monkeypatch.delenv('CXX', raising=False)
    assert env.compiler() is None


def test_libraries(env):
    assert env.has_library('libc.so.6')
    assert not env.has_library('libnothing_of_that_name.so.1')


def test_disk(env, tmp_path):
    assert env.disk_problem(tmp_path, 0) is None
    assert str(tmp_path) in env.disk_problem(tmp_path, 1e9)


def test_progress_shows_what_pip_and_ninja_are_at(env):
    progress = env.Progress('mmcv')
    progress.feed('  [12/78] c++ -MMD -MF nms.o\n')
    assert '[12/78 files compiled]' in progress.text()
    progress.feed('Collecting torch==2.11.0 (from -r build.txt)\n')
    assert 'Collecting torch==2.11.0' in progress.text()
    progress.feed('noise\n')
    assert 'Collecting torch==2.11.0' in progress.text()
    progress.done()
    assert 'done' in progress.text()


def test_fingerprint_follows_the_requirements(env, monkeypatch, tmp_path):
    (tmp_path / 'requirements').mkdir()
    for name in (*env.REQUIREMENTS, 'constraints'):
        (tmp_path / 'requirements' / f'{name}.txt').write_text('a==1\n')
    (tmp_path / 'setup.py').write_text('')
    monkeypatch.setattr(env, 'ROOT', tmp_path)
    before = env.fingerprint()
    assert before == env.fingerprint()
    (tmp_path / 'requirements' / 'tests.txt').write_text('a==2\n')
    assert env.fingerprint() != before


def test_a_failing_step_stops_and_shows_its_output(env, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(env, 'LOG', tmp_path / 'log')
    monkeypatch.setenv('PYTHONPATH', '/leak')
    env.run(
        'fine',
        [sys.executable, '-c', 'import os; print(os.environ.get("PYTHONPATH"), os.environ["X"])'],
        X='7',
    )
    assert 'None 7' in (tmp_path / 'log').read_text()
    with pytest.raises(SystemExit) as stop:
        env.run('broken', [sys.executable, '-c', 'print("the reason"); raise SystemExit(3)'])
    assert stop.value.code == 1
    out = capsys.readouterr().out
    assert 'the reason' in out
    assert 'broken failed (exit 3)' in out
    assert str(tmp_path / 'log') in out


def test_a_wrong_python_is_refused(repo, tmp_path):
    (tmp_path / 'python3').write_text('#!/bin/sh\nexit 1\n')
    (tmp_path / 'python3').chmod(0o755)
    script = repo / 'tools' / 'setup_env.sh'
    env = {**os.environ, 'PYTHON': str(tmp_path / 'python3')}
    done = subprocess.run(['bash', script], env=env, capture_output=True, text=True)
    assert done.returncode == 1
    assert 'is no working Python 3.10, 3.11 or 3.12' in done.stderr

    (tmp_path / 'bin').mkdir()
    for tool in ('bash', 'dirname'):
        (tmp_path / 'bin' / tool).symlink_to(
            f'/bin/{tool}' if os.path.exists(f'/bin/{tool}') else f'/usr/bin/{tool}'
        )
    env = {'PATH': str(tmp_path / 'bin')}
    done = subprocess.run(
        [tmp_path / 'bin' / 'bash', script], env=env, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert 'apt-get install python3.11' in done.stderr
