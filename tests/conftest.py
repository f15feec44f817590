# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""What all tests share. Imports nothing heavy, so that `pytest --collect-only` is quick."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

# Tests run on the CPU and in one thread a process, wherever they run: results are the same on every machine,
# and parallel workers do not fight. `CUDA_VISIBLE_DEVICES=0 pytest ...` lets them see a GPU.
os.environ.setdefault('CUDA_VISIBLE_DEVICES', '-1')
os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('MPLBACKEND', 'Agg')
# No test may depend on the network, nor on what a user allowed in the shell.
os.environ.pop('WSP_TRUST_CHECKPOINT', None)

REPO = Path(__file__).resolve().parents[1]
SAMPLES = REPO.parent / 'shared' / 'data' / 'mmpose_samples'


def pytest_configure(config: pytest.Config) -> None:
    """Hypothesis: no deadline (shared machines are slow), and the same examples in every run of the CI."""
    from hypothesis import settings

    settings.register_profile('wsp', deadline=None, derandomize=bool(os.environ.get('CI')), max_examples=50)
    settings.load_profile('wsp')


@pytest.fixture(scope='session')
def repo() -> Path:
    """Root of the checkout."""
    return REPO


@pytest.fixture(scope='session')
def samples() -> Path:
    """MMPose's mini data sets, which are not part of the repository."""
    if not SAMPLES.is_dir():
        pytest.skip(f'sample data of MMPose not found at {SAMPLES}')
    return SAMPLES


@pytest.fixture(scope='session')
def load_tool():
    """``load_tool('misc/publish_model')`` imports a script of ``tools/`` as a module."""

    def load(name: str):
        module_name = f'wsp_tool_{name.replace("/", "_")}'
        if module_name not in sys.modules:
            spec = importlib.util.spec_from_file_location(module_name, REPO / 'tools' / f'{name}.py')
            module = importlib.util.module_from_spec(spec)
            sys.modules[module_name] = module
            spec.loader.exec_module(module)
        return sys.modules[module_name]

    return load
