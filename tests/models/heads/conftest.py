# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import sys
import uuid
from pathlib import Path

import pytest
import torch
from mmengine.logging import MessageHub

sys.path.append(str(Path(__file__).parent))  # relative_depth_cases


@pytest.fixture(autouse=True)
def no_runner():
    """A message hub without a runner's iteration: the head would draw the same joints again and
    again from one that an earlier test's runner left behind."""
    MessageHub.get_instance(f'no runner {uuid.uuid4()}')
    torch.manual_seed(0)
