# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Networks with drawn weights that load in a moment, images, boxes and videos for them."""

import json
from pathlib import Path

import cv2
import numpy as np

REPO = Path(__file__).resolve().parents[1]

_SMALL = """
_base_ = '{base}'
model = dict(
    backbone=dict(_delete_=True, type='ResNet', depth=18, base_channels=8, stem_channels=8),
    head=dict(
        in_channels=64, deconv_out_channels=(16, 16, 16), deconv_kernel_sizes=(4, 4, 4)
    ),
)
"""
#: Persons in the images of :func:`make_image`, x y w h px.
BOXES = [[12.0, 10.0, 40.0, 90.0], [70.0, 20.0, 35.0, 70.0], [110.0, 5.0, 45.0, 110.0]]
#: Classes of the detector.
CLASSES = ('dog', 'Person')


class FixedDetector:
    """A detector that finds the same boxes in every image, with falling scores.

    Args:
        boxes: (M, 4) x, y, w, h px. counts: how many of them, image by image, in turns.
        stop_at: number of the call that Ctrl-C interrupts.
    """

    def __init__(self, boxes=BOXES, counts=None, stop_at=None, **identity):
        self.boxes = np.array(boxes, dtype=np.float64).reshape(-1, 4)
        self.counts, self.stop_at = counts or (len(self.boxes),), stop_at
        self.identity, self.calls = dict(config='fixed.py', **identity), []

    def detect(self, images):
        if len(self.calls) == self.stop_at:
            raise KeyboardInterrupt
        seen = sum(self.calls)
        self.calls.append(len(images))
        counts = [self.counts[(seen + i) % len(self.counts)] for i in range(len(images))]
        return [(self.boxes[:n], np.linspace(0.9, 0.5, len(self.boxes))[:n]) for n in counts]


def make_network(folder, base, seed=0, more=''):
    """Return (config, checkpoint of plain weights) of quickstart's ``base``, shrunk.

    ``more`` are further lines of the config.
    """
    import torch

    from wsp_mm.apis.models import build_model, read_config

    config = Path(folder) / f'{Path(base).name}.py'
    config.write_text(_SMALL.format(base=REPO / 'configs' / f'{base}.py') + more)
    torch.manual_seed(seed)
    state = build_model(read_config(config)[0]).state_dict()
    for value in state.values():  # larger than the initialisation, so that persons' answers differ
        if value.dtype.is_floating_point and value.ndim == 4:
            value.copy_(torch.randn_like(value) * (2 / value[0].numel()) ** 0.5)
    checkpoint = config.with_suffix('.pth')
    torch.save(dict(state_dict=state, meta=dict(epoch=1)), checkpoint)
    return config, checkpoint


def detector_config(classes=CLASSES):
    """Return a small detector at 96 px with the given classes."""
    from wsp_mm.apis.models import read_config

    cfg = read_config(REPO / 'configs/detectors/rtmdet_tiny_person.py')[0]
    model, norm = cfg.model, dict(type='BN')
    model.backbone.update(widen_factor=0.25, out_indices=(3, 4), norm_cfg=norm, init_cfg=None)
    model.neck.update(in_channels=[128, 256], out_channels=64, norm_cfg=norm)
    points = dict(type='MlvlPointGenerator', offset=0, strides=[16, 32])
    model.bbox_head.update(in_channels=64, feat_channels=64, norm_cfg=norm)
    model.bbox_head.anchor_generator = points
    pipeline = cfg.test_dataloader.dataset.pipeline
    for step in pipeline:
        step.update({key: (96, 96) for key in ('scale', 'size') if key in step})
    cfg.model.bbox_head.num_classes = len(classes)
    # So that the drawn weights give several boxes, whatever they overlap.
    cfg.model.test_cfg.update(dict(score_thr=0.2, nms=dict(type='nms', iou_threshold=0.9)))
    cfg.test_dataloader.dataset.update(dict(metainfo=dict(classes=classes), pipeline=pipeline))
    return cfg


def detector_weights(cfg, seed=0):
    """Return a ``state_dict`` with drawn weights and scores spread around one half."""
    import torch
    from mmdet.registry import MODELS
    from mmengine.registry import DefaultScope

    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
    generator = torch.Generator().manual_seed(seed)
    state = model.state_dict()
    for key, value in state.items():
        if key.endswith('weight') and value.ndim == 4:
            drawn = torch.randn(value.shape, generator=generator)
            value.copy_(drawn * (2 / value[0].numel()) ** 0.5)
        if 'rtm_cls' in key:
            value.zero_() if key.endswith('bias') else value.mul_(2000.0)
        if 'rtm_reg' in key and key.endswith('bias'):
            value.fill_(1.5)
    return state


def make_image(seed=0, size=(160, 120)):
    """Return soft blobs of colour, (H, W, 3) uint8 BGR."""
    blobs = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return cv2.resize(blobs, size, interpolation=cv2.INTER_LINEAR)


def write_boxes_file(path, names, boxes=None, extended=False):
    """Write a file of boxes: every image has :data:`BOXES`, or its entry in ``boxes``."""
    from wsp_mm.datasets.detections import write_boxes

    found = {i: np.array((boxes or {}).get(name, BOXES), float) for i, name in enumerate(names)}
    scores = {i: 0.9 - 0.1 * np.arange(len(rows)) for i, rows in found.items()}
    write_boxes(path, list(enumerate(names)), found, scores, extended=extended)
    return Path(path)


def write_results_file(path, boxes):
    """Write COCO's list of results, which names no files: image id -> (M, 4)."""
    rows = [
        dict(image_id=i, bbox=list(box), score=0.9, category_id=1)
        for i, found in boxes.items()
        for box in found
    ]
    Path(path).write_text(json.dumps(rows))
    return Path(path)


def write_video(path, count, fps=10.0, size=(160, 120)):
    """Write frames that move slowly."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), fps, size)
    for i in range(count):
        writer.write(np.roll(make_image(3, size), 2 * i, axis=1))
    writer.release()
    return Path(path)


def make_zoo(folder, load_tool, **networks):
    """Write ``folder/model_zoo`` with the set ``tiny``: role -> (config, checkpoint).

    Weights are published as those of the package are: in float16, by publish_model.py.
    """
    import yaml

    from wsp_mm.utils.files import file_sha256

    publish, models = load_tool('model_converters/publish_model').publish, []
    zoo = Path(folder) / 'model_zoo'
    for role, (config, checkpoint) in networks.items():
        weights = publish(checkpoint, zoo / f'tiny-{role}.pth', half=True, config=config.name)
        meta = dict(Role=role, SHA256=file_sha256(weights), Size=weights.stat().st_size)
        entry = {'Name': f'tiny-{role}', 'In Collection': 'tiny', 'Config': str(config)}
        weights = weights.relative_to(folder).as_posix()
        models.append(entry | dict(Metadata=meta, Weights=weights))
    zoo.mkdir(exist_ok=True)
    content = dict(Collections=[dict(Name='tiny')], Models=models)
    (zoo / 'metafile.yml').write_text(yaml.safe_dump(content))
    return zoo
