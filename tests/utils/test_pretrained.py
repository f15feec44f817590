# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Weights of another network are an error in every way to start from them."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import WEIGHT_INITIALIZERS, DefaultScope
from mmpose.registry import MODELS

from wsp_mm.engine.hooks import RunInfoHook
from wsp_mm.utils.checkpoint import PretrainedPartsError
from wsp_mm.utils.pretrained import check_fit, checked_pretrained


def build(depth, init_cfg=None, backbone_init=None, **backbone):
    codec = dict(type='MSRAHeatmap', input_size=(64, 64), heatmap_size=(16, 16), sigma=1)
    head = dict(type='HeatmapHead', in_channels=512, out_channels=2, decoder=codec)
    head |= dict(deconv_out_channels=(8,), deconv_kernel_sizes=(4,))
    backbone |= dict(type='ResNet', depth=depth, base_channels=4, stem_channels=4)
    backbone['init_cfg'] = backbone_init
    model = dict(type='TopdownPoseEstimator', backbone=backbone, head=head, init_cfg=init_cfg)
    return MODELS.build(model)


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """A model's checkpoint and its backbone's bare weights, of a ResNet-18."""
    with DefaultScope.overwrite_default_scope('mmpose'):
        model = build(18)
    folder = tmp_path_factory.mktemp('r18')
    torch.save(dict(state_dict=model.state_dict(), meta={}), folder / 'model.pth')
    torch.save(dict(model.backbone.state_dict(), **{'fc.bias': torch.ones(1)}), folder / 'bare.pth')
    return folder


def start(files, name='model.pth', **more):
    return dict(type='Pretrained', checkpoint=str(files / name), **more)


@pytest.mark.parametrize(
    ('depth', 'name', 'prefix', 'complaint'),
    [
        (50, 'model.pth', 'backbone.', r'model\.pth: .* of \d+ tensors fit the ResNet'),
        (34, 'model.pth', 'backbone', r'lacks layer1\.2\.conv1\.weight'),
        (18, 'model.pth', None, r'model\.pth: 0 of .*prefix'),
        (18, 'bare.pth', 'backbone.', r'bare\.pth: 0 of .*backbone\.\*'),
    ],
)
def test_weights_that_do_not_fit(files, depth, name, prefix, complaint):
    """The recipe of docs/extend.md, which MMEngine answers with a warning or an AssertionError."""
    model = build(depth, backbone_init=start(files, name, prefix=prefix))
    with checked_pretrained(), pytest.raises(PretrainedPartsError, match=complaint):
        model.init_weights()


@pytest.mark.parametrize(('name', 'prefix'), [('model.pth', 'backbone.'), ('bare.pth', None)])
def test_weights_that_fit_are_loaded(files, name, prefix):
    model = build(18, backbone_init=start(files, name, prefix=prefix))
    with checked_pretrained():
        model.init_weights()
    saved = torch.load(files / 'model.pth', weights_only=True)['state_dict']
    assert torch.equal(model.backbone.conv1.weight, saved['backbone.conv1.weight'])
    assert WEIGHT_INITIALIZERS.get('Pretrained').__name__ == 'PretrainedInit'  # as before


def test_whole_models_are_told_by_their_backbone(files):
    """In ``model.init_cfg``, and in ``load_from``; heads may differ."""
    model = build(50, init_cfg=start(files))
    with checked_pretrained(), pytest.raises(PretrainedPartsError, match='fit the ResNet'):
        model.init_weights()
    names = ('model', 'bare')
    checkpoint, bare = (torch.load(files / f'{n}.pth', weights_only=True) for n in names)
    runner, hook = SimpleNamespace(model=model, _load_from='my.pth'), RunInfoHook()
    with pytest.raises(PretrainedPartsError, match=r'my\.pth'):
        hook.after_load_checkpoint(runner, checkpoint)
    runner.model = build(18)
    for wrong in (bare, [1, 2]):
        with pytest.raises(PretrainedPartsError, match=r'my\.pth: 0 of'):
            hook.after_load_checkpoint(runner, wrong)
    state = {f'module.{k}': v for k, v in checkpoint['state_dict'].items() if 'head' not in k}
    hook.after_load_checkpoint(runner, dict(state_dict=state))


def test_a_few_new_layers_are_no_other_network(files):
    checkpoint = torch.load(files / 'model.pth', weights_only=True)
    state = {k: v for k, v in checkpoint['state_dict'].items() if 'layer4.1.conv2' not in k}
    check_fit(build(18), state, 'a')
    state['backbone.conv1.weight'] = torch.ones(4, 1, 7, 7)
    with pytest.raises(PretrainedPartsError, match=r'conv1\.weight \(4, 1, 7, 7\) instead of'):
        check_fit(build(18), {**checkpoint['state_dict'], **state}, 'a')
