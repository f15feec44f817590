# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Workarounds for bugs of the host libraries, each with its symptom and the condition for its
removal.

1. MMEngine (0.10.7, onedl 0.10.12) cannot start several processes without a GPU: ``init_dist``
   calls ``torch.cuda.set_device`` whatever the backend (``RuntimeError: Found no NVIDIA driver``),
   and ``Runner.wrap_model`` hands ``device_ids=[LOCAL_RANK]`` to DistributedDataParallel
   (``ValueError: ... only work with ... GPU modules``). :func:`prepare_distributed` creates the
   gloo group first and names the wrapper itself. Remove it when ``init_dist('pytorch',
   backend='gloo')`` and a default ``wrap_model`` work on a machine without CUDA.
2. MMEngine falls back to executing a checkpoint: see :mod:`wsp_mm.utils.checkpoint`. Remove its
   ``activate`` when ``mmengine.runner.checkpoint._safe_torch_load`` raises instead, and its allow
   list no longer has ``getattr``.
"""

import os
from datetime import timedelta


def prepare_distributed(cfg, launcher: str) -> None:
    """Make a Runner with ``launcher`` work on this machine: NCCL by MMEngine's own ways on GPUs,
    gloo on CPUs.

    Call it after the configuration is final and before the Runner is built.

    Args:
        cfg (mmengine.Config): Gets ``model_wrapper_cfg`` on CPU. ``env_cfg.dist_cfg.timeout``
            (seconds) limits how long a collective waits, as with MMEngine's own start.
        launcher: 'none', 'pytorch', 'slurm' or 'mpi'.

    Raises:
        SystemExit: More processes than GPUs on this node, a launcher that cannot run without GPUs,
            or a missing environment of ``torchrun``.
    """
    if launcher == 'none':
        return
    import torch

    if launcher == 'pytorch' and 'RANK' not in os.environ:
        raise SystemExit(
            '--launcher pytorch is for processes started by torchrun: use tools/dist_train.sh, dist_test.sh'
        )
    if torch.cuda.is_available():
        local_size = int(os.environ.get('LOCAL_WORLD_SIZE', 1))
        if local_size > torch.cuda.device_count():
            raise SystemExit(
                f'{local_size} processes on this node, which shows {torch.cuda.device_count()} GPU(s): '
                'start one for each GPU, or set CUDA_VISIBLE_DEVICES=-1 to train on CPUs'
            )
        return
    if launcher != 'pytorch':
        raise SystemExit(
            f'--launcher {launcher} needs GPUs; several CPU processes are started by tools/dist_train.sh'
        )

    seconds = (cfg.get('env_cfg') or {}).get('dist_cfg', {}).get('timeout')
    timeout = None if seconds is None else timedelta(seconds=seconds)
    torch.distributed.init_process_group('gloo', timeout=timeout)
    wrapper = dict(cfg.get('model_wrapper_cfg') or {})
    wrapper.setdefault('type', 'MMDistributedDataParallel')
    # The Runner's own defaults, which it drops as soon as a wrapper is named.
    wrapper.setdefault('broadcast_buffers', False)
    wrapper.setdefault('find_unused_parameters', cfg.get('find_unused_parameters', False))
    wrapper['device_ids'] = None
    cfg.model_wrapper_cfg = wrapper


def pin_memory_for_gpus(cfg) -> None:
    """Switch pinned memory off in the loaders where no GPU could copy from it: PyTorch would only
    warn of it.

    Args:
        cfg (mmengine.Config): its ``pin_memory=True`` entries become False without a GPU.
    """
    import torch

    if torch.cuda.is_available():
        return
    for split in ('train', 'val', 'test'):
        loader = cfg.get(f'{split}_dataloader')
        if loader and loader.get('pin_memory'):
            loader.pin_memory = False


def finish_distributed() -> None:
    """Take the process group down, so that no rank complains about the others at exit."""
    import torch

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
