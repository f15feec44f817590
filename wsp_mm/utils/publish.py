# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The publishable form of a checkpoint: weights and plain metadata, nothing that a loader would
have to trust.

Imports torch only where it is needed: ``tools/misc/publish_model.py --help`` is quick.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

META_KEYS = (
    'cfg',
    'seed',
    'epoch',
    'iter',
    'experiment_name',
    'time',
    'mmengine_version',
    'wsp_mm',
    'train_subjects',  # without it a test cannot tell whether it scores subjects seen in training
    'train_subjects_incomplete',
)


def plain(value: Any, where: str) -> Any:
    """Turn metadata into what ``weights_only=True`` reads: numbers, strings, containers and
    tensors.

    Args:
        value: Anything from a checkpoint's ``meta``; numpy arrays become tensors, numpy numbers
        become Python's. where: Name for the error.

    Raises:
        TypeError: Something that has no plain form.
    """
    import numpy as np
    import torch

    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in 'biuf':
        return torch.from_numpy(value.copy())
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, dict):
        return {plain(key, where): plain(item, f'{where}.{key}') for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(plain(item, f'{where}[{i}]') for i, item in enumerate(value))
    if isinstance(value, (set, frozenset)):
        return sorted(plain(item, where) for item in value)
    raise TypeError(f'{where} is a {type(value).__name__}, which has no plain form')


def published_form(checkpoint: Any, where: str) -> dict:
    """Strip a loaded checkpoint to what ``torch.load(file, weights_only=True)`` reads by itself.

    Drops optimizer, schedulers and logs. With an EMA hook ``state_dict`` already holds the averaged
    weights, so the copy of the raw ones goes, too.

    Args:
        checkpoint: what a checkpoint file holds: a dict with ``state_dict`` and ``meta``, or bare
            weights.
        where: its name, for errors.

    Returns:
        ``dict(meta, state_dict)``.

    Raises:
        ValueError: it holds no weights.
        TypeError: metadata without a plain form.
    """
    import torch

    import wsp_mm
    from wsp_mm.utils.checkpoint import PUBLISHED_FORMAT

    state = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, dict) else None
    if not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ValueError(f'{where} holds no `state_dict` of tensors')
    meta = checkpoint.get('meta') or {}
    published = {key: plain(meta[key], f'meta.{key}') for key in META_KEYS if key in meta}
    published.update(
        format=PUBLISHED_FORMAT,
        dataset_meta=plain(meta.get('dataset_meta') or {}, 'meta.dataset_meta'),
        published_with=dict(wsp_mm=wsp_mm.__version__, torch=str(torch.__version__)),
    )
    if not published['dataset_meta']:
        del published['dataset_meta']
    # A tensor that is a view would drag its whole storage along.
    weights = OrderedDict((key, value.detach().cpu().clone()) for key, value in state.items())
    return dict(meta=published, state_dict=weights)
