# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import math

import numpy as np
import pytest
from mupots_fixture import perfect_predictions

from wsp_mm.evaluation import tables
from wsp_mm.evaluation.functional.mupots import JOINT_GROUPS
from wsp_mm.evaluation.functional.pose3d import ACTION_HEADS, H36M_ACTIONS
from wsp_mm.evaluation.mupots import mupots_scores


def columns(table, row):
    header, rows = table
    return dict(zip(header, rows[row], strict=True))


def test_text_is_aligned_and_unknown_is_a_dash():
    text = tables.text_table(['mm', 'a', 'b'], [['row', 123.45, math.nan], ['x|y', None, 7]], 't')
    assert text.splitlines() == [
        't', 'mm       a  b', '-------------', 'row  123.5  -', 'x|y      -  7'
    ]  # fmt: skip
    assert tables.markdown_table(['mm', 'a'], [['x|y', 2.0]]) == [
        '| mm | a |', '| --- | --- |', r'| x\|y | 2.0 |'
    ]  # fmt: skip


def test_relative_depth_beside_the_papers():
    scores = {
        f'{column}{"" if gap == 1 else f"_gap{gap:g}"}': 100 * gap + i
        for gap in tables.TABLE_2
        for i, column in enumerate((*tables.RD_COLUMNS, 'n'))
    }
    header, rows = tables.rd_table(scores, tables.TABLE_2)
    assert header[:4] == ['scale gap', 'joint pairs', 'AUC ours', 'AUC paper']
    assert [row[0] for row in rows] == ['<= 1', '<= 0.5', '<= 0.3', '<= 0.1']
    assert rows[1][1:4] == [55, 50.0, 94.89] and rows[3][-2:] == [14.0, 81.65]
    scores |= {'averaged_AUC': 99.0, 'stand_in': 25.0, 'stand_in_gap0.1': 40.0}
    more, rows = tables.rd_table(scores, tables.TABLE_2)
    assert more == [*header, 'AUC averaged', 'stand-in gaps, %']
    assert rows[0][-2:] == [99.0, 25.0] and rows[3][-1] == 40.0 and math.isnan(rows[3][-2])
    assert '25.0 % of the pairs (40.0 % of' in tables.stand_in_text(scores)


def test_controls_leave_out_columns_that_nobody_has():
    scores = {'a': {'auc_gap1': 90.0}, 'b': {'auc_gap1': 80.0, 'gt_pairs': 70.0}}
    table = tables.control_rows(scores)
    assert table[0] == ['', 'AUC, gap <= 1.0', 'true depth, pairs']
    assert table[1][0][:2] == ['a', 90.0] and math.isnan(table[1][0][2])
    assert table[1][1] == ['b', 80.0, 70.0]


def test_pose_tables_pick_the_scores_that_their_heads_name():
    scores = {f'MPJPE_action_{action}': 10.0 * i for i, action in enumerate(H36M_ACTIONS)}
    scores |= {f'PA-{key}': value for key, value in scores.items()}
    scores |= {'MPJPE_action_mean': 70.0, 'MPJPE': 71.0, 'X': 1.0, 'Y': 2.0, 'Z': 3.0}
    scores |= {'AxisNorm': 3.7, 'MPJPE_no_root': 75.0, 'PA-MPJPE_action_Photo': None}
    scores |= {f'{error}_joint_Neck': 1.0 for error in ('MPJPE', 'PA-MPJPE')}
    table = tables.table_5(scores)
    assert table[0] == ['mm', *ACTION_HEADS.values(), 'Avg', 'pooled']
    first = columns(table, 0)
    assert [first[key] for key in ('WaD.', 'Wal.', 'Avg', 'pooled')] == [120.0, 130.0, 70.0, 71.0]
    assert math.isnan(columns(table, 1)['Pho.']) and math.isnan(table[1][2][1])
    header, rows = tables.table_4(scores)
    assert header[1:3] == ['Action Avg', 'Joints Avg']
    assert rows[0] == ['with root joint', 70.0, 71.0, 1.0, 2.0, 3.0, 3.7]
    assert rows[1][2] == 75.0
    assert tables.joint_table(scores)[1] == [['Neck', 1.0, 1.0]]
    assert '12 samples' in tables.pose3d_summary(scores | {'n': 12.0})


def test_table_8_is_undefined_until_all_models_are_trained():
    scores = {action: {'MPJPE_action_mean': 10.0 * i} for i, action in enumerate(H36M_ACTIONS)}
    row = columns(tables.table_8(scores), 0)
    assert row['WaT.'] == 140.0 and row['Avg'] == 70.0
    paper = columns(tables.table_8(scores), -1)
    assert paper['Dir.'] == 84.8 and paper['Avg'] == pytest.approx(74.6, abs=0.05)
    del scores['Sitting']
    row = columns(tables.table_8(scores), 0)
    assert math.isnan(row['Sit.']) and math.isnan(row['Avg'])


