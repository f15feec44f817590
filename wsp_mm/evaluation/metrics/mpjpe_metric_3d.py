# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
import logging
from typing import Any

from mmengine.logging import print_log
from mmpose.registry import METRICS

from wsp_mm.evaluation.functional import pose3d_scores
from wsp_mm.evaluation.functional.pose3d import H36M_ACTIONS, evaluated_joints
from wsp_mm.evaluation.metrics.base import SampleMetric, field, stacked
from wsp_mm.evaluation.tables import pose3d_summary
from wsp_mm.structures.keypoints import get_joint_set


@METRICS.register_module()
class MPJPEMetric3D(SampleMetric):
    """How far predicted joints are from the true ones in the camera frame, in mm (paper, tables 4,
    5 and 8).

    Keys, with the default prefix of Human3.6M, are those of
    :func:`wsp_mm.evaluation.functional.pose3d_scores`:

    ======================================  ====================================================
    ``h36m/MPJPE``                          roots made to coincide; pooled over samples, joints
    ``h36m/PA-MPJPE``                       aligned by rotation and translation over all joints
                                            of the set
    ``h36m/PA-MPJPE-sim``                   aligned with scale, too
    ``h36m/X``, ``h36m/Y``, ``h36m/Z``      mean absolute difference along one camera axis
    ``h36m/AxisNorm``                       length of (X, Y, Z): the paper's "Joints Avg"
    ``..._no_root``                         each of the above without the root joint
    ``..._action_mean``                     mean over actions; also ``..._action_mean_no_root``
    ``h36m/MPJPE_action_Walking``           pooled within an action; the three position errors
    ``h36m/MPJPE_joint_R_Hip``              one joint; also ``h36m/PA-MPJPE_joint_R_Hip``
    ``h36m/n``, ``h36m/n_actions``          samples, actions that occur
    ======================================  ====================================================

    All evaluated joints count, visible or occluded, as in PoseNet.

    Needs in every data sample: metainfo ``id`` and, with ``per_action``, ``action`` (one of the 15
    names, as the annotation says); ``pred_instances.keypoints_cam (1, K, 3)`` and
    ``gt_instances.keypoints_cam (1, K, 3)``, mm.

    Args:
        joint_set: names the K joints and says which count and which is the root.
        gt_set: joint set that the ground truth was converted from, where it lacks joints of
            ``joint_set`` (``mupots17`` for networks of ``h36m18``): those do not count.
        per_action: whether actions are known and averaged over; None: for Human3.6M's joint sets.
        show_tables: write the tables to the log.
        prefix: None: the joint set's name without its number.
        kwargs: as in MMEngine's BaseMetric.

    Raises:
        KeyError: unknown joint set, or one without a root.
    """

    def __init__(
        self,
        joint_set: str = 'h36m18',
        gt_set: str | None = None,
        per_action: bool | None = None,
        show_tables: bool = True,
        prefix: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(prefix=prefix or joint_set.rstrip('0123456789'), **kwargs)
        evaluated_joints(joint_set, gt_set)
        self.joint_set, self.gt_set = joint_set, gt_set
        self.shape = len(get_joint_set(joint_set)), 3
        self.per_action = joint_set.startswith('h36m') if per_action is None else per_action
        self.show_tables = show_tables

    def result(self, sample: dict) -> dict:
        action = sample.get('action')
        if self.per_action and action not in H36M_ACTIONS:
            raise KeyError(
                f"sample {sample['id']} has the action {action!r}: 'action' must be packed and be "
                f'one of {list(H36M_ACTIONS)}, or per_action=False'
            )
        pred, gt = (
            field(sample, f'{side}_instances', 'keypoints_cam', self.shape)
            for side in ('pred', 'gt')
        )
        return dict(pred=pred, gt=gt, action=action)

    def score(self, results: list[dict]) -> dict[str, float | int]:
        pred, gt = (stacked(results, side, self.shape) for side in ('pred', 'gt'))
        actions = [r['action'] for r in results] if self.per_action else None
        scores = pose3d_scores(pred, gt, self.joint_set, actions, gt_set=self.gt_set)
        if self.show_tables:
            print_log(f'3D pose\n{pose3d_summary(scores)}', logger='current')
        occurring, known = scores.get('n_actions', len(H36M_ACTIONS)), len(H36M_ACTIONS)
        if occurring < known:
            what = f'only {occurring} of {known} actions occur in this test set'
            what += ': action means are over those, and not to be compared with means over all'
            print_log(what, logger='current', level=logging.WARNING)
        return scores
