# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import faulthandler
import json
import platform
import socket
import sys

import pytest
import torch
from mmengine.config import Config
from process_fixture import run

from wsp_mm.utils import compat
from wsp_mm.utils.compat import (
    finish_distributed,
    keep_freed_memory,
    machine,
    pick_device,
    prepare_run,
    run_rank,
)


# ------------------------------------------------------------------------------- the machine
def test_names_of_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    assert pick_device('auto') == pick_device('cpu') == torch.device('cpu')
    with pytest.raises(ValueError, match='no GPU'):
        pick_device('cuda')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    assert pick_device('auto') == torch.device('cuda')
    assert pick_device('cuda:1') == torch.device('cuda:1')
    with pytest.raises(ValueError, match='cuda:2'):
        pick_device('cuda:2')
    for name in ('gpu', 'cuda:x', '', 'cpu:0:1'):
        with pytest.raises(ValueError, match='unknown device'):
            pick_device(name)


def test_machine_is_one_line():
    assert f'torch {torch.__version__}' in machine() and '\n' not in machine()


PAGE_FAULTS = """
import resource, sys
import torch
from wsp_mm.utils.compat import keep_freed_memory

torch.set_num_threads(1)
if sys.argv[1] == 'keep':
    assert keep_freed_memory()
def step():
    kept = [torch.ones(2 << 20) for _ in range(4)]  # of 8 MiB
for _ in range(5):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='another C library than glibc')
@pytest.mark.parametrize('way', ['keep', 'default'])
def test_freed_memory_is_used_again(way):
    # Left alone, glibc raises this threshold as it sees fit, and what it then gives back is chance.
    done = run(sys.executable, '-c', PAGE_FAULTS, way, MALLOC_MMAP_THRESHOLD_='131072')
    faults = int(done.stdout)
    assert (faults < 8192) == (way == 'keep')  # a step's tensors are 8,192 pages of 4 KiB


def test_nothing_happens_without_glibc(monkeypatch):
    monkeypatch.setattr(compat.ctypes, 'CDLL', lambda name: object())
    assert keep_freed_memory() is False


# --------------------------------------------------------------------------- start of a run
@pytest.fixture
def one_rank(monkeypatch):
    """The environment that torchrun gives to the only process."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    place = dict(RANK=0, WORLD_SIZE=1, LOCAL_RANK=0, MASTER_ADDR='127.0.0.1', MASTER_PORT=port)
    for name, value in place.items():
        monkeypatch.setenv(name, str(value))
    yield
    finish_distributed()


@pytest.mark.parametrize('gpu', [False, True])
def test_memory_is_pinned_for_a_gpu_alone(monkeypatch, gpu):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: gpu)
    loader = dict(batch_size=1, pin_memory=True)
    cfg = Config(dict(train_dataloader=loader, val_dataloader=None, test_dataloader=dict(a=1)))
    prepare_run(cfg, 'none')
    assert cfg.train_dataloader.pin_memory is gpu
    assert cfg.test_dataloader.to_dict() == dict(a=1) and 'model_wrapper_cfg' not in cfg
    assert not torch.distributed.is_initialized()


def test_processes_on_cpu_get_gloo_and_a_wrapper_that_takes_cpu_modules(one_rank):
    own = dict(type='MMDistributedDataParallel', static_graph=True)
    cfg = Config(dict(find_unused_parameters=True, model_wrapper_cfg=own))
    prepare_run(cfg, 'pytorch')
    assert torch.distributed.get_backend() == 'gloo'
    added = dict(broadcast_buffers=False, find_unused_parameters=True, device_ids=None)
    assert cfg.model_wrapper_cfg == dict(own, **added)
    finish_distributed()
    assert not torch.distributed.is_initialized()
    finish_distributed()


