# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from typing import Any

import numpy as np
from mmpose.registry import METRICS

from wsp_mm.evaluation.functional import pair_pck
from wsp_mm.evaluation.metrics.base import SampleMetric, field


@METRICS.register_module()
class PairPCKMetric(SampleMetric):
    """Share of both persons' labelled joints found within ``thr`` of the person's box height.

    Keys: ``pck/PCK`` (percent) and ``pck/n`` (joints). A person of several pairs counts in each of
        them.

    Needs in every data sample, all in image px: metainfo ``id``; ``pred_instances.keypoints (1, 2,
    K, 2)``; ``gt_instances.pair_keypoints (1, 2, K, 2)``, ``pair_visible (1, 2, K)``, ``pair_bboxes
    (1, 2, 4)`` x1 y1 x2 y2.

    Args:
        thr: share of the box height.
        kwargs: as in MMEngine's BaseMetric.
    """

    default_prefix = 'pck'

    def __init__(self, thr: float = 0.1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not thr > 0:
            raise ValueError(f'thr must be positive, got {thr}')
        self.thr = thr

    def result(self, sample: dict) -> dict:
        boxes = field(sample, 'gt_instances', 'pair_bboxes')
        return dict(
            pred=field(sample, 'pred_instances', 'keypoints'),
            gt=field(sample, 'gt_instances', 'pair_keypoints'),
            visible=field(sample, 'gt_instances', 'pair_visible') > 0,
            box_height=boxes[:, 3] - boxes[:, 1],
        )

    def score(self, results: list[dict]) -> dict[str, float | int]:
        if not results:
            return dict(PCK=float('nan'), n=0)
        joined = {
            key: np.concatenate([result[key] for result in results])
            for key in ('pred', 'gt', 'visible', 'box_height')
        }
        scores = pair_pck(**joined, threshold=self.thr)
        return dict(PCK=scores['pck'], n=scores['n'])
