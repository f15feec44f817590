# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The paper's tables out of flat scores, the figures that it prints beside ours, and tables as
text.

A table is its header and its rows. Scores are those of the functional layer, without the prefix of
a metric (:func:`without_prefix`). A score that is not there or not defined is nan, and prints as a
dash.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence

from wsp_mm.evaluation.functional.mupots import JOINT_GROUPS, MODES
from wsp_mm.evaluation.functional.pose3d import ACTION_HEADS, PER_JOINT

Scores = Mapping[str, float | None]
Table = tuple[list[str], list[list]]

# ---------------------------------------------------------------------- text


def cell(value: object, digits: int = 1) -> str:
    """Text of one cell; floats are rounded, what is not known is a dash."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return '-'
    return f'{value:.{digits}f}' if isinstance(value, float) else str(value)


def text_table(
    header: Sequence[str], rows: Sequence[Sequence], title: str = '', digits: int = 1
) -> str:
    """A table as plain text of fixed width, for terminals and log files."""
    cells = [[cell(value, digits) for value in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        '  '.join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in cells
    ]
    lines.insert(1, '-' * max(map(len, lines)))
    return '\n'.join([*([title] if title else []), *lines, ''])


def markdown_table(header: Sequence[str], rows: Sequence[Sequence], digits: int = 1) -> list[str]:
    """Lines of a markdown table; bars in a cell are escaped."""
    cells = [[cell(value, digits).replace('|', r'\|') for value in row] for row in (header, *rows)]
    return ['| ' + ' | '.join(row) + ' |' for row in (cells[0], ['---'] * len(header), *cells[1:])]


def without_prefix(scores: Scores, prefix: str) -> dict[str, float | None]:
    """The scores whose names start with ``prefix`` (``h36m/``), without it."""
    return {k.removeprefix(prefix): v for k, v in scores.items() if k.startswith(prefix)}


def _get(scores: Scores, keys: Iterable[str]) -> list[float]:
    values = (scores.get(key) for key in keys)
    return [math.nan if value is None else float(value) for value in values]


# ---------------------------------------------------------------------- relative depth

RD_COLUMNS = ('AUC', 'Acc', 'P', 'R', 'F1')
# Scale gap -> percent, in the order of RD_COLUMNS.
TABLE_2 = {
    1.0: (95.39, 88.03, 88.04, 88.04, 88.04),
    0.5: (94.89, 87.29, 87.29, 87.30, 87.29),
    0.3: (92.78, 84.62, 84.67, 84.59, 84.63),
    0.1: (90.34, 81.66, 81.69, 81.62, 81.65),
}
TABLE_3 = {
    1.0: (93.72, 85.70, 85.66, 85.70, 85.68),
    0.5: (92.92, 84.63, 84.64, 84.63, 84.63),
    0.3: (90.21, 81.56, 81.50, 81.67, 81.58),
    0.1: (87.89, 79.00, 78.96, 79.03, 79.00),
}
RD_MORE = {
    'AUC averaged': 'averaged_AUC',
    'Acc averaged': 'averaged_Acc',
    'stand-in gaps, %': 'stand_in',
}
CONTROL_COLUMNS = {
    'auc_gap1': 'AUC, gap <= 1.0',
    'auc_gap0.1': 'AUC, gap <= 0.1',
    'acc_gap1': 'Acc, gap <= 1.0',
    'gt_pairs': 'true depth, pairs',
    'gt_joints': 'true depth, joints',
    'gt_pairs_rule_wrong': 'true depth, pairs, rule wrong',
    'gt_joints_rule_wrong': 'true depth, joints, rule wrong',
}


def rd_table(scores: Scores, paper: Mapping[float, Sequence[float]]) -> Table:
    """Table 2 or 3: ours, and the paper's in each cell's neighbour; where they are known also the
    averaged figures, and the share of the pairs whose scale gap comes from stand-ins.
    """
    rows, more = [], {name: key for name, key in RD_MORE.items() if key in scores}
    for gap, printed in paper.items():
        suffix = '' if gap == 1.0 else f'_gap{gap:g}'
        ours = _get(scores, (f'{column}{suffix}' for column in RD_COLUMNS))
        pairs = [value for pair in zip(ours, printed, strict=True) for value in pair]
        pairs += _get(scores, (f'{key}{suffix}' for key in more.values()))
        rows.append([f'<= {gap:g}', int(scores[f'n{suffix}']), *pairs])
    columns = [f'{column} {who}' for column in RD_COLUMNS for who in ('ours', 'paper')]
    return ['scale gap', 'joint pairs', *columns, *more], rows


def stand_in_text(scores: Scores, prefix: str = '') -> str:
    """What a table with scale gaps has to say of them; ``prefix`` is that of the scores."""
    share, near = _get(scores, (f'{prefix}stand_in', f'{prefix}stand_in_gap0.1'))
    return (
        f'The scale gap of {cell(share)} % of the pairs ({cell(near)} % of those with a gap <= 0.1)'
        ' comes from stand-ins: head and neck are not labelled in both persons (docs/data_mcpc.md).'
    )


def control_rows(controls: Mapping[str, Scores]) -> Table:
    """The rows of :func:`wsp_mm.evaluation.controls.control_table`, columns that none has left
    out.
    """
    columns = [c for c in CONTROL_COLUMNS if any(c in row for row in controls.values())]
    rows = [[name, *_get(row, columns)] for name, row in controls.items()]
    return ['', *(CONTROL_COLUMNS[c] for c in columns)], rows


# ---------------------------------------------------------------------- Human3.6M

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
# Table 4, mm. "Joints Avg" is in every row, within rounding, the length of the vector (X, Y, Z) of
# mean axis errors: AxisNorm of pose3d_scores, no mean of distances. Row 4 prints 47.5 where the
# text says 48.7.
TABLE_4_COLUMNS = ('Action Avg', 'Joints Avg', 'X', 'Y', 'Z')
TABLE_4 = {
    ('PoseNet', 'HM36'): (67.5, 59.9, 22.0, 24.1, 50.2),
    ('WSP', 'HM36'): (54.3, 47.6, 17.4, 18.7, 40.2),
    ('PoseNet', 'HM36+MCPC'): (52.9, 47.7, 18.8, 18.3, 39.9),
    ('WSP', 'HM36+MCPC'): (47.5, 42.3, 16.3, 16.1, 35.5),
}
# Table 8, mm: trained on the action named, tested on all; in the order of ACTION_HEADS. The title
# says PA MPJPE, the text MPJPE.
_MM = 84.8, 70.3, 64.4, 78.6, 60.4, 72.5, 76.9, 68.7, 75.8, 60.0, 77.0, 81.7, 82.2, 73.1, 93.0
TABLE_8 = dict(zip(ACTION_HEADS, _MM, strict=True))


def table_4(scores: Scores) -> Table:
    """Table 4's columns, with and without the root joint."""
    rows = [
        [name, *_get(scores, (f'{score}{where}' for score in TABLE_4_SCORES.values()))]
        for name, where in (('with root joint', ''), ('without', '_no_root'))
    ]
    return ['mm', *TABLE_4_SCORES], rows


