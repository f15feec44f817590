# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The 3D part of a report: Table 4 in our numbers, what a network must beat, and pictures to look
at.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wsp_mm.apis.table4 import REFERENCE, Table4, reading
from wsp_mm.evaluation.tables import TABLE_4, TABLE_4_COLUMNS, table_5, without_prefix
from wsp_mm.visualization.figures import encode_image, pose_cases, pose_grid
from wsp_mm.visualization.report import Report

LABELS = {'PoseNet': 'from scratch (PoseNet)', 'WSP': 'WSP pre-training'}


def add_pose3d_sections(
    report: Report, table: Table4, root: Path, pictures: int = 8, notes: Sequence[str] = ()
) -> dict[str, float | None]:
    """Add the 3D sections to a report that is being made.

    Args:
        report: sections are added at its end; writing it is the caller's.
        table: of :func:`wsp_mm.apis.table4.run_table4`.
        root: the chain's root, which dumps are relative to.
        pictures: persons of the test set shown, of the row that comes last and the table's first
            seed.
        notes: sentences about the world and the schedule.

    Returns:
        Flat figures for ``report.json``: ``3d/ROW/COLUMN`` (mean over seeds), ``3d/mean_pose/...``
        and ``3d/ROW/of_mean_pose``, the row's Joints Avg as a share of the mean pose's.
    """
    report.heading('3D pose: Table 4 in our numbers')
    for note in notes:
        report.text(note)
    report.table(*table.lines())
    report.text(reading(table))
    if table.reference is not None:
        report.text(shares_text(table))
    report.table(*paper_lines())
    report.text(
        'Printed in the paper (real data, ResNet-50, 25 epochs): no target here. Its text says 48.7 where the '
        'table has 47.5.'
    )
    seed = table.seeds[0]
    header, rows = ['mm', *table_5({})[0][1:]], []
    for row in table.rows:
        if seed in table.scores.get(row.name, {}):
            cells = table_5(without_prefix(table.scores[row.name][seed], 'h36m/'))[1]
            rows += [[f'{row.label}, {row.data}: {line[0]}', *line[1:]] for line in cells[:2]]
    report.heading("Actions (the layout of Table 5; '-': does not occur in this world's test set)")
    report.table(header, rows)
    shown = [row for row in table.rows if seed in table.dumps.get(row.name, {})]
    if shown:
        row = shown[-1]
        cases = pose_cases(root / table.dumps[row.name][seed], pictures)
        report.heading('Predictions')
        report.figure(
            'pose3d',
            encode_image(pose_grid(cases)),
            f'{row.label}, {row.data}, seed {seed}: {len(cases)} persons spread evenly over the test set, with '
            'their MPJPE. Grey: truth; colours: prediction (left green, right orange), roots made to coincide.',
        )
    return figures(table)


def shares(table: Table4) -> dict[str, float]:
    """Row name -> its MPJPE (pooled, mean over seeds) as a share of the mean pose's."""
    floor = float(table.reference['h36m/MPJPE'])
    return {
        row.name: table.summary(row.name, 'MPJPE')[0] / floor
        for row in table.rows
        if row.name in table.scores
    }


def shares_text(table: Table4) -> str:
    """One sentence a row: how much of the mean pose's error is left."""
    labels = {row.name: f'{row.label}, {row.data}' for row in table.rows}
    parts = [f'{labels[name]}: {share:.2f}' for name, share in shares(table).items()]
    return (
        f'"{REFERENCE}" gives everybody the mean root-relative pose of the training samples, in the camera '
        'frame, without looking. Joints Avg as a share of its error: ' + '; '.join(parts) + '.'
    )


def paper_lines() -> tuple[list[str], list[list]]:
    """The paper's Table 4: header and rows."""
    rows = [[LABELS[method], data, *figures] for (method, data), figures in TABLE_4.items()]
    return ['mm, printed in the paper', 'trained on', *TABLE_4_COLUMNS], rows


def figures(table: Table4) -> dict[str, float | None]:
    """Flat figures, see :func:`add_pose3d_sections`."""
    flat: dict[str, float | None] = {}
    for row in table.plain()['rows']:
        name = next(r.name for r in table.rows if (r.label, r.data) == (row['label'], row['data']))
        flat |= {f'3d/{name}/{column}': value for column, value in row['mean'].items()}
    if table.reference is not None:
        flat |= {
            f'3d/mean_pose/{key}': table.reference[f'h36m/{key}']
            for key in ('MPJPE', 'X', 'Y', 'Z')
        }
        flat |= {f'3d/{name}/of_mean_pose': share for name, share in shares(table).items()}
    return flat
