# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""bfloat16 and channels-last training, on GPUs and on processors that have the instructions."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import AmpOptimWrapper, OptimWrapper, OptimWrapperDict
from mmpose.registry import HOOKS, OPTIM_WRAPPERS

from wsp_mm.engine.deferred_log import DeferredQueue, defer_scalar

SWITCH = (True, False, 'auto')


def bfloat16_is_fast(device: str) -> bool:
    """Whether the device computes in bfloat16 rather than emulating it."""
    if device.startswith('cuda'):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if not device.startswith('cpu'):
        return False
    cpuinfo = Path('/proc/cpuinfo')
    flags = cpuinfo.read_text() if cpuinfo.is_file() else ''
    return 'avx512_bf16' in flags or 'amx_bf16' in flags


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Forward and loss under autocast to bfloat16; weights, gradients and optimizer stay float32.

    bfloat16 has float32's range, so no loss scaling is needed, and unlike MMEngine's
    ``AmpOptimWrapper`` this one also works without a GPU, and never waits for the device: neither
    to ask whether a gradient overflowed nor, with ``clip_grad``, for the norm that goes to the log.

    Args:
        enabled: True, False, or 'auto': only where the device really computes in bfloat16.
    """

    def __init__(self, enabled: bool | str = 'auto', **kwargs) -> None:
        super().__init__(**kwargs)
        if enabled not in SWITCH:
            raise ValueError(f"enabled must be True, False or 'auto', got {enabled!r}")
        self.device_type = get_device().split(':')[0]
        self.enabled = bfloat16_is_fast(self.device_type) if enabled == 'auto' else enabled
        self._norms = DeferredQueue()

    @contextmanager
    def optim_context(self, model: torch.nn.Module):
        with (
            super().optim_context(model),
            torch.autocast(self.device_type, torch.bfloat16, enabled=self.enabled),
        ):
            yield

    def _clip_grad(self) -> None:
        """MMEngine's, whose norm is a number only when the log is written."""
        groups = self.optimizer.param_groups
        parameters = [
            p for group in groups for p in group['params'] if p.requires_grad and p.grad is not None
        ]
        if parameters:
            norm = self.clip_func(parameters, **self.clip_grad_kwargs)
            if norm is not None:  # clipping by value has none
                defer_scalar(self.message_hub, self._norms, f'train/{self.grad_name}', norm)


def computes_in_16_bit(optim_wrapper: object) -> bool:
    """Whether a training's forward pass runs under autocast."""
    return bool(getattr(optim_wrapper, 'enabled', isinstance(optim_wrapper, AmpOptimWrapper)))


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Lays the model's convolutions out channels-last, which 16-bit kernels want.

    Checkpoints do not tell: a training of either layout goes on from what the other saved, the
    optimizer's state included.

    Args:
        enabled: True, False, or 'auto': where the forward pass runs in 16 bit. With float32,
            layouts differ little in speed, and the plain one stays.

    Raises:
        ValueError: another word.
    """

    def __init__(self, enabled: bool | str = True) -> None:
        if enabled not in SWITCH:
            raise ValueError(f"enabled must be True, False or 'auto', got {enabled!r}")
        self.enabled = enabled

    def before_run(self, runner) -> None:
        # Before a training's weights are drawn: what a generator fills depends on the layout. A
        # test has no optimizer, and its speed no need of this.
        if not isinstance(runner.optim_wrapper, (OptimWrapper, OptimWrapperDict)):
            return
        enabled = self.enabled
        if enabled == 'auto':
            enabled = computes_in_16_bit(runner.optim_wrapper)
        if enabled:
            runner.model.to(memory_format=torch.channels_last)

    def before_train(self, runner) -> None:
        """Lay what an optimizer took from a checkpoint out as the weights are, after a resume.

        Fused optimizers pair weights and moments by their place in memory, and loading keeps the
        layout that was saved.
        """
        wrapper = runner.optim_wrapper
        if not isinstance(wrapper, (OptimWrapper, OptimWrapperDict)):
            return
        for one in wrapper.values() if isinstance(wrapper, OptimWrapperDict) else (wrapper,):
            for parameter, state in one.optimizer.state.items():
                if not torch.is_tensor(parameter):  # some optimizers keep more than moments there
                    continue
                for name, value in state.items():
                    alike = torch.is_tensor(value) and value.shape == parameter.shape
                    if alike and value.stride() != parameter.stride():
                        state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


@HOOKS.register_module()
class CompileHook(Hook):
    """Compiles the backbone (``torch.compile``), in place: checkpoints' names stay what they are.

    The heads stay as they are. Most of their time is in the deconvolutions and in kernels of their
    own, and their losses read lists of samples, which would be compiled anew for many a batch. The
    first iterations take minutes, and a first validation again.

    Args:
        enabled: compile at all.
        **options: of ``torch.compile``, such as ``mode``, ``backend`` or ``dynamic``.
    """

    def __init__(self, enabled: bool = False, **options) -> None:
        self.enabled = enabled
        self.options = options

    def before_train(self, runner) -> None:
        if self.enabled:
            model = runner.model.module if is_model_wrapper(runner.model) else runner.model
            model.backbone.compile(**self.options)
