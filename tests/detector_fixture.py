# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""An RTMDet of two classes with drawn weights: quick to make, and it finds something in every
picture.
"""

import numpy as np
import torch

SIZE = (96, 96)
SPREAD = 2000.0
CLASSES = ('dog', 'Person')


def small_config(classes=CLASSES, **changes):
    """Quickstart's detector at 96 px, with the given classes."""
    from pathlib import Path

    from wsp_mm.utils.cli import load_config

    cfg = load_config(
        Path(__file__).resolve().parents[1] / 'configs' / 'quickstart' / 'rtmdet_tiny_person.py'
    )
    pipeline = cfg.test_dataloader.dataset.pipeline
    for step in pipeline:
        step.update({key: SIZE for key in ('scale', 'size') if key in step})
    cfg.model.bbox_head.num_classes = len(classes)
    # So that the drawn weights give several boxes, whatever they overlap.
    cfg.model.test_cfg.update(dict(score_thr=0.2, nms=dict(type='nms', iou_threshold=0.9)))
    cfg.test_dataloader.dataset.update(dict(metainfo=dict(classes=classes), pipeline=pipeline))
    cfg.merge_from_dict(changes)
    return cfg


def draw_weights(cfg, seed=0):
    """A ``state_dict`` with drawn weights and scores spread around one half."""
    from mmdet.registry import MODELS
    from mmengine.registry import DefaultScope

    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
    generator = torch.Generator().manual_seed(seed)
    state = model.state_dict()
    for key, value in state.items():
        if key.endswith('weight') and value.ndim == 4:
            value.copy_(
                torch.randn(value.shape, generator=generator) * (2 / value[0].numel()) ** 0.5
            )
        if 'rtm_cls' in key:
            value.zero_() if key.endswith('bias') else value.mul_(SPREAD)
        if 'rtm_reg' in key and key.endswith('bias'):
            value.fill_(1.5)
    return state


def picture(height, width, seed=0):
    """Blobs of colour, (H, W, 3) uint8 BGR."""
    import cv2

    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
