# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""PoseNet restated from its description, so that the converted weights have something to agree
with.
"""

import runpy
import sys
from collections import OrderedDict
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import DefaultScope
from mmpose.registry import MODELS, TRANSFORMS
from mmpose.structures import PoseDataSample
from torch import nn
from torchvision.models import resnet

import wsp_mm.codecs.integral_3d
import wsp_mm.datasets.transforms.person_crop
import wsp_mm.models.estimators.topdown_3d
import wsp_mm.models.heads.integral_3d_head  # noqa: F401  (register what is built)
from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.utils.checkpoint import TRUST_ENV, UntrustedCheckpointError
from wsp_mm.utils.config import load_config
from wsp_mm.utils.posenet_weights import (
    CONFIGS,
    PoseNetSnapshotError,
    convert_snapshot,
    describe,
    model_options,
)

REPO = Path(__file__).parents[2]
TOOL = REPO / 'tools' / 'model_converters' / 'posenet_to_wsp.py'
CONFIG = REPO / 'configs' / 'posenet_compat' / 'posenet_h36m_r50.py'


def run_tool(monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, arguments)])
    runpy.run_path(str(TOOL), run_name='__main__')


class Restated(nn.Module):
    """torchvision's ResNet without its classifier, three deconvolutions of 256 channels (kernel 4,
    stride 2), a 1x1 convolution to joints x layers, softmax over a joint's volume, expectations."""

    def __init__(self, depth, joints, layers=64):
        super().__init__()
        full = getattr(resnet, f'resnet{depth}')()
        names = ('conv1', 'bn1', 'relu', 'maxpool', 'layer1', 'layer2', 'layer3', 'layer4')
        self.backbone = nn.Sequential(OrderedDict((name, getattr(full, name)) for name in names))
        channels, deconvs = full.fc.in_features, []
        for _ in range(3):
            deconvs += [
                nn.ConvTranspose2d(channels, 256, 4, 2, 1, bias=False),
                nn.BatchNorm2d(256),
                nn.ReLU(),
            ]
            channels = 256
        self.head = nn.Module()
        self.head.deconv_layers = nn.Sequential(*deconvs)
        self.head.final_layer = nn.Conv2d(256, joints * layers, 1)
        self.joints, self.layers = joints, layers
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.5, 1)
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
        nn.init.normal_(self.head.final_layer.weight, std=0.3)

    def forward(self, pictures):
        maps = self.head.final_layer(self.head.deconv_layers(self.backbone(pictures)))
        volume = maps.reshape(len(maps), self.joints, self.layers, *maps.shape[2:])
        volume = F.softmax(volume.flatten(2), 2).view_as(volume)
        answer = []
        for axis in (4, 3, 2):
            index = torch.arange(volume.shape[axis]).float()
            others = [a for a in (2, 3, 4) if a != axis]
            answer.append((volume.sum(others) * index).sum(-1))
        return torch.stack(answer, -1)


def write_snapshot(path, depth=18, joints=18, prefix='module.', epoch=24, **extra):
    torch.manual_seed(depth)
    network = Restated(depth, joints).eval()
    optimizer = torch.optim.Adam(network.parameters())
    state = {f'{prefix}{key}': value for key, value in network.state_dict().items()}
    torch.save(dict(epoch=epoch, network=state, optimizer=optimizer.state_dict(), **extra), path)
    return network


def our_model(facts):
    cfg = dict(
        type='TopdownPoseEstimator3D',
        backbone=dict(type='ResNet', depth=50),
        head=dict(type='Integral3DHead', in_channels=2048, decoder=dict(type='Integral3DLabel')),
    )
    for name, value in model_options(facts).items():
        node = cfg
        *parents, last = name.split('.')[1:]
        for parent in parents:
            node = node[parent]
        node[last] = value
    with DefaultScope.overwrite_default_scope('mmpose'):
        return MODELS.build(cfg).eval()


@pytest.mark.parametrize(
    ('depth', 'joints', 'joint_set'), [(18, 18, 'h36m18'), (34, 21, 'muco21'), (50, 18, 'h36m18')]
)
def test_same_coordinates_for_the_same_input(tmp_path, depth, joints, joint_set):
    theirs = write_snapshot(tmp_path / 'snapshot_24.pth.tar', depth, joints)
    checkpoint = convert_snapshot(tmp_path / 'snapshot_24.pth.tar')
    facts = checkpoint['meta']['posenet']
    assert (facts['depth'], facts['num_joints'], facts['joint_set']) == (depth, joints, joint_set)
    assert facts['epoch'] == 24 and facts['file'] == 'snapshot_24.pth.tar'
    ours = our_model(facts)
    ours.load_state_dict(checkpoint['state_dict'], strict=True)
    pictures = 1000 * torch.rand(1, 3, 256, 256)  # the values that PoseNet's scaling gives
    with torch.no_grad():
        expected, found = theirs(pictures), ours(pictures, None, mode='tensor')
    assert expected.std() > 1  # not all in the middle
    assert (found - expected).abs().max() <= 1e-3


