# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Outputs, losses and gradients of the three heads for weights and inputs that a formula gives."""

import zlib

import numpy as np

from tests.golden import adapter
from tests.golden.record import Summary, case
from tests.golden.trees import rng

SIZE, BATCH = (48, 32), 4  # px of the input; features are 12 x 8

#: Kind -> name and options of the head, name and options of its codec, test_cfgs of predictions.
_FLIP = dict(flip_test=True, flip_mode='heatmap', shift_heatmap=True, output_heatmaps=True)
_POSENET_FLIP = dict(flip_test=True, flip_mode='posenet')
KINDS = dict(
    relative=(
        'RelativeDepthHead',
        dict(out_channels=4, depth_hidden=8, alpha=2.0, num_sampled_joints=None),
        'PairHeatmapLabel', dict(heatmap_size=(24, 16), sigma=1.0), dict(plain={}, flipped=_FLIP),
    ),
    integral=(
        'Integral3DHead', dict(out_channels=3),
        'Integral3DLabel', dict(heatmap_size=(24, 16, 10)),
        dict(plain={}, exact=dict(flip_test=True), posenet=_POSENET_FLIP),
    ),
    root=(
        'RootDepthHead', {},
        'RootDepthLabel', dict(joint_set='h36m18', heatmap_size=(24, 16)), dict(plain={}),
    ),
)  # fmt: skip
VARIANTS = dict(
    relative=dict(
        plain={},
        sum=dict(pooling='sum'),
        max=dict(pooling='max'),
        normalized=dict(pooling='normalized'),
        person_channels=dict(person_channels=True, symmetric=True),
        person_channels_max=dict(person_channels=True, pooling='max'),
        target_mask=dict(mask='target'),
        detached=dict(detach_mask=True, pooling='normalized'),
        symmetric=dict(symmetric=True),
        squared=dict(heatmap_loss=dict(type='HeatmapL2Loss', squared=True)),
        drawn=dict(num_sampled_joints=2, alpha=50.0),
        heatmaps_alone=dict(alpha=0.0),
    ),
    integral=dict(
        plain={},
        marginals=dict(marginal_loss=dict(type='MarginalLoss')),
        marginals_js=dict(
            marginal_loss=dict(type='MarginalLoss', sigma=2.0, divergence='js', loss_weight=0.5)
        ),
        sharp=dict(
            logit_scale=10.0, loss=dict(type='Integral3DLoss', average='valid', loss_weight=3.0)
        ),
        plain_softmax=dict(plain_softmax=True),
    ),
    root=dict(
        plain={},
        sharp=dict(
            logit_scale=10.0, loss=dict(type='RootDepthLoss', depth_unit=50.0, loss_weight=2.0)
        ),
    ),
)


def fill(module):
    """Give every parameter and buffer values that its name and shape alone determine."""
    import torch

    for name, value in module.state_dict().items():
        draw = np.random.RandomState(zlib.crc32(name.encode()))
        if not value.dtype.is_floating_point:
            continue
        if value.ndim > 1:
            numbers = draw.standard_normal(value.shape) * (2 / np.prod(value.shape[1:])) ** 0.5
        elif name.endswith('running_var'):
            numbers = draw.uniform(0.5, 1.5, value.shape)
        else:
            ones = name.endswith(('weight', 'gamma_layer.bias'))
            numbers = ones + 0.1 * draw.standard_normal(value.shape)
        value.copy_(torch.from_numpy(np.asarray(numbers)))
    return module


def _features(key):
    import torch

    numbers = rng('features', key).standard_normal((BATCH, 5, SIZE[1] // 4, SIZE[0] // 4))
    return torch.from_numpy(numbers.astype(np.float32)).requires_grad_()


def _sample(kind, coder, i):
    """A data sample: what the codec makes of random joints, some unlabelled or without depth."""
    import torch
    from mmengine.structures import InstanceData
    from mmpose.structures import PoseDataSample

    draw, deep, depth = rng(kind, i), np.float32([i != 1]), np.float32([3000 + 700 * i])
    meta, more, order = dict(flip_indices=[1, 0, 2, 3]), {}, None
    if kind == 'relative':
        given = dict(
            keypoints=draw.uniform(2, 30, (2, 4, 2)).astype(np.float32),
            keypoints_visible=draw.randint(0, 4, (2, 4)).astype(np.float32),
            depth_label=np.float32([i % 2]), depth_weight=np.float32([i != 2]),
        )  # fmt: skip
        boxes = np.float32([[[2, 2, 20, 30], [18, 6, 44, 31]]])
        boxes[0, 1] += 60 * (i == 3)  # wholly outside the input
        more['pair_bboxes_input'] = boxes + draw.uniform(-4, 4, (1, 2, 4)).astype(np.float32)
        order = draw.rand(4)
    elif kind == 'integral':
        points = draw.uniform(-2, 36, (1, 3, 2)), draw.normal(0, 400, (1, 3, 1))
        given = dict(keypoints=np.concatenate(points, axis=-1), has_depth=deep)
        given['keypoints_visible'] = draw.randint(0, 4, (1, 3))
        meta['flip_indices'] = [1, 0, 2]
    else:
        given = dict(keypoints=draw.uniform(1, 31, (1, 18, 3)), has_depth=deep)
        given |= dict(root_depth=depth, root_k=0.9 * depth)
        meta |= dict(root_k=0.9 * depth) if i else {}
    labels = {**adapter.labels(coder, order, **given), **more}
    sample = PoseDataSample(metainfo=meta)
    labels = {key: torch.from_numpy(np.asarray(value)) for key, value in labels.items()}
    sample.gt_instance_labels = InstanceData(**labels)
    return sample


def _run(kind, **options):
    """Forward pass, predictions, then losses and the norms of their gradients."""
    import torch

    name, common, coder, coder_options, test_cfgs = KINDS[kind]
    coder = dict(type=coder, input_size=SIZE, **coder_options)
    deconvs = dict(in_channels=5, deconv_out_channels=(6,), deconv_kernel_sizes=(4,))
    head = fill(adapter.head(**{'name': name, **deconvs, **common, **options, 'decoder': coder}))
    built, found = adapter.codec(coder.pop('type'), **coder), {}
    samples = [_sample(kind, built, i) for i in range(BATCH)]
    head.eval()
    with torch.no_grad():
        found['forward'] = [
            Summary(one.flatten(0, 1).numpy(), 1e-3) if one.ndim == 4 else one.numpy()
            for one in adapter.forward(head, (_features('plain'),))
        ]
        for key, test_cfg in test_cfgs.items():
            feats = (_features('plain'),)
            feats = [feats, (_features('mirrored'),)] if test_cfg.get('flip_test') else feats
            predictions = head.predict(feats, samples, test_cfg)
            if isinstance(predictions, tuple):
                predictions, maps = predictions
                found[f'{key}_maps'] = [Summary(one.heatmaps.numpy(), 1e-3) for one in maps]
            found[key] = [adapter.fields(one) for one in predictions]
    features = _features('training')
    losses = head.train().loss((features,), samples)
    found['losses'] = adapter.fields(losses)
    sum(value for key, value in losses.items() if 'loss' in key).backward()
    gradients = {key: p.grad for key, p in head.named_parameters()} | dict(features=features.grad)
    found['gradients'] = {
        key: np.float32(np.nan) if grad is None else grad.norm() for key, grad in gradients.items()
    }
    return found


for _kind, _variants in VARIANTS.items():
    for _name, _options in _variants.items():
        case('heads', f'{_kind}_{_name}')(
            lambda scratch, kind=_kind, options=_options: _run(kind, **options)
        )
