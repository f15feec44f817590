# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import importlib.util
import json
from contextlib import contextmanager
from pathlib import Path

import pytest

import wsp_mm.register  # noqa: F401  (what pipelines and data sets are built of)
from wsp_mm.datasets.annotations import AnnotationError


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
def h36m():
    """The module that writes the hand-made Human3.6M and MuCo trees."""
    return _module('h36m_fixture')


@pytest.fixture(scope='session')
def mupots():
    """The module that writes the hand-made MuPoTS-3D."""
    return _module('mupots_fixture')


@pytest.fixture(scope='session')
def h36m_root(h36m, tmp_path_factory):
    """Human3.6M with images in both layouts, and the arrays of both; for tests that change nothing
    in it.
    """
    from wsp_mm.datasets.converters.h36m import convert_h36m

    root = tmp_path_factory.mktemp('h36m')
    h36m.write_3dmppe(root)
    h36m.write_mmpose(root, images_too=True)
    for layout, folder in (('3dmppe', 'human36m'), ('mmpose', 'h36m')):
        convert_h36m(root, root / folder / 'arrays', layout, steps=(1,))
    return root


@pytest.fixture(scope='session')
def pose3d_pipelines():
    """(train, test) pipelines of one person with 3D joints at 64 px."""
    codec = dict(type='Integral3DLabel', input_size=(64, 64), heatmap_size=(16, 16, 16))
    crop = [dict(type='TopdownAffine', input_size=(64, 64))]
    before = ('PersonCenterScale', 'PersonRandomBBoxTransform', 'LoadCropImage', 'RandomOcclusion')
    train = [
        *(dict(type=name) for name in before),
        dict(type='RandomFlip', direction='horizontal'),
        *crop,
        dict(type='ChannelGain'),
        dict(type='GenerateTarget', encoder=codec),
        dict(type='PackPose3DInputs'),
    ]
    start = [dict(type='PersonCenterScale'), dict(type='LoadCropImage')]
    return train, [*start, *crop, dict(type='PackPose3DInputs')]


@pytest.fixture
def write(tmp_path):
    """``write(content, name)`` writes bytes, or anything else as json."""

    def run(content, name='a.json'):
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return run


@pytest.fixture
def refused():
    """``with refused(kind, match):`` an AnnotationError of this kind is raised in the block."""

    @contextmanager
    def check(kind, match):
        with pytest.raises(AnnotationError, match=match) as error:
            yield
        assert error.value.kind == kind

    return check


@pytest.fixture
def mcpc_root(tree, tmp_path):
    return tree.build_tree(tmp_path)


@pytest.fixture
def pipelines():
    """(train, test) pipelines of pairs at 64 px, small enough for quick tests."""
    codec = dict(type='PairHeatmapLabel', input_size=(64, 64), heatmap_size=(16, 16), sigma=1.0)
    crop = [dict(type='PairTopdownAffine', input_size=(64, 64))]
    jitter = dict(shift_factor=0.1, scale_factor=(0.8, 1.2), rotate_factor=180.0)
    train = [
        dict(type='SamplePersonPair'),
        dict(type='PairRandomBBoxTransform', **jitter),
        dict(type='LoadCropImage'),
        dict(type='PairRandomFlip', prob=0.5),
        *crop,
        dict(type='GenerateTarget', encoder=codec),
        dict(type='PackPairInputs'),
    ]
    start = [dict(type='SamplePersonPair'), dict(type='LoadCropImage')]
    return train, [*start, *crop, dict(type='PackPairInputs')]


@pytest.fixture
def log(monkeypatch):
    """What the 3D data sets log (MMEngine's own log drops repeated warnings)."""
    lines = []
    monkeypatch.setattr('wsp_mm.datasets.pose3d.print_log', lambda text, **_: lines.append(text))
    return lines


@pytest.fixture
def two_subjects(h36m, tmp_path):
    """3DMPPE's annotations of S1 and S5 without images, which a test may spoil."""
    h36m.write_3dmppe(tmp_path, (1, 5), images_too=False)
    return tmp_path
