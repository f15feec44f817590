# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import json
from pathlib import Path

import pytest

from wsp_mm.apis.pose3d_report import add_pose3d_sections
from wsp_mm.apis.table4 import REFERENCE, Row, Table4, page, quickstart_rows, reading, run_table4
from wsp_mm.visualization.report import Report

ROWS = [Row('from scratch', 'H36M', 'config.py'), Row('WSP', 'H36M+MCPC', 'config.py', 'wsp')]


def run(steps, **changes):
    if not (steps.root / 'wsp.pth').exists():
        (steps.root / 'wsp.pth').write_text('weights')
    arguments = dict(
        rows=ROWS, checkpoints=dict(wsp=Path('wsp.pth')), data_root='data', work_dir=Path('t4')
    )
    return run_table4(steps, **{**arguments, **changes})


def test_rows_and_seeds_run_once_each(pose_steps, calls):
    run(pose_steps)
    assert len(calls()) == 4
    table = run(pose_steps, seeds=range(2), reference='config.py')
    assert len(calls()) == 8 and table.seeds == [0, 1]
    trainings = [call for call in calls() if '--resume' in call]
    # Rows of a seed run side by side, the seeds one after the other.
    starts = [
        ('randomness.seed=1' in call, 'model.init_cfg.checkpoint=wsp.pth' in call)
        for call in trainings
    ]
    assert sorted(starts[:2]) == [(False, False), (False, True)]
    assert sorted(starts[2:]) == [(True, False), (True, True)]
    assert len({call.split()[2] for call in trainings}) == 4  # each has its own folder
    plain = json.loads((pose_steps.root / 't4' / 'table4.json').read_text())
    assert (
        plain['rows'][1]['pretraining'] == 'wsp' and plain['rows'][1]['mean']['Action Avg'] == 51.0
    )
    assert plain['rows'][0]['spread']['Z'] == 0.0 and plain['reference']['h36m/MPJPE'] == 100.0
    assert (pose_steps.root / 't4' / 'table4.md').read_text().count('51.0 ± 0.0') == 2


def test_a_row_without_its_checkpoint_is_named(pose_steps, calls):
    with pytest.raises(KeyError, match=r"\['wsp'\]; there are \['2d'\]"):
        run(pose_steps, checkpoints={'2d': Path('x.pth')})


def test_rows_differ_in_start_and_data_alone():
    rows = quickstart_rows()
    assert [row.name for row in rows] == [
        'scratch-h36m', '2d-h36m', 'wsp-h36m', 'scratch-h36m-mcpc', '2d-h36m-mcpc', 'wsp-h36m-mcpc',
    ]  # fmt: skip
    assert rows[1].config == rows[2].config == 'configs/quickstart/wsp_h36m_r18.py'
    assert rows[3].config == 'configs/quickstart/posenet_h36m_mcpc_r18.py'


def scores(value):
    names = ('MPJPE_action_mean', 'MPJPE', 'X', 'Y', 'Z', 'AxisNorm', 'PA-MPJPE_action_mean')
    return {f'h36m/{name}': value + i for i, name in enumerate(names)}


def make_table(values, reference=None, dump=None):
    return Table4(
        [ROWS[0]],
        {ROWS[0].name: {seed: scores(value) for seed, value in enumerate(values)}},
        {ROWS[0].name: dict.fromkeys(range(len(values)), 90.0)},
        {} if dump is None else {ROWS[0].name: {0: dump}},
        reference,
    )


def test_mean_and_spread_by_hand():
    table = make_table([90.0, 96.0, 99.0])
    assert table.summary('scratch-h36m', 'MPJPE') == pytest.approx((96.0, 21**0.5))
    header, (line,) = table.lines()
    assert header[2:5] == ['Action Avg', 'Joints Avg', 'X']
    assert line[2] == '95.0 ± 4.6' and line[-2:] == [3, '1.5']
    assert '3 seeds' in reading(table)
    one = make_table([90.0], reference=scores(200.0))
    assert one.lines()[1][0][:3] == [REFERENCE, '', 200.0] and one.lines()[1][1][2] == 90.0
    assert 'One seed' in reading(one) and '±' not in page(one, 'data', [])


def test_report_sections(tmp_path, pose_dump):
    dump = pose_dump().relative_to(tmp_path)
    table = make_table([90.0], reference=scores(181.0), dump=dump)
    report = Report('a', tmp_path / 'out')
    figures = add_pose3d_sections(report, table, tmp_path, pictures=2, notes=['A small world.'])
    assert figures['3d/scratch-h36m/Joints Avg'] == 91.0
    assert figures['3d/scratch-h36m/of_mean_pose'] == pytest.approx(91 / 182)
    html, md = (path.read_text() for path in report.write())
    assert (tmp_path / 'out' / 'figures' / 'pose3d.png').is_file() and 'data:image/png' in html
    assert 'A small world.' in md and 'share of its error: from scratch, H36M: 0.50' in md
    assert '| WSP pre-training | HM36+MCPC | 47.5 | 42.3 | 16.3 | 16.1 | 35.5 |' in md
    assert json.loads(json.dumps(figures)) == figures
