# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The work dir of a training: one training at a time in it, and the checkpoint to go on from."""

import errno
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.logging import print_log

from wsp_mm.utils.checkpoint import BrokenCheckpointError, CheckpointError, load, meta_of, warn
from wsp_mm.utils.files import remove_leftovers

LOCK = '.training.lock'
_RANKS = dict(pytorch='RANK', slurm='SLURM_PROCID', mpi='OMPI_COMM_WORLD_RANK')


def is_first_rank(launcher: str) -> bool:
    """Return whether this process is rank 0 of its job, before the process group is there."""
    return os.environ.get(_RANKS.get(launcher, ''), '0') == '0'


@contextmanager
def one_training(work_dir: str | Path) -> Iterator[None]:
    """Hold the lock of a work dir, which is made, and remove what a killed training left half
    written.

    The kernel releases the lock when the process ends, however it ends. Call it in rank 0 alone.

    Raises:
        SystemExit: another training holds the lock.
        OSError: the folder cannot be written.
    """
    import fcntl

    folder = Path(work_dir)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOCK, 'a+') as file:
        try:
            # Not flock: loader processes would inherit it, and outlive a killed training.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise SystemExit(
                    f'another training writes to {folder}: {file.read()}. Wait until it ends, or '
                    'name another --work-dir'
                ) from None
            warn(f'{folder} cannot be locked ({error}): start no second training in it')
        else:
            file.truncate(0)
            file.write(f'process {os.getpid()} on {socket.gethostname()}')
            file.flush()
            remove_leftovers(folder)
        yield


def newest_checkpoint(work_dir: str | Path, by_epoch: bool = True) -> Path | None:
    """Return the newest whole training checkpoint of a work dir, and say what is skipped.

    Candidates are ``epoch_N.pth`` and ``iter_N.pth`` of the folder itself, the largest N first.
    What ``last_checkpoint`` says does not count: the folder may have been copied or moved.

    Args:
        by_epoch: whether ``epoch_N.pth`` come before ``iter_N.pth``, or after them.

    Returns:
        None if the folder holds no ``.pth`` at all.

    Raises:
        CheckpointError: it holds some, and none to resume.
    """
    files = sorted(Path(work_dir).glob('*.pth'))
    found = [(re.fullmatch(r'(epoch|iter)_(\d+)\.pth', file.name), file) for file in files]
    ranked = [((m[1] == 'epoch') == by_epoch, int(m[2]), file) for m, file in found if m]
    for *_, file in sorted(ranked, reverse=True):
        try:
            check_resumable(file)
        except CheckpointError as error:
            warn(f'not resumed: {error}')
        else:
            return file
    if files:
        raise CheckpointError(
            f'{work_dir} holds nothing to resume: no whole epoch_N.pth or iter_N.pth among its '
            f'{len(files)} checkpoints ({files[0].name}, ...). Name a file by --resume FILE; or, '
            'to start from the beginning, leave --resume out or name another --work-dir'
        )
    return None


def check_resumable(checkpoint: str | Path) -> None:
    """Check that a training can go on from a checkpoint.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: it is broken or refused, or holds no state of a training.
    """
    content = load(str(checkpoint), 'cpu')
    content, meta = content if isinstance(content, dict) else {}, meta_of(content)
    missing = [key for key in ('state_dict', 'message_hub') if key not in content]
    missing += [f'meta.{key}' for key in ('epoch', 'iter') if key not in meta]
    if missing:
        raise BrokenCheckpointError(
            f'{checkpoint} is no checkpoint of a training (it has no {", ".join(missing)}): to '
            'start from its weights use --cfg-options load_from=FILE, without --resume'
        )


def choose_checkpoint(cfg, launcher: str, start_from: str | None = None) -> None:
    """Settle in a config with ``resume=True`` what is resumed, and say it.

    A checkpoint that ``load_from`` names is checked; without one, :func:`newest_checkpoint` of the
    work dir is named there. Where there is none, the training starts from the beginning.

    Args:
        cfg (mmengine.Config): of the training.
        launcher: of the job.
        start_from: ``load_from`` for a training that starts from the beginning.

    Raises:
        CheckpointError: as :func:`newest_checkpoint` and :func:`check_resumable`.
    """
    if not cfg.get('resume'):
        return
    if cfg.get('load_from'):
        check_resumable(cfg.load_from)
        return
    hook, folder = (cfg.get('default_hooks') or {}).get('checkpoint') or {}, Path(cfg.work_dir)
    if hook.get('out_dir'):
        folder = Path(hook['out_dir']) / folder.name
    newest = newest_checkpoint(folder, hook.get('by_epoch', True))
    cfg.resume, cfg.load_from = newest is not None, str(newest or start_from or '') or None
    if is_first_rank(launcher):
        beginning = f'{folder} holds no checkpoint: the training starts from the beginning'
        print_log(f'resuming {newest}' if newest else beginning, 'current')
