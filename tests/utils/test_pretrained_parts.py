# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpose.registry import MODELS

import wsp_mm.codecs.integral_3d
import wsp_mm.models.estimators.topdown_3d
import wsp_mm.models.heads.integral_3d_head
import wsp_mm.models.heads.relative_depth_head  # noqa: F401  (register what is built)
from wsp_mm.utils import pretrained
from wsp_mm.utils.checkpoint import UntrustedCheckpointError
from wsp_mm.utils.pretrained_parts import PretrainedParts, PretrainedPartsError

BOTH = ('backbone', 'head.deconv_layers')


@pytest.fixture(autouse=True)
def scope(monkeypatch):
    monkeypatch.delenv('LOCAL_RANK', raising=False)
    with DefaultScope.overwrite_default_scope('mmpose'):
        yield


def pretraining(depth=18, channels=8):
    head = dict(
        type='RelativeDepthHead',
        in_channels=512,
        out_channels=16,
        deconv_out_channels=(channels,) * 3,
        depth_hidden=4,
    )
    return dict(type='TopdownPoseEstimator', backbone=dict(type='ResNet', depth=depth), head=head)


def finetuning(parts_cfg=None, **backbone):
    head = dict(
        type='Integral3DHead',
        in_channels=512,
        out_channels=18,
        heatmap_size=(8, 8, 4),
        deconv_out_channels=(8, 8, 8),
    )
    return dict(
        type='TopdownPoseEstimator3D',
        backbone=dict(dict(type='ResNet', depth=18), **backbone),
        head=head,
        init_cfg=parts_cfg,
    )


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    with DefaultScope.overwrite_default_scope('mmpose'):
        torch.manual_seed(7)
        model = MODELS.build(pretraining())
    for parameter in model.parameters():  # what no initialisation would give
        torch.nn.init.uniform_(parameter, 2, 3)
    path = tmp_path_factory.mktemp('wsp') / 'wsp.pth'
    torch.save(dict(state_dict=model.state_dict(), meta=dict(epoch=1)), path)
    return str(path)


def parts(checkpoint, names=('backbone',)):
    return dict(type='PretrainedParts', checkpoint=checkpoint, parts=names)


def loaded(model, checkpoint):
    """Names of the parameters that are those of the checkpoint."""
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    return {
        name
        for name, value in model.named_parameters()
        if name in state and state[name].shape == value.shape and torch.equal(state[name], value)
    }


@pytest.mark.parametrize('names', [('backbone',), BOTH, ['head.deconv_layers']])
def test_the_parts_and_nothing_else_are_loaded(checkpoint, names):
    model = MODELS.build(finetuning(parts(checkpoint, names)))
    model.init_weights()
    wanted = {
        name
        for name, _ in model.named_parameters()
        if name.startswith(tuple(f'{n}.' for n in names))
    }
    assert loaded(model, checkpoint) == wanted
    # the rest had its own initialisation
    assert model.head.final_layer.weight.std().item() == pytest.approx(0.001, rel=0.1)
    if 'backbone' not in names:
        assert model.backbone.conv1.weight.std() > 0.01
    if 'head.deconv_layers' not in names:
        assert model.head.deconv_layers[0].weight.std().item() == pytest.approx(0.001, rel=0.1)


def test_what_is_loaded_wholly_needs_no_initialisation(checkpoint):
    """The ImageNet weights of the backbone are not asked for, neither by the check nor by the
    model.
    """
    nowhere = dict(type='Pretrained', checkpoint='/nowhere/resnet18.pth')
    cfg = Config(dict(model=finetuning(parts(checkpoint), init_cfg=nowhere)))
    pretrained.require_pretrained(cfg)
    model = MODELS.build(cfg.model)
    model.init_weights()
    assert any(name.startswith('backbone.') for name in loaded(model, checkpoint))

    cfg.model.init_cfg = None
    with pytest.raises(SystemExit, match='nowhere'):
        pretrained.require_pretrained(cfg)


