# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The ground floor imports neither torch nor OpenMMLab: a command line must answer at once."""

import sys

import pytest
from process_fixture import run

HEAVY = {'torch', 'torchvision', 'anny', 'warp', 'xtcocotools'}
HEAVY |= {'mmengine', 'mmcv', 'mmdet', 'mmpose'}
# Every module of the package p.
WALK = """
import pkgutil, importlib
for m in pkgutil.walk_packages(p.__path__, p.__name__ + '.'): importlib.import_module(m.name)
"""


def heavy_modules(statement: str) -> list[str]:
    """Heavy top-level modules in ``sys.modules`` after ``statement`` ran in a fresh interpreter."""
    code = f'{statement}\nimport sys\nprint(*{{name.split(".")[0] for name in sys.modules}})'
    return sorted(HEAVY & set(run(sys.executable, '-c', code).stdout.split()))


def test_the_probe_sees_a_heavy_import():
    assert 'mmengine' in heavy_modules('import mmengine.version')


@pytest.mark.parametrize(
    'statement',
    [
        'import wsp_mm.config_path, wsp_mm.utils.cli',
        f'import wsp_mm.structures as p{WALK}',
        f'import wsp_mm.evaluation.functional as p{WALK}',
        'import wsp_mm.apis, wsp_mm.codecs, wsp_mm.datasets, wsp_mm.models, wsp_mm.visualization',
    ],
    ids=['command line', 'structures', 'evaluation.functional', 'package folders'],
)
def test_light(statement):
    assert heavy_modules(statement) == []
