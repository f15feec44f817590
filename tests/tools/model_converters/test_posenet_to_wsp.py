# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""PoseNet restated from its description, so that converted weights have something to agree with."""

import sys
from collections import OrderedDict
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmpose.registry import MODELS, TRANSFORMS
from mmpose.structures import PoseDataSample
from torch import nn
from torchvision.models import resnet

import wsp_mm.register  # noqa: F401
from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.utils.checkpoint import TRUST_ENV, UntrustedCheckpointError
from wsp_mm.utils.cli import load_config

REPO = Path(__file__).parents[3]


@pytest.fixture(scope='module')
def tool(load_tool):
    return load_tool('model_converters/posenet_to_wsp')


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
            deconv = nn.ConvTranspose2d(channels, 256, 4, 2, 1, bias=False)
            deconvs += [deconv, nn.BatchNorm2d(256), nn.ReLU()]
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

    def forward(self, images):
        maps = self.head.final_layer(self.head.deconv_layers(self.backbone(images)))
        volume = maps.reshape(len(maps), self.joints, self.layers, *maps.shape[2:])
        volume = F.softmax(volume.flatten(2), 2).view_as(volume)
        answer = []
        for axis in (4, 3, 2):
            index = torch.arange(volume.shape[axis]).float()
            others = [a for a in (2, 3, 4) if a != axis]
            answer.append((volume.sum(others) * index).sum(-1))
        return torch.stack(answer, -1)


def write_snapshot(path, depth=18, joints=18, prefix='module.', **extra):
    torch.manual_seed(depth)
    network = Restated(depth, joints).eval()
    optimizer = torch.optim.Adam(network.parameters())
    state = {f'{prefix}{key}': value for key, value in network.state_dict().items()}
    torch.save(dict(epoch=24, network=state, optimizer=optimizer.state_dict(), **extra), path)
    return network


def build(tool, facts, **options):
    """The config that the converter names, as a user would test with it."""
    config = load_config(REPO / facts['config'], tool.model_options(facts) | options)
    return config, MODELS.build(config.model).eval()


@pytest.mark.parametrize(
    ('depth', 'joints', 'joint_set'), [(18, 18, 'h36m18'), (34, 21, 'muco21'), (50, 18, 'h36m18')]
)
def test_same_coordinates_for_the_same_input(tool, tmp_path, depth, joints, joint_set):
    theirs = write_snapshot(tmp_path / 'snapshot_24.pth.tar', depth, joints)
    checkpoint = tool.convert_snapshot(tmp_path / 'snapshot_24.pth.tar')
    facts = checkpoint['meta']['posenet']
    assert (facts['depth'], facts['num_joints'], facts['joint_set']) == (depth, joints, joint_set)
    assert (facts['epoch'], facts['file']) == (24, 'snapshot_24.pth.tar')
    config, ours = build(tool, facts)
    ours.load_state_dict(checkpoint['state_dict'], strict=True)
    images = 1000 * torch.rand(1, 3, 256, 256)  # the values that PoseNet's scaling gives
    with torch.no_grad():
        expected, found = theirs(images), ours(images, None, mode='tensor')
    assert expected.std() > 1  # not all in the middle
    assert (found - expected).abs().max() <= 1e-3

    # It predicts with PoseNet's flip test on, and from images as PoseNet reads them.
    assert config.model.test_cfg == dict(flip_test=True, flip_mode='posenet')
    for loader in (config.train_dataloader, config.test_dataloader):
        assert loader.dataset.pipeline[0].color_type == 'color_ignore_orientation'


@pytest.mark.parametrize('depth', [101, 152])
def test_deeper_networks_are_recognised(tool, depth):
    with torch.device('meta'):
        full = getattr(resnet, f'resnet{depth}')()
        state = {f'backbone.{k}': v for k, v in full.state_dict().items()}
        for i in range(3):
            state[f'head.deconv_layers.{3 * i}.weight'] = torch.empty(2048, 256, 4, 4)
        state['head.final_layer.weight'] = torch.empty(18 * 64, 256, 1, 1)
    assert tool.describe(state)['depth'] == depth


class Payload:
    pass


