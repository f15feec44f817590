# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import math

import numpy as np
import pytest

from wsp_mm.evaluation.functional.mupots import JOINT_GROUPS
from wsp_mm.evaluation.mupots_scores import mupots_scores
from wsp_mm.evaluation.mupots_tables import (
    absolute_table,
    occlusion_table,
    remarks,
    sequence_table,
    summary_text,
    table_6,
    table_7,
)
from wsp_mm.evaluation.paper_numbers import TABLE_6, TABLE_7, TABLE_7_MM
from wsp_mm.structures.mupots import read_mupots


@pytest.fixture(scope='module')
def frames(mupots_world):
    root, _ = mupots_world
    return read_mupots(root / 'mupots/MuPoTS-3D.json', root / 'mupots/MultiPersonTestSet').frames


@pytest.fixture(scope='module')
def scores(frames, mupots_world, mupots):
    """TS2 without a match; prefixed as a metric's."""
    rng = np.random.default_rng(0)
    predictions = {
        key: (flat, deep + rng.normal(0, 120, deep.shape))
        for key, (flat, deep) in mupots.perfect_predictions(mupots_world[1]).items()
        if not key.startswith('TS2_')
    }
    found = mupots_scores(frames, predictions)
    return {f'mupots/{key}': value for key, value in found.items()}


def test_paper():
    assert TABLE_7_MM == (100, 110, 120, 130, 140, 150)
    for row in TABLE_7.values():
        assert len(row) == 6 and list(row) == sorted(row)
    for method in ('PoseNet', 'WSP'):
        assert all(
            a < b for a, b in zip(TABLE_7[method, 'All'], TABLE_7[method, 'Matched'], strict=True)
        )
    # the relative gains that the paper prints, percent
    printed = {'All': (3.3, 3.2, 2.6, 2.1, 1.5, 1.4), 'Matched': (2.7, 2.6, 1.8, 1.2, 1.0, 0.9)}
    for mode, gains in printed.items():
        for ours, base, gain in zip(
            TABLE_7['WSP', mode], TABLE_7['PoseNet', mode], gains, strict=True
        ):
            assert 100 * (ours / base - 1) == pytest.approx(gain, abs=0.15)
    assert TABLE_6['WSP'][2:] == (82.4, 83.2) and TABLE_6['PoseNet'][2:] == (81.8, 82.5)


def test_tables_hold_our_figures_beside_the_papers(scores):
    header, rows = table_6(scores, 'mupots/', name='mine')
    assert len(rows) == len(TABLE_6) + 1
    ours, paper = (dict(zip(header, row, strict=True)) for row in (rows[-1], rows[-2]))
    assert ours['3DPCK, 150 mm'] == 'mine' and ours['All'] == scores['mupots/PCK_All']
    assert (
        math.isnan(ours['Matched']) and paper['Matched'] == 83.2 and paper['backbone'] == 'ResNet50'
    )
    header, rows = table_7(scores, 'mupots/')
    assert [row[1] for row in rows] == ['All'] * 3 + ['Matched'] * 3
    assert all(len(row) == len(header) for row in rows)
    assert rows[1][3] == 59.5 and rows[4][header.index('150 mm')] == 81.2
    assert rows[2][3] == scores['mupots/PCK_All_100'] and rows[2][-1] == scores['mupots/AUC_All']
    header, rows = absolute_table(scores, 'mupots/')
    assert rows[0][1] == scores['mupots/abs_PCK_All_100'] and rows[1][0] == 'Matched'


def test_a_row_a_sequence_and_the_means(scores):
    header, rows = sequence_table(scores, 'Matched', 'mupots/')
    assert header == ['Matched, 150 mm', *JOINT_GROUPS, 'Total', 'AUC']
    assert [row[0] for row in rows] == ['TS1', 'TS2', 'TS10', 'mean', 'mean of 2']
    assert rows[0][header.index('Hip')] == scores['mupots/PCK_Matched_TS1_Hip']
    assert all(math.isnan(value) for row in (rows[1], rows[3]) for value in row[1:])
    assert rows[4][-2] == pytest.approx(scores['mupots/PCK_Matched_defined'])
    assert rows[4][-1] == pytest.approx(scores['mupots/AUC_Matched_defined'])
    assert rows[4][1] == pytest.approx((rows[0][1] + rows[2][1]) / 2)
    _, rows = sequence_table(scores, 'All', 'mupots/abs_')
    assert [row[0] for row in rows] == ['TS1', 'TS2', 'TS10', 'mean']
    assert rows[3][-2] == scores['mupots/abs_PCK_All'] and rows[1][-2] == 0


def test_seen_and_hidden(scores):
    _, rows = occlusion_table(scores, 'mupots/')
    assert rows[0][:3] == ['All', scores['mupots/PCK_All_visible'], 3]
    assert rows[1][3:] == [scores['mupots/PCK_Matched_occluded'], 2]


def test_text(scores):
    text = summary_text(scores, 'mupots/')
    assert '3 sequences, 10 frames (2 with persons and without predictions), 14 persons' in text
    assert (
        'LCR-Net' in text
        and 'WSP R18' in text
        and 'mean of 2' in text
        and 'absolute positions' in text
    )
    for key in (
        'PCK_All',
        'PCK_Matched_TS1_Knee',
        'abs_AUC_All',
        'AUC_Matched_TS10',
        'PCK_Matched_visible',
    ):
        assert f'{scores[f"mupots/{key}"]:.1f}' in text
    assert '\x1b' not in text and '…' not in text and '100000' not in text
    short = summary_text(scores, 'mupots/', sequences=False)
    assert 'Ankle' not in short and 'Table 7' in short


def test_without_absolute(frames):
    text = summary_text(mupots_scores(frames, {}, absolute=False))
    assert 'absolute' not in text.lower()


def test_remarks_name_what_is_undefined(scores, frames):
    undefined, number = remarks(scores, 'mupots/')
    assert undefined.startswith('Matched: TS2: no person whom a prediction matches')
    assert f'over the other 2 it is {scores["mupots/PCK_Matched_defined"]:.1f}' in undefined
    assert '3 sequences instead of 20' in number
    nothing = remarks(mupots_scores(frames, {}))
    assert nothing[0].startswith('Matched: TS1, TS2, TS10:') and 'other' not in nothing[0]
