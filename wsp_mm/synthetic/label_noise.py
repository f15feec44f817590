# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""How often the perspective rule (Eq. 1-4, 7) contradicts true depth.

The rule says that of two persons the one whose labelled ankle is lower in the picture stands
nearer, and that then all of its joints are nearer (Eq. 4). The embedded world knows better. Person
level: the rule against the depths of the two pelvises. Joint level: the rule against the depths of
each joint that is labelled in both persons. All pairs of persons of a picture that have a labelled
ankle count; pairs whose ankles are level are left out, as MCPC does.

P pairs, K = 16 joints of ``mcpc16``. Depth is Z in the camera frame, mm.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wsp_mm.structures.keypoints import convert_joints, get_joint_set
from wsp_mm.structures.relative_depth import ground_y, relative_depth_label
from wsp_mm.synthetic.truth import available, load_truth

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ANKLES = get_joint_set('mcpc16').ankles
_PELVIS = get_joint_set('world').index('pelvis')

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


@dataclass(frozen=True)
class Pairs:
    """All pairs of eligible persons of some pictures.

    Attributes:
        label: (P,) 1 where the rule calls A nearer. truth: (P,) 1 where A's pelvis is nearer.
        joint_truth: (P, K) 1 where A's joint is nearer. joint_weight: (P, K) whether it counts:
            labelled in both.
        gap: (P,) m between the pelvises in depth. pitch, roll: (P,) degrees.
        postures: (P,) the two postures, sorted, joined by ' + '; one word where they are equal.
        ties: pairs left out because the ankles are level.
    """

    label: np.ndarray
    truth: np.ndarray
    joint_truth: np.ndarray
    joint_weight: np.ndarray
    gap: np.ndarray
    pitch: np.ndarray
    roll: np.ndarray
    postures: np.ndarray
    ties: int = 0


def find_pairs(table: dict[str, np.ndarray], reduce: str = 'lowest') -> Pairs:
    """Pairs of one truth table (:mod:`wsp_mm.synthetic.truth`).

    Args:
        reduce: which ankle counts where two are labelled, see :func:`ground_y`.
    """
    scenes, depth = table['scene_ids'], table['keypoints_cam'][:, _PELVIS, 2].astype(float)
    joints = _mcpc_depths(table['keypoints_cam'])
    ground = np.array(
        [
            ground_y(xy, v, _ANKLES, reduce)
            for xy, v in zip(table['keypoints'], table['labelled'], strict=True)
        ]
    )
    first, second, ties = [], [], 0
    order = np.argsort(scenes, kind='stable')
    for _, group in itertools.groupby(order.tolist(), key=lambda row: scenes[row]):
        eligible = [row for row in group if not math.isnan(ground[row])]
        for a, b in itertools.combinations(eligible, 2):
            if ground[a] == ground[b]:
                ties += 1
                continue
            first.append(a)
            second.append(b)
    a, b = np.array(first, dtype=int), np.array(second, dtype=int)
    both = (table['labelled'][a] > 0) & (table['labelled'][b] > 0)
    return Pairs(
        label=np.array(
            [
                relative_depth_label(ground[i], ground[j])
                for i, j in zip(first, second, strict=True)
            ],
            int,
        ),
        truth=(depth[a] < depth[b]).astype(int),
        joint_truth=(joints[a] < joints[b]).astype(int),
        joint_weight=both & np.isfinite(joints[a]) & np.isfinite(joints[b]),
        gap=np.abs(depth[a] - depth[b]) / 1000,
        pitch=table['pitch'][a].astype(float),
        roll=np.abs(table['roll'][a].astype(float)),
        postures=np.array(
            [
                _posture_pair(table['posture'][i], table['posture'][j])
                for i, j in zip(a, b, strict=True)
            ]
        ),
        ties=ties,
    )


def _mcpc_depths(keypoints_cam: np.ndarray) -> np.ndarray:
    """(N, K) true depths of MCPC's joints."""
    everywhere = np.ones(keypoints_cam.shape[:2], dtype=int)
    points, there = convert_joints(keypoints_cam.astype(float), everywhere, 'world', 'mcpc16')
    return np.where(there > 0, points[..., 2], np.nan)


def _posture_pair(a: str, b: str) -> str:
    return str(a) if a == b else ' + '.join(sorted((str(a), str(b))))


def contradiction(pairs: Pairs, chosen: np.ndarray) -> dict[str, float]:
    """Shares in percent of the ``chosen`` (P,) pairs where the rule is wrong.

    Returns:
        person, joint: percent, nan where there is nothing to count; n, n_joint: pairs and joints
        counted.
    """
    person = pairs.label[chosen] != pairs.truth[chosen]
    weight = pairs.joint_weight[chosen]
    joint = (pairs.label[chosen, None] != pairs.joint_truth[chosen])[weight]
    return {
        'person': 100 * float(person.mean()) if person.size else math.nan,
        'joint': 100 * float(joint.mean()) if joint.size else math.nan,
        'n': int(person.size),
        'n_joint': int(joint.size),
    }


def bin_name(low: float | None, high: float | None) -> str:
    """'0_5' for [0, 5), 'below_-5' and 'from_20' for the open ends."""
    if low is None:
        return f'below_{high:g}'
    return f'from_{low:g}' if high is None else f'{low:g}_{high:g}'


