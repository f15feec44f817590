# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Tables and figures of tools/experiments/study.py, from the files that its steps wrote.

S seeds, n samples, M figures of a sample.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import relative_depth
from networks import metrics
from report import read_scalars

from wsp_mm.evaluation.functional import mpjpe, paired_difference, per_axis_error
from wsp_mm.evaluation.functional.pose3d import evaluated_joints
from wsp_mm.evaluation.functional.root_depth import depth_order
from wsp_mm.evaluation.predictions import load_dump
from wsp_mm.evaluation.tables import Scores, Table, cell, markdown_table
from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.utils.files import dump_json, write_text_atomic

#: ``write(stem, head, done)`` writes ``STEM.md`` and ``STEM.json``. ``head`` says what was run,
#: ``done`` are the outputs of the steps that are done; the others do not count, even if they exist.
Writer = Callable[[Path, str, Collection[Path]], None]

ALL_PAIRS = 'mcpc_all_pairs'  # folder of the pairs that stage B tests on
REFERENCES = ('2d', 'scratch')
ERRORS = ('MPJPE', 'X', 'Y', 'Z')
PCK_MM = 150.0
TARGET = 0.55  # of the mean pose's error, for training from scratch


def _is_done(folder: Path, done: Collection[Path]) -> bool:
    return folder / 'metrics.json' in done


# ---------------------------------------------------------------------- stage A


def write_labels(out: Path, stem: Path, head: str, done: Collection[Path]) -> None:
    """What the label tool wrote into ``out``."""
    if out / 'label_quality.json' in done:
        table = (out / 'label_quality.md').read_text()
        write_text_atomic(f'{stem}.md', f'# Labels against true depth\n\n{head}\n\n{table}')
        dump_json(f'{stem}.json', json.loads((out / 'label_quality.json').read_text()))


# ---------------------------------------------------------------------- stage B

VARIANT_HEADER = (
    'pre-training', 'PCK', 'AUC', 'AUC, gap <= 0.1', 'gray AUC', 'true depth',
    'the same, rule wrong', 'against the rule', *(f'finetuned: {name}' for name in ERRORS),
)  # fmt: skip
VARIANT_NOTE = (
    'One training a row and one seed. PCK: 2D keypoints within 0.1 of the box height. AUC: against '
    'the perspective label, joint by joint. Gray: the same checkpoint on gray images. True depth: '
    'percent of the pairs whose pelvises are in the predicted order; "rule wrong": of those that '
    'the label has wrong. Against the rule: pairs that the network alone has right, pairs that the '
    'label alone has right, and the probability of a split at least as uneven if both were equally '
    'good (exact sign test). The depth branch of 2D only was never trained. Finetuned: mm on '
    'unseen persons of the lab after a short finetuning, roots made to coincide.'
)


@dataclass(frozen=True)
class Variant:
    """A row of stage B.

    Attributes:
        name, label: its key, and what it is.
        order: folder of the tests of its pre-training, None for training from scratch.
        pose: folder of the test of its finetuning.
    """

    name: str
    label: str
    order: Path | None
    pose: Path


@cache
def order_figures(test: Path, data_root: Path) -> tuple[Scores, dict[str, Scores], Scores]:
    """Metrics of protocol 1, the control table, and the sign test against the label."""
    controls = relative_depth.controls(test, data_root, relative_depth.LABEL, ALL_PAIRS)
    return metrics(test / 'p1'), *controls


def variant_row(
    label: str, order: tuple[Scores, Mapping[str, Scores], Scores] | None, pose: Scores
) -> list:
    """A line of :data:`VARIANT_HEADER`.

    Args:
        order: of :func:`order_figures`. pose: metrics of the finetuned network; may be empty.
    """
    line = [label, *[None] * 7]
    if order is not None:
        scores, controls, against = order
        network, gray = (controls[f'network, {test}'] for test in ('protocol 1', 'gray image'))
        line = [label, scores['pck/PCK'], *_order_cells(network, gray['auc_gap1'])]
        if against:
            line[-1] = f'{against["only_one"]} : {against["only_other"]}, p {against["p"]:.2g}'
    return [*line, *(pose.get(f'h36m/{name}') for name in ERRORS)]