def test_the_command_line(tool, tmp_path, monkeypatch, capsys):
    snapshot, out = tmp_path / 's.pth.tar', tmp_path / 'new' / 'posenet.pth'

    def run(*words):
        monkeypatch.setattr(sys, 'argv', ['posenet_to_wsp', str(snapshot), str(out), *words])
        tool.main()
        return torch.load(out, weights_only=True)

    write_snapshot(snapshot, joints=21, prefix='')  # a network saved without DataParallel
    assert 'train_subjects' not in run()['meta']
    text = capsys.readouterr().out
    assert 'ResNet-18, 21 joints (muco21)' in text
    assert 'posenet_muco_r50.py --cfg-options model.backbone.depth="18"' in text
    assert list(out.parent.iterdir()) == [out]
    for words, subjects in ((['1', '9'], [1, 9]), ([], [])):
        assert run('--train-subjects', *words)['meta']['train_subjects'] == subjects
    with pytest.raises(SystemExit, match=r'got \[2\]'):
        run('--train-subjects', '2')

    write_snapshot(snapshot, logger=Payload())  # nothing is executed unasked
    monkeypatch.setenv(TRUST_ENV, '0')  # put back at the end
    with pytest.raises(UntrustedCheckpointError):
        tool.convert_snapshot(snapshot)
    with pytest.raises(SystemExit, match='--trust-checkpoint'):
        run()
    assert run('--trust-checkpoint')['meta']['posenet']['depth'] == 18


def test_files_that_are_no_snapshot(tool, tmp_path):
    path = tmp_path / 's.pth.tar'
    write_snapshot(path)
    network = torch.load(path, weights_only=True)['network']
    short = {key: value for key, value in network.items() if '.layer3.1.' not in key}
    headless = {key: value for key, value in network.items() if '.final_layer.' not in key}
    for content, complaint in (
        (dict(state_dict={}), 'network'),
        ([1], 'network'),
        (dict(network={'module.fc.weight': torch.zeros(1)}), r'fc\.weight'),
        (dict(network=short), r'\(2, 2, 1, 2\)'),
        (dict(network=headless), 'final layer'),
    ):
        torch.save(content, path)
        with pytest.raises(ValueError, match=complaint):
            tool.convert_snapshot(path)
    write_snapshot(path, joints=19)
    with pytest.raises(ValueError, match='19 joints'):
        tool.convert_snapshot(path)


def posenet_input(image, box):
    """PoseNet's crop, restated: box (x, y, w, h) clipped, squared, x 1.25; its corners to those of
    256 x 256; RGB values of 0 to 255 less ImageNet's mean, over its deviation, as if they were of 0
    to 1."""
    height, width = image.shape[:2]
    left, top = max(0, box[0]), max(0, box[1])
    right, bottom = min(width - 1, left + box[2] - 1), min(height - 1, top + box[3] - 1)
    side = 1.25 * max(right - left, bottom - top)
    zoom = 256 / side
    x, y = (left + right - side) / 2, (top + bottom - side) / 2
    matrix = np.array([[zoom, 0, -x * zoom], [0, zoom, -y * zoom]])
    rgb = cv2.warpAffine(image, matrix, (256, 256))[..., ::-1].astype(np.float32)
    return (rgb - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])


@pytest.mark.parametrize(
    'box', [(40.5, 30.25, 120.0, 200.0), (-20.0, 100.0, 300.0, 90.0), (250, 5, 100, 400)]
)
def test_the_same_image_and_box_end_in_the_same_coordinates(tool, tmp_path, box):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
    image = cv2.resize(noise, (320, 240), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(tmp_path / 'p.png'), image)
    theirs = write_snapshot(tmp_path / 's.pth.tar')
    checkpoint = tool.convert_snapshot(tmp_path / 's.pth.tar')
    config, model = build(tool, checkpoint['meta']['posenet'])
    model.load_state_dict(checkpoint['state_dict'])

    x, y, w, h = box
    bbox = np.array([[x, y, x + w, y + h]], np.float32)
    results = dict(img_path=str(tmp_path / 'p.png'), bbox=bbox)
    for step in config.test_dataloader.dataset.pipeline[:-1]:
        results = TRANSFORMS.build(step)(results)
    swap = list(get_joint_set('h36m18').flip_indices)
    sample = PoseDataSample(metainfo=dict(input_size=(256, 256), flip_indices=swap))
    data = dict(inputs=[torch.from_numpy(results['img']).permute(2, 0, 1)], data_samples=[sample])
    own = model.data_preprocessor(data)['inputs']
    other = torch.from_numpy(posenet_input(image, box)).permute(2, 0, 1)[None]
    # the last bit of the warp's matrix may round a gray value the other way: 1 / 0.225
    assert (own - other).abs().max() <= 4.5 and (own - other).abs().mean() < 0.01
    assert own.max() > 500

    with torch.no_grad():
        expected, mirrored = theirs(other), theirs(other.flip(-1))[:, swap]
        mirrored[..., 0] = 64 - 1 - mirrored[..., 0]
        features = [model.extract_feat(inputs) for inputs in (own, own.flip(-1))]
        for cfg, feats, answer in (
            (dict(flip_test=False), features[0], expected),
            (dict(flip_test=True, flip_mode='posenet'), features, (expected + mirrored) / 2),
        ):
            (ours,) = model.head.predict(feats, [sample], cfg)
            assert np.abs(ours.keypoints_heatmap[0] - answer[0].numpy()).max() <= 0.05
    assert expected.std() > 1
