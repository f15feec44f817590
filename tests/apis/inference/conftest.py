# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import importlib.util
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope='session')
def fixture():
    """The module ``tests/inference_fixture.py``."""
    path = Path(__file__).resolve().parents[2] / 'inference_fixture.py'
    if 'inference_fixture' not in sys.modules:
        spec = importlib.util.spec_from_file_location('inference_fixture', path)
        sys.modules['inference_fixture'] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules['inference_fixture'])
    return sys.modules['inference_fixture']


@pytest.fixture(scope='session')
def pose(fixture, tmp_path_factory):
    """(config, published, training checkpoint) of a 3D network."""
    return fixture.make_network(tmp_path_factory.mktemp('pose'), 'quickstart/posenet_h36m_r18')


@pytest.fixture(scope='session')
def pretrained(fixture, tmp_path_factory):
    """The same of a pre-training network."""
    return fixture.make_network(tmp_path_factory.mktemp('pre'), 'quickstart/wsp_pretrain_r18')


@pytest.fixture(scope='session')
def root(fixture, tmp_path_factory):
    """The same of a root-depth network."""
    import wsp_mm.codecs.root_depth
    import wsp_mm.datasets.transforms.person
    import wsp_mm.models.estimators.topdown_root
    import wsp_mm.models.heads.root_depth_head  # noqa: F401

    return fixture.make_network(tmp_path_factory.mktemp('root'), 'quickstart/root_muco_r18')


@pytest.fixture
def album(fixture, tmp_path):
    """A folder with three pictures and the file of their boxes; the last picture has nobody in
    it.
    """
    import cv2

    folder = tmp_path / 'my album'
    folder.mkdir()
    names = ['a.png', 'b.png', 'c.png']
    for i, name in enumerate(names):
        cv2.imwrite(str(folder / name), fixture.picture(i))
    boxes = {'b.png': fixture.BOXES[:1], 'c.png': []}
    return folder, fixture.write_boxes_file(tmp_path / 'boxes.json', names, boxes)
