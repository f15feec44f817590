# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from typing import Any

import numpy as np
from mmengine.logging import print_log
from mmpose.registry import METRICS

from wsp_mm.evaluation.functional.averages import mean, percent
from wsp_mm.evaluation.functional.mupots import ROOT
from wsp_mm.evaluation.functional.root_depth import ap_root, depth_order, mrpe
from wsp_mm.evaluation.metrics.base import FrameMetric, field, stacked
from wsp_mm.structures.keypoints import get_joint_set


@METRICS.register_module()
class RootDepthMetric(FrameMetric):
    """How far predicted roots are from the true ones in the camera's frame (RootNet's figures).

    ================================  ==========================================================
    ``root/MRPE``                     mean distance of predicted and true root, mm
    ``root/MRPE_x``, ``_y``, ``_z``   mean absolute difference along one camera axis, mm
    ``root/prior_z``                  mean absolute difference of k, the box's prior, to the
                                      true depth, mm
    ``root/n``                        persons
    ``root/order``                    pairs of persons of an image whose order in depth is right,
                                      percent, of ``root/n_order``; ``root/prior_order``: by k
    ``root/AP_root``                  average precision of roots within 250 mm, percent (with
                                      ``ann_file``)
    ``root/recall``                   true roots that were hit, percent; also ``root/n_roots``,
                                      ``root/n_detections``, ``root/n_frames``
    ================================  ==========================================================

    MRPE needs to know whose root a prediction is: with ``ann_file`` it is there only where all
    samples have ground truth, as those of labelled boxes do. AP_root does not need it: it loads all
    ground truth of MuPoTS-3D itself, so that frames and persons without a detection count.

    Needs in every data sample: metainfo ``id``, ``pred_instances.root_cam (1, 3)`` mm; for MRPE
    ``gt_instances.keypoints_cam (1, K, 3)`` mm and, for the prior, metainfo ``root_k``; for the
    order of persons metainfo ``img_id``; for AP_root
    ``pred_instances.bbox_scores (1,)``, metainfo ``frame_key`` and ``det_idx``.

    Args:
        joint_set: of the ground truth; its pelvis is the root.
        ann_file: MuPoTS-3D.json, for AP_root. sequences_dir, data_root: see :class:`FrameMetric`.
        threshold_mm: of AP_root.
        kwargs: as in MMEngine's BaseMetric.

    Raises:
        KeyError: unknown joint set, or one without a root.
        ValueError: ``sequences_dir`` without ``ann_file``, or a threshold that is not positive.
    """

    default_prefix = 'root'

    def __init__(
        self,
        joint_set: str = 'muco21',
        ann_file: str | None = None,
        sequences_dir: str | None = None,
        data_root: str = '',
        threshold_mm: float = 250.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(ann_file or '', sequences_dir, data_root, **kwargs)
        if ann_file is None and sequences_dir is not None:
            raise ValueError('sequences_dir is for AP_root: give ann_file, too')
        if not threshold_mm > 0:
            raise ValueError(f'threshold_mm must be positive, got {threshold_mm}')
        self.joint_set = joint_set
        self.root = get_joint_set(joint_set).index('pelvis')
        self.with_ap = ann_file is not None
        self.identity = 'place' if self.with_ap else 'gt'
        self.threshold_mm = float(threshold_mm)

    def result(self, sample: dict) -> dict:
        """Predicted root (3,) mm and what it is compared with."""
        result: dict[str, Any] = dict(pred=field(sample, 'pred_instances', 'root_cam', (3,)))
        if not self.with_ap or 'keypoints_cam' in sample.get('gt_instances', {}):
            shape = len(get_joint_set(self.joint_set)), 3
            result['gt'] = field(sample, 'gt_instances', 'keypoints_cam', shape)[self.root]
            result['image'] = sample.get('img_id')
            result['prior'] = float(np.reshape(sample.get('root_k', np.nan), ()))
        if self.with_ap:
            result['place'] = self.place(sample)
            result['score'] = float(field(sample, 'pred_instances', 'bbox_scores'))
        return result

    def score(self, results: list[dict]) -> dict[str, float | int]:
        scores: dict[str, float | int] = {}
        if not self.with_ap or (results and all('gt' in r for r in results)):
            pred, gt = (stacked(results, side, (3,)) for side in ('pred', 'gt'))
            prior = np.array([r['prior'] for r in results])
            off = np.abs(prior - gt[:, 2])
            scores.update(mrpe(pred, gt), n=len(results), prior_z=mean(off))
            images = [r['image'] for r in results]
            if None not in images:
                right = depth_order(pred[:, 2], gt[:, 2], images)[2]
                by_prior = depth_order(prior, gt[:, 2], images)[2]
                scores |= dict(order=percent(right), prior_order=percent(by_prior))
                scores['n_order'] = len(right)
        if self.with_ap:
            found, frames = self.by_frame(results), []
            for frame in self.ground_truth.frames:
                there = found.get(frame.key, [])
                pred, scored = [r['pred'] for r in there], [r['score'] for r in there]
                frames.append(dict(gt=frame.keypoints_cam[:, ROOT], pred=pred, scores=scored))
            scores |= ap_root(frames, self.threshold_mm)
        text = ', '.join(f'{key} {value:,.1f}' for key, value in scores.items())
        print_log(f'roots: {text}', logger='current')
        return scores
