# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from __future__ import annotations

import os.path as osp
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmpose.registry import METRICS

from wsp_mm.evaluation.functional.root_depth import ap_root, mrpe
from wsp_mm.evaluation.metrics.collect import field, sample_key, unique_results
from wsp_mm.structures.keypoints import get_joint_set
from wsp_mm.structures.mupots import read_mupots


@METRICS.register_module()
class RootDepthMetric(BaseMetric):
    """How far predicted roots are from the true ones in the camera's frame (RootNet's figures).

    ================================  ======================================================================
    ``root/MRPE``                     mean distance of predicted and true root, mm
    ``root/MRPE_x``, ``_y``, ``_z``   mean absolute difference along one camera axis, mm
    ``root/prior_z``                  mean absolute difference of k, the box's prior, to the true depth, mm
    ``root/n``                        persons
    ``root/AP_root``                  average precision of roots within 250 mm, percent (with ``ann_file``)
    ``root/recall``                   true roots that were hit, percent; also ``root/n_roots``,
                                      ``root/n_detections``, ``root/n_frames``
    ================================  ======================================================================

    MRPE needs to know whose root a prediction is, as where boxes are labelled ones. AP_root does
    not: it loads all ground truth of MuPoTS-3D itself, so that frames and persons without a
    detection count.

    Every sample counts once, whatever number of processes ran and however the last batch was
    filled.

    Needs in every data sample: metainfo ``id``, ``pred_instances.root_cam (1, 3)`` mm; for MRPE
    ``gt_instances.keypoints_cam (1, K, 3)`` mm and, for the prior, metainfo ``root_k``; for AP_root
    ``pred_instances.bbox_scores (1,)``, metainfo ``frame_key`` and ``det_idx``.

    Args:
        joint_set: of the ground truth; its pelvis is the root.
        ann_file: MuPoTS-3D.json, for AP_root, relative to ``data_root`` or absolute.
        sequences_dir: folder of TS1 to TS20, whose annot.mat are preferred, see ``read_mupots``.
        data_root: folder of both.
        threshold_mm: of AP_root.
        with_mrpe: compute MRPE; None: without ``ann_file`` always, with it where all samples have a
            truth (of labelled boxes), not for detected ones.
        prefix: of the keys.
        collect_device, collect_dir: as in MMEngine's BaseMetric.

    Raises:
        KeyError: unknown joint set, or one without a root.
        ValueError: neither figure is asked for, or a threshold that is not positive.
    """

    def __init__(
        self,
        joint_set: str = 'muco21',
        ann_file: str | None = None,
        sequences_dir: str | None = None,
        data_root: str = '',
        threshold_mm: float = 250.0,
        with_mrpe: bool | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = 'root',
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        self.root = get_joint_set(joint_set).index('pelvis')
        self.with_mrpe = True if with_mrpe is None and ann_file is None else with_mrpe
        if self.with_mrpe is False and ann_file is None:
            raise ValueError(
                'RootDepthMetric: without ann_file there is no AP_root; leave with_mrpe on'
            )
        if sequences_dir is not None and ann_file is None:
            raise ValueError(
                'RootDepthMetric: sequences_dir goes with ann_file, which lists the frames'
            )
        if not threshold_mm > 0:
            raise ValueError(f'threshold_mm must be positive, got {threshold_mm}')
        self.ann_file = osp.join(data_root, ann_file) if ann_file else None
        self.sequences_dir = osp.join(data_root, sequences_dir) if sequences_dir else None
        self.threshold_mm = float(threshold_mm)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep one small result a sample.

        Raises:
            KeyError: a sample lacks its id or one of the fields.
            ValueError: a root that is not finite.
        """
        for sample in data_samples:
            if 'root_cam' not in sample['pred_instances']:
                raise KeyError(
                    f'the prediction of sample {sample.get("id")} has no root_cam: it needs a camera '
                    '(camera_f, camera_c) and root_k (RootDepthPrior) in the metainfo, and TopdownRootEstimator'
                )
            result = dict(
                key=sample_key(sample), pred=self._finite(sample, 'pred_instances', 'root_cam')
            )
            truth = 'keypoints_cam' in sample.get('gt_instances', {})
            if self.with_mrpe or (self.with_mrpe is None and truth):
                result['gt'] = self._finite(sample, 'gt_instances', 'keypoints_cam')[self.root]
                prior = sample.get('root_k')
                result['prior'] = np.nan if prior is None else float(np.asarray(prior).reshape(()))
            if self.ann_file:
                missing = [name for name in ('frame_key', 'det_idx') if sample.get(name) is None]
                if missing:
                    raise KeyError(
                        f'AP_root needs {" and ".join(missing)} in the metainfo, and sample '
                        f'{sample.get("id")} of {sample.get("img_path", "unknown picture")} has '
                        'none: is it of MuPoTSDataset?'
                    )
                result.update(
                    key=('', (str(sample['frame_key']), int(sample['det_idx']))),
                    score=float(field(sample, 'pred_instances', 'bbox_scores')),
                    box=field(sample, 'pred_instances', 'bboxes'),
                )
            self.results.append(result)

    @staticmethod
    def _finite(sample: dict, container: str, name: str) -> np.ndarray:
        value = field(sample, container, name)
        if not np.isfinite(value).all():
            cause = (
                'has the training diverged?'
                if container == 'pred_instances'
                else 'check its annotation'
            )
            raise ValueError(
                f'{container}.{name} of sample {sample.get("id")} '
                f'({sample.get("img_path", "unknown picture")}) is not finite: {cause}'
            )
        return value

    def compute_metrics(self, results: list[dict]) -> dict[str, float | int]:
        """All scores; see the class for the keys (this method leaves the prefix to MMEngine)."""
        samples = unique_results(results, truth='box' if self.ann_file else 'gt')
        scores: dict[str, float | int] = {}
        if self.with_mrpe or (samples and all('gt' in s for s in samples)):
            pred, gt = (
                np.array([s[side] for s in samples]).reshape(-1, 3) for side in ('pred', 'gt')
            )
            prior = np.array([s['prior'] for s in samples]).reshape(-1)
            scores.update(mrpe(pred, gt), prior_z=_mean(np.abs(prior - gt[:, 2])), n=len(samples))
        if self.ann_file:
            scores.update(ap_root(self._frames(samples), self.threshold_mm))
        print_log(
            'roots: ' + ', '.join(f'{key} {value:,.1f}' for key, value in scores.items()),
            logger='current',
        )
        return scores

    def _frames(self, samples: list[dict]) -> list[Mapping[str, np.ndarray]]:
        """Ground truth and detections by frame; all frames of the ground truth, detected or not."""
        found: dict[str, list[dict]] = {}
        for sample in sorted(samples, key=lambda s: s['key'][1]):
            found.setdefault(sample['key'][1][0], []).append(sample)
        root = get_joint_set('mupots17').index('pelvis')
        frames = []
        for frame in read_mupots(self.ann_file, self.sequences_dir).frames:
            there = found.pop(frame.key, [])
            frames.append(
                dict(
                    gt=frame.keypoints_cam[frame.valid, root],
                    pred=np.array([s['pred'] for s in there]).reshape(-1, 3),
                    scores=np.array([s['score'] for s in there]),
                )
            )
        if found:
            raise ValueError(
                f'{len(found)} predicted frames are not in {self.ann_file}, the first: {next(iter(found))}; '
                'ann_file of the metric and of the data set must be the same'
            )
        return frames


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float('nan')
