# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""tools/cross_action.py and tools/table4.py from the command line."""

import json

import pytest


def test_cross_action_prints_table_8(pose_steps, load_tool, monkeypatch, capfd):
    tool = load_tool('cross_action')
    monkeypatch.setattr(tool, 'ROOT', pose_steps.root)
    arguments = ['--config', 'config.py', '--data-root', 'data', '--work-dir', 'cross']
    assert tool.main([*arguments, '--actions', 'Walking', 'Eating', '--cfg-options', 'k=1']) == 0
    out = capfd.readouterr().out
    assert 'Table 8' in out and 'PA-MPJPE (rigid)' in out and 'paper, WSP' in out
    written = json.loads((pose_steps.root / 'cross' / 'cross_action.json').read_text())
    assert set(written) == {'Walking', 'Eating'}

    assert tool.main([*arguments, '--actions', 'Dancing']) == 2
    assert 'known: ' in capfd.readouterr().err
    assert (
        tool.main(
            [*arguments[:2], '--data-root', 'nowhere', '--work-dir', 'b', '--actions', 'Walking']
        )
        == 1
    )
    assert 'calling it again goes on from here' in capfd.readouterr().err


def test_table4_prints_every_row(pose_steps, load_tool, monkeypatch, capfd):
    from wsp_mm.apis.table4 import Row

    tool = load_tool('table4')
    monkeypatch.setattr(tool, 'ROOT', pose_steps.root)
    rows = [Row('from scratch', 'H36M', 'config.py'), Row('WSP', 'H36M', 'config.py', 'wsp')]
    monkeypatch.setattr('wsp_mm.apis.table4.quickstart_rows', lambda: rows)
    (pose_steps.root / 'wsp.pth').write_text('weights')
    arguments = ['--data-root', 'data', '--no-worlds', '--work-dir', 't4', '--wsp', 'wsp.pth']
    assert tool.main([*arguments, '--seeds', '2']) == 0
    out = capfd.readouterr().out
    assert (
        'predicts the mean training pose' in out and 'from scratch' in out and '51.0 ± 0.0' in out
    )
    assert '2 seeds' in out and '|(X, Y, Z)|' in out
    assert len(json.loads((pose_steps.root / 't4' / 'table4.json').read_text())['rows']) == 2
    assert tool.main([*arguments[:-1], 'none.pth', '--only', 'wsp-h36m']) == 1
    assert 'none.pth, which does not exist' in capfd.readouterr().err


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [(['--seeds', '0'], 'at least 1'), (['--only', 'best'], 'unknown rows')],
)
def test_table4_refuses_nonsense(arguments, message, load_tool, capsys):
    with pytest.raises(SystemExit):
        load_tool('table4').main(arguments)
    assert message in capsys.readouterr().err
