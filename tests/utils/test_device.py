# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from __future__ import annotations

import pytest
import torch

from wsp_mm.utils.device import pick_device


def test_names_of_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    assert pick_device('auto') == pick_device('cpu') == torch.device('cpu')
    with pytest.raises(ValueError, match='sees no GPU'):
        pick_device('cuda')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    assert pick_device('auto') == torch.device('cuda')
    assert pick_device('cuda:1') == torch.device('cuda:1')
    with pytest.raises(ValueError, match='cuda:2 was asked for, but torch sees 2 GPUs'):
        pick_device('cuda:2')


@pytest.mark.parametrize('name', ['gpu', 'cuda:x', '', 'cpu:0:1'])
def test_names_that_are_none(name):
    with pytest.raises(ValueError, match='none that torch knows'):
        pick_device(name)
