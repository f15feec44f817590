# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Named parts of a model come from a checkpoint wholly, or not at all."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmpose.registry import MODELS

import wsp_mm.register  # noqa: F401
from wsp_mm.utils.checkpoint import (
    CheckpointError,
    PretrainedParts,
    PretrainedPartsError,
    UntrustedCheckpointError,
    pretrained_inits,
)

BOTH = ('backbone', 'head.deconv_layers')


def finetuning(parts_cfg=None, features=512, **backbone):
    """The model of a finetuning; ``features`` are the channels of its backbone's last map."""
    backbone = dict(dict(type='ResNet', depth=18), **backbone)
    head = dict(type='Integral3DHead', in_channels=features, deconv_out_channels=(8, 8, 8))
    head |= dict(out_channels=18, decoder=dict(type='Integral3DLabel', heatmap_size=(8, 8, 4)))
    kind = 'TopdownPoseEstimator3D'
    return MODELS.build(dict(type=kind, backbone=backbone, head=head, init_cfg=parts_cfg))


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """A pair pre-training, saved from a data parallel wrapper."""
    head = dict(type='RelativeDepthHead', in_channels=512, deconv_out_channels=(8, 8, 8))
    head |= dict(out_channels=16, depth_hidden=4, decoder=dict(type='PairHeatmapLabel'))
    backbone = dict(type='ResNet', depth=18)
    with DefaultScope.overwrite_default_scope('mmpose'):
        torch.manual_seed(7)
        model = MODELS.build(dict(type='TopdownPoseEstimator', backbone=backbone, head=head))
    for parameter in model.parameters():  # what no initialisation would give
        torch.nn.init.uniform_(parameter, 2, 3)
    path = tmp_path_factory.mktemp('wsp') / 'wsp.pth'
    state = {f'module.{key}': value for key, value in model.state_dict().items()}
    torch.save(dict(state_dict=state, meta=dict(epoch=1)), path)
    return str(path)


def parts(checkpoint, names=('backbone',)):
    return dict(type='PretrainedParts', checkpoint=checkpoint, parts=names)


def loaded(model, checkpoint):
    """Names of the parameters that are those of the checkpoint."""
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    return {
        name
        for name, value in model.named_parameters()
        if (theirs := state.get(f'module.{name}')) is not None
        and theirs.shape == value.shape
        and torch.equal(theirs, value)
    }


@pytest.mark.parametrize('names', [('backbone',), BOTH, ['head.deconv_layers']])
def test_the_parts_and_nothing_else_are_loaded(checkpoint, names):
    # Weights of the backbone are not asked for where they are replaced.
    nowhere = dict(type='Pretrained', checkpoint='/nowhere/resnet18.pth')
    more = dict(init_cfg=nowhere) if 'backbone' in names else {}
    model = finetuning(parts(checkpoint, names), **more)
    model.init_weights()
    starts = tuple(f'{name}.' for name in names)
    wanted = {name for name, _ in model.named_parameters() if name.startswith(starts)}
    assert loaded(model, checkpoint) == wanted
    # the rest had its own initialisation
    assert model.head.final_layer.weight.std().item() == pytest.approx(0.001, rel=0.1)
    if 'backbone' not in names:
        assert model.backbone.conv1.weight.std() > 0.01
    if 'head.deconv_layers' not in names:
        assert model.head.deconv_layers[0].weight.std().item() == pytest.approx(0.001, rel=0.1)


ONE_STAGE = dict(features=64, num_stages=1, strides=(1,), dilations=(1,), out_indices=(0,))


@pytest.mark.parametrize(
    ('change', 'names', 'complaint'),
    [
        (dict(depth=34), ('backbone',), r'layer1\.2\.conv1\.weight'),
        (dict(depth=50, features=2048), ('backbone',), r'layer1\.0\.conv3\.weight'),
        (ONE_STAGE, ('backbone',), r'layer2\.0\.conv1\.weight'),
        (dict(in_channels=1), ('backbone',), r'conv1\.weight'),
        ({}, ('spine',), 'spine'),
        ({}, ('backbone', 'head'), 'final_layer'),
    ],
)
def test_what_does_not_fit_is_an_error_that_names_it(checkpoint, change, names, complaint):
    model = finetuning(parts(checkpoint, names), **change)
    with pytest.raises(PretrainedPartsError, match=complaint):
        model.init_weights()


class Payload:
    pass


def test_files_that_hold_no_such_part(checkpoint, tmp_path):
    for content in ({'head.bias': torch.ones(1)}, [1, 2]):
        torch.save(content, tmp_path / 'other.pth')
        with pytest.raises(PretrainedPartsError, match='backbone'):
            finetuning(parts(str(tmp_path / 'other.pth'))).init_weights()
    torch.save(dict(state_dict={}, meta=Payload()), tmp_path / 'pickle.pth')
    with pytest.raises(UntrustedCheckpointError):
        finetuning(parts(str(tmp_path / 'pickle.pth'))).init_weights()
    with pytest.raises(FileNotFoundError):
        finetuning(parts('/nowhere/wsp.pth')).init_weights()
    with pytest.raises(CheckpointError, match=r'model\.init_cfg\.checkpoint'):
        finetuning(parts(None)).init_weights()


def test_it_belongs_to_the_whole_model(checkpoint):
    """In a backbone it would be half undone: ResNet sets scales of BatchNorm to 0 afterwards."""
    model = finetuning(None, init_cfg=parts(checkpoint, ('layer1',)))
    with pytest.raises(ValueError, match=r'model\.init_cfg'):
        model.init_weights()


@pytest.mark.parametrize('names', ['backbone', (), ('',), (1,)])
def test_parts_are_names(names):
    with pytest.raises(ValueError, match='parts'):
        PretrainedParts('wsp.pth', names)


def test_every_place_of_a_model_is_looked_at():
    start = dict(type='Pretrained', checkpoint='b', prefix='backbone.')
    cfg = ConfigDict(
        init_cfg=parts('a'),
        backbone=dict(init_cfg=[dict(type='Normal', std=1), start]),
        necks=[dict(init_cfg=None), dict(init_cfg=dict(type='Pretrained', checkpoint='c'))],
        head=dict(init_cfg=dict(type='Normal', std=1)),
    )
    assert [init['checkpoint'] for init in pretrained_inits(cfg)] == ['a', 'b', 'c']
