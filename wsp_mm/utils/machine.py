# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""What figures were measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def machine() -> str:
    """One line that says what the figures were measured on."""
    import torch

    name = platform.processor() or platform.machine()
    cpuinfo = Path('/proc/cpuinfo')
    if cpuinfo.is_file():
        models = [
            line.split(':', 1)[1].strip()
            for line in cpuinfo.read_text().splitlines()
            if 'model name' in line
        ]
        name = models[0] if models else name
    gpu = f', {torch.cuda.get_device_name()}' if torch.cuda.is_available() else ', no GPU'
    return f'{os.cpu_count()} cores of {name}{gpu}, torch {torch.__version__}'
