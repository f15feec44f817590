# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""A configuration and a checkpoint -> a network that is ready to answer."""

import hashlib
import inspect
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope

from wsp_mm.apis.images import InputError
from wsp_mm.datasets.transforms.person import PersonCenterScale
from wsp_mm.structures.bbox import to_corners
from wsp_mm.structures.keypoints import get_joint_set, pose_metainfo
from wsp_mm.utils.checkpoint import CheckpointError, load_file, local_file, meta_of, weights_of
from wsp_mm.utils.cli import load_config
from wsp_mm.utils.compat import pick_device
from wsp_mm.utils.files import file_sha256
from wsp_mm.utils.nodes import config_nodes

#: Head of the network -> kind of network.
KINDS = {'Integral3DHead': 'pose', 'RelativeDepthHead': 'order', 'RootDepthHead': 'root'}
PRECISIONS = {'fp32': None, 'bf16': torch.bfloat16, 'fp16': torch.float16}
#: Metainfo of the joint set that MMPose's transforms expect in a sample.
_SAMPLE_META = (
    'flip_indices', 'flip_pairs', 'upper_body_ids', 'lower_body_ids', 'skeleton_links',
    'dataset_keypoint_weights',
)  # fmt: skip


def batched(items: Iterable, size: int) -> Iterator[list]:
    """Yield the items in lists of ``size``, the last one maybe shorter."""
    items = iter(items)
    while batch := list(itertools.islice(items, size)):
        yield batch


@dataclass
class Network:
    """A network in evaluation mode and what has to be known to use it. N persons, K joints.

    Attributes:
        kind: 'pose' (3D), 'order' (pre-training: pairs of persons) or 'root' (root depth).
        model: on its device.
        pipeline: the configuration's test transforms; they crop.
        joint_set: order of its joints; None for root depth.
        identity: config and checkpoint with their SHA-256, for the output.
        precision: key of :data:`PRECISIONS`.
    """

    kind: str
    model: torch.nn.Module
    pipeline: Compose
    joint_set: str | None
    identity: dict
    precision: str = 'fp32'

    def __post_init__(self) -> None:
        from mmpose.datasets.datasets.utils import parse_pose_metainfo

        meta = parse_pose_metainfo(pose_metainfo(self.joint_set)) if self.joint_set else {}
        self._meta = {key: meta[key] for key in _SAMPLE_META if key in meta}

    @property
    def scores_persons(self) -> bool:
        """Whether an order network gives each person a depth score, so that one crop answers for
        any number of persons.
        """
        return self.kind == 'order' and self.model.head.pairwise == 'difference'

    @property
    def crop_settings(self) -> dict:
        """padding and aspect by which the test pipeline extends boxes, see ``crop_boxes``."""
        (step,) = (t for t in self.pipeline.transforms if isinstance(t, PersonCenterScale))
        return dict(padding=step.padding, aspect=step.aspect)

    def crop(
        self,
        image: np.ndarray,
        boxes: np.ndarray,
        camera: Mapping | None = None,
        name: str = '',
        **keys: Any,
    ) -> dict:
        """Crop one person (or a pair, or a crowd) and pack the sample.

        Args:
            image: (H, W, 3) uint8 BGR.
            boxes: (N, 4) x, y, w, h px: one person, or the two of a pair network, or two and more
                where it :attr:`scores_persons`.
            camera: f and c (2,) px.
            name: of the image, for messages.
            keys: more keys of the sample, such as ``bbox_extended``.
        """
        if self.kind == 'order':
            keys['pair'] = tuple(range(len(boxes)))
        if camera is not None:
            for key in 'fc':
                keys[f'camera_{key}'] = np.array(camera[key], np.float32)
        corners = to_corners(np.asarray(boxes, dtype=np.float64)).astype(np.float32)
        keys |= dict(bbox=corners, bbox_score=np.ones(len(boxes), np.float32))
        return self.pipeline(dict(self._meta, img=image, img_path=name, **keys))

    def predict(self, crops: Sequence[dict]) -> list:
        """Return the ``pred_instances`` of packed samples, one batch."""
        if not crops:
            return []
        batch = {key: [crop[key] for crop in crops] for key in ('inputs', 'data_samples')}
        device, dtype = next(self.model.parameters()).device.type, PRECISIONS[self.precision]
        autocast = torch.autocast(device, dtype or torch.bfloat16, enabled=dtype is not None)
        with torch.inference_mode(), autocast:
            return [sample.pred_instances for sample in self.model.test_step(batch)]


