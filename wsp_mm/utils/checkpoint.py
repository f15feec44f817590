# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Checkpoints: load them without executing them, load named parts strictly, publish them.

A ``.pth`` file is a pickle, and a pickle can run any code. MMEngine tries ``weights_only=True`` and
then falls back to executing the file; its list of allowed objects also contains ``getattr``, with
which a file can reach any function. :func:`load` never does either, unless the user trusts the file
(``--trust-checkpoint`` of the tools, or ``WSP_TRUST_CHECKPOINT=1``). The tools run the Runner
inside :func:`safe_loading`. Importing this module changes nothing in MMEngine but to register
:class:`PretrainedParts`.

``safe_loading`` can be removed when ``mmengine.runner.checkpoint._safe_torch_load`` raises instead
of falling back, and allows no ``getattr``.
"""

import logging
import os
import pickle
import re
import shutil
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import Request, urlopen

import numpy as np
import torch
from mmengine.logging import HistoryBuffer, print_log
from mmengine.model import BaseModel, update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS
from mmengine.runner import checkpoint as host
from torch import Tensor, nn

import wsp_mm
from wsp_mm.utils.files import atomic_file, file_sha256
from wsp_mm.utils.nodes import config_nodes

TRUST_ENV = 'WSP_TRUST_CHECKPOINT'
PUBLISHED_FORMAT = 'wsp_mm-published-1'
#: What a published checkpoint keeps of ``meta``, beside ``dataset_meta``.
META_KEYS = (
    'cfg', 'seed', 'epoch', 'iter', 'experiment_name', 'time', 'mmengine_version', 'wsp_mm',
    # Without these a test cannot tell whether it scores subjects seen in training.
    'train_subjects', 'train_subjects_incomplete',
)  # fmt: skip
# `name-1a2b3c4d.pth` (torch hub), `name-1a2b3c4d_20250101.pth` (OpenMMLab, publish_model.py): the
# first digits of the file's SHA-256. `name-20250101.pth` is a date alone.
_HASH_IN_NAME = re.compile(
    r'-(?!(?:19|20)\d{6}\.)(?P<hash>[0-9a-f]{8,64})(?P<date>_\d{8})?\.pth(?:\.tar)?$'
)
# What torch.load raises at files that it cannot or will not read.
_UNREADABLE = pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, OSError
_MODEL_ZOOS = {
    'torchvision': host.get_torchvision_models,
    'open-mmlab': host.get_external_models,
    'mmcls': host.get_mmcls_models,
}


class CheckpointError(RuntimeError):
    """A checkpoint that was not loaded; the message says why and what to do."""


class UntrustedCheckpointError(CheckpointError):
    """The file holds more than weights and plain values, and the user did not trust it."""


class BrokenCheckpointError(CheckpointError):
    """The file is no checkpoint, or is truncated."""


class PretrainedPartsError(CheckpointError):
    """A checkpoint does not hold what a model's parts need; the message lists it."""


# --------------------------------------------------------------------------------- safe loading
def is_trusted() -> bool:
    """Return whether the user allowed checkpoints to execute code."""
    return os.environ.get(TRUST_ENV) == '1'


def trust_checkpoints() -> None:
    """Allow it for this process and those that it starts (``--trust-checkpoint``)."""
    os.environ[TRUST_ENV] = '1'


def _history_statistic(owner: Any, name: str) -> Any:
    """Stand in for ``getattr`` in MMEngine's checkpoints.

    ``HistoryBuffer`` pickles its table of statistics as ``getattr(HistoryBuffer, 'mean')`` and so
    on. A checkpoint may look up those four and nothing else.
    """
    if owner is HistoryBuffer and name in ('min', 'max', 'current', 'mean'):
        return getattr(HistoryBuffer, name)
    raise pickle.UnpicklingError(f'GLOBAL builtins.getattr of {owner!r}, {name!r}')


def safe_globals() -> list:
    """Return what a checkpoint may name beside torch's own list: arrays, numbers, log buffers.

    The entries are for :func:`torch.serialization.safe_globals`: objects or ``(object,
    'module.name')``, since numpy 1 and numpy 2 write other module names for the same function.
    Object arrays are left out: they hold nothing that a plain list could not.
    """
    multiarray = np._core.multiarray if hasattr(np, '_core') else np.core.multiarray
    functions = [
        (getattr(multiarray, name), f'{package}.multiarray.{name}')
        for package in ('numpy.core', 'numpy._core')
        for name in ('_reconstruct', 'scalar')
    ]
    dtypes = [type(np.dtype(code)) for code in np.typecodes['All'] if code != 'O']
    plain = [HistoryBuffer, np.ndarray, np.dtype, (_history_statistic, 'builtins.getattr')]
    return plain + functions + dtypes


