# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""MMEngine's own ways to start from weights, made to notice weights of another network."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.model import PretrainedInit
from mmengine.registry import WEIGHT_INITIALIZERS
from torch import nn

from wsp_mm.utils.checkpoint import PretrainedPartsError, load, weights_of

#: Largest share of a backbone's tensors that a checkpoint may lack: layers added to a known one.
MAX_MISSING = 0.1


def check_fit(module: nn.Module, checkpoint: Any, name: str, prefix: str = '') -> None:
    """Check that a checkpoint is one of a module's network; of a whole model its backbone counts.

    Args:
        module: a backbone, or a model with the attribute ``backbone``.
        checkpoint: a dict with ``state_dict``, or bare weights.
        name: of the checkpoint, for errors.
        prefix: of the module's tensors in the checkpoint.

    Raises:
        PretrainedPartsError: a tensor has another shape, or more than :data:`MAX_MISSING` of them
            are missing.
    """
    if isinstance(getattr(module, 'backbone', None), nn.Module):
        module, prefix = module.backbone, f'{prefix}backbone.'
    state = weights_of(checkpoint)
    own = {k: v for k, v in module.state_dict().items() if not k.endswith('num_batches_tracked')}
    missing = [key for key in own if prefix + key not in state]
    other = [
        f'{key} {tuple(state[prefix + key].shape)} instead of {tuple(value.shape)}'
        for key, value in own.items()
        if key not in missing and state[prefix + key].shape != value.shape
    ]
    if other or len(missing) > MAX_MISSING * len(own):
        what = f'it lacks {", ".join(missing[:2])}' if missing else f'it has {other[0]}'
        raise PretrainedPartsError(
            f'{name}: {len(own) - len(missing) - len(other)} of {len(own)} tensors fit the '
            f'{type(module).__name__}, looked for as {prefix}*; {what}. Is it of another depth or '
            "kind of backbone, or do its names start otherwise (`prefix` of 'Pretrained')?"
        )


class _CheckedPretrained(PretrainedInit):
    def __call__(self, module: nn.Module) -> None:
        prefix = f'{self.prefix.rstrip(".")}.' if self.prefix else ''
        check_fit(module, load(self.checkpoint, 'cpu'), self.checkpoint, prefix)
        super().__call__(module)


@contextmanager
def checked_pretrained() -> Iterator[None]:
    """Have ``init_cfg=dict(type='Pretrained', ...)`` checked by :func:`check_fit` meanwhile."""
    modules = WEIGHT_INITIALIZERS.module_dict
    before, modules['Pretrained'] = modules['Pretrained'], _CheckedPretrained
    try:
        yield
    finally:
        modules['Pretrained'] = before
