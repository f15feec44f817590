# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Are the weights at hand that a configuration starts from? Asked before any data is read."""

import copy
import os
from collections.abc import Iterator
from typing import Any

from wsp_mm.utils.checkpoint import (
    BrokenCheckpointError,
    CheckpointError,
    fetch,
    load_file,
    resolve_url,
)

PARTS = 'PretrainedParts'


class PretrainedPartsError(CheckpointError):
    """A checkpoint does not hold what a model's parts need; the message lists it."""


def pretrained_inits(
    cfg: Any, path: str = 'model', types: tuple[str, ...] = ('Pretrained', PARTS)
) -> Iterator[tuple[str, str, str]]:
    """Find every ``init_cfg=dict(type='Pretrained', checkpoint=...)`` below a configuration node.

    ``PretrainedParts`` counts as well.

    Args:
        cfg: A dict, list or leaf of a configuration.
        path: The dotted name of ``cfg``.
        types: The initialisations that are looked for.

    Yields:
        ``(name of the init_cfg to switch off, name of its checkpoint key, checkpoint)``; the names
        are as ``--cfg-options`` takes them.
    """
    if isinstance(cfg, dict):
        for key, value in cfg.items():
            name = f'{path}.{key}'
            if key == 'init_cfg':
                entries = [(name, value)] if isinstance(value, dict) else []
                if isinstance(value, (list, tuple)):
                    entries = [
                        (f'{name}.{i}', entry)
                        for i, entry in enumerate(value)
                        if isinstance(entry, dict)
                    ]
                for entry_name, entry in entries:
                    if entry.get('type') in types:
                        yield name, f'{entry_name}.checkpoint', entry.get('checkpoint')
            else:
                yield from pretrained_inits(value, name, types)
    elif isinstance(cfg, (list, tuple)):
        for i, value in enumerate(cfg):
            yield from pretrained_inits(value, f'{path}.{i}', types)


def require_pretrained(cfg: Any, timeout_s: float = 20.0) -> None:
    """Fetch and read the weights that ``cfg.model`` starts from, or stop with the way to go on.

    One process a node fetches; the others find the file when the model is initialised. Of
    ``PretrainedParts`` the content is checked as well: every tensor of every part must be there.
    What they replace wholly is not asked for.

    Args:
        cfg (mmengine.Config): The final configuration.
        timeout_s: Longest silence of a server, in seconds.

    Raises:
        SystemExit: Some weights cannot be had. The message is what to add to the command.
    """
    if int(os.environ.get('LOCAL_RANK', 0)) != 0:
        return
    model = cfg.get('model') or {}
    in_parts = parts_init(model)
    replaced = tuple(f'model.{part}.' for part in in_parts['parts']) if in_parts else ()
    for init_name, _, _ in pretrained_inits(model, types=(PARTS,)):
        if init_name != 'model.init_cfg':
            raise SystemExit(
                f'{init_name} is {PARTS}, which stands in model.init_cfg and names its parts from there: '
                "model = dict(init_cfg=dict(type='PretrainedParts', checkpoint=..., parts=('backbone',)))"
            )
    for init_name, key, checkpoint in pretrained_inits(model):
        if init_name.startswith(replaced):
            continue
        try:
            if not checkpoint:
                raise FileNotFoundError('no checkpoint is named')
            url = resolve_url(checkpoint)
            content = load_file(
                checkpoint if url is None else fetch(url, timeout_s), map_location='meta'
            )
            if in_parts and init_name == 'model.init_cfg' and checkpoint == in_parts['checkpoint']:
                check_parts(model, content, in_parts['parts'], checkpoint)
        except (
            OSError,
            KeyError,
            ValueError,
            BrokenCheckpointError,
            PretrainedPartsError,
        ) as error:
            reason = error.args[0] if isinstance(error, KeyError) else error
            raise SystemExit(
                f'The weights that this configuration starts from, {checkpoint}, cannot be had: {reason}\n'
                'Nothing was trained. To go on without them, or with a file that you have, add one of\n'
                f'  --cfg-options {init_name}=None\n'
                f'  --cfg-options {key}=/path/to/weights.pth'
            ) from None


def parts_init(model: Any) -> dict | None:
    """Checkpoint and parts of a model configuration's ``PretrainedParts``, or None where it has
    none.
    """
    entries = model.get('init_cfg') or []
    for entry in [entries] if isinstance(entries, dict) else entries:
        if entry.get('type') == PARTS:
            return dict(
                checkpoint=entry.get('checkpoint'), parts=tuple(entry.get('parts', ('backbone',)))
            )
    return None


def check_parts(model: Any, checkpoint: Any, parts: tuple[str, ...], name: str) -> None:
    """Build the model and see whether a checkpoint holds every tensor of its parts.

    Raises:
        PretrainedPartsError: it does not.
    """
    import mmpose.models  # noqa: F401  (registers what the model is made of)
    from mmengine.registry import init_default_scope
    from mmpose.registry import MODELS

    from wsp_mm.utils.pretrained_parts import part_weights

    init_default_scope('mmpose')  # the runner, which would, is not there yet
    part_weights(MODELS.build(copy.deepcopy(model)), checkpoint, parts, name)
