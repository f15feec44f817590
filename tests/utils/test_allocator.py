# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import os
import platform
import subprocess
import sys

import pytest

from wsp_mm.utils import allocator

SCRIPT = """
import resource, sys
import torch
from wsp_mm.utils.allocator import keep_freed_memory

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


def page_faults(way):
    # Left alone, glibc raises this threshold as it sees fit, and what it then gives back is chance.
    env = dict(os.environ, MALLOC_MMAP_THRESHOLD_='131072')
    command = [sys.executable, '-c', SCRIPT, way]
    return int(subprocess.run(command, env=env, check=True, capture_output=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='another C library than glibc')
def test_freed_memory_is_used_again():
    # Threads, imports and the interpreter take pages of their own; a step's tensors are 8,192 of 4
    # KiB.
    assert page_faults('keep') < 8192
    assert page_faults('default') > 8192


@pytest.mark.parametrize('libc', [None, object()])
def test_nothing_happens_without_glibc(monkeypatch, libc):
    monkeypatch.setattr(allocator.sys, 'platform', 'darwin' if libc is None else 'linux')
    monkeypatch.setattr(allocator.ctypes, 'CDLL', lambda name: libc)
    assert allocator.keep_freed_memory() is False
