# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # mupots_fixture, metric_fixture


@pytest.fixture(scope='session')
def mupots_world(tmp_path_factory):
    """A small MuPoTS-3D, and what is in it; for tests that change nothing there."""
    from mupots_fixture import write_mupots

    root = tmp_path_factory.mktemp('mupots')
    return root, write_mupots(root)


@pytest.fixture(scope='session')
def mupots_gt(mupots_world):
    """Its frames as they are read."""
    from wsp_mm.datasets.mupots_annotations import read_mupots

    folder = mupots_world[0] / 'mupots'
    return read_mupots(folder / 'MuPoTS-3D.json', folder / 'MultiPersonTestSet')
