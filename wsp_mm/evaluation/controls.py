# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""What stands beside every relative-depth figure: rules that do not look, and true depth.

The paper's task can be answered without seeing (its label is a function of where the ankles lie),
so a figure means something only next to these controls on the same pairs: the box rules, the same
checkpoint on gray images, and agreement with true depth where that is known.

P pairs, K joints. Probabilities are P(A nearer).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from wsp_mm.datasets.annotations import load_json
from wsp_mm.datasets.array_files import read_npz
from wsp_mm.evaluation.functional import relative_depth_scores
from wsp_mm.evaluation.functional.averages import percent
from wsp_mm.evaluation.predictions import load_dump
from wsp_mm.structures.keypoints import convert_joints, get_joint_set

RULES = ('taller box', 'lower box bottom')
# The split of a source that MCPC tests on; ids are unique in one split of a source only.
TEST_SPLITS = dict(coco='val', mpii='val', posetrack18='val', crowdpose='test')


@dataclass
class PairTable:
    """The fixed test pairs of one MCPC file.

    Attributes:
        ids: (P,) pair ids.
        label: (P,) 1 where the perspective rule says that A is nearer.
        gap: (P,) normalised scale gap (Eq. 14).
        labelled: (P, K) joints labelled in both persons.
        boxes: (P, 2, 4) x, y, w, h px in the image.
        stand_in: (P,) whether the gap does not come from two labelled heads.
        image_ids: (P,) the image of each pair.
        depth: (P, 2, K) true depth of every joint, mm, or None where it is not known.
    """

    ids: np.ndarray
    label: np.ndarray
    gap: np.ndarray
    labelled: np.ndarray
    boxes: np.ndarray
    stand_in: np.ndarray
    image_ids: np.ndarray
    depth: np.ndarray | None = None

    def rule(self, name: str) -> np.ndarray:
        """Score (P,) in (0, 1) of a rule that sees nothing but the boxes, 0.5 where they tie.

        The difference of the two heights (or bottoms) in units of the larger height, squashed:
        rules have no probability, but AUC needs an order over pairs.

        Raises:
            KeyError: unknown rule.
        """
        if name not in RULES:
            raise KeyError(f'unknown rule {name!r}; known: {RULES}')
        y, h = self.boxes[..., 1], self.boxes[..., 3]
        value = h if name == 'taller box' else y + h
        difference = (value[:, 0] - value[:, 1]) / np.maximum(h.max(axis=1), 1e-9)
        return 0.5 + 0.5 * difference / (1 + np.abs(difference))

    def stand_in_shares(self) -> dict[str, float]:
        """Percent of the pairs whose gap comes from stand-ins, of all and of those with a gap of at
        most 0.1: ``stand_in`` and ``stand_in_gap0.1``, as in the metric's keys.
        """
        bins = {'stand_in': 1.0, 'stand_in_gap0.1': 0.1}
        return {key: percent(self.stand_in[self.gap <= gap]) for key, gap in bins.items()}

    @property
    def nearer_joints(self) -> np.ndarray:
        """(P, K) whether A's joint is truly nearer than B's."""
        return self.depth[:, 0] < self.depth[:, 1]

    @property
    def nearer(self) -> np.ndarray:
        """(P,) whether A's pelvis is truly nearer."""
        return self.nearer_joints[:, get_joint_set('mcpc16').index('pelvis')]


