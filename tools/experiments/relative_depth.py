# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""A relative-depth network: its tests and controls as steps, and their part of a report."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from networks import evaluation, metrics
from report import Report, curves_figure, read_scalars
from runner import Step
from worlds import SOURCES

from wsp_mm.evaluation.controls import control_table, load_pairs, load_probs, sign_test
from wsp_mm.evaluation.predictions import load_dump
from wsp_mm.evaluation.tables import (
    TABLE_2,
    TABLE_3,
    Scores,
    control_rows,
    rd_table,
    stand_in_text,
    without_prefix,
)
from wsp_mm.visualization.draw import draw_pair
from wsp_mm.visualization.figures import encode_image, fit_image, image_grid, spread

#: What is tested: name -> suffix of the config beside the trained one, and folder.
PROTOCOLS = {
    'protocol 1': ('', 'p1'),
    'protocol 2 (ankles removed)': ('_ra', 'p2'),
    'gray image': ('_gray', 'gray'),
}
RULE = 'lower box bottom'
LABEL = 'label (perspective rule)'
READING = (
    'AUC and Acc are measured against the perspective label, joint by joint, as in the paper. '
    '"true depth" is the agreement with the true order of the pelvises (pairs) or of each joint '
    '(joints); "rule wrong" keeps only the pairs whose perspective label contradicts true depth. A '
    'figure close to that of the gray image or of a box rule means that the task was answered from '
    'where the boxes are, not from what the image shows.'
)


def evaluations(
    name: str, config: str, checkpoint: Path, work_dir: Path, options: Sequence[str] = ()
) -> list[Step]:
    """The tests of a network under all :data:`PROTOCOLS`, in folders of ``work_dir``.

    Args:
        config: of the training; its ``_ra`` and ``_gray`` siblings change the test images alone.
    """
    stem = config.removesuffix('.py')
    more = [
        (f'{name}-test-{folder}', f'{stem}{suffix}.py', checkpoint, work_dir / folder)
        for suffix, folder in PROTOCOLS.values()
    ]
    return [evaluation(*test, options) for test in more]


def controls(
    work_dir: Path, data_root: Path, against: str = RULE, mcpc: str = 'mcpc'
) -> tuple[dict[str, dict], dict[str, float]]:
    """The control table of the tests (see :mod:`wsp_mm.evaluation.controls`), and the network
    against a box rule or :data:`LABEL`, pair by pair; the latter is empty where true depth is
    unknown. ``mcpc`` is the folder of the test pairs in the data.
    """
    gt = data_root / 'ground_truth'
    table = load_pairs(data_root / mcpc / 'mcpc_test.json', gt if gt.is_dir() else None)
    probs = {
        f'network, {name}': load_probs(work_dir / folder / 'predictions.npz', table)
        for name, (_, folder) in PROTOCOLS.items()
    }
    network = probs['network, protocol 1'][1]
    if table.depth is None:
        return control_table(table, probs), {}
    other = table.label.astype(float) if against == LABEL else table.rule(against)
    return control_table(table, probs), sign_test(table, network, other)


def label_noise(data_root: Path, out: Path) -> Step:
    """How often the perspective rule contradicts the world's true depth."""
    return Step(
        'label-noise',
        ['tools/analysis_tools/label_noise.py', '--world', data_root, '--out', out],
        inputs=[data_root / 'ground_truth' / f'{source}_train.npz' for source in SOURCES],
        outputs=[out / 'label_noise.json', out / 'label_noise.png'],
    )


