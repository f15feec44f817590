# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Configs as every tool loads them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Names that only configs which list them in ``plain_options`` understand. (``compile`` is not one:
# where a config does not list it, it is MMEngine's.)
PLAIN_OPTIONS = (
    'action',
    'bbox_root',
    'bfloat16',
    'boxes',
    'channels_last',
    'crop_cache',
    'pretrained',
)

# CPython before 3.13 counts the depth of a syntax tree in one place for all threads: of two that
# parse at once one may fail ("AST constructor recursion depth mismatch"). Steps that run side by
# side load configs in threads.
_parsing = threading.Lock()


def load_config(path: str | Path, cfg_options: Mapping[str, Any] | None = None):
    """Load a config and apply ``--cfg-options`` (see :func:`apply_options`).

    Raises:
        FileNotFoundError: no such config.
    """
    from mmengine.config import Config

    if not Path(path).is_file():
        raise FileNotFoundError(
            f'no config {path}; `python -m wsp_mm.config_path NAME` finds installed ones'
        )
    with _parsing:
        config = Config.fromfile(path)
    apply_options(config, cfg_options or {})
    return config


def apply_options(config, cfg_options: Mapping[str, Any]) -> None:
    """Merge options (dotted names -> values) into a loaded config.

    A config is evaluated before options are merged, so an option ``data_root=...`` would change the
    variable and none of the data sets made from it. Here it moves every data set that lies at the
    config's data root: one option points any config at real or synthetic data.

    A config may name more such options in ``plain_options``: name -> the dotted places that it
    sets, as ``plain_options = dict(action=['train_dataloader.dataset.actions'])`` does for
    ``action=Walking``. Those of ``runtime_options`` come from the runtime's own base file, and go
    with every config that inherits it.

    Raises:
        ValueError: ``data_root`` or a plain option of other configs given for a config that has no
            such option.
        KeyError, IndexError, TypeError: MMEngine cannot merge an option.
    """
    options = dict(cfg_options)
    plain = {**(config.get('runtime_options') or {}), **(config.get('plain_options') or {})}
    for name in [name for name in options if name in plain or name in PLAIN_OPTIONS]:
        if name not in plain:
            raise ValueError(f'{config.filename} has no option {name}: it would change nothing')
        value = options.pop(name)
        options = {**dict.fromkeys(plain[name], value), **options}
    if 'data_root' in options:
        if 'data_root' not in config:
            raise ValueError(
                f'{config.filename} has no variable data_root: the option would change nothing'
            )
        old, new = config.data_root, str(options['data_root'])
        _replace(
            config._cfg_dict, 'data_root', old, new if new.endswith('/') or not new else f'{new}/'
        )
        options['data_root'] = config.data_root
    config.merge_from_dict(options)


def _replace(node: Any, key: str, old: Any, new: Any) -> None:
    """Set ``key`` to ``new`` wherever it is ``old``, at any depth."""
    if isinstance(node, Mapping):
        for name in node:
            if name == key and node[name] == old:
                node[name] = new
            else:
                _replace(node[name], key, old, new)
    elif isinstance(node, (list, tuple)):
        for item in node:
            _replace(item, key, old, new)
