# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from collections.abc import Sequence
from typing import Any

from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmpose.registry import METRICS

from wsp_mm.evaluation.predictions import flatten_sample, save_dump


@METRICS.register_module()
class DumpPredictions(BaseMetric):
    """Write predictions and ground truth of a test as an npz of plain arrays; no figures.

    Unlike MMEngine's DumpResults it writes no pickle, so that the file can be handed on. Its names
    are those of :func:`wsp_mm.evaluation.predictions.save_dump`.

    Args:
        out_file: ends in ``.npz``.
        kwargs: as in MMEngine's BaseMetric.

    Raises:
        ValueError: another ending.
    """

    default_prefix = 'dump'

    def __init__(self, out_file: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not out_file.endswith('.npz'):
            raise ValueError(f'predictions are dumped to .npz, not to {out_file}')
        self.out_file = out_file

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep each sample's plain arrays."""
        self.results += [flatten_sample(sample) for sample in data_samples]

    def compute_metrics(self, results: list[dict]) -> dict:
        """Write the file."""
        save_dump(results, self.out_file)
        print_log(f'predictions: {self.out_file}', logger='current')
        return {}
