# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Any detector of mmdet as a function from images to boxes of persons."""

import copy
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from wsp_mm.apis.images import InputError
from wsp_mm.apis.models import Weights, batched, fill, read_config, read_weights
from wsp_mm.structures.bbox import to_sides
from wsp_mm.utils.compat import pick_device
from wsp_mm.utils.nodes import config_nodes

#: Boxes below this score are left out unless the caller says otherwise.
SCORE_THR = 0.3
#: Longer side over shorter side of an image beyond which nobody is looked for: nothing is left of
#: the strip in the network's input, and OpenCV refuses to resize to zero pixels.
_MAX_ASPECT = 100


class PersonDetector:
    """An mmdet model and its class of persons.

    The model is built as mmdet's ``init_detector`` builds it: in the scope that the configuration
    names (mmdet's, unless it says otherwise), with ordinary instead of synchronised BatchNorm, and
    without fetching the backbone's first weights. The default scope of the process stays as it was.

    Args:
        config: path of a configuration, or a loaded one. Not changed.
        checkpoint: path or URL. It must hold every weight of the model.
        device: 'auto' is the first GPU, or the processor where there is none.
        score_thr: boxes below this score are left out. A higher threshold of the model is lowered.
        class_name: the model's class that counts as a person.
        batch_size: most images that go through the model at once.
        trust: whether the checkpoint may execute code; None: what the user allowed for all files.

    Attributes:
        classes: names of all classes of the model.
        label: index of ``class_name`` among them.
        identity: config and checkpoint with their SHA-256, class and threshold, for the output.

    Raises:
        FileNotFoundError: no such configuration or checkpoint.
        InputError: not a configuration of mmdet, no class of that name, or settings out of range.
        CheckpointError: a checkpoint that is refused, broken, or of another model.
    """

    def __init__(
        self,
        config: str | Path | Config,
        checkpoint: str | Path,
        device: str | torch.device = 'auto',
        score_thr: float = SCORE_THR,
        class_name: str = 'person',
        batch_size: int = 8,
        trust: bool | None = None,
    ) -> None:
        if not 0 <= score_thr < 1 or batch_size < 1:
            what = f'score_thr {score_thr} must be in [0, 1), batch_size {batch_size} at least 1'
            raise InputError(what)
        weights = read_weights(checkpoint, trust)  # before anything slow
        cfg, name, identity = read_config(config)
        cfg = copy.deepcopy(cfg)
        scope = cfg.get('default_scope') or 'mmdet'
        if 'backbone' not in (cfg.get('model') or {}) or not cfg.get('test_dataloader'):
            raise InputError(f'{name} is not of a detector: it needs model and test_dataloader')
        if scope == 'mmpose':
            raise InputError(f'{name} is of MMPose (default_scope), not of a detector')
        self.score_thr, self.batch_size = float(score_thr), int(batch_size)
        # Let the model give what is asked for: its own threshold comes first.
        for node in config_nodes(cfg.model.get('test_cfg')):
            if isinstance(node.get('score_thr'), (int, float)):
                node['score_thr'] = min(node['score_thr'], self.score_thr)
        with DefaultScope.overwrite_default_scope(scope):
            model, self.pipeline = _build(cfg)
            fill(model, weights, name, strict=False)
            self.classes = _class_names(weights, cfg, model, name)
        names = [entry.lower() for entry in self.classes]
        if class_name.lower() not in names:
            shown = ', '.join(self.classes[:8]) + (', ...' if len(names) > 8 else '')
            raise InputError(f'{name} has no class {class_name!r}; its {len(names)} are: {shown}')
        self.label = names.index(class_name.lower())
        self.model = model.to(pick_device(device)).eval()
        settings = dict(class_name=self.classes[self.label], score_thr=self.score_thr)
        self.identity = identity | weights.identity | settings

    @torch.no_grad()
    def detect(self, images: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Find the persons.

        Images whose network inputs have the same size go through the model together,
        ``batch_size`` at once; none is padded for the sake of another, so its boxes do not depend
        on its neighbours.

        Args:
            images: (H, W, 3) uint8 BGR each, of any sizes.

        Returns:
            For every image the boxes (M, 4) float32 x, y, w, h px, tight, within the image, at
            least one pixel wide and high, and the scores (M,) float32, best first. M may be 0, and
            is in strips more than 100 times as long as wide.

        Raises:
            ValueError: an image is not (H, W, 3) uint8.
        """
        nobody = (np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
        found, groups = [nobody] * len(images), {}
        for i, image in enumerate(images):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise ValueError(f'image {i} is not (H, W, 3) uint8')
            if max(image.shape[:2]) <= _MAX_ASPECT * min(image.shape[:2]):
                sample = self.pipeline(dict(img=image, img_id=i))
                groups.setdefault(tuple(sample['inputs'].shape), {})[i] = sample
        for group in groups.values():
            for batch in batched(group.items(), self.batch_size):
                joined = {key: [packed[key] for _, packed in batch] for key in batch[0][1]}
                with warnings.catch_warnings():  # of torch, for how mmdet calls it
                    warnings.filterwarnings('ignore', 'torch.meshgrid')
                    samples = self.model.test_step(joined)
                for (i, _), sample in zip(batch, samples, strict=True):
                    found[i] = self._persons(sample.pred_instances, images[i].shape)
        return found

    def _persons(self, found: Any, shape: tuple) -> tuple[np.ndarray, np.ndarray]:
        """Turn mmdet's instances, x1 y1 x2 y2 px of the image, into the boxes of persons."""
        labels, scores = found.labels.cpu().numpy(), found.scores.float().cpu().numpy()
        corners = found.bboxes.float().cpu().numpy().reshape(-1, 2, 2)
        # The padding belongs to the network's input: boxes may reach into it.
        boxes = to_sides(np.clip(corners, 0, [shape[1], shape[0]]).reshape(-1, 4))
        boxes = boxes.astype(np.float32)
        keep = (labels == self.label) & (scores >= self.score_thr) & (boxes[:, 2:] >= 1).all(axis=1)
        order = np.argsort(-scores[keep], kind='stable')
        return boxes[keep][order], scores[keep][order]


def _build(cfg: Config) -> tuple[torch.nn.Module, Any]:
    """Build the model without weights, and the test transforms for an image in memory."""
    from mmdet.registry import MODELS
    from mmdet.utils import get_test_pipeline_cfg
    from mmengine.dataset import Compose
    from mmengine.model.utils import revert_sync_batchnorm

    cfg.model.backbone.init_cfg = None
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    load, *transforms = get_test_pipeline_cfg(cfg)
    kept = {key: load[key] for key in ('to_float32', 'color_type') if key in load}
    transforms = [step for step in transforms if 'LoadAnnotations' not in step['type']]
    return model, Compose([dict(kept, type='mmdet.LoadImageFromNDArray'), *transforms])


def _class_names(
    weights: Weights, cfg: Config, model: torch.nn.Module, config: str
) -> tuple[str, ...]:
    """Return the names of the model's classes: what the checkpoint says, else the configuration,
    else its data set. A source that names another number of classes than the model has is passed
    over.
    """
    from mmdet.registry import DATASETS

    saved = {key.lower(): value for key, value in (weights.meta.get('dataset_meta') or {}).items()}
    data = cfg.test_dataloader.get('dataset') or {}
    while 'dataset' in data or 'datasets' in data:  # wrappers
        data = data['dataset'] if 'dataset' in data else data['datasets'][0]
    sources = [
        saved.get('classes'),
        weights.meta.get('CLASSES'),  # mmdet 2
        (data.get('metainfo') or {}).get('classes'),
        getattr(DATASETS.get(str(data.get('type'))), 'METAINFO', {}).get('classes'),
    ]
    parts = model, getattr(model, 'roi_head', None)
    head = next((part.bbox_head for part in parts if getattr(part, 'bbox_head', None)), None)
    head = head[-1] if isinstance(head, torch.nn.ModuleList) else head
    count = getattr(head, 'num_classes', None)
    for names in sources:
        names = (names,) if isinstance(names, str) else tuple(map(str, names or ()))
        if names and count in (None, len(names)):
            return names
    raise InputError(
        f'{config}: neither the checkpoint nor test_dataloader.dataset.metainfo names the '
        f'{count or ""} classes of the model'
    )
