# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import os.path as osp
from functools import cached_property
from typing import Any

import numpy as np
from mmengine.logging import print_log
from mmpose.registry import METRICS

from wsp_mm.datasets.relative_human_annotations import RelativeHuman, read_relative_human
from wsp_mm.evaluation.functional.pcdr import THRESHOLD_M
from wsp_mm.evaluation.metrics.base import SampleMetric, field, required
from wsp_mm.evaluation.relative_human import (
    detection_scores,
    pair_scores,
    person_scores,
    relative_human_summary,
)
from wsp_mm.structures.keypoints import get_joint_set


@METRICS.register_module()
class PCDR(SampleMetric):
    """Percentage of correct depth relations on Relative Human (Sun et al., BEV, CVPR 2022).

    =====================================  =====================================================
    ``rh/PCDR``                            correct relations of all pairs with known layers:
                                           nearer, farther or, within the threshold, equal
    ``rh/PCDR_equal``, ``_different``      of the pairs of one layer, and of the others
    ``rh/Acc``, ``rh/AUC``                 who is nearer, over the pairs of different layers
    ``rh/PCDR_kid`` and so on              age groups: adult, teenager, kid, baby; also of Acc,
                                           AUC, n and n_different
    ``rh/n``, ``rh/n_different``           pairs
    ``rh/n_missed``                        with ``detections``: persons whom nobody matches; also
                                           ``rh/mPCKh``, ``rh/recall``, ``rh/precision``,
                                           ``rh/n_persons``
    =====================================  =====================================================

    Samples are pairs of persons, of an order network, or persons in the camera's frame. An order
    knows no metres, so no pair of one layer is right: compare orders by Acc and AUC. Where
    predictions hold averaged probabilities, all keys stand a second time with ``averaged_`` before
    them.

    The metric reads the ground truth from the annotation file itself.

    Needs in every data sample: metainfo ``id``. Pairs: ``pred_instances.pair_probs (1,)``,
    ``gt_instances.pair_ann_ids (1, 2)``. Persons: ``pred_instances.root_cam (1, 3)`` or
    ``keypoints_cam (1, K, 3)``, mm; with ``detections`` also ``pred_instances.keypoints (1, K, 2)``
    px and metainfo ``img_id``.

    Args:
        ann_file: the npz, relative to ``data_root`` or absolute. data_root: its folder.
        detections: boxes are detected: match persons by their joints. Otherwise a sample's ``id``
            is the person's.
        joint_set: of the K joints.
        threshold_m: largest difference of equal depths, m.
        show_tables: write the tables to the log.
        kwargs: as in MMEngine's BaseMetric.

    Raises:
        KeyError: unknown joint set, or one without a pelvis.
        ValueError: a threshold that is not positive.
    """

    default_prefix = 'rh'
    identity = 'place'

    def __init__(
        self,
        ann_file: str,
        data_root: str = '',
        detections: bool = False,
        joint_set: str = 'muco21',
        threshold_m: float = THRESHOLD_M,
        show_tables: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not threshold_m > 0:
            raise ValueError(f'threshold_m must be positive, got {threshold_m}')
        self.ann_file = osp.join(data_root, ann_file)
        self.detections, self.joint_set = detections, joint_set
        self.root = get_joint_set(joint_set).index('pelvis')
        self.threshold_m, self.show_tables = threshold_m, show_tables

    @cached_property
    def ground_truth(self) -> RelativeHuman:
        """The ground truth; raises what ``read_relative_human`` raises."""
        return read_relative_human(self.ann_file)

    def result(self, sample: dict) -> dict:
        """What is kept of a pair, or of a person."""
        if 'pair_probs' in sample['pred_instances']:
            result = dict(place=field(sample, 'gt_instances', 'pair_ann_ids').astype(int), probs={})
            for start, name in (('', 'pair_probs'), ('averaged_', 'pair_probs_averaged')):
                if not start or name in sample['pred_instances']:
                    result['probs'][start] = float(field(sample, 'pred_instances', name))
            return result
        shape = len(get_joint_set(self.joint_set)), 3
        if 'root_cam' in sample['pred_instances']:
            root = field(sample, 'pred_instances', 'root_cam', (3,))
        else:
            root = field(sample, 'pred_instances', 'keypoints_cam', shape)[self.root]
        result = dict(depth=root[2] / 1000, place=np.array([required(sample, 'id')]))
        if self.detections:
            result['image'] = int(required(sample, 'img_id'))
            result['keypoints'] = field(sample, 'pred_instances', 'keypoints', (shape[0], 2))
        return result

    def score(self, results: list[dict]) -> dict[str, float | int]:
        """Score pairs, given persons, or detected ones."""
        if results and 'probs' in results[0]:
            pairs, scores = np.array([r['place'] for r in results]), {}
            for start in results[0]['probs']:
                probs = np.array([r['probs'][start] for r in results])
                found = pair_scores(self.ground_truth, pairs, probs)
                scores |= {f'{start}{key}': value for key, value in found.items()}
            self._show(scores, list(results[0]['probs']))
            return scores
        depths = np.array([r['depth'] for r in results])
        if self.detections:
            found: dict[int, dict] = {}
            images = np.array([r['image'] for r in results], dtype=int)
            for image in np.unique(images).tolist():
                rows = np.flatnonzero(images == image)
                keypoints = np.array([results[i]['keypoints'] for i in rows])
                found[image] = dict(keypoints=keypoints, depths=depths[rows])
            scores = detection_scores(self.ground_truth, found, self.joint_set, self.threshold_m)
        else:
            persons = np.array([r['place'][0] for r in results], dtype=int)
            scores = person_scores(self.ground_truth, persons, depths, self.threshold_m)
        self._show(scores, [''])
        return scores

    def _show(self, scores: dict, starts: list[str]) -> None:
        if self.show_tables:
            for start in starts:
                what = 'averaged over orders and mirror images' if start else ''
                text = relative_human_summary(scores, start)
                print_log(f'Relative Human {what}\n{text}', logger='current')
