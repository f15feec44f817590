# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The tables that the paper prints, out of the flat scores of :func:`pose3d_scores`: rows, and as
text.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence

from wsp_mm.evaluation.functional.pose3d import ACTION_HEADS, PER_JOINT

ERROR_NAMES = {
    'MPJPE': 'MPJPE',
    'PA-MPJPE': 'PA-MPJPE (rigid)',
    'PA-MPJPE-sim': 'PA-MPJPE (similarity)',
}
# Column of Table 4 -> score. The paper's own "Joints Avg" is the last one, see pose3d_scores.
TABLE_4_SCORES = {
    'Action Avg': 'MPJPE_action_mean',
    'Joints Avg': 'MPJPE',
    'X': 'X',
    'Y': 'Y',
    'Z': 'Z',
    '|(X, Y, Z)|': 'AxisNorm',
}


def table_4(scores: Mapping[str, float], prefix: str = '') -> tuple[list[str], list[list]]:
    """Table 4's columns, with and without the root joint.

    Args:
        scores: flat scores. prefix: what stands before their names (``h36m/``).

    Returns:
        Header and two rows; a score that is not there (no action is known) is nan.
    """
    rows = []
    for name, where in (('with root joint', ''), ('without', '_no_root')):
        keys = [f'{prefix}{score}{where}' for score in TABLE_4_SCORES.values()]
        rows.append([name, *(float(scores.get(key, math.nan)) for key in keys)])
    return ['mm', *TABLE_4_SCORES], rows


def table_5(scores: Mapping[str, float], prefix: str = '') -> tuple[list[str], list[list]]:
    """Table 5's row for each position error: every action, their mean (the paper's Avg), the pooled
    mean.
    """
    rows = []
    for name, label in ERROR_NAMES.items():
        keys = [f'{name}_action_{action}' for action in ACTION_HEADS] + [
            f'{name}_action_mean',
            name,
        ]
        rows.append([label, *(float(scores.get(f'{prefix}{key}', math.nan)) for key in keys)])
    return ['mm', *ACTION_HEADS.values(), 'Avg', 'pooled'], rows


def joint_table(scores: Mapping[str, float], prefix: str = '') -> tuple[list[str], list[list]]:
    """One line a joint with its position errors."""
    start = f'{prefix}MPJPE_joint_'
    joints = [key.removeprefix(start) for key in scores if key.startswith(start)]
    rows = [
        [joint, *(scores[f'{prefix}{name}_joint_{joint}'] for name in PER_JOINT)]
        for joint in joints
    ]
    return ['mm', *(ERROR_NAMES[name] for name in PER_JOINT)], rows


def text_table(
    header: Sequence[str], rows: Sequence[Sequence], title: str = '', digits: int = 1
) -> str:
    """A table as plain text of fixed width without colours: a log file is no terminal."""
    from rich.box import ASCII
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None, box=ASCII, title_justify='left', padding=(0, 0))
    for i, name in enumerate(header):
        table.add_column(name, justify='right' if i else 'left', no_wrap=True)
    for row in rows:
        table.add_row(*(_text(value, digits) for value in row))
    console = Console(file=io.StringIO(), width=200, no_color=True)
    console.print(table)
    return '\n'.join(line.rstrip() for line in console.file.getvalue().splitlines()) + '\n'


def summary_text(scores: Mapping[str, float], prefix: str = '') -> str:
    """Tables 4 and 5 and the joints of one test, as text; without actions Table 5 is left out."""
    parts = [
        text_table(
            *table_4(scores, prefix), title=f"Table 4's columns, {scores[f'{prefix}n']} samples"
        )
    ]
    if f'{prefix}n_actions' in scores:
        parts.append(text_table(*table_5(scores, prefix), title="Table 5's rows"))
    parts.append(text_table(*joint_table(scores, prefix), title='Joints'))
    return '\n'.join(parts)


def _text(value: object, digits: int) -> str:
    if isinstance(value, float):
        return '-' if math.isnan(value) else f'{value:.{digits}f}'
    return '-' if value is None else str(value)