def load_file(path: str | os.PathLike, map_location: Any = None, trust: bool | None = None) -> Any:
    """Load a local checkpoint without executing anything in it.

    Args:
        path: a file written by ``torch.save``; ``~`` is expanded.
        map_location: as for :func:`torch.load`.
        trust: whether the file may execute code; None: see :func:`is_trusted`.

    Returns:
        What was saved: usually a dict with ``state_dict`` and ``meta``.

    Raises:
        FileNotFoundError: there is no such file.
        UntrustedCheckpointError: it names objects that are not on the list, and the user did not
            trust it.
        BrokenCheckpointError: it cannot be read as a checkpoint, or is named as a published one
            (``NAME-HASH_DATE.pth``) and has another hash.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint {path} does not exist')
    promised = _HASH_IN_NAME.search(path.name)
    if promised and promised['date']:
        _check_hash(path, file_sha256(path), promised)
    trusted = is_trusted() if trust is None else trust
    if trusted:
        warn(f'{path} is loaded as trusted: code in it is executed.')
    # Torch before 2.6 has no list with names: it loads plain weights only.
    named = not trusted and torch.__version__ >= '2.6'
    allowed = torch.serialization.safe_globals(safe_globals()) if named else nullcontext()
    try:
        with allowed:
            checkpoint = torch.load(path, map_location=map_location, weights_only=not trusted)
    except (torch.cuda.OutOfMemoryError, PermissionError):
        raise
    except _UNREADABLE as error:
        with path.open('rb') as file:
            is_pickle = file.read(4).startswith((b'PK\x03\x04', b'\x80'))
        if isinstance(error, pickle.UnpicklingError) and is_pickle:
            raise UntrustedCheckpointError(_refusal(path, str(error))) from None
        raise BrokenCheckpointError(
            f'{path} ({path.stat().st_size} bytes) cannot be read as a checkpoint, it may be '
            f'truncated or of another kind: {error}'
        ) from error
    meta = meta_of(checkpoint)
    if not trusted:
        # MMEngine executes this key of its 0.x files as Python when it resumes.
        meta.pop('config', None)
    if meta.get('format') == PUBLISHED_FORMAT and isinstance(meta.get('dataset_meta'), dict):
        # MMPose's visualizers want the arrays that a published file keeps as tensors.
        meta['dataset_meta'] = {
            key: value.numpy() if isinstance(value, Tensor) and not value.is_meta else value
            for key, value in meta['dataset_meta'].items()
        }
    return checkpoint


def meta_of(checkpoint: Any) -> dict:
    """Return the ``meta`` of a loaded checkpoint; an empty dict where it has none."""
    meta = checkpoint.get('meta') if isinstance(checkpoint, Mapping) else None
    return meta if isinstance(meta, dict) else {}


def weights_of(checkpoint: Any) -> dict[str, Any]:
    """Return the tensors of a loaded checkpoint, or bare weights, without the prefix of parallel
    models.
    """
    state = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, Mapping) else {}
    return {str(key).removeprefix('module.'): value for key, value in state.items()}


def _check_hash(name: str | Path, digest: str, promised: re.Match) -> None:
    if not digest.startswith(promised['hash']):
        raise BrokenCheckpointError(
            f'{name} has SHA-256 {digest[:16]}..., its name promises {promised["hash"]}: get it '
            'again, or give it another name if it was changed on purpose'
        )


def _refusal(path: Path, reason: str) -> str:
    # Torch wraps its reason in a paragraph of advice.
    reason = re.sub(r'^.*?WeightsUnpickler error:', '', reason, flags=re.DOTALL).strip()
    found = re.search(r'GLOBAL ([\w.]+)', reason)
    what = f'it asks for `{found.group(1)}`' if found else reason.partition('\n')[0]
    return (
        f'{path} holds more than weights and plain values ({what}). Loading it could run any code, '
        f'so it was not loaded. If you trust its author, add --trust-checkpoint (or set '
        f'{TRUST_ENV}=1); else ask for a version written by '
        'tools/model_converters/publish_model.py.'
    )


def warn(message: str) -> None:
    """Write a warning to the log of the run."""
    print_log(message, logger='current', level=logging.WARNING)


def resolve_url(name: str) -> str | None:
    """Turn ``torchvision://resnet50``, ``open-mmlab://...``, ``mmcls://...`` or a URL into a URL.

    Returns:
        The URL, or None when ``name`` is a local path.

    Raises:
        CheckpointError: the scheme is not supported (``s3://``), or has no such model.
    """
    scheme, separator, model = name.partition('://')
    if scheme in ('http', 'https') and separator:
        return name
    if not separator or scheme == 'file':
        return None
    if scheme not in _MODEL_ZOOS:
        what = f'{scheme}:// is not supported, copy the file to a local path'
        raise CheckpointError(f'{name}: {what}')
    urls = _MODEL_ZOOS[scheme]()
    if not str(urls.get(model, '')).startswith('http'):
        raise CheckpointError(f'{name}: {scheme}:// has no model {model!r}')
    return urls[model]


def fetch(url: str, timeout_s: float = 20.0) -> Path:
    """Fetch a checkpoint into torch hub's folder, once, and return the local file.

    Args:
        url: ``http(s)://...``.
        timeout_s: longest silence of the server, in seconds.

    Raises:
        CheckpointError: no network, no such file, a stalled server.
        BrokenCheckpointError: the content is cut short, or has not the hash in its name.
    """
    target = Path(torch.hub.get_dir()) / 'checkpoints' / Path(urlparse(url).path).name
    if target.is_file():
        return target
    print_log(f'Fetching {url} to {target}', logger='current')
    request = Request(url, headers={'User-Agent': 'wsp_mm'})
    try:
        with atomic_file(target) as file, urlopen(request, timeout=timeout_s) as reply:
            shutil.copyfileobj(reply, file)
            file.flush()
            size, digest = reply.headers.get('Content-Length'), file_sha256(file.name)
            if size is not None and file.tell() != int(size):
                raise BrokenCheckpointError(f'{url} ended after {file.tell()} of {size} bytes')
            promised = _HASH_IN_NAME.search(target.name)
            if promised:
                _check_hash(url, digest, promised)
    except OSError as error:
        raise CheckpointError(
            f'cannot fetch {url}: {error}. Without it, name a file that you have '
            '(--cfg-options model.backbone.init_cfg.checkpoint=FILE), or start from random weights '
            '(model.backbone.init_cfg=None)'
        ) from error
    return target


def local_file(name: str) -> Path:
    """Return the file of a path, or fetch it from what :func:`resolve_url` takes."""
    url = resolve_url(name)
    return Path(name.removeprefix('file://')).expanduser() if url is None else fetch(url)


def load(name: str, map_location: Any = None) -> Any:
    """Load a checkpoint as :func:`load_file` does, from a path or what :func:`resolve_url`
    takes.
    """
    name = str(name)
    checkpoint = load_file(local_file(name), map_location)
    if name.startswith('mmcls://'):
        checkpoint = host._process_mmcls_checkpoint(checkpoint)
    return checkpoint


def _load_from_wsp(filename: str, map_location: Any = None) -> Any:
    return load(filename, map_location)


_load_from_wsp.__name__ = 'load_from_wsp_mm'  # MMEngine logs the part after `load_from_`


@contextmanager
def safe_loading() -> Iterator[None]:
    """Make MMEngine load every checkpoint by :func:`load` while the context lasts.

    ``--resume``, ``load_from``, ``init_cfg=dict(type='Pretrained', ...)`` and MMPose's
    ``init_model`` then execute nothing.
    """
    schemes = host.CheckpointLoader._schemes
    host.CheckpointLoader._schemes = OrderedDict.fromkeys(schemes, _load_from_wsp)
    try:
        yield
    finally:
        host.CheckpointLoader._schemes = schemes


# ---------------------------------------------------------------------------------- named parts
@WEIGHT_INITIALIZERS.register_module()
class PretrainedParts:
    """Initialise named parts of a model from a checkpoint: all of each part, or an error.

    It stands in the ``init_cfg`` of the estimator: ``model = dict(init_cfg=dict(
    type='PretrainedParts', checkpoint='wsp.pth', parts=('backbone',)))``. MMEngine's ``Pretrained``
    only warns of keys that are missing or have another shape, so that a run may train from scratch
    under the name of a pre-trained one.

    Everything else of the model is initialised as its own ``init_cfg`` says. What is wholly loaded
    is not initialised first: a backbone's ImageNet weights are not needed then. The checkpoint is
    read by :func:`load`, which executes nothing in it.

    Args:
        checkpoint: path, URL or e.g. ``torchvision://...``.
        parts: names of submodules, the same in the model and in the checkpoint, e.g.
            ``('backbone', 'head.deconv_layers')``.

    Raises:
        CheckpointError: no checkpoint is named.
        ValueError: no part is named.
    """

    def __init__(self, checkpoint: str, parts: Sequence[str] = ('backbone',)) -> None:
        if not checkpoint:
            raise CheckpointError('no pre-trained weights: set model.init_cfg.checkpoint=FILE')
        if isinstance(parts, str) or not parts or not all(isinstance(p, str) and p for p in parts):
            raise ValueError(
                f"parts must be names of submodules, e.g. ('backbone',), got {parts!r}"
            )
        self.checkpoint, self.parts = str(checkpoint), tuple(parts)

    def __call__(self, module: nn.Module) -> None:
        """Load the parts into ``module``.

        Raises:
            CheckpointError: the checkpoint cannot be read, or does not fit.
            ValueError: ``module`` is not a whole model. A backbone's own initialisation, which
                comes after that of its ``init_cfg``, would undo some of the loading.
        """
        if not isinstance(module, BaseModel):
            raise ValueError(
                f'put PretrainedParts into model.init_cfg, not that of {type(module).__name__}'
            )
        state = weights_of(load(self.checkpoint, map_location='cpu'))
        # The others first: what is loaded must come last.
        for name, child in module.named_children():
            if name not in self.parts and not getattr(child, 'is_init', True):
                child.init_weights()
        for part in self.parts:
            self._load_part(module, part, state)

    def _load_part(self, module: nn.Module, part: str, state: Mapping[str, Tensor]) -> None:
        start = f'{part}.'
        weights = {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}
        try:
            target = module.get_submodule(part)
            target.load_state_dict(weights, strict=True)
        except (AttributeError, RuntimeError) as error:
            raise PretrainedPartsError(
                f'{self.checkpoint} has {len(weights)} tensors of {part!r}, which do not fit the '
                f'model (another depth or kind of backbone, other deconvolutions?): {error}'
            ) from None
        for submodule in target.modules():
            if hasattr(submodule, 'is_init'):
                submodule.is_init = True  # else the parent would initialise it again
        if hasattr(module, '_params_init_info'):
            update_init_info(target, init_info=f'PretrainedParts: {part} of {self.checkpoint}')
        print_log(f'loaded {part} ({len(weights)} tensors) from {self.checkpoint}', 'current')


def pretrained_inits(cfg: Any) -> Iterator[Mapping]:
    """Yield every dict of type ``Pretrained`` or ``PretrainedParts`` below a node of a config."""
    for node in config_nodes(cfg):
        if node.get('type') in ('Pretrained', 'PretrainedParts'):
            yield node


# ----------------------------------------------------------------------------------- publishing
def _plain(value: Any, where: str) -> Any:
    """Return metadata as ``weights_only=True`` reads it: numbers, strings, containers, tensors."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy()) if value.dtype.kind in 'biuf' else value.tolist()
    if isinstance(value, Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, dict):
        return {_plain(key, where): _plain(item, f'{where}.{key}') for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item, f'{where}[{i}]') for i, item in enumerate(value))
    if isinstance(value, (set, frozenset)):
        return sorted(_plain(item, where) for item in value)
    raise TypeError(f'{where} is a {type(value).__name__}, which has no plain form')