def load_pairs(mcpc_file: str | Path, gt_dir: str | Path | None = None) -> PairTable:
    """Read the test pairs, and their true depth where ``gt_dir`` holds it (the world's folder
    ``ground_truth``).

    Raises:
        ValueError: the file has no pairs, or the ground truth lacks a person of a pair.
    """
    mcpc = load_json(mcpc_file, remedy='Make it with build_mcpc.py')
    if not (isinstance(mcpc, dict) and mcpc.get('pairs')):
        raise ValueError(f"{mcpc_file} has no 'pairs': name a test file of build_mcpc.py")
    try:
        persons = {person['id']: person for person in mcpc['annotations']}
        pairs, n = mcpc['pairs'], len(mcpc['pairs'])
        both = [(persons[pair['ann_a']], persons[pair['ann_b']]) for pair in pairs]
        joints, boxes = (
            np.array([[p[key] for p in pair] for pair in both], np.float64).reshape(n, 2, *shape)
            for key, shape in (('keypoints', (len(get_joint_set('mcpc16')), 3)), ('bbox', (4,)))
        )
        stand_in = np.array([{p.get('scale_source') for p in pair} != {'head'} for pair in both])
        ids, images, label, gap = (
            np.array([p[key] for p in pairs], kind)
            for key, kind in dict(id=int, image_id=int, label=int, scale_gap=float).items()
        )
        labelled = (joints[..., 2] > 0).all(axis=1)
        table = PairTable(ids, label, gap, labelled, boxes, stand_in, images)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f'{mcpc_file} holds no pairs of build_mcpc.py: {error!r}') from None
    if gt_dir is not None:
        depth_of: dict[tuple[str, str], np.ndarray] = {}
        for (source, split), persons in load_world_gt(gt_dir).items():
            if split == TEST_SPLITS.get(source):
                try:
                    names = [(source, str(source_id)) for source_id in persons['source_ids']]
                    depth_of |= zip(names, mcpc_depths(persons['keypoints_cam']), strict=True)
                except (KeyError, IndexError, TypeError, ValueError) as error:
                    what = f'{gt_dir}: {source}_{split}.npz is no ground truth: {error!r}'
                    raise ValueError(what) from None
        try:
            depth = [[depth_of[p['source'], str(p['source_id'])] for p in pair] for pair in both]
        except (KeyError, TypeError) as error:
            raise ValueError(f'{gt_dir} has no person {error}: is it of another world?') from None
        table.depth = np.array(depth)
    return table


def load_world_gt(folder: str | Path) -> dict[tuple[str, str], dict[str, np.ndarray]]:
    """Ground truth of everybody in an embedded world, by source and split.

    Each table has one row a person, among others ``source_ids`` (N,), ``keypoints_cam (N, J, 3)``
    mm in the joint set ``world``.

    Args:
        folder: the world's folder ``ground_truth``, with a ``SOURCE_SPLIT.npz`` for each.

    Raises:
        ValueError: there is none, or one cannot be read.
    """
    tables = {}
    for file in sorted(Path(folder).glob('*_*.npz')):
        source, split = file.stem.rsplit('_', 1)
        tables[source, split] = read_npz(file, remedy='Make the world again')
    if not tables:
        remedy = 'run tools/dataset_converters/make_world.py first'
        raise ValueError(f'no SOURCE_SPLIT.npz in {folder}: {remedy}')
    return tables


def mcpc_depths(keypoints_cam: np.ndarray) -> np.ndarray:
    """(N, K) true depths, mm, of MCPC's joints from the world's joints (N, J, 3)."""
    everywhere = np.ones(keypoints_cam.shape[:-1])
    joints, known = convert_joints(keypoints_cam.astype(float), everywhere, 'world', 'mcpc16')
    return np.where(known > 0, joints[..., 2], np.nan)


