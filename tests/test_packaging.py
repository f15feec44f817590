# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The wheel and the editable install carry the configurations and tools."""

import os
import re
import shutil
import subprocess
import sys
import zipfile

import pytest

import wsp_mm


@pytest.fixture(scope='module')
def source(repo, tmp_path_factory):
    """A copy of the checkout's sources, so that a build leaves nothing in the real one."""
    copy = tmp_path_factory.mktemp('source') / 'repo'
    copy.mkdir()
    ignore = shutil.ignore_patterns('__pycache__', '.mim', '*.pyc')
    for name in ('wsp_mm', 'configs', 'tools', 'requirements'):
        shutil.copytree(repo / name, copy / name, ignore=ignore)
    for name in ('setup.py', 'pyproject.toml', 'MANIFEST.in', 'LICENSE'):
        shutil.copy(repo / name, copy / name)
    return copy


def build(source, kind, out):
    """Call the build backend as pip does, without its network isolation."""
    code = f'from setuptools import build_meta; print(build_meta.build_{kind}({str(out)!r}))'
    done = subprocess.run([sys.executable, '-c', code], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return out / done.stdout.split()[-1]


def test_wheel(source, repo, tmp_path):
    wheel = build(source, 'wheel', tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(next(n for n in names if n.endswith('METADATA'))).decode()
    for folder in ('configs', 'tools'):
        files = [path.relative_to(repo) for path in (repo / folder).rglob('*') if path.is_file()]
        expected = {
            f'wsp_mm/.mim/{path.as_posix()}' for path in files if '__pycache__' not in path.parts
        }
        assert expected, folder
        assert expected <= names
    assert {
        p.relative_to(repo).as_posix()
        for p in (repo / 'wsp_mm').rglob('*.py')
        if '.mim' not in p.parts
    } <= names
    assert 'wsp_mm/visualization/viewer.html' in names  # the viewer's template
    assert not [name for name in names if name.endswith('.pyc') or name.startswith('tests/')]
    assert f'Version: {wsp_mm.__version__}\n' in metadata
    assert re.search(r'^Requires-Python: .*>=3\.10', metadata, re.MULTILINE)
    # torch and OpenMMLab come under several names and must not be forced on an environment that has
    # them.
    required = re.findall(r'^Requires-Dist: ([\w-]+)(?!.*extra ==)', metadata, re.MULTILINE)
    assert 'numpy' in required
    assert not {'torch', 'mmcv', 'mmengine', 'mmpose', 'onedl-mmcv'} & {
        name.lower() for name in required
    }


def test_wheel_works_on_its_own(source, repo, tmp_path):
    """Unpacked anywhere, it finds its configurations; nothing points back to the checkout."""
    wheel = build(source, 'wheel', tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / 'site')
    done = subprocess.run(
        [
            sys.executable,
            '-c',
            'import wsp_mm.config_path as c; print(c.find_config("wsp_pretrain_r50"))',
        ],
        cwd=tmp_path / 'site',
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(
        tmp_path / 'site' / 'wsp_mm' / '.mim' / 'configs' / 'wsp_pretrain_r50.py'
    )


def test_editable_install_sees_changes(source, tmp_path):
    build(source, 'editable', tmp_path)
    mim = source / 'wsp_mm' / '.mim'
    assert (mim / 'configs' / '_base_' / 'default_runtime.py').is_file()
    new = source / 'configs' / 'brand_new.py'
    new.write_text('a = 1\n')
    assert (mim / 'configs' / 'brand_new.py').read_text() == 'a = 1\n'
    new.unlink()
    # A wheel built from a checkout that is also installed editable must not follow those links.
    with zipfile.ZipFile(build(source, 'wheel', tmp_path / 'again')) as archive:
        names = archive.namelist()
    assert len(names) == len(set(names))
    assert 'wsp_mm/.mim/configs/_base_/default_runtime.py' in names
    assert os.path.islink(mim / 'configs')


def test_requirements_are_exact(repo):
    files = sorted((repo / 'requirements').glob('*.txt'))
    names = {'build', 'runtime', 'fast', 'openmmlab', 'mmpose', 'synthetic', 'tests', 'dev'}
    assert names <= {file.stem for file in files}
    for file in files:
        for line in file.read_text().splitlines():
            if line.strip() and not line.startswith(('#', '--')):
                exact = r'[A-Za-z0-9_.-]+==[\w.]+(; (python_version [<>=]+ "3\.\d+"|sys_platform == "linux"))?'
                assert re.fullmatch(exact, line), (file.name, line)


def test_pre_commit_and_requirements_have_the_same_ruff(repo):
    pinned = re.search(
        r'^ruff==([\d.]+)', (repo / 'requirements' / 'dev.txt').read_text(), re.MULTILINE
    ).group(1)
    assert f'rev: v{pinned}\n' in (repo / '.pre-commit-config.yaml').read_text()


def test_every_source_file_has_the_licence_line(repo):
    line = '# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.'
    files = [
        *(repo / 'wsp_mm').rglob('*.py'),
        *(repo / 'tools').rglob('*.py'),
        *(repo / 'tests').rglob('*.py'),
    ]
    files = [file for file in files if '.mim' not in file.parts]
    assert len(files) > 20
    assert not [
        file for file in files if line not in file.read_text(encoding='utf-8').split('\n', 2)[:2]
    ]
