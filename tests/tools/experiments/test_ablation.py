# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import pytest
from ablation import VARIANTS, results_page, rotation_options
from mmengine.config import Config
from networks import read_config
from pose3d import PRETRAININGS


@pytest.mark.parametrize('name', VARIANTS)
def test_switches_change_what_they_name_and_nothing_is_misspelt(name, repo):
    config = str(repo / PRETRAININGS['wsp'][1])
    base, switches = read_config(config), VARIANTS[name][1]
    options = rotation_options(base) if switches is None else switches
    for key, _, _ in (option.partition('=') for option in options):
        node = base
        for part in key.split('.'):
            assert part.isdigit() or part in node or key.endswith('rotate_prob'), key
            node = node[int(part)] if part.isdigit() else node.get(part)
    changed = read_config(config, options)
    assert (changed.to_dict() != base.to_dict()) == bool(options)


def test_rotation_needs_its_transform():
    config = Config(dict(train_dataloader=dict(dataset=dict(pipeline=[dict(type='LoadImage')]))))
    with pytest.raises(ValueError, match='PairRandomBBoxTransform'):
        rotation_options(config)


def test_page():
    row = {'auc_gap1': 90.0, 'auc_gap0.1': 70.0, 'gt_pairs': 80.0}
    controls = {'network, protocol 1': row, 'network, gray image': row | {'auc_gap1': 60.0}}
    scores = {'pck/PCK': 33.3, 'rd/stand_in': 12.5}
    page = results_page({'alpha50': (scores, controls, 61.0)}, 'Config a.')
    assert '12.5 % of the pairs' in page
    assert '| alpha 50 | 33.3 | 90.0 | 70.0 | 60.0 | 70.0 | 80.0 | 61 s |' in page
    assert '## alpha 50\n' in page and '| network, gray image | 60.0 |' in page
