# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmpose.registry import METRICS

from wsp_mm.evaluation.functional import pose3d_scores
from wsp_mm.evaluation.functional.pose3d import H36M_ACTIONS, evaluated_joints
from wsp_mm.evaluation.metrics.collect import field, sample_key, unique_results
from wsp_mm.evaluation.pose3d_tables import summary_text
from wsp_mm.structures.keypoints import get_joint_set


@METRICS.register_module()
class MPJPEMetric3D(BaseMetric):
    """How far predicted joints are from the true ones in the camera frame, in mm (paper, tables 4,
    5 and 8).

    Keys, with the default prefix of Human3.6M, are those of
    :func:`wsp_mm.evaluation.functional.pose3d_scores`:

    ======================================  ================================================================
    ``h36m/MPJPE``                          roots made to coincide; pooled over samples and joints
    ``h36m/PA-MPJPE``                       aligned by rotation and translation over all joints of the set
    ``h36m/PA-MPJPE-sim``                   aligned with scale, too
    ``h36m/X``, ``h36m/Y``, ``h36m/Z``      mean absolute difference along one camera axis
    ``h36m/AxisNorm``                       length of (X, Y, Z): the paper's "Joints Avg"
    ``..._no_root``                         each of the above without the root joint
    ``..._action_mean``                     mean over actions; also ``..._action_mean_no_root``
    ``h36m/MPJPE_action_Walking``           pooled within an action; of the three position errors
    ``h36m/MPJPE_joint_R_Hip``              one joint; also ``h36m/PA-MPJPE_joint_R_Hip``
    ``h36m/n``, ``h36m/n_actions``          samples, actions that occur
    ======================================  ================================================================

    Every sample counts once, whatever number of processes ran and however the last batch was
    filled. All evaluated joints count, seen or occluded, as in PoseNet.

    Needs in every data sample: metainfo ``id`` and, with ``per_action``, ``action`` (one of the 15
    names, as the annotation says); ``pred_instances.keypoints_cam (1, K, 3)`` and
    ``gt_instances.keypoints_cam (1, K, 3)``, mm.

    Args:
        joint_set: names the K joints and says which count and which is the root.
        per_action: whether actions are known and averaged over; None: for Human3.6M's joint sets.
        show_tables: write the tables to the log.
        prefix: None: the joint set's name without its number.
        collect_device, collect_dir: as in MMEngine's BaseMetric.

    Raises:
        KeyError: unknown joint set, or one without a root.
    """

    def __init__(
        self,
        joint_set: str = 'h36m18',
        per_action: bool | None = None,
        show_tables: bool = True,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix or joint_set.rstrip('0123456789'), collect_dir)
        evaluated_joints(joint_set)
        self.joint_set = joint_set
        self.per_action = joint_set.startswith('h36m') if per_action is None else per_action
        self.show_tables = show_tables

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep one small result a sample.

        Raises:
            KeyError: a sample lacks its id, its action or one of the poses.
            ValueError: a pose of a wrong shape or with a coordinate that is not finite.
        """
        for sample in data_samples:
            result = dict(key=sample_key(sample), action=None)
            for side in ('pred', 'gt'):
                result[side] = self._pose(sample, f'{side}_instances')
            if self.per_action:
                if sample.get('action') not in H36M_ACTIONS:
                    raise KeyError(
                        f'sample {sample["id"]} of {sample.get("img_path", "unknown picture")} has the action '
                        f"{sample.get('action')!r}: 'action' must be packed as metainfo and be one of "
                        f'{list(H36M_ACTIONS)}; for a data set without actions set per_action=False'
                    )
                result['action'] = sample['action']
            self.results.append(result)

    def _pose(self, sample: dict, container: str) -> np.ndarray:
        if container == 'pred_instances' and 'keypoints_cam' not in sample[container]:
            raise KeyError(
                f'the prediction of sample {sample["id"]} has no keypoints_cam: the camera frame needs '
                'root_depth, camera_f and camera_c in the metainfo, and TopdownPoseEstimator3D'
            )
        pose = field(sample, container, 'keypoints_cam')
        expected = (len(get_joint_set(self.joint_set)), 3)
        if pose.shape != expected:
            raise ValueError(
                f'{container}.keypoints_cam of sample {sample["id"]} must be {(1, *expected)} for '
                f'{self.joint_set}, got {(1, *pose.shape)}'
            )
        if not np.isfinite(pose).all():
            joint = get_joint_set(self.joint_set).joints[int((~np.isfinite(pose).all(1)).argmax())]
            cause = (
                'has the training diverged?'
                if container == 'pred_instances'
                else 'check its annotation'
            )
            raise ValueError(
                f'{container}.keypoints_cam of sample {sample["id"]} '
                f'({sample.get("img_path", "unknown picture")}) is not finite at {joint}: {cause}'
            )
        return pose

    def compute_metrics(self, results: list[dict]) -> dict[str, float | int]:
        """All scores; see the class for the keys (this method leaves the prefix to MMEngine)."""
        samples = unique_results(results, truth='gt')
        shape = (-1, len(get_joint_set(self.joint_set)), 3)
        scores = pose3d_scores(
            np.array([sample['pred'] for sample in samples]).reshape(shape),
            np.array([sample['gt'] for sample in samples]).reshape(shape),
            joint_set=self.joint_set,
            actions=[sample['action'] for sample in samples] if self.per_action else None,
        )
        if self.show_tables:
            print_log(f'3D pose\n{summary_text(scores)}', logger='current')
        if scores.get('n_actions', len(H36M_ACTIONS)) < len(H36M_ACTIONS):
            print_log(
                f'only {scores["n_actions"]} of {len(H36M_ACTIONS)} actions occur in this test set: action '
                'means are over those, and not to be compared with means over all',
                logger='current',
                level=logging.WARNING,
            )
        return scores
