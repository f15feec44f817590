# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""How good the labels of relative depth are that 2D annotations give, against the true depth of an
embedded world.

Between persons: the perspective rule, and the ground plane (build_mcpc.py --labels plane) with all
its evidence, by the feet alone and by the sizes alone. Truth is the order of the two pelvises.
Within a person: whether the lower of two feet is the nearer one, and how far foreshortening tells
the depth between a limb's ends.

python tools/analysis_tools/label_quality.py --world data/synthetic [--split train|test] [--out DIR]
"""

import argparse
import math
import sys
from pathlib import Path

import numpy as np
from label_noise import TITLES, bin_masks, find_pairs

from wsp_mm.evaluation.controls import TEST_SPLITS, load_world_gt, percent
from wsp_mm.evaluation.tables import markdown_table
from wsp_mm.structures.ground_plane import SEGMENTS, apparent_size, plane_order, segment_depths
from wsp_mm.structures.keypoints import convert_joints, get_joint_set
from wsp_mm.utils.files import dump_json, progress_bar, write_text_atomic

JOINT_SET = 'mcpc16'
WAYS = ('rule', 'plane', 'plane, feet alone', 'sizes alone')
_EVIDENCE = dict(zip(WAYS[1:], ('both', 'ground', 'size'), strict=True))
#: Edges of confidence, max(p, 1 - p), and the pairs that a bin needs to be counted.
CONFIDENCE, MIN_PAIRS = np.linspace(0.5, 1, 11), 100
#: An ankle's height over the ground, mm, of a foot that stands on it.
ON_GROUND_MM = 140
_PERSONS = ((2, 2), (3, 4), (5, 99))


def image_size(points_cam: np.ndarray, points_px: np.ndarray) -> tuple[int, int]:
    """Width and height px of an image whose principal point is its centre, from the joints in
    camera space (..., 3) mm and their projections (..., 2) px.

    Raises:
        ValueError: fewer than two joints are in front of the camera.
    """
    good = np.isfinite(points_px).all(axis=-1) & (points_cam[..., 2] > 0)
    if good.sum() < 2:
        raise ValueError('an image without two joints in front of the camera has no known size')
    rays, pixels = points_cam[good][:, :2] / points_cam[good][:, 2:], points_px[good]
    center = [np.polyfit(rays[:, k], pixels[:, k], 1)[1] for k in range(2)]
    return tuple(round(float(2 * c + 1)) for c in center)


def measure_pairs(persons: dict[str, np.ndarray], progress: bool = False) -> dict[str, np.ndarray]:
    """All pairs of :func:`label_noise.find_pairs`, but ties, with what every way says.

    Returns:
        Its columns; also ``persons`` (P,), in the table's image; ``ratio`` (P,), true log of B's
        depth over A's; for each of :data:`WAYS` ``prob/WAY`` (P,) P(A nearer), and ``ratio/WAY``
        (P,), nan for the rule.
    """
    pairs = find_pairs(persons)
    pairs = {name: values[~pairs['tie']] for name, values in pairs.items()}
    a, b = pairs['rows'].T
    depth = persons['keypoints_cam'][:, get_joint_set('world').index('pelvis'), 2].astype(float)
    pairs['ratio'] = np.log(depth[b] / depth[a])
    pairs['persons'] = np.zeros(len(a), dtype=int)
    for way in WAYS:
        pairs[f'prob/{way}'] = pairs['label'].astype(float)
        pairs[f'ratio/{way}'] = np.full(len(a), np.nan)
    scene_of = persons['scene_ids'][a]
    for scene in progress_bar(np.unique(scene_of).tolist(), label='images', show=progress):
        rows, here = (
            np.flatnonzero(persons['scene_ids'] == scene),
            np.flatnonzero(scene_of == scene),
        )
        first, second = (np.searchsorted(rows, side[here]) for side in (a, b))
        pairs['persons'][here] = len(rows)
        size = image_size(persons['keypoints_cam'][rows], persons['keypoints_px'][rows])
        joints = persons['keypoints'][rows], persons['labelled'][rows]
        for way, evidence in _EVIDENCE.items():
            order = plane_order(*joints, *size, JOINT_SET, evidence)
            pairs[f'prob/{way}'][here] = order.nearer[first, second]
            pairs[f'ratio/{way}'][here] = order.log_depth[second] - order.log_depth[first]
    return pairs


def reliability(prob: np.ndarray, nearer: np.ndarray) -> list[list[float]]:
    """Rows of low, high, pairs, mean confidence and agreement in percent, for the bins of
    :data:`CONFIDENCE` that hold any pair.
    """
    confidence, right = np.maximum(prob, 1 - prob), (prob >= 0.5) == nearer
    bins = np.clip(np.digitize(confidence, CONFIDENCE) - 1, 0, len(CONFIDENCE) - 2)
    return [
        [*CONFIDENCE[k : k + 2].tolist(), int(n), percent(confidence[bins == k]),
         percent(right[bins == k])]
        for k, n in enumerate(np.bincount(bins, minlength=len(CONFIDENCE) - 1)) if n
    ]  # fmt: skip


def scores(pairs: dict[str, np.ndarray], way: str) -> dict[str, float]:
    """Figures of one way: ``all``, ``rule_wrong`` (where the rule is wrong) and ``surest_85`` are
    agreement with the truth in percent; ``ece`` and ``ece_max`` are the mean and the largest
    difference of confidence and agreement over the bins of at least :data:`MIN_PAIRS` pairs, in
    percentage points; ``ratio_corr`` and ``ratio_mae`` compare the log ratios of depth.
    """
    prob, nearer = pairs[f'prob/{way}'], pairs['nearer']
    right, wrong = (prob >= 0.5) == nearer, pairs['label'] != nearer
    surest = np.argsort(-np.maximum(prob, 1 - prob), kind='stable')[: round(0.85 * len(prob))]
    rows = [row for row in reliability(prob, nearer) if row[2] >= MIN_PAIRS]
    gaps = np.array([abs(row[3] - row[4]) for row in rows])
    found = dict(
        all=percent(right), rule_wrong=percent(right[wrong]), surest_85=percent(right[surest]),
        ece=float(np.average(gaps, weights=[row[2] for row in rows])) if rows else math.nan,
        ece_max=float(gaps.max()) if rows else math.nan,
    )  # fmt: skip
    ratio = pairs[f'ratio/{way}']
    known = np.isfinite(ratio)
    if known.sum() > 2:
        found['ratio_corr'] = float(np.corrcoef(ratio[known], pairs['ratio'][known])[0, 1])
        found['ratio_mae'] = float(np.abs(ratio - pairs['ratio'])[known].mean())
    return found


def feet(persons: dict[str, np.ndarray]) -> dict[str, float]:
    """Whether the lower of two labelled ankles is the nearer one: percent, and number of persons:
    ``all``; ``on_ground``, both within :data:`ON_GROUND_MM` of the ground; ``raised``, the others.
    """
    ankles = list(get_joint_set(JOINT_SET).ankles)
    sides = [get_joint_set('world').index(f'{side}_ankle') for side in ('left', 'right')]
    cam = persons['keypoints_cam'][:, sides].astype(float)
    pitch, roll = np.deg2rad([persons['pitch'], persons['roll']])
    up = np.stack(
        [np.sin(roll) * np.cos(pitch), -np.cos(roll) * np.cos(pitch), -np.sin(pitch)], axis=-1
    )
    over_ground = persons['camera_height'][:, None] + np.einsum('nsk,nk->ns', cam, up)
    y = persons['keypoints'][:, ankles, 1]
    both = (persons['labelled'][:, ankles] > 0).all(axis=1) & (y[:, 0] != y[:, 1])
    right = (y[:, 0] > y[:, 1]) == (cam[:, 0, 2] < cam[:, 1, 2])
    grounded = (over_ground < ON_GROUND_MM).all(axis=1)
    groups = dict(all=both, on_ground=both & grounded, raised=both & ~grounded)
    return {
        name: value
        for group, chosen in groups.items()
        for name, value in ((group, percent(right[chosen])), (f'n_{group}', int(chosen.sum())))
    }


def limbs(persons: dict[str, np.ndarray]) -> dict[str, list[float]]:
    """Depth between the ends of each kind of segment, by foreshortening against the truth.

    Returns:
        kind -> number, correlation, mean absolute error, and mean absolute true depth, which is the
        error of "all limbs lie in the image's plane"; in body heights.
    """
    joints, known = convert_joints(
        persons['keypoints_cam'].astype(float), np.ones(persons['keypoints_cam'].shape[:2]),
        'world', JOINT_SET,
    )  # fmt: skip
    names, found = get_joint_set(JOINT_SET), {}
    size, _ = apparent_size(persons['keypoints'], persons['labelled'])
    told = segment_depths(persons['keypoints'], persons['labelled'], size)
    for k, (a, b, _) in enumerate(SEGMENTS):
        a, b = names.index(a), names.index(b)
        true = np.abs(joints[:, a, 2] - joints[:, b, 2]) / persons['height']
        kind = '-'.join(dict.fromkeys(SEGMENTS[k][i].split('_', 1)[-1] for i in (0, 1)))
        good = np.isfinite(told[:, k]) & (known[:, [a, b]] > 0).all(axis=1)
        found.setdefault(kind, []).append(np.column_stack([told[good, k], true[good]]))
    result = {}
    for kind, parts in found.items():
        told_depth, true = np.concatenate(parts).T
        varied = len(true) > 2 and told_depth.std() * true.std() > 1e-12
        corr = np.corrcoef(told_depth, true)[0, 1] if varied else math.nan
        error, without = np.abs(told_depth - true), np.abs(true)
        figures = (error.mean(), without.mean()) if len(true) else (math.nan, math.nan)
        result[kind] = [len(true), float(corr), *map(float, figures)]
    return result


def label_quality(world: Path, split: str | None = None, progress: bool = False) -> dict:
    """Measure a world.

    Args:
        world: folder with ``ground_truth``. split: MCPC's, train or test; both by default.

    Returns:
        ``pairs`` and ``persons``, their numbers; ``ways``: way -> :func:`scores`; ``bins``:
        AXIS/BIN -> number and agreement of each way; ``reliability`` of the plane; ``feet``;
        ``limbs``.

    Raises:
        ValueError: no finished world, or no pair in the split.
    """
    tables = [
        table
        for (source, part), table in load_world_gt(world / 'ground_truth').items()
        if split is None or (split == 'test') == (part == TEST_SPLITS.get(source))
    ]
    parts = [measure_pairs(table, progress) for table in tables]
    if not sum(len(part['label']) for part in parts):
        raise ValueError(f'{world} has no pair of persons with labelled ankles in {split or "it"}')
    pairs = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    shared = set.intersection(*(set(table) for table in tables))
    persons = {name: np.concatenate([table[name] for table in tables]) for name in shared}
    right = {way: (pairs[f'prob/{way}'] >= 0.5) == pairs['nearer'] for way in WAYS}
    masks = bin_masks(pairs) | {
        f'persons/{low}'
        + (f'_to_{high}' if high < 99 and high > low else '_or_more' * (high > low)): (
            (pairs['persons'] >= low) & (pairs['persons'] <= high)
        )
        for low, high in _PERSONS
    }
    return dict(
        pairs=len(pairs['label']), persons=len(persons['pitch']), split=split or 'all',
        ways={way: scores(pairs, way) for way in WAYS},
        bins={name: [int(chosen.sum()), *(percent(right[way][chosen]) for way in WAYS)]
              for name, chosen in masks.items()},
        reliability=reliability(pairs['prob/plane'], pairs['nearer']),
        feet=feet(persons), limbs=limbs(persons),
    )  # fmt: skip


def markdown(result: dict) -> str:
    """The result as markdown tables."""
    columns = dict(
        all='all pairs', rule_wrong='where the rule is wrong', surest_85='surest 85 %',
        ece='calibration error, mean', ece_max='largest',
        ratio_corr='log ratio: correlation', ratio_mae='mean error',
    )  # fmt: skip
    ways = [
        [way, *(found.get(key, math.nan) for key in list(columns)[:5]),
         *(f'{found[key]:.3f}' if key in found else '' for key in list(columns)[5:])]
        for way, found in result['ways'].items()
    ]  # fmt: skip
    lines = [
        f'{result["pairs"]:,} pairs of {result["persons"]:,} persons ({result["split"]}); '
        'agreement with the true order of the pelvises in percent, calibration in percentage '
        'points.', '',
        *markdown_table(['labels', *columns.values()], ways),
    ]  # fmt: skip
    for axis, title in (TITLES | dict(persons='persons in the image')).items():
        rows = [
            [name.split('/', 1)[1].replace('_', ' '), *values[1:], values[0]]
            for name, values in result['bins'].items()
            if name.startswith(f'{axis}/') and values[0]
        ]
        lines += ['', *markdown_table([title, *WAYS, 'pairs'], rows)]
    table = [[f'{r[0]:.2f} to {r[1]:.2f}', *r[3:], r[2]] for r in result['reliability']]
    lines += ['', *markdown_table(['confidence of the plane', 'mean', 'right', 'pairs'], table)]
    found = result['feet']
    table = [[name.replace('_', ' '), found[name], found[f'n_{name}']]
             for name in ('all', 'on_ground', 'raised')]  # fmt: skip
    lines += ['', *markdown_table(['the lower foot is nearer', 'right', 'persons'], table)]
    table = [
        [kind, *(f'{v:.3f}' for v in row[1:]), row[0]] for kind, row in result['limbs'].items()
    ]
    head = ['depth along a limb', 'correlation', 'mean error', 'mean depth', 'limbs']
    return '\n'.join([*lines, '', *markdown_table(head, table), ''])


def plot(result: dict, path: Path) -> None:
    """Reliability diagram of the plane, and how many pairs there are at each confidence."""
    from matplotlib.figure import Figure  # no pyplot: no display, no global state

    rows = np.array(result['reliability'])
    figure = Figure(figsize=(5, 6), layout='constrained')
    top, bottom = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    many = rows[:, 2] >= MIN_PAIRS
    top.plot([50, 100], [50, 100], color='gray', linewidth=1)
    top.plot(rows[many, 3], rows[many, 4], 'o-', label=f'at least {MIN_PAIRS} pairs')
    top.plot(rows[~many, 3], rows[~many, 4], 'x', color='gray', label='fewer')
    top.set_ylabel('right, %')
    top.legend()
    bottom.bar(100 * rows[:, :2].mean(axis=1), rows[:, 2], width=4.5)
    bottom.set_yscale('log')
    bottom.set_ylabel('pairs')
    bottom.set_xlabel('confidence of the ground plane, %')
    figure.savefig(path, dpi=110)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n\n')[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add, world = parser.add_argument, 'folder of tools/dataset_converters/make_world.py'
    add('--world', type=Path, default=Path('data/synthetic'), help=world)
    files = 'folder for label_quality.{json,md,png} (default: WORLD/label_quality)'
    add('--out', type=Path, help=files)
    add('--split', choices=('train', 'test'), help="one of MCPC's splits (default: both)")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    out = args.out or args.world / 'label_quality'
    try:
        result = label_quality(args.world, args.split, progress=True)
        dump_json(out / 'label_quality.json', result)
        write_text_atomic(out / 'label_quality.md', markdown(result))
        plot(result, out / 'label_quality.png')
    except (ValueError, OSError) as error:
        print(f'label_quality: {error}', file=sys.stderr)
        return 1
    print(f'{markdown(result)}\nWritten: {out}/label_quality.json, label_quality.md and .png')
    return 0


if __name__ == '__main__':
    sys.exit(main())