def _order_cells(row: Scores, gray: float | None = None) -> list:
    truth = [row.get(f'gt_pairs{suffix}') for suffix in ('', '_rule_wrong')]
    return [row['auc_gap1'], row['auc_gap0.1'], gray, *truth, None]


def write_variants(
    rows: Sequence[Variant], data_root: Path, reference: Path, stem: Path, head: str,
    done: Collection[Path],
) -> None:  # fmt: skip
    """Stage B.

    Args:
        reference: file of the mean pose's scores.
    """
    lines, plain, controls = [], {}, {}
    for row in rows:
        order, folders = None, [folder for _, folder in relative_depth.PROTOCOLS.values()]
        if row.order and all(_is_done(row.order / folder, done) for folder in folders):
            order = order_figures(row.order, data_root)
            controls = order[1]
        pose = metrics(row.pose) if _is_done(row.pose, done) else {}
        if order or pose:
            lines.append(variant_row(row.label, order, pose))
            names = ('p1', 'controls', 'against_label')
            plain[row.name] = dict(zip(names, order or (), strict=False), pose=pose)
    for name, row in controls.items():
        if not name.startswith('network'):
            lines.append([name, None, *_order_cells(row), *[None] * len(ERRORS)])
    if reference in done:
        mean = json.loads(reference.read_text())
        errors = [mean[f'h36m/{name}'] for name in ERRORS]
        lines.append(['predicts the mean training pose', *[None] * 7, *errors])
        plain['mean_pose'] = dict(pose=mean)
    page = ['# Pre-trainings', '', head, '', *markdown_table(VARIANT_HEADER, lines)]
    write_text_atomic(f'{stem}.md', '\n'.join([*page, '', VARIANT_NOTE, '']))
    dump_json(f'{stem}.json', dict(head=head, rows=plain))


# ---------------------------------------------------------------------- stage C

TITLES = {'lab': 'unseen persons of the lab', 'outdoors': 'other people outdoors (MuPoTS world)'}
DATA = {'all': 'all images', 'tenth': 'a tenth of the images'}
NOTE = (
    'mm, roots made to coincide (pose) or in the frame of the camera (root); X, Y, Z: mean '
    f'absolute error along a camera axis; 3DPCK: percent of the joints within {PCK_MM:g} mm, '
    'without the root. Outdoors the joints that both sets have count. All networks get true boxes; '
    'poses outdoors also true root depths. Order: percent of the pairs of persons of an image '
    'whose order in depth is right. ± is the sample standard deviation over seeds. Differences are '
    'of the same test samples under the same seed, which means the same batches; negative errors '
    'favour the row. In brackets: 95 % bootstrap interval, which draws sequences and seeds.'
)


@dataclass(frozen=True)
class Samples:
    """Figures of every sample of a test.

    Attributes:
        names: of the M figures. values: (n, M).
        ids: (n,), equal in all tests of the same data. groups: (n,) the sequence of each.
        percent: names whose difference is also given in percent.
    """

    names: tuple[str, ...]
    values: np.ndarray
    ids: np.ndarray
    groups: np.ndarray
    percent: tuple[str, ...] = ()