def test_launchers_that_cannot_work(monkeypatch):
    monkeypatch.delenv('RANK', raising=False)
    with pytest.raises(SystemExit, match='dist_train'):
        prepare_run(Config(), 'pytorch')
    with pytest.raises(SystemExit, match='slurm'):
        prepare_run(Config(), 'slurm')
    monkeypatch.setenv('RANK', '0')
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '3')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    with pytest.raises(SystemExit, match='3 processes'):
        prepare_run(Config(), 'pytorch')
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '2')
    prepare_run(cfg := Config(), 'pytorch')  # MMEngine does the rest, with NCCL
    assert 'model_wrapper_cfg' not in cfg and not torch.distributed.is_initialized()


# ----------------------------------------------------------------------------- failing ranks
@pytest.fixture
def error_file(monkeypatch, tmp_path):
    """As a process of torchrun, whose exit is not limited (pytest has faulthandler in use)."""
    file = tmp_path / 'error.json'
    monkeypatch.setenv('TORCHELASTIC_ERROR_FILE', str(file))
    monkeypatch.setattr(faulthandler, 'dump_traceback_later', lambda *args, **kwargs: None)
    monkeypatch.setattr(faulthandler, 'enable', lambda *args, **kwargs: None)
    return file


def fail(error):
    def action():
        raise error

    return action


@pytest.mark.parametrize('error', [ValueError('the cause'), SystemExit('the cause')])
def test_an_error_is_written_and_goes_on(error, error_file):
    with pytest.raises(type(error), match='the cause'):
        run_rank(fail(error))
    assert 'the cause' in json.loads(error_file.read_text())['message']['extraInfo']['py_callstack']


def test_a_good_end_is_no_failure(error_file):
    assert run_rank(lambda: 3) == 3
    with pytest.raises(SystemExit):
        run_rank(fail(SystemExit(0)))
    assert not error_file.exists()


def test_a_rank_that_lost_its_peer_waits_for_the_launcher(error_file, monkeypatch):
    waited = []
    monkeypatch.setattr(compat.time, 'sleep', waited.append)
    for error, waits in (
        (RuntimeError('[pair.cc:547] Connection closed by peer [127.0.0.1]:123'), 1),
        (RuntimeError('NCCL error: remote process exited or there was a network error'), 2),
        (RuntimeError('mat1 and mat2 shapes cannot be multiplied'), 2),
        (ConnectionError('connection reset by peer'), 2),  # of a download, say
    ):
        with pytest.raises(type(error)):
            run_rank(fail(error))
        assert waited == [compat.PATIENCE] * waits


def test_a_lone_process_gets_nothing_added(monkeypatch):
    for name in ('TORCHELASTIC_ERROR_FILE', 'WORLD_SIZE', 'OMPI_COMM_WORLD_SIZE'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('SLURM_NTASKS', '1')  # as in a shell of Slurm
    monkeypatch.setattr(compat.time, 'sleep', lambda seconds: pytest.fail('waited'))
    with pytest.raises(RuntimeError):
        run_rank(fail(RuntimeError('Connection closed by peer')))


@pytest.mark.parametrize('launcher', ['torchrun', 'slurm'])
def test_an_exit_that_waits_is_cut_short(tmp_path, launcher):
    """A process that hangs after its error, as with a communicator that waits for other ranks."""
    script = (
        'import atexit, time\n'
        'from wsp_mm.utils import compat\n'
        'compat.EXIT_WITHIN = 0.2\n'
        'atexit.register(time.sleep, 600)\n'
        'compat.run_rank(lambda: 1 / 0)\n'
    )
    file = tmp_path / 'error.json'
    env = dict(TORCHELASTIC_ERROR_FILE=str(file))
    env = env if launcher == 'torchrun' else dict(SLURM_NTASKS='2')
    done = run(sys.executable, '-c', script, status=1, timeout=100, **env)
    assert 'ZeroDivisionError' in done.stderr
    if launcher == 'torchrun':
        assert 'ZeroDivisionError' in file.read_text()
