# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""bfloat16 and channels-last training, on GPUs and on processors that have the instructions."""

from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmpose.registry import HOOKS, OPTIM_WRAPPERS


def bfloat16_is_fast(device: str) -> bool:
    """Return whether the device computes in bfloat16 rather than emulating it."""
    if device.startswith('cuda'):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    cpuinfo = Path('/proc/cpuinfo')
    flags = cpuinfo.read_text() if device.startswith('cpu') and cpuinfo.is_file() else ''
    return 'avx512_bf16' in flags or 'amx_bf16' in flags


def _check_switch(enabled: bool | str) -> None:
    if enabled not in (True, False, 'auto'):
        raise ValueError(f"enabled must be True, False or 'auto', got {enabled!r}")


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Forward and loss under autocast to bfloat16; weights, gradients and optimizer stay float32.

    bfloat16 has float32's range, so no loss scaling is needed, and unlike MMEngine's
    ``AmpOptimWrapper`` this one also works without a GPU.

    Args:
        enabled: True, False, or 'auto': only where the device really computes in bfloat16.
        **kwargs: of MMEngine's ``OptimWrapper``.

    Raises:
        ValueError: another word for ``enabled``.
    """

    def __init__(self, enabled: bool | str = 'auto', **kwargs) -> None:
        super().__init__(**kwargs)
        _check_switch(enabled)
        self.device_type = get_device().split(':')[0]
        self.enabled = bfloat16_is_fast(self.device_type) if enabled == 'auto' else enabled

    @contextmanager
    def optim_context(self, model: torch.nn.Module):
        """Enter autocast for a forward pass, beside what MMEngine does for accumulation."""
        autocast = torch.autocast(self.device_type, torch.bfloat16, enabled=self.enabled)
        with super().optim_context(model), autocast:
            yield


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Lays the model's convolutions out channels-last, which 16-bit kernels want.

    Checkpoints do not depend on it: a training of either layout goes on from what the other saved,
    the optimizer's state included. Tests keep the layout that they have.

    Args:
        enabled: True, False, or 'auto': where the forward pass runs in 16 bit. With float32,
            layouts differ little in speed, and the plain one stays.

    Raises:
        ValueError: another word for ``enabled``.
    """

    def __init__(self, enabled: bool | str = True) -> None:
        _check_switch(enabled)
        self.enabled = enabled

    def before_run(self, runner) -> None:
        """Set the layout before a training's weights are drawn: what a generator fills depends on
        it.
        """
        wrapper = runner.optim_wrapper
        if not isinstance(wrapper, OptimWrapper):
            return
        in_16_bit = getattr(wrapper, 'enabled', isinstance(wrapper, AmpOptimWrapper))
        if in_16_bit if self.enabled == 'auto' else self.enabled:
            runner.model.to(memory_format=torch.channels_last)

    def before_train(self, runner) -> None:
        """Lay what an optimizer took from a checkpoint out as the weights are, after a resume.

        Fused optimizers pair weights and moments by their place in memory, and loading keeps the
        layout that was saved.
        """
        for parameter, state in runner.optim_wrapper.optimizer.state.items():
            for name, value in state.items():
                alike = torch.is_tensor(value) and value.shape == parameter.shape
                if alike and value.stride() != parameter.stride():
                    state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
