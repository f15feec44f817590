# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Training steps as the configs say, on samples that are made up: what the benchmarks of the step
share.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

REPO = Path(__file__).resolve().parents[2]
CONFIGS = {'pairs': 'configs/wsp_pretrain_r50.py', 'h36m': 'configs/posenet_h36m_r50.py'}
FEATURES = {18: 512, 34: 512, 50: 2048, 101: 2048, 152: 2048}

_BFLOAT16, _CHANNELS_LAST = 'optim_wrapper.enabled', 'default_hooks.channels_last.enabled'
#: Way of computing -> its options.
WAYS = {
    'float32': {_BFLOAT16: False, _CHANNELS_LAST: False},
    'bfloat16': {_BFLOAT16: True, _CHANNELS_LAST: False},
    'bfloat16 + channels_last': {_BFLOAT16: True, _CHANNELS_LAST: True},
    'bfloat16 + channels_last + compile': {_BFLOAT16: True, _CHANNELS_LAST: True, 'compile': True},
}


def config(task: str, way: str, depth: int, side: int, deconv: int = 256):
    """The task's config with another size of network or picture."""
    from wsp_mm.utils.cli import load_config

    cfg = load_config(REPO / CONFIGS[task], WAYS[way])
    cfg.model.backbone.update(depth=depth, init_cfg=None)
    cfg.model.head.update(in_channels=FEATURES[depth], deconv_out_channels=(deconv,) * 3)
    cells = (side // 4, side // 4, side // 4)[: 2 if task == 'pairs' else 3]
    cfg.model.head.decoder.update(input_size=(side, side), heatmap_size=cells)
    if task == 'h36m':
        cfg.model.head.heatmap_size = cells
    return cfg


def make_step(cfg, device: str, seed: int = 0) -> Callable[[dict], dict]:
    """A function that trains on one batch (as the loader gives it) and returns what goes to the
    log.

    Network, optimizer, precision, layout and compilation are the config's.
    """
    import torch
    from mmengine.optim import build_optim_wrapper
    from mmengine.registry import init_default_scope
    from mmpose.registry import HOOKS, MODELS

    init_default_scope('mmpose')
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(seed)
    logging.disable(logging.INFO)  # MMEngine lists every weight that it sets
    model = MODELS.build(cfg.model)
    model.init_weights()
    logging.disable(logging.NOTSET)
    model.to(device).train()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    runner = SimpleNamespace(model=model, optim_wrapper=wrapper)
    HOOKS.build(cfg.default_hooks.channels_last).before_run(runner)
    step = torch.compile(model.train_step) if cfg.get('compile') else model.train_step
    return lambda batch: step(batch, wrapper)


def make_batches(task: str, count: int, size: int, side: int, pinned: bool) -> list[dict]:
    """Batches as the loader gives them: 8-bit pictures and labels on the host; noise in a pattern
    to learn.
    """
    import torch
    from mmengine.structures import InstanceData
    from mmpose.structures import PoseDataSample

    generator = torch.Generator().manual_seed(0)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator)

    batches = []
    for _ in range(count):
        pictures, samples = [], []
        for _ in range(size):
            picture = (uniform(3, side, side) * 256).byte()
            labels, meta = _LABELS[task](uniform, side)
            sample = PoseDataSample(metainfo=dict(input_size=(side, side), **meta))
            sample.gt_instance_labels = InstanceData(**labels)
            pictures.append(picture.pin_memory() if pinned else picture)
            samples.append(sample)
        batches.append(dict(inputs=pictures, data_samples=samples))
    return batches


def fresh(batch: dict) -> dict:
    """A batch that a step may move to the device, while the original stays on the host."""
    return dict(
        inputs=list(batch['inputs']),
        data_samples=[sample.clone() for sample in batch['data_samples']],
    )


def _pair_labels(uniform: Callable, side: int) -> tuple[dict, dict]:
    import torch

    corners = uniform(1, 2, 2) * side / 2
    nearer = (uniform(1, 1) > 0.5).float()
    labels = dict(
        pair_bboxes_input=torch.cat((corners, corners + side / 2), dim=-1),
        heatmap_cells=(corners[:, :, None] + uniform(1, 2, 16, 2) * side / 2) / 4,
        heatmap_labelled=torch.ones(1, 2, 16),
        heatmap_weights=torch.ones(1, 16),
        depth_labels=nearer.expand(1, 16).clone(),
        depth_weights=torch.ones(1, 16),
    )
    return labels, dict(joint_order=uniform(16).numpy())


def _pose3d_labels(uniform: Callable, side: int) -> tuple[dict, dict]:
    import torch

    ones = torch.ones(1, 18)
    labels = dict(
        keypoint_labels=uniform(1, 18, 3) * side / 4,
        keypoint_weights=ones,
        depth_weights=ones.clone(),
    )
    return labels, {}


_LABELS: dict[str, Callable] = dict(pairs=_pair_labels, h36m=_pose3d_labels)


def losses(step: Callable[[dict], dict], batches: Sequence[dict], iterations: int) -> list[float]:
    """Losses of that many iterations over the batches in turn, read at the end."""
    kept = [step(fresh(batches[i % len(batches)]))['loss'].detach() for i in range(iterations)]
    return [float(value) for value in kept]