@cache
def load_samples(test: str, folder: Path) -> list[Samples]:
    """Figures of the samples of a test: ``lab`` or ``outdoors`` (poses), or ``root`` (roots, and
    pairs of persons).
    """
    dump = load_dump(folder / 'predictions.npz')
    order = np.argsort(dump['id'].ravel(), kind='stable')
    dump = {name: values[order] for name, values in dump.items() if len(values) == len(order)}
    keys = ('subject', 'action', 'subaction') if test == 'lab' else ('sequence',)
    groups = np.unique(np.stack([dump[k].astype(str) for k in keys]), axis=1, return_inverse=True)
    groups, ids = groups[1].ravel(), dump['id'].ravel()
    gt = dump['gt_instances.keypoints_cam'].astype(np.float64)
    if test != 'root':
        pred = dump['pred_instances.keypoints_cam'].astype(np.float64)
        return [pose_samples(pred, gt, ids, groups, 'mupots17' if test == 'outdoors' else None)]
    pred = dump['pred_instances.root_cam'].astype(np.float64)
    gt = gt[:, get_joint_set('muco21').index('pelvis')]
    off = np.abs(pred - gt)
    values = np.column_stack([np.linalg.norm(pred - gt, axis=1), off])
    names = ('MRPE', 'MRPE_x', 'MRPE_y', 'MRPE_z')
    a, b, right = depth_order(pred[:, 2], gt[:, 2], dump['img_id'].ravel())
    pairs = np.stack([ids[a], ids[b]], axis=1)
    return [
        Samples(names, values, ids, groups, ('MRPE', 'MRPE_z')),
        Samples(('order',), 100 * right[:, None], pairs, groups[a]),
    ]


def pose_samples(
    pred: np.ndarray, gt: np.ndarray, ids: np.ndarray, groups: np.ndarray, gt_set: str | None = None
) -> Samples:
    """Errors of every pose of ``h36m18``, in mm, means over its joints as in ``MPJPEMetric3D``; and
    3DPCK, without the root.

    Args:
        pred, gt: (n, 18, 3) mm. gt_set: see ``evaluated_joints``.
    """
    joints, root = evaluated_joints('h36m18', gt_set)
    distance = mpjpe(pred, gt, root=root)[:, joints]
    axes = per_axis_error(pred, gt, root=root)[:, joints].mean(axis=1)
    near = distance[:, [i for i, joint in enumerate(joints) if joint != root]] < PCK_MM
    values = np.column_stack([distance.mean(axis=1), axes, 100 * near.mean(axis=1)])
    return Samples((*ERRORS, '3DPCK'), values, ids, groups, ('MPJPE', 'Z'))


@cache
def differences(
    test: str, folders: tuple[Path, ...], others: tuple[Path, ...]
) -> list[dict[str, np.ndarray]]:
    """:func:`paired_difference` of the two ways, for each table of :func:`load_samples`.

    Args:
        folders, others: of the tests, one a seed, in the same order of seeds.

    Raises:
        ValueError: they are not of the same samples.
    """
    found = []
    ours, theirs = ([load_samples(test, f) for f in side] for side in (folders, others))
    for tables in zip(*ours, *theirs, strict=True):
        first = tables[0]
        if not all(np.array_equal(table.ids, first.ids) for table in tables):
            raise ValueError(f'{folders[0]} and {others[0]} are tests of different samples')
        both = np.stack([table.values for table in tables])
        ours_values, other_values = both[: len(folders)], both[len(folders) :]
        found.append(paired_difference(ours_values, other_values, first.groups))
    return found


