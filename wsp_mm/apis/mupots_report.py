# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The MuPoTS part of a report: Tables 6 and 7 in our numbers, and what they rest on."""

from __future__ import annotations

from wsp_mm.apis.mupots_study import POSES, ROOTS, MuPoTSResults
from wsp_mm.evaluation.tables import (
    TABLE_6,
    TABLE_7,
    TABLE_7_MM,
    mupots_remarks,
    threshold_row,
    without_prefix,
)
from wsp_mm.visualization.report import Report

PREFIX = 'mupots/'
NOTE = (
    'Multi-person poses in camera space on the embedded MuPoTS world, scored by the official algorithm: a '
    'detector trained here, root depths by the k-value of the box or by a network trained here, and pose '
    'networks trained here on MuCo and COCO. No ground truth is in that path; rows with true boxes and roots '
    'show what better boxes and roots would bring. One seed: a difference of a point may be chance.'
)


def add_mupots_sections(report: Report, results: MuPoTSResults) -> dict[str, float | None]:
    """Add the MuPoTS sections to a report that is being made.

    Returns:
        Flat figures for ``report.json``: ``mupots/POSE/ROOTS/PCK_All`` and so on,
        ``roots/ROOTS/...`` and ``detector/AP50``.
    """
    report.heading('MuPoTS-3D: Table 6 in our numbers (3DPCK at 150 mm, relative to the pelvis)')
    report.text(NOTE)
    columns = ('All', 'Matched', 'absolute, All', 'absolute, Matched')
    keys = ('PCK_All', 'PCK_Matched', 'abs_PCK_All', 'abs_PCK_Matched')
    rows = [
        [POSES[pose][1], ROOTS[roots], *(scores.get(key) for key in keys)]
        for pose, roots, scores in _tests(results)
    ]
    for method, (backbone, category, all_, matched) in TABLE_6.items():
        rows.append(
            [f'{method} ({backbone}, {category})', 'paper, real data', all_, matched, None, None]
        )
    report.table(['3DPCK', 'boxes and roots', *columns], rows)
    report.heading('MuPoTS-3D: Table 7 in our numbers (100 to 150 mm)')
    rows = [
        [POSES[pose][1], ROOTS[roots], mode, *threshold_row(scores, mode)]
        for pose, roots, scores in _tests(results)
        for mode in ('All', 'Matched')
        if roots != 'gt'
    ]
    rows += [
        [f'{m} R18', 'paper, real data', mode, *row, None] for (m, mode), row in TABLE_7.items()
    ]
    report.table(
        ['3DPCK', 'boxes and roots', 'persons', *(f'{mm} mm' for mm in TABLE_7_MM), 'AUC'], rows
    )
    for note in dict.fromkeys(
        note for _, _, scores in _tests(results) for note in mupots_remarks(scores)
    ):
        report.text(note)
    report.heading('Detector and root depth')
    # mmdet gives no figure where nothing was detected at all.
    ap50 = 100 * results.detector.get('coco/bbox_mAP_50', 0.0)
    report.text(f'Detector: AP50 {ap50:.1f} on held-out pictures of the wild world.')
    names = ('MRPE', 'MRPE_x', 'MRPE_y', 'MRPE_z', 'AP_root', 'recall', 'n_roots')
    labels = {**ROOTS, 'gt': 'true boxes, learned root'}
    rows = [[labels[key], *(results.roots[key][name] for name in names)] for key in labels]
    report.table(['mm; AP_root at 250 mm, %', *names], rows)
    report.text(
        f'With true boxes the k-value alone is {results.roots["gt"]["prior_z"]:.1f} mm off along z. MRPE with '
        f'the detector counts the {results.roots["k"]["n_matched"]} persons who have a box.'
    )
    if results.viewer is not None:
        report.link(results.viewer, 'One sequence in camera space, to turn around (viewer.html)')
    trained = ('detector-train', 'root-train', *(f'muco-{name}-train' for name in POSES))
    report.text(
        'Trainings, s: '
        + ', '.join(f'{name} {results.seconds[name]:.0f}' for name in trained)
        + '.'
    )
    flat: dict[str, float | None] = {'detector/AP50': ap50}
    for pose, roots, scores in _tests(results):
        flat |= {f'mupots/{pose}/{roots}/{key}': _known(scores.get(key)) for key in keys}
    for key in labels:
        flat |= {f'roots/{key}/{name}': _known(results.roots[key][name]) for name in names}
    return flat


def _tests(results: MuPoTSResults) -> list[tuple[str, str, dict[str, float]]]:
    """(pose, roots, scores without prefix) in the tables' order."""
    return [
        (pose, roots, without_prefix(results.scores[f'{pose}/{roots}'], PREFIX))
        for roots in ROOTS
        for pose in POSES
        if f'{pose}/{roots}' in results.scores
    ]


def _known(value: float | None) -> float | None:
    return None if value is None or value != value else float(value)
