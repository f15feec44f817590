# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Build script: a wheel also carries ``configs/``, ``tools/`` and ``model_zoo/``, under
``wsp_mm/.mim`` as OpenMMLab does.

An editable install needs no copies: :mod:`wsp_mm.config_path` finds those of the checkout.
"""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent


def version() -> str:
    text = (ROOT / 'wsp_mm' / '__init__.py').read_text(encoding='utf-8')
    return re.search(r"^__version__ = '([^']+)'", text, re.MULTILINE).group(1)


def pins(name: str) -> list[str]:
    """Requirements of ``requirements/NAME.txt``, without comments and options."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines()
    return [line.strip() for line in lines if line.strip() and line.strip()[0] not in '#-']


class BuildWithMim(build_py):
    """``build_py`` that also fills ``wsp_mm/.mim`` of a wheel."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        mim = Path(self.build_lib) / 'wsp_mm' / '.mim'
        unwanted = shutil.ignore_patterns('__pycache__', '*.pyc', 'benchmarks')
        for folder in ('configs', 'tools', 'model_zoo'):
            shutil.rmtree(mim / folder, ignore_errors=True)
            shutil.copytree(ROOT / folder, mim / folder, ignore=unwanted)


setup(
    name='wsp_mm',
    version=version(),
    description='Weakly-supervised pre-training for monocular 3D human pose, as an MMPose plugin',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    author='The wsp_mm authors',
    license='Apache-2.0',
    license_files=['LICENSE'],
    keywords=['human pose', '3D', 'weakly supervised', 'MMPose', 'relative depth'],
    classifiers=[
        'Intended Audience :: Science/Research',
        'Operating System :: POSIX :: Linux',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Topic :: Scientific/Engineering :: Image Recognition',
    ],
    packages=find_packages(include=['wsp_mm', 'wsp_mm.*']),
    package_data={'': ['*.json', '*.npz', '*.csv', '*.html']},
    cmdclass={'build_py': BuildWithMim},
    python_requires='>=3.10,<3.13',
    # Lower bounds, for use in an environment of your own; requirements/*.txt has what is tested.
    # torch, mmengine, mmcv, mmdet and mmpose are not named: mmengine, mmcv and mmdet come under two
    # sets of distribution names (upstream, and the maintained onedl-*) that would overwrite each
    # other's files, mmcv must be compiled against the torch already there, and mmpose only installs
    # with --no-deps. OpenCV comes with them, as one of two distributions, too.
    install_requires=[
        'numpy>=1.24',
        'scipy>=1.10',
        'scikit-learn>=1.3',
        'matplotlib>=3.7',
        'pillow>=10',
        'pyyaml>=6',
        'plotly>=6',
        'imagehash>=4.3',
        'rich>=13',
        'tqdm>=4.65',
    ],
    extras_require={
        'fast': pins('fast'),
        'synthetic': pins('synthetic'),
        'timm': pins('timm'),
        'detection': [line for line in pins('openmmlab') if line.startswith('onedl-mmdetection')],
        'tests': pins('tests'),
        'dev': pins('dev'),
    },
    zip_safe=False,
)