def table_5(scores: Scores) -> Table:
    """Table 5's row for each position error: every action, their mean (the paper's Avg), the pooled
    mean.
    """
    averages = [*(f'_action_{action}' for action in ACTION_HEADS), '_action_mean', '']
    rows = [
        [label, *_get(scores, (f'{name}{average}' for average in averages))]
        for name, label in ERROR_NAMES.items()
    ]
    return ['mm', *ACTION_HEADS.values(), 'Avg', 'pooled'], rows


def table_8(scores: Mapping[str, Scores]) -> Table:
    """Table 8's layout: one row an error, and the paper's.

    Args:
        scores: action trained on -> flat scores on all actions. Columns of models that have not
            been trained are nan, and then so is Avg, the mean over the fifteen models.
    """
    rows = []
    for name, label in ERROR_NAMES.items():
        key = f'{name}_action_mean'
        rows.append([label, *(_get(scores.get(action, {}), [key])[0] for action in ACTION_HEADS)])
    rows.append(['paper, WSP (real data)', *TABLE_8.values()])
    rows = [[*row, sum(row[1:]) / len(TABLE_8)] for row in rows]
    return ['mm, trained on', *ACTION_HEADS.values(), 'Avg'], rows


def joint_table(scores: Scores) -> Table:
    """One line a joint with its position errors."""
    rows = [
        [joint, *_get(scores, (f'{name}_joint_{joint}' for name in PER_JOINT))]
        for joint in without_prefix(scores, 'MPJPE_joint_')
    ]
    return ['mm', *(ERROR_NAMES[name] for name in PER_JOINT)], rows


