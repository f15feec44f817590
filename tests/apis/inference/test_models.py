# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import hashlib
import os

import pytest
import torch

from wsp_mm.apis.inference.models import (
    ModelError,
    joint_set_of,
    load_network,
    load_published,
    local_checkpoint,
    trusting,
)
from wsp_mm.utils.checkpoint import (
    BrokenCheckpointError,
    CheckpointError,
    UntrustedCheckpointError,
    is_trusted,
)
from wsp_mm.utils.cli import load_config


def test_published_weights_fill_the_network(pose):
    config, published, _ = pose
    network = load_network(config, published)
    state = torch.load(published, weights_only=True)['state_dict']
    assert not network.model.training
    assert all(torch.equal(value, state[key]) for key, value in network.model.state_dict().items())
    assert (network.kind, network.joint_set) == ('pose', 'h36m18')
    assert (
        network.identity['checkpoint_sha256'] == hashlib.sha256(published.read_bytes()).hexdigest()
    )
    assert network.identity['config_sha256'] == (
        hashlib.sha256(load_config(config).pretty_text.encode()).hexdigest()
    )


def test_pair_networks_answer_symmetrically(pretrained):
    network = load_network(*pretrained[:2])
    assert (network.kind, network.joint_set, network.model.head.symmetric) == (
        'order',
        'mcpc16',
        True,
    )


def test_training_checkpoints_are_refused_unless_trusted(pose):
    config, published, training = pose
    with pytest.raises(
        UntrustedCheckpointError, match=r'publish_model\.py .* or add --trust-checkpoint'
    ):
        load_network(config, training)
    with trusting(True):
        a, b = load_network(config, training), load_network(config, published)
    assert not is_trusted()
    assert a.identity['checkpoint_sha256'] != b.identity['checkpoint_sha256']
    for key, value in a.model.state_dict().items():
        assert torch.equal(value, b.model.state_dict()[key])


def test_the_weights_beside_are_named(pose, tmp_path):
    training = tmp_path / 'epoch_3.pth'
    training.write_bytes(pose[2].read_bytes())
    (tmp_path / 'epoch_3_weights.pth').write_bytes(pose[1].read_bytes())
    with pytest.raises(UntrustedCheckpointError, match=r'Take .*epoch_3_weights\.pth'):
        load_published(training)


class Hostile:
    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_hostile_file_is_not_executed(tmp_path):
    hostile = Hostile()
    hostile.folder = str(tmp_path / 'executed')
    torch.save(dict(state_dict=dict(), evil=hostile), tmp_path / 'evil.pth')
    with pytest.raises(UntrustedCheckpointError, match='could run any code'):
        load_published(tmp_path / 'evil.pth')
    assert not (tmp_path / 'executed').exists()
    # the very file does it where the user insists
    with trusting(True):
        load_published(tmp_path / 'evil.pth')
    assert (tmp_path / 'executed').is_dir()


def test_broken_and_missing_files(pose, tmp_path):
    (tmp_path / 'page.pth').write_text('<html>')
    with pytest.raises(BrokenCheckpointError):
        load_network(pose[0], tmp_path / 'page.pth')
    with pytest.raises(FileNotFoundError, match='gone'):
        load_network(pose[0], tmp_path / 'gone.pth')
    with pytest.raises(CheckpointError, match='resnet5000'):
        local_checkpoint('torchvision://resnet5000')


def test_weights_of_another_network_are_refused(pose, pretrained):
    with pytest.raises(CheckpointError, match=r'4 are unknown \(such as head\.depth_hidden_layer'):
        load_network(pose[0], pretrained[1])


def test_weights_of_another_size_are_refused(pose, repo):
    with pytest.raises(CheckpointError, match='have another shape'):
        load_network(repo / 'configs/quickstart/posenet_h36m_r18.py', pose[1])


def test_a_configuration_without_such_a_network(pose, repo):
    cfg = load_config(pose[0])
    cfg.model.head.type = 'HeatmapHead'
    with pytest.raises(ModelError, match='HeatmapHead'):
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

    cfg = load_config(repo / 'configs' / f'{name}.py')
    assert joint_set_of(cfg, 'pose', cfg.model.head.get('out_channels', 18), name) == expected
    with pytest.raises(ModelError, match='joint_set'):
        joint_set_of(cfg, 'pose', 5, name)


def test_trust_is_restored(monkeypatch):
    monkeypatch.setenv('WSP_TRUST_CHECKPOINT', '1')
    with trusting(False):
        assert not is_trusted()
    assert is_trusted()
    with trusting(None):
        assert is_trusted()
