# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Networks with drawn weights that load in a moment, published as real ones are, and pictures with
boxes.
"""

import json
from pathlib import Path

import cv2
import numpy as np

REPO = Path(__file__).resolve().parents[1]

_SMALL = """
_base_ = '{base}'
model = dict(
    backbone=dict(base_channels=8, stem_channels=8),
    head=dict(in_channels=64, deconv_out_channels=(16, 16, 16)),
)
"""
#: Persons in the pictures that `write_picture` makes, x y w h px.
BOXES = [[12.0, 10.0, 40.0, 90.0], [70.0, 20.0, 35.0, 70.0], [110.0, 5.0, 45.0, 110.0]]


def make_network(folder, base, seed=0):
    """(config, published checkpoint, training checkpoint) of quickstart's ``base``, shrunk, weights
    drawn.
    """
    import torch
    from mmpose.registry import MODELS

    from wsp_mm.apis.inference.models import _without_inits
    from wsp_mm.utils.cli import load_config

    folder = Path(folder)
    config = folder / f'{Path(base).name}.py'
    config.write_text(_SMALL.format(base=REPO / 'configs' / f'{base}.py'))
    cfg = load_config(config)
    from mmengine.registry import init_default_scope

    import wsp_mm.register  # noqa: F401

    init_default_scope('mmpose')
    torch.manual_seed(seed)
    model = MODELS.build(_without_inits(cfg.model.to_dict()))
    state = model.state_dict()
    for value in state.values():  # larger than the initialisation, so that persons' answers differ
        if value.dtype.is_floating_point and value.ndim == 4:
            value.copy_(torch.randn_like(value) * (2 / value[0].numel()) ** 0.5)
    return config, *save_training_file(state, folder / f'{config.stem}_epoch_1.pth')


def save_training_file(state, path):
    """Save weights as a training does, and publish them: (published, training)."""
    import importlib.util

    import torch
    from mmengine.logging import HistoryBuffer

    hub = dict(log_scalars=dict(loss=HistoryBuffer([1.0], [1])))
    torch.save(dict(state_dict=state, meta=dict(epoch=1), message_hub=hub), path)
    spec = importlib.util.spec_from_file_location(
        'publish_model', REPO / 'tools/model_converters/publish_model.py'
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.publish(path, path.with_name(f'published_{path.stem}.pth')), path


def picture(seed=0, size=(160, 120)):
    """Soft blobs of colour, (H, W, 3) uint8 BGR."""
    blobs = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return cv2.resize(blobs, size, interpolation=cv2.INTER_LINEAR)


def write_boxes_file(path, names, boxes=None, extended=False):
    """A file of boxes: every picture has :data:`BOXES`, or its entry in ``boxes``."""
    boxes = boxes or {}
    detections = [
        dict(image_id=i, file_name=name, bbox=box, score=round(0.9 - 0.1 * k, 2), category_id=1)
        for i, name in enumerate(names)
        for k, box in enumerate(boxes.get(name, BOXES))
    ]
    info = dict(format='wsp_mm.boxes', version=1, box_convention='extended' if extended else 'raw')
    images = [dict(id=i, file_name=name) for i, name in enumerate(names)]
    Path(path).write_text(json.dumps(dict(info=info, images=images, detections=detections)))
    return Path(path)


def write_video(path, count, fps=10.0, size=(160, 120)):
    """Frames that move slowly."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), fps, size)
    for i in range(count):
        writer.write(np.roll(picture(3, size), 2 * i, axis=1))
    writer.release()
    return Path(path)
