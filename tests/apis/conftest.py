# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import cv2
import pytest
from inference_fixture import BOXES, make_image, make_network, write_boxes_file


@pytest.fixture(scope='session')
def pose(tmp_path_factory):
    """(config, checkpoint) of a 3D network."""
    return make_network(tmp_path_factory.mktemp('pose'), 'quickstart/posenet_h36m_lite0')


@pytest.fixture(scope='session')
def pretrained(tmp_path_factory):
    """The same of a pre-training network, with concatenated features as in the paper."""
    more = "model['head'].update(pairwise='concat')\n"
    return make_network(tmp_path_factory.mktemp('pre'), 'quickstart/wsp_pretrain_lite0', more=more)


@pytest.fixture(scope='session')
def scoring(tmp_path_factory):
    """The same, with depth scores, pooled around peaks, without zeros at the border."""
    more = (
        "model['head'].update(pairwise='difference', pooling='peak')\n"
        "model['padding_mode'] = 'replicate'\n"
    )
    folder = tmp_path_factory.mktemp('scores')
    return make_network(folder, 'quickstart/wsp_pretrain_lite0', more=more)


@pytest.fixture(scope='session')
def root(tmp_path_factory):
    """The same of a root-depth network."""
    return make_network(tmp_path_factory.mktemp('root'), 'quickstart/root_muco_lite0')


@pytest.fixture
def album(tmp_path):
    """(folder of three images, file of their boxes): three persons, one, nobody."""
    folder = tmp_path / 'my album'
    folder.mkdir()
    names = ['a.png', 'b.png', 'c.png']
    for i, name in enumerate(names):
        cv2.imwrite(str(folder / name), make_image(i))
    boxes = {'b.png': BOXES[:1], 'c.png': []}
    return folder, write_boxes_file(tmp_path / 'boxes.json', names, boxes)