def load_probs(
    dump_file: str | Path, table: PairTable, trust: bool = False, averaged: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Predictions of ``tools/test.py --dump``, in the table's order.

    Args:
        averaged: those that are averaged over both orders and mirror images.

    Returns:
        P(A nearer) per joint (P, K) and per pair (P,).

    Raises:
        ValueError: the dump does not cover exactly these pairs; see also ``load_dump``.
    """
    dump = load_dump(dump_file, trust)
    try:
        names = (f'{of}_probs{"_averaged" if averaged else ""}' for of in ('depth', 'pair'))
        joints, pairs = (dump[f'pred_instances.{name}'] for name in names)
        row = {pair: i for i, pair in enumerate(dump['id'].ravel().tolist())}
    except KeyError as error:
        raise ValueError(f'{dump_file} holds no relative-depth predictions: {error}') from None
    missing = [pair for pair in table.ids.tolist() if pair not in row]
    if missing:
        raise ValueError(f'{dump_file} lacks {len(missing)} pairs, the first is {missing[0]}')
    if joints.shape != (len(row), table.labelled.shape[1]) or pairs.shape != (len(row),):
        raise ValueError(f'{dump_file}: {joints.shape} and {pairs.shape} are no probabilities')
    rows = [row[pair] for pair in table.ids.tolist()]
    return joints[rows], pairs[rows]


def control_row(
    table: PairTable,
    joint_probs: np.ndarray,
    pair_probs: np.ndarray,
    gaps: Sequence[float] = (1.0, 0.1),
) -> dict[str, float]:
    """One line of the control table, in percent.

    Args:
        joint_probs: (P, K). pair_probs: (P,). A rule gives each joint its pair's value.

    Returns:
        ``auc_gap{g}`` and ``acc_gap{g}`` against the perspective label, joint by joint as in the
        paper; where true depth is known also ``gt_pairs`` (agreement with the order of the
        pelvises), ``gt_joints`` and both on the pairs whose label is wrong (``*_rule_wrong``),
        with ``n_rule_wrong``.
    """
    row: dict[str, float] = {}
    for gap in gaps:
        keep = table.labelled & (table.gap <= gap)[:, None]
        labels = np.broadcast_to(table.label[:, None], keep.shape)[keep]
        scores = relative_depth_scores(joint_probs[keep], labels)
        row[f'auc_gap{gap:g}'], row[f'acc_gap{gap:g}'] = scores['auc'], scores['accuracy']
    if table.depth is not None:
        wrong = table.label.astype(bool) != table.nearer
        agree_pairs = (pair_probs >= 0.5) == table.nearer
        agree_joints = (joint_probs >= 0.5) == table.nearer_joints
        for suffix, rows in (('', slice(None)), ('_rule_wrong', wrong)):
            row[f'gt_pairs{suffix}'] = percent(agree_pairs[rows])
            row[f'gt_joints{suffix}'] = percent(agree_joints[rows][table.labelled[rows]])
        row['n_rule_wrong'] = int(wrong.sum())
    return row


def control_table(
    table: PairTable, predictions: dict[str, tuple[np.ndarray, np.ndarray]]
) -> dict[str, dict[str, float]]:
    """Lines of the control table: every named prediction, the two box rules, the label itself."""
    blind = {f'rule: {name}': table.rule(name) for name in RULES}
    blind['label (perspective rule)'] = table.label.astype(np.float64)
    k = table.labelled.shape[1]
    of_rules = {name: (np.repeat(probs[:, None], k, 1), probs) for name, probs in blind.items()}
    return {name: control_row(table, *p) for name, p in (predictions | of_rules).items()}


def sign_test(table: PairTable, one: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """Whether one way to order the pairs is better than another, on the pairs where they differ.

    A difference of two percentages says little: most pairs are easy, and both ways have them right.

    Args:
        one, other: (P,) P(A nearer).

    Returns:
        ``only_one`` and ``only_other``, the number of pairs whose true order one of them alone
        gives, and ``p``, the two-sided exact probability of a split at least as uneven if both were
        equally good (McNemar's test).

    Raises:
        ValueError: true depth is not known.
    """
    if table.depth is None:
        raise ValueError('without true depth nobody knows which is right')
    right, wrong = (((probs >= 0.5) == table.nearer) for probs in (one, other))
    only_one, only_other = int((right & ~wrong).sum()), int((~right & wrong).sum())
    differ = only_one + only_other
    p = float(binomtest(only_one, differ).pvalue) if differ else 1.0
    return dict(only_one=only_one, only_other=only_other, p=p)