def tabulate(pairs: Pairs) -> dict[str, dict[str, dict[str, float]]]:
    """Axis -> bin -> :func:`contradiction`. Empty bins stay in, with n = 0; postures are those that
    occur.
    """
    everything = np.ones(len(pairs.label), dtype=bool)
    table = {'all': {'all': contradiction(pairs, everything)}}
    for axis, edges in BINS.items():
        values = getattr(pairs, axis)
        table[axis] = {}
        for low, high in itertools.pairwise(edges):
            chosen = everything if low is None else values >= low
            chosen = chosen & (everything if high is None else values < high)
            table[axis][bin_name(low, high)] = contradiction(pairs, chosen)
    table['posture'] = {
        name: contradiction(pairs, pairs.postures == name)
        for name in sorted(set(pairs.postures.tolist()))
    }
    return table


def merge(parts: list[Pairs]) -> Pairs:
    """The pairs of several tables, one after the other."""
    names = [name for name in Pairs.__dataclass_fields__ if name != 'ties']
    return Pairs(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names},
        ties=sum(part.ties for part in parts),
    )


def label_noise(world: Path, reduce: str = 'lowest') -> dict[str, float]:
    """Contradictions in all of a world's annotated pictures.

    Returns:
        Flat dict with stable keys: ``person/AXIS/BIN`` and ``joint/AXIS/BIN`` in percent,
        ``n/AXIS/BIN`` pairs, ``n_joint/AXIS/BIN`` joints, ``ties``; AXIS is all, pitch, roll, gap
        or posture.

    Raises:
        WorldError: ``world`` is no finished world.
    """
    pairs = merge([find_pairs(load_truth(world, *names), reduce) for names in available(world)])
    flat: dict[str, float] = {
        f'{what}/{axis}/{name}': value
        for axis, bins in tabulate(pairs).items()
        for name, row in bins.items()
        for what, value in row.items()
    }
    return flat | {'ties': pairs.ties}


def rows_of(result: dict[str, float], axis: str) -> list[tuple[str, float, float, int]]:
    """(bin, person %, joint %, pairs) of one axis of :func:`label_noise`'s result."""
    names = [key.split('/', 2)[2] for key in result if key.startswith(f'person/{axis}/')]
    return [
        (
            name,
            result[f'person/{axis}/{name}'],
            result[f'joint/{axis}/{name}'],
            int(result[f'n/{axis}/{name}']),
        )
        for name in names
    ]


def markdown(result: dict[str, float]) -> str:
    """The result as markdown tables."""
    lines = [
        'How often the perspective rule contradicts true depth, in percent of the pairs (persons: depth of the '
        'pelvises) and of the joints labelled in both (joints: Eq. 4).',
    ]
    for axis, title in TITLES.items():
        lines += ['', f'| {title} | persons | joints | pairs |', '|---|---|---|---|']
        lines += [
            f'| {pretty(name)} | {_percent(person)} | {_percent(joint)} | {n} |'
            for name, person, joint, n in rows_of(result, axis)
        ]
    return '\n'.join([*lines, '', f'Pairs with level ankles, left out: {int(result["ties"])}.', ''])


def pretty(name: str) -> str:
    """A bin's name for people: 'below_-5' -> '< -5', 'from_20' -> '>= 20', '0_5' -> '0 to 5'."""
    if name.startswith('below_'):
        return f'< {name.removeprefix("below_")}'
    if name.startswith('from_'):
        return f'>= {name.removeprefix("from_")}'
    return name.replace('_', ' to ')


def _percent(value: float) -> str:
    return '-' if math.isnan(value) else f'{value:.1f}'


def plot(result: dict[str, float], path: Path) -> None:
    """Bars by pitch, roll, distance and posture; bins with fewer than 10 pairs are left blank."""
    from matplotlib.figure import Figure  # no pyplot: no display, no global state

    figure = Figure(figsize=(11, 8), layout='constrained')
    for axes, axis in zip(
        figure.subplots(2, 2).flat, ('pitch', 'roll', 'gap', 'posture'), strict=True
    ):
        rows = rows_of(result, axis)
        if axis == 'posture':  # the commonest ones, lying bars for their long names
            rows = sorted((row for row in rows if row[3] >= 10), key=lambda row: -row[3])[:10][::-1]
        _bars(axes, rows, lying=axis == 'posture')
        axes.set_title(TITLES[axis], fontsize=10)
        axes.legend(fontsize=8)
    figure.suptitle(
        f'Perspective rule against true depth: wrong for {_percent(result["person/all/all"])} % of the pairs, '
        f'{_percent(result["joint/all/all"])} % of their joints'
    )
    figure.savefig(path, dpi=110)


def _bars(axes: Axes, rows: list[tuple[str, float, float, int]], lying: bool) -> None:
    places = np.arange(len(rows))
    names = [f'{pretty(row[0])}{" " if lying else chr(10)}(n={row[3]})' for row in rows]
    for shift, column, label, colour in (
        (-0.2, 1, 'persons', '#3366aa'),
        (0.2, 2, 'joints', '#dd8833'),
    ):
        shares = [row[column] if row[3] >= 10 else math.nan for row in rows]
        draw = axes.barh if lying else axes.bar
        draw(places + shift, shares, 0.4, label=label, color=colour)
    (axes.set_yticks if lying else axes.set_xticks)(places, names, fontsize=7 if lying else 6)
    (axes.set_xlabel if lying else axes.set_ylabel)('rule wrong, %')
    axes.grid(axis='x' if lying else 'y', alpha=0.3)
