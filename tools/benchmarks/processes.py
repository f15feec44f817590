# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Fresh processes that measure one thing each, and what the kernel says of a process's memory
(Linux).
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

#: Of /proc/PID/smaps_rollup. RSS holds shared pages as well, PSS divides each among those who share
#: it, and private dirty pages are the process's own, which go when it goes.
_KEYS = {'Rss': 'rss', 'Pss': 'pss', 'Private_Dirty': 'private', 'Anonymous': 'anonymous'}


def memory(pid: int | str = 'self') -> dict[str, int]:
    """``rss``, ``pss``, ``private`` (dirty) and ``anonymous`` bytes of a process.

    Raises:
        RuntimeError: not on Linux, or no such process.
    """
    try:
        lines = Path(f'/proc/{pid}/smaps_rollup').read_text().splitlines()[1:]
    except OSError as error:
        raise RuntimeError(f'memory is measured on Linux only ({error})') from None
    values = (line.split(':') for line in lines)
    return {_KEYS[key]: int(value.split()[0]) * 1024 for key, value in values if key in _KEYS}


def ask(script: str | Path, *arguments: object) -> dict:
    """Run a script in a process of its own; the last line that it prints is json.

    Raises:
        RuntimeError: it failed; the message is the end of what it said.
    """
    command = [sys.executable, *map(str, (script, *arguments))]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(
            f'{" ".join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}'
        )
    return json.loads(done.stdout.splitlines()[-1])
