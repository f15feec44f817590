# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.logging import print_log
from mmpose.registry import METRICS

from wsp_mm.evaluation.functional import relative_depth_scores
from wsp_mm.evaluation.functional.averages import percent
from wsp_mm.evaluation.functional.relative_depth import SCORES
from wsp_mm.evaluation.metrics.base import SampleMetric, field
from wsp_mm.evaluation.tables import text_table

_NAMES = 'AUC', 'Acc', 'P', 'R', 'F1', 'P_pos', 'R_pos', 'F1_pos'
# name in a logged key -> name in relative_depth_scores
KEYS = dict(zip(_NAMES, SCORES, strict=True)) | dict(n='n')


@METRICS.register_module()
class RelativeDepthMetric(SampleMetric):
    """Who is nearer: scores joint by joint and pair by pair, at every scale gap (paper, tables 2
    and 3).

    Keys, in percent except for n: ``rd/AUC``, ``rd/Acc``, ``rd/P``, ``rd/R``, ``rd/F1`` (macro
    averages over both classes), ``rd/P_pos``, ``rd/R_pos``, ``rd/F1_pos`` (class "A is nearer"),
    ``rd/n`` (decisions), over all test pairs (the paper's WSP-A, scale gap <= 1.0); the same with
    ``_gap0.5`` and so on appended over the pairs whose scale gap (Eq. 14) is at most that; all of
    them with ``pair_`` before the name (``rd/pair_AUC_gap0.1``) for decisions about whole pairs, by
    the mean over the joints. A bin with labels of one class reports n, and nan else.

    Where predictions hold averaged probabilities (``depth_probs_averaged``,
    ``pair_probs_averaged``), all of these stand a second time with ``averaged_`` before them
    (``rd/averaged_AUC``). Where the ground truth holds ``pair_stand_in (1,)``, ``rd/stand_in`` and
    ``rd/stand_in_gap0.5`` and so on are the percentage of the pairs whose scale gap does not come
    from two labelled heads (COCO has none).

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
        kwargs: as in MMEngine's BaseMetric.
    """

    default_prefix = 'rd'
    identity = 'label'

    def __init__(
        self,
        gaps: Sequence[float] = (1.0, 0.5, 0.3, 0.1),
        threshold: float = 0.5,
        show_tables: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if any(not 0 <= value <= 1 for value in (*gaps, threshold)):
            raise ValueError('scale gaps and threshold must lie in [0, 1]')
        # The bin of all pairs has no suffix.
        self.bins = {'': 1.0, **{f'_gap{gap:g}': float(gap) for gap in gaps if gap < 1}}
        self.threshold = threshold
        self.show_tables = show_tables

    def result(self, sample: dict) -> dict:
        visible = (field(sample, 'gt_instances', 'pair_visible') > 0).all(axis=0)
        probs = {}
        for start, kind in (('', ''), ('averaged_', '_averaged')):
            if kind and f'depth_probs{kind}' not in sample['pred_instances']:
                continue
            probs[start] = field(sample, 'pred_instances', f'depth_probs{kind}')[visible]
            pair = field(sample, 'pred_instances', f'pair_probs{kind}')
            probs[f'{start}pair_'] = pair.reshape(1)
        result = dict(probs=probs, stand_in=np.nan)
        names = dict(label='depth_label', weight='depth_weight', gap='pair_gap')
        if 'pair_stand_in' in sample['gt_instances']:
            names['stand_in'] = 'pair_stand_in'
        for key, name in names.items():
            result[key] = float(field(sample, 'gt_instances', name))
        return result

    def score(self, results: list[dict]) -> dict[str, float | int]:
        metrics: dict[str, float | int] = {}
        starts = list(results[0]['probs']) if results else ['', 'pair_']
        known = not np.isnan([r['stand_in'] for r in results]).any()
        for suffix, bound in self.bins.items():
            # nan compares false: a pair of unknown gap counts among all pairs only
            pairs = [r for r in results if r['weight'] > 0 and (not suffix or r['gap'] <= bound)]
            labels = np.array([r['label'] for r in pairs])
            for start in starts:
                probs = [r['probs'][start] for r in pairs]
                label = np.repeat(labels, np.array([len(each) for each in probs], dtype=int))
                joined = np.concatenate([np.empty(0), *probs])
                scores = relative_depth_scores(joined, label, self.threshold)
                metrics |= {f'{start}{key}{suffix}': scores[name] for key, name in KEYS.items()}
            if known:
                metrics[f'stand_in{suffix}'] = percent(np.array([r['stand_in'] for r in pairs]))
        if self.show_tables:
            tables = [self._table(metrics, start) for start in starts]
            print_log(f'Relative depth\n{"".join(tables)}', logger='current')
        return metrics

    def _table(self, metrics: dict, start: str) -> str:
        columns = {key: f'{start}{key}' for key in KEYS}
        if 'stand_in' in metrics:
            columns['stand-in gaps'] = 'stand_in'
        rows = [
            [f'<= {bound:g}', *(metrics[f'{key}{suffix}'] for key in columns.values())]
            for suffix, bound in self.bins.items()
        ]
        title = f'{"pairs" if "pair_" in start else "joints"}: is A nearer?'
        if start.startswith('averaged_'):
            title += ' Averaged over orders and mirror images'
        return text_table(['scale gap', *columns], rows, title, digits=2)
