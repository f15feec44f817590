# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""How often the perspective rule (Eq. 1-4, 7) contradicts true depth, measured on an embedded
world.

The rule says that of two persons the one whose labelled ankle is lower in the image stands nearer,
and that then all of its joints are nearer (Eq. 4). Person level: the rule against the depths of the
two pelvises. Joint level: the rule against the depths of each joint that is labelled in both
persons. All pairs of persons of an image that have a labelled ankle count; pairs whose ankles are
level are left out, as MCPC does.

python tools/analysis_tools/label_noise.py --world data/synthetic [--out DIR] [--ankle lowest|mean]
"""

import argparse
import itertools
import math
import sys
from pathlib import Path

import numpy as np

from wsp_mm.evaluation.controls import load_world_gt, mcpc_depths, percent
from wsp_mm.evaluation.tables import cell, markdown_table
from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.structures.relative_depth import ground_y
from wsp_mm.utils.files import dump_json, write_text_atomic

# Edges of the half-open bins [low, high); None is open.
BINS: dict[str, tuple[float | None, ...]] = {
    'pitch': (None, -5, 0, 5, 10, 15, 20, None),
    'roll': (0, 1, 2, 4, 8, None),
    'gap': (0, 0.1, 0.25, 0.5, 1, 2, 4, None),
}
TITLES = {
    'all': 'all pairs',
    'pitch': 'camera pitch, degrees (positive looks down)',
    'roll': 'camera roll, degrees either way',
    'posture': 'posture of the two persons',
    'gap': 'true distance of the pelvises in depth, m',
}


def find_pairs(persons: dict[str, np.ndarray], reduce: str = 'lowest') -> dict[str, np.ndarray]:
    """All pairs (A, B) of eligible persons of one table of :func:`load_world_gt`.

    P pairs, K = 16 joints of ``mcpc16``. Depth is Z in the camera frame.

    Args:
        persons: N rows with ``scene_ids``, ``keypoints_cam (N, J, 3)`` mm, ``keypoints (N, K, 2)``
            px, ``labelled (N, K)``, ``pitch``, ``roll`` degrees, ``posture``.
        reduce: which ankle counts where two are labelled, see ``ground_y``.

    Returns:
        ``rows`` (P, 2) A and B in the table; ``label`` (P,) whether the rule calls A nearer,
        ``tie`` (P,) whether the ankles are level; ``nearer`` (P,) and ``nearer_joints`` (P, K)
        whether A is, ``labelled`` (P, K) in both; ``gap`` (P,) m between the pelvises in depth;
        ``pitch``, ``roll`` (P,) degrees; ``posture`` (P,) the two postures, sorted, joined by
        ' + '; one word where they are equal.
    """
    ankles = get_joint_set('mcpc16').ankles
    keypoints, labelled = persons['keypoints'], persons['labelled'] > 0
    rows = zip(keypoints, labelled, strict=True)
    ground = np.array([ground_y(*row, ankles, reduce) for row in rows])
    scenes: dict[int, list[int]] = {}
    for row in np.flatnonzero(~np.isnan(ground)).tolist():
        scenes.setdefault(persons['scene_ids'][row], []).append(row)
    pairs = [pair for rows in scenes.values() for pair in itertools.combinations(rows, 2)]
    a, b = np.array(pairs, dtype=int).reshape(-1, 2).T
    pelvis = persons['keypoints_cam'][:, get_joint_set('world').index('pelvis'), 2].astype(float)
    joints = mcpc_depths(persons['keypoints_cam'])
    postures = [sorted({str(persons['posture'][i]) for i in pair}) for pair in pairs]
    return dict(
        rows=np.column_stack([a, b]),
        label=ground[a] > ground[b],
        tie=ground[a] == ground[b],
        nearer=pelvis[a] < pelvis[b],
        nearer_joints=joints[a] < joints[b],
        labelled=labelled[a] & labelled[b] & np.isfinite(joints[a] + joints[b]),
        gap=np.abs(pelvis[a] - pelvis[b]) / 1000,
        pitch=persons['pitch'][a].astype(float),
        roll=np.abs(persons['roll'][a].astype(float)),
        posture=np.array([' + '.join(names) for names in postures], dtype=str),
    )


def bin_masks(pairs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """'AXIS/BIN' -> (P,) which pairs are in it; empty bins stay in, postures are those that occur.

    Bins are called '0_5' for [0, 5), 'below_-5' and 'from_20' for the open ends.
    """
    masks = {'all/all': np.ones(len(pairs['label']), dtype=bool)}
    for axis, edges in BINS.items():
        for low, high in itertools.pairwise(edges):
            name = f'{low:g}_{high:g}' if None not in (low, high) else ''
            name = name or (f'below_{high:g}' if low is None else f'from_{low:g}')
            ends = -math.inf if low is None else low, math.inf if high is None else high
            masks[f'{axis}/{name}'] = (pairs[axis] >= ends[0]) & (pairs[axis] < ends[1])
    for name in np.unique(pairs['posture']).tolist():
        masks[f'posture/{name}'] = pairs['posture'] == name
    return masks


def label_noise(world: Path, reduce: str = 'lowest') -> dict[str, float]:
    """Contradictions in all of a world's annotated images.

    Returns:
        Flat dict with stable keys: ``person/AXIS/BIN`` and ``joint/AXIS/BIN`` in percent (nan where
        there is nothing to count), ``n/AXIS/BIN`` pairs, ``n_joint/AXIS/BIN`` joints, ``ties``;
        AXIS is all, pitch, roll, gap or posture.

    Raises:
        ValueError: ``world`` is no finished world.
    """
    tables = load_world_gt(world / 'ground_truth').values()
    parts = [find_pairs(persons, reduce) for persons in tables]
    pairs = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    ties = int(pairs['tie'].sum())
    pairs = {name: values[~pairs['tie']] for name, values in pairs.items()}
    wrong = pairs['label'] != pairs['nearer']
    wrong_joints = pairs['label'][:, None] != pairs['nearer_joints']
    flat: dict[str, float] = {}
    for name, chosen in bin_masks(pairs).items():
        joints = wrong_joints[chosen][pairs['labelled'][chosen]]
        flat[f'person/{name}'], flat[f'joint/{name}'] = percent(wrong[chosen]), percent(joints)
        flat[f'n/{name}'], flat[f'n_joint/{name}'] = int(chosen.sum()), joints.size
    return flat | {'ties': ties}


def rows_of(result: dict[str, float], axis: str) -> list[list]:
    """Rows of one axis of :func:`label_noise`'s result: bin for people, person %, joint %,
    pairs.
    """
    rows = []
    for key in (key for key in result if key.startswith(f'person/{axis}/')):
        name = key.split('/', 2)[2]
        text = name.replace('below_', '< ').replace('from_', '>= ').replace('_', ' to ')
        rows.append([text, *(result[f'{what}/{axis}/{name}'] for what in ('person', 'joint', 'n'))])
    return rows


def markdown(result: dict[str, float]) -> str:
    """The result as markdown tables."""
    lines = [
        'How often the perspective rule contradicts true depth, in percent of the pairs (persons: '
        'depth of the pelvises) and of the joints labelled in both (joints: Eq. 4).'
    ]
    for axis, title in TITLES.items():
        lines += ['', *markdown_table([title, 'persons', 'joints', 'pairs'], rows_of(result, axis))]
    return '\n'.join([*lines, '', f'Pairs with level ankles, left out: {result["ties"]}.', ''])


def plot(result: dict[str, float], path: Path) -> None:
    """Bars by pitch, roll, distance and posture; bins with fewer than 10 pairs are left blank."""
    from matplotlib.figure import Figure  # no pyplot: no display, no global state

    figure = Figure(figsize=(11, 8), layout='constrained')
    panels = figure.subplots(2, 2).flat
    bars = ((-0.2, 1, 'persons', '#3366aa'), (0.2, 2, 'joints', '#dd8833'))
    for axis, axes in zip(('pitch', 'roll', 'gap', 'posture'), panels, strict=True):
        rows, lying = rows_of(result, axis), axis == 'posture'
        if lying:  # the commonest ones, horizontal bars for their long names
            rows = sorted((row for row in rows if row[3] >= 10), key=lambda row: -row[3])[:10][::-1]
        places = np.arange(len(rows))
        for shift, column, label, color in bars:
            shares = [row[column] if row[3] >= 10 else math.nan for row in rows]
            draw = axes.barh if lying else axes.bar
            draw(places + shift, shares, 0.4, label=label, color=color)
        names = [f'{row[0]}{" " if lying else chr(10)}(n={row[3]})' for row in rows]
        (axes.set_yticks if lying else axes.set_xticks)(places, names, fontsize=7 if lying else 6)
        (axes.set_xlabel if lying else axes.set_ylabel)('rule wrong, %')
        axes.grid(axis='x' if lying else 'y', alpha=0.3)
        axes.set_title(TITLES[axis], fontsize=10)
        axes.legend(fontsize=8)
    person, joint = (cell(result[f'{what}/all/all']) for what in ('person', 'joint'))
    figure.suptitle(
        f'Perspective rule against true depth: wrong for {person} % of the pairs, {joint} % of '
        'their joints'
    )
    figure.savefig(path, dpi=110)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n\n')[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add, world = parser.add_argument, 'folder of tools/dataset_converters/make_world.py'
    add('--world', type=Path, default=Path('data/synthetic'), help=world)
    files = 'folder for label_noise.{json,md,png} (default: WORLD/label_noise)'
    add('--out', type=Path, help=files)
    ankles = 'where two ankles are labelled'
    add('--ankle', choices=('lowest', 'mean'), default='lowest', help=ankles)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    out = args.out or args.world / 'label_noise'
    try:
        result = label_noise(args.world, args.ankle)
        dump_json(out / 'label_noise.json', result)
        write_text_atomic(out / 'label_noise.md', markdown(result))
        plot(result, out / 'label_noise.png')
    except (ValueError, OSError) as error:
        print(f'label_noise: {error}', file=sys.stderr)
        return 1
    print(f'{markdown(result)}\nWritten: {out}/label_noise.json, label_noise.md, label_noise.png')
    return 0


if __name__ == '__main__':
    sys.exit(main())
