# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmpose.registry import METRICS

from wsp_mm.evaluation.functional import relative_depth_scores
from wsp_mm.evaluation.metrics.collect import field, sample_key, unique_results

# name in a logged key -> name in relative_depth_scores
KEYS = {
    'AUC': 'auc',
    'Acc': 'accuracy',
    'P': 'precision',
    'R': 'recall',
    'F1': 'f1',
    'P_pos': 'precision_positive',
    'R_pos': 'recall_positive',
    'F1_pos': 'f1_positive',
    'n': 'n',
}


@METRICS.register_module()
class RelativeDepthMetric(BaseMetric):
    """Who is nearer: scores joint by joint and pair by pair, at every scale gap (paper, tables 2
    and 3).

    Keys, in percent except for n: ``rd/AUC``, ``rd/Acc``, ``rd/P``, ``rd/R``, ``rd/F1`` (macro
    averages over both classes), ``rd/P_pos``, ``rd/R_pos``, ``rd/F1_pos`` (class "A is nearer"),
    ``rd/n`` (decisions), over all test pairs (the paper's WSP-A, scale gap <= 1.0); the same with
    ``_gap0.5`` and so on appended over the pairs whose scale gap (Eq. 14) is at most that; all of
    them with ``pair_`` before the name (``rd/pair_AUC_gap0.1``) for decisions about whole pairs, by
    the mean over the joints. A bin with labels of one class reports n, and nan else.

    A decision of the joint level is a joint labelled in both persons. Pairs of weight 0 (exact
    ties) are left out.

    Needs in every data sample: metainfo ``id``; ``pred_instances.depth_probs (1, K)``,
    ``pred_instances.pair_probs (1,)``; ``gt_instances.depth_label (1,)``, ``depth_weight (1,)``,
    ``pair_gap (1,)`` (nan: in no bin but that of all pairs), ``pair_visible (1, 2, K)``.

    Args:
        gaps: upper bounds of the scale gap; a gap is below 1 by definition, so 1.0 stands for all
            pairs, which are always reported.
        threshold: decide for "A is nearer" from this probability on.
        show_tables: write the tables to the log.
        collect_device, prefix, collect_dir: as in MMEngine's BaseMetric.
    """

    default_prefix = 'rd'

    def __init__(
        self,
        gaps: Sequence[float] = (1.0, 0.5, 0.3, 0.1),
        threshold: float = 0.5,
        show_tables: bool = True,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        gaps = [float(gap) for gap in gaps]
        if any(not 0 <= gap <= 1 for gap in gaps):
            raise ValueError(f'scale gaps must lie in [0, 1], got {gaps}')
        if not 0 <= threshold <= 1:
            raise ValueError(f'threshold must lie in [0, 1], got {threshold}')
        # The bin of all pairs has no suffix.
        self.bins = {'': 1.0, **{f'_gap{gap:g}': gap for gap in gaps if gap < 1}}
        self.threshold = threshold
        self.show_tables = show_tables

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep one small result a sample, also for pairs without a valid joint: MMEngine counts on
        it.
        """
        for sample in data_samples:
            visible = field(sample, 'gt_instances', 'pair_visible') > 0
            self.results.append(
                dict(
                    key=sample_key(sample),
                    joint_probs=field(sample, 'pred_instances', 'depth_probs'),
                    pair_prob=float(field(sample, 'pred_instances', 'pair_probs')),
                    joint_valid=visible[0] & visible[1],
                    label=float(field(sample, 'gt_instances', 'depth_label')),
                    weight=float(field(sample, 'gt_instances', 'depth_weight')),
                    gap=float(field(sample, 'gt_instances', 'pair_gap')),
                )
            )

    def compute_metrics(self, results: list[dict]) -> dict[str, float | int]:
        """Scores of every bin; see the class for the keys (this method leaves the prefix to
        MMEngine).
        """
        pairs = [
            result for result in unique_results(results, truth='label') if result['weight'] > 0
        ]
        metrics: dict[str, float | int] = {}
        for suffix, bound in self.bins.items():
            # nan compares false: a pair of unknown gap counts among all pairs only
            chosen = [pair for pair in pairs if not suffix or pair['gap'] <= bound]
            for level, (prob, label) in dict(
                joint=_joint_level(chosen), pair=_pair_level(chosen)
            ).items():
                scores = relative_depth_scores(prob, label, self.threshold)
                start = 'pair_' if level == 'pair' else ''
                metrics.update(
                    {f'{start}{key}{suffix}': scores[name] for key, name in KEYS.items()}
                )
        if self.show_tables:
            tables = self._table(metrics, 'joints', '') + self._table(metrics, 'pairs', 'pair_')
            print_log('Relative depth\n' + tables, logger='current')
        return metrics

    def _table(self, metrics: dict, what: str, start: str) -> str:
        from rich.box import ASCII
        from rich.console import Console
        from rich.table import Table

        table = Table(title=f'{what}: is A nearer?', box=ASCII, title_justify='left')
        table.add_column('scale gap')
        for key in KEYS:
            table.add_column(key, justify='right')
        for suffix, bound in self.bins.items():
            values = [metrics[f'{start}{key}{suffix}'] for key in KEYS]
            table.add_row(f'<= {bound:g}', *(_text(value) for value in values))
        # A log file has no terminal: fixed width, no colour.
        console = Console(file=io.StringIO(), width=110, no_color=True)
        console.print(table)
        return console.file.getvalue()


def _joint_level(pairs: list[dict]) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and labels of every joint labelled in both persons."""
    probs = [pair['joint_probs'][pair['joint_valid']] for pair in pairs]
    labels = [np.full(prob.shape, pair['label']) for prob, pair in zip(probs, pairs, strict=True)]
    return np.concatenate([*probs, np.empty(0)]), np.concatenate([*labels, np.empty(0)])


def _pair_level(pairs: list[dict]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([pair['pair_prob'] for pair in pairs]), np.array(
        [pair['label'] for pair in pairs]
    )


def _text(value: float | int) -> str:
    if isinstance(value, int):
        return str(value)
    return '-' if math.isnan(value) else f'{value:.2f}'