def test_whom_a_snapshot_has_seen(tmp_path, monkeypatch, capsys):
    write_snapshot(tmp_path / 's.pth.tar', joints=21)
    for words, subjects in ((['1', '9'], [1, 9]), ([], [])):
        run_tool(
            monkeypatch, tmp_path / 's.pth.tar', tmp_path / 'o.pth', '--train-subjects', *words
        )
        assert (
            torch.load(tmp_path / 'o.pth', weights_only=True)['meta']['train_subjects'] == subjects
        )
    assert (
        'Its config: configs/posenet_compat/posenet_muco_r50.py --cfg-options'
        in capsys.readouterr().out
    )
    run_tool(monkeypatch, tmp_path / 's.pth.tar', tmp_path / 'o.pth')
    assert 'train_subjects' not in torch.load(tmp_path / 'o.pth', weights_only=True)['meta']
    with pytest.raises(SystemExit, match='no poses of subject 2'):
        run_tool(monkeypatch, tmp_path / 's.pth.tar', tmp_path / 'o.pth', '--train-subjects', 2)


@pytest.mark.parametrize(('joint_set', 'joints'), [('h36m18', 18), ('muco21', 21)])
def test_the_config_named_holds_the_network(joint_set, joints):
    """It predicts with the flip test on, as the config has it."""
    facts = dict(
        depth=18, in_channels=512, num_joints=joints, depth_cells=64, deconv_out_channels=[8, 8, 8]
    )
    config = load_config(REPO / CONFIGS[joint_set], model_options(facts))
    assert config.model.test_cfg == dict(flip_test=True, flip_mode='posenet')
    assert config.test_dataloader.dataset.pipeline[0].color_type == 'color_ignore_orientation'
    with DefaultScope.overwrite_default_scope('mmpose'):
        model = MODELS.build(config.model).eval()
    sample = PoseDataSample(
        metainfo=dict(input_size=(256, 256), flip_indices=get_joint_set(joint_set).flip_indices)
    )
    features = (torch.rand(1, 512, 8, 8),)
    answer = model.head.predict([features, features], [sample], config.model.test_cfg)
    assert answer[0].keypoints.shape == (1, joints, 2)
    assert answer[0].keypoints_depth.shape == (1, joints)


@pytest.mark.parametrize('depth', [101, 152])
def test_deeper_networks_are_recognised(depth):
    with torch.device('meta'):
        full = getattr(resnet, f'resnet{depth}')()
    state = {f'backbone.{k}': v for k, v in full.state_dict().items() if not k.startswith('fc.')}
    state['head.deconv_layers.0.weight'] = torch.empty(2048, 256, 4, 4, device='meta')
    state['head.final_layer.weight'] = torch.empty(18 * 64, 256, 1, 1, device='meta')
    assert describe(state)['depth'] == depth


def test_the_tool_writes_what_the_package_loads(tmp_path, monkeypatch, capsys):
    write_snapshot(tmp_path / 's.pth.tar', prefix='')  # a network saved without DataParallel
    out = tmp_path / 'new' / 'posenet.pth'
    run_tool(monkeypatch, tmp_path / 's.pth.tar', out)
    assert 'ResNet-18, 18 joints (h36m18)' in capsys.readouterr().out
    checkpoint = torch.load(out, weights_only=True)
    our_model(checkpoint['meta']['posenet']).load_state_dict(checkpoint['state_dict'], strict=True)
    assert list(out.parent.iterdir()) == [out]


class Payload:
    pass


def test_nothing_in_a_snapshot_is_executed_unasked(tmp_path, monkeypatch):
    write_snapshot(tmp_path / 's.pth.tar', logger=Payload())
    with pytest.raises(UntrustedCheckpointError, match='trust'):
        convert_snapshot(tmp_path / 's.pth.tar')
    with pytest.raises(SystemExit, match='--trust-checkpoint'):
        run_tool(monkeypatch, tmp_path / 's.pth.tar', tmp_path / 'o.pth')
    assert not (tmp_path / 'o.pth').exists()
    # on the user's word it is read; the variable is put back by monkeypatch
    monkeypatch.setenv(TRUST_ENV, '0')
    run_tool(monkeypatch, tmp_path / 's.pth.tar', tmp_path / 'o.pth', '--trust-checkpoint')
    assert torch.load(tmp_path / 'o.pth', weights_only=True)['meta']['posenet']['depth'] == 18


def test_what_is_no_snapshot_is_said(tmp_path):
    path = tmp_path / 's.pth.tar'
    torch.save(dict(state_dict={}), path)
    with pytest.raises(PoseNetSnapshotError, match=r"no 'network'.*it holds: state_dict"):
        convert_snapshot(path)
    torch.save(dict(network={'module.fc.weight': torch.zeros(1)}), path)
    with pytest.raises(
        PoseNetSnapshotError, match=r"'module.fc.weight' is not a weight of PoseNet"
    ):
        convert_snapshot(path)
    write_snapshot(path, joints=19)
    with pytest.raises(
        PoseNetSnapshotError, match=r's\.pth\.tar: .*19 joints of 64 layers; known are 18'
    ):
        convert_snapshot(path)
    write_snapshot(path)
    snapshot = torch.load(path, weights_only=True)
    for key in [key for key in snapshot['network'] if '.layer3.1.' in key]:
        del snapshot['network'][key]
    torch.save(snapshot, path)
    with pytest.raises(PoseNetSnapshotError, match=r'\(2, 2, 1, 2\) blocks of two'):
        convert_snapshot(path)


