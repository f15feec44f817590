# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""A configuration and a checkpoint -> a network that is ready to answer."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wsp_mm.structures.keypoints import get_joint_set, pose_metainfo
from wsp_mm.utils.checkpoint import (
    TRUST_ENV,
    CheckpointError,
    UntrustedCheckpointError,
    fetch,
    is_trusted,
    load_file,
    resolve_url,
)
from wsp_mm.utils.cli import load_config
from wsp_mm.utils.files import file_sha256

#: Head of the network -> what it is good for.
KINDS = {'Integral3DHead': 'pose', 'RelativeDepthHead': 'order', 'RootDepthHead': 'root'}

#: What a crop carries of its joint set, for mirrored tests.
_SET_KEYS = ('flip_indices', 'flip_pairs', 'upper_body_ids', 'lower_body_ids', 'skeleton_links')


class ModelError(ValueError):
    """A configuration that gives no network for inference."""


@contextmanager
def trusting(trusted: bool | None) -> Iterator[None]:
    """Whether checkpoints may execute code, for a while; None leaves it as it is."""
    before = os.environ.get(TRUST_ENV)
    try:
        if trusted is not None:
            os.environ[TRUST_ENV] = '1' if trusted else '0'
        yield
    finally:
        if before is None:
            os.environ.pop(TRUST_ENV, None)
        else:
            os.environ[TRUST_ENV] = before


def local_checkpoint(name: str | Path) -> Path:
    """A path or URL as a local file, fetched where it has to be.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: a model zoo does not know the name.
    """
    url = resolve_url(str(name))
    path = fetch(url) if url is not None else Path(str(name).removeprefix('file://')).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint {path} does not exist')
    return path


def load_published(path: Path, map_location: Any = 'cpu') -> Any:
    """Load what torch itself calls safe: weights and plain metadata, ``weights_only=True`` without
    exceptions.

    Args:
        path: a file of ``tools/model_converters/publish_model.py``, a ``*_weights.pth``, or any file of
            tensors.

    Raises:
        UntrustedCheckpointError: it holds more, and the user did not trust it.
        BrokenCheckpointError: it is no checkpoint.
    """
    if is_trusted():
        return load_file(path, map_location)
    try:
        return torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:
        load_file(path, map_location)  # a broken or a hostile file is explained there, and raises
        beside = path.with_name(f'{path.stem}_weights.pth')
        instead = (
            f'Take {beside}'
            if beside.is_file()
            else f'`tools/model_converters/publish_model.py {path} OUT.pth` makes one'
        )
        raise UntrustedCheckpointError(
            f'{path} is a training checkpoint, with optimizer and logs: inference takes files of weights and '
            f'plain values alone. {instead}, or add --trust-checkpoint'
        ) from error


@dataclass
class Network:
    """A network in evaluation mode and what has to be known to use it.

    Attributes:
        kind: 'pose' (3D), 'order' (pre-training: pairs of persons) or 'root' (root depth).
        model: on its device.
        pipeline: the configuration's test transforms; they crop.
        joint_set: order of its joints; None for root depth.
        crop_meta: what every crop carries of the joint set.
        identity: config and checkpoint with their SHA-256, for the output.
    """

    kind: str
    model: torch.nn.Module
    pipeline: Any
    joint_set: str | None
    identity: dict
    crop_meta: dict = field(default_factory=dict)


