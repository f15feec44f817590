# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # scale_out_fixture


@pytest.fixture(scope='session')
def scale_out_data(tmp_path_factory):
    """Data of all kinds of training, a few samples each; for tests that change nothing in it."""
    import scale_out_fixture

    return scale_out_fixture.write_data(tmp_path_factory.mktemp('scale_out'))