@pytest.mark.parametrize('row', tables.TABLE_4)
def test_the_papers_joints_avg_is_the_norm_of_its_axis_means(row):
    _, joints_avg, *axes = tables.TABLE_4[row]
    rounding = 0.05 + 0.05 * sum(axes) / math.hypot(*axes)
    assert abs(math.hypot(*axes) - joints_avg) <= rounding


def test_the_papers_table_7():
    # the relative gains that the paper prints, percent
    printed = {'All': (3.3, 3.2, 2.6, 2.1, 1.5, 1.4), 'Matched': (2.7, 2.6, 1.8, 1.2, 1.0, 0.9)}
    for mode, gains in printed.items():
        ours, base = (np.array(tables.TABLE_7[method, mode]) for method in ('WSP', 'PoseNet'))
        np.testing.assert_allclose(100 * (ours / base - 1), gains, atol=0.15)
    for method in ('PoseNet', 'WSP'):
        every, matched = (np.array(tables.TABLE_7[method, m]) for m in ('All', 'Matched'))
        assert (every < matched).all() and (np.diff(every) > 0).all()


@pytest.fixture(scope='module')
def scores(mupots_gt, mupots_world):
    """TS2 without a match."""
    rng = np.random.default_rng(0)
    predictions = {
        key: (flat, deep + rng.normal(0, 120, deep.shape))
        for key, (flat, deep) in perfect_predictions(mupots_world[1]).items()
        if not key.startswith('TS2_')
    }
    return mupots_scores(mupots_gt.frames, predictions)


def test_mupots_beside_the_papers(scores):
    table = tables.table_6(scores, name='mine')
    ours, paper = (columns(table, i) for i in (-1, -2))
    assert ours['3DPCK, 150 mm'] == 'mine' and ours['All'] == scores['PCK_All']
    assert math.isnan(ours['Matched']) and paper['Matched'] == 83.2
    header, rows = tables.table_7(scores)
    assert [row[1] for row in rows] == ['All'] * 3 + ['Matched'] * 3
    assert rows[1][3] == 59.5 and rows[4][header.index('150 mm')] == 81.2
    assert rows[2][3] == scores['PCK_All_100'] and rows[2][-1] == scores['AUC_All']
    assert tables.absolute_table(scores)[1][0][1] == scores['abs_PCK_All_100']
    rows = tables.occlusion_table(scores)[1]
    assert rows[0][:3] == ['All', scores['PCK_All_visible'], 3]
    assert rows[1][3:] == [scores['PCK_Matched_occluded'], 2]


def test_a_row_a_sequence_and_the_means(scores):
    header, rows = tables.sequence_table(scores, 'Matched')
    assert header == ['Matched, 150 mm', *JOINT_GROUPS, 'Total', 'AUC']
    assert [row[0] for row in rows] == ['TS1', 'TS2', 'TS10', 'mean', 'mean of 2']
    assert rows[0][header.index('Hip')] == scores['PCK_Matched_TS1_Hip']
    assert all(math.isnan(value) for row in (rows[1], rows[3]) for value in row[1:])
    defined = [scores[f'{kind}_Matched_defined'] for kind in ('PCK', 'AUC')]
    assert rows[4][-2:] == pytest.approx(defined)
    _, rows = tables.sequence_table(tables.without_prefix(scores, 'abs_'), 'All')
    assert [row[0] for row in rows] == ['TS1', 'TS2', 'TS10', 'mean']
    assert rows[3][-2] == scores['abs_PCK_All'] and rows[1][-2] == 0


def test_summary(scores, mupots_gt):
    text = tables.mupots_summary({key: float(value) for key, value in scores.items()})
    assert all(part in text for part in ('LCR-Net', 'WSP R18', 'mean of 2', 'bsolute positions'))
    for key in ('PCK_Matched_TS1_Knee', 'abs_AUC_All', 'AUC_Matched_TS10', 'PCK_Matched_visible'):
        assert f'{scores[key]:.1f}' in text
    relative = tables.mupots_summary(mupots_scores(mupots_gt.frames, {}, absolute=False))
    assert 'absolute' not in relative.lower()


def test_remarks_name_what_is_undefined(scores, mupots_gt):
    undefined, number = tables.mupots_remarks(scores)
    assert undefined.startswith('Matched') and 'TS2:' in undefined
    assert f'other 2 it is {scores["PCK_Matched_defined"]:.1f}' in undefined
    assert '3 sequences instead of 20' in number
    nothing = tables.mupots_remarks(mupots_scores(mupots_gt.frames, {}))
    assert 'TS1, TS2, TS10' in nothing[0]
