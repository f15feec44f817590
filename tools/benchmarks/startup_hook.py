# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""When a training gets where: imported and registered by the config that bench_startup.py
writes.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from mmengine.hooks import Hook
from mmpose.registry import HOOKS

# Configs name this module last, so that everything else has been imported.
_IMPORTED = time.time()


def process_start() -> float:
    """When the kernel made this process, seconds as ``time.time()`` counts (in steps of 10 ms;
    Linux).
    """
    after_name = Path('/proc/self/stat').read_text().rpartition(')')[2].split()
    ticks = int(after_name[19])  # field 22, starttime, since the machine started
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf('SC_CLK_TCK')


@HOOKS.register_module()
class StartUpHook(Hook):
    """Writes when each step of the start was done, and ends the training after some iterations.

    Args:
        out: json file: name -> seconds since the process began.
        iterations: how many are made; at least 2.
    """

    priority = 'VERY_LOW'

    def __init__(self, out: str, iterations: int = 4) -> None:
        self.out, self.iterations = Path(out), iterations
        self.start = process_start()
        self.marks: dict[str, float] = {'imports': _IMPORTED - self.start}
        self._mark('model')

    def _mark(self, name: str) -> None:
        self.marks[name] = time.time() - self.start

    def before_run(self, runner) -> None:
        self._mark('data')

    def before_train(self, runner) -> None:
        self._mark('weights')

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        if batch_idx == 0:
            self._mark('first batch')

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        import torch

        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if batch_idx == 0:
            self._mark('first iteration')
        if batch_idx + 1 == self.iterations:
            self._mark('last iteration')
            self.out.write_text(json.dumps(self.marks | {'iterations': self.iterations}))
            raise SystemExit(0)
