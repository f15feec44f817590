# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import pytest
import torch
from mmengine.config import Config, ConfigDict

from wsp_mm.utils import pretrained


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, '_hub_dir', str(tmp_path / 'hub'))
    monkeypatch.delenv('LOCAL_RANK', raising=False)


def config(init_cfg):
    return Config(dict(model=dict(backbone=dict(type='ResNet', init_cfg=init_cfg))))


def test_every_place_of_a_model_is_looked_at():
    cfg = ConfigDict(
        init_cfg=dict(type='Pretrained', checkpoint='a'),
        backbone=dict(
            init_cfg=[
                dict(type='Normal', std=1),
                dict(type='Pretrained', checkpoint='b', prefix='backbone.'),
            ]
        ),
        necks=[dict(init_cfg=None), dict(init_cfg=dict(type='Pretrained', checkpoint='c'))],
        head=dict(init_cfg=dict(type='Normal', std=1)),
    )
    assert list(pretrained.pretrained_inits(cfg)) == [
        ('model.init_cfg', 'model.init_cfg.checkpoint', 'a'),
        ('model.backbone.init_cfg', 'model.backbone.init_cfg.1.checkpoint', 'b'),
        ('model.necks.1.init_cfg', 'model.necks.1.init_cfg.checkpoint', 'c'),
    ]


@pytest.mark.parametrize(
    'checkpoint',
    ['http://127.0.0.1:9/resnet50.pth', '/nowhere/resnet50.pth', 'torchvision://r50', ''],
)
def test_the_message_is_the_way_on(checkpoint):
    with pytest.raises(SystemExit) as stop:
        pretrained.require_pretrained(config(dict(type='Pretrained', checkpoint=checkpoint)))
    message = str(stop.value)
    assert checkpoint in message
    options = [
        line.split('--cfg-options ')[1] for line in message.splitlines() if '--cfg-options' in line
    ]
    assert options == [
        'model.backbone.init_cfg=None',
        'model.backbone.init_cfg.checkpoint=/path/to/weights.pth',
    ]


def test_both_ways_on_work(tmp_path):
    torch.save({'conv1.weight': torch.zeros(1)}, tmp_path / 'w.pth')
    missing = dict(type='Pretrained', checkpoint='/nowhere.pth')
    for options in (
        {'model.backbone.init_cfg': None},
        {'model.backbone.init_cfg.checkpoint': str(tmp_path / 'w.pth')},
    ):
        cfg = config(dict(missing))
        cfg.merge_from_dict(options)
        pretrained.require_pretrained(cfg)


def test_only_one_process_a_node_asks(monkeypatch):
    monkeypatch.setenv('LOCAL_RANK', '1')
    pretrained.require_pretrained(config(dict(type='Pretrained', checkpoint='/nowhere.pth')))


def test_nothing_to_fetch():
    pretrained.require_pretrained(config(None))
    pretrained.require_pretrained(Config(dict(a=1)))