def pose3d_summary(scores: Scores) -> str:
    """Tables 4 and 5 and the joints of one test, as text; without actions Table 5 is left out."""
    count = int(scores['n'])
    parts = [text_table(*table_4(scores), title=f"Table 4's columns, {count} samples")]
    if 'n_actions' in scores:
        parts.append(text_table(*table_5(scores), title="Table 5's rows"))
    parts.append(text_table(*joint_table(scores), title='Joints'))
    return '\n'.join(parts)


# ---------------------------------------------------------------------- MuPoTS-3D, 3DPCK in percent

# Table 6, 150 mm: backbone, category, All, Matched (None: not printed).
TABLE_6 = {
    'LCR-Net': ('VGG16', 'top-down', 53.8, 62.4),
    'LCR-Net++': ('ResNet50', 'top-down', 70.6, 74.0),
    'HG-RCNN': ('ResNet50', 'top-down', 71.3, 74.2),
    'HMOR': ('ResNet50', 'top-down', None, 82.0),
    'PoseNet': ('ResNet50', 'top-down', 81.8, 82.5),
    'ORPM': ('ResNet50', 'bottom-up', 65.0, 69.8),
    'XNect': ('SelecSLSNet', 'bottom-up', 70.4, 75.8),
    'SMAP': ('Hourglass', 'bottom-up', 73.5, 80.5),
    'WSP': ('ResNet50', 'top-down', 82.4, 83.2),
}
# Table 7: the same at several thresholds, networks on ResNet-18. The values of All at 130 mm lie
# far below the line through their neighbours; the differences that the paper prints beside them fit
# them, so they stay.
TABLE_7_MM = (100, 110, 120, 130, 140, 150)
TABLE_7 = {
    ('PoseNet', 'All'): (57.6, 63.1, 68.1, 70.4, 76.0, 79.0),
    ('WSP', 'All'): (59.5, 65.1, 69.9, 71.9, 77.2, 80.1),
    ('PoseNet', 'Matched'): (58.6, 64.2, 69.4, 73.8, 77.5, 80.5),
    ('WSP', 'Matched'): (60.2, 65.9, 70.7, 74.7, 78.2, 81.2),
}
N_OFFICIAL_SEQUENCES = 20
COUNTS = (
    'sequences', 'frames', 'frames_without_predictions', 'persons', 'matched', 'predictions',
)  # fmt: skip


def table_6(scores: Scores, name: str = 'ours') -> Table:
    """The paper's comparison at 150 mm, and our row under it."""
    rows = [[method, 'paper', *row] for method, row in TABLE_6.items()]
    ours = _get(scores, (f'PCK_{mode}' for mode in MODES))
    rows.append([name, 'measured', None, None, *ours])
    return ['3DPCK, 150 mm', 'source', 'backbone', 'category', *MODES], rows


def table_7(scores: Scores, name: str = 'ours') -> Table:
    """Thresholds of 100 to 150 mm: the paper's rows, and ours under them with their AUC."""
    rows = []
    for mode in MODES:
        for method in ('PoseNet', 'WSP'):
            rows.append([f'{method} R18', mode, 'paper', *TABLE_7[method, mode], None])
        rows.append([name, mode, 'measured', *threshold_row(scores, mode)])
    return ['3DPCK', 'persons', 'source', *(f'{mm} mm' for mm in TABLE_7_MM), 'AUC'], rows


def absolute_table(scores: Scores) -> Table:
    """Table 7's columns for absolute positions, of which the paper has none."""
    scores = without_prefix(scores, 'abs_')
    rows = [[mode, *threshold_row(scores, mode)] for mode in MODES]
    return ['absolute 3DPCK', *(f'{mm} mm' for mm in TABLE_7_MM), 'AUC'], rows


