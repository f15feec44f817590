# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The one way in for checkpoints: nothing in a file is executed unless the user says that it may
be.

A ``.pth`` file is a pickle, and a pickle can run any code. MMEngine tries ``weights_only=True`` and
then falls back to executing the file; its list of allowed objects also contains ``getattr``, with
which a file can reach any function. :func:`activate` therefore replaces every loader in MMEngine's
``CheckpointLoader`` by :func:`load_file`, so that ``--resume``, ``tools/test.py``, ``load_from``,
``init_cfg=dict(type='Pretrained', ...)`` and MMPose's ``init_model`` all come through here.
Importing ``wsp_mm.register`` activates it.

Trust is given by ``--trust-checkpoint`` in the tools or by ``WSP_TRUST_CHECKPOINT=1``.
"""

import hashlib
import logging
import os
import pickle
import re
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np
import torch

TRUST_ENV = 'WSP_TRUST_CHECKPOINT'
PUBLISHED_FORMAT = 'wsp_mm-published-1'
# `name-1a2b3c4d.pth` (torch hub) and `name-1a2b3c4d_20250101.pth` (OpenMMLab): the first digits of the file's
# SHA-256.
_HASH_IN_NAME = re.compile(r'-([0-9a-f]{8,64})(?:_\d{8})?\.pth(?:\.tar)?$')
_HISTORY_STATISTICS = ('min', 'max', 'current', 'mean')


class CheckpointError(RuntimeError):
    """A checkpoint that was not loaded; the message says why and what to do."""


class UntrustedCheckpointError(CheckpointError):
    """The file holds more than weights and plain values, and the user did not say that it may be
    executed.
    """


class BrokenCheckpointError(CheckpointError):
    """The file is no checkpoint, or is truncated."""


def is_trusted() -> bool:
    """Whether the user allowed checkpoints to execute code (``--trust-checkpoint``)."""
    return os.environ.get(TRUST_ENV, '').strip().lower() in ('1', 'true', 'yes', 'on')


def trust_checkpoints(trusted: bool = True) -> None:
    """Remember the user's word for this process and those that it starts."""
    os.environ[TRUST_ENV] = '1' if trusted else '0'


def _history_statistic(owner: Any, name: str) -> Any:
    """Stand-in for ``getattr`` in MMEngine's checkpoints.

    ``HistoryBuffer`` pickles its table of statistics as ``getattr(HistoryBuffer, 'mean')`` and so
    on. Those four are all that a checkpoint may look up.
    """
    from mmengine.logging import HistoryBuffer

    if owner is HistoryBuffer and name in _HISTORY_STATISTICS:
        return getattr(HistoryBuffer, name)
    raise pickle.UnpicklingError(
        f'getattr({getattr(owner, "__name__", owner)}, {name!r}) is not allowed'
    )


def safe_globals() -> list:
    """What a checkpoint may name beside torch's own list: arrays, numbers and MMEngine's log
    buffers.

    Returns:
        Entries for :func:`torch.serialization.safe_globals`: objects or ``(object,
        'module.name')``, the latter because numpy 1 and numpy 2 write different module names for
        the same function.
    """
    from mmengine.logging import HistoryBuffer

    multiarray = np._core.multiarray if hasattr(np, '_core') else np.core.multiarray
    reconstruct, scalar = multiarray._reconstruct, multiarray.scalar
    allowed: list = [HistoryBuffer, np.ndarray, np.dtype, (_history_statistic, 'builtins.getattr')]
    for package in ('numpy.core', 'numpy._core'):
        allowed += [
            (reconstruct, f'{package}.multiarray._reconstruct'),
            (scalar, f'{package}.multiarray.scalar'),
        ]
    # Object arrays stay out: they hold nothing that a plain list could not.
    allowed += [type(np.dtype(code)) for code in np.typecodes['All'] if code != 'O']
    return allowed


