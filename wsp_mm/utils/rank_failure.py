# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""One rank that fails ends the job, with its own error as the job's last words.

torchrun stops all processes as soon as one has ended badly, and shows what that one left in its
error file. Three things would spoil this. A process that does not write the file leaves an exit
code for an explanation. The ranks that lose their peer fail as well, some of them before torchrun
has looked, and blame the connection. And a process whose exit waits for something (a communicator,
a loader) has not ended. Imports nothing heavy.
"""

from __future__ import annotations

import faulthandler
import os
import re
import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar('Result')

#: Seconds that a rank which lost its peer leaves the launcher to find the one that failed first.
PATIENCE = 10.0
#: Seconds from an error to the end of its process, whatever the exit waits for.
EXIT_WITHIN = 20.0
#: How many processes a job has, as launchers say it: MMEngine's among them, Slurm, Open MPI.
_SIZES = ('WORLD_SIZE', 'SLURM_NTASKS', 'OMPI_COMM_WORLD_SIZE')
HINT = 'Another rank ended first, perhaps on another node: the cause stands in its output.'
# What gloo, NCCL and the store say when the other side is gone.
_LOST = re.compile(
    r'connection (was )?(closed|reset|refused)|broken pipe|socket closed|remote process exited|'
    r'ncclRemoteError|NCCL communicator was aborted|failed to recv|recvValue failed',
    re.IGNORECASE,
)


def run_rank(action: Callable[[], Result]) -> Result:
    """Call ``action``; among other processes, see that a failure ends this one, and under torchrun
    leave word.

    Args:
        action: the work of this process, from the start of its process group on.

    Returns:
        What ``action`` returns. Its errors go on as they are, after they were written to torchrun's
        error file.
    """
    torchrun = 'TORCHELASTIC_ERROR_FILE' in os.environ
    sizes = [os.environ.get(name, '') for name in _SIZES]
    if not torchrun and not any(size.isdecimal() and int(size) > 1 for size in sizes):
        return action()
    handler = None
    if torchrun:
        from torch.distributed.elastic.multiprocessing.errors import get_error_handler

        handler = get_error_handler()
        handler.initialize()
    try:
        return action()
    except (Exception, SystemExit) as error:
        if isinstance(error, SystemExit) and error.code in (0, None):
            raise
        if lost_peer(error):
            # The launcher ends this process as soon as it sees the other one, whose error is the
            # cause.
            time.sleep(PATIENCE)
            if hasattr(error, 'add_note'):  # Python 3.11
                error.add_note(HINT)
        if handler is not None:
            handler.record_exception(error)
        faulthandler.dump_traceback_later(EXIT_WITHIN, exit=True)
        raise


def lost_peer(error: BaseException) -> bool:
    """Whether the error says no more than that another rank is gone."""
    return isinstance(error, RuntimeError) and _LOST.search(str(error)) is not None
