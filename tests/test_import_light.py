# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The ground floor imports neither torch nor OpenMMLab: a command line must answer at once."""

import subprocess
import sys

import pytest

HEAVY = (
    'torch',
    'torchvision',
    'mmengine',
    'mmcv',
    'mmdet',
    'mmpose',
    'anny',
    'warp',
    'xtcocotools',
)


def heavy_modules(statement: str) -> list[str]:
    """Heavy top-level modules in ``sys.modules`` after ``statement`` ran in a fresh interpreter."""
    loaded = '{name.split(".")[0] for name in sys.modules}'
    code = f'{statement}\nimport sys\nprint(*({loaded} & set({HEAVY!r})))'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_the_probe_sees_a_heavy_import():
    assert 'mmengine' in heavy_modules('import mmengine.version')


@pytest.mark.parametrize(
    'statement',
    [
        'import wsp_mm',
        'import wsp_mm.config_path, wsp_mm.utils.cli',
        'import pkgutil, importlib, wsp_mm.structures as p\n'
        'for m in pkgutil.walk_packages(p.__path__, p.__name__ + "."): '
        'importlib.import_module(m.name)',
        'import pkgutil, importlib, wsp_mm.evaluation.functional as p\n'
        'for m in pkgutil.walk_packages(p.__path__, p.__name__ + "."): '
        'importlib.import_module(m.name)',
        'import wsp_mm.apis, wsp_mm.codecs, wsp_mm.datasets, wsp_mm.models, wsp_mm.visualization',
    ],
    ids=['package', 'command line', 'structures', 'evaluation.functional', 'package folders'],
)
def test_light(statement):
    assert heavy_modules(statement) == []