def posenet_input(picture, box):
    """PoseNet's crop, restated: box (x, y, w, h) clipped, squared, x 1.25; its corners to those of
    256 x 256; RGB values of 0 to 255 less ImageNet's mean, over its deviation, as if they were of 0
    to 1."""
    height, width = picture.shape[:2]
    left, top = max(0, box[0]), max(0, box[1])
    right, bottom = min(width - 1, left + box[2] - 1), min(height - 1, top + box[3] - 1)
    side = 1.25 * max(right - left, bottom - top)
    zoom = 256 / side
    x, y = (left + right - side) / 2, (top + bottom - side) / 2
    crop = cv2.warpAffine(
        picture, np.array([[zoom, 0, -x * zoom], [0, zoom, -y * zoom]]), (256, 256)
    )
    rgb = crop[..., ::-1].astype(np.float32)
    return (rgb - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])


@pytest.mark.parametrize(
    'box', [(40.5, 30.25, 120.0, 200.0), (-20.0, 100.0, 300.0, 90.0), (250, 5, 100, 400)]
)
def test_the_config_feeds_a_picture_as_posenet_does(tmp_path, box):
    rng = np.random.default_rng(0)
    picture = cv2.resize(
        rng.integers(0, 256, (24, 32, 3), dtype=np.uint8), (320, 240), interpolation=cv2.INTER_CUBIC
    )
    cv2.imwrite(str(tmp_path / 'p.png'), picture)
    cfg = load_config(CONFIG)
    x, y, w, h = box
    results = dict(
        img_path=str(tmp_path / 'p.png'), bbox=np.array([[x, y, x + w, y + h]], np.float32)
    )
    with DefaultScope.overwrite_default_scope('mmpose'):
        for step in cfg.test_dataloader.dataset.pipeline[:-1]:
            results = TRANSFORMS.build(step)(results)
        preprocessor = MODELS.build(cfg.model.data_preprocessor)
    sample = PoseDataSample(metainfo=dict(input_size=(256, 256)))
    inputs = torch.from_numpy(results['img']).permute(2, 0, 1)
    found = (
        preprocessor(dict(inputs=[inputs], data_samples=[sample]))['inputs'][0]
        .permute(1, 2, 0)
        .numpy()
    )
    expected = posenet_input(picture, box)
    # the last bit of the warp's matrix may round a grey value the other way: 1 / 0.225
    assert np.abs(found - expected).max() <= 4.5 and np.abs(found - expected).mean() < 0.01
    assert found.max() > 500

    # So the same picture and box end in the same cells, with PoseNet's flip average (64 - 1 - x) as
    # well.
    theirs = write_snapshot(tmp_path / 's.pth.tar')
    checkpoint = convert_snapshot(tmp_path / 's.pth.tar')
    model = our_model(checkpoint['meta']['posenet'])
    model.load_state_dict(checkpoint['state_dict'])
    swap = list(get_joint_set('h36m18').flip_indices)
    sample.set_metainfo(dict(flip_indices=swap))
    own, other = (
        torch.from_numpy(np.ascontiguousarray(x.transpose(2, 0, 1)))[None]
        for x in (found, expected)
    )
    with torch.no_grad():
        cells, mirrored = theirs(other), theirs(other.flip(-1))[:, swap]
        mirrored[..., 0] = 64 - 1 - mirrored[..., 0]
        features = [model.extract_feat(inputs) for inputs in (own, own.flip(-1))]
        for cfg, feats, answer in (
            (dict(flip_test=False), features[0], cells),
            (dict(flip_test=True, flip_mode='posenet'), features, (cells + mirrored) / 2),
        ):
            (ours,) = model.head.predict(feats, [sample], cfg)
            assert np.abs(ours.keypoints_cells[0] - answer[0].numpy()).max() <= 0.05
    assert cells.std() > 1


def test_the_config_loads_a_converted_checkpoint_strictly(tmp_path):
    write_snapshot(tmp_path / 's.pth.tar', depth=50)
    checkpoint = convert_snapshot(tmp_path / 's.pth.tar')
    cfg = load_config(CONFIG, model_options(checkpoint['meta']['posenet']))
    with DefaultScope.overwrite_default_scope('mmpose'):
        model = MODELS.build(cfg.model)
    model.load_state_dict(checkpoint['state_dict'], strict=True)
    assert model.test_cfg.flip_mode == 'posenet'
    assert {
        step.color_type
        for step in cfg.val_dataloader.dataset.pipeline
        if step.type == 'ReadPicture'
    } == {'color_ignore_orientation'}
