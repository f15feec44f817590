# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The user's word for a device."""

from __future__ import annotations

import torch


def pick_device(name: str | torch.device) -> torch.device:
    """A device that is there.

    Args:
        name: as torch names it, or 'auto': the process's own GPU, the processor where there is
            none.

    Raises:
        ValueError: torch knows no such name, or this machine has no such GPU.
    """
    if name == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        raise ValueError(
            f'device {name!r} is none that torch knows: auto, cpu, cuda, cuda:1, ...'
        ) from None
    if device.type == 'cuda':
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            there = f'{count} GPU{"s" if count != 1 else ""}' if count else 'no GPU'
            raise ValueError(f'device {name} was asked for, but torch sees {there}')
    return device
