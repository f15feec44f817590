# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmpose.registry import METRICS

from wsp_mm.evaluation.functional import pair_pck
from wsp_mm.evaluation.metrics.collect import field, sample_key, unique_results


@METRICS.register_module()
class PairPCKMetric(BaseMetric):
    """Share of both persons' labelled joints found within ``thr`` of the person's box height.

    Keys: ``pck/PCK`` (percent) and ``pck/n`` (joints). A person of several pairs counts in each of
        them.

    Needs in every data sample, all in picture px: metainfo ``id``; ``pred_instances.keypoints (1,
    2, K, 2)``; ``gt_instances.pair_keypoints (1, 2, K, 2)``, ``pair_visible (1, 2, K)``,
    ``pair_bboxes (1, 2, 4)`` x1 y1 x2 y2.

    Args:
        thr: share of the box height.
        collect_device, prefix, collect_dir: as in MMEngine's BaseMetric.
    """

    default_prefix = 'pck'

    def __init__(
        self,
        thr: float = 0.1,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        if not thr > 0:
            raise ValueError(f'thr must be positive, got {thr}')
        self.thr = thr

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep one result a sample."""
        for sample in data_samples:
            boxes = field(sample, 'gt_instances', 'pair_bboxes')
            self.results.append(
                dict(
                    key=sample_key(sample),
                    pred=field(sample, 'pred_instances', 'keypoints'),
                    gt=field(sample, 'gt_instances', 'pair_keypoints'),
                    visible=field(sample, 'gt_instances', 'pair_visible') > 0,
                    box_height=boxes[:, 3] - boxes[:, 1],
                )
            )

    def compute_metrics(self, results: list[dict]) -> dict[str, float | int]:
        """``PCK`` and ``n`` over all pairs."""
        pairs = unique_results(results, truth='gt')
        if not pairs:
            return dict(PCK=float('nan'), n=0)
        joined = {
            key: np.concatenate([pair[key] for pair in pairs])
            for key in ('pred', 'gt', 'visible', 'box_height')
        }
        scores = pair_pck(**joined, threshold=self.thr)
        return dict(PCK=scores['pck'], n=scores['n'])