def _refusal(path: str | os.PathLike, reason: str) -> UntrustedCheckpointError:
    found = re.search(r'GLOBAL ([\w.]+)', reason)
    # torch wraps its reason in a paragraph of advice
    short = re.sub(r'^.*?WeightsUnpickler error:', '', reason, flags=re.DOTALL).strip()
    if torch.__version__ < '2.6':
        short = f'torch {torch.__version__} checks plain weights only; training checkpoints need torch 2.6'
    what = f'it asks for `{found.group(1)}`' if found else short.partition('\n')[0]
    return UntrustedCheckpointError(
        f'{path} holds more than weights and plain values ({what}). Loading it could run any code, so it was '
        f'not loaded. If you trust its author, add --trust-checkpoint (or set {TRUST_ENV}=1); else ask for '
        'a version written by tools/misc/publish_model.py.'
    )


def load_file(path: str | os.PathLike, map_location: Any = None) -> Any:
    """Load a local checkpoint without executing anything in it.

    Args:
        path: A file written by ``torch.save``; ``~`` is expanded.
        map_location: As for :func:`torch.load`.

    Returns:
        What was saved: usually a dict with ``state_dict`` and ``meta``.

    Raises:
        FileNotFoundError: There is no such file.
        UntrustedCheckpointError: It names objects that are not on the list, and the user did not
            trust it.
        BrokenCheckpointError: It cannot be read as a checkpoint.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint {path} does not exist')
    try:
        if is_trusted():
            _warn(f'{path} is loaded as trusted ({TRUST_ENV}): code in it is executed.')
            return _restore_published(
                torch.load(path, map_location=map_location, weights_only=False)
            )
        # The named form of the list came with torch 2.6; older ones load plain weights only.
        if torch.__version__ >= '2.6':
            with torch.serialization.safe_globals(safe_globals()):
                checkpoint = torch.load(path, map_location=map_location, weights_only=True)
        else:
            checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        if not _looks_like_checkpoint(path):
            raise _broken(path, error) from error
        raise _refusal(path, str(error)) from None
    except (RuntimeError, EOFError, ValueError, IndexError, KeyError) as error:
        if isinstance(error, torch.cuda.OutOfMemoryError):
            raise
        raise _broken(path, error) from error
    # MMEngine executes `meta['config']` (the key of its 0.x files) as Python when it resumes: text
    # that nobody vouches for.
    if isinstance(checkpoint, dict) and isinstance(checkpoint.get('meta'), dict):
        checkpoint['meta'].pop('config', None)
    return _restore_published(checkpoint)


def _warn(message: str) -> None:
    from mmengine.logging import print_log

    print_log(message, logger='current', level=logging.WARNING)


def _looks_like_checkpoint(path: Path) -> bool:
    """Tell a pickle with unknown content from a file that is no pickle at all (an HTML page)."""
    with path.open('rb') as file:
        head = file.read(4)
    return head.startswith((b'PK\x03\x04', b'\x80'))


def _broken(path: Path, error: Exception) -> BrokenCheckpointError:
    size = path.stat().st_size
    return BrokenCheckpointError(
        f'{path} ({size} bytes) cannot be read as a checkpoint, it may be truncated or of another kind: {error}'
    )


def _restore_published(checkpoint: Any) -> Any:
    """Give MMPose's visualisers the numpy arrays that a published file keeps as tensors."""
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get('meta'), dict):
        return checkpoint
    meta = checkpoint['meta']
    if meta.get('format') == PUBLISHED_FORMAT and isinstance(meta.get('dataset_meta'), dict):
        meta['dataset_meta'] = {
            key: value.numpy() if isinstance(value, torch.Tensor) else value
            for key, value in meta['dataset_meta'].items()
        }
    return checkpoint


def cached_path(url: str) -> Path:
    """Where the file of a URL lies once it was fetched: torch hub's folder, so that other tools
    share it.
    """
    return Path(torch.hub.get_dir()) / 'checkpoints' / Path(urlparse(url).path).name