def load_network(
    config: Any, checkpoint: str | Path, device: str | torch.device = 'cpu'
) -> Network:
    """Build the network of a configuration and fill it; every weight must be there.

    Args:
        config: path of a configuration, or a loaded ``mmengine.Config``.
        checkpoint: path or URL, see :func:`load_published`.
        device: where to compute.

    Raises:
        FileNotFoundError: no such configuration or checkpoint.
        ModelError: not a configuration of wsp_mm's networks.
        CheckpointError: a checkpoint that is refused, broken, or of another network.
    """
    from mmengine.config import Config

    path = local_checkpoint(checkpoint)  # before anything slow
    cfg = config if isinstance(config, Config) else load_config(config)
    name = str(config if not isinstance(config, Config) else cfg.filename or 'a configuration')
    head = (cfg.get('model') or {}).get('head') or {}
    if head.get('type') not in KINDS:
        raise ModelError(
            f'{name}: the head is {head.get("type")}; inference knows {", ".join(KINDS)}'
        )
    kind = KINDS[head['type']]

    from mmengine.dataset import Compose
    from mmengine.registry import init_default_scope
    from mmpose.registry import MODELS

    import wsp_mm.register  # noqa: F401  (also for configurations that do not name it)

    init_default_scope('mmpose')
    data = (cfg.get('test_dataloader') or cfg.get('val_dataloader') or {}).get('dataset') or {}
    if not data.get('pipeline'):
        raise ModelError(f'{name} has no test_dataloader.dataset.pipeline, which says how to crop')
    model_cfg = _without_inits(cfg.model.to_dict())
    if kind == 'order':
        model_cfg['head']['symmetric'] = True  # so that P(A before B) + P(B before A) = 1
    model = MODELS.build(model_cfg)
    _fill(model, load_published(path), path, name)
    joint_set = None if kind == 'root' else joint_set_of(cfg, kind, model.head.num_joints, name)
    return Network(
        kind=kind,
        model=model.to(device).eval(),
        pipeline=Compose(data['pipeline']),
        joint_set=joint_set,
        identity=dict(
            config=Path(name).name,
            config_sha256=hashlib.sha256(cfg.pretty_text.encode()).hexdigest(),
            checkpoint=path.name,
            checkpoint_sha256=file_sha256(path),
        ),
        crop_meta=_crop_meta(joint_set) if joint_set else {},
    )


def _without_inits(node: Any) -> Any:
    """The same configuration without what would be fetched only to be overwritten."""
    if isinstance(node, Mapping):
        return {
            key: None if key == 'init_cfg' else _without_inits(value) for key, value in node.items()
        }
    if isinstance(node, (list, tuple)):
        return type(node)(_without_inits(value) for value in node)
    return node


def _fill(model: torch.nn.Module, checkpoint: Any, path: Path, config: str) -> None:
    """Load the weights; all must be there, none may be left over."""
    state = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, dict) else None
    if not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise CheckpointError(f'{path} holds no `state_dict` of tensors')
    state = {key.removeprefix('module.'): value for key, value in state.items()}
    own = model.state_dict()
    missing, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    differ = [key for key in own.keys() & state.keys() if own[key].shape != state[key].shape]
    if missing or extra or differ:
        found = [f'{len(keys)} {what} (such as {keys[0]})' for keys, what in (
            (missing, 'weights are missing'), (extra, 'are unknown'), (sorted(differ), 'have another shape')
        ) if keys]  # fmt: skip
        raise CheckpointError(f'{path} is not of {config}: {", ".join(found)}')
    model.load_state_dict(state)


def joint_set_of(cfg: Any, kind: str, joints: int, name: str) -> str:
    """The joint set that a network was trained on: what the configuration's training data say.

    Raises:
        ModelError: they do not say, or say one of another number of joints.
    """
    if kind == 'order':
        found = 'mcpc16'
    else:
        from mmpose.registry import DATASETS

        found = None
        for loader in ('train_dataloader', 'test_dataloader', 'val_dataloader'):
            data = (cfg.get(loader) or {}).get('dataset') or {}
            found = data.get('joint_set')
            if found is None and DATASETS.get(str(data.get('type'))) is not None:
                parameters = inspect.signature(DATASETS.get(data['type']).__init__).parameters
                found = parameters['joint_set'].default if 'joint_set' in parameters else None
            if isinstance(found, str):
                break
    if not isinstance(found, str) or len(get_joint_set(found)) != joints:
        raise ModelError(
            f'{name}: its network has {joints} joints, its data sets say {found!r}: set '
            'train_dataloader.dataset.joint_set to a name in wsp_mm.structures.keypoints.JOINT_SETS'
        )
    return found


def _crop_meta(joint_set: str) -> dict:
    from mmpose.datasets.datasets.utils import parse_pose_metainfo

    parsed = parse_pose_metainfo(pose_metainfo(joint_set))
    meta = {key: parsed[key] for key in _SET_KEYS if key in parsed}
    return dict(meta, dataset_keypoint_weights=np.ones(len(get_joint_set(joint_set)), np.float32))