def add_sections(
    report: Report, training: Path, test: Path, noise: Path, data_root: Path
) -> dict[str, float]:
    """Add the sections of one network to a report.

    Args:
        training: its work dir. test: the folder of its tests. noise: that of :func:`label_noise`.

    Returns:
        Flat figures: ``p1/...``, ``p2/...``, ``control/ROW/COLUMN`` and ``against RULE/...``.
    """
    p1, p2 = metrics(test / 'p1'), metrics(test / 'p2')
    control, against = controls(test, data_root)
    report.heading('RD protocol 1 (the layout of Table 2)')
    report.table(*rd_table(without_prefix(p1, 'rd/'), TABLE_2))
    report.heading('RD protocol 2: ankles removed from the test images (the layout of Table 3)')
    report.table(*rd_table(without_prefix(p2, 'rd/'), TABLE_3))
    report.heading('Seeing or guessing: controls on the same pairs')
    report.table(*control_rows(control))
    report.text(f'{READING} {stand_in_text(p1, "rd/")}')
    if against:
        report.text(
            f'Against the rule "{RULE}", pair by pair: {against["only_one"]} pairs whose true '
            f'order the network alone gives, {against["only_other"]} that the rule alone gives. If '
            'both were equally good, a split at least as uneven would have probability '
            f'{against["p"]:.2f} (exact sign test).'
        )
    pck = f'PCK {p1["pck/PCK"]:.1f} % within 0.1'
    report.text(f"2D keypoints: {pck} of the person's box height (peak in its box).")
    report.heading('Training')
    curves = read_scalars(training)
    panels = {
        'training loss': [name for name in curves if name.startswith('loss')],
        'held-out AUC (%)': ['rd/AUC', 'rd/AUC_gap0.1'],
        'held-out PCK (%)': ['pck/PCK'],
    }
    report.figure('curves', curves_figure(curves, panels), 'By iteration')
    report.heading('Held-out pairs')
    report.figure(
        'pairs',
        encode_image(pair_grid(test / 'p1/predictions.npz', 24)),
        'Predicted joints and order: A blue, B orange; green frame: the order is the label, red: '
        'it is not.',
    )
    report.heading('The world')
    image = encode_image(world_grid(data_root, 24))
    report.figure('world', image, '24 scenes of the training split')
    report.heading('How often the perspective rule contradicts true depth')
    report.table(*noise_rows(json.loads((noise / 'label_noise.json').read_text())))
    plot = (noise / 'label_noise.png').read_bytes()
    report.figure('label_noise', plot, 'Label noise by camera, posture and distance')
    return figures(p1, p2, control, against)


def figures(
    p1: Scores, p2: Scores, control: Mapping[str, Scores], against: Scores
) -> dict[str, float]:
    """Flat figures of :func:`add_sections`."""
    groups = {'p1': p1, 'p2': p2, f'against {RULE}': against}
    groups |= {f'control/{row}': values for row, values in control.items()}
    return {f'{name}/{k}': value for name, values in groups.items() for k, value in values.items()}


def noise_rows(noise: Scores) -> tuple[list[str], list[list]]:
    """Header and rows of ``label_noise.json`` (its keys are WHAT/AXIS/BIN) without empty bins."""
    rows = []
    for key in noise:
        what, _, place = key.partition('/')
        if what == 'person' and noise[f'n/{place}']:
            name = ' '.join(dict.fromkeys(place.replace('_', ' ').split('/')))
            rows.append([name, noise[key], noise[f'joint/{place}'], noise[f'n/{place}']])
    return ['', '% of pairs', '% of joints', 'pairs'], rows


def pair_grid(dump_file: Path, count: int) -> np.ndarray:
    """Tiles of test pairs, spread evenly over the test set."""
    dump = load_dump(dump_file)
    gt, pred = (without_prefix(dump, f'{side}_instances.') for side in ('gt', 'pred'))
    tiles = [
        draw_pair(
            cv2.imread(str(dump['img_path'][i])),
            gt['pair_bboxes'][i],
            pred['keypoints'][i],
            gt['pair_visible'][i] > 0,
            float(pred['pair_probs'][i]),
            int(gt['depth_label'][i]),
        )
        for i in spread(np.argsort(dump['id']).tolist(), count)
    ]
    return image_grid(tiles, columns=6)


def world_grid(data_root: Path, count: int) -> np.ndarray:
    """Images of the training split, spread over the sources."""
    mcpc = json.loads((data_root / 'mcpc/mcpc_train.json').read_text())
    names = sorted((image['source'], image['file_name']) for image in mcpc['images'])
    images = [cv2.imread(str(data_root.joinpath(*name))) for name in spread(names, count)]
    return image_grid([fit_image(image, 320, 240) for image in images], columns=6)