def threshold_row(scores: Scores, mode: str) -> list[float]:
    """3DPCK at Table 7's thresholds, and the AUC."""
    return _get(scores, [*(f'PCK_{mode}_{mm}' for mm in TABLE_7_MM), f'AUC_{mode}'])


def sequence_table(scores: Scores, mode: str) -> Table:
    """The official table: a row a sequence with its joint groups at 150 mm, their total and the
    AUC.

    The last row is the mean over sequences. Where some are undefined it has no value, and a row
    with the mean over the others says of how many it is.
    """
    rows = []
    for name in [*_sequences(scores, mode), '']:
        pck, auc = (f'{kind}_{mode}{name and "_" + name}' for kind in ('PCK', 'AUC'))
        keys = [*(f'{pck}_{group}' for group in JOINT_GROUPS), pck, auc]
        rows.append([name or 'mean', *_get(scores, keys)])
    defined = [figures for _, *figures in rows[:-1] if not math.isnan(figures[-2])]
    if 0 < len(defined) < len(rows) - 1:
        columns = zip(*defined, strict=True)
        rows.append([f'mean of {len(defined)}', *(sum(c) / len(defined) for c in columns)])
    return [f'{mode}, 150 mm', *JOINT_GROUPS, 'Total', 'AUC'], rows


def _sequences(scores: Scores, mode: str) -> dict[str, float]:
    """Name of each sequence -> its 3DPCK at 150 mm."""
    found = without_prefix(scores, f'PCK_{mode}_')
    return {name: _get(found, [name])[0] for name in found if re.fullmatch(r'TS\d+', name)}


def occlusion_table(scores: Scores) -> Table:
    """Visible and occluded joints at 150 mm, and over how many sequences each mean is."""
    rows = []
    for mode in MODES:
        rows.append([mode])
        for name in ('visible', 'occluded'):
            rows[-1] += _get(scores, [f'PCK_{mode}_{name}'])
            rows[-1].append(int(scores[f'n_sequences_{mode}_{name}']))
    return ['150 mm', 'visible', 'sequences', 'occluded', 'sequences'], rows


def mupots_remarks(scores: Scores) -> list[str]:
    """What the means do not say: sequences that have no figure, and test sets that are not the
    official one.
    """
    count, remarks = int(scores['n_sequences']), []
    for mode, reason in zip(MODES, ('no valid person', 'no matched person'), strict=True):
        lost = [name for name, value in _sequences(scores, mode).items() if math.isnan(value)]
        if lost:
            remarks.append(
                f'{mode}: {reason} in {", ".join(lost)}: the mean over sequences is not defined; '
                f'over the other {count - len(lost)} it is {cell(scores[f"PCK_{mode}_defined"])}'
            )
    if count != N_OFFICIAL_SEQUENCES:
        what = f'{count} sequences instead of {N_OFFICIAL_SEQUENCES}'
        remarks.append(f'{what}: not to be compared with published figures')
    return remarks


def mupots_summary(scores: Scores) -> str:
    """All tables of one test as text, absolute ones where they were scored; see also
    :func:`mupots_remarks`.
    """
    counts = [int(scores[f'n_{name}']) for name in COUNTS]
    tables = {
        'Counts': (['', *(name.replace('_', ' ') for name in COUNTS)], [['n', *counts]]),
        'Table 6, relative to the pelvis': table_6(scores),
        'Table 7, relative to the pelvis': table_7(scores),
    }
    absolute = without_prefix(scores, 'abs_')
    if absolute:
        tables['Absolute positions in the camera frame'] = absolute_table(scores)
    for what, part in (('relative to the pelvis', scores), ('absolute positions', absolute)):
        if part:
            for mode in MODES:
                tables[f'Sequences and joint groups, {mode}, {what}'] = sequence_table(part, mode)
            tables[f'Visible and occluded joints, {what}'] = occlusion_table(part)
    return '\n'.join(text_table(*table, title=title) for title, table in tables.items())
