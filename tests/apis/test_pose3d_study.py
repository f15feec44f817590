# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json
from pathlib import Path

import pytest

from wsp_mm.apis.pose3d_study import PoseStudy, data_files, dataset_types
from wsp_mm.apis.steps import StepFailed


def make(pose_steps, **changes):
    return PoseStudy(
        pose_steps,
        **{**dict(name='a', config='config.py', data_root='data', work_dir=Path('run')), **changes},
    )


def test_data_files_are_those_of_the_data_sets_named(pose_steps, calls):
    from wsp_mm.utils.cli import load_config

    config = load_config(pose_steps.root / 'config.py')
    assert set(dataset_types([config.train_dataloader])) == {
        'SeededCombinedDataset',
        'H36MImageDataset',
        'MCPCDataset',
    }
    names = [str(file) for file in data_files(config, pose_steps.root, 'data')]
    assert names == [
        'data/human36m/arrays/header.json',
        'data/mcpc/mcpc_train.json',
    ]
    with pytest.raises(StepFailed, match='nowhere holds none of'):
        data_files(config, pose_steps.root, 'nowhere')


def test_commands_are_the_tools_own(pose_steps, calls):
    (pose_steps.root / 'wsp.pth').write_text('weights')
    study = make(
        pose_steps,
        train_options=['a.actions=[Walking]'],
        options=['k=1'],
        pretrained=Path('wsp.pth'),
    )
    study.train()
    assert study.test()['h36m/MPJPE'] == 50.0
    train, test = calls()
    options = 'model.init_cfg.checkpoint=wsp.pth a.actions=[Walking] k=1'
    assert train == f'config.py --work-dir run --resume --cfg-options {options}'
    assert test.startswith(
        'config.py run/epoch_1.pth --work-dir run/test --dump run/test/predictions.npz'
    )
    assert test.endswith('--cfg-options k=1')  # tested on all actions
    assert study.seconds >= 0


def test_done_is_done_and_a_change_begins_anew(pose_steps, calls):
    study = make(pose_steps)
    study.train(), study.test()
    study.train(), study.test()
    assert len(calls()) == 2
    kept = pose_steps.root / 'run' / 'epoch_1.pth'
    kept.write_text('weights of before')
    config = pose_steps.root / 'config.py'
    for change in (
        lambda: (pose_steps.root / 'data/mcpc/mcpc_train.json').write_text('{"images": []}'),
        lambda: config.write_text(config.read_text() + 'more = 1\n'),
        lambda: setattr(study, 'train_options', ['a.actions=[Eating]']),
        lambda: setattr(study, 'options', ['k=2']),
    ):
        kept.write_text('weights of before')
        change()
        study.train()
        assert kept.read_text() == 'weights'
        aside = sorted((pose_steps.root).glob('run.old-*'), key=lambda p: int(p.suffix[5:]))
        assert (aside[-1] / 'epoch_1.pth').read_text() == 'weights of before'  # may have cost days
    assert len(aside) == 4


def test_a_start_that_is_missing_stops_and_a_new_one_begins_anew(pose_steps, calls):
    for changes in (
        dict(pretrained=Path('none.pth')),
        dict(options=['model.init_cfg.checkpoint=none.pth']),
    ):
        with pytest.raises(StepFailed, match=r'starts from none\.pth, which does not exist'):
            make(pose_steps, **changes).train()
    start = pose_steps.root / 'wsp.pth'
    start.write_text('1')
    study = make(pose_steps, options=['model.init_cfg.checkpoint=wsp.pth'])
    study.train()
    study.train()
    assert len(calls()) == 1
    start.write_text('another')
    study.train()
    assert len(calls()) == 2


def test_cross_action(pose_steps, calls):
    from wsp_mm.apis.cross_action import run_cross_action

    (pose_steps.root / 'wsp.pth').write_text('weights')
    arguments = (pose_steps, 'config.py', 'data', Path('cross'))
    with pytest.raises(ValueError, match=r"unknown actions \['Dancing'\]"):
        run_cross_action(*arguments, actions=['Dancing'])
    run_cross_action(*arguments, actions=['Walking'])
    metrics = run_cross_action(*arguments, actions=['Walking', 'Eating'])
    assert list(metrics) == ['Eating', 'Walking'] and len(calls()) == 4  # Walking was done
    assert sum('datasets.0.actions=[Eating]' in call for call in calls()) == 1
    text = (pose_steps.root / 'cross' / 'cross_action.md').read_text()
    assert '2 of 15 models' in text and '| PA-MPJPE (rigid) | - | - | 53.0 |' in text
    plain = json.loads((pose_steps.root / 'cross' / 'cross_action.json').read_text())
    assert (
        plain['Walking']['h36m/MPJPE_action_Posing'] is None
        and plain['Eating']['h36m/MPJPE'] == 50.0
    )
