# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import pytest
import torch
from mmengine.config import Config

from wsp_mm.utils.compat import finish_distributed, pin_memory_for_gpus, prepare_distributed


@pytest.fixture
def one_rank(monkeypatch):
    """The environment that torchrun gives to the only process."""
    import socket

    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    for name, value in dict(
        RANK=0, WORLD_SIZE=1, LOCAL_RANK=0, MASTER_ADDR='127.0.0.1', MASTER_PORT=port
    ).items():
        monkeypatch.setenv(name, str(value))
    yield
    finish_distributed()


@pytest.mark.parametrize('gpu', [False, True])
def test_memory_is_pinned_for_a_gpu_alone(monkeypatch, gpu):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: gpu)
    loader = dict(batch_size=1, pin_memory=True)
    cfg = Config(
        dict(train_dataloader=loader, val_dataloader=None, test_dataloader=dict(batch_size=1))
    )
    pin_memory_for_gpus(cfg)
    assert cfg.train_dataloader.pin_memory is gpu
    assert cfg.test_dataloader.to_dict() == dict(batch_size=1)  # nothing is added


def test_no_launcher_changes_nothing():
    cfg = Config(dict(a=1))
    prepare_distributed(cfg, 'none')
    assert cfg.to_dict() == dict(a=1)
    assert not torch.distributed.is_initialized()


def test_processes_on_cpu_get_gloo_and_a_wrapper_that_takes_cpu_modules(one_rank):
    cfg = Config(dict(find_unused_parameters=True))
    prepare_distributed(cfg, 'pytorch')
    assert torch.distributed.get_backend() == 'gloo'
    assert cfg.model_wrapper_cfg == dict(
        type='MMDistributedDataParallel',
        broadcast_buffers=False,
        find_unused_parameters=True,
        device_ids=None,
    )
    finish_distributed()
    assert not torch.distributed.is_initialized()
    finish_distributed()


def test_a_wrapper_of_the_configuration_is_kept(one_rank):
    cfg = Config(dict(model_wrapper_cfg=dict(type='MMDistributedDataParallel', static_graph=True)))
    prepare_distributed(cfg, 'pytorch')
    assert cfg.model_wrapper_cfg.static_graph is True
    assert cfg.model_wrapper_cfg.device_ids is None


def test_wrong_launchers_are_explained(monkeypatch):
    monkeypatch.delenv('RANK', raising=False)
    with pytest.raises(SystemExit, match=r'tools/dist_train\.sh'):
        prepare_distributed(Config(), 'pytorch')
    with pytest.raises(SystemExit, match='slurm needs GPUs'):
        prepare_distributed(Config(), 'slurm')


def test_more_processes_than_gpus(monkeypatch):
    monkeypatch.setenv('RANK', '0')
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '3')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    with pytest.raises(SystemExit, match=r'3 processes .* 2 GPU\(s\)'):
        prepare_distributed(Config(), 'pytorch')
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '2')
    cfg = Config()
    prepare_distributed(cfg, 'pytorch')
    assert 'model_wrapper_cfg' not in cfg
    assert not torch.distributed.is_initialized()  # MMEngine does it, with NCCL
