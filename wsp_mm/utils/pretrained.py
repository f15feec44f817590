# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Are the weights at hand that a configuration starts from? Asked before any data is read."""

import os
from collections.abc import Iterator
from typing import Any

from wsp_mm.utils.checkpoint import BrokenCheckpointError, fetch, load_file, resolve_url


def pretrained_inits(cfg: Any, path: str = 'model') -> Iterator[tuple[str, str, str]]:
    """Find every ``init_cfg=dict(type='Pretrained', checkpoint=...)`` below a configuration node.

    Args:
        cfg: A dict, list or leaf of a configuration.
        path: The dotted name of ``cfg``.

    Yields:
        ``(name of the init_cfg to switch off, name of its checkpoint key, checkpoint)``; the names are as
        ``--cfg-options`` takes them.
    """
    if isinstance(cfg, dict):
        for key, value in cfg.items():
            name = f'{path}.{key}'
            if key == 'init_cfg':
                entries = [(name, value)] if isinstance(value, dict) else []
                if isinstance(value, (list, tuple)):
                    entries = [
                        (f'{name}.{i}', entry) for i, entry in enumerate(value) if isinstance(entry, dict)
                    ]
                for entry_name, entry in entries:
                    if entry.get('type') == 'Pretrained':
                        yield name, f'{entry_name}.checkpoint', entry.get('checkpoint')
            else:
                yield from pretrained_inits(value, name)
    elif isinstance(cfg, (list, tuple)):
        for i, value in enumerate(cfg):
            yield from pretrained_inits(value, f'{path}.{i}')


def require_pretrained(cfg: Any, timeout_s: float = 20.0) -> None:
    """Fetch and read the weights that ``cfg.model`` starts from, or stop with the way to go on.

    One process a node fetches; the others find the file when the model is initialised.

    Args:
        cfg (mmengine.Config): The final configuration.
        timeout_s: Longest silence of a server, in seconds.

    Raises:
        SystemExit: Some weights cannot be had. The message is what to add to the command.
    """
    if int(os.environ.get('LOCAL_RANK', 0)) != 0:
        return
    for init_name, key, checkpoint in pretrained_inits(cfg.get('model') or {}):
        try:
            if not checkpoint:
                raise FileNotFoundError('no checkpoint is named')
            url = resolve_url(checkpoint)
            if url is None:
                load_file(checkpoint, map_location='meta')
            else:
                fetch(url, timeout_s)
        except (OSError, KeyError, ValueError, BrokenCheckpointError) as error:
            reason = error.args[0] if isinstance(error, KeyError) else error
            raise SystemExit(
                f'The weights that this configuration starts from, {checkpoint}, cannot be had: {reason}\n'
                'Nothing was trained. To go on without them, or with a file that you have, add one of\n'
                f'  --cfg-options {init_name}=None\n'
                f'  --cfg-options {key}=/path/to/weights.pth'
            ) from None
