# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope='session')
def mupots():
    """The module that writes a small MuPoTS-3D."""
    path = Path(__file__).with_name('mupots_fixture.py')
    spec = importlib.util.spec_from_file_location('mupots_fixture', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='session')
def mupots_world(mupots, tmp_path_factory):
    """Its folder, and what is in it; for tests that change nothing there."""
    root = tmp_path_factory.mktemp('mupots')
    return root, mupots.write_mupots(root)
