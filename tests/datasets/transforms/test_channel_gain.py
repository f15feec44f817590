# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import numpy as np
import pytest

from wsp_mm.datasets.seeding import item_randomness
from wsp_mm.datasets.transforms.channel_gain import ChannelGain


def test_each_channel_by_a_factor_of_its_own(monkeypatch):
    img = np.array([[[10, 100, 250], [0, 255, 128]]], dtype=np.uint8)
    transform = ChannelGain()
    monkeypatch.setattr(transform, '_factors', lambda: np.array([1.19, 0.8, 1.2]))
    out = transform(dict(img=img.copy()))['img']
    assert out.tolist() == [[[12, 80, 255], [0, 204, 154]]] and out.dtype == np.uint8


def test_factors():
    img = np.full((1, 1, 3), 100, dtype=np.uint8)
    with item_randomness(0):
        found = np.array([ChannelGain((0.8, 1.2))(dict(img=img))['img'][0, 0] for _ in range(500)])
    assert found.min() >= 80 and found.max() <= 120 and found.min() < 83 and found.max() > 117
    assert np.abs(np.corrcoef(found.T)[np.triu_indices(3, 1)]).max() < 0.15
    assert (ChannelGain((1.0, 1.0))(dict(img=img))['img'] == img).all()


def test_refusals():
    for gain in ((1.2, 0.8), (-0.1, 1)):
        with pytest.raises(ValueError, match='gain'):
            ChannelGain(gain)
    with pytest.raises(ValueError, match='uint8'):
        ChannelGain()(dict(img=np.zeros((2, 2, 3), dtype=np.float32)))
