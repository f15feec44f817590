# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The wheel carries configs and tools, and works without a checkout."""

import re
import shutil
import sys
import zipfile

import pytest
from process_fixture import run

import wsp_mm


def build(source, kind, out):
    """Call the build backend as pip does, without its network isolation."""
    code = f'from setuptools import build_meta; print(build_meta.build_{kind}({str(out)!r}))'
    return out / run(sys.executable, '-c', code, cwd=source).stdout.split()[-1]


@pytest.fixture(scope='module')
def source(repo, tmp_path_factory):
    """A copy of the checkout's sources, so that a build leaves nothing in the real one."""
    copy = tmp_path_factory.mktemp('source') / 'repo'
    copy.mkdir()
    ignore = shutil.ignore_patterns('__pycache__', '.mim', '*.pyc')
    for name in ('wsp_mm', 'configs', 'tools', 'model_zoo', 'requirements'):
        shutil.copytree(repo / name, copy / name, ignore=ignore)
    for name in ('setup.py', 'pyproject.toml', 'MANIFEST.in', 'LICENSE', 'README.md'):
        shutil.copy(repo / name, copy / name)
    return copy


def files_of(folder, root):
    return {path.relative_to(root).as_posix() for path in folder.rglob('*') if path.is_file()}


def test_wheel(source, tmp_path):
    with zipfile.ZipFile(build(source, 'wheel', tmp_path)) as archive:
        names = archive.namelist()
        metadata = archive.read(next(n for n in names if n.endswith('METADATA'))).decode()
        archive.extractall(tmp_path / 'site')
    assert len(names) == len(set(names))
    mim = {
        f'wsp_mm/.mim/{name}'
        for folder in ('configs', 'tools', 'model_zoo')
        for name in files_of(source / folder, source)
        if '/benchmarks/' not in name
    }
    package = {name for name in files_of(source / 'wsp_mm', source) if name.endswith('.py')}
    assert mim and mim | package <= set(names)
    assert {name for name in names if '.mim' in name} == mim
    assert 'wsp_mm/visualization/viewer.html' in names  # the viewer's template
    assert not [name for name in names if name.endswith('.pyc') or name.startswith('tests/')]
    assert f'Version: {wsp_mm.__version__}\n' in metadata
    assert re.search(r'^Requires-Python: .*>=3\.10', metadata, re.MULTILINE)
    # torch and OpenMMLab come under several names and must not be forced on an environment.
    required = re.findall(r'^Requires-Dist: ([\w-]+)(?!.*extra ==)', metadata, re.MULTILINE)
    names = {name.lower() for name in required}
    assert 'numpy' in names
    assert not {'torch', 'mmcv', 'mmengine', 'mmpose', 'onedl-mmcv'} & names

    # Unpacked anywhere, it finds its configs; nothing points back to the checkout.
    words = [sys.executable, '-m', 'wsp_mm.config_path', 'wsp_pretrain_r50']
    done = run(*words, cwd=tmp_path / 'site', PYTHONPATH='')
    expected = tmp_path / 'site/wsp_mm/.mim/configs/wsp_pretrain_r50.py'
    assert done.stdout.strip() == str(expected)


def test_an_editable_install_uses_the_checkout(source, tmp_path):
    build(source, 'editable', tmp_path)
    assert not (source / 'wsp_mm' / '.mim').exists()


def test_requirements_are_exact(repo):
    files = sorted((repo / 'requirements').glob('*.txt'))
    names = {'build', 'runtime', 'fast', 'openmmlab', 'mmpose', 'synthetic', 'timm', 'tests', 'dev'}
    assert names <= {file.stem for file in files}
    marker = r'(; (python_version [<>=]+ "3\.\d+"|sys_platform == "linux"))?'
    for file in files:
        for line in file.read_text().splitlines():
            if line.strip() and not line.startswith(('#', '--')):
                assert re.fullmatch(rf'[A-Za-z0-9_.-]+==[\w.]+{marker}', line), (file.name, line)


def test_pre_commit_and_requirements_have_the_same_ruff(repo):
    text = (repo / 'requirements' / 'dev.txt').read_text()
    pinned = re.search(r'^ruff==([\d.]+)', text, re.MULTILINE).group(1)
    assert f'rev: v{pinned}\n' in (repo / '.pre-commit-config.yaml').read_text()


def test_every_source_file_has_the_licence_line(repo):
    line = '# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.'
    files = [path for name in ('wsp_mm', 'tools', 'tests') for path in (repo / name).rglob('*.py')]
    files = [file for file in files if '.mim' not in file.parts]
    assert len(files) > 20
    assert not [file for file in files if line not in file.read_text().split('\n', 2)[:2]]
