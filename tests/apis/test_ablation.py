# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from pathlib import Path

import pytest
from mmengine.config import Config

from wsp_mm.apis.ablation import VARIANTS, results_page, rotation_options
from wsp_mm.utils.cli import load_config

ROOT = Path(__file__).resolve().parents[2]
CONFIG = 'configs/quickstart/wsp_pretrain_r18.py'


@pytest.mark.parametrize('name', VARIANTS)
def test_switches_change_what_they_name_and_nothing_is_misspelt(name):
    base = load_config(ROOT / CONFIG)
    _, switches, rotated = VARIANTS[name]
    options = dict(
        option.split('=') for option in switches + (rotation_options(base) if rotated else [])
    )
    for key in options:
        node = base
        for part in key.split('.'):
            assert part.isdigit() or part in node or key.endswith('rotate_prob'), (
                f'{key} is no setting'
            )
            node = node[int(part)] if part.isdigit() else node.get(part)
    changed = load_config(ROOT / CONFIG, options)
    assert (changed.pretty_text != base.pretty_text) == bool(options)


def test_rotation_needs_its_transform():
    config = Config(dict(train_dataloader=dict(dataset=dict(pipeline=[dict(type='LoadImage')]))))
    with pytest.raises(ValueError, match='PairRandomBBoxTransform'):
        rotation_options(config)


def test_page():
    row = dict(auc_gap1=90.0, gt_pairs=80.0)
    row['auc_gap0.1'] = 70.0
    tables = {
        'alpha50': {'network, protocol 1': row, 'network, grey picture': row | {'auc_gap1': 60.0}}
    }
    steps = type('Steps', (), {'seconds': {'alpha50-train': 61.0}})
    page = results_page(tables, {'alpha50': {'pck/PCK': 33.3}}, steps, 'config.py', [])
    assert '| alpha 50 | 33.3 | 90.0 | 70.0 | 60.0 | 70.0 | 80.0 | 61 s |' in page
    assert '## alpha 50\n' in page and '| network, grey picture | 60.0 |' in page