@pytest.mark.parametrize(
    ('change', 'names', 'complaints'),
    [
        (dict(depth=34), ('backbone',), ['missing', 'layer1.2.conv1.weight']),
        (dict(depth=50), ('backbone',), ['198 of 318 missing', 'of another shape', '193 more']),
        (
            dict(num_stages=1, strides=(1,), dilations=(1,), out_indices=(0,)),
            ('backbone',),
            ['not in the model: layer2'],
        ),
        (
            dict(in_channels=1),
            ('backbone',),
            [r'\(64, 3, 7, 7\), the model has \(64, 1, 7, 7\)'],
        ),
    ],
)
def test_what_does_not_fit_is_listed_before_anything_else(checkpoint, change, names, complaints):
    model = MODELS.build(finetuning(parts(checkpoint, names), **change))
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(PretrainedPartsError) as error:
        model.init_weights()
    for complaint in complaints:
        assert error.match(complaint)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    with pytest.raises(SystemExit) as stop:
        pretrained.require_pretrained(
            Config(dict(model=finetuning(parts(checkpoint, names), **change)))
        )
    assert 'does not fit' in str(stop.value) and 'model.init_cfg.checkpoint=' in str(stop.value)


def test_a_part_that_the_checkpoint_or_the_model_lacks(checkpoint, tmp_path):
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    torch.save({k: v for k, v in state.items() if k.startswith('head.')}, tmp_path / 'head.pth')
    with pytest.raises(PretrainedPartsError, match='nothing under this name'):
        MODELS.build(finetuning(parts(str(tmp_path / 'head.pth')))).init_weights()
    with pytest.raises(PretrainedPartsError, match="no part 'spine'; it has"):
        MODELS.build(finetuning(parts(checkpoint, ('spine',)))).init_weights()
    torch.save([1, 2], tmp_path / 'list.pth')
    with pytest.raises(PretrainedPartsError, match='no state_dict'):
        MODELS.build(finetuning(parts(str(tmp_path / 'list.pth')))).init_weights()


def test_data_parallel_prefixes_are_ignored(checkpoint, tmp_path):
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    torch.save(
        dict(state_dict={f'module.{k}': v for k, v in state.items()}), tmp_path / 'parallel.pth'
    )
    model = MODELS.build(finetuning(parts(str(tmp_path / 'parallel.pth'))))
    model.init_weights()
    assert 'backbone.conv1.weight' in loaded(model, checkpoint)


class Payload:
    pass


def test_nothing_is_executed(tmp_path):
    torch.save(dict(state_dict={}, meta=Payload()), tmp_path / 'pickle.pth')
    with pytest.raises(UntrustedCheckpointError):
        MODELS.build(finetuning(parts(str(tmp_path / 'pickle.pth')))).init_weights()


@pytest.mark.parametrize('checkpoint_name', [None, '', '/nowhere/wsp.pth'])
def test_a_required_checkpoint_stops_the_run_early(checkpoint_name):
    with pytest.raises(SystemExit) as stop:
        pretrained.require_pretrained(Config(dict(model=finetuning(parts(checkpoint_name)))))
    assert 'model.init_cfg.checkpoint=/path/to/weights.pth' in str(stop.value)


def test_it_belongs_to_the_whole_model(checkpoint):
    """In a backbone it would be half undone: ResNet sets scales of BatchNorm to 0 after its
    init_cfg.
    """
    model = MODELS.build(finetuning(None, init_cfg=parts(checkpoint, ('layer1',))))
    with pytest.raises(ValueError, match='estimator'):
        model.init_weights()
    misplaced = Config(dict(model=finetuning(None, init_cfg=parts(checkpoint, ('layer1',)))))
    with pytest.raises(SystemExit, match=r'model\.backbone\.init_cfg is PretrainedParts'):
        pretrained.require_pretrained(misplaced)


@pytest.mark.parametrize('names', ['backbone', (), ('',), (1,)])
def test_parts_are_names(names):
    with pytest.raises(ValueError, match='parts must be names'):
        PretrainedParts('wsp.pth', names)


def test_a_part_of_a_part_is_not_loaded_twice():
    assert PretrainedParts('a.pth', ('head', 'head.deconv_layers', 'backbone.')).parts == (
        'head',
        'backbone',
    )
    with pytest.raises(ValueError, match='needs a checkpoint'):
        PretrainedParts(None)
