# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""The report of one relative-depth study: tables, controls, curves, and pictures to look at."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np

from wsp_mm.apis.rd_study import RelativeDepthStudy
from wsp_mm.evaluation.predictions import load_dump
from wsp_mm.evaluation.tables import TABLE_2, TABLE_3, control_rows, rd_table, without_prefix
from wsp_mm.utils.files import dump_json, without_nan
from wsp_mm.visualization.draw import draw_pair
from wsp_mm.visualization.figures import encode_image, fit_image, image_grid, spread
from wsp_mm.visualization.report import Report, curves_figure, read_scalars

READING = (
    'AUC and Acc are measured against the perspective label, joint by joint, as in the paper. "true depth" is the '
    'agreement with the true order of the pelvises (pairs) or of each joint (joints); "rule wrong" keeps only '
    'the pairs whose perspective label contradicts the truth. A figure close to that of the grey picture or of '
    'a box rule says that the task was answered from where the boxes lie, not from what the picture shows.'
)


def write_rd_report(
    study: RelativeDepthStudy,
    out: Path,
    notes: Mapping[str, str],
    noise: tuple[dict, bytes] | None,
    more: Callable[[Report], Mapping[str, float | None]] | None = None,
) -> dict[str, float]:
    """Write ``report.html``, ``report.md`` and ``report.json`` and return the figures of the
    latter.

    Args:
        study: tested under every protocol.
        out: folder of the report.
        notes: lines of the first table (machine, times, commands).
        noise: label noise of the world (flat table) and its plot as PNG, where the truth is known.
        more: adds further sections to the report and returns their figures.
    """
    root = study.steps.root
    data_root = root / study.data_root
    truth = data_root / 'truth'
    metrics, metrics_ra = study.metrics(), study.metrics('protocol 2 (ankles removed)')
    controls = study.controls(truth if truth.is_dir() else None)
    report = Report('wsp_mm on the embedded world', out)
    report.text(
        'Everything below was made by the commands of this run, except the columns named "paper": those were '
        'measured on real data with the full network and schedule, and are no target here.'
    )
    report.table(['', ''], [[key, value] for key, value in notes.items()])
    report.heading('RD protocol 1 (the layout of Table 2)')
    report.table(*rd_table(without_prefix(metrics, 'rd/'), TABLE_2))
    report.heading('RD protocol 2: ankles removed from the test pictures (the layout of Table 3)')
    report.table(*rd_table(without_prefix(metrics_ra, 'rd/'), TABLE_3))
    report.heading('Seeing or guessing: controls on the same pairs')
    report.table(*control_rows(controls))
    report.text(READING)
    against = study.against_rule(truth) if truth.is_dir() else {}
    if against:
        report.text(
            f'Against the rule "lower box bottom", pair by pair: {against["only_one"]} pairs whose true order '
            f'the network alone gives, {against["only_other"]} that the rule alone gives. If both were equally '
            f'good, a split at least as uneven would have probability {against["p"]:.2f} (exact sign test).'
        )
    report.text(
        f"2D keypoints: PCK {metrics['pck/PCK']:.1f} % within 0.1 of the person's box height (peak in its box)."
    )
    report.heading('Training')
    curves = read_scalars(root / study.work_dir)
    losses = [name for name in curves if name.startswith('loss')]
    panels = {
        'training loss': losses,
        'held-out AUC (%)': ['rd/AUC', 'rd/AUC_gap0.1'],
        'held-out PCK (%)': ['pck/PCK'],
    }
    report.figure(
        'curves', curves_figure(curves, panels), 'Loss by iteration, AUC and PCK by epoch'
    )
    report.heading('Held-out pairs')
    report.figure(
        'pairs',
        encode_image(pair_sheet(study, 24)),
        'Predicted joints and order: A blue, B orange; green frame: the order is the label, red: it is not.',
    )
    report.heading('The world')
    report.figure(
        'world', encode_image(world_sheet(data_root, 24)), '24 scenes of the training split'
    )
    if noise is not None:
        report.heading('How often the perspective rule contradicts true depth')
        table, plot = noise
        report.table(*noise_rows(table))
        report.figure('label_noise', plot, 'Label noise by camera, posture and distance')
    figures = summary(metrics, metrics_ra, controls) | dict(more(report) if more else {})
    figures |= {f'against lower box bottom/{name}': value for name, value in against.items()}
    report.write()
    dump_json(out / 'report.json', figures)
    return figures


def summary(
    metrics: Mapping[str, float],
    metrics_ra: Mapping[str, float],
    controls: Mapping[str, Mapping[str, float]],
) -> dict[str, float]:
    """Flat figures of a report: ``p1/...``, ``p2/...`` and ``control/ROW/COLUMN``."""
    flat = {f'p1/{k}': v for k, v in metrics.items()} | {
        f'p2/{k}': v for k, v in metrics_ra.items()
    }
    for row, values in controls.items():
        flat |= {f'control/{row}/{column}': value for column, value in values.items()}
    return without_nan(flat)


def noise_rows(noise: Mapping[str, float]) -> tuple[list[str], list[list]]:
    """Header and rows of ``label_noise.json`` (its keys are WHAT/AXIS/BIN); empty bins are left
    out.
    """
    rows = []
    for key in noise:
        what, _, place = key.partition('/')
        if what == 'person' and noise[f'n/{place}']:
            name = ' '.join(dict.fromkeys(place.replace('_', ' ').split('/')))
            rows.append([name, noise[key], noise[f'joint/{place}'], noise[f'n/{place}']])
    return ['', '% of pairs', '% of joints', 'pairs'], rows


def pair_sheet(study: RelativeDepthStudy, count: int) -> np.ndarray:
    """Tiles of test pairs, spread evenly over the test set."""
    dump = load_dump(study.steps.root / study.dump('protocol 1'))
    gt, pred = (without_prefix(dump, f'{side}_instances.') for side in ('gt', 'pred'))
    tiles = []
    for i in spread(np.argsort(dump['id']).tolist(), count):
        tiles.append(
            draw_pair(
                cv2.imread(str(study.steps.root / dump['img_path'][i])),
                gt['pair_bboxes'][i],
                pred['keypoints'][i],
                gt['pair_visible'][i] > 0,
                float(pred['pair_probs'][i]),
                int(gt['depth_label'][i]),
            )
        )
    return image_grid(tiles, columns=6)


def world_sheet(data_root: Path, count: int) -> np.ndarray:
    """Pictures of the training split, spread over the sources."""
    mcpc = json.loads((data_root / 'mcpc' / 'mcpc_train.json').read_text())
    images = sorted(mcpc['images'], key=lambda image: (image['source'], image['file_name']))
    pictures = [
        cv2.imread(str(data_root / i['source'] / i['file_name'])) for i in spread(images, count)
    ]
    return image_grid([fit_image(picture, 320, 240) for picture in pictures], columns=6)