@dataclass(frozen=True)
class Cell:
    """What one way of finetuning and one test gave.

    Attributes:
        data: key of what was finetuned on, or 'root'. test: ``lab``, ``outdoors`` or ``root``.
        folders: start -> seed -> folder of the test, for those that are done.
    """

    data: str
    test: str
    folders: Mapping[str, Mapping[int, Path]]

    @property
    def title(self) -> str:
        """A heading."""
        if self.test == 'root':
            return 'Root depth, trained on the MuCo world, tested on the MuPoTS world'
        what = DATA.get(self.data, f'the action {self.data} alone')
        return f'Pose, finetuned on {what}, tested on {TITLES[self.test]}'

    def figures(self, start: str) -> dict[str, np.ndarray]:
        """Name -> (S,) figure of every seed."""
        found: dict[str, list] = {}
        for folder in self.folders[start].values():
            for samples in load_samples(self.test, folder):
                for name, value in zip(samples.names, samples.values.mean(axis=0), strict=True):
                    found.setdefault(name, []).append(value)
            if self.test == 'root':
                found.setdefault('AP_root', []).append(metrics(folder)['root/AP_root'])
        return {name: np.array(values, dtype=float) for name, values in found.items()}

    def table(self, mean_pose: float | None = None) -> Table:
        """Means and spreads, a line for each start."""
        rows, header = [], []
        for start, folders in self.folders.items():
            figures = self.figures(start)
            header = ['start', *figures, *(['of mean pose'] if mean_pose else []), 'seeds']
            share = [f'{figures["MPJPE"].mean() / mean_pose:.2f}'] if mean_pose else []
            rows.append([start, *map(spread, figures.values()), *share, len(folders)])
        return header, rows

    def against(self, reference: str) -> dict[str, dict[str, list[float]]]:
        """Start -> name of a figure (or ``NAME, %``) -> difference, low, high."""
        found, other = {}, self.folders.get(reference, {})
        for start, folders in self.folders.items():
            seeds = sorted(folders.keys() & other.keys())
            if start == reference or not seeds:
                continue
            sides = [tuple(side[seed] for seed in seeds) for side in (folders, other)]
            row = found[start] = {}
            tables = load_samples(self.test, sides[0][0])
            for samples, gap in zip(tables, differences(self.test, *sides), strict=True):
                for i, name in enumerate(samples.names):
                    row[name] = gap['difference'][:, i].tolist()
                for name in samples.percent:
                    row[f'{name}, %'] = gap['percent'][:, samples.names.index(name)].tolist()
        return found


def difference_table(reference: str, found: Mapping[str, Mapping[str, Sequence[float]]]) -> Table:
    """The lines that :meth:`Cell.against` found."""
    rows, header = [], []
    for start, row in found.items():
        header = [f'minus {reference}', *row]
        values = (f'{d:+.1f} [{low:+.1f}, {high:+.1f}]' for d, low, high in row.values())
        rows.append([start, *values])
    return header, rows


def spread(values: np.ndarray) -> str:
    """``mean ± sample standard deviation``; of one value the value."""
    more = f' ± {cell(values.std(ddof=1))}' if len(values) > 1 else ''
    return f'{cell(values.mean())}{more}'


def write_starts(
    folders: Mapping[tuple[str, str], Mapping[str, Mapping[int, Path]]], reference: Path,
    curve: Path | None, stem: Path, head: str, done: Collection[Path],
) -> None:  # fmt: skip
    """Stage C.

    Args:
        folders: (data, test) -> start -> seed -> folder of the test.
        reference: file of the mean pose's scores.
        curve: work dir of the finetuning that was validated while it went on, if there is one.
    """
    cells = []
    for (data, test), starts in folders.items():
        there = {
            start: {seed: f for seed, f in by_seed.items() if _is_done(f, done)}
            for start, by_seed in starts.items()
        }
        there = {start: by_seed for start, by_seed in there.items() if by_seed}
        if there:
            cells.append(Cell(data, test, there))
    mean_pose = json.loads(reference.read_text()) if reference in done else {}
    extra: dict = {}
    page, plain = ['# Starts', '', head, '', NOTE], []
    for one in cells:
        mean = mean_pose.get('h36m/MPJPE') if one.test == 'lab' else None
        page += ['', f'## {one.title}', '', *markdown_table(*one.table(mean))]
        found = {key: one.against(key) for key in REFERENCES}
        for key in REFERENCES:
            if found[key]:
                page += ['', *markdown_table(*difference_table(key, found[key]))]
        figures = {s: {n: v.tolist() for n, v in one.figures(s).items()} for s in one.folders}
        seeds = {start: sorted(by_seed) for start, by_seed in one.folders.items()}
        plain.append(
            dict(data=one.data, test=one.test, seeds=seeds, figures=figures, differences=found)
        )
    folder = Path(stem).parent
    drawn = draw_axes(cells, folder / 'axes.png'), draw_shares(cells, folder / 'shares.png')
    if curve is not None and any(curve.glob('*/vis_data/scalars.json')):
        points = read_scalars(curve).get('h36m/MPJPE', [])
        drawn += (draw_curve(points, mean_pose.get('h36m/MPJPE'), folder / 'curve.png'),)
        extra = dict(curve=points)
    page += [line for file in drawn if file for line in ('', f'![{file.stem}]({file.name})')]
    write_text_atomic(f'{stem}.md', '\n'.join([*page, '']))
    dump_json(f'{stem}.json', dict(head=head, mean_pose=mean_pose, cells=plain, **extra))


