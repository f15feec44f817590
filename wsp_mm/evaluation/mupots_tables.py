# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Tables of a MuPoTS-3D test out of the flat scores of :func:`mupots_scores`: rows, and as text.

``prefix`` is what stands before the names of the scores (``mupots/``). Everything is 3DPCK in
percent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from wsp_mm.evaluation.functional.mupots import JOINT_GROUPS
from wsp_mm.evaluation.mupots_scores import ABSOLUTE, MODES, N_OFFICIAL, undefined_sequences
from wsp_mm.evaluation.paper_numbers import TABLE_6, TABLE_7, TABLE_7_MM
from wsp_mm.evaluation.pose3d_tables import text_table

Scores = Mapping[str, float]
Table = tuple[list[str], list[list]]


def table_6(scores: Scores, prefix: str = '', name: str = 'ours') -> Table:
    """The paper's comparison at 150 mm, and our row under it."""
    rows = [[method, 'paper', *row] for method, row in TABLE_6.items()]
    rows.append(
        [name, 'measured', None, None, *(_get(scores, f'{prefix}PCK_{mode}') for mode in MODES)]
    )
    return ['3DPCK, 150 mm', 'source', 'backbone', 'category', *MODES], rows


def table_7(scores: Scores, prefix: str = '', name: str = 'ours') -> Table:
    """Thresholds of 100 to 150 mm: the paper's rows, and ours under them with their AUC."""
    rows = []
    for mode in MODES:
        rows += [
            [f'{method} R18', mode, 'paper', *row, None]
            for (method, m), row in TABLE_7.items()
            if m == mode
        ]
        rows.append([name, mode, 'measured', *threshold_row(scores, mode, prefix)])
    return ['3DPCK', 'persons', 'source', *(f'{mm} mm' for mm in TABLE_7_MM), 'AUC'], rows


def absolute_table(scores: Scores, prefix: str = '') -> Table:
    """Table 7's columns for absolute positions, of which the paper has none."""
    rows = [[mode, *threshold_row(scores, mode, f'{prefix}{ABSOLUTE}')] for mode in MODES]
    return ['absolute 3DPCK', *(f'{mm} mm' for mm in TABLE_7_MM), 'AUC'], rows


def threshold_row(scores: Scores, mode: str, prefix: str = '') -> list[float]:
    """3DPCK at Table 7's thresholds, and the AUC; nan where the test did not score one."""
    keys = [f'PCK_{mode}_{mm}' for mm in TABLE_7_MM] + [f'AUC_{mode}']
    return [_get(scores, f'{prefix}{key}') for key in keys]


def sequence_table(scores: Scores, mode: str, prefix: str = '') -> Table:
    """The official table: a row a sequence with its joint groups at 150 mm, their total and the
    AUC.

    The last row is the mean over sequences. Where some are undefined it has no value, and a row
    with the mean over the others says of how many it is.
    """
    start = f'{prefix}PCK_{mode}_'
    names = [m[1] for key in scores if (m := re.fullmatch(rf'{re.escape(start)}(TS\d+)', key))]
    rows = [
        [
            name,
            *(_get(scores, f'{start}{name}_{group}') for group in JOINT_GROUPS),
            scores[f'{start}{name}'],
            _get(scores, f'{prefix}AUC_{mode}_{name}'),
        ]
        for name in names
    ]
    mean = [
        *(f'{start}{group}' for group in JOINT_GROUPS),
        f'{prefix}PCK_{mode}',
        f'{prefix}AUC_{mode}',
    ]
    undefined = set(undefined_sequences(scores, mode, prefix))
    defined = [row[1:] for row in rows if row[0] not in undefined]
    rows.append(['mean', *(_get(scores, key) for key in mean)])
    if undefined and defined:
        columns = zip(*defined, strict=True)
        rows.append(
            [f'mean of {len(defined)}', *(sum(column) / len(defined) for column in columns)]
        )
    return [f'{mode}, 150 mm', *JOINT_GROUPS, 'Total', 'AUC'], rows


def occlusion_table(scores: Scores, prefix: str = '') -> Table:
    """Seen and hidden joints at 150 mm, and over how many sequences each mean is."""
    rows = []
    for mode in MODES:
        row = [mode]
        for name in ('visible', 'occluded'):
            row.append(_get(scores, f'{prefix}PCK_{mode}_{name}'))
            row.append(scores.get(f'{prefix}n_sequences_{mode}_{name}'))
        rows.append(row)
    return ['150 mm', 'visible', 'sequences', 'occluded', 'sequences'], rows


def remarks(scores: Scores, prefix: str = '') -> list[str]:
    """What the means do not say: sequences that have no figure, and test sets that are not the
    official one.
    """
    out = []
    for mode, reason in (
        ('All', 'no valid person'),
        ('Matched', 'no person whom a prediction matches'),
    ):
        names = undefined_sequences(scores, mode, prefix)
        if not names:
            continue
        others = scores[f'{prefix}n_sequences'] - len(names)
        value = scores[f'{prefix}PCK_{mode}_defined']
        out.append(
            f'{mode}: {", ".join(names)}: {reason}; the mean over sequences is therefore not defined'
            + (f', over the other {others} it is {value:.1f}' if others else '')
        )
    if scores[f'{prefix}n_sequences'] != N_OFFICIAL:
        out.append(
            f'{scores[f"{prefix}n_sequences"]} sequences instead of {N_OFFICIAL}: not to be compared with '
            'published figures'
        )
    return out


def summary_text(scores: Scores, prefix: str = '', sequences: bool = True) -> str:
    """All tables of one test as text, absolute ones where they were scored; :func:`remarks` comes
    beside it.
    """

    def count(name: str) -> int:
        return scores[f'{prefix}n_{name}']

    head = (
        f'{count("sequences")} sequences, {count("frames")} frames ({count("frames_without_predictions")} with '
        f'persons and without predictions), {count("persons")} persons, {count("matched")} of them matched, '
        f'{count("predictions")} predictions'
    )
    parts = [
        text_table(*table_6(scores, prefix), title='Table 6, relative to the pelvis'),
        text_table(*table_7(scores, prefix), title='Table 7, relative to the pelvis'),
    ]
    starts = [(prefix, 'relative to the pelvis')]
    if f'{prefix}{ABSOLUTE}PCK_All' in scores:
        parts.append(
            text_table(
                *absolute_table(scores, prefix), title='Absolute positions in the camera frame'
            )
        )
        starts.append((f'{prefix}{ABSOLUTE}', 'absolute positions'))
    for start, what in starts:
        if sequences:
            for mode in MODES:
                table = sequence_table(scores, mode, start)
                parts.append(text_table(*table, title=f'Sequences and joint groups, {what}'))
        parts.append(
            text_table(*occlusion_table(scores, start), title=f'Seen and hidden joints, {what}')
        )
    return '\n'.join([head, '', *parts])


def _get(scores: Scores, key: str) -> float:
    return float(scores.get(key, math.nan))
