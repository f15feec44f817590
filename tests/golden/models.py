# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Whole networks of the quickstart configs with few channels: losses and predictions of samples.

Labels and metainfo come from the data sets' pipelines, weights and images from formulas, so that
rounding in the crop is not seen here.
"""

import numpy as np

from tests.golden import adapter, trees
from tests.golden.heads import fill
from tests.golden.record import case

#: Case -> config, training samples.
CASES = dict(
    pretrain=('wsp_pretrain_r18', (0, 1, 2)),
    pretrain_2d=('wsp_pretrain_r18_2d', (0, 1)),
    h36m_mcpc=('posenet_h36m_mcpc_r18', (0, 1, -1, -2)),
    muco=('posenet_muco_r18', (0, 1, -1)),
    root_muco=('root_muco_r18', (0, 1)),
)


def _batch(scratch, config, split, items):
    import torch
    from mmengine.dataset import pseudo_collate

    data = adapter.dataset(f'quickstart/{config}', split, trees.data_root(scratch))
    samples = [adapter.sample(data, i % len(data), 1) for i in items]
    for i, one in enumerate(samples):
        pixels = trees.image((config, split, i), tuple(one['inputs'].shape[:0:-1]))
        one['inputs'] = torch.from_numpy(pixels.transpose(2, 0, 1).copy())
    return pseudo_collate(samples)


def _run(scratch, config, items):
    import torch

    _, model = adapter.network(config)
    fill(model).eval()
    with torch.no_grad():
        predicted = model.test_step(_batch(scratch, config, 'test', range(3)))
    found = dict(predictions=[adapter.fields(one.pred_instances) for one in predicted])
    model.train()
    data = model.data_preprocessor(_batch(scratch, config, 'train', items), True)
    losses = model(**data, mode='loss')
    sum(value for key, value in losses.items() if 'loss' in key).backward()
    gradients = {key: p.grad.norm() for key, p in model.named_parameters() if p.grad is not None}
    shapes = {key: np.array(value.shape) for key, value in model.state_dict().items()}
    return found | dict(losses=adapter.fields(losses), gradients=gradients, shapes=shapes)


for _name, _given in CASES.items():
    case('models', _name)(lambda scratch, given=_given: _run(scratch, *given))
