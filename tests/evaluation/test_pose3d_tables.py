# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import math

import pytest

from wsp_mm.evaluation.functional.pose3d import ACTION_HEADS, H36M_ACTIONS
from wsp_mm.evaluation.paper_numbers import TABLE_4, TABLE_8
from wsp_mm.evaluation.pose3d_tables import joint_table, table_4, table_5, text_table


def test_tables_pick_the_scores_that_their_heads_name():
    scores = {
        f'h36m/{error}_action_{action}': 10.0 * i
        for i, action in enumerate(H36M_ACTIONS)
        for error in ('MPJPE', 'PA-MPJPE')
    }
    scores |= {
        'h36m/MPJPE_action_mean': 70.0,
        'h36m/MPJPE': 71.0,
        'h36m/X': 1.0,
        'h36m/Y': 2.0,
        'h36m/Z': 3.0,
    }
    scores |= {'h36m/AxisNorm': 3.7, 'h36m/MPJPE_no_root': 75.0}
    header, rows = table_5(scores, 'h36m/')
    assert header == ['mm', *ACTION_HEADS.values(), 'Avg', 'pooled']
    first = dict(zip(header, rows[0], strict=True))
    assert (
        first['WaD.'] == 120.0
        and first['Wal.'] == 130.0
        and first['Avg'] == 70.0
        and first['pooled'] == 71.0
    )
    assert math.isnan(rows[2][1])
    header, rows = table_4(scores, 'h36m/')
    assert header[1:3] == ['Action Avg', 'Joints Avg']
    assert rows[0] == ['with root joint', 70.0, 71.0, 1.0, 2.0, 3.0, 3.7]
    assert rows[1][2] == 75.0


def test_joints():
    scores = {f'{e}_joint_{j}': 1.0 for e in ('MPJPE', 'PA-MPJPE') for j in ('Neck', 'R_Hip')}
    assert joint_table(scores)[1] == [['Neck', 1.0, 1.0], ['R_Hip', 1.0, 1.0]]


def test_text_is_not_cut_and_unknown_is_a_dash():
    text = text_table(
        ['mm', *(f'column {i}' for i in range(15))], [['row', *[123.4] * 14, math.nan]]
    )
    assert 'column 14' in text and text.count('123.4') == 14 and '-|' in text and '…' not in text


@pytest.mark.parametrize('row', TABLE_4)
def test_the_papers_joints_avg_is_the_norm_of_its_axis_means(row):
    _, joints_avg, *axes = TABLE_4[row]
    rounding = 0.05 + 0.05 * sum(axes) / math.hypot(*axes)
    assert abs(math.hypot(*axes) - joints_avg) <= rounding


def test_the_papers_table_8_averages_to_what_it_prints():
    assert tuple(TABLE_8) == H36M_ACTIONS
    assert sum(TABLE_8.values()) / 15 == pytest.approx(74.6, abs=0.05)
