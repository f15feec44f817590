# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import os
import re
import subprocess
import sys

import pytest

from wsp_mm.config_path import available_configs, config_root, find_config


@pytest.mark.parametrize(
    'name', ['wsp_pretrain_r50', 'wsp_pretrain_r50.py', 'configs/wsp_pretrain_r50.py']
)
def test_names_with_and_without_suffix(name, repo):
    assert find_config(name).resolve() == repo / 'configs' / 'wsp_pretrain_r50.py'


def test_bases_are_found_and_come_last():
    names = available_configs()
    assert find_config('_base_/default_runtime').is_file()
    first_base = names.index('_base_/default_runtime')
    assert 'wsp_pretrain_r50' in names[:first_base]


def test_similar_names_are_offered():
    with pytest.raises(FileNotFoundError, match=r"'wsp_pretrain_r05'.*Similar: .*wsp_pretrain_r50"):
        find_config('wsp_pretrain_r05')


def test_hopeless_names_get_the_list():
    with pytest.raises(FileNotFoundError, match=r'There are: .*wsp_pretrain_r50'):
        find_config('qqqqqqqqqqqqqqqqqqqqqqqqqqqqq')


def test_mim_folder_wins_over_the_checkout(tmp_path, monkeypatch):
    package = tmp_path / 'wsp_mm'
    for folder in (package / '.mim' / 'configs', tmp_path / 'configs'):
        (folder / '_base_').mkdir(parents=True)
    monkeypatch.setattr('wsp_mm.config_path.__file__', str(package / 'config_path.py'))
    assert config_root() == package / '.mim' / 'configs'
    os.rename(package / '.mim', package / 'elsewhere')
    assert config_root() == tmp_path / 'configs'
    os.rename(tmp_path / 'configs', tmp_path / 'gone')
    with pytest.raises(FileNotFoundError, match='install wsp_mm with pip'):
        config_root()


def run_module(cwd, *arguments):
    return subprocess.run(
        [sys.executable, '-m', 'wsp_mm.config_path', *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
    )


def test_command_line(tmp_path, repo):
    done = run_module(tmp_path, 'wsp_pretrain_r50')
    assert done.returncode == 0
    assert os.path.realpath(done.stdout.strip()) == str(repo / 'configs' / 'wsp_pretrain_r50.py')
    assert 'wsp_pretrain_r50' in run_module(tmp_path).stdout.splitlines()
    wrong = run_module(tmp_path, 'wsp_pretrain_r51')
    assert wrong.returncode == 1
    assert 'wsp_pretrain_r50' in wrong.stderr
    assert 'Traceback' not in wrong.stderr


def test_the_example_of_the_documentation(tmp_path, repo):
    """docs/extend.md: a configuration elsewhere inherits ours, swaps the backbone, and the model
    runs.
    """
    text = (repo / 'docs' / 'extend.md').read_text(encoding='utf-8')
    example = re.search(r'```python\n(_base_ = .*?)```', text, re.DOTALL).group(1)
    (tmp_path / 'my_pretrain.py').write_text(example)
    base = run_module(tmp_path, 'wsp_pretrain_r50').stdout.strip()
    code = (
        'import torch\n'
        'from mmengine.config import Config\n'
        'from mmengine.registry import init_default_scope\n'
        'from mmpose.registry import MODELS\n'
        'cfg = Config.fromfile("my_pretrain.py")\n'
        'init_default_scope(cfg.default_scope)\n'
        'model = MODELS.build(cfg.model).eval()\n'
        'features = model.extract_feat(torch.zeros(1, 3, 64, 64))\n'
        'print(type(model.backbone).__name__, type(model.head).__name__, tuple(features[-1].shape))\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, 'WSP_BASE': base},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == 'ShuffleNetV2 RelativeDepthHead (1, 1024, 2, 2)'