def load_network(
    config: str | Path | Config,
    checkpoint: str | Path,
    device: str | torch.device = 'auto',
    kinds: Sequence[str] = tuple(KINDS.values()),
    precision: str = 'fp32',
    trust: bool | None = None,
) -> Network:
    """Build the network of a configuration and fill it; every weight must be there.

    Args:
        config: path of a configuration, or a loaded one. Not changed.
        checkpoint: path or URL, see :func:`read_weights`.
        device: as :func:`wsp_mm.utils.compat.pick_device` takes.
        kinds: of network that are accepted.
        precision: key of :data:`PRECISIONS`.
        trust: as :func:`read_weights`.

    Raises:
        FileNotFoundError: no such configuration or checkpoint.
        InputError: not a configuration of such a network, or no such precision.
        CheckpointError: a checkpoint that is refused, broken, or of another network.
    """
    if precision not in PRECISIONS:
        raise InputError(f'precision is one of {", ".join(PRECISIONS)}, got {precision!r}')
    weights = read_weights(checkpoint, trust)  # before anything slow
    cfg, name, identity = read_config(config)
    head = (cfg.get('model') or {}).get('head') or {}
    kind = KINDS.get(head.get('type'))
    if kind not in kinds:
        heads = ', '.join(f'{head} ({kind})' for head, kind in KINDS.items() if kind in kinds)
        raise InputError(f'{name}: the head is {head.get("type")}; expected {heads}')
    data = (cfg.get('test_dataloader') or cfg.get('val_dataloader') or {}).get('dataset') or {}
    if not data.get('pipeline'):
        raise InputError(f'{name} has no test_dataloader.dataset.pipeline, which says how to crop')
    model = build_model(cfg)
    if kind == 'order':
        model.head.symmetric = True  # so that P(A before B) + P(B before A) = 1
    with DefaultScope.overwrite_default_scope('mmpose'):
        pipeline = Compose(data['pipeline'])
    fill(model, weights, name)
    joint_set = None if kind == 'root' else joint_set_of(cfg, kind, model.head.num_joints, name)
    model = model.to(pick_device(device)).eval()
    return Network(kind, model, pipeline, joint_set, identity | weights.identity, precision)


def build_model(cfg: Config) -> torch.nn.Module:
    """Build the network of a configuration, without fetching what its weights start from."""
    from mmpose.registry import MODELS

    import wsp_mm.register  # noqa: F401  (also for configurations that do not name it)

    model = cfg.model.to_dict()
    for node in config_nodes(model):
        if 'init_cfg' in node:
            node['init_cfg'] = None
    with DefaultScope.overwrite_default_scope('mmpose'):
        return MODELS.build(model)


def read_config(config: str | Path | Config) -> tuple[Config, str, dict]:
    """Return a loaded configuration, its name for messages, and its identity for the output."""
    cfg = config if isinstance(config, Config) else load_config(config)
    name = str(cfg.filename or 'the configuration')
    digest = hashlib.sha256(cfg.pretty_text.encode()).hexdigest()
    return cfg, name, dict(config=Path(name).name, config_sha256=digest)


@dataclass
class Weights:
    """Content of a checkpoint.

    Attributes:
        path: of the local file. state: name -> tensor. meta: what else the file says.
        identity: file name and SHA-256, for the output.
    """

    path: Path
    state: dict[str, torch.Tensor]
    meta: dict
    identity: dict


def read_weights(checkpoint: str | Path, trust: bool | None = None) -> Weights:
    """Read the weights of a checkpoint; nothing in it is executed, unless the user trusts it.

    Args:
        checkpoint: path, URL or name of a model zoo: a file of ``publish_model.py``, a checkpoint
            of a training, or any file of tensors.
        trust: whether the file may execute code; None: what the user allowed for all files.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: a file that is refused, broken, or holds no weights; a name that no model
            zoo knows.
    """
    path = local_file(str(checkpoint))
    content = load_file(path, 'cpu', trust)
    state = weights_of(content)
    if not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise CheckpointError(f'{path} holds no `state_dict` of tensors')
    identity = dict(checkpoint=path.name, checkpoint_sha256=file_sha256(path))
    return Weights(path, state, meta_of(content), identity)


def fill(model: torch.nn.Module, weights: Weights, config: str, strict: bool = True) -> None:
    """Load weights into a model; all must be there.

    Args:
        config: name, for messages.
        strict: none may be left over. Models of mmdet rename weights of older versions while they
            load, which strict loading does not know.

    Raises:
        CheckpointError: the weights are of another model.
    """
    try:
        missing = model.load_state_dict(weights.state, strict=strict).missing_keys
        missing = [key for key in missing if not key.endswith('num_batches_tracked')]
        if missing:
            raise RuntimeError(f'{len(missing)} weights are missing, such as {missing[0]}')
    except RuntimeError as error:
        differences = ' '.join(str(error).split()[:60])
        raise CheckpointError(f'{weights.path} is not of {config}: {differences}') from None


def joint_set_of(cfg: Config, kind: str, num_joints: int, name: str) -> str:
    """Return the joint set that a network was trained on: what its data sets say.

    Raises:
        InputError: they do not say, or say one of another number of joints.
    """
    from mmpose.registry import DATASETS

    found = 'mcpc16' if kind == 'order' else None
    for loader in ('train_dataloader', 'test_dataloader', 'val_dataloader'):
        if not isinstance(found, str):
            data = (cfg.get(loader) or {}).get('dataset') or {}
            kind_of_data = DATASETS.get(str(data.get('type')))
            parameters = inspect.signature(kind_of_data).parameters if kind_of_data else {}
            default = getattr(parameters.get('joint_set'), 'default', None)
            found = data.get('joint_set', default)
    if not isinstance(found, str) or len(get_joint_set(found)) != num_joints:
        raise InputError(
            f'{name}: its network has {num_joints} joints, its data sets say {found!r}: set '
            'train_dataloader.dataset.joint_set to a name in wsp_mm.structures.keypoints.JOINT_SETS'
        )
    return found
