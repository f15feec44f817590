# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The detectors' configs: thin over mmdet's own, of one class, built as the tools would build
them.
"""

from pathlib import Path

import pytest
from mmdet.registry import MODELS, TRANSFORMS
from mmengine.registry import DefaultScope

from wsp_mm.utils.config import load_config

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted(
    path.relative_to(ROOT).as_posix() for path in (ROOT / 'configs').rglob('*_person.py')
)
QUICKSTART = 'configs/quickstart/rtmdet_tiny_person.py'


def test_there_are_detectors():
    assert {
        'configs/detectors/rtmdet_m_person.py',
        'configs/detectors/faster-rcnn_r50_person.py',
    } < set(CONFIGS)
    assert QUICKSTART in CONFIGS


@pytest.mark.parametrize('name', CONFIGS)
def test_builds(name):
    config = load_config(ROOT / name)
    assert config.default_scope == 'mmdet' and 'wsp_mm.register' in config.custom_imports.imports
    hooks = [hook['type'] for hook in config.custom_hooks]
    assert {'mmpose.RunInfoHook', 'mmpose.PublishedWeightsHook'} <= set(hooks)
    config.model.backbone.init_cfg = None  # no downloads in tests
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(config.model)
        for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
            if 'coco80' not in name:
                assert tuple(loader.dataset.metainfo.classes) == ('person',)
            for step in loader.dataset.pipeline:
                TRANSFORMS.build(step)
    head = model.bbox_head if hasattr(model, 'bbox_head') else model.roi_head.bbox_head
    assert head.num_classes == (80 if 'coco80' in name else 1)
    assert config.test_dataloader == config.val_dataloader


@pytest.mark.parametrize('name', CONFIGS)
def test_are_thin(name):
    limit = 110 if 'quickstart' in name else 30
    text = (ROOT / name).read_text()
    assert len(text.splitlines()) <= limit
    if 'quickstart' not in name:
        assert "_base_ = 'mmdet::" in text and 'https://' in text, (
            'over mmdet, and where the weights are'
        )


def test_quickstart_needs_nothing_but_the_world():
    config = load_config(ROOT / QUICKSTART, {'data_root': '/somewhere'})
    assert config.model.backbone.init_cfg is None and not config.get('load_from')
    loaders = (config.train_dataloader, config.val_dataloader, config.test_dataloader)
    assert {loader.dataset.data_root for loader in loaders} == {'/somewhere/'}
    # The metric takes the truth from the samples: one option moves everything.
    assert config.val_evaluator.ann_file is None and config.test_evaluator.ann_file is None
    assert 'SyncBN' not in str(config.model)
    assert config.param_scheduler[1].T_max == config.train_cfg.max_epochs


def test_80_classes_are_named_by_mmdet():
    """The config says nothing about classes: they are those of mmdet's CocoDataset, person among
    them.
    """
    from wsp_mm.apis.detection import _build, _classes, _label

    config = load_config(ROOT / 'configs/detectors/rtmdet_m_coco80_person.py')
    with DefaultScope.overwrite_default_scope('mmdet'):
        model, _ = _build(config)
    classes = _classes(dict(state_dict={}), config, model, 'c.py')
    assert len(classes) == 80 and _label(classes, 'person', 'c.py') == 0