def fetch(url: str, timeout_s: float = 20.0) -> Path:
    """Fetch a checkpoint once, check the hash in its name, and return the local file.

    Args:
        url: ``http(s)://...``.
        timeout_s: Longest silence of the server, in seconds.

    Raises:
        OSError: No network, no such file, a stalled server (``urllib.error.URLError`` is an
            ``OSError``).
        BrokenCheckpointError: The content does not have the hash that its name promises.
    """
    from urllib.request import Request, urlopen

    target = cached_path(url)
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    print(f'Fetching {url} to {target}', flush=True)
    digest = hashlib.sha256()
    descriptor, part = tempfile.mkstemp(dir=target.parent, prefix=target.name, suffix='.part')
    try:
        with os.fdopen(descriptor, 'wb') as file:
            with urlopen(
                Request(url, headers={'User-Agent': 'wsp_mm'}), timeout=timeout_s
            ) as reply:
                expected_size = reply.headers.get('Content-Length')
                while block := reply.read(1 << 20):
                    file.write(block)
                    digest.update(block)
            size = file.tell()
        if expected_size is not None and size != int(expected_size):
            raise OSError(f'{url} ended after {size} of {expected_size} bytes')
        promised = _HASH_IN_NAME.search(target.name)
        if promised and not digest.hexdigest().startswith(promised.group(1)):
            raise BrokenCheckpointError(
                f'{url} has SHA-256 {digest.hexdigest()[:16]}..., its name promises {promised.group(1)}'
            )
        # mkstemp makes private files; a shared cache should be readable like anything else that the
        # user writes.
        os.chmod(part, 0o644)
        os.replace(part, target)
    finally:
        Path(part).unlink(missing_ok=True)
    return target


def resolve_url(name: str) -> str | None:
    """Turn ``torchvision://resnet50``, ``open-mmlab://...``, ``mmcls://...`` or a URL into a URL.

    Returns:
        The URL, or None when ``name`` is a local path.

    Raises:
        KeyError: The scheme is known, the model is not.
        ValueError: A storage scheme (``s3://``, ``petrel://``, ``pavi://``), which is not
            supported.
    """
    from mmengine.runner import checkpoint as host

    if name.startswith(('http://', 'https://')):
        return name
    scheme, separator, model = name.partition('://')
    if not separator:
        return None
    if scheme in ('torchvision', 'modelzoo'):
        urls = host.get_torchvision_models()
    elif scheme in ('open-mmlab', 'openmmlab'):
        urls = host.get_external_models()
        model = host.get_deprecated_model_names().get(model, model)
    elif scheme == 'mmcls':
        urls = host.get_mmcls_models()
    elif scheme == 'file':
        return None
    else:
        raise ValueError(
            f'{name}: checkpoints are not read from {scheme}:// storage; copy the file to a local path'
        )
    if model not in urls:
        import difflib

        close = ', '.join(difflib.get_close_matches(model, urls, n=3)) or 'nothing similar'
        raise KeyError(f'{name}: no model of that name is known ({close})')
    url = urls[model]
    if not url.startswith(('http://', 'https://')):
        raise ValueError(f'{name} is {url}, which is no web address')
    return url


def load(name: str, map_location: Any = None) -> Any:
    """Load a checkpoint from a local path or from anything that :func:`resolve_url` knows."""
    url = resolve_url(str(name))
    if url is None:
        return load_file(str(name).removeprefix('file://'), map_location)
    checkpoint = load_file(fetch(url), map_location)
    if str(name).startswith('mmcls://'):
        from mmengine.runner.checkpoint import _process_mmcls_checkpoint

        checkpoint = _process_mmcls_checkpoint(checkpoint)
    return checkpoint


def _load_from_wsp(filename: str, map_location: Any = None) -> Any:
    """The loader that MMEngine sees (it prints the part of this name after ``load_from_``)."""
    return load(filename, map_location)


_load_from_wsp.__name__ = 'load_from_wsp_mm'


def activate() -> None:
    """Put :func:`load` in the place of every loader of MMEngine's ``CheckpointLoader``; may be
    repeated.
    """
    from mmengine.runner.checkpoint import CheckpointLoader

    CheckpointLoader.register_scheme(
        prefixes=list(CheckpointLoader._schemes), loader=_load_from_wsp, force=True
    )


activate()