def published_form(checkpoint: Any, where: str) -> dict:
    """Strip a loaded checkpoint to what ``torch.load(file, weights_only=True)`` reads by itself.

    Optimizer, schedulers and logs are dropped. With an EMA hook ``state_dict`` already holds the
    averaged weights, so the copy of the raw ones is dropped, too.

    Args:
        checkpoint: a dict with ``state_dict`` and ``meta``, or bare weights.
        where: its name, for errors.

    Returns:
        ``dict(meta, state_dict)``.

    Raises:
        ValueError: it holds no weights.
        TypeError: metadata without a plain form.
    """
    state = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, dict) else None
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f'{where} holds no `state_dict` of tensors')
    meta = checkpoint.get('meta') or {}
    published = {key: _plain(meta[key], f'meta.{key}') for key in META_KEYS if key in meta}
    if meta.get('dataset_meta'):
        published['dataset_meta'] = _plain(meta['dataset_meta'], 'meta.dataset_meta')
    published['format'] = PUBLISHED_FORMAT
    published['published_with'] = dict(wsp_mm=wsp_mm.__version__, torch=str(torch.__version__))
    # A tensor that is a view would drag its whole storage along.
    weights = OrderedDict((key, value.detach().cpu().clone()) for key, value in state.items())
    return dict(meta=published, state_dict=weights)
