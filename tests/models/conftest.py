# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import uuid

import pytest
import torch
from mmengine.logging import MessageHub

import wsp_mm.register  # noqa: F401  (what the tests build)


@pytest.fixture(autouse=True)
def no_runner():
    """A message hub without the iteration that an earlier test's runner left behind."""
    MessageHub.get_instance(f'no runner {uuid.uuid4()}')
    torch.manual_seed(0)
