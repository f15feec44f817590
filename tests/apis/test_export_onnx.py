# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""ONNX files of tiny networks answer as the networks do, and only as these."""

import json

import cv2
import numpy as np
import pytest
from inference_fixture import make_image, make_network

from wsp_mm.apis.models import load_network, read_config

for needed in ('onnx', 'onnxscript', 'onnxruntime'):
    pytest.importorskip(needed, reason='needs the extra [onnx]')

import onnxruntime  # noqa: E402

from wsp_mm.apis.export_onnx import OUTPUTS, check_onnx, export_onnx  # noqa: E402

ORDER, ROOT = (pytest.param(name, marks=pytest.mark.slow) for name in ('pretrained', 'root'))


@pytest.fixture(scope='session')
def exported(request):
    """``exported('pose')``: the network, and the content of its file, made once."""
    made = {}

    def get(name):
        if name not in made:
            network = load_network(*request.getfixturevalue(name), 'cpu')
            made[name] = network, export_onnx(network)
        return made[name]

    return get


@pytest.mark.parametrize('name', ['pose', ROOT, ORDER])
def test_onnxruntime_answers_as_torch(name, exported):
    network, content = exported(name)
    assert list(check_onnx(network, content)) == OUTPUTS[network.kind]


@pytest.mark.parametrize('name', ['pose', ORDER])
def test_a_file_of_another_network_is_refused(name, exported, tmp_path):
    base = dict(pose='posenet_h36m_lite0', pretrained='wsp_pretrain_lite0')[name]
    other = load_network(*make_network(tmp_path, f'quickstart/{base}', seed=1), 'cpu')
    with pytest.raises(ValueError, match=r'keypoints.* differ by up to \d'):
        check_onnx(other, exported(name)[1])


def test_five_lines_of_onnxruntime(exported, tmp_path):
    """A batch of any size; each crop has its own answer."""
    path, crops = tmp_path / 'pose.onnx', [make_image(i, (96, 96)) for i in range(5)]
    path.write_bytes(exported('pose')[1])
    cv2.imwrite(str(tmp_path / 'crop.png'), crops[4])

    session = onnxruntime.InferenceSession(str(path))
    crop = cv2.imread(str(tmp_path / 'crop.png'))
    images = crop.transpose(2, 0, 1)[None].astype(np.float32)
    keypoints, depth = session.run(None, {'images': images})
    assert keypoints.shape == (1, 18, 2) and depth.shape == (1, 18)

    batch = np.stack(crops).transpose(0, 3, 1, 2).astype(np.float32)
    found = session.run(['keypoints'], {'images': batch})[0]
    assert np.abs(found[4] - keypoints[0]).max() < 1e-3 < np.abs(found[3] - keypoints[0]).max()


def test_metadata(exported):
    network, content = exported('pose')
    found = onnxruntime.InferenceSession(content).get_modelmeta().custom_metadata_map
    assert (found['kind'], found['joint_set']) == ('pose', 'h36m18')
    assert json.loads(found['input_size']) == [96, 96] and float(found['padding']) == 1.25
    assert json.loads(found['joint_names'])[0] == 'Pelvis'
    assert found['checkpoint_sha256'] == network.identity['checkpoint_sha256']


@pytest.mark.slow
def test_other_options_of_the_order_network(pretrained):
    cfg = read_config(pretrained[0])[0]
    cfg.model.head.update(pooling='max')
    cfg.model.test_cfg.flip_test = False
    network = load_network(cfg, pretrained[1], 'cpu')
    check_onnx(network, export_onnx(network))


@pytest.mark.slow
def test_an_order_network_of_depth_scores(scoring):
    network = load_network(*scoring, 'cpu')
    check_onnx(network, export_onnx(network))
