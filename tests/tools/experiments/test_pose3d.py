# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Table 4 and the cross-action table, from their tools to the files that they write."""

import json
from pathlib import Path

import cross_action
import pose3d
import pytest
import table4
from pose3d import REFERENCE, ROWS, Results, Row
from report import Report
from runner import StepFailed

SMALL = [Row('from scratch', 'H36M', 'config.py'), Row('WSP', 'H36M+MCPC', 'config.py', 'wsp')]


@pytest.fixture
def run_table4(checkout, monkeypatch, capsys):
    monkeypatch.setattr(table4, 'ROWS', SMALL)

    def run(*arguments):
        always = ['--data-root', 'data', '--no-worlds', '--work-dir', 't4', '--wsp', 'wsp.pth']
        table4.run(table4.parse_args([*always, *arguments]))
        return capsys.readouterr().out

    return run


def test_rows_and_seeds_run_once_each(run_table4, calls):
    run_table4()
    assert len(calls()) == 5  # two trainings, two tests, the mean pose
    out = run_table4('--seeds', '2')
    assert len(calls()) == 9
    assert REFERENCE in out and '2 seeds' in out and '51.0 ± 0.0' in out
    trainings = [call for call in calls() if '--resume' in call]
    kinds = [('randomness.seed=1' in call, 'checkpoint=wsp.pth' in call) for call in trainings]
    assert sorted(kinds[:2]) == [(False, False), (False, True)]
    assert sorted(kinds[2:]) == [(True, False), (True, True)]
    assert len({call.split()[2] for call in trainings}) == 4  # each has its own folder
    plain = json.loads(Path('t4/table4.json').read_text())
    assert plain['rows'][1]['pretraining'] == 'wsp'
    assert plain['rows'][0]['mean']['Action Avg'] == 50.0 and plain['rows'][0]['spread']['Z'] == 0
    assert plain['reference']['MPJPE'] == 50.0
    assert Path('t4/table4.md').read_text().count('50.0 ± 0.0') == 4


def test_rows_can_be_chosen(run_table4, calls):
    run_table4('--only', 'scratch-h36m')
    assert sum('--resume' in call for call in calls()) == 1


def test_table4_names_what_is_wrong(run_table4, capsys):
    with pytest.raises(StepFailed, match=r'none\.pth'):
        run_table4('--wsp', 'none.pth')
    for arguments in (['--seeds', '0'], ['--only', 'best']):
        with pytest.raises(SystemExit):
            table4.parse_args(arguments)
        assert arguments[0] in capsys.readouterr().err


def test_rows_differ_in_start_and_data_alone():
    assert [row.name for row in ROWS] == [
        'scratch-h36m', '2d-h36m', 'wsp-h36m', 'scratch-h36m-mcpc', '2d-h36m-mcpc', 'wsp-h36m-mcpc',
    ]  # fmt: skip
    assert ROWS[1].config == ROWS[2].config == 'configs/quickstart/wsp_h36m_lite0.py'
    assert ROWS[3].config == 'configs/quickstart/posenet_h36m_mcpc_lite0.py'


def scores(value):
    names = ('MPJPE_action_mean', 'MPJPE', 'X', 'Y', 'Z', 'AxisNorm', 'PA-MPJPE_action_mean')
    return {name: value + i for i, name in enumerate(names)}


def make_results(values, reference=None, folder=None):
    name, seeds = SMALL[0].name, range(len(values))
    found, seconds = (
        {name: {i: scores(values[i]) for i in seeds}},
        {name: dict.fromkeys(seeds, 90.0)},
    )
    return Results(SMALL[:1], found, seconds, {name: {0: folder}}, reference)


def test_mean_and_spread_by_hand():
    results = make_results([90.0, 96.0, 99.0])
    mean, spread = results.summary(SMALL[0])
    assert mean['Joints Avg'] == 96.0 and spread['Joints Avg'] == pytest.approx(21**0.5)
    header, (line,) = results.table()
    assert header[2:5] == ['Action Avg', 'Joints Avg', 'X']
    assert line[2] == '95.0 ± 4.6' and line[-2:] == [3, '1.5']
    one = make_results([90.0], reference=scores(200.0))
    assert one.table()[1][0][:3] == [REFERENCE, '', 200.0] and one.table()[1][1][2] == 90.0
    assert '±' not in table4.page(one, Path('data'), [])


def test_report_sections(tmp_path, pose_dump):
    pose_dump().rename(tmp_path / 'predictions.npz')
    results = make_results([90.0], reference=scores(181.0), folder=tmp_path)
    report = Report('a', tmp_path / 'out')
    pose3d.add_sections(report, results, images=2)
    report.write()
    figures = results.figures()
    assert figures['3d/scratch-h36m/Joints Avg'] == 91.0
    assert figures['3d/scratch-h36m/of_mean_pose'] == pytest.approx(91 / 182)
    assert figures['3d/mean_pose/MPJPE'] == 182.0
    assert (tmp_path / 'out/figures/pose3d.png').is_file()
    text = (tmp_path / 'out/report.md').read_text()
    assert 'from scratch, H36M: 0.50' in text
    assert '| WSP pre-training | HM36+MCPC | 47.5 | 42.3 | 16.3 | 16.1 | 35.5 |' in text


def test_cross_action(checkout, calls, capsys):
    def run(*actions):
        always = ['--config', 'config.py', '--data-root', 'data', '--work-dir', 'cross']
        more = ['--cfg-options', 'model.init_cfg.checkpoint=wsp.pth']
        cross_action.run(cross_action.parse_args([*always, '--actions', *actions, *more]))

    run('Walking')
    run('Walking', 'Eating')
    assert 'Table 8' in capsys.readouterr().out
    assert len(calls()) == 4  # Walking was done
    place = 'train_dataloader.dataset.datasets.0.actions'
    assert sum(f'{place}=[Eating]' in call for call in calls()) == 1  # tested on all actions
    text = Path('cross/cross_action.md').read_text()
    assert '2 of 15 models' in text and '| PA-MPJPE (rigid) | - | - | 51.0 |' in text
    written = json.loads(Path('cross/cross_action.json').read_text())
    assert list(written) == ['Eating', 'Walking'] and written['Eating']['h36m/MPJPE'] == 50.0
    with pytest.raises(SystemExit):
        run('Dancing')
    assert 'Dancing' in capsys.readouterr().err
