# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import importlib.util
from pathlib import Path

import pytest
from mmengine.registry import init_default_scope


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmpose')


@pytest.fixture(scope='session')
def tree():
    """The module that writes the hand-made MCPC tree."""
    spec = importlib.util.spec_from_file_location('mcpc_fixture', Path(__file__).with_name('mcpc_fixture.py'))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def mcpc_root(tree, tmp_path):
    return tree.build_tree(tmp_path)


@pytest.fixture
def pipelines():
    """(train, test) pipelines of pairs at 64 px, small enough for quick tests."""
    import wsp_mm.codecs.pair_heatmap
    import wsp_mm.datasets.transforms.formatting
    import wsp_mm.datasets.transforms.pair_geometry
    import wsp_mm.datasets.transforms.sample_person_pair  # noqa: F401

    codec = dict(type='PairHeatmapLabel', input_size=(64, 64), heatmap_size=(16, 16), sigma=1.0)
    crop = [dict(type='PairTopdownAffine', input_size=(64, 64))]
    train = [
        dict(type='LoadImage'),
        dict(type='SamplePersonPair'),
        dict(type='PairRandomFlip', prob=0.5),
        dict(type='PairRandomBBoxTransform', shift_factor=0.1, scale_factor=(0.8, 1.2), rotate_factor=180.0),
        *crop,
        dict(type='GenerateTarget', encoder=codec),
        dict(type='PackPairInputs'),
    ]
    test = [dict(type='LoadImage'), dict(type='SamplePersonPair'), *crop, dict(type='PackPairInputs')]
    return train, test
