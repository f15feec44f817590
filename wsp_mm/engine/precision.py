# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""bfloat16 and channels-last training, on GPUs and on processors that have the instructions."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmpose.registry import HOOKS, OPTIM_WRAPPERS


def bfloat16_is_fast(device: str) -> bool:
    """Whether the device computes in bfloat16 rather than emulating it."""
    if device.startswith('cuda'):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    cpuinfo = Path('/proc/cpuinfo')
    flags = cpuinfo.read_text() if cpuinfo.is_file() else ''
    return 'avx512_bf16' in flags or 'amx_bf16' in flags


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Forward and loss under autocast to bfloat16; weights, gradients and optimizer stay float32.

    bfloat16 has float32's range, so no loss scaling is needed, and unlike MMEngine's ``AmpOptimWrapper`` this
    one also works without a GPU.

    Args:
        enabled: True, False, or 'auto': only where the device really computes in bfloat16.
    """

    def __init__(self, enabled: bool | str = 'auto', **kwargs) -> None:
        super().__init__(**kwargs)
        if enabled not in (True, False, 'auto'):
            raise ValueError(f"enabled must be True, False or 'auto', got {enabled!r}")
        self.device_type = get_device().split(':')[0]
        self.enabled = bfloat16_is_fast(self.device_type) if enabled == 'auto' else enabled

    @contextmanager
    def optim_context(self, model: torch.nn.Module):
        with (
            super().optim_context(model),
            torch.autocast(self.device_type, torch.bfloat16, enabled=self.enabled),
        ):
            yield


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Lays the model's convolutions out channels-last, which bfloat16 kernels want."""

    def before_run(self, runner) -> None:
        runner.model.to(memory_format=torch.channels_last)