# ---------------------------------------------------------------------- figures


def draw_axes(cells: Sequence[Cell], file: Path) -> Path | None:
    """Error along the axes, a panel for each test of poses finetuned on all images."""
    cells = [one for one in cells if one.data == 'all']
    if not cells:
        return None
    figure, panels = _panels(len(cells))
    for axes, one in zip(panels, cells, strict=True):
        for i, start in enumerate(one.folders):
            values = one.figures(start)
            means, errors = zip(*((values[n].mean(), _sd(values[n])) for n in 'XYZ'), strict=True)
            places = np.arange(3) + 0.8 * (i + 0.5) / len(one.folders) - 0.4
            axes.bar(places, means, 0.8 / len(one.folders), yerr=errors, label=start)
        axes.set_xticks(range(3), 'XYZ')
        axes.set(title=TITLES[one.test], ylabel='mm')
        axes.legend(fontsize=8)
    return _save(figure, file)


def draw_shares(cells: Sequence[Cell], file: Path) -> Path | None:
    """MPJPE by the share of the images, a panel for each test of poses."""
    by_test = {test: {c.data: c for c in cells if c.test == test} for test in TITLES}
    by_test = {test: found for test, found in by_test.items() if {'all', 'tenth'} <= found.keys()}
    if not by_test:
        return None
    figure, panels = _panels(len(by_test))
    for axes, (test, found) in zip(panels, by_test.items(), strict=True):
        for start in found['all'].folders:
            there = [(x, found[d]) for x, d in ((10, 'tenth'), (100, 'all'))]
            points = [(x, one.figures(start)['MPJPE']) for x, one in there if start in one.folders]
            x, values = zip(*points, strict=True)
            errors = [_sd(v) for v in values]
            axes.errorbar(x, [v.mean() for v in values], errors, marker='o', capsize=3, label=start)
        axes.set(title=TITLES[test], xlabel='% of the images', ylabel='MPJPE, mm', xscale='log')
        axes.set_xticks([10, 100], ['10', '100'])
        axes.legend(fontsize=8)
    return _save(figure, file)


def draw_curve(
    points: Sequence[tuple[float, float]], mean_pose: float | None, file: Path
) -> Path | None:
    """Error of training from scratch on unseen persons, while it goes on."""
    if not points:
        return None
    figure, (axes,) = _panels(1)
    axes.plot(*zip(*points, strict=True), marker='.', label='scratch')
    if mean_pose:
        label = f"{TARGET} of the mean pose's error"
        axes.axhline(TARGET * mean_pose, color='gray', linestyle='--', label=label)
    axes.set(xlabel='iteration', ylabel='MPJPE, mm', title=TITLES['lab'])
    axes.legend(fontsize=8)
    return _save(figure, file)


def _panels(count: int) -> tuple:
    from matplotlib.figure import Figure  # no pyplot: no display, no global state

    figure = Figure(figsize=(5.2 * count, 3.6), dpi=110, layout='constrained')
    panels = figure.subplots(1, count, squeeze=False)[0]
    for axes in panels:
        axes.grid(alpha=0.3)
    return figure, panels


def _sd(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def _save(figure, file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)
    return file
