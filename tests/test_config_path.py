# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import os
import sys

import pytest

from wsp_mm.config_path import available_configs, config_root, find_config, main


@pytest.mark.parametrize(
    'name', ['wsp_pretrain_r50', 'wsp_pretrain_r50.py', 'configs/wsp_pretrain_r50.py']
)
def test_names_with_and_without_suffix(name, repo):
    assert find_config(name).resolve() == repo / 'configs' / 'wsp_pretrain_r50.py'


def test_bases_are_found_and_come_last():
    names = available_configs()
    assert find_config('_base_/default_runtime').is_file()
    assert 'wsp_pretrain_r50' in names[: names.index('_base_/default_runtime')]


@pytest.mark.parametrize('name', ['wsp_pretrain_r05', 'q' * 30])  # similar ones, or the list
def test_names_that_are_not_there(name):
    with pytest.raises(FileNotFoundError, match=rf"'{name}'.*wsp_pretrain_r50"):
        find_config(name)


def test_mim_folder_wins_over_the_checkout(tmp_path, monkeypatch):
    package = tmp_path / 'wsp_mm'
    for folder in (package / '.mim' / 'configs', tmp_path / 'configs'):
        (folder / '_base_').mkdir(parents=True)
    monkeypatch.setattr('wsp_mm.config_path.__file__', str(package / 'config_path.py'))
    assert config_root() == package / '.mim' / 'configs'
    os.rename(package / '.mim', package / 'elsewhere')
    assert config_root() == tmp_path / 'configs'
    os.rename(tmp_path / 'configs', tmp_path / 'gone')
    with pytest.raises(FileNotFoundError, match='wsp_mm'):
        config_root()


def test_command_line(monkeypatch, capsys, repo):
    def said(*words):
        monkeypatch.setattr(sys, 'argv', ['config_path', *words])
        main()
        return capsys.readouterr().out.splitlines()

    expected = str(repo / 'configs' / 'wsp_pretrain_r50.py')
    assert [os.path.realpath(line) for line in said('wsp_pretrain_r50')] == [expected]
    assert 'wsp_pretrain_r50' in said()
    with pytest.raises(SystemExit, match='wsp_pretrain_r50'):
        said('wsp_pretrain_r51')
