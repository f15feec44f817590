# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import hashlib
import os

import numpy as np
import pytest
import torch
from inference_fixture import BOXES, make_image
from mmengine.logging import HistoryBuffer

from wsp_mm.apis.images import InputError
from wsp_mm.apis.models import batched, joint_set_of, load_network, read_config, read_weights
from wsp_mm.utils.checkpoint import (
    BrokenCheckpointError,
    CheckpointError,
    UntrustedCheckpointError,
    is_trusted,
)


@pytest.mark.parametrize(
    ('name', 'kind', 'joint_set'),
    [('pose', 'pose', 'h36m18'), ('pretrained', 'order', 'mcpc16'), ('root', 'root', None)],
)
def test_weights_fill_the_network(name, kind, joint_set, request):
    config, checkpoint = request.getfixturevalue(name)
    network = load_network(config, checkpoint)
    assert (network.kind, network.joint_set) == (kind, joint_set)
    assert not network.model.training
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    assert all(torch.equal(value, state[key]) for key, value in network.model.state_dict().items())
    text = read_config(config)[0].pretty_text
    assert network.identity == dict(
        config=config.name,
        config_sha256=hashlib.sha256(text.encode()).hexdigest(),
        checkpoint=checkpoint.name,
        checkpoint_sha256=hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
    )


@pytest.mark.parametrize('name', ['pose', 'root', 'pretrained'])
def test_a_batch_equals_one_by_one(name, request):
    network = load_network(*request.getfixturevalue(name))
    camera = dict(f=[500, 500], c=[60, 60])
    boxes = [BOXES[i : i + 2] if network.kind == 'order' else BOXES[i : i + 1] for i in range(2)]
    crops = [network.crop(make_image(i), np.array(box), camera) for i, box in enumerate(boxes)]
    together = network.predict(crops)
    assert network.predict([]) == []
    for crop, pred in zip(crops, together, strict=True):
        (alone,) = network.predict([crop])
        for key, value in pred.items():
            np.testing.assert_allclose(value, alone[key], rtol=1e-3, atol=1e-3, err_msg=key)


def test_training_checkpoints_load_and_nothing_in_files_is_executed(pose, tmp_path):
    """Checkpoints of MMEngine's trainings hold log buffers, which are on the list of safe types."""
    config, checkpoint = pose
    content = torch.load(checkpoint)
    log = dict(log_scalars=dict(loss=HistoryBuffer([1.0], [1])))
    torch.save(dict(content, message_hub=log), tmp_path / 'epoch_1.pth')
    network = load_network(config, tmp_path / 'epoch_1.pth')
    assert network.identity['checkpoint'] == 'epoch_1.pth'

    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'executed'),)

    torch.save(dict(content, evil=Hostile()), tmp_path / 'evil.pth')
    with pytest.raises(UntrustedCheckpointError, match='--trust-checkpoint'):
        load_network(config, tmp_path / 'evil.pth')
    assert not (tmp_path / 'executed').exists()
    load_network(config, tmp_path / 'evil.pth', trust=True)
    assert (tmp_path / 'executed').is_dir() and not is_trusted()


def test_files_that_do_not_fit(pose, pretrained, repo, tmp_path):
    (tmp_path / 'page.pth').write_text('<html>')
    torch.save(dict(nothing=1), tmp_path / 'nothing.pth')
    for checkpoint, error in (
        (tmp_path / 'page.pth', BrokenCheckpointError),
        (tmp_path / 'gone.pth', FileNotFoundError),
        (tmp_path / 'nothing.pth', CheckpointError),
        ('torchvision://resnet5000', CheckpointError),
        (pretrained[1], CheckpointError),
    ):
        with pytest.raises(error, match=str(checkpoint)):
            load_network(pose[0], checkpoint)
    other_size = repo / 'configs/quickstart/posenet_h36m_lite0.py'
    with pytest.raises(CheckpointError, match='posenet_h36m_lite0'):
        load_network(other_size, pose[1])


def test_configurations_that_do_not_fit(pose):
    cfg, *_ = read_config(pose[0])
    with pytest.raises(InputError, match='RootDepthHead'):
        load_network(cfg, pose[1], kinds=('root',))
    with pytest.raises(InputError, match='fp8'):
        load_network(cfg, pose[1], precision='fp8')
    cfg.model.head.type = 'HeatmapHead'
    with pytest.raises(InputError, match='HeatmapHead'):
        load_network(cfg, pose[1])


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('posenet_h36m_r50', 'h36m18'),
        ('posenet_h36m_mcpc_r50', 'h36m18'),
        ('posenet_muco_r50', 'muco21'),
        ('wsp_muco_r18', 'muco21'),
    ],
)
def test_joint_sets_of_our_configurations(name, expected, repo):
    import wsp_mm.register  # noqa: F401

    cfg, *_ = read_config(repo / 'configs' / f'{name}.py')
    joints = dict(h36m18=18, muco21=21)[expected]
    assert joint_set_of(cfg, 'pose', joints, name) == expected
    with pytest.raises(InputError, match='joint_set'):
        joint_set_of(cfg, 'pose', 5, name)


def test_weights_of_data_parallel_wrappers(pose, tmp_path):
    state = torch.load(pose[1])['state_dict']
    torch.save({f'module.{key}': value for key, value in state.items()}, tmp_path / 'w.pth')
    assert read_weights(tmp_path / 'w.pth').state.keys() == state.keys()


def test_batched():
    assert list(batched(range(5), 2)) == [[0, 1], [2, 3], [4]] and list(batched([], 2)) == []
