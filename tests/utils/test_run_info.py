# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import logging
import subprocess
from types import SimpleNamespace

import pytest

import wsp_mm
from wsp_mm.utils.run_info import RunInfoHook, git_revision


@pytest.fixture
def repository(tmp_path):
    """A repository with one commit; returns (folder, function that runs git in it)."""

    def git(*arguments):
        command = [
            'git',
            '-C',
            str(tmp_path),
            '-c',
            'user.name=a',
            '-c',
            'user.email=a@b',
            *arguments,
        ]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git('init', '-q')
    (tmp_path / 'package').mkdir()
    (tmp_path / 'package' / 'file.py').write_text('a = 1\n')
    git('add', '.')
    git('commit', '-q', '-m', 'first')
    return tmp_path, git


def test_revision(repository):
    folder, git = repository
    revision = git('rev-parse', 'HEAD')
    assert git_revision(folder / 'package') == revision
    (folder / 'package' / 'new.py').write_text('')
    assert git_revision(folder / 'package') == revision
    (folder / 'package' / 'file.py').write_text('a = 2\n')
    assert git_revision(folder / 'package') == f'{revision}+changes'


def test_a_package_that_is_installed_inside_another_project_has_none(repository):
    folder, _ = repository
    (folder / 'site-packages').mkdir()
    (folder / 'site-packages' / 'ours.py').write_text('')
    assert git_revision(folder / 'site-packages') is None


def test_no_repository_and_no_git(tmp_path, monkeypatch):
    assert git_revision(tmp_path) is None
    monkeypatch.setenv('PATH', str(tmp_path))
    assert git_revision(tmp_path) is None


def test_hook_logs_and_marks_checkpoints(caplog, monkeypatch):
    monkeypatch.setattr('wsp_mm.utils.run_info.git_revision', lambda: 'abc')
    logger = logging.getLogger('test_run_info')
    runner = SimpleNamespace(seed=3, logger=logger)
    hook = RunInfoHook()
    with caplog.at_level(logging.INFO, logger='test_run_info'):
        hook.before_run(runner)
    assert f'wsp_mm {wsp_mm.__version__}, git revision abc, seed 3' in caplog.text
    checkpoint = dict(meta=dict(epoch=1))
    hook.before_save_checkpoint(runner, checkpoint)
    assert checkpoint['meta'] == dict(
        epoch=1, wsp_mm=dict(version=wsp_mm.__version__, git='abc', seed=3)
    )
