# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Any detector of mmdet as a function from pictures to boxes of persons."""

from __future__ import annotations

import copy
import hashlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from wsp_mm.apis.inference.forward import gathered
from wsp_mm.apis.inference.models import local_checkpoint
from wsp_mm.structures.bbox import to_sides
from wsp_mm.utils.checkpoint import CheckpointError, load_file
from wsp_mm.utils.cli import load_config
from wsp_mm.utils.compat import pick_device
from wsp_mm.utils.files import file_sha256

PERSON = 'person'
#: Boxes below this score are left out unless the caller says otherwise.
SCORE_THR = 0.3
#: Longer side over shorter side beyond which nobody is looked for in a picture: of much longer
#: strips nothing is left in the network's input, and OpenCV refuses to make a picture without
#: pixels.
_NARROWEST = 100


class DetectorError(ValueError):
    """A configuration that gives no detector of persons; the message says why."""


class PersonDetector:
    """An mmdet model and the number of its class of persons.

    The model is built as mmdet's ``init_detector`` builds it: in the scope that the configuration
    names (mmdet's, unless it says otherwise), with ordinary instead of synchronised BatchNorm, and
    without fetching the backbone's first weights. The default scope of the process stays as it was.

    Args:
        config: path of a configuration, or a loaded one. Not changed.
        checkpoint: path or URL. It must hold every weight of the model.
        device: 'auto' is the first GPU, or the processor where there is none.
        score_thr: boxes below this score are left out. A higher threshold of the model is lowered.
        class_name: the model's class that counts as a person.
        batch_size: most pictures that go through the model at once.
        load: reads the checkpoint, ``load(path, map_location)``. The default executes nothing in
            it.

    Attributes:
        classes: names of all classes of the model.
        label: index of ``class_name`` among them.
        identity: config and checkpoint with their SHA-256, class and thresholds, for the output.

    Raises:
        FileNotFoundError: no such configuration or checkpoint.
        DetectorError: not a configuration of mmdet, or no class of that name.
        CheckpointError: a checkpoint that is refused, broken, or of another model.
    """

    def __init__(
        self,
        config: str | Path | Config,
        checkpoint: str | Path,
        device: str | torch.device = 'auto',
        score_thr: float = SCORE_THR,
        class_name: str = PERSON,
        batch_size: int = 8,
        load: Callable[[Path, Any], Any] = load_file,
    ) -> None:
        if not 0 <= score_thr < 1 or batch_size < 1:
            raise ValueError(
                f'score_thr {score_thr} must be in [0, 1), batch_size {batch_size} at least 1'
            )
        path = local_checkpoint(checkpoint)  # before anything slow
        cfg = copy.deepcopy(config) if isinstance(config, Config) else load_config(config)
        name = (
            str(cfg.filename or 'the configuration') if isinstance(config, Config) else str(config)
        )
        if 'backbone' not in (cfg.get('model') or {}) or not cfg.get('test_dataloader'):
            raise DetectorError(
                f"{name} is no detector's configuration: it needs model and test_dataloader"
            )
        digest = hashlib.sha256(cfg.pretty_text.encode()).hexdigest()
        self.scope = cfg.get('default_scope') or 'mmdet'
        if self.scope == 'mmpose':
            raise DetectorError(
                f'{name} is a configuration of MMPose (default_scope), not of a detector'
            )
        self.device = pick_device(device)
        self.score_thr, self.batch_size = float(score_thr), int(batch_size)
        _lower_thresholds(cfg.model.get('test_cfg'), self.score_thr)
        with DefaultScope.overwrite_default_scope(self.scope):
            model, self.pipeline = _build(cfg)
        content = load(path, 'cpu')
        _fill(model, content, path, name)
        self.classes = _classes(content, cfg, model, name)
        self.class_name = class_name
        self.label = _label(self.classes, class_name, name)
        self.model = model.to(self.device).eval()
        _spend_warnings()
        self.identity = dict(
            config=Path(name).name, config_sha256=digest, checkpoint=path.name,
            checkpoint_sha256=file_sha256(path), class_name=self.classes[self.label], score_thr=self.score_thr,
        )  # fmt: skip

    @torch.no_grad()
    def detect(self, pictures: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Find the persons.

        Pictures whose network inputs have the same size go through the model together,
        ``batch_size`` at once; none is padded for the sake of another, so its boxes do not depend
        on its neighbours.

        Args:
            pictures: (H, W, 3) uint8 BGR each, of any sizes.

        Returns:
            For every picture the boxes (M, 4) float32 x, y, w, h px, tight, within the picture, at
            least one pixel wide and high, and the scores (M,) float32, best first. M may be 0, and
            is in strips more than 100 times as long as wide.

        Raises:
            ValueError: a picture is not (H, W, 3) uint8.
        """
        for i, picture in enumerate(pictures):
            if (
                getattr(picture, 'dtype', None) != np.uint8
                or picture.ndim != 3
                or picture.shape[2] != 3
            ):
                raise ValueError(f'picture {i} is not (H, W, 3) uint8')
        # Neither scope nor filters of the process are touched here: another thread may be using
        # them, and a model that is built needs no registry any more.
        wide = [
            i for i, p in enumerate(pictures) if max(p.shape[:2]) <= _NARROWEST * min(p.shape[:2])
        ]
        prepared = [self.pipeline(dict(img=pictures[i], img_id=i)) for i in wide]
        nobody = (np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
        out: list = [nobody] * len(pictures)
        for batch in _batches([tuple(item['inputs'].shape) for item in prepared], self.batch_size):
            inputs = gathered(
                [prepared[i]['inputs'] for i in batch], self.device
            )  # one copy to the device
            samples = self.model.test_step(
                dict(
                    inputs=[*inputs.to(self.device, non_blocking=True)],
                    data_samples=[prepared[i]['data_samples'] for i in batch],
                )
            )
            for k, sample in zip(batch, samples, strict=True):
                out[wide[k]] = self._persons(sample.pred_instances, pictures[wide[k]].shape[:2])
        return out

    def _persons(self, found: Any, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """mmdet's instances, x1 y1 x2 y2 px of the picture, to the boxes of persons."""
        labels, scores = found.labels.cpu().numpy(), found.scores.float().cpu().numpy()
        corners = found.bboxes.float().cpu().numpy().reshape(-1, 2, 2)
        # The padding belongs to the network's input: boxes may reach into it.
        boxes = to_sides(
            np.clip(corners, 0, [shape[1], shape[0]]).reshape(-1, 4).astype(np.float32)
        )
        with np.errstate(invalid='ignore'):
            keep = (
                (labels == self.label)
                & (scores >= self.score_thr)
                & (boxes[:, 2:] >= 1).all(axis=1)
            )
        boxes, scores = boxes[keep], scores[keep]
        order = np.argsort(-scores, kind='stable')
        return boxes[order], scores[order]


def _spend_warnings() -> None:
    """Torch warns, once a process, of calls of ``meshgrid`` as mmdet makes them: here, where nobody
    sees it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.meshgrid(torch.zeros(1), torch.zeros(1))


def _batches(shapes: list[tuple], size: int) -> Iterator[list[int]]:
    """Indices of things of the same shape, at most ``size`` together."""
    groups: dict[tuple, list[int]] = {}
    for i, shape in enumerate(shapes):
        groups.setdefault(shape, []).append(i)
    for group in groups.values():
        yield from (group[i : i + size] for i in range(0, len(group), size))


def _lower_thresholds(node: Any, score_thr: float) -> None:
    """Let the model give what is asked for: its own threshold comes first."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == 'score_thr' and isinstance(value, (int, float)):
                node[key] = min(value, score_thr)
            else:
                _lower_thresholds(value, score_thr)


def _build(cfg: Config) -> tuple[torch.nn.Module, Any]:
    """The model without weights, and the test transforms for a picture in memory."""
    from mmdet.registry import MODELS
    from mmdet.utils import get_test_pipeline_cfg
    from mmengine.dataset import Compose
    from mmengine.model.utils import revert_sync_batchnorm

    cfg.model.backbone.init_cfg = None
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    first, *steps = get_test_pipeline_cfg(cfg)
    load = dict(first, type='mmdet.LoadImageFromNDArray')
    load = {
        key: value for key, value in load.items() if key in ('type', 'to_float32', 'color_type')
    }
    return model, Compose(
        [load, *(step for step in steps if 'LoadAnnotations' not in step['type'])]
    )


def _fill(model: torch.nn.Module, content: Any, path: Path, config: str) -> None:
    """Load the weights; all must be there."""
    state = content.get('state_dict', content) if isinstance(content, Mapping) else None
    if not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise CheckpointError(f'{path} holds no `state_dict` of tensors')
    state = {key.removeprefix('module.'): value for key, value in state.items()}
    try:
        # Not strict: mmdet renames weights of older versions on the way, and older ones lack these
        # counters.
        missing = model.load_state_dict(state, strict=False).missing_keys
    except RuntimeError as error:
        shapes = [line.strip() for line in str(error).splitlines() if 'size mismatch' in line]
        raise CheckpointError(
            f'{path} is not of {config}: {shapes[0] if shapes else error}'
        ) from None
    missing = [key for key in missing if not key.endswith('num_batches_tracked')]
    if missing:
        raise CheckpointError(
            f'{path} is not of {config}: {len(missing)} weights are missing, such as {missing[0]}'
        )


def _classes(content: Any, cfg: Config, model: torch.nn.Module, config: str) -> tuple[str, ...]:
    """Names of the model's classes: what the checkpoint says, else the configuration, else its data
    set.

    A source that names another number of classes than the model has is passed over.
    """
    from mmdet.registry import DATASETS

    meta = content.get('meta') if isinstance(content, Mapping) else None
    meta = meta if isinstance(meta, Mapping) else {}
    saved = {str(k).lower(): v for k, v in (meta.get('dataset_meta') or {}).items()}
    data = cfg.test_dataloader.get('dataset') or {}
    while 'type' in data and ('dataset' in data or 'datasets' in data):  # wrappers
        data = data['dataset'] if 'dataset' in data else data['datasets'][0]
    kind = DATASETS.get(str(data.get('type')))
    sources = [
        saved.get('classes'), meta.get('CLASSES'), (data.get('metainfo') or {}).get('classes'),
        getattr(kind, 'METAINFO', {}).get('classes'),
    ]  # fmt: skip
    named = [(name,) if isinstance(name, str) else tuple(name) for name in sources if name]
    count = _class_count(model)
    fitting = [names for names in named if count is None or len(names) == count]
    if not fitting:
        raise DetectorError(
            f'{config}: neither the checkpoint nor test_dataloader.dataset.metainfo names the '
            f'{count if count is not None else ""} classes of the model'
        )
    return tuple(map(str, fitting[0]))


def _class_count(model: torch.nn.Module) -> int | None:
    """How many classes the model's (last) box head knows; None where it does not say."""
    head = getattr(model, 'bbox_head', None)
    head = (
        head if head is not None else getattr(getattr(model, 'roi_head', None), 'bbox_head', None)
    )
    if isinstance(head, torch.nn.ModuleList):
        head = head[-1]
    return getattr(head, 'num_classes', None)


def _label(classes: tuple[str, ...], name: str, config: str) -> int:
    lower = [entry.lower() for entry in classes]
    if name.lower() not in lower:
        shown = ', '.join(classes[:8]) + (', ...' if len(classes) > 8 else '')
        raise DetectorError(
            f'{config}: the model has no class {name!r}; its {len(classes)} are: {shown}'
        )
    return lower.index(name.lower())
