# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import importlib.util
from pathlib import Path

import pytest
from mmengine.registry import init_default_scope


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmpose')


def _module(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f'{name}.py'))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='session')
def tree():
    """The module that writes the hand-made MCPC tree."""
    return _module('mcpc_fixture')


@pytest.fixture(scope='session')
def lab():
    """The module that writes the hand-made Human3.6M and MuCo trees."""
    return _module('h36m_fixture')


@pytest.fixture(scope='session')
def mupots():
    """The module that writes the hand-made MuPoTS-3D."""
    return _module('mupots_fixture')


@pytest.fixture(scope='session')
def h36m_root(lab, tmp_path_factory):
    """Human3.6M in both layouts with pictures; for tests that change nothing in it."""
    root = tmp_path_factory.mktemp('h36m')
    lab.write_3dmppe(root)
    lab.write_mmpose(root, pictures=True)
    return root


@pytest.fixture(scope='session')
def pose3d_pipelines():
    """(train, test) pipelines of one person with 3D joints at 64 px."""
    import wsp_mm.codecs.integral_3d
    import wsp_mm.datasets.transforms.channel_gain
    import wsp_mm.datasets.transforms.convert_joints
    import wsp_mm.datasets.transforms.pack_pose3d
    import wsp_mm.datasets.transforms.person_crop
    import wsp_mm.datasets.transforms.random_occlusion  # noqa: F401

    codec = dict(type='Integral3DLabel', input_size=(64, 64), heatmap_size=(16, 16, 16))
    crop = [dict(type='TopdownAffine', input_size=(64, 64))]
    train = [
        dict(type='LoadImage'),
        dict(type='PersonCenterScale'),
        dict(type='RandomOcclusion'),
        dict(type='RandomFlip', direction='horizontal'),
        dict(type='PersonRandomBBoxTransform'),
        *crop,
        dict(type='ChannelGain'),
        dict(type='GenerateTarget', encoder=codec),
        dict(type='PackPose3DInputs'),
    ]
    test = [
        dict(type='LoadImage'),
        dict(type='PersonCenterScale'),
        *crop,
        dict(type='PackPose3DInputs'),
    ]
    return train, test


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
        dict(
            type='PairRandomBBoxTransform',
            shift_factor=0.1,
            scale_factor=(0.8, 1.2),
            rotate_factor=180.0,
        ),
        *crop,
        dict(type='GenerateTarget', encoder=codec),
        dict(type='PackPairInputs'),
    ]
    test = [
        dict(type='LoadImage'),
        dict(type='SamplePersonPair'),
        *crop,
        dict(type='PackPairInputs'),
    ]
    return train, test


@pytest.fixture
def log(monkeypatch):
    """What the 3D data sets say in the log (MMEngine's own swallows a warning that it has given
    before).
    """
    said = []
    monkeypatch.setattr('wsp_mm.datasets.pose3d.print_log', lambda text, **_: said.append(text))
    return said


@pytest.fixture
def lab_root(lab, tmp_path):
    """3DMPPE's annotations of S1 and S5, which a test may spoil."""
    lab.write_3dmppe(tmp_path, (1, 5), pictures=False)
    return tmp_path
