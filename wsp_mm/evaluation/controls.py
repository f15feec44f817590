# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""What stands beside every relative-depth figure: rules that do not look, and the truth.

The paper's task can be answered without seeing (its label is a function of where the ankles lie),
so a figure means something only next to these controls on the same pairs: the box rules, the same
checkpoint on grey pictures, and agreement with true depth where that is known.

P pairs, K joints. Probabilities are P(A nearer).
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from wsp_mm.evaluation.functional import relative_depth_scores
from wsp_mm.structures.keypoints import convert_joints, get_joint_set
from wsp_mm.structures.mcpc_splits import MCPC_SPLITS

RULES = ('taller box', 'lower box bottom')


@dataclass
class PairTable:
    """The fixed test pairs of one MCPC file.

    Attributes:
        ids: (P,) pair ids. ann_ids: (P, 2).
        label: (P,) 1 where the perspective rule says that A is nearer.
        gap: (P,) normalised scale gap (Eq. 14).
        labelled: (P, K) joints labelled in both persons.
        boxes: (P, 2, 4) x, y, w, h px in the picture.
        depth: (P, 2, K) true depth of every joint, mm, or None where the truth is not known.
    """

    ids: np.ndarray
    ann_ids: np.ndarray
    label: np.ndarray
    gap: np.ndarray
    labelled: np.ndarray
    boxes: np.ndarray
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

    @property
    def nearer(self) -> np.ndarray:
        """(P,) whether A's pelvis is truly nearer."""
        pelvis = get_joint_set('mcpc16').index('pelvis')
        return self.depth[:, 0, pelvis] < self.depth[:, 1, pelvis]

    @property
    def nearer_joints(self) -> np.ndarray:
        """(P, K) whether A's joint is truly nearer than B's."""
        return self.depth[:, 0] < self.depth[:, 1]


def load_pairs(mcpc_file: str | Path, truth_dir: str | Path | None = None) -> PairTable:
    """Read the test pairs, and their true depth where ``truth_dir`` holds it.

    Raises:
        ValueError: the file has no pairs, or the truth lacks a person of a pair.
    """
    mcpc = json.loads(Path(mcpc_file).read_text())
    if not mcpc.get('pairs'):
        raise ValueError(
            f"{mcpc_file} holds no 'pairs'; controls need a test file of build_mcpc.py"
        )
    persons = {person['id']: person for person in mcpc['annotations']}
    pairs = mcpc['pairs']
    ann_ids = np.array([(pair['ann_a'], pair['ann_b']) for pair in pairs])
    both = [(persons[a], persons[b]) for a, b in ann_ids]
    visible = np.array(
        [[np.reshape(p['keypoints'], (-1, 3))[:, 2] > 0 for p in pair] for pair in both]
    )
    return PairTable(
        ids=np.array([pair['id'] for pair in pairs]),
        ann_ids=ann_ids,
        label=np.array([pair['label'] for pair in pairs]),
        gap=np.array([pair['scale_gap'] for pair in pairs]),
        labelled=visible.all(axis=1),
        boxes=np.array([[p['bbox'] for p in pair] for pair in both], dtype=np.float64),
        depth=None if truth_dir is None else _true_depth(both, Path(truth_dir)),
    )


def _true_depth(both: Sequence[tuple[dict, dict]], truth_dir: Path) -> np.ndarray:
    """(P, 2, K) mm, joined by each person's source and id there."""
    files = sorted(truth_dir.glob('truth_*_*.npz'))
    if not files:
        raise ValueError(f'no truth_SOURCE_SPLIT.npz in {truth_dir}')
    # An id is unique in one split of a source only, so only those that tests are drawn from count.
    depth_of: dict[tuple[str, str], np.ndarray] = {}
    for file in files:
        source, split = file.stem.removeprefix('truth_').rsplit('_', 1)
        if split not in MCPC_SPLITS['test'][source]:
            continue
        with np.load(file, allow_pickle=False) as truth:
            points = truth['keypoints_cam']
            joints, _ = convert_joints(points, np.ones(points.shape[:-1]), 'world', 'mcpc16')
            for source_id, depth in zip(truth['source_ids'], joints[..., 2], strict=True):
                depth_of[source, str(source_id)] = depth
    try:
        return np.array(
            [[depth_of[p['source'], str(p['source_id'])] for p in pair] for pair in both]
        )
    except KeyError as error:
        raise ValueError(f'{truth_dir} does not know the person {error}: another world?') from None


def load_predictions(dump_file: str | Path, table: PairTable) -> tuple[np.ndarray, np.ndarray]:
    """Predictions of ``tools/test.py --dump``, in the table's order.

    Returns:
        P(A nearer) per joint (P, K) and per pair (P,).

    Raises:
        ValueError: the dump does not cover exactly these pairs.
    """
    with open(dump_file, 'rb') as file:
        samples = pickle.load(file)  # written by ourselves a moment ago
    probs = {sample['id']: sample['pred_instances'] for sample in samples}
    missing = [int(i) for i in table.ids if i not in probs]
    if missing:
        raise ValueError(
            f'{dump_file} lacks {len(missing)} of {len(table.ids)} pairs, first {missing[0]}'
        )
    joints = np.stack([np.asarray(probs[i]['depth_probs'])[0] for i in table.ids])
    pairs = np.array([float(np.asarray(probs[i]['pair_probs'])[0]) for i in table.ids])
    return joints, pairs


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
        paper; where the truth is known also ``truth_pairs`` (agreement with the order of the
        pelvises), ``truth_joints`` and both on the pairs whose label is wrong (``*_rule_wrong``),
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
        row['truth_pairs'] = _percent(agree_pairs)
        row['truth_joints'] = _percent(agree_joints[table.labelled])
        row['truth_pairs_rule_wrong'] = _percent(agree_pairs[wrong])
        row['truth_joints_rule_wrong'] = _percent(agree_joints[wrong][table.labelled[wrong]])
        row['n_rule_wrong'] = int(wrong.sum())
    return row


def control_table(
    table: PairTable, predictions: dict[str, tuple[np.ndarray, np.ndarray]]
) -> dict[str, dict[str, float]]:
    """Lines of the control table: every named prediction, the two box rules, the label itself."""
    blind = {f'rule: {name}': table.rule(name) for name in RULES}
    blind['label (perspective rule)'] = table.label.astype(np.float64)
    rows = {name: control_row(table, *probs) for name, probs in predictions.items()}
    for name, probs in blind.items():
        rows[name] = control_row(
            table, np.repeat(probs[:, None], table.labelled.shape[1], axis=1), probs
        )
    return rows


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
        ValueError: the truth is not known.
    """
    if table.depth is None:
        raise ValueError('who is right cannot be said without true depth')
    right, wrong = (((probs >= 0.5) == table.nearer) for probs in (one, other))
    only_one, only_other = int((right & ~wrong).sum()), int((~right & wrong).sum())
    differ = only_one + only_other
    p = float(binomtest(only_one, differ).pvalue) if differ else 1.0
    return dict(only_one=only_one, only_other=only_other, p=p)


def _percent(hits: np.ndarray) -> float:
    return float(100 * hits.mean()) if hits.size else float('nan')
