# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import math
from pathlib import Path

from wsp_mm.apis.rd_report import noise_rows, summary
from wsp_mm.apis.rd_study import RelativeDepthStudy
from wsp_mm.apis.steps import Steps


def test_summary_is_flat_and_has_no_nan():
    flat = summary({'rd/AUC': 1.0}, {'rd/AUC': math.nan}, {'rule': {'gt_pairs': 2.0}})
    assert flat == {'p1/rd/AUC': 1.0, 'p2/rd/AUC': None, 'control/rule/gt_pairs': 2.0}


def test_commands_are_the_tools_own(tmp_path, monkeypatch):
    calls = []
    steps = Steps(tmp_path / 'steps', tmp_path)
    monkeypatch.setattr(steps, 'run', lambda name, command, **kwargs: calls.append((name, command)))
    mcpc = tmp_path / 'data' / 'w' / 'mcpc' / 'mcpc_train.json'
    mcpc.parent.mkdir(parents=True)
    mcpc.write_text('{}')
    study = RelativeDepthStudy(
        steps, 'x', 'configs/a.py', 'data/w', tmp_path / 'run', options=['k=1']
    )
    study.train()
    (study.work_dir / 'last_checkpoint').write_text('run/epoch_2.pth')
    study.test('grey picture')
    (train_name, train), (test_name, test) = calls
    assert (
        train_name == 'x-train'
        and train[:2] == ['tools/train.py', 'configs/a.py']
        and '--resume' in train
    )
    assert train[-2:] == ['--cfg-options', 'k=1']
    assert (
        test_name == 'x-test-grey'
        and test[1] == 'configs/a_gray.py'
        and str(test[2]) == 'run/epoch_2.pth'
    )


def test_noise_rows_leave_out_empty_bins():
    noise = {'person/all/all': 8.0, 'joint/all/all': 9.0, 'n/all/all': 50, 'ties': 3}
    noise |= {
        'person/roll/4_8': 17.0,
        'joint/roll/4_8': 18.0,
        'n/roll/4_8': 7,
        'n_joint/roll/4_8': 70,
    }
    noise |= {'person/roll/from_8': None, 'joint/roll/from_8': None, 'n/roll/from_8': 0}
    _, rows = noise_rows(noise)
    assert rows == [['all', 8.0, 9.0, 50], ['roll 4 8', 17.0, 18.0, 7]]


def test_checkpoints_of_another_training_are_not_gone_on_from(tmp_path, monkeypatch):
    steps = Steps(tmp_path / 'steps', tmp_path)
    monkeypatch.setattr(steps, 'run', lambda *args, **kwargs: None)
    mcpc = tmp_path / 'data' / 'mcpc' / 'mcpc_train.json'
    mcpc.parent.mkdir(parents=True)
    mcpc.write_text('{}')
    study = RelativeDepthStudy(steps, 'x', 'configs/a.py', 'data', Path('run'), options=['k=1'])
    checkpoint = tmp_path / 'run' / 'epoch_1.pth'

    def survives(change):
        study.train('text')
        checkpoint.write_text('weights')
        text = change() or 'text'
        study.train(text)
        return checkpoint.exists()

    assert survives(lambda: None)
    assert not survives(lambda: 'another config')
    assert not survives(lambda: mcpc.write_text('{"images": []}') and None)
    assert not survives(lambda: setattr(study, 'options', ['k=2']))
