# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The process and its machine: devices, memory, several ranks, bugs of the host libraries.

Workarounds, each with its symptom and the condition for its removal:

1. MMEngine (0.10.7, onedl 0.10.12) cannot start several processes without a GPU: ``init_dist``
   calls ``torch.cuda.set_device`` whatever the backend (``RuntimeError: Found no NVIDIA driver``),
   and ``Runner.wrap_model`` hands ``device_ids=[LOCAL_RANK]`` to DistributedDataParallel
   (``ValueError: ... only work with ... GPU modules``). :func:`prepare_run` creates the gloo group
   first and names the wrapper itself. Remove it when ``init_dist('pytorch', backend='gloo')`` and a
   default ``wrap_model`` work on a machine without CUDA.
2. PyTorch warns of ``pin_memory=True`` where there is no GPU. :func:`prepare_run` switches it off
   there. Remove it when the warning is gone.
3. torchrun blames the wrong rank when one fails: see :func:`run_rank`.
4. Processes of a killed torchrun go on, or wait for each other: :func:`die_with_parent`.
"""

import ctypes
import faulthandler
import os
import platform
import re
import signal
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

Result = TypeVar('Result')

#: Seconds that a rank which lost its peer leaves the launcher to find the one that failed first.
PATIENCE = 10.0
#: Seconds from an error to the end of its process, whatever the exit waits for.
EXIT_WITHIN = 20.0
#: Variables with the number of processes of a job: MMEngine's launchers, Slurm, Open MPI.
_WORLD_SIZES = ('WORLD_SIZE', 'SLURM_NTASKS', 'OMPI_COMM_WORLD_SIZE')
_LOST_PEER_NOTE = 'Another rank ended first, perhaps on another node: see the cause in its output.'
# What gloo, NCCL and the store report when the other side is gone.
_LOST_PEER = re.compile(
    r'connection (was )?(closed|reset|refused)|broken pipe|socket closed|remote process exited|'
    r'ncclRemoteError|NCCL communicator was aborted|failed to recv|recvValue failed',
    re.IGNORECASE,
)


def pick_device(name):
    """Return a device that this machine has.

    Args:
        name (str | torch.device): as torch names it, or 'auto': a GPU, the processor where there
            is none.

    Returns:
        torch.device

    Raises:
        ValueError: torch knows no such name, or this machine has no such GPU.
    """
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == 'auto':
        return torch.device('cuda' if count else 'cpu')
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        raise ValueError(f'unknown device {name!r}: use auto, cpu, cuda, cuda:1, ...') from None
    if device.type == 'cuda' and (device.index or 0) >= count:
        raise ValueError(f'device {name} was asked for, but torch sees {count or "no"} GPU(s)')
    return device


def machine() -> str:
    """Return one line about the machine that figures are measured on."""
    import torch

    name = platform.processor() or platform.machine()
    cpuinfo = Path('/proc/cpuinfo')
    if cpuinfo.is_file() and (model := re.search(r'model name\s*: (.*)', cpuinfo.read_text())):
        name = model.group(1)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU'
    return f'{os.cpu_count()} cores of {name}, {gpu}, torch {torch.__version__}'


def keep_freed_memory() -> bool:
    """Let glibc keep freed memory for the next allocations; return whether it does.

    By default glibc gives a large block back to the kernel when it is freed, and the kernel clears
    every page again for the next training step: ten thousand page faults an iteration, 8 % of its
    time (ResNet-18, 128 px, batch of 16, on a processor). The process then holds its peak until it
    ends. Without glibc nothing changes.
    """
    libc = ctypes.CDLL(None) if sys.platform.startswith('linux') else None
    if not hasattr(libc, 'mallopt'):
        return False
    # M_MMAP_THRESHOLD (32 MiB is the largest that every glibc takes), M_TRIM_THRESHOLD, M_TOP_PAD.
    settings = ((-3, 32 << 20), (-1, 1 << 30), (-2, 64 << 20))
    taken = [libc.mallopt(*setting) for setting in settings]
    return all(taken)


def prepare_run(cfg, launcher: str) -> None:
    """Make a Runner with ``launcher`` work on this machine, with or without a GPU.

    On GPUs MMEngine starts NCCL by itself. Without a GPU this switches pinned memory off, keeps
    freed memory, and starts gloo for several processes. Call it when the config is final, before
    the Runner is built.

    Args:
        cfg (mmengine.Config): without a GPU its loaders and ``model_wrapper_cfg`` are changed.
            ``env_cfg.dist_cfg.timeout`` (seconds) limits how long a collective waits.
        launcher: 'none', 'pytorch', 'slurm' or 'mpi'.

    Raises:
        SystemExit: more processes than GPUs on this node, a launcher that cannot run without GPUs,
            or a missing environment of ``torchrun``.
    """
    import torch

    if launcher == 'pytorch' and 'RANK' not in os.environ:
        raise SystemExit(
            '--launcher pytorch is for processes of torchrun: use tools/dist_train.sh, dist_test.sh'
        )
    if torch.cuda.is_available():
        local_size, gpus = int(os.environ.get('LOCAL_WORLD_SIZE', 1)), torch.cuda.device_count()
        if launcher != 'none' and local_size > gpus:
            raise SystemExit(
                f'{local_size} processes on this node, which shows {gpus} GPU(s): start one for '
                'each GPU, or set CUDA_VISIBLE_DEVICES=-1 to train on CPUs'
            )
        return
    keep_freed_memory()
    for split in ('train', 'val', 'test'):
        if (loader := cfg.get(f'{split}_dataloader')) and 'pin_memory' in loader:
            loader.pin_memory = False
    if launcher == 'none':
        return
    if launcher != 'pytorch':
        raise SystemExit(
            f'--launcher {launcher} needs GPUs; start several CPU processes by tools/dist_train.sh'
        )
    seconds = (cfg.get('env_cfg') or {}).get('dist_cfg', {}).get('timeout')
    timeout = None if seconds is None else timedelta(seconds=seconds)
    torch.distributed.init_process_group('gloo', timeout=timeout)
    # The Runner's own defaults, which it drops as soon as a wrapper is named.
    defaults = dict(type='MMDistributedDataParallel', broadcast_buffers=False)
    defaults['find_unused_parameters'] = cfg.get('find_unused_parameters', False)
    cfg.model_wrapper_cfg = {**defaults, **(cfg.get('model_wrapper_cfg') or {}), 'device_ids': None}


def finish_distributed() -> None:
    """Take the process group down, so that no rank complains about the others at exit."""
    import torch

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent, the launcher, has ended (Linux)."""
    if sys.platform.startswith('linux'):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def run_rank(action: Callable[[], Result]) -> Result:
    """Call ``action``; as one of several processes, end the job with the error that came first.

    torchrun stops all processes as soon as one has ended badly, and shows the error file of that
    one. Three things would spoil this. A process that does not write the file leaves an exit code
    for an explanation. Ranks that lose their peer fail as well, some before torchrun has looked,
    and blame the connection: they wait :data:`PATIENCE`. And a process whose exit waits for
    something (a communicator, a loader) has not ended: it is cut short after :data:`EXIT_WITHIN`.

    Args:
        action: the work of this process, from the start of its process group on.

    Returns:
        What ``action`` returns. Its errors go on as they are, after they were written to torchrun's
        error file.
    """
    torchrun = 'TORCHELASTIC_ERROR_FILE' in os.environ
    sizes = [os.environ.get(name, '') for name in _WORLD_SIZES]
    if not torchrun and not any(size.isdecimal() and int(size) > 1 for size in sizes):
        return action()
    handler = None
    if torchrun:
        die_with_parent()
        from torch.distributed.elastic.multiprocessing.errors import get_error_handler

        handler = get_error_handler()
        handler.initialize()
    try:
        return action()
    except (Exception, SystemExit) as error:
        if isinstance(error, SystemExit) and error.code in (0, None):
            raise
        if isinstance(error, RuntimeError) and _LOST_PEER.search(str(error)):
            # The launcher ends this process as soon as it sees the other, whose error is the cause.
            time.sleep(PATIENCE)
            if hasattr(error, 'add_note'):  # Python 3.11
                error.add_note(_LOST_PEER_NOTE)
        if handler is not None:
            handler.record_exception(error)
        faulthandler.dump_traceback_later(EXIT_WITHIN, exit=True)
        raise
